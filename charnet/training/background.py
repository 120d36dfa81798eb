"""Hands the events of a training to somebody else who may be slow, hang or fail, without slowing or stopping it."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from charnet.errors import shortened
from charnet.training.events import Event

MOST_WAITING = 1000  # events; the next ones are dropped
NAME = "charnet, in the background: "  # of the threads
T = TypeVar("T")


class Consumer(Protocol):
    """Takes the events of a training."""

    def __call__(self, event: Event) -> None: ...
    def close(self) -> None:
        """There are no more events."""
        ...


class Background:
    """Calls a consumer on a thread of its own. Call it with every event; at the end call `close`.

    Args:
        name: of the consumer, for messages.
        open: makes the consumer, on that thread.
        kinds: of the events that it takes.
    """

    def __init__(
        self, name: str, open: Callable[[], Consumer], kinds: tuple[type, ...], most_waiting: int = MOST_WAITING
    ) -> None:
        self.name, self._open, self._kinds = name, open, kinds
        self._waiting: queue.Queue[Event | None] = queue.Queue(most_waiting)
        self._given = self._taken = self._failed = 0
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name=NAME + name, daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Passes an event on, or drops it if too many wait. Returns at once."""
        if isinstance(event, self._kinds):
            self._given += 1
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(event)

    def end(self) -> None:
        """Tells the consumer that there are no more events, if it has room to hear it. Returns at once."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def close(self, seconds: float) -> str:
        """Waits so long at most for the consumer to end. Returns what was lost, as a sentence, or "".

        A consumer that has not ended by then is left alone: the process can end without it.
        """
        ends_at = time.monotonic() + seconds
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=max(0.0, seconds))
        self._thread.join(max(0.0, ends_at - time.monotonic()))
        late = self._thread.is_alive()
        lost = self._given - self._taken + self._failed
        if not (late or lost or self._problem):
            return ""
        if late and not lost:
            taken = f", though it took all of {self._given:,} reports: the last may be missing" if self._given else ""
            return f"{self.name}: it did not end in time{taken}"
        reason = "it did not end in time" if late else self._problem or "it was too slow"
        return f"{self.name}: {lost:,} of {self._given:,} reports were lost: {reason}"

    def _run(self) -> None:
        consumer = self._guarded(self._open)
        while (event := self._waiting.get()) is not None:
            if consumer is not None:
                self._guarded(functools.partial(consumer, event), counted=True)
        if consumer is not None:
            self._guarded(consumer.close)

    def _guarded(self, call: Callable[[], T], *, counted: bool = False) -> T | None:
        """Calls foreign code, and remembers what was wrong with it first."""
        try:
            result = call()
        except (Exception, SystemExit) as error:
            lines = str(error).strip().splitlines()
            self._problem = self._problem or shortened(f"{type(error).__name__}: {lines[0]}" if lines else repr(error))
            self._failed += counted
            result = None
        self._taken += counted
        return result


def close_all(started: Iterable[Background], seconds: float) -> list[str]:
    """Waits so long at most for all together. Returns what was lost, a sentence for each that has lost something."""
    ends_at = time.monotonic() + seconds
    for each in started:
        each.end()
    return [lost for each in started if (lost := each.close(max(0.0, ends_at - time.monotonic())))]


def is_any_left() -> bool:
    """Returns whether a consumer has not ended: it, or what it has started, may keep the process from ending."""
    return any(thread.name.startswith(NAME) for thread in threading.enumerate())
