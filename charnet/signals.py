"""Ctrl-C and similar signals, deferred while there is work that can be saved; a limit of time."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(BaseException):
    """A signal asks the process to end at once.

    It is not a KeyboardInterrupt. If that one interrupts code compiled from a string, such as that of a named tuple,
    Python ends by SIGINT even though the exception was handled.
    """


class SignalGuard:
    """A context in which SIGINT, SIGTERM and SIGHUP raise Interrupted or are deferred.

    After a call of `defer` the first signal is only stored in `received`, so that a training can save its state and
    end. A second Ctrl-C raises Interrupted. A signal that arrives during an import is deferred until `defer` is called,
    as an import cannot be interrupted safely. Only the main thread receives signals: in other threads, a SignalGuard
    does nothing.

    Args:
        ending: the process ends after the context. If a signal was received, later ones are ignored from then on.
        echo: seconds after the first signal in which another one is the same: torchrun passes a signal on that was
            sent to all processes of a job.
    """

    def __init__(self, *, ending: bool = False, echo: float = 0.0) -> None:
        self.received = 0
        self._ending, self._echo, self._received_at = ending, echo, -math.inf
        self._on_signal: Callable[[], None] | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> SignalGuard:
        if threading.current_thread() is threading.main_thread():
            _entered.append(self)
            wanted = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
            # A signal that the parent process ignores stays ignored: nohup relies on that.
            self._before = {n: signal.getsignal(n) for n in wanted if signal.getsignal(n) is not signal.SIG_IGN}
            for number in self._before:
                signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        if self in _entered:
            _entered.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._ending and self.received else handler)  # type: ignore[arg-type]

    def defer(self, on_signal: Callable[[], None] = lambda: None) -> None:
        """Defers the first signal from now on.

        Args:
            on_signal: called when the signal arrives.

        Raises:
            Interrupted: a signal arrived during an import.
        """
        self._on_signal = on_signal
        if self.received:
            raise Interrupted

    @property
    def has_deferred(self) -> bool:
        """Whether a signal has arrived during an import."""
        return bool(self.received) and self._on_signal is None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() - self._received_at < self._echo:
            return
        first = not self.received
        self.received, self._received_at = self.received or number, time.monotonic()
        if self._on_signal is None:
            if not _importing(frame):
                raise Interrupted
        elif not first and number == signal.SIGINT:
            raise Interrupted
        elif first:
            with contextlib.suppress(RuntimeError):  # Python refuses to write during a write to the same file
                self._on_signal()


_entered: list[SignalGuard] = []


def check() -> None:
    """Raises Interrupted, before a long wait, if a signal has arrived during an import."""
    if any(guard.has_deferred for guard in _entered):
        raise Interrupted


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Lets a signal that is not ignored end the process in its body, also while Python cannot handle it."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
        before = {n: handler for n in numbers if (handler := signal.getsignal(n)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore() -> None:
    """Ignores all signals from now on: the process is about to end, and has something to say."""
    if threading.current_thread() is threading.main_thread():
        for name in NAMES:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)


SHORTEST_TIMER = 1e-3  # seconds


@contextlib.contextmanager
def time_limit(seconds: float, *, idle: bool = False) -> Iterator[None]:
    """Raises TimeoutError in its body after so many seconds of processor time, also within a search of `re`.

    Args:
        idle: the time in which the process waits counts too.

    Only the main thread can be interrupted so, and not on Windows: elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    timer, number = (signal.ITIMER_REAL, signal.SIGALRM) if idle else (signal.ITIMER_VIRTUAL, signal.SIGVTALRM)
    before, began = signal.signal(number, end), time.monotonic()
    left, interval = 0.0, 0.0
    try:
        left, interval = signal.setitimer(timer, seconds)
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, signal.SIG_DFL if before is None else before)
        if left:  # the caller's own timer goes on
            signal.setitimer(timer, max(SHORTEST_TIMER, left - (time.monotonic() - began) * idle), interval)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def keyboard_interrupt() -> Iterator[None]:
    """Raises Python's own exception for a signal."""
    try:
        yield
    except Interrupted:
        raise KeyboardInterrupt from None
