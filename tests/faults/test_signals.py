"""Signals that ask a training to end, at any moment of it: it saves, says so, and can be resumed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM
from typing import Any

import pytest
from conftest import accept_signals, sentences
from faults.files import at_most
from faults.processes import (
    PATIENCE,
    SMALL,
    Process,
    has_checkpoint,
    newest,
    outcome,
    processor_seconds,
    run,
    seeds,
    start,
    until,
)

pytestmark = pytest.mark.faults

STEPS = 60
TRAIN = ["train", "pets.txt", *SMALL, "--steps", str(STEPS), "--out", "."]
NUMBERS = [SIGINT, SIGTERM, SIGHUP]
MOMENTS = {
    "step": ("charnet.training.trainer.Trainer._step", STEPS),
    "evaluation": ("charnet.training.recorder.evaluate", STEPS // 10),
    "save": ("os.fsync", 30),
    "move": ("os.replace", 15),
    "start": ("charnet.model.network.CharModel.__init__", 1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals")
    (folder / "pets.txt").write_text(sentences(400))
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> Any:
    run([*TRAIN, "--name", "whole"], folder=folder)
    return outcome(folder / "whole")


@pytest.fixture
def cut(folder: Path) -> Path:
    """Where the run is that is interrupted."""
    shutil.rmtree(folder / "cut", ignore_errors=True)
    return folder / "cut"


def assert_nothing_else_is_said(stderr: str) -> None:
    assert "Traceback" not in stderr
    assert "Exception" not in stderr


def assert_saved(process: Process, cut: Path) -> None:
    """The newest checkpoint is of the step that the last lines tell, or there was no step and nothing is left."""
    said = process.stderr()
    assert_nothing_else_is_said(said)
    if not cut.exists():
        assert said.endswith(": nothing was saved\n")
        return
    progress = newest(cut).trainer_state
    assert progress.step > 0
    if f"step {progress.step}, everything is saved; resume with:\n  charnet train --resume cut\n" not in said:
        assert progress.reported_step == STEPS
        assert "done; write text with:" in said


def assert_resumable(cut: Path, whole: Any) -> None:
    if cut.exists():
        if newest(cut).trainer_state.reported_step < STEPS:
            run(["train", "--resume", "cut"], folder=cut.parent)
        assert outcome(cut) == whole
        assert not list(cut.glob(".*"))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("seed", seeds(3, 48))
def test_a_signal_in_any_part_of_a_training_saves_it(
    folder: Path, cut: Path, whole: Any, moment: str, seed: int
) -> None:
    chance = random.Random(f"{moment} {seed}")
    number, (where, calls) = chance.choice(NUMBERS), MOMENTS[moment]
    call = chance.randint(1, calls)
    process = start([*TRAIN, "--name", "cut"], folder=folder, hooks=[(where, call, [number])])
    assert process.wait() == 128 + number
    assert_saved(process, cut)
    assert_resumable(cut, whole)


@pytest.mark.parametrize("seed", seeds(6, 80))
def test_a_signal_at_any_instant_saves_within_two_seconds(folder: Path, cut: Path, whole: Any, seed: int) -> None:
    chance = random.Random(seed)
    number = NUMBERS[seed % 3]
    process = start([*TRAIN, "--name", "cut"], folder=folder)
    until(cut.exists)
    time.sleep(chance.uniform(0, 0.4))
    before = processor_seconds(process.pid)
    process.send(number)
    code = process.wait()
    assert processor_seconds(process.pid) - before < 2
    if code != 0:  # else it had ended before
        assert code == 128 + number
        assert_saved(process, cut)
    assert_resumable(cut, whole)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("seed", seeds(1, 16))
def test_a_second_ctrl_c_leaves_at_once_and_the_checkpoints_are_whole(
    folder: Path, cut: Path, whole: Any, moment: str, seed: int
) -> None:
    chance = random.Random(f"{moment} {seed} again")
    first, (where, calls) = chance.choice(NUMBERS), MOMENTS[moment]
    call = chance.randint(1, calls)
    process = start([*TRAIN, "--name", "cut"], folder=folder, hooks=[(where, call, [first, SIGINT])])
    assert process.wait() == 128 + first
    assert_nothing_else_is_said(said := process.stderr())
    if cut.exists():
        assert said.endswith("stopped at once; resume from the last checkpoint with:\n  charnet train --resume cut\n")
        newest(cut)
    else:
        assert said.splitlines()[-1] in (
            "interrupted before the first step",
            "interrupted before the first step: nothing was saved",
        )
    assert_resumable(cut, whole)


def test_a_second_ctrl_c_while_a_finished_run_is_compared_leaves_out_the_comparison_alone(
    folder: Path, cut: Path, whole: Any
) -> None:
    hook = ("charnet.training.trainer.Trainer.conclude", 1, [SIGINT, SIGINT])
    process = start([*TRAIN, "--name", "cut"], folder=folder, hooks=[hook])
    assert process.wait() == 130
    assert process.stderr().endswith("done; write text with:\n  charnet sample cut --temp 0.8\n")
    assert "for comparison" not in process.stderr()
    assert outcome(cut) == whole


def test_a_third_ctrl_c_at_the_end_of_a_finished_run_does_not_say_to_go_on_with_it(
    folder: Path, cut: Path, whole: Any
) -> None:
    hooks = [
        ("charnet.training.trainer.Trainer.conclude", 1, [SIGINT, SIGINT]),
        ("charnet.cli.messages.closing", 1, [SIGINT]),
    ]
    process = start([*TRAIN, "--name", "cut"], folder=folder, hooks=hooks)
    assert process.wait() == 130
    assert_nothing_else_is_said(said := process.stderr())
    assert "resume" not in said
    assert outcome(cut) == whole


@pytest.mark.parametrize("where", ["charnet.cli.progress._PlainLines.aborted", "charnet.storage.runs.RunFolder.close"])
def test_a_third_ctrl_c_while_a_training_is_left_at_once_changes_nothing(
    folder: Path, cut: Path, whole: Any, where: str
) -> None:
    hooks = [("charnet.training.trainer.Trainer._step", 30, [SIGINT, SIGINT]), (where, 1, [SIGINT, SIGINT])]
    process = start([*TRAIN, "--name", "cut"], folder=folder, hooks=hooks)
    assert process.wait() == 130
    assert_nothing_else_is_said(process.stderr())
    newest(cut)
    assert_resumable(cut, whole)


def test_a_second_ctrl_c_between_the_first_two_checkpoints_takes_neither_away(
    folder: Path, cut: Path, whole: Any
) -> None:
    """`best` is written and `last` is not: what was learned is in that one file."""
    hook = ("charnet.training.saver.to_numpy", 4, [SIGINT, SIGINT])
    process = start([*TRAIN, "--name", "cut"], folder=folder, hooks=[hook])
    assert process.wait() == 130
    assert cut.exists()
    assert_resumable(cut, whole)


@pytest.fixture(scope="module")
def seconds_to_load_torch() -> float:
    with subprocess.Popen([sys.executable, "-c", "import torch"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return processor_seconds(process.pid)


@pytest.mark.parametrize("seed", seeds(3, 80))
def test_a_signal_while_charnet_starts_ends_it_and_leaves_no_run_behind(
    folder: Path, cut: Path, seed: int, seconds_to_load_torch: float
) -> None:
    """What cannot be cut is the loading of torch."""
    chance = random.Random(seed)
    number = NUMBERS[seed % 3]
    command = [sys.executable, "-m", "charnet", *TRAIN, "--name", "cut", "--steps", "100000"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=accept_signals) as process:
        time.sleep(chance.uniform(0.03, 2.0))
        before = processor_seconds(process.pid)
        process.send_signal(number)
        with at_most(PATIENCE):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert processor_seconds(process.pid) - before < 0.5 + 1.5 * seconds_to_load_torch
        said = process.communicate()[1]
    assert process.returncode in (128 + number, -number)  # which is the same in a shell
    assert_nothing_else_is_said(said)
    if cut.exists():
        assert newest(cut).trainer_state.step > 0
        assert "everything is saved" in said


@contextlib.contextmanager
def terminal() -> Iterator[tuple[str, Callable[[], None]]]:
    """A pseudo-terminal whose output is read and forgotten: its path, and how to tear it away."""
    master, slave = os.openpty()
    gone = threading.Event()

    def read() -> None:
        while not gone.wait(0.005):
            with contextlib.suppress(BlockingIOError):
                os.read(master, 65536)

    os.set_blocking(master, False)
    reader = threading.Thread(target=read)
    reader.start()

    def tear() -> None:
        gone.set()
        reader.join()
        os.close(slave)
        os.close(master)

    try:
        yield os.ttyname(slave), tear
    finally:
        gone.set()


@pytest.mark.parametrize("kind", ["dumb", "xterm-256color"])
def test_a_training_whose_terminal_is_closed_saves(
    folder: Path, cut: Path, whole: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("TERM", kind)
    with terminal() as (path, tear):
        process = start([*TRAIN, "--name", "cut"], folder=folder, terminal=path)
        until(lambda: (cut / "best.safetensors").exists())
        tear()
        assert process.wait() == 128 + SIGHUP
    assert has_checkpoint(cut)
    assert_resumable(cut, whole)


def test_ctrl_c_after_the_pipe_of_a_training_closes_is_noticed(folder: Path, cut: Path) -> None:
    """A signal in the middle of a write to stderr must not write to stderr."""
    pipe = folder / "pipe"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    ours = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(ours, b"." * 4096)
    process = start([*TRAIN, "--name", "cut"], folder=folder, stderr=pipe)
    until(lambda: (cut / "config.yaml").exists())
    time.sleep(0.1)
    process.send(signal.SIGINT)
    time.sleep(0.1)
    received = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            received += os.read(ours, 65536)
    assert process.wait() == 130
    os.close(ours)
    assert b"Traceback" not in received
    assert not cut.exists()
