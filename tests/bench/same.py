"""Did a change of the code change what charnet computes? Seeded trainings and texts, as hashes to compare.

    python tests/bench/same.py > before.json        # with the old code
    python tests/bench/same.py > after.json         # with the new code, on the same machine
    diff before.json after.json                     # nothing differs

It runs the command line in a temporary folder, so it does not depend on the modules' names. What depends on the clock
or on a file's date is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BUNDLED = Path(__file__).parent.parent.parent / "corpora" / "ferry-book.txt"
SHORT = ("--steps", "24", "--batch-size", "8", "--window", "24", "--seed", "3", "--quiet")
SMALL = ("--hidden-size", "32", *SHORT)
RUNS: dict[str, tuple[str, ...]] = {
    "rnn": ("text.txt", "--cell", "rnn", "--activation", "relu", *SMALL, "--optimizer", "adamw"),
    "lstm": ("text.txt", "--hidden-size", "128", *SHORT, "--set", "model.weight_dropout=0.2"),
    "lstm-deep": ("text.txt", "--num-layers", "2", "--embedding-size", "20", *SMALL, "--optimizer", "sgd"),
    "cifg": ("text.txt", "--cell", "cifg", "--hidden-size", "160", *SHORT),
    "gru": ("text.txt", "--cell", "gru", *SMALL, "--dropout", "0.1"),
    "ensemble": ("text.txt", "--members", "3", *SMALL),
    "lines": ("names.txt", "--lines", *SMALL),
    "bytes": ("text.txt", "--bytes", *SMALL),
    "large-alphabet": ("signs.txt", *SMALL),
    "replanned": ("text.txt", "--config", "replanned.yaml", "--quiet"),
}
SAMPLED: dict[str, tuple[str, ...]] = {
    "numpy": ("lstm", "--engine", "numpy"),
    "compiled": ("lstm", "--engine", "compiled"),
    "torch": ("lstm", "--engine", "torch"),
    "int8": ("lstm", "--engine", "numpy", "--quantize", "int8"),
    "int8-compiled": ("lstm", "--engine", "compiled", "--quantize", "int8"),
    "five": ("gru", "--samples", "5"),
    "ensemble": ("ensemble", "--engine", "compiled", "--temp", "0.5:1.2"),
    "filtered": ("cifg", "--top-k", "9", "--top-p", "0.9", "--min-p", "0.01", "--typical-p", "0.95",
                 "--repetition-penalty", "1.2", "--until", "paragraph"),
    "lines": ("lines", "--lines", "7"),
    "bytes": ("bytes", "--prompt", "The ", "--ban", "e", "--logit-bias", "a=2"),
    "rnn": ("rnn", "--engine", "compiled", "--stop", "qqq", "--json"),
}  # fmt: skip
REPLANNED = """
model: {hidden_size: 32}
training: {batch_size: 8, window: 24, seed: 3, steps: 24, earlier_plans: ["7:40", "15:33"]}
"""
BY_CLOCK = ("created", "sha256", "size_bytes", "versions", "seconds", "seconds_at_report", "chars_per_second")


def charnet(*arguments: str) -> bytes:
    """What a command writes to stdout."""
    return subprocess.run([sys.executable, "-m", "charnet", *arguments], check=True, capture_output=True).stdout


def write_texts() -> None:
    """The texts to learn from: the bundled one, names, one of 9,000 different characters; and old settings."""
    Path("text.txt").write_bytes(BUNDLED.read_bytes()[:60_000])
    choose = random.Random(5)
    names = ["".join(choose.choices("abcdefghilmnorstu", k=choose.randint(2, 11))).title() for _ in range(900)]
    Path("names.txt").write_text("\n".join(names) + "\n")
    Path("signs.txt").write_text("".join(chr(0x4E00 + choose.randrange(9000)) for _ in range(30_000)), "utf-8")
    Path("replanned.yaml").write_text(REPLANNED)


def timeless(value: Any) -> Any:
    """A JSON value without what differs from one run to the next."""
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if key not in BY_CLOCK}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def figures() -> dict[str, Any]:
    """All hashes and figures by their names."""
    write_texts()
    found: dict[str, Any] = {}
    for name, arguments in RUNS.items():
        charnet("train", *arguments, "--name", name)
    charnet("train", "text.txt", *SMALL, "--cell", "gru", "--name", "resumed", "--steps", "12")
    charnet("train", "--resume", "checkpoints/resumed", "--steps", "24", "--quiet")
    for name in (*RUNS, "resumed"):
        inspected = json.loads(charnet("inspect", f"checkpoints/{name}", "--json"))
        found[f"weights {name}"] = inspected["weights_sha256"]
        found[f"inspect {name}"] = timeless(inspected)
    for name, (run, *flags) in SAMPLED.items():
        written = charnet("sample", f"checkpoints/{run}", "-n", "700", "--seed", "11", "--quiet", *flags)
        found[f"text {name}"] = hashlib.sha256(written).hexdigest()
    for name in ("lstm", "ensemble", "lines", "bytes"):
        text = "names.txt" if name == "lines" else "text.txt"
        found[f"eval {name}"] = json.loads(charnet("eval", f"checkpoints/{name}", text, "--json"))
    for text in ("text.txt", "names.txt", "signs.txt"):
        found[f"corpus {text}"] = json.loads(charnet("corpus", "info", text, "--json"))
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHARNET_CACHE"] = f"{folder}/cache"
        os.chdir(folder)
        found = figures()
        os.chdir("/")
    print(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=True))


if __name__ == "__main__":
    main()
