"""A disk that refuses to write: one line says what to do, the old checkpoint is intact, and no other file is left."""

from __future__ import annotations

import collections
import contextlib
import errno
import gc
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import sentences
from disk import SMALL, WRITERS, Call, Disk, checkpoint, parts, refused_at, settings, snapshot, write_all

from charnet import durable
from charnet.cli.app import run as run_command
from charnet.data import corpus
from charnet.errors import CheckpointError, ConfigError, StorageError
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.runs import BEST, LAST, METRICS, PREVIOUS, SETTINGS, RunFolder
from charnet.training import setup
from charnet.training.events import Evaluated, Metrics
from charnet.training.trainer import Trainer

pytestmark = pytest.mark.faults

CODES = {"full": errno.ENOSPC, "io": errno.EIO, "quota": errno.EDQUOT, "read-only": errno.EROFS}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that has written everything twice."""
    folder = RunFolder.new(tmp_path / "runs", "run")
    for step in (1, 2):
        write_all(folder, step)
    folder.close()
    return folder.path


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "pets.txt"
    path.write_text(sentences(200))
    return path


def begun(text: Path, out: Path, **changes: Any) -> Trainer:
    return setup.new_run({"data.paths": [str(text)]} | SMALL | changes, out=out, name="run")


def finished(run: Trainer) -> Path:
    collections.deque(run.events(), maxlen=0)
    return run.folder.path


def refused_after(run: Trainer, step: int, act: Callable[[], object]) -> StorageError:
    """Calls `act` after the run has evaluated or reported a step; returns the error with which the run then ends."""
    reports = run.events()
    kind = Evaluated if step % 3 == 0 else Metrics
    next(report for report in reports if isinstance(report, kind) and report.step == step)
    act()
    with pytest.raises(StorageError) as refused:
        collections.deque(reports, maxlen=0)
    said(refused.value)
    return refused.value


def said(error: StorageError) -> str:
    message = str(error)
    assert error.exit_code == 6
    assert "\n" not in message
    assert "None" not in message
    assert ";" in message  # what was found; what to do
    return message


# ------------------------------------------------------------------------------------------- a call is refused


@pytest.mark.parametrize("from_then_on", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("what", WRITERS)
def test_a_save_refused_at_any_call_is_an_error_and_leaves_the_old_or_the_new(
    run: Path, tmp_path: Path, what: str, code: int, from_then_on: bool
) -> None:
    for number in range(1, 100):
        shutil.copytree(run, here := tmp_path / f"{number}")
        folder = RunFolder(here)
        fault = refused_at(number, code, from_then_on=from_then_on)
        with contextlib.closing(folder), Disk(here, fault).watching() as disk:
            try:
                WRITERS[what](folder, 3)
            except StorageError as error:
                message = said(error)
                assert os.strerror(code) in message
                assert str(here) in message
        assert not parts(here)
        found, damage = runs.load_resumable(runs.find(here, order=runs.RESUME_ORDER))
        assert (found.trainer_state.step in (2, 3), damage) == (True, "")
        assert Checkpoint.load(here / BEST).trainer_state.step in (2, 3)
        assert (here / SETTINGS).read_bytes() in (settings(2), settings(3))
        if disk.count < number:
            break
    assert disk.count < number


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_an_encoding_refused_at_any_call_is_an_error_and_leaves_nothing(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for number in range(1, 100):
        cache = tmp_path / "root" / f"cache-{number}"
        monkeypatch.setenv("CHARNET_CACHE", str(cache))
        found = None
        with Disk(cache.parent, refused_at(number, code)).watching() as disk:
            try:
                found = corpus.read([str(text)])
            except StorageError as error:
                said(error)
        if found is not None:  # even if the system's folder for temporary files was used instead
            assert found.vocab.decode(found.ids.tolist()) == text.read_text()
        assert not list(tmp_path.rglob("*.part"))
        if disk.count < number:
            break
    assert number > 5


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_a_training_refused_at_any_call_resumes_to_the_same_weights(text: Path, tmp_path: Path, code: int) -> None:
    whole = Checkpoint.load(finished(begun(text, tmp_path / "whole")) / LAST).weights_sha256()
    for number in range(3 + code % 7, 1000, 7):
        out = tmp_path / f"{number}"
        try:
            with Disk(out, refused_at(number, code)).watching() as disk:
                finished(begun(text, out))
        except StorageError as error:
            said(error)
        if disk.count < number:
            break
        if not (out / "run").exists():  # it had no step yet
            continue
        assert not parts(out / "run")
        with contextlib.suppress(ConfigError):  # it was at its end already
            finished(setup.resume_run(out / "run"))
        assert Checkpoint.load(out / "run" / LAST).weights_sha256() == whole
    assert number > 50


@pytest.mark.parametrize("kind", ["make", "sync"])
def test_a_first_evaluation_that_cannot_be_saved_whole_leaves_the_best_weights(
    text: Path, tmp_path: Path, kind: str
) -> None:
    run = begun(text, tmp_path / "runs")

    def fault(_: int, call: Call) -> None:
        if call.kind == kind and (run.folder.path / BEST).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match="free some space"), Disk(run.folder.path, fault).watching():
        finished(run)
    assert Checkpoint.load(run.folder.path / BEST).trainer_state.step == 3


# ------------------------------------------------------------------------------------------- a small disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1.5 MB, if this user may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1536k", "tmpfs", place], capture_output=True)
    if not made or made.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Fills the disk except for `leave` bytes."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while shutil.disk_usage(disk).free > leave:
            file.write(bytes(min(4096, shutil.disk_usage(disk).free - leave)))
    return path


def test_a_full_disk_is_known_before_the_first_step(text: Path, small_disk: Path) -> None:
    filler = fill(small_disk, 1 << 19)
    with pytest.raises(StorageError, match=r"need 1.1 MB, 0.5 MB are free; free some space, or choose another folder"):
        begun(text, small_disk / "a" / "runs")
    assert list(small_disk.iterdir()) == [filler]


def test_a_disk_too_full_to_resume_is_known_before_the_first_step(text: Path, small_disk: Path) -> None:
    run = begun(text, small_disk)
    with contextlib.closing(run.events()) as reports:
        next(report for report in reports if isinstance(report, Metrics))
    before = snapshot(run.folder.path)
    filler = fill(small_disk, 1 << 19)
    with pytest.raises(StorageError, match=r"free some space, or move the run to another disk") as refused:
        setup.resume_run(run.folder.path)
    said(refused.value)
    assert snapshot(run.folder.path) == before
    filler.unlink()
    finished(setup.resume_run(run.folder.path))


def test_a_disk_that_fills_up_during_a_training_leaves_a_run_that_resumes_to_the_same_weights(
    text: Path, small_disk: Path, tmp_path: Path
) -> None:
    whole = Checkpoint.load(finished(begun(text, tmp_path / "whole")) / LAST).weights_sha256()
    run = begun(text, small_disk)
    filler = small_disk / "filler"
    error = refused_after(run, 3, lambda: fill(small_disk))
    assert "No space left on device; free some space" in str(error)
    assert not parts(run.folder.path)
    assert Checkpoint.load(run.folder.path / LAST).trainer_state.step == 3
    filler.unlink()
    assert Checkpoint.load(finished(setup.resume_run(run.folder.path)) / LAST).weights_sha256() == whole


def test_a_read_only_disk_is_known_before_the_first_step(text: Path, small_disk: Path) -> None:
    run = begun(text, small_disk)
    with contextlib.closing(run.events()) as reports:
        next(report for report in reports if isinstance(report, Metrics))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for start in (lambda: begun(text, small_disk), lambda: setup.resume_run(run.folder.path)):
        with pytest.raises(StorageError, match="Read-only file system") as refused:
            start()
        said(refused.value)
    Checkpoint.load(run.folder.path / LAST)


def test_of_a_read_only_cache_nothing_is_cleared_and_that_is_said(
    text: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHARNET_CACHE", str(small_disk))
    assert run_command(["corpus", "info", str(text)]) == 0
    before = snapshot(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for more in ([], ["--down-to", "1"]):
        assert run_command(["cache", "clear", *more]) == StorageError.exit_code
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "Read-only file system; 0 of 1 file with encoded copies removed" in err
    assert run_command(["corpus", "info", str(text)]) == 0  # it is there
    assert snapshot(small_disk) == before
    text.write_text(text.read_text() * 2)
    assert run_command(["corpus", "info", str(text)]) == 0
    assert "cannot be written, so the encoded text is not kept" in capsys.readouterr().out


def test_a_folder_without_permission_is_known_before_the_first_step(text: Path, tmp_path: Path) -> None:
    def fault(_: int, __: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with Disk(tmp_path, fault).watching(), pytest.raises(StorageError, match="Permission denied") as refused:
        begun(text, tmp_path / "runs")
    said(refused.value)
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------------------------------- a folder that changes


def test_a_run_whose_folder_is_removed_while_it_trains_is_saved_beside(text: Path, tmp_path: Path) -> None:
    run = begun(text, tmp_path / "runs")
    error = refused_after(run, 4, lambda: shutil.rmtree(run.folder.path))
    (beside,) = (tmp_path / "runs").iterdir()
    assert f"was removed or replaced; the run is saved in {beside}" in str(error)
    assert Checkpoint.load(beside / LAST).trainer_state.step == run.state.step
    resumed = setup.resume_run(beside)
    assert resumed.state.step == run.state.step
    assert [type(event).__name__ for event in resumed.events(lambda: True)] == ["Started", "Finished"]


def another(tmp_path: Path) -> Path:
    folder = RunFolder.new(tmp_path, "another")
    write_all(folder, 7)
    write_all(folder, 8)
    folder.close()
    (folder.path / ".last.safetensors.0123abcd.part").write_bytes(b"theirs")
    return folder.path


def test_nothing_in_a_folder_that_took_the_place_of_the_runs_is_touched(text: Path, tmp_path: Path) -> None:
    other = another(tmp_path)
    before = snapshot(other)
    run = begun(text, tmp_path / "runs")

    def swap() -> None:
        run.folder.path.rename(tmp_path / "moved")
        run.folder.path.symlink_to(other)

    refused_after(run, 4, swap)
    assert snapshot(other) == before
    Checkpoint.load(tmp_path / "moved" / LAST)


@pytest.mark.parametrize("what", WRITERS)
def test_a_folder_that_takes_the_place_between_the_check_and_any_call_is_never_written_to(
    run: Path, tmp_path: Path, what: str
) -> None:
    """The current write ends in the run's own folder; the next one finds that the folder is gone."""
    other = another(tmp_path)
    before = snapshot(other)
    for number in range(1, 100):
        here, moved = Path(shutil.copytree(run, tmp_path / f"{number}")), tmp_path / f"moved-{number}"

        def swap(now: int, _: Any, number: int = number, here: Path = here, moved: Path = moved) -> None:
            if now == number:
                here.rename(moved)
                here.symlink_to(other)

        with contextlib.closing(RunFolder(here)) as folder:
            with Disk(tmp_path, swap).watching() as disk:
                WRITERS[what](folder, 3)
            if disk.count < number:
                break
            assert Checkpoint.load(moved / (BEST if what == "best" else LAST)).trainer_state.step in (2, 3)
            with pytest.raises(StorageError, match="removed or replaced; put it back and resume") as refused:
                folder.save(LAST, checkpoint(4))
            said(refused.value)
            folder.discard()
        assert snapshot(other) == before
        assert here.is_symlink()
        assert not parts(moved)
    assert number > 1


