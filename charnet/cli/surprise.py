"""Colors characters by how unexpected they were.

The colors differ in brightness as well as in hue, and the last one is bold: color-blind readers can tell them apart.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from charnet.cli.console import visible
from charnet.generation.detokenizer import Chunk

# The lowest probability in the band, its name, and its terminal code.
BANDS = (
    (0.25, "plain", ""),
    (0.05, "pale", "\x1b[38;5;16;48;5;153m"),
    (0.01, "blue", "\x1b[38;5;16;48;5;75m"),
    (0.002, "dark", "\x1b[38;5;231;48;5;25m"),
    (0.0, "orange", "\x1b[1;38;5;16;48;5;214m"),
)
LIMITS = [-math.log(probability) for probability, _, _ in BANDS[:-1]]  # nats
RESET = "\x1b[0m"
COLORS_REFUSED = "--surprise: colors need a terminal that shows them, and NO_COLOR not set; --json gives numbers"


def can_color() -> bool:
    """Returns whether stdout is a terminal that shows colors, and NO_COLOR is not set (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def colored(chunks: Iterable[Chunk]) -> Iterator[str]:
    """Colors chunks for a terminal, each character by its band, and makes control characters visible.

    Line ends get no color: it would fill the rest of the line.
    """
    for chunk in chunks:
        bands = zip(chunk.text, (bisect_right(LIMITS, n - 1e-9) for n in chunk.nats), strict=True)
        for band, group in itertools.groupby(bands, key=lambda pair: pair[1] if pair[0] != "\n" else 0):
            shown, color = visible("".join(character for character, _ in group), keep="\n\t"), BANDS[band][2]
            yield f"{color}{shown}{RESET}" if color else shown


def legend() -> str:
    """Explains the colors in one line."""
    first, *others = [f"{100 * probability:g} %" for probability, _, _ in BANDS[:-1]]
    ranges = [f"{first} or more", *others, "less"]
    names = [f"{color}{name}{RESET}" if color and sys.stderr.isatty() else name for _, name, color in BANDS]
    pairs = ", ".join(f"{name} {range_}" for name, range_ in zip(names, ranges, strict=True))
    return f"probability of each character: {pairs}"
