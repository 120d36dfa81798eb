"""Ctrl-C and its kin, noted while work is done that can be saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Signals:
    """While it is open, a signal that asks the process to end raises KeyboardInterrupt, or is noted.

    After `note` was called the first one is only noted, in `received`, for a training to save and end by itself; a
    second Ctrl-C raises KeyboardInterrupt all the same. Other threads than the main one get no signals: there it does
    nothing.

    Args:
        ending: the process ends after this; what comes once a signal was received no longer counts.
    """

    def __init__(self, *, ending: bool = False) -> None:
        self.received = 0
        self._ending = ending
        self._told: Callable[[], None] | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            wanted = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
            # What the parent chose to ignore stays ignored: that is how nohup works.
            self._before = {n: signal.getsignal(n) for n in wanted if signal.getsignal(n) is not signal.SIG_IGN}
            for number in self._before:
                signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._ending and self.received else handler)  # type: ignore[arg-type]

    def note(self, told: Callable[[], None] = lambda: None) -> None:
        """From now on the first signal is noted; `told` is called when it comes."""
        self._told = told

    def _receive(self, number: int, _: FrameType | None) -> None:
        first = not self.received
        self.received = self.received or number
        if self._told is None or (not first and number == signal.SIGINT):
            raise KeyboardInterrupt
        if first:
            with contextlib.suppress(RuntimeError):  # Python refuses to write while it writes to the same file
                self._told()
