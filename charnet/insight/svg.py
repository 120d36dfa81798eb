"""Draws figures as SVG: plain shapes that follow the colors of the reader's screen, with a text that says the same."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from charnet.data.printable import xml_text as xml_text

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, GAP = 420, 260, 56, 40, 34, 20  # pixels of a panel and its margins
TICKS = 5
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NARROWEST_LABEL = 34  # pixels from one label of an axis to the next
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito (2008)
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # for readers who see no colors
STYLE = (
    "svg.figure{font:12px sans-serif;color:#222}.figure text{fill:currentColor}.figure .axis{stroke:#888}"
    ".figure .grid{stroke:#8884}"
    "@media (prefers-color-scheme:dark){svg.figure{color:#ddd}}"
)
ALONE = (  # not inside a page
    "svg.figure{background:#fff;max-width:100%;height:auto}"
    "@media (prefers-color-scheme:dark){svg.figure{background:#111}}"
)
BEGINNING = 0.15  # of a curve, which may be steep


@dataclass(frozen=True)
class Line:
    """A curve: a name, its points, and around each point the range `low` to `high`, if there is one.

    `color` and `dash` are numbers in `COLORS` and `DASHES`; by default each line of a panel has its own.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    color: int | None = None
    dash: int = 0


@dataclass(frozen=True)
class Panel:
    """Curves over one axis, or bars: those of several lines stand side by side at each x.

    `log_x` and `log_y` are the bases of logarithmic axes, 0 for linear ones; values that are not positive are left out.
    `range_y` is that of the vertical axis, by default that of the values; a curve ends where it leaves the range.
    `names` stand under the bars 1, 2, 3 ... in place of numbers.
    """

    title: str
    x_label: str
    lines: Sequence[Line] = field(default=())
    bars: bool = False
    log_x: int = 0
    log_y: int = 0
    range_y: tuple[float, float] | None = None
    names: tuple[str, ...] = ()


def to_svg(panels: Sequence[Panel], y_label: str, description: str, *, title: str = "", alone: bool = True) -> str:
    """Draws panels side by side, with one legend.

    Args:
        y_label: what the vertical axis of all panels is.
        description: what the figure shows, for those who cannot see it.
        title: of the figure, where the titles of the panels do not say it; its name for those who cannot see it.
        alone: the figure is a file of its own, with its style; a page has `STYLE` in its own.
    """
    lines = panels[0].lines if panels else []
    parts = [_panel(panel, number) for number, panel in enumerate(panels)]
    legend = "".join(map(_legend, lines, range(len(lines)))) if len(lines) > 1 else ""
    rows = len(lines) if legend else 0
    width, height = len(panels) * (WIDTH + GAP), HEIGHT + 18 * rows + GAP
    style = f"<style>{STYLE}{ALONE}</style>" if alone else ""
    return (
        f'<svg class="figure" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        f' width="{width}"><title>{xml_text(_name(panels, y_label, title))}</title>'
        f"<desc>{xml_text(description)}</desc>{style}{''.join(parts)}{legend}</svg>\n"
    )


def _name(panels: Sequence[Panel], y_label: str, title: str) -> str:
    """Returns what a figure is called where it cannot be seen.

    >>> _name([Panel("layer 1", "gate")], "percent", "Open gates"), _name([Panel("speed", "steps")], "speed", "")
    ('Open gates: layer 1 (percent)', 'speed')
    """
    name = ": ".join(filter(None, (title, ", ".join(panel.title for panel in panels))))
    return name if y_label in ("", name) else f"{name} ({y_label})"


def same_range(panels: Sequence[Sequence[Line]]) -> tuple[float, float]:
    """Returns the range of all values of some panels, for a vertical axis that they share."""
    return _range([y for lines in panels for line in lines for y in line.y])


def later_range(lines: Sequence[Line]) -> tuple[float, float]:
    """Returns the range of the values of curves after their beginning."""
    return _range([y for line in lines for y in line.y[_end_of_beginning(line.x) :]])


def _end_of_beginning(x: Sequence[float]) -> int:
    """Returns the place of the last point of the beginning of a curve."""
    return max(0, bisect_right(x, BEGINNING * x[-1]) - 1) if len(x) else 0


