"""A server among hostile clients: wrong bytes, slow ones, too many, those that leave; and signals."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from running_server import Running, read_answer, serving

from charnet.server import connection

pytestmark = pytest.mark.faults
LONG = os.environ.get("CHARNET_FAULTS") == "long"
BODY = json.dumps({"prompt": "the ", "max_tokens": 5, "seed": 1, "stop": ["og"], "logit_bias": {"e": -1.5}}).encode()
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\xff", b"{", b"[", b'"', b"\\ud800", b"1e999", b"NaN", b"-1",
    b"9" * 400, b"\r\n\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil.com\r\n",
    b"\r\n a: b",
    b"HTTP/1.1", b"http://x/", b"0\r\n\r\n", b"[" * 50, b'{"a":' * 40, b'"n": 1, "n": 2', b"\xed\xa0\x80", b"?" * 300,
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tiny_run: Path) -> Iterator[Running]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with serving(tiny_run / "best.safetensors") as running:
        yield running
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def request(body: bytes = BODY, *more: str) -> bytes:
    lines = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json", *more]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def stream(characters: int = 100_000) -> bytes:
    return request(json.dumps({"prompt": "the ", "max_tokens": characters, "stream": True}).encode())


def good(server: Running) -> float:
    """Seconds of a good client's answer."""
    began = time.perf_counter()
    answer = server.post(json.loads(BODY))
    assert answer.status == 200, answer
    return time.perf_counter() - began


def mutated(chance: random.Random) -> bytes:
    raw = bytearray(request())
    if chance.random() < 0.5:  # within the body, whose length is right
        changed = bytearray(BODY)
        _mutate(changed, chance)
        return request(bytes(changed))
    _mutate(raw, chance)
    return bytes(raw)


def _mutate(raw: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(5):
            case 0:
                raw[at:at] = chance.choice(TOKENS)
            case 1:
                del raw[at : at + chance.choice([1, 2, 10, 60])]
            case 2:
                raw[at : at + 1] = bytes([chance.randrange(256)])
            case 3:
                raw[at:at] = raw[at : at + chance.choice([5, 40])]
            case 4:
                raw[at : at + len(token)] = (token := chance.choice(TOKENS))


def test_a_mutated_request_is_answered_or_refused_at_once_and_never_breaks_the_server(server: Running) -> None:
    chance, slowest, statuses = random.Random(1), 0.0, set[int | None]()
    for number in range(1_000_000 if LONG else 2000):
        raw = mutated(chance)
        with server.connect() as client:
            began = time.perf_counter()
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)  # what is missing never comes
            answer = read_answer(client)
            slowest = max(slowest, time.perf_counter() - began)
        statuses.add(answer.status)
        assert answer.status is None or answer.status < 500, (number, raw, answer)
        if answer.status not in (None, 200, 204):
            assert set(answer.json["error"]) == {"message", "type", "param", "code"}, (raw, answer)
    good(server)
    assert not any("Traceback" in line for line in server.log)
    assert {200, 400} <= statuses
    print(f"slowest answer {1000 * slowest:.0f} ms, statuses {sorted(map(str, statuses))}")  # noqa: T201


def test_slow_clients_are_closed_within_their_deadlines_and_slow_no_other(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 500 if LONG else 120
    seconds = {"HEAD_SECONDS": 1.5, "BODY_SECONDS": 1.5, "WRITE_SECONDS": 1.5, "IDLE_SECONDS": 1.5}
    for name, value in seconds.items():
        monkeypatch.setattr(connection, name, value)
    before = descriptors()
    unloaded = sorted(good(server) for _ in range(40))[-2]
    kinds = [b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localh", request()[:-20], stream()]
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # of one that never reads
            client.connect(("127.0.0.1", server.port))
            stack.callback(client.close)
            with contextlib.suppress(ConnectionError):
                client.sendall(kinds[number % len(kinds)])
            clients.append(client)
        began, loaded = time.monotonic(), []
        while time.monotonic() - began < 6:
            for client in clients[::16]:  # a byte a second keeps nothing open
                with contextlib.suppress(OSError):
                    client.send(b"a") if time.monotonic() - began < 5 else None
            loaded.append(good(server))
        open_heads = [c for c, n in zip(clients, range(count), strict=True) if n % 4 != 3 and not closed(c)]
        assert open_heads == []
    time.sleep(0.5)
    assert descriptors() <= before + 2
    slow = sorted(loaded)[int(0.99 * len(loaded))]
    print(f"a good client's p99: {1000 * unloaded:.0f} ms alone, {1000 * slow:.0f} ms among {count}")  # noqa: T201


def closed(client: socket.socket) -> bool:
    """Whether the server has closed a connection, perhaps after an answer."""
    client.settimeout(3)
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def test_clients_that_leave_in_mid_stream_leave_nothing_behind(server: Running) -> None:
    count, room = 1000 if LONG else 150, server.app.models.all[0].room
    before = descriptors()

    def leave(_: int) -> int | None:
        with server.connect() as client:
            client.sendall(stream())
            return len(client.recv(200))

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(leave, range(count)))
    until = time.monotonic() + 5
    while (room.running or room.waiting) and time.monotonic() < until:
        time.sleep(0.01)
    assert (room.running, room.waiting) == (0, 0)
    good(server)
    time.sleep(0.5)
    assert descriptors() <= before + 2


def test_too_many_requests_are_refused_quickly_and_the_accepted_ones_complete(server: Running) -> None:
    body = json.dumps({"prompt": "the ", "max_tokens": 400, "seed": 1}).encode()
    results: list[tuple[int | None, float, str | None]] = []
    until = time.monotonic() + (60 if LONG else 4)

    def ask() -> None:
        while time.monotonic() < until:
            began = time.perf_counter()
            answer = server.raw(request(body))
            results.append((answer.status, time.perf_counter() - began, answer.headers.get("retry-after")))

    threads = [threading.Thread(target=ask) for _ in range(400)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = {status for status, _, _ in results}
    assert statuses <= {200, 429}
    assert 200 in statuses
    assert all(retry == "1" for status, _, retry in results if status == 429)
    recovered = time.perf_counter()
    good(server)
    assert time.perf_counter() - recovered < 5
    counts = [sum(s == status for s, _, _ in results) for status in (200, 429)]
    print(f"{counts[0]} answered, {counts[1]} refused")  # noqa: T201


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("twice", [False, True])
def test_a_signal_ends_streams_and_uploads_in_time(tiny_run: Path, number: int, code: int, twice: bool) -> None:
    command = [sys.executable, "-m", "charnet", "serve", str(tiny_run), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        port = (
            int(line.rpartition(":")[2].partition("/")[0])
            if "127.0.0.1:" not in line
            else int(line.partition("127.0.0.1:")[2].partition("/")[0])
        )
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(25)]
            for client in clients[:20]:
                client.sendall(stream())
                assert client.recv(50)
            for client in clients[20:]:
                client.sendall(request()[:-10])
            began = time.monotonic()
            process.send_signal(number)
            if twice:
                time.sleep(0.2)
                process.send_signal(number)
            assert process.wait(10) == code
            assert time.monotonic() - began < (2 if twice else 5.5)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.stderr.close()
        process.wait()
