"""Shows a training while it runs: a live display on a terminal, plain lines elsewhere, JSON for programs.

A stderr that fails on the way does not stop the training.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from charnet.cli import messages
from charnet.cli.console import note, write_json
from charnet.cli.tables import format_duration, format_loss

if TYPE_CHECKING:
    from charnet.cli.history import TransferRate
    from charnet.config import Config
    from charnet.training.conclusion import Conclusion
    from charnet.training.events import Event

SECONDS_BETWEEN_LINES = 10.0


class TrainingView(Protocol):
    """Shows a training while it runs; a context manager."""

    def __enter__(self) -> TrainingView: ...
    def __exit__(self, *exception: object) -> None: ...
    def starting(self) -> None:
        """The text is being read and torch is being loaded."""
        ...

    def reading(self, done: int, total: int) -> None:
        """`done` bytes of the text are read; a `total` of 0 means that it is unknown."""
        ...

    def trying(self, config: Config) -> None:
        """Steps of this size are being timed, to plan the run."""
        ...

    def show(self, event: Event) -> None:
        """Shows one event of the training."""
        ...

    def conclude(self, conclusion: Conclusion) -> None:
        """Takes what was measured at the end, before the last event."""
        ...

    def stopping(self) -> None:
        """A signal came: training will end after this step."""
        ...

    def aborted(self) -> None:
        """Training was stopped at once, without a last save."""
        ...


def training_view(*, quiet: bool, json: bool, reading: str = "reading the text") -> TrainingView:
    """Chooses a view: JSON lines, nothing, a live display on a terminal, plain lines elsewhere.

    Args:
        reading: what is being done while bytes are counted, as in "fetching enwik8".
    """
    if json:
        return _JsonLines(quiet=quiet)
    if quiet:
        return _Quiet()
    from charnet.cli.history import TransferRate

    if sys.stderr.isatty() and sys.stderr.encoding.lower().replace("-", "") == "utf8":
        from charnet.cli import live

        if console := live.terminal(sys.stderr):
            return live.LiveDisplay(console, TransferRate(reading))
    return _PlainLines(TransferRate(reading))


class _Quiet:
    """Shows nothing."""

    def __enter__(self) -> _Quiet:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def starting(self) -> None:
        pass

    def reading(self, done: int, total: int) -> None:
        pass

    def trying(self, config: Config) -> None:
        pass

    def show(self, event: Event) -> None:
        pass

    def conclude(self, conclusion: Conclusion) -> None:
        pass

    def stopping(self) -> None:
        pass

    def aborted(self) -> None:
        pass


class _JsonLines(_Quiet):
    """Writes the metrics to stdout for a program, and the messages to stderr unless `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        from charnet.cli.history import RunHistory

        self.history = RunHistory()
        self.quiet = quiet

    def show(self, event: Event) -> None:
        from charnet.training.events import Finished, Metrics

        self.history.update(event)
        if isinstance(event, Metrics):
            write_json(event.as_dict())
        if isinstance(event, Finished) and event.test_nats_per_char is not None:
            write_json({"step": event.best_step, "test_nats_per_char": event.test_nats_per_char})
        if isinstance(event, Finished) and self.history.conclusion:
            best, verdict = event.best_nats_per_char, self.history.conclusion.verdict
            said = verdict.as_dict() if verdict else None
            write_json({"step": event.best_step, "best_nats_per_char": best, "verdict": said})
        if not self.quiet:
            _note_all(self.history.lines(event))

    def conclude(self, conclusion: Conclusion) -> None:
        self.history.conclusion = conclusion

    def stopping(self) -> None:
        if not self.quiet:
            note(messages.STOPPING)

    def aborted(self) -> None:
        if not self.quiet:
            for line in messages.aborted(self.history.started):
                note(line)


class _PlainLines(_Quiet):
    """Writes to a pipe or a log: no escape codes, and at most one line of progress every ten seconds."""

    def __init__(self, rate: TransferRate) -> None:
        from charnet.cli.history import RunHistory

        self.history = RunHistory()
        self.rate = rate
        self.printed_at, self.printed_val_of = time.monotonic(), 0  # the step

    def reading(self, done: int, total: int) -> None:
        self.rate.update(done)
        if self.rate.is_due(SECONDS_BETWEEN_LINES):
            note(self.rate.line(done, total))

    def show(self, event: Event) -> None:
        from charnet.training.events import Evaluated, Metrics, Progress

        self.history.update(event)
        _note_all(self.history.lines(event))
        if isinstance(event, Progress | Metrics | Evaluated):
            self._show_progress()

    def conclude(self, conclusion: Conclusion) -> None:
        self.history.conclusion = conclusion

    def stopping(self) -> None:
        note(messages.STOPPING)

    def aborted(self) -> None:
        for line in messages.aborted(self.history.started):
            note(line)

    def _show_progress(self) -> None:
        history, now = self.history, self.history.latest
        if time.monotonic() - self.printed_at < SECONDS_BETWEEN_LINES or now is None:
            return
        self.printed_at = time.monotonic()
        note(
            f"step {now.step:,}/{history.steps:,}, {now.chars_per_second:,.0f} {history.short_symbol}s/s, "
            f"{format_duration(history.seconds_left())} left, train {format_loss(now.train_nats_per_char)}"
            f"{self._new_val(now.step)}"
        )

    def _new_val(self, step: int) -> str:
        """Returns the validation loss if none of the lines has shown it, with its step if that is an earlier one."""
        steps, losses = self.history.points("val_nats_per_char", "step")
        if not steps or steps[-1] <= max(self.printed_val_of, self.history.started.step if self.history.started else 0):
            return ""
        self.printed_val_of = int(steps[-1])
        of_step = f" at step {self.printed_val_of:,}" if self.printed_val_of < step else ""
        return f", val {format_loss(losses[-1])}{of_step}"


def _note_all(lines: list[str]) -> None:
    for line in lines:
        note(line)
