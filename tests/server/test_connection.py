"""Who leaves, or does not read, or asks for what takes long, holds nothing and delays nobody."""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from checkpoint_files import of_size
from conftest import accept_signals
from running_server import Running, read_answer, serving, until

from charnet import machine
from charnet.engines.registry import available
from charnet.server import completions, connection, engine_room, models, patterns
from charnet.server.connection import Connection

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LONG = {"prompt": "a", "max_tokens": 100_000, "top_k": 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "best.safetensors"
    of_size(16).save(path)
    return path


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Running]:
    with serving(model) as running:
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines are short."""
    for name in ("IDLE_SECONDS", "HEAD_SECONDS", "BODY_SECONDS", "WRITE_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(connection, name, 0.2)


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffers of the system hold little of what a client does not read."""
    made = Connection.connection_made

    def with_little_room(self: Connection, transport: Any) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        made(self, transport)

    monkeypatch.setattr(Connection, "connection_made", with_little_room)


def post(fields: dict[str, Any]) -> bytes:
    body = json.dumps(fields).encode()
    return HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def read_all(client: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(1 << 16):
            found += piece
    return found


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("begun", "status"),
    [(b"", b""), (b"G", b"408"), (HEAD, b"408"), (HEAD + b"Content-Length: 50\r\n\r\n{", b"408"),
     (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"200")],
    ids=["nothing", "a byte", "half a head", "half a body", "no second request"],
)  # fmt: skip
def test_who_stops_in_the_middle_is_told_so_and_dropped(server: Running, begun: bytes, status: bytes) -> None:
    with server.connect() as client:
        client.sendall(begun)
        assert read_all(client)[9:12] == status


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nX: ", HEAD + b"Content-Length: 1000000\r\n\r\n"])
def test_a_byte_now_and_then_prolongs_no_deadline(server: Running, begun: bytes) -> None:
    with server.connect() as client:
        client.sendall(begun)
        client.settimeout(0.02)
        found = b""
        for _ in range(1000):
            with contextlib.suppress(TimeoutError):
                client.sendall(b"a")
                found = client.recv(1000)
                break
        assert found.startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("quick", "little_room")