@dataclass(frozen=True)
class _Axis:
    """From values to pixels."""

    first: float
    last: float
    begin: float
    end: float
    base: int

    def pixel(self, value: float) -> float:
        first, last, at = self._scaled(self.first), self._scaled(self.last), self._scaled(value)
        return self.begin + (at - first) / (last - first) * (self.end - self.begin)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.base else value

    def ticks(self) -> list[float]:
        """Returns round numbers on the axis."""
        if not self.base:
            return _ticks(self.first, self.last)
        low, high = (math.log(each, self.base) for each in (self.first, self.last))
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        room = abs(self.end - self.begin) / NARROWEST_LABEL
        return [float(self.base) ** power for power in powers[:: max(1, math.ceil(len(powers) / room))]]


def _panel(panel: Panel, number: int) -> str:
    left, right = number * (WIDTH + GAP) + LEFT, number * (WIDTH + GAP) + WIDTH
    top, bottom = TOP, HEIGHT - BOTTOM
    lines = [_visible(line, panel) for line in panel.lines]
    xs = [x for line in lines for x in line.x]
    ys = [y for line in lines for y in (*line.y, *line.low, *line.high)]
    if panel.bars:
        edges = [_edges(x, lines[0].x, panel.log_x) for x in xs]
        xs, ys = [edge for pair in edges for edge in pair], [0.0, *ys]
    across = _Axis(*_range(xs, from_zero=not (panel.log_x or panel.bars), log=panel.log_x), left, right, panel.log_x)
    up = _Axis(*(panel.range_y or _range(ys, log=panel.log_y)), bottom, top, panel.log_y)
    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{xml_text(panel.title)}</text>']
    for y in up.ticks():
        parts.append(f'<path class="grid" d="M{left} {up.pixel(y):.1f}H{right}"/>')
        parts.append(f'<text x="{left - 6}" y="{up.pixel(y) + 4:.1f}" text-anchor="end">{_short(y)}</text>')
    labels = [(i + 1.0, name) for i, name in enumerate(panel.names)] or [(x, _short(x)) for x in across.ticks()]
    for value, label in labels:
        at = across.pixel(value)
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{xml_text(label)}</text>')
    parts.append(f'<path class="axis" fill="none" d="M{left} {top}V{bottom}H{right}"/>')
    parts.append(f'<text x="{right}" y="{bottom + 32}" text-anchor="end">{xml_text(panel.x_label)}</text>')
    for index, line in enumerate(lines):
        if panel.bars:
            parts.append(_bars(line, index, len(lines), panel.log_x, across.pixel, up.pixel))
        else:
            inside = _cut(line, *panel.range_y) if panel.range_y else line
            parts.append(_curve(inside, index, across.pixel, up.pixel))
    return "".join(parts)


def _visible(line: Line, panel: Panel) -> Line:
    """Returns a line without the points that its axes cannot show."""

    def fits(x: float, y: float) -> bool:
        return math.isfinite(x) and math.isfinite(y) and (x > 0 or not panel.log_x) and (y > 0 or not panel.log_y)

    at = [i for i, (x, y) in enumerate(zip(line.x, line.y, strict=True)) if fits(x, y)]
    low = [line.low[i] if not panel.log_y else max(line.low[i], line.y[i] / 1e3) for i in at] if line.low else ()
    high = [line.high[i] for i in at] if line.high else ()
    return replace(line, x=[line.x[i] for i in at], y=[line.y[i] for i in at], low=low, high=high)


def _cut(line: Line, low: float, high: float) -> Line:
    """Returns the part of a line from where it comes into a range to where it last leaves it; bands stay whole.

    >>> _cut(Line("", [0, 1, 2], [4, 2, 1]), 1, 3)
    Line(name='', x=[0.5, 1, 2], y=[3.0, 2, 1], low=(), high=(), color=None, dash=0)
    """
    inside = [i for i, y in enumerate(line.y) if low <= y <= high]
    if line.low or not inside or len(inside) == len(line.y):
        return line if line.low or inside else replace(line, x=(), y=())
    first, last = inside[0], inside[-1]
    x, y = list(line.x[first : last + 1]), [min(max(each, low), high) for each in line.y[first : last + 1]]
    if first:
        bound = high if line.y[first - 1] > high else low
        share = (bound - line.y[first]) / (line.y[first - 1] - line.y[first])
        x, y = [line.x[first] + share * (line.x[first - 1] - line.x[first]), *x], [float(bound), *y]
    return replace(line, x=x, y=y)


