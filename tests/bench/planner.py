"""How good `charnet train --for` is: runs the command on texts, for several times and seeds, and prints a table.

    python tests/bench/planner.py shakespeare.txt --for 5s 30s 1m --seeds 0 1 2
    python tests/bench/planner.py shakespeare.txt notes.txt --for 1m --default

One command at a time, on an otherwise idle machine. `--default` also trains what most people would: an LSTM of two
layers of 128 units with AdamW at 0.002, 50 streams, windows of 50, for the same seconds: by as many steps as fit them,
however often they see the text, and takes its best evaluation too.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from charnet.overlay import parse_duration

USUAL = ["--cell", "lstm", "--num-layers", "2", "--hidden-size", "128", "--optimizer", "adamw", "--learning-rate",
         "0.002", "--batch-size", "50", "--window", "50", "--dropout", "0", "--embedding-size", "128",
         "--set", "training.final_learning_rate=1", "--set", "training.warmup=0", "--patience", "0",
         "--members", "1"]  # fmt: skip
USUAL_CHARACTERS_A_STEP = 50 * 50


def usual_length(text: str, seconds: str) -> list[str]:
    """The length in steps that the usual default takes these seconds for, by the pace that charnet plans with."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "charnet", "train", text, "--for", "1s", "--out", out, *USUAL]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    pace = re.search(r"about ([0-9,]+) characters a second", said)
    assert pace is not None, said
    return [
        "--steps",
        str(round(int(pace[1].replace(",", "")) * parse_duration("--for", seconds) / USUAL_CHARACTERS_A_STEP)),
    ]


def trained(text: str, length: list[str], seed: int, more: list[str]) -> dict[str, Any]:
    """Runs one command: its wall time, the loss that it reports, and by how much its last evaluation was above the
    best."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "charnet", "train", text, *length, "--seed", str(seed), "--out", out]
        began = time.monotonic()
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=True)
        wall = time.monotonic() - began
        lines = [json.loads(line) for line in next(Path(out).glob("*/metrics.jsonl")).read_text().splitlines()]
    curve = [(line["step"], line["val_nats_per_char"]) for line in lines if "val_nats_per_char" in line]
    said = [line for line in done.stderr.splitlines() if line.startswith(("model:", "plan", "beside", "still", "no "))]
    best = re.search(r"^best: ([0-9.]+) nats.*", done.stderr, re.MULTILINE)
    assert best is not None, done.stderr
    lowest = min(loss for _, loss in curve)
    return {"wall": wall, "best": float(best[1]), "over_best": curve[-1][1] - lowest, "curve": curve,
            "chars": lines[-1]["chars_seen"], "said": [*said, best[0]]}  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("texts", nargs="+")
    arguments.add_argument("--for", dest="times", nargs="+", default=["5s", "30s", "1m"])
    arguments.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments.add_argument("--default", action="store_true", help="the usual default beside it")
    arguments.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="more options of charnet train")
    asked = arguments.parse_args()
    for text in asked.texts:
        for seconds in asked.times:
            recipes = [("--for", ["--for", seconds], asked.options)]
            if asked.default:
                recipes.append(("usual default", usual_length(text, seconds), [*USUAL, *asked.options]))
            for name, length, more in recipes:
                runs = [trained(text, length, seed, more) for seed in asked.seeds]
                best = [run["best"] for run in runs]
                over = max(run["wall"] for run in runs) - parse_duration("--for", seconds)
                print(
                    f"| {Path(text).name} | {seconds} | {name} | {statistics.median(best):.4f} | "
                    f"{min(best):.4f}-{max(best):.4f} | {max(r['over_best'] for r in runs):.4f} | "
                    f"{runs[0]['chars']:,} | {over:+.1f} s |",
                    flush=True,
                )
                for line in runs[0]["said"]:
                    print("    " + line, flush=True)
                print("    " + json.dumps(runs[0]["curve"]), flush=True)


if __name__ == "__main__":
    main()
