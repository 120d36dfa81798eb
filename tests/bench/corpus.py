"""Measures how reading a text grows with its size: speed, memory, and the start on a text that was read before.

    python tests/bench/corpus.py FOLDER            # makes texts of 1 MB to 5 GB there, and removes them
    python tests/bench/corpus.py FOLDER 100MB zh   # one of them

Each line is a process of its own, which trains twenty steps of a small network on the text: first with an empty cache,
then once more. Memory is what the process holds of its own (RssAnon of /proc) at its peak, over what it held once torch
was loaded. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SIZES = {"1MB": 10**6, "100MB": 10**8, "1GB": 10**9, "5GB": 5 * 10**9}
STEPS = {
    "model.hidden_size": 64,
    "training.steps": 20,
    "training.eval_every": 20,
    "training.threads": 1,
    "data.val_chars": 100_000,
}
SECONDS_BETWEEN_LOOKS = 0.01


def anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))) * 1024


def make(path: Path, size: int, kind: str) -> None:
    """Writes a text of words (ascii), or of Chinese characters as frequent as in a language (zh)."""
    import numpy as np

    draws = np.random.default_rng(1).zipf(1.15, 1 << 20)
    if kind == "zh":
        block = "".join(chr(0x4E00 + rank) if rank < 5000 else "\n" for rank in (draws % 5040).tolist()).encode()
    else:
        words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26) * (n % 5)}{chr(97 + n % 7)}" for n in range(5000)]
        block = " ".join(words[rank] if rank < 5000 else "\n" for rank in (draws % 5040).tolist()).encode()
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(block[: size - file.tell()] if kind == "ascii" else block)


def measured(path: str, out: str) -> dict[str, Any]:
    """Trains twenty steps in this process, and measures time and memory."""
    import torch

    from charnet.data import corpus
    from charnet.training import setup

    del torch
    before, peak, finished = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not finished.wait(SECONDS_BETWEEN_LOOKS):
            peak[0] = max(peak[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    text = corpus.read([path]) if path != "-" else None
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    run = setup.new_run(STEPS | {"data.paths": [path]}, out=Path(out))
    start = time.perf_counter() - began
    for _ in run.events():
        pass
    finished.set()
    watcher.join()
    size = text.size_bytes if text else run.info.size_bytes
    return {"seconds": seconds if text else start, "start": start, "memory": peak[0] - before, "bytes": size}


def line(folder: Path, name: str, kind: str, *, stdin: bool = False, cores: int = 1) -> None:
    path = folder / f"{kind}-{name}.txt"
    if not path.exists():
        make(path, SIZES[name], kind)
    subprocess.run(["dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none"], check=True)  # into memory
    environment = os.environ | {"CHARNET_CACHE": str(folder / "cache")}
    command = ["taskset", "-c", ",".join(map(str, range(cores))), sys.executable, __file__]
    results = []
    for _ in range(2 if not stdin else 1):
        with path.open("rb") as file:
            process = subprocess.run(
                [*command, "--one", "-" if stdin else str(path), str(folder / "runs")],
                env=environment, stdin=file, capture_output=True, text=True, check=True,
            )  # fmt: skip
        results.append(json.loads(process.stdout))
    first, again = results[0], results[-1]
    start = "" if stdin else f"{again['seconds']:.2f} s"
    print(
        f"| {name} | {kind} | {'stdin' if stdin else 'file'} | {first['bytes'] / first['seconds'] / 1e6:,.0f} MB/s | "
        f"{start} | {max(first['memory'], again['memory']) / 1e6:,.0f} MB |",
        flush=True,
    )
    subprocess.run(["rm", "-rf", str(folder / "cache")], check=True)


def main(folder: Path, names: list[str], kinds: list[str]) -> None:
    print("| size | text | from | encoded at | start once encoded | memory |")
    print("|---|---|---|---|---|---|")
    for kind in kinds:
        for name in names:
            line(folder, name, kind)
            if name in ("1GB", "5GB") and kind == "ascii":
                line(folder, name, kind, stdin=True)
            (folder / f"{kind}-{name}.txt").unlink()


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        print(json.dumps(measured(*sys.argv[2:])))
    else:
        given = sys.argv[2:]
        main(
            Path(sys.argv[1]),
            [name for name in SIZES if name in given] or list(SIZES),
            [kind for kind in ("ascii", "zh") if kind in given] or ["ascii", "zh"],
        )
