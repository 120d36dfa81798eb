"""Several processes train the model that one would: the same weights, and they stop, save and fail together."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from many_processes import CASES, HALVES

from charnet.cli import launch
from charnet.cli.app import run as cli
from charnet.errors import GroupError, PeerError
from charnet.evaluation.evaluate import Stopped
from charnet.storage.checkpoint import Checkpoint
from charnet.training.division import FAILS, GOES_ON, STOPS, Division
from charnet.training.group import Group, add

SCRIPT = Path(__file__).with_name("many_processes.py")


def run(folder: Path, what: str, processes: int = 1) -> dict[str, dict[str, Any]]:
    """What the first of several processes tells, by name."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] * (processes > 1)
    environment = os.environ | {"CHARNET_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *torchrun, str(SCRIPT), str(folder), what]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {each["name"]: each for each in told}


def two_processes(folder: Path, *options: str) -> list[str]:
    """The command that trains in two processes."""
    small = ["--processes", "2", "--batch-size", "4", "--window", "8"]
    return [sys.executable, "-m", "charnet", "train", str(folder / "text.txt"), *small, *options]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, chance = tmp_path_factory.mktemp("processes"), random.Random(1)
    words = ["the", "cat", "sat", "on", "a", "mat", "é", "naïve", "to be"]
    text = "".join(" ".join(chance.choices(words, k=chance.randrange(1, 9))) + "\n" for _ in range(200))
    (made / "text.txt").write_text(text)
    (made / "wide.txt").write_text("".join(map(chr, chance.sample(range(0x4E00, 0x9000), 9000))))
    return made


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, dict[str, Any]]:
    return run(folder, "same")


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.exhaustive
def test_processes_give_the_weights_and_the_losses_of_one_to_the_bit(
    folder: Path, alone: dict[str, dict[str, Any]], processes: int
) -> None:
    together = run(folder, "same", processes)
    assert set(together) == set(CASES)
    assert together == alone
    assert len({each["digest"] for each in alone.values()}) == len(alone) - 1  # one thread or two: the same


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 4), (4, 2)])
def test_a_run_goes_on_in_another_number_of_processes_as_if_it_had_not_stopped(
    folder: Path, alone: dict[str, dict[str, Any]], tmp_path: Path, before: int, after: int
) -> None:
    (tmp_path / "text.txt").write_bytes((folder / "text.txt").read_bytes())
    for stopped in run(tmp_path, "interrupted", before).values():
        assert stopped["reason"] == "interrupted"
        assert 3 <= stopped["step"] <= 4  # of several processes all stop after the step in which they tell each other
    again = run(tmp_path, "resumed", after)
    assert again == {name: alone[name] for name in HALVES}


@pytest.mark.slow
def test_what_is_not_finite_in_one_process_rolls_all_back(folder: Path) -> None:
    found = run(folder, "not_finite", 2)["nan"]
    assert found["step"] == 12
    assert found["back"] == [[4, 4], [9, 9]]


@pytest.mark.exhaustive
def test_a_process_with_other_settings_text_or_version_is_refused_by_name(folder: Path) -> None:
    found = run(folder, "different", 2)
    assert (
        "process 1 of 2 has another training.seed than process 0: 7 instead of none" in found["training.seed"]["error"]
    )
    assert "process 1 of 2 has another text than process 0" in found["data.paths"]["error"]
    assert "process 1 of 2 has another version of charnet than process 0: 0.0 instead of" in found["version"]["error"]
    assert {each["code"] for each in found.values()} == {2}


@pytest.mark.slow
def test_one_process_trains_without_torchrun(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "charnet", "train", str(folder / "text.txt"), "--processes", "1", "--steps", "2"]
    command += ["--hidden-size", "8", "--batch-size", "4", "--window", "8", "--out", str(tmp_path), "-q"]
    assert subprocess.run(command, timeout=60).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        ("text.txt --batch-size 8 --processes 3", 2, "8 streams cannot be divided into 3 equal parts"),
        ("text.txt --batch-size 8 --processes 2 --shards 3", 2, "--shards 3: cannot be divided among 2 processes"),
        ("text.txt --processes 2 --network 1ms,1Gbit", 2, "needs --dry-run"),
        ("text.txt --processes 2 --timeout 0s", 2, "--timeout: expected a number between 1"),
        ("text.txt --processes 2 --strict", 2, "--strict needs --resume"),
        ("nowhere.txt --processes 2", 3, "nowhere.txt: there is no such file"),
        ("- --processes 2", 3, "several processes cannot read one stream"),
        ("--resume nowhere --processes 2", 4, "nowhere: there is no such"),
    ],
)
def test_a_wrong_command_is_refused_once_and_before_processes_are_started(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    code: int,
    reason: str,
) -> None:
    def start(_: int) -> int:
        raise AssertionError

    monkeypatch.setattr(launch, "start", start)
    monkeypatch.chdir(folder)
    assert cli(["train", *line.split(), "--steps", "5"] if "resume" not in line else ["train", *line.split()]) == code
    assert capsys.readouterr().err.count(reason) == 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--strict",), ("--dry-run",)])
