"""Draws two figures of the page of `charnet insight` side by side: python tests/bench/inside_picture.py RUN"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import charnet
from charnet.insight.svg import STYLE

PICTURE = Path(charnet.__file__).parent / "guide" / "pictures" / "inside.svg"
SHOWN = {  # figures by the beginning of their names, and what stands above them
    "How far it remembers": "How far it remembers (nats per character)",
    "How often gates are shut or open": "How often gates are shut or open (percent)",
}
WIDTH, HEIGHT, TOP = 440, 340, 24  # pixels of a figure, and of the line above it
PAPER = (
    "text{font-family:sans-serif;fill:#222}#paper{fill:#fff}"
    "@media (prefers-color-scheme:dark){#paper{fill:#111}text{fill:#ddd}}"
)


def picture(page: str) -> str:
    """Returns the first figures of these names in a page."""
    figures = re.findall(r'<svg class="figure".*?</svg>', page, re.DOTALL)
    chosen = [next(figure for figure in figures if f"<title>{name}" in figure) for name in SHOWN]
    described = " ".join(re.findall(r"<desc>(.*?)</desc>", "".join(chosen), re.DOTALL))
    placed = "".join(
        _placed(figure, heading, WIDTH * number)
        for number, (figure, heading) in enumerate(zip(chosen, SHOWN.values(), strict=True))
    )
    size = f'viewBox="0 0 {WIDTH * len(chosen)} {HEIGHT}" width="{WIDTH * len(chosen)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>Inside a model</title>'
        f'<desc>{described}</desc><style>{STYLE}{PAPER}</style><rect id="paper" width="100%" height="100%"/>'
        f"{placed}</svg>\n"
    )


def _placed(figure: str, heading: str, x: int) -> str:
    height = re.search(r'viewBox="0 0 \d+ (\d+)"', figure)
    assert height
    inner = figure.replace("<svg ", f'<svg x="{x}" y="{TOP}" height="{height[1]}" ', 1)
    return f'<text x="{x + 20}" y="{TOP}" font-size="15" font-weight="bold">{heading}</text>{inner}'


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        subprocess.run([sys.executable, "-m", "charnet", "insight", sys.argv[1], "-o", page], check=True)
        PICTURE.write_text(picture(page.read_text(encoding="utf-8")), encoding="utf-8")
