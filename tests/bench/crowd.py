"""Measures what a server does among slow clients, and at ten times its capacity. Server and clients are two processes.

python tests/bench/crowd.py slow|overload|mutated CHECKPOINT [SECONDS or COUNT] [int8]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

SHORT, LONG = 5, 400  # characters of an answer
SLOW_CLIENTS, CLOSED_LOOP, OVERLOAD = 500, 64, 10
SETTLE_SECONDS = 4.0  # for the compiled engine


class Server:
    """`charnet serve` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def mebibytes(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@contextlib.contextmanager
def serving(checkpoint: str, *more: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "charnet", "serve", checkpoint, "--port", "0", "--quiet", *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        yield Server(process, int(line.rpartition("http://")[2].rpartition(":")[2].partition("/")[0]))
        process.terminate()


def request(characters: int, *, stream: bool = False, seed: int = 1) -> bytes:
    body = json.dumps({"prompt": "the ", "max_tokens": characters, "seed": seed, "stream": stream}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def ask(port: int, raw: bytes) -> tuple[int, float, int]:
    """Returns the status, the seconds and the bytes of an answer on a connection of its own; 0 for none."""
    began = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        answer = await reader.read(-1)
        writer.close()
        return int(answer[9:12] or 0), time.perf_counter() - began, len(answer)
    except OSError:
        return 0, time.perf_counter() - began, 0


def milliseconds(seconds: Sequence[float]) -> str:
    ordered = sorted(1000 * each for each in seconds) or [float("nan")]
    p99 = ordered[int(0.99 * (len(ordered) - 1))]
    return f"p50 {statistics.median(ordered):.1f} ms, p99 {p99:.1f} ms, slowest {ordered[-1]:.1f} ms"


async def slow(server: Server, seconds: float) -> None:
    """A good client alone, and among clients that send half a head, a byte a second, half a body, or never read."""
    alone = [(await ask(server.port, request(SHORT)))[1] for _ in range(500)]
    before = server.descriptors
    kinds = [b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localh", request(SHORT)[:-20], b""]
    kinds[3] = request(100_000, stream=True)
    clients = []
    for number in range(SLOW_CLIENTS):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(kinds[number % 4])
        client.setblocking(False)
        clients.append(client)
    began, times, statuses, dripped = time.monotonic(), list[tuple[float, float]](), Counter[int](), 0.0
    while (now := time.monotonic() - began) < seconds:
        if now - dripped > 1:
            dripped = now
            for client in clients[1::4]:
                with contextlib.suppress(OSError):
                    client.send(b"a")
        status, took, _ = await ask(server.port, request(SHORT))
        statuses[status] += 1
        times.append((now, took))
        await asyncio.sleep(0.01)
    print(f"alone:          {milliseconds(alone)}")
    print(f"among {SLOW_CLIENTS} slow: {milliseconds([took for _, took in times])}; {dict(statuses)}")
    for start in range(0, int(seconds), 3):
        print(f"   from {start:2} s: {milliseconds([took for at, took in times if start <= at < start + 3])}")
    print(f"descriptors: {before} before, {server.descriptors} after {seconds:.0f} s with all clients still there")
    for client in clients:
        client.close()


async def rate(server: Server, seconds: float, per_second: float | None) -> tuple[float, list[tuple[int, float]]]:
    """Characters a second that are answered in some seconds, and all answers.

    Args:
        per_second: requests that are sent whatever comes back; None = CLOSED_LOOP clients, each with one at a time.
    """
    results: list[tuple[int, float]] = []
    began, chance = time.perf_counter(), random.Random(1)

    async def one() -> None:
        status, took, _ = await ask(server.port, request(LONG, seed=chance.randrange(1000)))
        results.append((status, took))

    async def client() -> None:
        while time.perf_counter() - began < seconds:
            await one()

    if per_second is None:
        await asyncio.gather(*(client() for _ in range(CLOSED_LOOP)))
    else:
        tasks = []
        while (now := time.perf_counter() - began) < seconds:
            tasks += [asyncio.ensure_future(one()) for _ in range(int(now * per_second) - len(tasks))]
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
    took = time.perf_counter() - began
    return LONG * sum(status == 200 for status, _ in results) / took, results


async def overload(server: Server, seconds: float) -> None:
    """The best rate with 64 clients, and the rate at ten times the requests that it comes to."""
    await rate(server, 3, None)
    best, _ = await rate(server, 10, None)
    memory = server.mebibytes
    loaded, results = await rate(server, seconds, OVERLOAD * best / LONG)
    _, recovery, _ = await ask(server.port, request(SHORT))
    again, _ = await rate(server, 10, None)
    best = max(best, again)
    statuses = Counter(status for status, _ in results)
    print(f"best {best:,.0f} char/s; with {OVERLOAD} times the requests {loaded:,.0f}: {loaded / best:.0%}")
    print(f"answers {dict(statuses)}; 429 after {milliseconds([took for status, took in results if status == 429])}")
    print(f"memory {memory:.0f} MiB before, {server.mebibytes:.0f} after; a request after it: {1000 * recovery:.0f} ms")


async def mutated(server: Server, count: float) -> None:
    """Mutated requests, one after the other."""
    from test_server import mutated as mutate  # of the fault tests

    chance, times, statuses = random.Random(2), list[float](), Counter[int]()
    for _ in range(int(count)):
        raw = mutate(chance)
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", server.port)) as client, contextlib.suppress(ConnectionError):
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while more := client.recv(65536):
                answer += more
        times.append(time.perf_counter() - began)
        statuses[int(answer[9:12] or 0)] += 1
    late = sum(took > 0.05 for took in times)
    print(f"{len(times):,} requests: {milliseconds(times)}; {late} after more than 50 ms; {dict(statuses)}")


def main() -> None:
    what, checkpoint, *rest = sys.argv[1:]
    more = ["--quantize", "int8"] if "int8" in rest else []
    given = [float(each) for each in rest if each != "int8"]
    with serving(checkpoint, *more) as server:
        time.sleep(SETTLE_SECONDS)
        run, usual = {"slow": (slow, 35), "overload": (overload, 60), "mutated": (mutated, 100_000)}[what]
        asyncio.run(run(server, *(given or [usual])))


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1] / each) for each in ("faults", "server")]
    main()
