"""One client: what it sends is read within limits and deadlines, what it is sent waits for it only so long.

Deadlines are for a whole head, a whole body, a whole answer, and not for each read: a byte a second keeps nothing open.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from charnet.server import http
from charnet.server.http import ApiError, Head

IDLE_SECONDS, HEAD_SECONDS, BODY_SECONDS, WRITE_SECONDS = 30.0, 10.0, 20.0, 10.0
LINGER_SECONDS = 1.0  # in which a refused client may read why
HALF_CLOSED_SECONDS = 0.1  # in which a client who sends no more may have its answer: most have left
LARGEST_BUFFER = http.LARGEST_HEAD + http.LARGEST_BODY
UNSENT = 1 << 14  # bytes that may wait for the client, here and in the kernel each, before it counts as slow


class GoneError(Exception):
    """The client has closed the connection, or was too slow."""


class Connection(asyncio.Protocol):
    """A connection and its buffer.

    Args:
        serve: called for each connection; the connection is closed when it returns.
        register: called with the connection when it is made, and when it is lost.

    Attributes:
        ended: set when the client will send no more.
        is_answering: a request.
        is_head: the answer has no body: the client has asked for its head alone.
    """

    def __init__(
        self, serve: Callable[[Connection], Awaitable[None]], register: Callable[[Connection, bool], object]
    ) -> None:
        self._serve, self._register = serve, register
        self._buffer, self._discards = bytearray(), False
        self.ended, self._arrived, self._writable = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._writable.set()
        self._when_gone: Callable[[], object] = lambda: None
        self._patience: asyncio.TimerHandle | None = None
        self.peer, self.is_answering, self.is_head, self._is_gone = "", False, False, False
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(UNSENT)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else "-"
        self._register(self, True)
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._serve(self)
        except (GoneError, asyncio.CancelledError):
            pass
        finally:
            self._transport.close()
            if self._transport.get_write_buffer_size():  # one who does not read would keep it open for ever
                asyncio.get_running_loop().call_later(WRITE_SECONDS, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        self._buffer += data
        if len(self._buffer) >= LARGEST_BUFFER:
            self._transport.pause_reading()
        self._arrived.set()

    def eof_received(self) -> bool:
        self.ended.set()
        self._arrived.set()
        self._patience = asyncio.get_running_loop().call_later(HALF_CLOSED_SECONDS, self._leave)
        return True  # what is being written may still be read

    def connection_lost(self, exception: Exception | None) -> None:  # noqa: ARG002
        self.ended.set()
        self._arrived.set()
        self._writable.set()
        if self._patience is not None:
            self._patience.cancel()
        self._leave()
        self._register(self, False)

    def _leave(self) -> None:
        self._is_gone = True
        self._when_gone()

    def when_gone(self, call: Callable[[], object]) -> None:
        """Lets a function be called, instead of an earlier one, when the client has left; at once if it has."""
        self._when_gone = call
        if self._is_gone:
            call()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def read_head(self) -> Head | None:
        """Reads the next head; None if no request came in time, or the client left between two requests.

        Raises:
            ApiError: it is not one, or it took too long.
            GoneError: the client left within it.
        """
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                while not self._buffer:
                    await self._more()
        except (TimeoutError, GoneError):
            return None
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                while (end := self._buffer.find(http.END_OF_HEAD)) < 0:
                    http.check_beginning(self._buffer)
                    await self._more()
        except TimeoutError:
            raise ApiError(408, "the head of the request took too long", ends=True) from None
        if end > http.LARGEST_HEAD:
            http.check_beginning(self._buffer[: end + 1])
        head = http.parse_head(self._buffer[:end])
        del self._buffer[: end + len(http.END_OF_HEAD)]
        return head

    async def read_body(self, head: Head) -> bytes:
        """Reads the body of a request.

        Raises:
            ApiError: it took too long.
            GoneError: the client left within it.
        """
        if head.expects_continue and len(self._buffer) < head.length:
            self._transport.write(http.response_head(100, {}))
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while len(self._buffer) < head.length:
                    await self._more()
        except TimeoutError:
            raise ApiError(408, "the body of the request took too long", ends=True) from None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        self._transport.resume_reading()
        return body

    async def _more(self) -> None:
        if self.ended.is_set():
            raise GoneError
        self._arrived.clear()
        await self._arrived.wait()

    async def write(self, data: bytes) -> None:
        """Sends data, and waits until the client has taken most of what was sent before.

        Raises:
            GoneError: it has left, or does not read.
        """
        if self._transport.is_closing():
            raise GoneError
        self._transport.write(data)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writable.wait()
        except TimeoutError:
            self._transport.abort()
            raise GoneError from None

    async def linger(self) -> None:
        """Ends what is sent, and lets the client read it: a connection that is closed while data arrive is reset."""
        self._discards = True
        self._buffer.clear()
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        try:
            self._transport.write_eof()
            async with asyncio.timeout(LINGER_SECONDS):
                await self.ended.wait()
        except (TimeoutError, OSError, RuntimeError):
            pass

    def abort(self) -> None:
        """Closes the connection at once."""
        self._transport.abort()
