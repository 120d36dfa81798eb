"""Records a training and a text on a terminal as an animated SVG: python tests/bench/recording.py [TEXT TIME]

Needs pip install pyte.

Runs the real commands in a terminal of 80 x 24, looks at its screen several times a second, and draws each screen.
What stands still is drawn once. Readers who asked for less motion see the last screen.
"""

from __future__ import annotations

import itertools
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pyte

import charnet
from charnet.data.printable import xml_text

PICTURE = Path(charnet.__file__).parent / "guide" / "pictures" / "first-run.svg"
COLUMNS, ROWS = 66, 22
CELL, LINE, MARGIN = 8.4, 18, 12  # pixels
SECONDS_A_FRAME, FASTER, LAST = 0.2, 4.0, 4.0  # of the picture; as fast as the recording; on the last screen
TYPING = 0.04  # seconds for each character of a command
NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
LIGHT = ("#1f2328", "#b3261e", "#116329", "#7a5200", "#0550ae", "#8250df", "#1b7c83", "#57606a")
DARK = ("#8b949e", "#ff7b72", "#3fb950", "#d29922", "#79c0ff", "#d2a8ff", "#76e3ea", "#c9d1d9")
Frame = tuple[str, ...]  # its lines, as SVG


def record(commands: list[list[str]], folder: str) -> list[Frame]:
    """Returns the screens, at equal times of the picture."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream, frames = pyte.ByteStream(screen), list[Frame]()
    for command in commands:
        shown = "$ " + " ".join(["charnet", *command])
        for end in range(2, len(shown), round(SECONDS_A_FRAME / TYPING)):
            stream.feed(f"\r\x1b[K{shown[:end]}".encode())
            frames.append(drawn(screen))
        stream.feed(f"\r\x1b[K{shown}\r\n".encode())
        began, at_once = time.monotonic(), len(frames)
        for content in output(command, folder):
            stream.feed(content)
            while (len(frames) - at_once) * SECONDS_A_FRAME * FASTER < time.monotonic() - began:
                frames.append(drawn(screen))
        frames += [drawn(screen)] * round(1 / SECONDS_A_FRAME)
    return frames + [drawn(screen)] * round(LAST / SECONDS_A_FRAME)


def output(command: list[str], folder: str) -> Iterator[bytes]:
    """Runs charnet on a terminal. Yields what it writes, and b"" several times a second."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": ""}
    arguments = [sys.executable, "-m", "charnet", *command]
    with subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment) as work:
        os.close(theirs)
        while work.poll() is None or select.select([ours], [], [], 0)[0]:
            ready, _, _ = select.select([ours], [], [], SECONDS_A_FRAME)
            try:
                yield os.read(ours, 1 << 16) if ready else b""
            except OSError:  # the other end is closed
                break
    os.close(ours)


def drawn(screen: pyte.Screen) -> Frame:
    """Draws each line of a screen: a text for each run of characters of one look, its background behind it."""
    lines = []
    for row in range(ROWS):
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        parts, begin = list[str](), 0
        for look, run in itertools.groupby(cells, key=lambda cell: (cell.fg, cell.bg, cell.bold, cell.underscore)):
            text = "".join(cell.data for cell in run)
            parts.append(_run(text, begin, *look))
            begin += len(text)
        lines.append("".join(parts))
    return tuple(lines)


def _run(text: str, begin: int, front: str, back: str, bold: bool, underlined: bool) -> str:
    if not text.strip() and back == "default":
        return ""
    x = MARGIN + begin * CELL
    parts = []
    if back != "default":
        width = len(text) * CELL
        parts.append(f'<rect x="{x:.1f}" y="-13" width="{width:.1f}" height="{LINE}" fill="{_color(back)}"/>')
    name = "white" if front == "brightblack" else front.removeprefix("bright")  # both are a gray
    look = f' class="{name}"' if name in NAMES else f' style="fill:{_color(front)}"' if front != "default" else ""
    look += ' font-weight="bold"' * bold + ' text-decoration="underline"' * underlined
    width = len(text.rstrip()) * CELL
    parts.append(f'<text x="{x:.1f}" textLength="{width:.1f}"{look}>{xml_text(text.rstrip())}</text>' if width else "")
    return "".join(parts)


def _color(name: str) -> str:
    return DARK[NAMES.index(name)] if name in NAMES else f"#{name}"


def picture(frames: list[Frame], title: str, description: str) -> str:
    """Draws frames one after the other. Each different line is drawn once, and used where it is seen."""
    numbers = {line: number for number, line in enumerate(dict.fromkeys(line for frame in frames for line in frame))}
    kinds = list(itertools.groupby(frames))
    lengths = [len(list(group)) for _, group in itertools.groupby(frames)]
    total, width, height = len(frames) * SECONDS_A_FRAME, 2 * MARGIN + COLUMNS * CELL, 2 * MARGIN + ROWS * LINE
    parts, rules, begin = list[str](), list[str](), 0
    for number, ((frame, _), length) in enumerate(zip(kinds, lengths, strict=True)):
        first, last = 100 * begin / len(frames), 100 * (begin + length) / len(frames)
        before = "0%{opacity:0}" if number else ""
        rules.append(
            f"@keyframes k{number}{{{before}{first:.3f}%{{opacity:1}}{last:.3f}%{{opacity:0}}100%{{opacity:0}}}}"
            f"#f{number}{{animation:k{number} {total:.1f}s step-end infinite}}"
        )
        uses = "".join(f'<use href="#l{numbers[line]}" y="{row * LINE}"/>' for row, line in enumerate(frame) if line)
        parts.append(f'<g id="f{number}" class="f">{uses}</g>')
        begin += length
    lines = "".join(f'<g id="l{number}">{line}</g>' for line, number in numbers.items() if line)
    colors = "".join(f".{name}{{fill:{color}}}" for name, color in zip(NAMES, LIGHT, strict=True))
    dark = "".join(f".{name}{{fill:{color}}}" for name, color in zip(NAMES, DARK, strict=True))
    style = (
        f"text{{font:14px ui-monospace,Menlo,Consolas,monospace;white-space:pre;fill:#1f2328}}{colors}"
        ".paper{fill:#f6f8fa;stroke:#d0d7de}.f{opacity:0}.f:last-child{opacity:1}"
        f"@media (prefers-color-scheme:dark){{text{{fill:#e6edf3}}.paper{{fill:#0d1117;stroke:#30363d}}{dark}}}"
        f"@media (prefers-reduced-motion:no-preference){{.f:last-child{{opacity:0}}{''.join(rules)}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" role="img">'
        f"<title>{xml_text(title)}</title><desc>{xml_text(description)}</desc><style>{style}</style>"
        f'<rect class="paper" x=".5" y=".5" rx="8" width="{width - 1:.0f}" height="{height - 1}"/>'
        f'<defs>{lines}</defs><g transform="translate(0 {MARGIN + 14})">{"".join(parts)}</g></svg>\n'
    )


def main() -> None:
    text, seconds = sys.argv[1:] if len(sys.argv) > 2 else ("ferry-book", "30s")
    commands = [
        ["train", text, "--for", seconds],
        ["sample", "--surprise", "--width", str(COLUMNS - 4), "--length", "500", "--seed", "3"],
    ]
    with tempfile.TemporaryDirectory() as folder:
        frames = record(commands, folder)
    title = f"charnet trains for {seconds} and writes"
    description = "A terminal: the losses fall while charnet trains. Then it writes a text, colored by surprise."
    PICTURE.write_text(picture(frames, title, description), encoding="utf-8")


if __name__ == "__main__":
    main()
