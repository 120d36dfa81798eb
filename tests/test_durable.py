"""Files that are the old one or the new one at any instant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charnet import durable
from charnet.errors import StorageError


def test_the_file_is_synced_before_it_is_moved_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("sync") or sync(handle))
    monkeypatch.setattr(os, "replace", lambda *names, **more: calls.append("move") or move(*names, **more))
    durable.write(tmp_path / "x", b"content")
    assert calls == ["sync", "move", "sync"]
    assert (tmp_path / "x").read_bytes() == b"content"


@pytest.mark.parametrize("kind", ["no folder", "below a file", "too long", "a folder"])
def test_a_place_that_cannot_be_written_is_an_error_of_storage(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    path = {
        "no folder": tmp_path / "none" / "x",
        "below a file": tmp_path / "file" / "x",
        "too long": tmp_path / ("x" * 300),
        "a folder": tmp_path / "folder",
    }[kind]
    with pytest.raises(StorageError, match="cannot be written"):
        durable.write(path, b"content")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_folders_are_made_at_any_depth(tmp_path: Path) -> None:
    durable.make_folders(deep := tmp_path / ("q/" * 1100))
    assert deep.is_dir()
    for folder in (deep, *deep.parents[:1099]):
        folder.rmdir()
