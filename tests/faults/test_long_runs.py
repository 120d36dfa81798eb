"""Processes that last, that are short of memory, and Python programs that train."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest
from conftest import accept_signals, sentences
from faults.processes import LONG, PATIENCE, SMALL, newest, outcome, run, seeds, start, until

from charnet.training import setup

pytestmark = pytest.mark.faults

CHARACTERS = 1_000_000 if LONG else 200_000
STEPS_OF_A_LONG_RUN = 10_000 if LONG else 3_000
MEMORY = """
import os, resource, sys
def used():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize(), len(os.listdir("/proc/self/fd"))
def report(before, after):
    print((after[0] - before[0]) / 2**20, before[1], after[1])
"""
WRITE = f"""
import charnet
pieces = charnet.load(sys.argv[1], engine=sys.argv[2]).stream(length={100_000 + CHARACTERS}, seed=1)
written = 0
while written < 100_000:
    written += len(next(pieces))
before = used()
assert written + sum(map(len, pieces)) == {100_000 + CHARACTERS}
report(before, used())
"""
TRAIN = f"""
import charnet
from charnet.training.events import Metrics
seen = []
def look(report):
    if isinstance(report, Metrics) and report.step in (1000, {STEPS_OF_A_LONG_RUN}):
        seen.append(used())
charnet.train("pets.txt", hidden_size=8, batch_size=3, window=5, threads=1, patience=0, eval_every=500,
              steps={STEPS_OF_A_LONG_RUN}, report_every=100, checkpoint_every=0.5, on_event=look)
report(*seen)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    (folder / "pets.txt").write_text(sentences(400))
    return folder


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system has no /proc")
@pytest.mark.parametrize(
    ("what", "engine"),
    [
        pytest.param(WRITE, "numpy", id="characters"),
        pytest.param(WRITE, "compiled", id="characters, compiled"),
        pytest.param(TRAIN, "", id="steps"),
    ],
)
def test_neither_memory_nor_open_files_grow_with_time(
    folder: Path, tiny_run: Path, what: str, engine: str, record_property: Callable[[str, object], None]
) -> None:
    command = [sys.executable, "-c", MEMORY + what, str(tiny_run), engine]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=600, text=True)
    assert done.returncode == 0, done.stderr
    grown, files_before, files_after = map(float, done.stdout.split())
    record_property("grown", (grown, files_before, files_after))
    assert grown < 5, f"{grown:.2f} MiB more"
    assert files_after == files_before


# ------------------------------------------------------------------------------------------- memory

MIB = 1 << 20
BIG = ["--cell", "lstm", "--hidden-size", "64", "--batch-size", "512", "--window", "128", "--steps", "2"]


@pytest.fixture(scope="module")
def big_text(folder: Path) -> Path:
    (folder / "big.txt").write_text(sentences(100_000))
    return folder / "big.txt"


@pytest.mark.parametrize("cell", ["lstm", "rnn", "gru", "cifg"])
@pytest.mark.parametrize("more", [5, 10, 30, 60, 80] if LONG else [10, 60])
def test_a_run_that_runs_out_of_memory_reports_it_in_one_line_and_leaves_nothing(
    folder: Path, big_text: Path, cell: str, more: int
) -> None:
    process = start(
        ["train", big_text.name, "-q", *BIG, "--cell", cell, "--threads", "1", "--name", "big", "--out", "."],
        folder=folder,
        memory=more * MIB,
    )
    code, said = process.wait(), process.stderr()
    assert code == 2, said
    assert said.startswith("charnet: not enough memory: ")
    assert said.count("\n") == 1
    assert not (folder / "big").exists()


# ------------------------------------------------------------------------------------------- charnet.train

STEPS = 300  # a second of them: it is not over when the signal comes
PROGRAM = f"""
import charnet
try:
    charnet.train("pets.txt", out=".", name="cut", hidden_size=8, batch_size=3, window=5, threads=1, dropout=0.2,
                  steps={STEPS}, report_every=1, eval_every=10, checkpoint_every=0.05)
except KeyboardInterrupt:
    print("interrupted")
    raise
"""


@pytest.fixture(scope="module")
def whole(folder: Path) -> Any:
    run(["train", "pets.txt", "-q", *SMALL, "--steps", str(STEPS), "--out", ".", "--name", "whole"], folder=folder)
    return outcome(folder / "whole")


@pytest.mark.parametrize("seed", seeds(2, 20))
def test_ctrl_c_in_a_python_program_that_trains_saves_and_then_interrupts_it(
    folder: Path, whole: Any, seed: int
) -> None:
    cut = folder / "cut"
    shutil.rmtree(cut, ignore_errors=True)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=accept_signals
    ) as process:
        until(lambda: (cut / "last.safetensors").exists())
        time.sleep(random.Random(seed).uniform(0, 0.1))
        process.send_signal(SIGINT)
        out, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (-SIGINT, "interrupted\n")
    assert said.endswith("KeyboardInterrupt\n")
    if cut.exists():
        progress = newest(cut).trainer_state
        assert progress.step > 0
        if progress.reported_step < STEPS:
            list(setup.resume_run(cut).events())
        assert outcome(cut) == whole