@pytest.mark.parametrize(
    "sent",
    [post(LONG | {"stream": True}),
     pytest.param(post(LONG | {"max_tokens": 20_000, "n": 8}), marks=pytest.mark.exhaustive),
     pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", marks=pytest.mark.exhaustive)],
    ids=["stream", "whole", "less than counts as slow"],
)  # fmt: skip
def test_who_never_reads_is_dropped(model: Path, sent: bytes) -> None:
    with serving(model, page="x" * 50_000) as running, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", running.port))
        client.sendall(sent)
        until(lambda: running.app.counts.connections == 1)
        until(lambda: running.app.counts.connections == 0)
        until(lambda: running.app.models.all[0].room.running == 0)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("more", [{}, {"top_k": 0}, {"logprobs": 0, "max_tokens": 50_000}, {"n": 8}], ids=str)
def test_a_text_stops_when_its_client_leaves(server: Running, stream: bool, more: dict[str, Any]) -> None:
    room = server.app.models.all[0].room
    before = room.characters
    with server.connect() as client:
        client.sendall(post(LONG | more | {"stream": stream}))
        until(lambda: room.running > 0)
    until(lambda: room.running == 0)
    written = room.characters
    time.sleep(0.03)
    assert room.characters == written
    assert written - before < 50_000


def test_what_is_too_much_is_refused_with_a_time_to_try_again(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_room, "MOST_RUNNING", 1)
    monkeypatch.setattr(engine_room, "MOST_WAITING", 1)
    room = server.app.models.all[0].room
    with server.connect() as first, server.connect() as second:
        first.sendall(post(LONG))
        until(lambda: room.running == 1)
        second.sendall(post(LONG))
        until(lambda: room.waiting == 1)
        found = server.post({"prompt": "a"})
        assert (found.status, found.headers["retry-after"]) == (429, "1")
        assert found.json["error"]["type"] == "rate_limit_error"
        second.close()
        until(lambda: room.waiting == 0)
    assert server.post({"prompt": "a", "max_tokens": 3}).status == 200


def test_an_answer_that_takes_too_long_ends_with_an_error(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "LONGEST_ANSWER", 0.1)
    assert server.post(LONG).status == 503
    assert "took too long" in server.post(LONG | {"stream": True}).events[-1]["error"]["message"]
    until(lambda: server.app.models.all[0].room.running == 0)


@pytest.mark.exhaustive
def test_a_pattern_that_takes_long_to_compile_delays_nobody(server: Running) -> None:
    with server.connect() as client:
        client.sendall(post({"prompt": "a", "match": "((a?){30}){30}"}))
        client.setblocking(False)
        answered, found = 0, b""
        while not found:
            with contextlib.suppress(BlockingIOError):
                found = client.recv(1000)
                break
            assert server.get("/health").status == 200
            answered += 1
    assert found.startswith(b"HTTP/1.1 400 ")
    assert answered > 1


@pytest.mark.parametrize(
    "fields", [{"prompt": ["a"] * 16, "n": 5}, {"max_tokens": 100_000, "logprobs": 2}], ids=["n", "logprobs"]
)
def test_what_would_take_too_much_memory_is_refused(server: Running, fields: dict[str, Any]) -> None:
    found = server.post(fields)
    assert (found.status, found.json["error"]["param"]) == (400, "n" if "n" in fields else "logprobs")


def test_a_bug_in_the_engine_is_an_error_of_the_server_and_the_next_request_is_served(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(model) as running:
        with monkeypatch.context() as patch:
            patch.setattr(running.app.models.all[0].room, "_turn", lambda: 1 / 0)
            refused = running.post({"prompt": "a"})
        assert (refused.status, refused.json["error"]["type"]) == (500, "server_error")
        assert any("ZeroDivisionError" in line for line in running.log)
        assert running.post({"prompt": "a"}).status == 200


def test_who_sends_no_more_may_still_have_a_short_answer(server: Running) -> None:
    with server.connect() as client:
        client.sendall(post({"prompt": "a", "max_tokens": 3}))
        client.shutdown(socket.SHUT_WR)
        assert read_answer(client).status == 200


def test_too_many_connections_are_refused_and_the_others_served(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.app, "_most", 3)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(3)]
        until(lambda: server.app.counts.connections == 3)
        assert server.raw(b"").status == 503
        clients[0].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_all(clients[0]).endswith(b'{"status":"ok"}')
        until(lambda: server.app.counts.connections == 2)
        assert server.get("/health").status == 200


@pytest.mark.parametrize("limits", [(40, 1000), (40, 50), (2000, 2000)])
def test_as_many_files_may_be_open_as_are_wanted_or_allowed(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _: kept[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: kept.append(given))
    assert machine.descriptors(500) == min(500, limits[1])
    assert kept[-1] == (max(limits[0], min(500, limits[1])), limits[1])


@pytest.mark.slow
def test_where_few_files_may_be_open_clients_are_refused_and_nothing_is_printed(model: Path) -> None:
    def few_files() -> None:
        accept_signals()
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    command = [sys.executable, "-m", "charnet", "serve", str(model), "--port", "0", "-q"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=few_files) as process:
        assert process.stderr is not None
        port = int(process.stderr.readline().partition("127.0.0.1:")[2].partition("/")[0])
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(400)]
            with contextlib.suppress(TimeoutError):
                assert read_all(clients[-1]).startswith(b"HTTP/1.1 503 ")
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert read_all(client).endswith(b'{"status":"ok"}')
        process.terminate()
        rest = process.communicate(timeout=20)[1]
    assert (process.returncode, rest) == (143, "")


def test_the_head_alone_of_an_answer_has_no_body(server: Running) -> None:
    with server.connect() as client:
        for path in ("/health", "/nothing"):
            client.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b""
        while more := client.recv(65536):
            received += more
    assert [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/")] == [
        b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 200 OK",
    ]  # fmt: skip
    assert received.count(b"{") == 1


def test_one_model_is_described_by_its_name(server: Running) -> None:
    (model,) = server.get("/v1/models").json["data"]
    assert server.get(f"/v1/models/{quote(model['id'])}").json == model
    assert server.get("/v1/models/other").json["error"]["code"] == "model_not_found"


def test_patterns_of_clients_who_have_left_are_not_compiled(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def compile_slowly(options: Any) -> None:
        compiled.append(options.match)
        time.sleep(0.3)

    room = server.app.models.all[0].room
    monkeypatch.setattr(room, "prepare", compile_slowly)
    with contextlib.ExitStack() as stack:
        for number in range(6):
            client = stack.enter_context(server.connect())
            client.sendall(post({"prompt": "a", "match": f"a{{{number}}}"}))
        until(lambda: server.app.models.all[0].patterns == 6)
    assert server.post({"prompt": "a", "match": "b"}).status == 200
    assert compiled in (["a{0}", "b"], ["a{0}", "a{1}", "b"])


def test_too_many_patterns_at_once_are_refused(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MOST_PATTERNS", 0)
    assert server.post({"prompt": "a", "match": "b"}).status == 429


def test_texts_to_stop_at_that_can_never_come_stop_nothing(server: Running) -> None:
    asked = {"prompt": "a", "max_tokens": 9, "seed": 1}
    plain = server.post(asked).json["choices"]
    assert server.post(asked | {"stop": ["#", "ab#"]}).json["choices"] == plain
    assert server.post(asked | {"stop": ["x" * 1001]}).json["error"]["param"] == "stop"


@pytest.mark.skipif(available("compiled") != "compiled", reason="needs numba")
def test_a_model_that_was_replaced_is_forgotten(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SECONDS_BETWEEN_LOOKS", 0)
    path = tmp_path / "best.safetensors"
    path.write_bytes(model.read_bytes())
    with serving(path, compiles=True) as running:
        served = running.app.models.all[0]
        until(lambda: served.room.engine.name == "compiled")
        before = weakref.ref(served.room)
        running.post({"prompt": "a", "max_tokens": 2})
        of_size(16).save(path)
        running.post({"prompt": "a", "max_tokens": 2})
        until(lambda: served.room is not before())
        until(lambda: gc.collect() >= 0 and before() is None)
