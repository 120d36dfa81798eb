"""The live display of a training on a terminal. The only module that imports rich.

Import it only where something is drawn: rich takes as long to load as the rest of the command line.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from charnet.cli import keyboard, messages, screen
from charnet.cli.chart import Line
from charnet.cli.console import cells, fitted, note, shown
from charnet.cli.history import RunHistory, TransferRate

if TYPE_CHECKING:
    from charnet.config import Config
    from charnet.training.conclusion import Conclusion
    from charnet.training.events import Event

SECONDS_BETWEEN_UPDATES = 0.2
LAST_STATE = 18  # lines that stay on the screen at most
STYLES = {
    "done": "green",
    "to do": "bright_black",
    "name": "bright_black",
    "axis": "bright_black",
    "train": "cyan",
    "held out": "bold yellow",
    "words": "",
    "sample": "italic",
    "footnote": "bold",
    "plain": "",
    "": "",
}


def terminal(stderr: TextIO) -> Console | None:
    """Returns a rich console on stderr, or None on a terminal that cannot move its cursor."""
    console = Console(file=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    return None if console.is_dumb_terminal else console


class LiveDisplay:
    """Shows a bar, the losses, their curves and a few lines that the model writes now.

    Errors of the terminal are ignored: the training continues without its display.
    """

    def __init__(self, console: Console, rate: TransferRate) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.history = RunHistory()
        self.rate = rate
        self.clock = screen.Clock()
        self.footnote = ""
        self._keys = keyboard.silent()
        self._drawn: list[int] = []  # the widths of the lines on the screen
        self._width = 0
        self._opening = 0  # lines that say what is trained

    def __enter__(self) -> LiveDisplay:
        self._keys.__enter__()
        with contextlib.suppress(OSError):
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self.live.stop()
        self._keys.__exit__(None, None, None)

    def starting(self) -> None:
        self._update(f"{self.rate.action} ...")

    def reading(self, done: int, total: int) -> None:
        self.rate.update(done)
        if self.rate.is_due(SECONDS_BETWEEN_UPDATES):
            line = self.rate.line(done, total)
            width = min(screen.WIDEST_BAR, self.console.width)
            bar = ProgressBar(total=total, completed=done, width=width)
            self._update(Group(line, bar) if total else line)

    def trying(self, config: Config) -> None:
        self.clock.start()
        self._update(messages.trying(config))

    def show(self, event: Event) -> None:
        from charnet.training.events import Finished, Metrics, Started

        self.history.update(event)
        if isinstance(event, Metrics):
            self.history.stamp(self.clock.seconds)
        if isinstance(event, Finished):
            self._show_last_state()
            self._print(messages.left_out(self.history.started) if self.history.started else [])  # long out of sight
        rows = self._print(self.history.lines(event))
        if isinstance(event, Started):
            self._opening = rows
            self.clock.start()
            self._update("")
        elif not isinstance(event, Finished):
            self._refresh()

    def conclude(self, conclusion: Conclusion) -> None:
        self.history.conclusion = conclusion

    def stopping(self) -> None:
        self.footnote = messages.STOPPING
        self._refresh()

    def aborted(self) -> None:
        self._update("")
        for line in messages.aborted(self.history.started):
            note(line)

    def _show_last_state(self) -> None:
        """Ends the live display and leaves its last state on the screen."""
        self.footnote = ""
        lines = self._lines(min(LAST_STATE, self.console.height)) if self.history.latest else []
        self._update("")
        with contextlib.suppress(OSError):
            if lines:
                self.console.print(_text(lines))

    def _refresh(self) -> None:
        if self.history.latest is None:
            self._update(self.footnote)
            return
        below = self.console.height - self._opening
        lines = self._lines(below if below >= screen.ROOM_FOR_CHART else self.console.height)
        self._update(_text(lines), list(map(screen.width_of, lines)))

    def _lines(self, height: int) -> list[Line]:
        return screen.draw(self.history, self.clock.seconds, self.console.width, height, self.footnote)

    def _update(self, content: RenderableType, widths: list[int] | None = None) -> None:
        with contextlib.suppress(OSError):
            self._reflow()
            self.live.update(content, refresh=True)
        self._drawn, self._width = widths or [], self.console.width

    def _reflow(self) -> None:
        """Moves the cursor to where rich expects it: a terminal that became narrower has wrapped the lines on it."""
        width = max(1, self.console.width)
        if width < self._width:
            extra = sum(max(0, -(-each // width) - 1) for each in self._drawn)
            if extra:
                self.console.file.write(f"\x1b[{extra}A\r\x1b[J")

    def _print(self, lines: list[str]) -> int:
        """Prints lines, and returns how many they were on the screen."""
        width, rows = max(1, self.console.width), 0
        with contextlib.suppress(OSError):
            for line in lines:
                text = shown(line)
                whole = text.startswith("  ")  # a command, to be copied
                for part in [text.rstrip()] if whole else fitted(text, width):
                    self.console.print(part, soft_wrap=True)
                    rows += max(1, -(-cells(part) // width))
        return rows


def _text(lines: list[Line]) -> Text:
    """Returns lines for rich; names and texts in them are no markup."""
    text = Text(no_wrap=True, overflow="crop")
    for at, line in enumerate(lines):
        text.append("\n" if at else "")
        for piece, style in line:
            text.append(piece, STYLES[style])
    return text
