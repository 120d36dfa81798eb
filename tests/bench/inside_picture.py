"""Takes two figures out of the page of `charnet insight`: python tests/bench/inside_picture.py RUN"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import charnet
from charnet.insight.svg import STYLE

FOLDER = Path(charnet.__file__).parent / "guide" / "pictures"
SHOWN = {  # the files, the beginning of the name of each figure, and what stands above it
    "memory.svg": ("How far it remembers", "How far it remembers (nats per character)"),
    "gates.svg": ("How often gates are shut or open", "How often gates are shut or open (percent)"),
}
WIDTH, HEIGHT, TOP = 440, 340, 24  # pixels of a figure, and of the line above it
PAPER = (
    "text{font-family:sans-serif;fill:#222}#paper{fill:#fff}"
    "@media (prefers-color-scheme:dark){#paper{fill:#111}text{fill:#ddd}}"
)


def picture(figure: str, heading: str) -> str:
    """Returns a figure as a file of its own, with its heading and its description."""
    height = re.search(r'viewBox="0 0 \d+ (\d+)"', figure)
    described = re.search(r"<desc>(.*?)</desc>", figure, re.DOTALL)
    assert height
    assert described
    placed = figure.replace("<svg ", f'<svg y="{TOP}" height="{height[1]}" ', 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">'
        f"<title>{heading}</title><desc>{described[1]}</desc><style>{STYLE}{PAPER}</style>"
        f'<rect id="paper" width="100%" height="100%"/>'
        f'<text x="20" y="{TOP}" font-size="15" font-weight="bold">{heading}</text>{placed}</svg>\n'
    )


def draw(page: str) -> None:
    """Writes the first figure of each name in a page."""
    figures = re.findall(r'<svg class="figure".*?</svg>', page, re.DOTALL)
    for file, (name, heading) in SHOWN.items():
        figure = next(figure for figure in figures if f"<title>{name}" in figure)
        (FOLDER / file).write_text(picture(figure, heading), encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        subprocess.run([sys.executable, "-m", "charnet", "insight", sys.argv[1], "-o", page], check=True)
        draw(page.read_text(encoding="utf-8"))
