"""Draws curves as SVG: plain shapes that follow the colors of the reader's screen, with a text that says the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from charnet.cli.console import shown

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, GAP = 420, 260, 56, 40, 34, 12  # pixels of a panel and its margins
TICKS = 5
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito (2008)
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # for readers who see no colors
STYLE = (
    "svg{background:#fff;font:12px sans-serif}text{fill:#222}.axis{stroke:#888}.grid{stroke:#ddd}"
    "@media (prefers-color-scheme:dark){svg{background:#111}text{fill:#ddd}.grid{stroke:#333}}"
)


@dataclass(frozen=True)
class Line:
    """A curve: a name, and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """Curves over one axis."""

    title: str
    x_label: str
    lines: Sequence[Line]


def to_svg(panels: Sequence[Panel], y_label: str, description: str) -> str:
    """Draws panels side by side; all have the same vertical axis.

    Args:
        description: what the figure shows, for those who cannot see it.
    """
    points = [y for panel in panels for line in panel.lines for y in line.y]
    low, high = _range(points)
    parts = [_panel(panel, number, low, high) for number, panel in enumerate(panels)]
    legend = "".join(_legend(line.name, number) for number, line in enumerate(panels[0].lines))
    width, height = len(panels) * (WIDTH + GAP), HEIGHT + 18 * len(panels[0].lines) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" width="{width}">'
        f"<title>{_text(y_label)}</title><desc>{_text(description)}</desc><style>{STYLE}</style>"
        f"{''.join(parts)}{legend}</svg>\n"
    )


def _panel(panel: Panel, number: int, low: float, high: float) -> str:
    left, right = number * (WIDTH + GAP) + LEFT, number * (WIDTH + GAP) + WIDTH
    top, bottom = TOP, HEIGHT - BOTTOM
    first, last = _range([x for line in panel.lines for x in line.x], from_zero=True)

    def across(x: float) -> float:
        return left + (x - first) / (last - first) * (right - left)

    def up(y: float) -> float:
        return bottom - (y - low) / (high - low) * (bottom - top)

    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{_text(panel.title)}</text>']
    for y in _ticks(low, high):
        parts.append(f'<path class="grid" d="M{left} {up(y):.1f}H{right}"/>')
        parts.append(f'<text x="{left - 6}" y="{up(y) + 4:.1f}" text-anchor="end">{y:.4g}</text>')
    for x in _ticks(first, last):
        parts.append(f'<text x="{across(x):.1f}" y="{bottom + 16}" text-anchor="middle">{_short(x)}</text>')
    parts.append(f'<path class="axis" fill="none" d="M{left} {top}V{bottom}H{right}"/>')
    parts.append(f'<text x="{right}" y="{bottom + 32}" text-anchor="end">{_text(panel.x_label)}</text>')
    for index, line in enumerate(panel.lines):
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.x, line.y, strict=True))
        parts.append(f'<polyline fill="none" stroke-width="2" {_stroke(index)} points="{path}"/>')
    return "".join(parts)


def _legend(name: str, number: int) -> str:
    y = HEIGHT + 18 * number
    line = f'<path stroke-width="2" {_stroke(number)} d="M{LEFT} {y}h24"/>'
    return f'{line}<text x="{LEFT + 32}" y="{y + 4}">{_text(name)}</text>'


def _stroke(number: int) -> str:
    dash = DASHES[number // len(COLORS) % len(DASHES)]
    return f'stroke="{COLORS[number % len(COLORS)]}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _text(text: str) -> str:
    """Returns a text for XML, which has no control characters."""
    return escape(shown(text), {'"': "&quot;"})


def _range(values: Sequence[float], *, from_zero: bool = False) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    low = min(0.0, low) if from_zero else low
    return (low, high) if high > low else (low - 0.5, low + 0.5)


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

    >>> _short(1_500_000), _short(20_000), _short(30)
    ('1.5 M', '20 k', '30')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g} {letter}"
    return f"{number:g}"
