"""Draws the wings of the package from the table of tests/test_floors.py: python tests/bench/wings_picture.py"""

from __future__ import annotations

import sys
from pathlib import Path

import charnet
from charnet.data.printable import xml_text

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_floors import TABLE

PICTURE = Path(charnet.__file__).parent / "guide" / "pictures" / "wings.svg"
QUESTIONS = {
    "ground": "settings, errors, files that survive a power cut",
    "data": "how does a text become windows of ids?",
    "model": "what is computed for each character?",
    "storage": "what is on disk?",
    "engines": "what comes next, as fast as possible?",
    "generation": "how is a text written?",
    "evaluation": "how well is a text known?",
    "training": "how are weights found, in the time given?",
    "compression": "how is a text stored in fewer bytes?",
    "insight": "why does it write that?",
    "bench": "how fast is this machine?",
    "lesson": "what do runs teach?",
    "exchange": "how do models come and go?",
    "api": "from Python",
    "server": "over HTTP",
    "cli": "on the command line",
}
WIDTH, ROW, BOX, GAP = 560, 54, 46, 8  # pixels
STYLE = (
    "text{font:15px sans-serif;fill:#1f2328}.name{font-weight:bold}.small{font-size:13px}"
    "rect{fill:#eef4fb;stroke:#7a9cc6}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#16202c;stroke:#4c7099}}"
)


def floors() -> list[list[str]]:
    """Returns the wings of each floor, the highest first."""
    found: dict[int, list[str]] = {}
    for line in TABLE.strip().splitlines():
        if not line.startswith(" "):
            number, wing, *_ = line.split()
            if wing in QUESTIONS:
                found.setdefault(int(number), []).append(wing)
    return [found[number] for number in sorted(found, reverse=True)]


def picture() -> str:
    rows, parts = floors(), list[str]()
    for number, wings in enumerate(rows):
        width = (WIDTH - GAP * (len(wings) - 1)) / len(wings)
        for place, wing in enumerate(wings):
            x, y = place * (width + GAP) + 1, number * ROW + 1
            parts.append(f'<rect x="{x:.0f}" y="{y}" width="{width - 2:.0f}" height="{BOX}" rx="5"/>')
            at = f'x="{x + width / 2:.0f}" text-anchor="middle"'
            parts.append(f'<text class="name" {at} y="{y + 19}">{wing}</text>')
            parts.append(f'<text class="small" {at} y="{y + 37}">{xml_text(QUESTIONS[wing])}</text>')
    described = "Each imports only from those below it. From below: " + "; ".join(
        " and ".join(wings) for wings in reversed(rows)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(rows) * ROW}" width="{WIDTH}" role="img">'
        f"<title>The wings of charnet</title><desc>{described}</desc>"
        f"<style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
