"""Texts of receipts are written again with other kernels of the library for products, and in other numbers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from receipt_files import small

from charnet.config import SamplingOptions
from charnet.engines.registry import open_engine
from charnet.generation import batch
from charnet.storage import receipt

KINDS = ("lstm", "gru", "cifg", "rnn", "mixture", "lines", "bytes")
OPTIONS = (
    *("-n 150", "-n 40 --samples 3", "-n 12 --samples 66", "-n 60 --temp 1.4:0.3", "-n 60 --top-k 4 --top-p 0.8"),
    *("-n 60 --min-p 0.05 --typical-p 0.7", "-n 60 --repetition-penalty 1.4", "-n 60 --logit-bias b=2 --ban a"),
    *("-n 80 --until sentence", "-n 60 --stop ab --max-lines 2", "-n 60 -p abc --no-echo", "-n 0 -p cab"),
    *("-n 30 --match [abc]{3,8}", "-n 30 --match [ab]{2,6}c --exact", "-n 30 --template a{[abc]{1,4}}bb{[ab]+}c"),
)
CODE = (
    "import sys; from charnet.cli.app import run; from charnet.engines.rounding import kind_of_machine; "
    "print(kind_of_machine('numpy')['blas'].split()[-1]);"
    "sys.exit(max(run(line.split()) for line in sys.stdin.read().splitlines()))"
)


def run_lines(lines: list[str], folder: Path, kernel: str) -> str:
    """Runs command lines in a process with other kernels, and returns what it wrote."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel}
    command, given = [sys.executable, "-c", CODE], "\n".join(lines).encode()
    done = subprocess.run(command, input=given, cwd=folder, env=environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "surrogateescape")


def replay_on_two_kernels(folder: Path, count: int, engines: Sequence[str]) -> None:
    chance, sampled, replayed = random.Random(count), [], []
    for kind in KINDS:
        small(kind).save(folder / f"{kind}.safetensors")
    for index in range(count):
        kind, engine = KINDS[index % len(KINDS)], chance.choice(engines)
        options = f"{chance.choice(OPTIONS)} --seed {chance.randrange(10**6)} --engine {engine} --quantize int8 -q"
        sampled.append(f"sample {kind}.safetensors --receipt {index}.json {options}")
        replayed.append(f"replay {index}.json -q")
    first, written = run_lines(sampled, folder, "Haswell").split("\n", 1)
    second, again = run_lines(replayed, folder, "Nehalem").split("\n", 1)
    assert first != second  # otherwise it is no other kernel
    assert again == written
    assert all(receipt.read(folder / f"{index}.json").exact for index in range(count))


needs_kernels = pytest.mark.skipif(
    sys.platform == "darwin" or os.uname().machine != "x86_64", reason="the kernels are those of x86"
)


@needs_kernels
@pytest.mark.exhaustive
def test_texts_are_replayed_with_other_kernels(tmp_path: Path) -> None:
    replay_on_two_kernels(tmp_path, 2 * len(KINDS), ["numpy"])


@needs_kernels
@pytest.mark.slow
def test_two_hundred_texts_are_replayed_with_other_kernels(tmp_path: Path) -> None:
    replay_on_two_kernels(tmp_path, 200, ["numpy", "compiled"])


@needs_kernels
@pytest.mark.exhaustive
def test_a_text_in_fp32_says_with_which_other_kernels_it_is_replayed(tmp_path: Path) -> None:
    small().save(tmp_path / "a.safetensors")
    run_lines(["sample a.safetensors -n 9 --receipt r"], tmp_path, "Haswell")
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Nehalem"}
    line = [sys.executable, "-m", "charnet", "replay", "r"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr.startswith("it may differ: the receipt is for blas ")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("first", [1, 255, 256, 299])
def test_the_texts_from_one_on_are_those_of_all(first: int, engine: str, precision: str) -> None:
    checkpoint = small() if precision == "fp32" else small().quantize()
    opened, options = open_engine(checkpoint, engine), SamplingOptions(length=5, top_k=3)

    def written(first: int) -> list[str]:
        texts = batch.texts(opened, checkpoint.vocab, [0, 1], options, 300, first=first)
        return ["".join(chunk.text for chunk in chunks) for chunks in texts]

    assert written(first) == written(0)[first:]
