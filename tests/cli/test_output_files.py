"""Where texts go: to one file, to a folder with a file for each, or to the screen."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import pytest

from charnet import regular_file
from charnet.cli import launch, output
from charnet.cli.app import run
from charnet.cli.output import Destination
from charnet.data import corpus
from charnet.errors import StorageError


def test_the_files_of_a_folder_are_named_one_by_one(tmp_path: Path) -> None:
    names = Destination(folder=tmp_path).names(10**12)
    first = ["0000000000001.txt", "0000000000002.txt"]
    assert [path.name for path in itertools.islice(names, 2)] == first


@pytest.mark.parametrize("count", [3, 10**12])
def test_only_files_that_are_there_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    name = f"{3:0{max(3, len(str(count)))}}.txt"
    others = ("0.txt", "words.txt", f"{count + 1}.txt", "²")
    for each in (*others, name):
        (tmp_path / each).touch()
    looked_at = []
    monkeypatch.setattr(output, "check_free", lambda path, **_: looked_at.append(path.name))
    Destination(folder=tmp_path).check(count, force=False)
    assert looked_at == [name]


def test_a_file_that_is_there_is_refused_unless_forced_and_a_folder_that_is_not_has_none(tmp_path: Path) -> None:
    (tmp_path / "002.txt").touch()
    with pytest.raises(StorageError, match=r"002\.txt: already exists; .* --force"):
        Destination(folder=tmp_path).check(2, force=False)
    Destination(folder=tmp_path).check(2, force=True)
    Destination(folder=tmp_path).check(1, force=False)
    Destination(folder=tmp_path, suffix=".json").check(2, force=False)
    Destination(folder=tmp_path / "new").check(10**12, force=False)


def test_a_folder_that_is_missing_or_closed_is_said_before_a_text_is_written(tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(
        StorageError, match=r"new.a\.txt: cannot be written: the folder .*new does not exist; make it first"
    ):
        Destination(file=tmp_path / "new" / "a.txt").check(1, force=True)
    with pytest.raises(StorageError, match=r"a\.txt: cannot be written: .*file\.txt is no folder"):
        Destination(file=tmp_path / "file.txt" / "a.txt").check(1, force=False)
    with pytest.raises(StorageError, match=r"file\.txt: is no folder; name another one"):
        Destination(folder=tmp_path / "file.txt").check(2, force=False)
    with pytest.raises(StorageError, match=r"sub: cannot be written: Not a directory"):
        Destination(folder=tmp_path / "file.txt" / "sub").check(2, force=False)
    Destination(file=Path("a text without a folder.txt")).check(1, force=False)


def test_a_folder_where_nothing_can_be_written_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regular_file.os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(StorageError, match=r"cannot be written: the folder .* is closed to you"):
        output.check_free(tmp_path / "a.txt")


@pytest.mark.parametrize("out", ["file", "file/below", "link", "closed"])
@pytest.mark.parametrize(
    "words",
    ["train", "train --for 1m", "train --dry-run", "train --processes 2", "sweep --try dropout=0,0.3", "import"],
)
def test_a_folder_that_cannot_hold_runs_is_said_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("a text, and no model")
    Path("link").symlink_to("none")
    Path("closed").mkdir()
    allowed = os.access  # root may write anywhere
    monkeypatch.setattr(
        os, "access", lambda path, mode: allowed(path, mode) and not (Path(path).name == "closed" and mode & os.W_OK)
    )
    monkeypatch.setattr(corpus, "read", lambda *_, **__: pytest.fail("the text was read"))
    monkeypatch.setattr(launch, "start", lambda _: pytest.fail("processes were started"))
    assert run([*words.split(), "file", "--out", out]) == 6
    refused = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"charnet: {out}: no run can be made here: .+; choose another folder with --out", refused)
