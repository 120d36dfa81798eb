"""A text that changes under a training: the training resumes from its own encoded copy."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from conftest import sentences
from faults.processes import SMALL, outcome, run, seeds, start, until

pytestmark = pytest.mark.faults

STEPS = 60
TRAIN = ["train", "pets.txt", "-q", *SMALL, "--steps", str(STEPS), "--out", "."]
TEXT = sentences(400)


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_text(sentences(300, seed=2))
    other.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "edited": lambda path: path.write_text(TEXT.replace("cat", "dog")),
    "cut": lambda path: path.write_text(TEXT[:500]),
    "emptied": lambda path: path.write_text(""),
    "longer": lambda path: path.write_text(TEXT + "the end"),
    "another": replaced,
    "rubbish": lambda path: path.write_bytes(b"\xff\xfe\x00" * 1000),
    "deleted": lambda path: path.unlink(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changes")
    (folder / "pets.txt").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> Any:
    run([*TRAIN, "--name", "whole"], folder=folder)
    return outcome(folder / "whole")


@pytest.mark.parametrize("seed", seeds(len(CHANGES), 200))
def test_a_text_that_changes_while_it_is_learned_changes_nothing_and_is_noticed_at_resume(
    folder: Path, whole: Any, seed: int
) -> None:
    chance, text, cut = random.Random(seed), folder / "pets.txt", folder / "cut"
    kind, interrupted = list(CHANGES)[seed % len(CHANGES)], seed % 2
    text.write_text(TEXT)
    shutil.rmtree(cut, ignore_errors=True)
    process = start([*TRAIN, "--name", "cut"], folder=folder, tidy=False)
    until(lambda: (cut / "best.safetensors").exists())
    time.sleep(chance.uniform(0, 0.2))
    CHANGES[kind](text)
    if interrupted:
        process.send(SIGTERM)
    assert process.wait() in ((0, 128 + SIGTERM) if interrupted else (0,)), process.stderr()
    if 0 < len((cut / "metrics.jsonl").read_text().splitlines()) < STEPS:
        process = start(["train", "-q", "--resume", "cut"], folder=folder)
        if kind == "deleted":  # the encoded copy is all that it takes
            assert process.wait() == 0, process.stderr()
        else:
            assert process.wait() == 3
            assert process.stderr().count("\n") == 1
            text.write_text(TEXT)
            run(["train", "-q", "--resume", "cut"], folder=folder)
    assert outcome(cut) == whole
