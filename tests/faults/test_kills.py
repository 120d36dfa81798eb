"""A training that is killed outright, at any instant, resumes from its newest checkpoint bit for bit."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from conftest import sentences
from faults.processes import SMALL, has_checkpoint, newest, outcome, run, seeds, start, until

from charnet.storage.runs import METRICS

pytestmark = pytest.mark.faults

STEPS = 100
TRAIN = ["train", "pets.txt", "-q", *SMALL, "--steps", str(STEPS), "--out", "."]


@dataclass
class Whole:
    """The run that nobody disturbs."""

    folder: Path
    seconds: float
    outcome: Any


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("kills")
    (folder / "pets.txt").write_text(sentences(400))
    process = run([*TRAIN, "--name", "whole"], folder=folder)
    return Whole(folder, time.monotonic() - process.begun, outcome(folder / "whole"))


@pytest.mark.parametrize("seed", seeds(16, 1000))
def test_a_training_killed_at_any_instant_resumes_to_the_same_weights_and_metrics(whole: Whole, seed: int) -> None:
    cut = whole.folder / "cut"
    shutil.rmtree(cut, ignore_errors=True)
    process = start([*TRAIN, "--name", "cut"], folder=whole.folder)
    time.sleep(random.Random(seed).uniform(0, whole.seconds))
    process.send(SIGKILL)
    assert process.wait() in (0, 128 + SIGKILL)
    if not has_checkpoint(cut):
        assert not cut.exists() or len(list(cut.iterdir())) <= 2, "killed as it began"
        shutil.rmtree(cut, ignore_errors=True)
        run([*TRAIN, "--name", "cut"], folder=whole.folder)
    elif newest(cut).trainer_state.reported_step < STEPS:
        run(["train", "-q", "--resume", "cut"], folder=whole.folder)
    assert outcome(cut) == whole.outcome
    assert not list(cut.glob(".*"))


LONGER = [*TRAIN, "--steps", "600", "--patience", "0"]


@pytest.fixture(scope="module")
def longer(whole: Whole) -> Whole:
    process = run([*LONGER, "--name", "longer"], folder=whole.folder)
    return Whole(whole.folder, time.monotonic() - process.begun, outcome(whole.folder / "longer"))


@pytest.mark.parametrize("seed", seeds(1, 25))
def test_a_training_killed_twenty_times_ends_with_the_same_weights_and_metrics(longer: Whole, seed: int) -> None:
    cut, chance = longer.folder / "cut", random.Random(seed)
    shutil.rmtree(cut, ignore_errors=True)
    process = start([*LONGER, "--name", "cut"], folder=longer.folder)
    for number in range(20):
        reached = 28 * number + chance.randrange(28)  # of 600 steps, whatever the pace of the machine
        until(lambda reached=reached: steps_reported(cut) >= reached)
        time.sleep(chance.uniform(0, 0.02))
        process.send(SIGKILL)
        assert process.wait() == 128 + SIGKILL, "it ended before it was killed often enough"
        newest(cut)
        process = start(["train", "-q", "--resume", "cut"], folder=longer.folder)
    assert process.wait() == 0, process.stderr()
    assert outcome(cut) == longer.outcome


def steps_reported(run: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return (run / METRICS).read_bytes().count(b"\n") if has_checkpoint(run) else -1
    return -1
