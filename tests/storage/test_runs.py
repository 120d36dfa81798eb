"""The folder of a run: which checkpoint is meant by a name, and where a new run goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charnet.errors import CheckpointError, StorageError
from charnet.storage import runs
from charnet.storage.runs import RunFolder


def make_run(runs: Path, name: str, *files: str, age: int = 0) -> Path:
    (runs / name).mkdir(parents=True, exist_ok=True)
    for file in files:
        (runs / name / file).write_bytes(b"x")
        os.utime(runs / name / file, (1e9 - age, 1e9 - age))
    return runs / name


def test_without_a_name_the_newest_run_is_meant(tmp_path: Path) -> None:
    make_run(tmp_path, "old", runs.BEST, runs.LAST, age=100)
    make_run(tmp_path, "new", runs.BEST, age=10)
    make_run(tmp_path, "older", runs.BEST, age=1000)
    assert runs.find(None, tmp_path) == tmp_path / "new" / runs.BEST
    assert [run.name for run in runs.newest_first(tmp_path)] == ["new", "old", "older"]


def test_the_newest_run_is_the_one_written_last_to_either_file(tmp_path: Path) -> None:
    make_run(tmp_path, "a", runs.BEST, age=100)
    make_run(tmp_path, "a", runs.LAST, age=1)
    make_run(tmp_path, "b", runs.BEST, age=50)
    assert runs.find(None, tmp_path) == tmp_path / "a" / runs.BEST
    assert [run.name for run in runs.newest_first(tmp_path)] == ["a", "b"]


def test_a_folder_without_checkpoint_is_no_run(tmp_path: Path) -> None:
    make_run(tmp_path, "empty")
    make_run(tmp_path, "other", "notes.txt")
    make_run(tmp_path, "run", runs.LAST)
    assert [run.name for run in runs.newest_first(tmp_path)] == ["run"]
    assert runs.find(None, tmp_path) == tmp_path / "run" / runs.LAST


@pytest.mark.parametrize("exists", [True, False])
def test_without_any_run_the_message_says_how_to_make_one(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "runs"
    if exists:
        folder.mkdir()
    assert runs.newest_first(folder) == []
    with pytest.raises(CheckpointError, match=r"runs/: no run here yet; make one with `charnet train`"):
        runs.find(None, folder)


def test_a_run_may_be_named_by_its_folder_its_file_or_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path, "pets", runs.BEST, runs.LAST)
    for given_path in (run, run / runs.BEST, Path("pets")):
        assert runs.find(given_path, tmp_path) == run / runs.BEST
    assert runs.find(run / runs.LAST, tmp_path) == run / runs.LAST


def test_a_path_out_of_the_folder_of_runs_is_no_name_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "here", runs.BEST)
    (run / "checkpoints").mkdir()
    monkeypatch.chdir(run)
    with pytest.raises(CheckpointError, match=r"^\.\.: expected the folder of a run"):
        runs.find(Path(".."), Path("checkpoints"))  # and not the run here, checkpoints/..
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"^\.: expected the folder of a run"):
        runs.find(Path(), Path("here/checkpoints"))


def test_the_preferred_file_comes_first_and_the_other_will_do(tmp_path: Path) -> None:
    both, one = make_run(tmp_path, "both", runs.BEST, runs.LAST), make_run(tmp_path, "one", runs.BEST)
    assert runs.find(both, tmp_path, order=runs.RESUME_ORDER) == both / runs.LAST
    assert runs.find(one, tmp_path, order=runs.RESUME_ORDER) == one / runs.BEST
    assert runs.find(None, tmp_path, order=runs.RESUME_ORDER).parent in (both, one)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_a_text_with_the_name_of_a_run_does_not_hide_it(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "runs", "pets", runs.BEST)
    make(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    assert runs.find(Path("pets"), Path("runs")) == Path("runs") / run.name / runs.BEST


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected the folder of a run, found no best\.safetensors or last"):
        runs.find(make_run(tmp_path, "empty"), tmp_path)


def test_an_unknown_name_is_refused_with_the_runs_that_there_are(tmp_path: Path) -> None:
    make_run(tmp_path, "old", runs.BEST, age=100)
    make_run(tmp_path, "new", runs.BEST)
    with pytest.raises(CheckpointError, match=r"^other: there is no such checkpoint; runs in .*: new, old$"):
        runs.find(Path("other"), tmp_path)
    with pytest.raises(CheckpointError, match=r'^nwe: there is no such checkpoint \(did you mean "new"\?\)$'):
        runs.find(Path("nwe"), tmp_path)


def test_an_unknown_name_where_there_are_no_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^x: there is no such checkpoint$"):
        runs.find(Path("x"), tmp_path / "none")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_a_name_that_no_system_allows_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises((CheckpointError, StorageError)):
        runs.find(Path(name), tmp_path)


def test_a_new_run_whose_name_is_taken_gets_a_number(tmp_path: Path) -> None:
    made = [RunFolder.new(tmp_path / "runs", "pets").path.name for _ in range(4)]
    assert made == ["pets", "pets-2", "pets-3", "pets-4"]
    assert all((tmp_path / "runs" / name).is_dir() for name in made)


def test_a_file_with_the_name_of_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pets").write_text("mine")
    assert RunFolder.new(tmp_path, "pets").path.name == "pets-2"
    assert (tmp_path / "pets").read_text() == "mine"


@pytest.mark.parametrize("name", ["below", "x" * 300])
def test_a_run_that_cannot_be_made_is_an_error_of_storage(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"be made.*--out"):
        RunFolder.new(tmp_path / "file" if name == "below" else tmp_path, name)


def test_a_run_below_a_dangling_link_is_an_error_of_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "none")
    tries, make = [], Path.mkdir

    def counted(self: Path, *args: Any, **kwargs: Any) -> None:
        tries.append(self)
        assert len(tries) < 50, "never ends"
        make(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", counted)
    with pytest.raises(StorageError):
        RunFolder.new(tmp_path / "out", "pets")


def test_a_path_that_is_too_long_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    out = Path(f"{tmp_path}/{'x/' * 2040}"[:4080])
    with pytest.raises(StorageError, match="no run can be made here: File name too long"):
        RunFolder.new(out, "run")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        runs.find(out)


def test_a_folder_whose_files_would_have_too_long_paths_holds_no_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / Path("y/../" * ((4085 - len(str(tmp_path))) // 5))
    (tmp_path / "y").mkdir()
    assert folder.is_dir()
    with pytest.raises(CheckpointError, match="found no best"):
        runs.find(folder)
