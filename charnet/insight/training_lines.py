"""The progress of a training as plain lines, for a terminal or a log: `charnet.train(..., progress=True)`."""

from __future__ import annotations

import time
from typing import TextIO

from charnet.data.printable import shown
from charnet.insight.live_page import about
from charnet.insight.numbers import fixed, format_duration
from charnet.training.events import Evaluated, Event, Finished, Metrics, Progress, Started
from charnet.training.run_state import RunState

SECONDS_BETWEEN_LINES = 5.0
BAR = 20  # characters


class TrainingLines:
    """Writes a line at the start, every few seconds, and at the end. Call it with every event.

    Args:
        stream: takes the lines.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._state, self._wrote_at = stream, RunState(), 0.0

    def __call__(self, event: Event) -> None:
        state = self._state
        state.update(event)
        now = time.monotonic()
        due = isinstance(event, Progress | Metrics | Evaluated) and now - self._wrote_at > SECONDS_BETWEEN_LINES
        if isinstance(event, Started):
            self._write(about(event))
        elif due or isinstance(event, Finished):
            self._write(progress_line(state))
        else:
            return
        self._wrote_at = now

    def _write(self, line: str) -> None:
        self._stream.write(shown(line) + "\n")
        self._stream.flush()


def progress_line(state: RunState) -> str:
    """Returns a bar of the steps, and the losses in nats per character."""
    latest = state.latest
    step = state.finished.step if state.finished else latest.step if latest else 0
    done = round(BAR * min(1.0, step / max(1, state.steps)))
    words = [f"step {step:,} of {state.steps:,}"]
    if latest is not None:
        words.append(f"training {fixed(latest.train_nats_per_char, 3)}")
    steps, losses = state.points("val_nats_per_char", "step")
    if losses:
        earlier = f" at step {steps[-1]:,.0f}" if steps[-1] < step else ""
        words.append(f"validation {fixed(losses[-1], 3)} nats{earlier}")
    left = state.seconds_left()  # 0 while it is unknown
    words += [state.finished.reason] if state.finished else [f"{format_duration(left)} left"] * bool(left)
    return f"[{'#' * done}{'-' * (BAR - done)}] " + ", ".join(words)
