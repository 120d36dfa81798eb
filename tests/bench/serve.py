"""Loads a server of this process with clients in another one, beside the bare engine, in turns.

    python tests/bench/serve.py CHECKPOINT [int8]

Prints characters a second for 1, 8, 16 and 32 clients, streamed and not, and the time to the first character of 16.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from charnet.config import SamplingOptions
from charnet.engines.registry import open_engine
from charnet.generation import batch, generate
from charnet.generation.running import Request
from charnet.storage.checkpoint import Checkpoint

LENGTH, ROUNDS = 1000, 3
PROMPT = "the "


def client(port: int, stream: bool, seed: int, results: list[tuple[float, float]]) -> None:
    """Asks for one text; adds the seconds to its first character and to its end."""
    body = {"prompt": PROMPT, "max_tokens": LENGTH, "temperature": 0.8, "seed": seed, "stream": stream}
    raw = json.dumps(body).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    began, first = time.perf_counter(), 0.0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
        received = b""
        while more := connection.recv(1 << 16):
            received += more
            if not first and b'"text":"' in received:
                first = time.perf_counter() - began
    assert b"200 OK" in received[:20], received[:300]
    results.append((first, time.perf_counter() - began))


def clients(port: int, count: int, stream: bool, sent: multiprocessing.SimpleQueue) -> None:
    """Runs clients side by side, in a process of their own."""
    results: list[tuple[float, float]] = []
    threads = [threading.Thread(target=client, args=(port, stream, seed, results)) for seed in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.put((time.perf_counter() - began, [first for first, _ in results]))


def served(port: int, count: int, stream: bool) -> tuple[float, list[float]]:
    context = multiprocessing.get_context("spawn")
    sent = context.SimpleQueue()
    process = context.Process(target=clients, args=(port, count, stream, sent))
    process.start()
    found = sent.get()
    process.join()
    return found


def bare(checkpoint: Checkpoint, engine: object, count: int) -> float:
    """Seconds for the same texts without a server."""
    ids = checkpoint.vocab.encode(PROMPT).tolist()
    began = time.perf_counter()
    requests = [
        Request(generate.start(engine, checkpoint.vocab, ids), SamplingOptions(length=LENGTH, seed=seed))
        for seed in range(count)
    ]
    for chunks in batch.answers(engine, checkpoint.vocab, iter(requests)):
        for _ in chunks:
            pass
    return time.perf_counter() - began


def median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(ROUNDS))


def main() -> None:
    from running_server import serving

    path, quantize = Path(sys.argv[1]), "int8" in sys.argv[2:]
    checkpoint = Checkpoint.load(path, weights_only=True)
    checkpoint = checkpoint.quantize() if quantize else checkpoint
    engine = open_engine(checkpoint, "compiled")
    with serving(path, quantize=quantize, compiles=True) as server:
        while server.app.models.all[0].room.engine.name != "compiled":
            time.sleep(0.1)
        served(server.port, 2, False)
        for count, stream in itertools.product((1, 8, 16, 32), (False, True)):
            rates: dict[str, list[float]] = {"server": [], "bare": []}
            firsts: list[float] = []
            for _ in range(ROUNDS):
                seconds, first = served(server.port, count, stream)
                rates["server"].append(count * LENGTH / seconds)
                firsts += first
                rates["bare"].append(count * LENGTH / bare(checkpoint, engine, count))
            of_server, of_bare = (statistics.median(rates[name]) for name in ("server", "bare"))
            spread = f"{min(rates['server']):,.0f}-{max(rates['server']):,.0f}"
            line = f"{count:3} clients {'streamed' if stream else 'whole':9} {of_server:9,.0f} char/s ({spread})"
            line += f", bare {of_bare:9,.0f}: {of_server / of_bare:.0%}"
            if stream:
                ordered = sorted(1000 * first for first in firsts)
                line += f"; first character p50 {statistics.median(ordered):.0f} ms, p99 {ordered[-1]:.0f} ms"
            print(line, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "server"))
    main()
