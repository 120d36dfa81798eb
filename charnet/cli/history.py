"""Folds what a training reports into what a display needs: how far it is, how long it takes, what to say about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from charnet.cli import messages
from charnet.cli.tables import format_duration, format_size

if TYPE_CHECKING:
    from charnet.evaluation.baselines import Baselines
    from charnet.training.events import Event, Metrics, Progress, Started


class RunHistory:
    """The state of a training so far, from its events."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.latest: Metrics | Progress | None = None
        self.val: list[float] = []  # nats per character, one for each evaluation
        self.best: tuple[float | None, int] | None = None  # nats per character, step
        self.sample = ""
        self.steps = 0  # the length of the run
        self.chars_per_step = 0.0  # since the last metrics
        self._counted: tuple[int, int] | None = None  # steps and characters by then, if they are known
        self.baselines: Baselines | None = None

    def update(self, event: Event) -> None:
        """Takes in the next event."""
        from charnet.training.events import Evaluated, Metrics, Progress, Replanned, Started

        match event:
            case Started():
                t = event.config.training
                self.started, self.steps, self.chars_per_step = event, t.steps, t.batch_size * t.window
                self._counted = None if event.step else (0, 0)
                self.val = [line["val_nats_per_char"] for line in event.history if "val_nats_per_char" in line]
            case Progress():
                self.latest = event
            case Metrics():
                if self._counted and event.step > self._counted[0]:
                    self.chars_per_step = (event.chars_seen - self._counted[1]) / (event.step - self._counted[0])
                self.latest, self._counted = event, (event.step, event.chars_seen)
                if event.val_nats_per_char is not None:
                    self.val.append(event.val_nats_per_char)
            case Evaluated():
                self.best, self.sample = (event.best_nats_per_char, event.best_step), event.sample
            case Replanned():
                self.steps = event.steps

    def lines(self, event: Event) -> list[str]:
        """Returns the lines that every view shows for an event; most events have none."""
        from charnet.training.events import Finished, RolledBack, Started

        match event:
            case Started():
                return messages.opening(event)
            case RolledBack():
                return [messages.rolled_back(event)]
            case Finished():
                assert self.started is not None
                return messages.closing(event, self.started.alphabet_size, self.baselines)
        return []

    def seconds_left(self) -> float:
        """Estimates the seconds until the last step; 0 while the speed is unknown."""
        if self.latest is None or not self.latest.chars_per_second:
            return 0.0
        return (self.steps - self.latest.step) * self.chars_per_step / self.latest.chars_per_second


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
