"""Several processes at once: only one trains a run, and none takes the name or the temporary files of another."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import sentences
from disk import LONG, SMALL, parts

from charnet import durable
from charnet.data import corpus
from charnet.data.vocab import Vocabulary
from charnet.errors import StorageError
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.runs import LAST, RunFolder
from charnet.training import setup
from charnet.training.events import Metrics, Started

pytestmark = pytest.mark.faults

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
ROUNDS = 400 if LONG else 10


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "pets.txt"
    path.write_text(sentences(200))
    return path


# ------------------------------------------------------------------------------------------- two trainers


def test_of_two_trainings_of_one_run_the_second_leaves_at_once(text: Path, tmp_path: Path) -> None:
    run = setup.new_run({"data.paths": [str(text)]} | SMALL, out=tmp_path, name="run")
    reports = run.events()
    next(report for report in reports if isinstance(report, Metrics) and report.step == 4)
    before = (run.folder.path / LAST).read_bytes()
    began = time.thread_time()
    with pytest.raises(StorageError, match="another process is training this run; wait for it, or stop it") as other:
        setup.resume_run(run.folder.path)
    assert other.value.exit_code == 6
    assert time.thread_time() - began < 1
    assert (run.folder.path / LAST).read_bytes() == before
    collections.deque(reports, maxlen=0)
    assert Checkpoint.load(run.folder.path / LAST).trainer_state.step == 6


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF])
def test_a_folder_that_cannot_be_locked_is_said_at_every_start(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("fcntl.flock", flock)
    said = f"{tmp_path / 'run'}: cannot be locked on this file system: start no second training"
    events = setup.new_run({"data.paths": [str(text)]} | SMALL, out=tmp_path, name="run").events()
    started = next(events)
    assert isinstance(started, Started)
    assert any(note.startswith(said) for note in started.notes)
    next(event for event in events if isinstance(event, Metrics))
    events.close()
    again = setup.resume_run(tmp_path / "run").started()
    assert any(note.startswith(said) for note in again.notes)


def test_of_a_folder_that_is_locked_nothing_is_said(text: Path, tmp_path: Path) -> None:
    run = setup.new_run({"data.paths": [str(text)]} | SMALL, out=tmp_path, name="run")
    assert not any("locked" in note for note in run.started().notes)
    run.folder.discard()


def test_a_run_that_ended_can_be_resumed_in_the_same_process(text: Path, tmp_path: Path) -> None:
    run = setup.new_run({"data.paths": [str(text)]} | SMALL, out=tmp_path, name="run")
    with contextlib.closing(run.events()) as reports:
        next(report for report in reports if isinstance(report, Metrics))
    collections.deque(setup.resume_run(run.folder.path).events(), maxlen=0)


def test_of_two_processes_that_train_one_run_one_wins(text: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RESUME]
    with contextlib.ExitStack() as stack:
        two = [
            stack.enter_context(
                subprocess.Popen(
                    command, env=os.environ | ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(2)
        ]
        assert [process.stdout.readline() for process in two if process.stdout] == ["ready\n"] * 2
        waited = []
        for turn in range(20 if LONG else 5):
            run = setup.new_run({"data.paths": [str(text)]} | SMALL | RARE | {"training.seed": turn}, out=tmp_path)
            with contextlib.closing(run.events()) as reports:
                next(report for report in reports if isinstance(report, Metrics))
            for process in two:
                print(run.folder.path, file=process.stdin, flush=True)
            said = [process.stdout.readline().split() for process in two if process.stdout]
            assert sorted(word[0] for word in said) == ["6", "trained"]
            waited += [float(word[1]) for word in said if word[0] == "6"]
            assert Checkpoint.load(run.folder.path / LAST).trainer_state.step == 300
        assert statistics.median(waited) < 1


RARE = {"training.eval_every": 100, "training.patience": 0}  # the disk takes its time for each
RESUME = """
import sys, time
from pathlib import Path
from charnet.training import setup, trainer
from charnet.errors import StorageError
print("ready", flush=True)
for line in sys.stdin:
    began = time.monotonic()
    try:
        run = setup.resume_run(Path(line.strip()), {"training.steps": 300})
    except StorageError as error:
        print(error.exit_code, time.monotonic() - began, flush=True)
        continue
    for report in run.events():
        pass
    print("trained", 0, flush=True)
"""


# ------------------------------------------------------------------------------------------- two starts


def both(script: str, *arguments: str) -> list[list[str]]:
    """Runs a script in two processes at the same time; returns their lines, a pair for each round."""
    command = [sys.executable, "-c", script, *arguments]
    two = [
        subprocess.Popen(
            [*command, str(number)],
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for number in range(2)
    ]
    said: list[list[str]] = []
    for _ in range(ROUNDS):
        for process in two:
            assert process.stdin is not None
            process.stdin.write("go\n")
        said.append([process.stdout.readline().strip() for process in two if process.stdout is not None])
    for process in two:
        process.communicate(timeout=60)
    assert [process.returncode for process in two] == [0, 0]
    return said


def test_two_runs_of_one_name_that_start_at_once_get_two_folders(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from charnet.storage.runs import RunFolder
folders = []
for number, _ in enumerate(sys.stdin):
    folders.append(RunFolder.new(Path(sys.argv[1]) / "runs", f"run-{number}-"))
    print(folders[-1].path, flush=True)
"""
    said = both(script, str(tmp_path))
    paths = [path for pair in said for path in pair]
    assert len(set(paths)) == 2 * ROUNDS
    assert {str(path) for path in (tmp_path / "runs").iterdir()} == set(paths)


