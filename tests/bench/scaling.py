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
from charnet.overlay import overlay
from charnet.training.communication import Imagined, Network, of_sum
from charnet.training.resolve import num_weights
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
REPEATS = 7


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


def timed(units: int, streams: int, group: Imagined) -> tuple[float, float]:
    """Measures the seconds of a step of one thread: of its gradients, and of the optimizer."""
    cpu = torch.device("cpu")
    values = {"model.hidden_size": units, "training.batch_size": streams * group.size, "training.window": WINDOW}
    config = overlay(Config(), values)
    config = overlay(config, {"training.precision": choose_precision(config, cpu_capabilities(cpu))})
    step = TrainingStep(config, ALPHABET, cpu, group)
    step.run(2)
    group.traffic = of_sum(4 * num_weights(config, ALPHABET), group.size)
    step.run(1)
    traffic = group.traffic
    found = [step.timed() for _ in range(REPEATS)]
    group.traffic = traffic
    gradients, optimizer = (statistics.median(each) for each in zip(*found, strict=True))
    return gradients, optimizer


def table(units: int, batch_size: int) -> None:
    """Prints the efficiency of 1, 2, 4 ... processes that share the streams of a batch."""
    set_threads(1)
    counts = [1 << power for power in range(batch_size.bit_length())]
    print(f"\nLSTM {units}, {batch_size:,} streams in all, windows of {WINDOW}:\n")
    print("| processes | streams each | ms of computing | MB sent | " + " | ".join(NETWORKS) + " |")
    print("|---" * (4 + len(NETWORKS)) + "|")
    alone, ends = 0.0, dict.fromkeys(NETWORKS, "")
    for count in counts:
        group, streams = Imagined(count), batch_size // count
        measured = min(streams, MOST_MEASURED)
        gradients, optimizer = timed(units, measured, group)
        computing = gradients * streams / measured + optimizer
        alone = alone or computing
        shares = []
        for name, network in NETWORKS.items():
            share = alone / count / (computing + network.seconds(group.traffic))
            if share < 0.5 and not ends[name]:
                ends[name] = f"{count:,}"
            shares.append(f"{share:.0%}")
        sent = f"{group.traffic.bytes / 1e6:,.1f}"
        print(f"| {count:,} | {streams:,} | {1000 * computing:,.0f} | {sent} | {' | '.join(shares)} |", flush=True)
    print(f"\nUnder 50 % from: {', '.join(f'{name} {count or chr(8212)}' for name, count in ends.items())}.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else 5)
    else:
        for units in UNITS:
            for batch_size in BATCHES:
                table(units, batch_size)