def test_metrics_are_never_written_through_a_link(text: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    run = begun(text, tmp_path / "runs")
    metrics = run.folder.path / METRICS

    def link() -> None:
        metrics.unlink()
        metrics.symlink_to(target)

    error = refused_after(run, 4, link)
    assert str(error) == f"{metrics}: cannot be written: it is a link; remove it"
    assert target.read_text() == "theirs"
    with pytest.raises(StorageError, match="it is a link; remove it"):  # before the first step
        setup.resume_run(run.folder.path)
    assert target.read_text() == "theirs"
    metrics.unlink()
    finished(setup.resume_run(run.folder.path))


@pytest.mark.parametrize("name", [LAST, PREVIOUS, BEST, SETTINGS])
def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(run: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    (run / name).unlink()
    (run / name).symlink_to(target)
    folder = RunFolder(run)
    for step in (3, 4):
        write_all(folder, step)
    folder.close()
    assert target.read_text() == "theirs"
    assert not any(path.is_symlink() for path in run.iterdir())
    assert [Checkpoint.load(run / n).trainer_state.step for n in (LAST, PREVIOUS)] == [4, 3]


@pytest.mark.parametrize("kind", ["link", "dangling", "file", "folder"])
def test_a_name_that_is_taken_is_neither_written_nor_removed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    stale = run / f".{LAST}.0123abcd{durable.PART}"
    folder = RunFolder(run)
    {
        "link": lambda: stale.symlink_to(target),
        "dangling": lambda: stale.symlink_to(tmp_path / "nowhere"),
        "file": lambda: stale.write_text("theirs"),
        "folder": stale.mkdir,
    }[kind]()
    names = iter(["0123abcd", "0123abcd", "4567abcd"])
    monkeypatch.setattr(durable.secrets, "token_hex", lambda _: next(names))
    folder.save(LAST, checkpoint(3))
    folder.close()
    assert os.path.lexists(stale)
    assert Checkpoint.load(run / LAST).trainer_state.step == 3
    assert target.read_text() == "theirs"
    assert not (tmp_path / "nowhere").exists()
    RunFolder(run).close()  # cleans
    assert target.read_text() == "theirs"


def test_only_temporary_files_of_charnet_are_cleaned_away(run: Path) -> None:
    others = [run / name for name in (".film.part", ".a.0123abcg.part", "b.0123abcd.part", ".notes", "x.part")]
    for path in others:
        path.write_bytes(b"theirs")
    ours = run / f".{BEST}.0123abcd{durable.PART}"
    ours.write_bytes(b"left behind")
    RunFolder(run).close()
    assert all(path.exists() for path in others)
    assert not ours.exists()


# ------------------------------------------------------------------------------------------- modes and handles


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o027])
def test_what_a_run_leaves_follows_the_umask(text: Path, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        run = finished(begun(text, tmp_path / "runs"))
    finally:
        os.umask(before)
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in run.iterdir()} == {
        name: oct(0o666 & ~mask) for name in (LAST, PREVIOUS, BEST, SETTINGS, METRICS)
    }
    assert stat.S_IMODE(run.stat().st_mode) == 0o777 & ~mask


def test_many_saves_leave_no_file_open(run: Path) -> None:
    folder = RunFolder(run)
    handles = Path("/proc/self/fd")
    gc.collect()  # folders that other tests held open
    before = len(list(handles.iterdir()))
    for step in range(3, 53):
        write_all(folder, step)
        if step % 2:
            with Disk(run, refused_at(step % 9, errno.EIO)).watching(), contextlib.suppress(StorageError):
                write_all(folder, step)
    assert len(list(handles.iterdir())) == before
    folder.close()
    assert len(list(handles.iterdir())) == before - 1


def test_a_refused_resume_releases_the_run(text: Path, tmp_path: Path) -> None:
    run = finished(begun(text, tmp_path / "runs"))
    good = (run / LAST).read_bytes()
    for name in (LAST, PREVIOUS):
        (run / name).write_bytes(b"")
    try:
        setup.resume_run(run)
    except CheckpointError:
        (run / LAST).write_bytes(good)
        finished(setup.resume_run(run, {"training.steps": 9}))
    else:
        pytest.fail("an empty file was taken for a checkpoint")
