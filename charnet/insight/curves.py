"""Draws losses while runs learn, over the characters that they have read and over the time that they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from charnet.errors import shortened
from charnet.insight.svg import Line, Panel, later_range

MOST_POINTS = 400  # of a curve
LONGEST_NAME = 48
UNITS = (
    (7200.0, 3600.0, "hours"),
    (180.0, 60.0, "minutes"),
    (0.0, 1.0, "seconds"),
)  # of times from the first number on


@dataclass(frozen=True)
class Losses:
    """A curve: nats per character, and at each value the characters read and the seconds of training so far."""

    name: str
    characters: Sequence[float]
    seconds: Sequence[float]
    nats: Sequence[float]


def loss_panels(curves: Sequence[Losses], symbol: str = "character") -> list[Panel]:
    """Returns a panel over characters and one over time, with one vertical axis: from the lowest loss to the highest
    after the steep beginning."""
    by_characters = [line(each.name, each.characters, each.nats) for each in curves]
    longest = max((each.seconds[-1] for each in curves if each.seconds), default=0.0)
    size, unit = next((size, unit) for least, size, unit in UNITS if longest >= least)
    by_time = [line(each.name, [second / size for second in each.seconds], each.nats) for each in curves]
    losses = later_range(by_characters)
    return [
        Panel(f"loss in nats, by {symbol}s read", f"{symbol}s", by_characters, range_y=losses),
        Panel("loss in nats, by time of training", unit, by_time, range_y=losses),
    ]


def line(name: str, x: Sequence[float], y: Sequence[float]) -> Line:
    """Returns a line of at most so many points, the first and the last among them; none if some have no place."""
    if len(x) != len(y):  # of files of other versions
        x = y = []
    if len(x) > MOST_POINTS:
        at = [round(i * (len(x) - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)]
        x, y = [x[i] for i in at], [y[i] for i in at]
    return Line(shortened(name, LONGEST_NAME), x, y)
