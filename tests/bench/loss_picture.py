"""Draws the loss against time, from the figures of the guide: python tests/bench/loss_picture.py

All on tiny-shakespeare, its last tenth held out. Times are those of whole commands on two cores of Zen 4, but for the
published figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import charnet
from charnet.data.printable import xml_text

PICTURE = Path(charnet.__file__).parent / "guide" / "pictures" / "loss.svg"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 420, 44, 30, 36, 54  # pixels
FIRST, LAST, LOWEST, HIGHEST = 6.0, 1000.0, 1.3, 1.97  # seconds, nats per character
STYLE = (
    "text{font:15px sans-serif;fill:#1f2328}.title{font-weight:bold;font-size:16px}.grid{stroke:#8886}"
    ".a{stroke:#0072b2;fill:#0072b2}.b{stroke:#56b4e9;fill:#56b4e9}.c{stroke:#d55e00;fill:#d55e00}"
    ".d{stroke:#009e73;fill:#009e73}.e{stroke:#cc79a7;fill:#cc79a7}path{fill:none !important;stroke-width:2}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}"
    ".a{stroke:#3b9ae1;fill:#3b9ae1}.b{stroke:#a5daf7;fill:#a5daf7}}"
)


class Curve(NamedTuple):
    """Losses after so many seconds, and the seconds and the loss at which its name stands."""

    name: tuple[str, ...]
    kind: str
    nats: Mapping[float, float]
    at: tuple[float, float]


CURVES = (
    Curve(("charnet --for 5s to 15m",), "a", {8: 1.489, 33: 1.431, 62: 1.408, 300: 1.373, 896: 1.353}, (6.5, 1.335)),
    Curve(("its networks", "alone"), "b", {8: 1.740, 33: 1.503, 62: 1.450, 302: 1.393, 903: 1.369}, (6.5, 1.60)),
    Curve(
        ("an LSTM of 2x128", "as tutorials train it"),
        "e",
        {15: 1.937, 33: 1.720, 62: 1.638, 120: 1.569, 180: 1.556, 302: 1.552, 500: 1.569, 903: 1.614},
        (150, 1.68),
    ),
    Curve(("nanoGPT, settings", "for a processor"), "c", {104: 1.886}, (122, 1.88)),
    Curve(("nanoGPT, published,", "on an A100"), "d", {180: 1.4697}, (210, 1.49)),
)


def across(seconds: float) -> float:
    return LEFT + math.log(seconds / FIRST) / math.log(LAST / FIRST) * (WIDTH - LEFT - RIGHT)


def up(nats: float) -> float:
    return HEIGHT - BOTTOM - (nats - LOWEST) / (HIGHEST - LOWEST) * (HEIGHT - TOP - BOTTOM)


def picture() -> str:
    parts = [f'<text class="title" x="{LEFT}" y="18">Validation loss, nats per character</text>']
    for tenths in range(14, 20):
        y = up(tenths / 10)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.0f}" y2="{y:.0f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{tenths / 10:.1f}</text>')
    for seconds, label in ((10, "10 s"), (30, "30 s"), (60, "1 min"), (300, "5 min"), (900, "15 min")):
        x = across(seconds)
        parts.append(f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">whole command, tiny-shakespeare, two processor cores</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">'
        f"<title>Validation loss against time</title><desc>{xml_text(described())}</desc><style>{STYLE}</style>"
        f"{''.join(parts)}{''.join(map(drawn, CURVES))}</svg>\n"
    )


def drawn(curve: Curve) -> str:
    points = [(across(seconds), up(nats)) for seconds, nats in curve.nats.items()]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="{curve.kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in points)
    x, y = across(curve.at[0]), up(curve.at[1])
    names = "".join(f'<text x="{x:.0f}" y="{y + 17 * i:.0f}">{xml_text(n)}</text>' for i, n in enumerate(curve.name))
    return f'<path class="{curve.kind}" d="{line}"/>{dots}{names}'


def described() -> str:
    """Returns the figures in words, for those who cannot see them."""
    return "; ".join(
        f"{' '.join(curve.name)}: "
        + ", ".join(f"{nats} after {seconds:g} seconds" for seconds, nats in curve.nats.items())
        for curve in CURVES
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
