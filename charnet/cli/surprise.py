"""Colors characters by how unexpected they were, in the three levels of `insight.surprises`.

What was expected stays plain. A surprise is blue and underlined, which can be read on black and on white; a great one
is black on orange. The shapes differ too, for readers who tell no colors apart. Where there are no colors at all, marks
stand in a line below.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from charnet.cli import console
from charnet.cli.console import visible
from charnet.generation.detokenizer import Chunk
from charnet.insight.surprises import level as level
from charnet.insight.surprises import meanings

CODES = ("", "\x1b[4;38;5;63m", "\x1b[38;5;16;48;5;214m")  # of the terminal, for each level
STYLES = ("plain", "blue", "orange")
MARKS = " .#"  # for each level, under a character
TAB = 8  # cells
RESET = "\x1b[0m"
Wrap = Callable[[Iterable[Chunk]], Iterable[Chunk]]
COLORS_REFUSED = "--surprise: colors need a terminal that shows them, and NO_COLOR not set; --json gives numbers"


def can_color() -> bool:
    """Returns whether stdout is a terminal that shows colors, and NO_COLOR is not set (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def colored(chunks: Iterable[Chunk], wrap: Wrap = iter) -> Iterator[str]:
    """Colors chunks for a terminal, each character by its level, and makes control characters visible.

    Line ends get no color: it would fill the rest of the line. `wrap` breaks lines.
    """
    for chunk in wrap(chunks):
        yield from painted(zip(chunk.text, map(level, chunk.nats), strict=True))


def painted(levels: Iterable[tuple[str, int]], codes: Sequence[str] = CODES) -> Iterator[str]:
    """Colors characters for a terminal, each by its level, as `colored` does; `codes` are those of the levels."""
    for number, group in itertools.groupby(levels, key=lambda pair: pair[1] if pair[0] != "\n" else 0):
        shown, code = visible("".join(character for character, _ in group), keep="\n\t"), codes[number]
        yield f"{code}{shown}{RESET}" if code else shown


def marked(chunks: Iterable[Chunk], mark: Callable[[float], str]) -> Iterator[str]:
    """Yields each line of a text, and below it a line of marks where there are any. Tabs become spaces.

    Args:
        mark: returns the mark of a character by its number in `nats`, which may be any.
    """
    pairs = (pair for chunk in chunks for pair in zip(chunk.text, chunk.nats, strict=True))
    for number, (ends, group) in enumerate(itertools.groupby(pairs, key=lambda pair: pair[0] == "\n")):
        if ends:
            yield from [""] * (len(list(group)) - (number > 0))
            continue
        line, marks = "", ""
        for character, value in group:
            seen = " " * (TAB - len(marks) % TAB) if character == "\t" else visible(character)
            line += seen
            marks += mark(value) * (console.cells(seen) if seen == character else len(seen))
        yield line
        yield from [marks.rstrip()] * bool(marks.strip())


def legend(*, colors: bool | None = None) -> str:
    """Explains the colors in one line.

    Args:
        colors: show them in it; by default if stderr is a terminal.
    """
    return named(meanings(), colors=colors)


def named(ranges: Sequence[str], *, colors: bool | None = None) -> str:
    """Returns what each color means, in that color, or behind its name where that is not shown."""
    if sys.stderr.isatty() if colors is None else colors:
        return ", ".join(f"{code}{meaning}{RESET * bool(code)}" for code, meaning in zip(CODES, ranges, strict=True))
    return ", ".join(f"{style}: {meaning}" for style, meaning in zip(STYLES, ranges, strict=True))


def marks_legend() -> str:
    """Explains the marks in one line.

    >>> marks_legend()
    '"." marks a surprise (under 10 %), "#" a great surprise (under 1 %)'
    """
    surprising, great = meanings()[1:]
    return f'"{MARKS[1]}" marks {surprising}, "{MARKS[2]}" {great}'
