"""The way from the threads of the engines to the thread that speaks HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any


class Mailbox:
    """Calls functions in the thread of a loop. The loop is woken once for all calls that were posted meanwhile: a
    hundred texts that are written side by side are delivered at the same time, and waking it costs more than a call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._posted, self._is_woken = loop, deque[tuple[Callable[..., object], Any]](), False

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Lets the loop call a function soon, in the order of the posts; any thread may post."""
        self._posted.append((call, arguments))
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_woken = False  # before the first one is taken: what is posted from here on wakes the loop again
        try:
            while self._posted:
                call, arguments = self._posted.popleft()
                call(*arguments)
        finally:
            if self._posted:  # a call has failed: that delays no other
                self._loop.call_soon(self._deliver)
