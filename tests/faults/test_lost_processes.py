"""Processes that train together are killed, stopped and interrupted: the run ends in the weights of one undisturbed."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGSTOP, SIGTERM

import pytest
from conftest import sentences
from faults.processes import LONG, newest, outcome, run, seeds, until
from faults.torchrun import STANDALONE, TINY, Torchrun, start, steps_reported

pytestmark = pytest.mark.faults

STEPS = 800
TRAIN = ["train", "pets.txt", *TINY, "--steps", str(STEPS)]

ENDLESS = ["train", "pets.txt", *TINY, "--steps", "1000000", "--out", "cut"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not Path("/proc/self/environ").exists():
        pytest.skip("this system does not tell the processes of torchrun apart")
    folder = tmp_path_factory.mktemp("processes")
    (folder / "pets.txt").write_text(sentences(2000))
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> object:
    run([*TRAIN, "--out", "."], folder=folder)
    return outcome(folder / "pets")


@pytest.fixture
def cut(folder: Path) -> Path:
    shutil.rmtree(folder / "cut", ignore_errors=True)
    return folder / "cut" / "pets"


@pytest.fixture
def endless(folder: Path, cut: Path) -> Iterator[Torchrun]:
    """A training that takes longer than any test, at work."""
    work = start([*ENDLESS, "--timeout", "3"], folder)
    try:
        until(lambda: steps_reported(cut) >= 300)
        yield work
    finally:
        work.end()


@pytest.mark.parametrize("seed", seeds(2, 100))
def test_a_process_killed_at_any_instant_costs_one_restart_and_no_bit_of_the_weights(
    folder: Path, cut: Path, whole: object, seed: int
) -> None:
    chance, begun = random.Random(seed), time.monotonic()
    work = start([*TRAIN, "--out", "cut"], folder, torchrun=["--max-restarts", "1", *STANDALONE])
    try:
        until(lambda: len(work.ranks()) == 2)
        if seed % 2:  # while it begins
            time.sleep(chance.uniform(0, 3))
        else:
            until(lambda: steps_reported(cut) >= 10 * chance.randrange(STEPS // 20) or work.process.poll() is not None)
            time.sleep(chance.uniform(0, 0.3))
        victim = chance.randrange(2)
        if victim in (ranks := work.ranks()):
            os.kill(ranks[victim], SIGKILL)
        assert work.wait() == 0, work.err.read_text()
    finally:
        work.end()
    assert outcome(cut) == whole
    assert [each.name for each in cut.parent.iterdir()] == ["pets"]
    assert time.monotonic() - begun < 30 + 15, "torchrun has waited for a process that heard no signal"


@pytest.mark.parametrize(
    ("whom", "number"),
    [("torchrun", SIGTERM), ("all", SIGINT), *([("torchrun", SIGINT), ("all", SIGTERM)] if LONG else [])],
)
def test_a_signal_saves_and_says_where(endless: Torchrun, cut: Path, number: int, whom: str) -> None:
    for pid in (endless.process.pid, *(endless.ranks().values() if whom == "all" else ())):
        os.kill(pid, number)
    reached = steps_reported(cut)
    assert endless.wait() == 1, "torchrun has no other exit code"
    assert newest(cut).trainer_state.step >= reached
    assert "another of the" not in endless.err.read_text()


@pytest.mark.parametrize("rank", [0, 1] if LONG else [0])
def test_without_restarts_a_lost_process_is_told_in_one_line(endless: Torchrun, rank: int) -> None:
    os.kill(endless.ranks()[rank], SIGKILL)
    assert endless.wait() == 1
    (line,) = endless.lines()
    assert "another of the 2 processes has ended" in line


@pytest.mark.parametrize("rank", [0, 1] if LONG else [1])
def test_a_process_that_hangs_is_noticed(endless: Torchrun, cut: Path, rank: int) -> None:
    os.kill(endless.ranks()[rank], SIGSTOP)
    assert endless.wait() == 1
    (line,) = endless.lines()
    assert "hangs" in line
    newest(cut)


def test_without_torchrun_the_processes_save_and_end(endless: Torchrun, cut: Path) -> None:
    ranks = endless.ranks()
    endless.process.kill()
    reached = steps_reported(cut)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks.values()))
    assert newest(cut).trainer_state.step >= reached
