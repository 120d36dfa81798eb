"""The live display of a training on a terminal. The only module that imports rich.

Import it only where something is drawn: rich takes as long to load as the rest of the command line.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from charnet.cli import messages
from charnet.cli.console import folded, note, shown, visible
from charnet.cli.history import RunHistory, TransferRate
from charnet.cli.tables import curve, format_duration, format_loss

if TYPE_CHECKING:
    from charnet.training.conclusion import Conclusion
    from charnet.training.events import Event

SECONDS_BETWEEN_UPDATES = 0.2
LINES_OF_SAMPLE = 6


def terminal(stderr: TextIO) -> Console | None:
    """Returns a rich console on stderr, or None on a terminal that cannot move its cursor."""
    console = Console(file=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    return None if console.is_dumb_terminal else console


class LiveDisplay:
    """Shows a bar, the losses, a curve and a few lines that the model writes now.

    Errors of the terminal are ignored: the training continues without its display.
    """

    def __init__(self, console: Console, rate: TransferRate) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.history = RunHistory()
        self.rate = rate
        self.footnote = ""

    def __enter__(self) -> LiveDisplay:
        with contextlib.suppress(OSError):
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self.live.stop()

    def starting(self) -> None:
        self._update(f"{self.rate.action} ...")

    def reading(self, done: int, total: int) -> None:
        self.rate.update(done)
        if self.rate.is_due(SECONDS_BETWEEN_UPDATES):
            line = self.rate.line(done, total)
            self._update(Group(line, ProgressBar(total=total, completed=done, width=40)) if total else line)

    def show(self, event: Event) -> None:
        from charnet.training.events import Evaluated, Finished, Metrics, Progress, Started

        self.history.update(event)
        if isinstance(event, Finished):
            self._show_last_state()
        self._print(self.history.lines(event))
        if isinstance(event, Started):
            self._update("")
        elif isinstance(event, Progress | Metrics | Evaluated):
            self._refresh()

    def conclude(self, conclusion: Conclusion) -> None:
        self.history.conclusion = conclusion

    def stopping(self) -> None:
        self.footnote = messages.STOPPING
        self._refresh()

    def aborted(self) -> None:
        self._update("")
        note(messages.aborted(self.history.started))

    def _show_last_state(self) -> None:
        """Ends the live display and leaves its last state on the screen."""
        self.footnote = ""
        last = self._drawn() if self.history.latest else None
        self._update("")
        if last is not None:
            with contextlib.suppress(OSError):
                self.console.print(last)

    def _refresh(self) -> None:
        self._update(self._drawn() if self.history.latest else self.footnote)

    def _update(self, content: RenderableType) -> None:
        with contextlib.suppress(OSError):
            self.live.update(content, refresh=True)

    def _print(self, lines: list[str]) -> None:
        with contextlib.suppress(OSError):
            for line in lines:
                self.console.print(shown(line), soft_wrap=True)

    def _drawn(self) -> RenderableType:
        parts: list[RenderableType] = [self._bar(), self._losses()]
        if self.history.sample:
            parts.append(self._sample())
        if self.footnote:
            parts.append(Text(self.footnote, "bold"))
        return Group(*parts)

    def _bar(self) -> Table:
        now, steps = self.history.latest, self.history.steps
        assert now is not None
        bar = Table.grid(padding=(0, 1), expand=False)
        bar.add_row(
            ProgressBar(total=steps, completed=now.step, width=min(40, max(8, self.console.width - 44))),
            Text(f"{now.step:,}/{steps:,}", no_wrap=True),
            Text(f"{now.chars_per_second:,.0f} chars/s", no_wrap=True),
            Text(f"{format_duration(self.history.seconds_left())} left", no_wrap=True),
        )
        return bar

    def _losses(self) -> Table:
        history = self.history
        assert history.latest is not None
        losses = Table.grid(padding=(0, 2))
        losses.add_row(Text("train", "dim"), Text(format_loss(history.latest.train_nats_per_char)))
        if history.val:
            losses.add_row(Text("validation", "dim"), Text(format_loss(history.val[-1])))
        if history.best:
            nats, step = history.best
            losses.add_row(Text("best", "dim"), Text(f"{format_loss(nats)} at step {step:,}"))
        if len(history.val) > 1:
            width = max(8, min(40, self.console.width - 16))
            losses.add_row(Text("curve", "dim"), Text(curve(history.val, width)))
        return losses

    def _sample(self) -> Text:
        # Folded here, counting the widest that a character can be: rich and terminals disagree on joined emoji.
        text = visible(self.history.sample, keep="\n").expandtabs()
        lines = [part for line in text.split("\n") for part in folded(line, self.console.width)]
        return Text("\n".join(lines[:LINES_OF_SAMPLE]), style="italic cyan", no_wrap=True)
