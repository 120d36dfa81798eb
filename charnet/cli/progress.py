"""A training as it goes on: a live display on a terminal, plain lines elsewhere, JSON for programs.

The only module that imports rich, and only where something is drawn. A stderr that breaks on the way is no reason to
stop training.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from charnet.cli import messages
from charnet.cli.console import folded, note, visible, write_json
from charnet.cli.tables import curve, format_duration, format_loss, format_size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from charnet.evaluation.baselines import Baselines
    from charnet.training.events import Event, Finished, Metrics, Progress, RolledBack, Started

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_UPDATES = 0.2
LINES_OF_SAMPLE = 6


class TrainingView(Protocol):
    """Shows a training as it goes on; a context manager."""

    def __enter__(self) -> TrainingView: ...
    def __exit__(self, *exception: object) -> None: ...
    def starting(self) -> None:
        """The text is being read, torch is being loaded."""
        ...

    def reading(self, done: int, total: int) -> None:
        """So many bytes of the text are read; of how many, if that is known."""
        ...

    def show(self, report: Event) -> None:
        """Shows one report."""
        ...

    def show_baselines(self, beside: Baselines | None) -> None:
        """What simple means make of the same text; before the last report."""
        ...

    def stopping(self) -> None:
        """A signal came; the training will end after this step."""
        ...

    def left(self) -> None:
        """Training was left at once, in the middle of something."""
        ...


def training_view(*, quiet: bool, json: bool, reading: str = "reading the text") -> TrainingView:
    """The view that fits: JSON lines, nothing, a live display on a terminal, plain lines elsewhere.

    Args:
        reading: what is being done while bytes are counted.
    """
    if json:
        return _JsonLines(quiet=quiet)
    if quiet:
        return _Quiet()
    if sys.stderr.isatty() and sys.stderr.encoding.lower().replace("-", "") == "utf8":
        from rich.console import Console

        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
        if not console.is_dumb_terminal:
            return _LiveDisplay(console, _TransferRate(reading))
    return _PlainLines(_TransferRate(reading))


class _Quiet:
    def __enter__(self) -> _Quiet:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def starting(self) -> None:
        pass

    def reading(self, done: int, total: int) -> None:
        pass

    def show(self, report: Event) -> None:
        pass

    def show_baselines(self, beside: Baselines | None) -> None:
        pass

    def stopping(self) -> None:
        pass

    def left(self) -> None:
        pass


class _EventView(_Quiet):
    """Hands each report to the method for its kind, and keeps what a display needs of the past."""

    def __init__(self) -> None:
        self.begun: Started | None = None
        self.latest: Metrics | Progress | None = None
        self.val: list[float] = []
        self.best: tuple[float | None, int] | None = None
        self.sample = ""
        self.steps = 0
        self.chars_a_step = 0.0
        self.beside: Baselines | None = None

    def show(self, report: Event) -> None:
        from charnet.training.events import Evaluated, Finished, Metrics, Progress, Replanned, RolledBack, Started

        match report:
            case Started():
                t = report.config.training
                self.begun, self.steps, self.chars_a_step = report, t.steps, t.batch_size * t.window
                self.val = [line["val_nats_per_char"] for line in report.history if "val_nats_per_char" in line]
                self.on_start(report)
            case Progress():
                self.latest = report
                self.on_progress()
            case Metrics():
                self.latest, self.chars_a_step = report, report.chars_seen / report.step
                if report.val_nats_per_char is not None:
                    self.val.append(report.val_nats_per_char)
                self.on_metrics(report)
                self.on_progress()
            case Evaluated():
                self.best = (report.best_nats_per_char, report.best_step)
                self.sample = report.sample
                self.on_progress()
            case RolledBack():
                self.on_rollback(report)
            case Replanned():
                self.steps = report.steps
            case Finished():
                self.on_finish(report)

    def show_baselines(self, beside: Baselines | None) -> None:
        self.beside = beside

    def on_start(self, report: Started) -> None: ...
    def on_progress(self) -> None: ...
    def on_metrics(self, report: Metrics) -> None: ...
    def on_rollback(self, report: RolledBack) -> None: ...
    def on_finish(self, report: Finished) -> None: ...

    def left(self) -> None:
        if self.begun is None:
            note("interrupted before the first step")
        elif not self.begun.run.exists():
            note("interrupted before the first step: nothing is kept")
        else:
            note(f"left at once; go on from the last checkpoint with: {messages.resume(self.begun.run)}")

    def seconds_left(self) -> float:
        if self.begun is None or self.latest is None or not self.latest.chars_per_second:
            return 0.0
        return (self.steps - self.latest.step) * self.chars_a_step / self.latest.chars_per_second


class _TransferRate:
    """How fast a text is being read, or fetched; what was there before the first look does not count."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.said = time.monotonic()
        self.first: tuple[float, int] | None = None

    def due(self, every: float) -> bool:
        """Whether it is time to say something again."""
        if (now := time.monotonic()) - self.said < every:
            return False
        self.said = now
        return True

    def saw(self, done: int) -> None:
        """So many bytes are there now."""
        self.first = self.first or (time.monotonic(), done)

    def line(self, done: int, total: int) -> str:
        self.saw(done)
        assert self.first is not None
        began, before = self.first
        speed = (done - before) / max(1e-9, time.monotonic() - began)
        whole = f" of {format_size(total)}" if total else ""
        rate = f", {format_size(speed)} a second" if speed else ""
        left = f", {format_duration((total - done) / speed)} left" if total and speed else ""
        return f"{self.what}: {format_size(done)}{whole}{rate}{left}"


