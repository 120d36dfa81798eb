"""Ctrl-C and its kin, noted while work is done that can be saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(BaseException):
    """A signal asks to end at once. Not KeyboardInterrupt: where that cuts into code made from text, as named tuples
    are, Python kills itself at its end whatever was made of it."""


class SignalGuard:
    """While it is open, a signal that asks the process to end raises Interrupted, or is noted.

    After `note` was called the first one is only noted, in `received`, for a training to save and end by itself; a
    second Ctrl-C raises Interrupted all the same. One that comes during an import is noted until `note`, as an import
    cannot be cut. Other threads than the main one get no signals: there it does nothing.

    Args:
        ending: the process ends after this; what comes once a signal was received no longer counts.
    """

    def __init__(self, *, ending: bool = False) -> None:
        self.received = 0
        self._ending = ending
        self._on_signal: Callable[[], None] | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> SignalGuard:
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

    def defer(self, told: Callable[[], None] = lambda: None) -> None:
        """From now on the first signal is noted; `told` is called when it comes.

        Raises:
            Interrupted: one has come during an import.
        """
        self._on_signal = told
        if self.received:
            raise Interrupted

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first = not self.received
        self.received = self.received or number
        if self._on_signal is None:
            if not _importing(frame):
                raise Interrupted
        elif not first and number == signal.SIGINT:
            raise Interrupted
        elif first:
            with contextlib.suppress(RuntimeError):  # Python refuses to write while it writes to the same file
                self._on_signal()


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
