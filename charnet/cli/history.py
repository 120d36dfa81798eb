"""What every view of a training says about an event, and how fast a text is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from charnet.cli import messages
from charnet.cli.tables import format_duration, format_size
from charnet.training.events import Event, Finished, RolledBack, Started
from charnet.training.run_state import RunState

if TYPE_CHECKING:
    from charnet.training.conclusion import Conclusion


class RunHistory(RunState):
    """The state of a training, and what every view says about it."""

    def __init__(self) -> None:
        super().__init__()
        self.conclusion: Conclusion | None = None
        self._stamps: dict[int, float] = {}  # seconds by step

    def stamp(self, seconds: float) -> None:
        """Notes how long the training had taken, since it began or was resumed, at its newest line of metrics."""
        self._stamps[int(self.metrics[-1]["step"])] = self.seconds_before + seconds

    def curve(self, name: str, *, timed: bool) -> tuple[list[float], list[float]]:
        """Returns the points of a curve: a column of the metrics over the time that had passed, or over the steps."""
        steps, values = self.points(name, "step")
        if not timed:
            return steps, values
        trained = dict(zip(*self.points("seconds", "step"), strict=True))
        return [self._stamps.get(int(step), trained.get(step, 0.0)) for step in steps], values

    @property
    def short_symbol(self) -> str:
        """What the model reads one by one, where there is little room."""
        return self.symbol[:4]

    def lines(self, event: Event) -> list[str]:
        """Returns the lines that every view shows for an event; most events have none."""
        match event:
            case Started():
                return messages.opening(event)
            case RolledBack():
                return [messages.rolled_back(event)]
            case Finished():
                assert self.started is not None
                parts = 0 < self.started.config.data.val_chars < event.held_out
                return messages.closing(
                    event, self.started.alphabet_size, self.conclusion, read_parts=parts, symbol=self.symbol
                )
        return []


class TransferRate:
    """Measures how fast a text is read or fetched. Bytes that were there at the first call do not count as speed.

    Args:
        action: what is being done, as in "fetching enwik8".
    """

    def __init__(self, action: str) -> None:
        self.action = action
        self._shown_at = time.monotonic()
        self._first: tuple[float, int] | None = None  # when, and how many bytes there were

    def update(self, done: int) -> None:
        """Takes note of the number of bytes that are there now."""
        self._first = self._first or (time.monotonic(), done)

    def is_due(self, every: float) -> bool:
        """Returns whether the last time that this was true is so many seconds ago."""
        if (now := time.monotonic()) - self._shown_at < every:
            return False
        self._shown_at = now
        return True

    def line(self, done: int, total: int) -> str:
        """Returns the progress as a line: bytes, rate and time left. A `total` of 0 means that it is unknown."""
        self.update(done)
        assert self._first is not None
        began, before = self._first
        speed = (done - before) / max(1e-9, time.monotonic() - began)
        of_total = f" of {format_size(total)}" if total else ""
        rate = f", {format_size(speed)} a second" if speed else ""
        left = f", {format_duration((total - done) / speed)} left" if total and speed else ""
        return f"{self.action}: {format_size(done)}{of_total}{rate}{left}"