class _Lines(_EventView):
    """What is trained and how it ended, in plain lines on stderr."""

    def on_start(self, report: Started) -> None:
        for line in messages.opening(report):
            note(line)

    def on_rollback(self, report: RolledBack) -> None:
        note(messages.rolled_back(report))

    def on_finish(self, report: Finished) -> None:
        assert self.begun is not None
        for line in messages.closing(report, self.begun.alphabet_size, self.beside):
            note(line)

    def stopping(self) -> None:
        note(messages.STOPPING)


class _JsonLines(_Lines):
    """For a program: the metrics on stdout, and only they where `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__()
        self.quiet = quiet

    def show(self, report: Event) -> None:
        from charnet.training.events import Metrics

        if not self.quiet or isinstance(report, Metrics):
            super().show(report)

    def stopping(self) -> None:
        if not self.quiet:
            super().stopping()

    def left(self) -> None:
        if not self.quiet:
            super().left()

    def on_metrics(self, report: Metrics) -> None:
        write_json(report.as_dict())


class _PlainLines(_Lines):
    """For a pipe or a log: no escape codes, a line at most every ten seconds."""

    def __init__(self, reader: _TransferRate) -> None:
        super().__init__()
        self.printed_at = time.monotonic()
        self.reader = reader

    def reading(self, done: int, total: int) -> None:
        self.reader.saw(done)
        if self.reader.due(SECONDS_BETWEEN_LINES):
            note(self.reader.line(done, total))

    def on_progress(self) -> None:
        if time.monotonic() - self.printed_at < SECONDS_BETWEEN_LINES or self.latest is None:
            return
        self.printed_at, now = time.monotonic(), self.latest
        val = f", val {format_loss(self.val[-1])}" if self.val else ""
        note(
            f"step {now.step:,}/{self.steps:,}, {now.chars_per_second:,.0f} chars/s, "
            f"{format_duration(self.seconds_left())} left, train {format_loss(now.train_nats_per_char)}{val}"
        )


class _LiveDisplay(_EventView):
    """For a terminal: a bar, the figures, a curve and what the model writes now."""

    def __init__(self, console: Console, reader: _TransferRate) -> None:
        from rich.live import Live

        super().__init__()
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.footnote = ""
        self.reader = reader

    def __enter__(self) -> _LiveDisplay:
        with contextlib.suppress(OSError):
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self.live.stop()

    def starting(self) -> None:
        self._update(f"{self.reader.what} ...")

    def reading(self, done: int, total: int) -> None:
        self.reader.saw(done)
        if not self.reader.due(SECONDS_BETWEEN_UPDATES):
            return
        from rich.console import Group
        from rich.progress_bar import ProgressBar

        line = self.reader.line(done, total)
        self._update(Group(line, ProgressBar(total=total, completed=done, width=40)) if total else line)

    def stopping(self) -> None:
        self.footnote = messages.STOPPING
        self.on_progress()

    def left(self) -> None:
        self._update("")
        super().left()

    def on_start(self, report: Started) -> None:
        self._print(messages.opening(report))
        self._update("")

    def on_progress(self) -> None:
        self._update(self._drawn() if self.latest else self.footnote)

    def on_rollback(self, report: RolledBack) -> None:
        self._print([messages.rolled_back(report)])

    def on_finish(self, report: Finished) -> None:
        assert self.begun is not None
        self.footnote = ""
        final = self._drawn() if self.latest else None
        self._update("")
        if final is not None:
            with contextlib.suppress(OSError):
                self.console.print(final)
        self._print(messages.closing(report, self.begun.alphabet_size, self.beside))

    def _update(self, drawn: RenderableType) -> None:
        with contextlib.suppress(OSError):
            self.live.update(drawn, refresh=True)

    def _print(self, lines: list[str]) -> None:
        with contextlib.suppress(OSError):
            for line in lines:
                self.console.print(visible(line), soft_wrap=True)

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        assert self.latest is not None
        now, steps, width = self.latest, self.steps, self.console.width
        bar = Table.grid(padding=(0, 1), expand=False)
        bar.add_row(
            ProgressBar(total=steps, completed=now.step, width=min(40, max(8, width - 44))),
            Text(f"{now.step:,}/{steps:,}", no_wrap=True),
            Text(f"{now.chars_per_second:,.0f} chars/s", no_wrap=True),
            Text(f"{format_duration(self.seconds_left())} left", no_wrap=True),
        )
        figures = Table.grid(padding=(0, 2))
        figures.add_row(Text("train", "dim"), Text(format_loss(now.train_nats_per_char)))
        if self.val:
            figures.add_row(Text("validation", "dim"), Text(format_loss(self.val[-1])))
        if self.best:
            figures.add_row(Text("best", "dim"), Text(f"{format_loss(self.best[0])} at step {self.best[1]:,}"))
        if len(self.val) > 1:
            figures.add_row(Text("curve", "dim"), Text(curve(self.val, max(8, min(40, width - 16)))))
        parts: list[Any] = [bar, figures]
        if self.sample:
            # Folded here, as wide as it can get: rich and terminals do not agree on emoji that are joined.
            lines = [part for line in visible(self.sample, keep="\n").expandtabs().split("\n")
                     for part in folded(line, width)]  # fmt: skip
            parts.append(Text("\n".join(lines[:LINES_OF_SAMPLE]), style="italic cyan", no_wrap=True))
        if self.footnote:
            parts.append(Text(self.footnote, "bold"))
        return Group(*parts)
