"""Compiles the patterns of requests, one at a time, in threads of their own: meanwhile other clients are answered."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from charnet.errors import CharnetError
from charnet.server.completions import overloaded
from charnet.server.connection import Connection, GoneError
from charnet.server.dialect import CompletionRequest, refusal
from charnet.server.models import Served

MOST_PATTERNS = 8  # that are compiled or wait for it


async def prepare(connection: Connection, request: CompletionRequest, served: Served) -> None:
    """Compiles the pattern of a request.

    Raises:
        ApiError: the pattern is refused, or too many others are compiled before it.
        GoneError: the client has left.
    """
    if served.patterns >= MOST_PATTERNS:
        raise overloaded()
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    errors: list[CharnetError] = []

    def work() -> None:
        try:
            served.room.prepare(request.options)
        except CharnetError as error:
            errors.append(error)
        finally:
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(done.set)

    served.patterns += 1
    try:
        async with served.compiling:
            if connection.ended.is_set():
                raise GoneError
            threading.Thread(target=work, name="charnet-pattern", daemon=True).start()
            await done.wait()
    finally:
        served.patterns -= 1
    for error in errors:
        raise refusal(error)
