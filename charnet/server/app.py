"""The server: routes, limits, a log of who asked what, and an orderly end.

One thread speaks HTTP with all clients, another one computes; neither waits for the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from charnet import machine
from charnet.errors import ServerError
from charnet.server import dialect, http
from charnet.server.access import Access, check_json
from charnet.server.completions import Completion, overloaded
from charnet.server.connection import Connection, GoneError
from charnet.server.http import ApiError, Head
from charnet.server.mailbox import Mailbox
from charnet.server.models import Models, Served
from charnet.server.patterns import prepare

MOST_CONNECTIONS, BACKLOG, OTHER_FILES = 2000, 512, 32
CLIENT_LEFT = 499  # in the log and the counts, as nginx has it
ENDING_SECONDS = 2.5  # in which streams may end by themselves when the server stops
JSON, TEXT = "application/json", "text/plain; version=0.0.4; charset=utf-8"
ROUTES = {
    "/": "GET", "/health": "GET", "/metrics": "GET", "/v1/models": "GET", "/v1/completions": "POST",
    "/v1/chat/completions": "POST",
}  # fmt: skip
OPEN = ("/", "/health")  # need no key
MODEL = "/v1/models/"  # and a name


@dataclass
class Counts:
    """What `/metrics` shows."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    connections: int = 0


