"""A server in this process, on a free port of loopback, and a client that sends bytes as they are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charnet.server import app as server
from charnet.server.access import Access
from charnet.server.models import Models


@dataclass
class Answer:
    """The status, the headers and the body of an answer; without a status there was none."""

    status: int | None
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The events of a stream."""
        lines = [line[6:] for line in self.body.decode().split("\n\n") if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


@dataclass
class Running:
    """A server that is running."""

    port: int
    app: server.App
    loop: asyncio.AbstractEventLoop
    log: list[str]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, data: bytes) -> Answer:
        """Sends bytes as they are, and reads one answer."""
        with self.connect() as client:
            client.sendall(data)
            return read_answer(client)

    def get(self, path: str, *headers: str, method: str = "GET") -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
        return self.raw("\r\n".join(lines).encode())

    def post(self, value: Any, path: str = "/v1/completions", *headers: str) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        kind = (
            ()
            if any(header.lower().startswith("content-type") for header in headers)
            else ("Content-Type: application/json",)
        )
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *kind, *headers, "", ""]
        return self.raw("\r\n".join(lines).encode() + body)


def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < 30, "it never holds"
        time.sleep(0.002)


def read_answer(client: socket.socket) -> Answer:
    """Reads one answer from a connection."""
    data = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while b"\r\n\r\n" not in data and (more := client.recv(65536)):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        return Answer(None, {}, b"")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    chunked = headers.get("transfer-encoding") == "chunked"
    length = int(headers.get("content-length", -1))
    with contextlib.suppress(ConnectionError, TimeoutError):
        while (not body.endswith(b"0\r\n\r\n") if chunked else len(body) < length or length < 0) and (
            more := client.recv(65536)
        ):
            body += more
    return Answer(
        int(first.split()[1]), headers, unchunked(body) if chunked else body[: length if length >= 0 else None]
    )


def unchunked(data: bytes) -> bytes:
    found = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        count = int(size, 16)
        found, data = found + rest[:count], rest[count + 2 :]
    return found


@contextlib.contextmanager
def serving(
    *paths: Path, quantize: bool = True, access: Access | None = None, page: str = "", compiles: bool = False
) -> Iterator[Running]:
    """Serves checkpoints until the end of the block."""
    log: list[str] = []
    models = Models(paths, quantize=quantize, log=log.append)
    if compiles:
        models.compile()
    app = server.App(models, access or Access(), page=page, log=log.append)
    ready, found = threading.Event(), dict[str, Any]()

    async def main() -> None:
        stopped = asyncio.Event()
        found.update(loop=asyncio.get_running_loop(), stopped=stopped)

        def started(port: int) -> None:
            found["port"] = port
            ready.set()

        await server.run(app, "127.0.0.1", 0, started=started, stopped=stopped)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(20)
    try:
        yield Running(found["port"], app, found["loop"], log)
    finally:
        found["loop"].call_soon_threadsafe(found["stopped"].set)
        thread.join(20)
        assert not thread.is_alive()