def _curve(line: Line, index: int, across: Callable[[float], float], up: Callable[[float], float]) -> str:
    def path(x: Sequence[float], y: Sequence[float]) -> str:
        return " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in zip(x, y, strict=True))

    band = ""
    if line.low and line.high:
        around = f"{path(line.x, line.high)} {path(line.x[::-1], line.low[::-1])}"
        band = f'<polygon fill="{color(line, index)}" fill-opacity="0.15" points="{around}"/>'
    if len(line.x) == 1:  # a path of one point is not drawn
        return (
            f'{band}<circle fill="{color(line, index)}" r="3" cx="{across(line.x[0]):.1f}" cy="{up(line.y[0]):.1f}"/>'
        )
    return f'{band}<polyline fill="none" stroke-width="2" {_stroke(line, index)} points="{path(line.x, line.y)}"/>'


def _edges(x: float, xs: Sequence[float], log: int) -> tuple[float, float]:
    """Returns where a bar begins and ends: half way to its neighbors, by ratio on a logarithmic axis."""
    if len(xs) < 2:
        return (x / 2**0.5, x * 2**0.5) if log else (x - 0.5, x + 0.5)
    if log:
        half = math.sqrt(xs[1] / xs[0])
        return x / half, x * half
    return x - (xs[1] - xs[0]) / 2, x + (xs[1] - xs[0]) / 2


def _bars(
    line: Line, index: int, count: int, log: int, across: Callable[[float], float], up: Callable[[float], float]
) -> str:
    parts = []
    for x, y in zip(line.x, line.y, strict=True):
        left, right = (across(edge) for edge in _edges(x, line.x, log))
        gap = (right - left) / 8 if count > 1 else 0.0
        left, width = left + gap, (right - left - 2 * gap) / count
        size = f'width="{max(1.0, width - 1):.1f}" height="{up(0) - up(y):.1f}"'
        parts.append(f'<rect x="{left + index * width:.1f}" y="{up(y):.1f}" {size}/>')
    return f'<g fill="{color(line, index)}">{"".join(parts)}</g>'


def _legend(line: Line, index: int) -> str:
    y = HEIGHT + 18 * index
    path = f'<path stroke-width="2" {_stroke(line, index)} d="M{LEFT} {y}h24"/>'
    return f'{path}<text x="{LEFT + 32}" y="{y + 4}">{xml_text(line.name)}</text>'


def color(line: Line, index: int) -> str:
    """Returns the color of a line, which is the `index`-th of its panel."""
    return COLORS[(index if line.color is None else line.color) % len(COLORS)]


def _stroke(line: Line, index: int) -> str:
    dash = DASHES[(index // len(COLORS) if line.color is None else line.dash) % len(DASHES)]
    return f'stroke="{color(line, index)}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _range(values: Sequence[float], *, from_zero: bool = False, log: int = 0) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)] or [1.0 if log else 0.0]
    low, high = min(finite), max(finite)
    low = min(0.0, low) if from_zero else low
    if high > low:
        return low, high
    return (low / 2, low * 2) if log else (low - 0.5, low + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Returns round numbers in a range.

    >>> _ticks(1.32, 2.1)
    [1.4, 1.6, 1.8, 2.0]
    """
    raw = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    return [round(number * step, 10) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(number: float) -> str:
    """Formats a number of an axis.

    >>> _short(1_500_000), _short(20_000), _short(30), _short(1024), _short(1e-5), _short(1e12)
    ('1.5 M', '20 k', '30', '1,024', '10⁻⁵', '10¹²')
    """
    power = round(math.log10(number)) if number > 0 else 0
    if not -4 < power < 10 and math.isclose(number, 10.0**power):
        return "10" + str(power).translate(RAISED)
    if abs(number) < 1e4:
        return f"{number:,g}" if abs(number) >= 1000 else f"{number:.4g}"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g} {letter}"
    return f"{number:g}"