class App:
    """A server that is not started yet.

    Args:
        page: the page to write in, as HTML.
        log: called with a line for each request; no prompt, no text and no key is in it.
    """

    def __init__(
        self, models: Models, access: Access, *, page: str = "", log: Callable[[str], object] = lambda _: None
    ) -> None:
        self.models, self.access, self._page, self._log = models, access, page.encode(), log
        self.counts, self._connections, self._stops = Counts(), set[Connection](), False
        self._answering, self._most = 0, MOST_CONNECTIONS

    async def start(self, host: str, port: int) -> asyncio.Server:
        """Starts to listen.

        Raises:
            ServerError: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        self._mailbox = Mailbox(loop)
        files = machine.descriptors(MOST_CONNECTIONS + 4 * BACKLOG + OTHER_FILES) - OTHER_FILES
        backlog = max(1, min(BACKLOG, files // 16))  # some rounds of it are accepted before the first one is refused
        self._most = max(1, min(MOST_CONNECTIONS, files - 4 * backlog))
        try:
            return await loop.create_server(
                lambda: Connection(self._serve, self._register), host, port, backlog=backlog, reuse_address=True
            )
        except (OSError, ValueError) as error:  # the latter for what is no address at all
            reason = (isinstance(error, OSError) and error.strerror) or "not an address"
            raise ServerError(f"{host}:{port}: cannot listen here ({reason}); choose another --port") from None

    def _register(self, connection: Connection, is_new: bool) -> None:
        if is_new:
            self._connections.add(connection)
        else:
            self._connections.discard(connection)
        self.counts.connections = len(self._connections)

    async def stop(self, server: asyncio.Server) -> None:
        """Ends the server: no new requests, some seconds for what is being answered, and then the end."""
        self._stops = True
        server.close()
        for connection in list(self._connections):
            if not connection.is_answering and connection.task is not None:
                connection.task.cancel()
        until = time.monotonic() + ENDING_SECONDS
        while self._answering and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await asyncio.get_running_loop().run_in_executor(None, self.models.close)
        until = time.monotonic() + 0.5
        while self._answering and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            connection.abort()

    async def _serve(self, connection: Connection) -> None:
        """Answers the requests of a connection, one after the other."""
        if len(self._connections) > self._most:
            await self._refuse(connection, None, ApiError(503, "too many connections; try again", ends=True))
            return
        keeps_alive = True
        while keeps_alive and not self._stops:
            await asyncio.sleep(0)  # who sends requests without waiting for answers takes turns with the others
            head, began = None, time.monotonic()
            try:
                head = await connection.read_head()
                if head is None:
                    return
                connection.is_head = head.method == "HEAD"
                began = time.monotonic()
                connection.is_answering = True
                self._answering += 1
                status = await self._guarded(connection, head)
                keeps_alive = head.keeps_alive
            except ApiError as error:
                status = error.status
                keeps_alive = not error.ends and head is not None and head.keeps_alive
                await self._refuse(connection, head, error)
                if not keeps_alive:
                    self._count(connection, head, status, began)
                    await connection.linger()
                    return
            except GoneError:
                self._count(connection, head, CLIENT_LEFT, began)
                raise
            finally:
                self._answering -= connection.is_answering
                connection.is_answering = False
            self._count(connection, head, status, began)

    async def _guarded(self, connection: Connection, head: Head) -> int:
        """Answers a request; a bug of charnet ends it, and no other."""
        try:
            return await self._answer(connection, head)
        except (ApiError, GoneError, asyncio.CancelledError):
            raise
        except Exception:
            self._log(traceback.format_exc())
            raise ApiError(500, "a bug in charnet: the server's log has the traceback", ends=True) from None

    def _count(self, connection: Connection, head: Head | None, status: int, began: float) -> None:
        path = head.path if head is not None and head.path in ROUTES else "other"
        self.counts.requests[path, status] += 1
        what = f"{head.method} {head.path}" if head is not None else "a request"
        self._log(f"{connection.peer} {what} {status} {1000 * (time.monotonic() - began):.0f} ms")

    async def _refuse(self, connection: Connection, head: Head | None, error: ApiError) -> None:
        cross = self.access.cross_origin(head.headers) if head is not None else {}
        close = {} if not error.ends and head is not None and head.keeps_alive else {"Connection": "close"}
        body = http.as_json(error.to_json())
        with contextlib.suppress(GoneError):
            await self._send(connection, error.status, body, JSON, cross | error.headers | close)

    async def _send(self, connection: Connection, status: int, body: bytes, kind: str, more: Mapping[str, str]) -> None:
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **_SAFE, **more}
        await connection.write(http.response_head(status, headers) + (b"" if connection.is_head else body))

    async def _answer(self, connection: Connection, head: Head) -> int:
        """Answers a request; returns the status.

        Raises:
            ApiError: it is refused.
        """
        error = self._refusal(head)
        if error is not None:  # the body, which was not read, comes before the next request
            error.ends = error.ends or head.length > 0
            raise error
        body = await connection.read_body(head)
        close = {} if head.keeps_alive else {"Connection": "close"}
        more = self.access.cross_origin(head.headers) | close
        if head.method == "OPTIONS":
            await connection.write(http.response_head(204, {"Allow": "GET, POST, OPTIONS", **more}))
            return 204
        if head.path in ("/v1/completions", "/v1/chat/completions"):
            check_json(head.headers)
            return await self._complete(connection, head, body, more)
        content, kind = self._content(head.path)
        await self._send(connection, 200, content, kind, more)
        return 200

    def _refusal(self, head: Head) -> ApiError | None:
        try:
            self.access.check(head.headers, needs_key=head.path not in OPEN and head.method != "OPTIONS")
        except ApiError as error:
            return error
        if head.method == "OPTIONS":
            return None
        names_model = head.path.startswith(MODEL) and head.path != MODEL
        method = "GET" if names_model else ROUTES.get(head.path)
        if method is None:
            return ApiError(404, f"there is nothing here; the API is at {', '.join(ROUTES)}")
        if head.method != method and (head.method, method) != ("HEAD", "GET"):
            return ApiError(405, f"expected {method}", headers={"Allow": f"{method}, OPTIONS"})
        return None

    def _content(self, path: str) -> tuple[bytes, str]:
        if path == "/":
            return self._page, "text/html; charset=utf-8"
        if path == "/metrics":
            return self._metrics().encode(), TEXT
        if path == "/health":
            return http.as_json({"status": "ok"}), JSON
        if path.startswith(MODEL):
            return http.as_json(_described(self.models.find(unquote(path.removeprefix(MODEL))))), JSON
        return http.as_json({"object": "list", "data": list(map(_described, self.models.all))}), JSON

    def _metrics(self) -> str:
        """Returns the metrics in Prometheus' text format."""
        lines = ["# TYPE charnet_requests_total counter"]
        for (path, status), count in sorted(self.counts.requests.items()):
            lines.append(f'charnet_requests_total{{path="{path}",status="{status}"}} {count}')
        lines += ["# TYPE charnet_connections gauge", f"charnet_connections {self.counts.connections}"]
        gauges = {"characters_total": "counter", "texts_running": "gauge", "texts_waiting": "gauge"}
        for name, kind in gauges.items():
            lines.append(f"# TYPE charnet_{name} {kind}")
            for each in self.models.all:
                value = {"characters_total": each.room.characters, "texts_running": each.room.running,
                         "texts_waiting": each.room.waiting}[name]  # fmt: skip
                escaped = each.name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
                lines.append(f'charnet_{name}{{model="{escaped}"}} {value}')
        return "\n".join(lines) + "\n"

    async def _complete(self, connection: Connection, head: Head, body: bytes, more: Mapping[str, str]) -> int:
        if not any(each.room.places > 0 for each in self.models.all):  # before anything costs time
            raise overloaded()
        request = dialect.parse(body, is_chat=head.path == "/v1/chat/completions")
        served = self.models.find(request.model)
        if request.options.match:
            await prepare(connection, request, served)
        room = served.room
        try:
            completion = Completion(request, served, self._mailbox)
        except ApiError as error:
            if error.status != 503 or served.room is room:
                raise
            completion = Completion(request, served, self._mailbox)  # the model was replaced at this moment
        connection.when_gone(completion.leave)
        try:
            if not request.stream:
                content = http.as_json(await completion.whole())
                await self._send(connection, 200, content, JSON, more)
                return 200
            headers = {"Content-Type": "text/event-stream", **_SAFE, **more}
            headers |= {"Connection": "close"} if not head.keeps_alive else {"Transfer-Encoding": "chunked"}
            await connection.write(http.response_head(200, headers))
            async for piece in completion.pieces():
                framed = b"%x\r\n%b\r\n" % (len(piece), piece) if head.keeps_alive else piece
                await connection.write(framed)
            if head.keeps_alive:
                await connection.write(b"0\r\n\r\n")
            return 200
        finally:
            completion.cancel()
            connection.when_gone(lambda: None)


def _described(served: Served) -> dict[str, Any]:
    created = int((served.stamp or (0,))[0] // 10**9)
    is_exact = served.room.engine.is_exact
    return {"id": served.name, "object": "model", "created": created, "owned_by": "charnet", "receipts": is_exact}


_SAFE = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
         "Referrer-Policy": "no-referrer"}  # fmt: skip


async def run(app: App, host: str, port: int, *, started: Callable[[int], object], stopped: asyncio.Event) -> None:
    """Serves until `stopped` is set.

    Args:
        port: 0 = any free one.
        started: called with the port when the server listens.

    Raises:
        ServerError: the address cannot be used.
    """
    server = await app.start(host, port)
    started(int(server.sockets[0].getsockname()[1]))
    await stopped.wait()
    await app.stop(server)
