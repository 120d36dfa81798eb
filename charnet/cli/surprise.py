"""Characters in colours that say how unexpected they were.

The colours differ in brightness as well as in hue, and the last one is bold: they can be told apart without seeing red,
green or blue.
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

# The least likely character of each band but the last, what the band is called, and how it is drawn.
BANDS = (
    (0.25, "plain", ""),
    (0.05, "pale", "\x1b[38;5;16;48;5;153m"),
    (0.01, "blue", "\x1b[38;5;16;48;5;75m"),
    (0.002, "dark", "\x1b[38;5;231;48;5;25m"),
    (0.0, "orange", "\x1b[1;38;5;16;48;5;214m"),
)
LIMITS = [-math.log(likely) for likely, _, _ in BANDS[:-1]]  # nats
RESET = "\x1b[0m"
NO_COLOURS = "--surprise: colours need a terminal that has them and no NO_COLOR; --json gives numbers"


def possible() -> bool:
    """Whether stdout is a terminal that shows colours, and nobody asked for none (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def colored(pieces: Iterable[Chunk]) -> Iterator[str]:
    """Pieces for a terminal: harmless, each character in the colour of its band. Line ends have none, or the colour
    would fill the line."""
    for text, nats in pieces:
        marked = zip(text, (bisect_right(LIMITS, n - 1e-9) for n in nats), strict=True)
        for band, group in itertools.groupby(marked, key=lambda pair: pair[1] if pair[0] != "\n" else 0):
            shown, colour = visible("".join(character for character, _ in group), keep="\n\t"), BANDS[band][2]
            yield f"{colour}{shown}{RESET}" if colour else shown


def legend() -> str:
    """What the colours mean, in one line."""
    first, *others = [f"{100 * likely:g} %" for likely, _, _ in BANDS[:-1]]
    shares = [f"{first} or more", *others, "less"]
    names = [f"{colour}{name}{RESET}" if colour and sys.stderr.isatty() else name for _, name, colour in BANDS]
    return "how likely each was: " + ", ".join(f"{name} {share}" for name, share in zip(names, shares, strict=True))
