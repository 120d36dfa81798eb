"""Draws curves with axes in the cells of a terminal, in braille: each cell has two dots across and four down."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

EMPTY = 0x2800  # braille without a dot
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column and row in a cell
FIRST_PART = 0.2  # of a curve so far: it falls so steeply there that the rest would look level; cut off at the top
LEAST_SPAN = 0.02  # of the values
FEWEST_COLUMNS = 8
MOST_ABOVE = 20.0  # times the height: where a line from beyond the upper edge comes from

Segment = tuple[str, str]  # a text and the name of its style
Line = list[Segment]


@dataclass(frozen=True)
class Series:
    """A curve: its values over places, its style, and whether its points are joined."""

    x: Sequence[float]
    y: Sequence[float]
    style: str
    joined: bool = False


def draw(series: Sequence[Series], x_end: float, x_labels: Sequence[str], width: int, height: int) -> list[Line]:
    """Draws curves from 0 to `x_end`.

    Args:
        series: later ones lie over earlier ones.
        x_labels: below the axis, spread evenly from its beginning to its end.
        width, height: cells, with the axes: at least 12 and 4.

    Returns:
        Lines; none if there is nothing to draw.
    """
    low, high = _range(series)
    if high <= low or x_end <= 0:
        return []
    names = [f"{low + (high - low) * share:.2f}" for share in (1.0, 0.5, 0.0)]
    margin = max(map(len, names)) + 2
    columns, rows = width - margin, height - 2
    if columns < FEWEST_COLUMNS:
        return []
    grid = _Grid(columns, rows)
    for each in series:
        grid.add(each, x_end, low, high)
    labeled = {0: names[0], rows - 1: names[2]} | ({rows // 2: names[1]} if rows > 4 else {})
    lines = [
        [(f"{labeled.get(row, ''):>{margin - 2}} {'┤' if row in labeled else '│'}", "axis"), *grid.line(row)]
        for row in range(rows)
    ]
    lines.append([(f"{'':{margin - 1}}└{'─' * columns}", "axis")])
    lines.append([(" " * margin + _spread(x_labels, columns), "axis")])
    return lines


def _range(series: Sequence[Series]) -> tuple[float, float]:
    """Returns the lowest and the highest value that is drawn, rounded to a step that does not change at every point."""
    places = [x for each in series for x in each.x]
    begin = min(places, default=0.0) + FIRST_PART * (max(places, default=0.0) - min(places, default=0.0))
    shown = [y for each in series for x, y in zip(each.x, each.y, strict=True) if x >= begin]
    if not shown:
        return 0.0, 0.0
    low, high = min(shown), max(shown)
    step = max(LEAST_SPAN, 10 ** math.floor(math.log10(high - low)) / 10) if high > low else LEAST_SPAN
    low = math.floor(low / step) * step
    return low, max(math.ceil(high / step), math.floor(low / step) + 1) * step


class _Grid:
    """Dots in cells; each cell has the style of the last curve in it."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._dots = [[0] * columns for _ in range(rows)]
        self._styles = [[""] * columns for _ in range(rows)]

    def add(self, series: Series, x_end: float, low: float, high: float) -> None:
        """Draws a curve; what is above the highest value is left out."""
        across, down = 2 * self._columns - 1, 4 * self._rows - 1
        places = [
            (round(min(1.0, x / x_end) * across), round((1 - min(MOST_ABOVE, (y - low) / (high - low))) * down))
            for x, y in zip(series.x, series.y, strict=True)
        ]
        for place in places:
            self._set(*place, series.style)
        for (x0, y0), (x1, y1) in itertools.pairwise(places) if series.joined else ():
            for step in range(1, count := max(abs(x1 - x0), abs(y1 - y0))):
                self._set(x0 + round((x1 - x0) * step / count), y0 + round((y1 - y0) * step / count), series.style)

    def _set(self, x: int, y: int, style: str) -> None:
        if not 0 <= y < 4 * self._rows:
            return
        row, column = y // 4, x // 2
        self._dots[row][column] |= DOTS[x % 2][y % 4]
        self._styles[row][column] = style

    def line(self, row: int) -> Line:
        """Returns a row as pieces of one style."""
        cells = zip(self._styles[row], self._dots[row], strict=True)
        return [
            ("".join(chr(EMPTY + dots) if dots else " " for _, dots in group), style)
            for style, group in itertools.groupby(cells, key=lambda cell: cell[0])
        ]


def _spread(labels: Sequence[str], columns: int) -> str:
    """Spreads labels evenly over a width; in a narrow one only the first and the last."""
    if sum(map(len, labels)) + 2 * len(labels) > columns:
        labels = labels[:: len(labels) - 1] if len(labels) > 1 else labels
    line = ""
    for at, label in enumerate(labels):
        place = round(at / max(1, len(labels) - 1) * columns)
        begin = min(max(0, place - len(label) // 2), columns - len(label))
        line = f"{line:{max(begin, len(line) + 1 if line else 0)}}{label}"
    return line[:columns]
