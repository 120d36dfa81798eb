"""What several processes gain: measured on this machine, and reckoned for many.

python tests/bench/scaling.py measure TEXT [ROUNDS]    trains with one and two processes, in turns
python tests/bench/scaling.py                          the tables of the guide, up to 1,024 processes
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from charnet.config import Config
from charnet.model.device import choose_precision, cpu_capabilities, set_threads
from charnet.model.shapes import num_weights
from charnet.overlay import overlay
from charnet.training.communication import Imagined, Network, Traffic, of_sum
from charnet.training.throughput import TrainingStep

SIZE = ("--hidden-size", "512", "--batch-size", "64", "--window", "64", "--steps", "36", "--val-chars", "2000")
HOW = {
    "1 process of 2 threads": ("--threads", "2"),
    "2 processes of 1 thread": ("--threads", "1", "--processes", "2"),
    "1 process of 1 thread": ("--threads", "1"),
    "1 process of 1 thread, --shards 2": ("--threads", "1", "--shards", "2"),
    "1 process of 1 thread, --shards 8": ("--threads", "1", "--shards", "8"),
    "1 process of 2 threads, --shards 2": ("--threads", "2", "--shards", "2"),
    "1 process of 2 threads, --shards 8": ("--threads", "2", "--shards", "8"),
    "2 processes of 1 thread, --shards 8": ("--threads", "1", "--processes", "2", "--shards", "8"),
}
WARMUP = 2  # lines of metrics
NETWORKS = {
    "1 Gbit/s": Network(100e-6, 1e9 / 8),
    "10 Gbit/s": Network(50e-6, 1e10 / 8),
    "100 Gbit/s": Network(10e-6, 1e11 / 8),
}
UNITS, BATCHES, WINDOW, ALPHABET = (512, 1024), (64, 1024), 64, 65
MOST_MEASURED = 64  # streams; more take as much longer
ROUNDS, REPEATS = 4, 5


def rate(text: str, options: tuple[str, ...]) -> float:
    """Trains for some steps. Returns the median of the characters per second in the metrics."""
    with tempfile.TemporaryDirectory() as folder:
        regular = ("--set", "training.report_every=4", "--set", "training.eval_every=1000", "--quiet", "--out", folder)
        command = [sys.executable, "-m", "charnet", "train", text, *SIZE, *options, *regular, "--name", "run"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    return statistics.median(json.loads(line)["chars_per_second"] for line in lines[WARMUP:])


def measure(text: str, rounds: int) -> None:
    """Prints the speed of one and of two processes on this machine, with medians of rounds that take turns."""
    found: dict[str, list[float]] = {how: [] for how in HOW}
    for _ in range(rounds):
        for how, options in HOW.items():
            found[how].append(rate(text, options))
    beside = statistics.median(found["1 process of 2 threads"])
    print("| LSTM 512, 64 x 64 | chars/s (lowest-highest) | steps/s | beside the first |\n|---|---|---|---|")
    for how, rates in found.items():
        middle = statistics.median(rates)
        span = f"{middle:,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"
        print(f"| {how} | {span} | {middle / 4096:.2f} | {middle / beside:.2f} |")


def timed(units: int, streams: int, processes: int) -> tuple[float, float, Traffic]:
    """Measures a step of one thread: seconds of the gradients, of the optimizer, and what it would send."""
    cpu, group = torch.device("cpu"), Imagined(processes)
    values = {"model.hidden_size": units, "training.batch_size": streams * processes, "training.window": WINDOW}
    config = overlay(Config(), values)
    config = overlay(config, {"training.precision": choose_precision(config, cpu_capabilities(cpu))})
    step = TrainingStep(config, ALPHABET, cpu, group)
    step.run(1)
    sent = group.traffic + of_sum(4 * num_weights(config, ALPHABET), processes)
    gradients, optimizer = map(min, zip(*(step.timed() for _ in range(REPEATS)), strict=True))
    return gradients, optimizer, sent


def tables(units: int) -> None:
    """Prints the efficiency of 1, 2, 4 ... processes that share the streams of a batch.

    Other programs only make a step slower, so its time is the least of several rounds.
    """
    set_threads(1)
    sizes = [1 << power for power in range(MOST_MEASURED.bit_length())]
    rounds = [{streams: timed(units, streams, 1) for streams in sizes} for _ in range(ROUNDS)]
    gradients = {streams: min(each[streams][0] for each in rounds) for streams in sizes}
    whole = min(found[1] for each in rounds for found in each.values())
    shared = min(timed(units, 1, 4)[1] for _ in range(ROUNDS * len(sizes)))
    print(f"\nOne thread, LSTM {units}: the optimizer takes {1000 * whole:.0f} ms, shared out {1000 * shared:.0f} ms.")
    for batch_size in BATCHES:
        print(f"\nLSTM {units}, {batch_size:,} streams in all, windows of {WINDOW}:\n")
        print("| processes | streams each | ms of computing | MB sent | " + " | ".join(NETWORKS) + " |")
        print("|---" * (4 + len(NETWORKS)) + "|")
        alone, ends = 0.0, dict.fromkeys(NETWORKS, "")
        for count in (1 << power for power in range(batch_size.bit_length())):
            streams = batch_size // count
            measured = min(streams, MOST_MEASURED)
            computing = gradients[measured] * streams / measured + (whole if count <= 2 else shared)
            alone = alone or computing
            sent, shares = timed(units, 1, count)[2], []
            for name, network in NETWORKS.items():
                share = alone / count / (computing + network.seconds(sent))
                ends[name] = ends[name] or (f"{count:,}" if share < 0.5 else "")
                shares.append(f"{share:.0%}")
            cells = f"{count:,} | {streams:,} | {1000 * computing:,.0f} | {sent.bytes / 1e6:,.1f}"
            print(f"| {cells} | {' | '.join(shares)} |", flush=True)
        print(f"\nUnder 50 % from: {', '.join(f'{name} {count}' for name, count in ends.items())}.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else 5)
    else:
        for units in UNITS:
            tables(units)
