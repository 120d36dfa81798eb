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


if __name__ == "__main__":
    measure(sys.argv[2], int(sys.argv[3]))