def test_a_wrong_command_under_torchrun_is_refused_by_one_process(folder: Path, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "charnet"]
    command += ["train", str(folder / "text.txt"), "--steps", "2", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert sum(line.startswith("charnet: --") for line in done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_job_whose_run_has_ended_begins_another_one(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-id=book"]
    command += [
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0",
        "-m",
        "charnet",
        "train",
        str(folder / "text.txt"),
    ]
    command += [
        "--steps",
        "2",
        "--hidden-size",
        "8",
        "--batch-size",
        "4",
        "--window",
        "8",
        "--out",
        str(tmp_path),
        "-q",
    ]
    for _ in range(2):
        assert subprocess.run(command, timeout=100, capture_output=True).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text", "text-2"]


@pytest.mark.slow
def test_a_signal_stops_an_evaluation_of_the_first_process_and_all_with_it(folder: Path) -> None:
    assert run(folder, "stopped", 2)["stopped"] == {"name": "stopped", "reason": "interrupted", "step": 3}


@pytest.mark.slow
def test_a_closed_iterator_of_the_first_process_stops_and_saves_in_all(folder: Path) -> None:
    assert run(folder, "closed", 2)["closed"] == {"name": "closed", "saved": 3, "step": 3}


class Beside(Group):
    """One of two processes; of the other it is known what it tells."""

    size = 2

    def __init__(self, other: int) -> None:
        self.other, self.told = other, list[float]()

    def largest(self, number: float) -> float:
        self.told.append(number)
        return max(number, self.other)


def end(error: Exception | None) -> float:
    if error:
        raise error
    return 1.0


@pytest.mark.parametrize(
    ("own", "other", "told", "raised"),
    [
        (MemoryError(), GOES_ON, [FAILS], MemoryError),
        (MemoryError(), FAILS, [FAILS], MemoryError),
        (MemoryError(), STOPS, [FAILS], MemoryError),
        (Stopped(), GOES_ON, [STOPS], Stopped),
        (Stopped(), FAILS, [STOPS], PeerError),
        (None, STOPS, [GOES_ON], Stopped),
        (None, FAILS, [GOES_ON], PeerError),
        (PeerError(), FAILS, [FAILS], PeerError),
        (GroupError(), GOES_ON, [], GroupError),
    ],
)
def test_an_evaluation_that_ends_early_in_one_process_ends_in_all(
    own: Exception | None, other: int, told: list[float], raised: type[Exception]
) -> None:
    group = Beside(other)
    with pytest.raises(raised) as found:
        Division(group, 2).add_up([lambda: end(own), lambda: end(ValueError())])
    assert found.type is raised
    assert group.told == told


@pytest.mark.slow
def test_a_process_without_memory_for_the_last_evaluation_ends_no_run(folder: Path) -> None:
    found = run(folder, "failing", 2)["failing"]
    assert found["reasons"] == ["complete", "complete"]
    assert found["read"] == [50, 50]


@pytest.mark.slow
def test_a_full_disk_of_the_first_process_is_told_once(folder: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists() or os.geteuid():
        pytest.skip("needs root, to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("this system mounts nothing here")
    try:
        command = two_processes(folder, "--steps", "9", "--hidden-size", "40", "--out", str(disk))
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 6, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("charnet: ")]
        assert "space" in line
        assert "Traceback" not in done.stderr
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_run_that_another_machine_has_is_not_begun_anew(folder: Path) -> None:
    assert "the run of this job is on another machine" in run(folder, "elsewhere", 2)["elsewhere"]["error"]


@pytest.mark.slow
def test_the_command_ends_as_the_process_that_failed_and_says_so_once(folder: Path) -> None:
    text = str(folder / "text.txt")
    for arguments, code, told in (
        (["no.txt"], 3, "charnet: no.txt: there is no such file or folder"),
        (["-"], 3, "charnet: several processes cannot read one stream: save the text in a file, and give its name"),
        ([text, "--batch-size", "7", "--steps", "2"], 2, "charnet: 7 streams cannot be divided into 2 equal parts; "),
        ([text, "--cell", "lsmt"], 2, "charnet: --cell: expected one of rnn, lstm, cifg, gru"),
    ):
        command = [sys.executable, "-m", "charnet", "train", *arguments, "--processes", "2", "--out", str(folder / "o")]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        assert done.stderr.count("charnet: ") == 1
        assert done.stderr.startswith(told), done.stderr
    assert not (folder / "o").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_saves_and_the_run_can_be_resumed(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    command = two_processes(folder, "--steps", "9999999", "--hidden-size", "8", "--out", str(tmp_path), "--name", "run")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            time.sleep(0.1)
            assert running.poll() is None
        running.send_signal(number)
        told = running.stderr.read()
        assert running.wait(60) == 128 + number, told
    assert "everything is saved" in told
    assert "torch/" not in told  # what its launcher says about signals
    assert "Traceback" not in told
    done = Checkpoint.load(tmp_path / "run" / "last.safetensors").trainer_state.step
    assert done > 0
    again = [
        sys.executable,
        "-m",
        "charnet",
        "train",
        "--resume",
        str(tmp_path / "run"),
        "--steps",
        str(done + 2),
        "-q",
    ]
    assert subprocess.run(again, timeout=120).returncode == 0


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_halves_that_are_added_elsewhere_give_the_same_sum(count: int) -> None:
    import torch

    terms = list(torch.randn(16, 50, generator=torch.Generator().manual_seed(count)))
    each = 16 // count
    parts = [add(iter(terms[first : first + each]), each) for first in range(0, 16, each)]
    assert torch.equal(add(iter(parts), count), add(iter(terms), 16))