def test_two_processes_that_encode_one_text_at_once_both_get_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    for number in range(ROUNDS):
        (tmp_path / f"{number}.txt").write_text(sentences(300, seed=number) + str(number))
    script = """
import sys
from pathlib import Path
from charnet.data import corpus
for number, _ in enumerate(sys.stdin):
    path = Path(sys.argv[1]) / f"{number}.txt"
    found = corpus.read([str(path)])
    print(found.vocab.decode(found.ids.tolist()) == path.read_text(), flush=True)
"""
    assert both(script, str(tmp_path)) == [["True", "True"]] * ROUNDS
    assert len(list((tmp_path / "cache").glob("*.ids"))) == ROUNDS
    for number in range(ROUNDS):
        found = corpus.read([str(tmp_path / f"{number}.txt")])
        assert found.vocab.decode(found.ids.tolist()) == (tmp_path / f"{number}.txt").read_text()


# ------------------------------------------------------------------------------------------- cleaners


def test_a_cleaner_leaves_the_files_of_writers_at_work_and_takes_those_left_behind(tmp_path: Path) -> None:
    left = tmp_path / f"left{durable.PART}"
    left.write_bytes(b"of a process that is no more")
    with durable.writing_aside(tmp_path, "work") as (file, aside):
        file.write(b"at work")
        durable.clean(tmp_path)
        assert not left.exists()
        assert aside.exists()
        script = "import sys; from pathlib import Path; from charnet import durable; durable.clean(Path(sys.argv[1]))"
        command = [sys.executable, "-c", script, str(tmp_path)]
        subprocess.run(command, env=os.environ | ENVIRONMENT, check=True, timeout=60)
        assert aside.exists()
    assert not aside.exists()


@pytest.fixture(params=["before-its-lock", "while-the-cleaner-holds-it"])
def cleaner_in_between(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Path]]:
    """A cleaner that comes between the making of a temporary file and its lock, three times."""
    really, taken = durable.try_lock, list[Path]()
    fcntl = pytest.importorskip("fcntl")

    def late(handle: int) -> bool | None:
        if len(taken) == 3:
            return really(handle)
        (path,) = tmp_path.rglob(f"*{durable.PART}")
        taken.append(path)
        if request.param == "before-its-lock":
            durable.clean(path.parent)
            return really(handle)
        with path.open("rb") as cleaner:
            fcntl.flock(cleaner.fileno(), fcntl.LOCK_EX)
            got = really(handle)
            path.unlink()
        return got

    monkeypatch.setattr(durable, "try_lock", late)
    yield taken
    assert len(taken) == 3


def test_a_writer_whose_new_file_a_cleaner_takes_makes_another(tmp_path: Path, cleaner_in_between: list[Path]) -> None:
    durable.write(tmp_path / "file", b"content")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"content"]
    assert len(set(cleaner_in_between)) == 3


def test_a_text_whose_new_copy_a_cleaner_takes_is_encoded_all_the_same(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cleaner_in_between: list[Path]
) -> None:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    found = corpus.read([str(text)])
    assert found.vocab.decode(found.ids.tolist()) == text.read_text()
    assert len(cleaner_in_between) == 3


def test_a_text_whose_temporary_file_a_cleaner_takes_is_encoded_for_a_model_all_the_same(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cleaner_in_between: list[Path]
) -> None:
    vocab = Vocabulary.of_text(text.read_text())
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    ids, unknown, _ = corpus.encode_for(vocab, [str(text)])
    assert (vocab.decode(ids.tolist()), unknown) == (text.read_text(), {})
    assert len(cleaner_in_between) == 3


def test_a_cleaner_that_never_rests_takes_nothing_from_a_writer(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from charnet import durable
while True:
    durable.clean(Path(sys.argv[1]))
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    cleaners = [subprocess.Popen(command, env=os.environ | ENVIRONMENT) for _ in range(2)]
    try:
        until = time.monotonic() + (30 if LONG else 0.7)
        count = 0
        while time.monotonic() < until or count < 100:
            durable.write(tmp_path / "file", b"%d" % count)
            assert (tmp_path / "file").read_bytes() == b"%d" % count
            count += 1
    finally:
        for cleaner in cleaners:
            cleaner.kill()
            cleaner.wait()
    assert not parts(tmp_path)


def test_a_run_removed_by_its_end_does_not_take_the_next_one_of_its_name(tmp_path: Path) -> None:
    first = RunFolder.new(tmp_path, "run")
    first.path.rmdir()
    second = RunFolder.new(tmp_path, "run")
    second.write("config.yaml", b"of the second")
    first.discard()
    assert (second.path / "config.yaml").read_bytes() == b"of the second"
