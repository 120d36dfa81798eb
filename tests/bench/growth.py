"""How training grows with the work: characters a second and peak memory by units, layers, window and threads.

    python tests/bench/growth.py

Each line is a process of its own, so that its peak of memory is its own; one at a time, on an otherwise idle machine.
Memory is counted over the bare import of torch and charnet, beside the formula that `resolve.check_memory` refuses by.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from typing import Any

UNITS, LAYERS, WINDOWS = (128, 256, 512, 1024, 2048), (1, 2, 3), (32, 128, 512)
BATCH_SIZE, ALPHABET = 64, 65
REPEATS, SHORTEST = 5, 0.3  # timed repeats, seconds of each


def measured(hidden_size: int, num_layers: int, window: int, threads: int) -> dict[str, Any]:
    """Times steps of training in this process."""
    from charnet.config import Config
    from charnet.model.device import choose_precision, cpu_capabilities, set_threads
    from charnet.overlay import overlay
    from charnet.training.resolve import memory_needed
    from charnet.training.throughput import TrainingStep, seconds_per_step

    shape = {
        "model.hidden_size": hidden_size,
        "model.num_layers": num_layers,
        "training.window": window,
        "training.batch_size": BATCH_SIZE,
    }
    config = overlay(Config(), shape)
    import torch

    cpu = torch.device("cpu")
    config = overlay(config, {"training.precision": choose_precision(config, cpu_capabilities(cpu))})
    set_threads(threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = [seconds_per_step(config, ALPHABET, cpu) for _ in range(REPEATS)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    rates = [BATCH_SIZE * window / each for each in seconds]
    step = TrainingStep(config, ALPHABET)
    return {
        "rate": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "precision": config.training.precision,
        "gflops": statistics.median(rates) * step.operations_a_character / 1e9,
        "memory": peak * 1024,
        "formula": memory_needed(config, ALPHABET),
    }


def main() -> None:
    shapes = [(units, 1, 64, 2) for units in UNITS]
    shapes += [(512, layers, 64, 2) for layers in LAYERS[1:]]
    shapes += [(512, 1, window, 2) for window in WINDOWS]
    shapes += [(units, 1, 64, 1) for units in UNITS[:3]]
    print("| units | layers | window | threads | precision | chars/s (lowest-highest) | GFLOP/s | memory | formula |")
    print("|---|---|---|---|---|---|---|---|---|")
    for shape in shapes:
        command = [sys.executable, __file__, *map(str, shape)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(
            f"| {' | '.join(map(str, shape))} | {found['precision']} | {found['rate']:,.0f} "
            f"({found['lowest']:,.0f}-{found['highest']:,.0f}) | {found['gflops']:,.0f} | "
            f"{found['memory'] / 1e6:,.0f} MB | {found['formula'] / 1e6:,.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(*map(int, sys.argv[1:]))))
    else:
        main()
