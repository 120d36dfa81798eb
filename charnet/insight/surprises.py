"""How unexpected a character was, in three levels: where they begin, what they are called, how a page shows them.

`eval --show`, `sample --surprise` and all pages have these levels. The terminal's codes for them are in `cli.surprise`.
A page shows a surprise by a blue line below it, a great one by an orange ground: the shape alone tells them apart.
"""

from __future__ import annotations

import math

from charnet.insight import html

PROBABILITIES = (0.1, 0.01)  # of a character: below the first one it is a surprise, below the second a great one
NAMES = ("expected", "a surprise", "a great surprise")
LIMITS = tuple(-math.log(probability) for probability in PROBABILITIES)  # nats
ROUNDING = 1e-9


def level(nats: float) -> int:
    """Returns how unexpected a character was: 0, 1 or 2.

    >>> [level(-math.log(probability)) for probability in (0.5, 0.1, 0.09, 0.01, 0.009)]
    [0, 0, 1, 1, 2]
    """
    return (nats > LIMITS[0] + ROUNDING) + (nats > LIMITS[1] + ROUNDING)


def meanings() -> list[str]:
    """Returns the names of the levels, each with what it means.

    >>> meanings()
    ['expected', 'a surprise (under 10 %)', 'a great surprise (under 1 %)']
    """
    ranges = ["", *(f" (under {100 * probability:g} %)" for probability in PROBABILITIES)]
    return [name + range_ for name, range_ in zip(NAMES, ranges, strict=True)]


def legend() -> str:
    """Returns the legend of a page, as markup."""
    shown = (f'<span class="s{number}">{html.text(meaning)}</span>' for number, meaning in enumerate(meanings()))
    return " ".join(shown)


def style() -> str:
    """Returns the rules for elements of the classes s1 and s2, and for a legend of the class `key`."""
    return html.asset("surprises.css")


def script() -> str:
    """Returns the function `surpriseLevel(nats)` for pages."""
    return f"const SURPRISES = {list(PROBABILITIES)};\n{html.asset('surprises.js')}"
