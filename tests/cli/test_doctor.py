"""What `charnet doctor` collects for a bug report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from charnet import durable
from charnet.cli import doctor
from charnet.cli.doctor import examine
from charnet.engines import agreement
from charnet.errors import StorageError


@pytest.fixture(autouse=True)
def _no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """No comparison of the arithmetic with that of other machines, but in the first test."""
    monkeypatch.setattr(agreement, "SECONDS", -1.0)


def test_the_findings_name_versions_machine_and_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(agreement, "SECONDS", 0.0)
    findings = examine()
    assert findings["torch"] == torch.__version__
    assert "cores" in findings["processor"]
    assert findings["8-bit models"] == "computed to the last bit as on other machines (1 comparison)"
    assert "GB free of" in findings["memory"]
    assert findings["cache folder"].startswith(f"{tmp_path / 'cache'} (does not exist yet)")
    assert "fsync works" in findings["runs folder"]
    assert f"CHARNET_CACHE={tmp_path / 'cache'}" in findings["environment"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("no")

    monkeypatch.setattr(durable, "write", refuse)
    assert "cannot be written (no)" in examine()["cache folder"]


def test_a_folder_of_an_impossible_name_is_described(tmp_path: Path) -> None:
    assert "cannot be used (" not in doctor._folder(tmp_path)
    assert "cannot be used: File name too long" in doctor._folder(tmp_path / ("x" * 300))
    (tmp_path / "loop").symlink_to("loop")
    assert "loop (" in doctor._folder(tmp_path / "loop")


def test_runs_in_a_link_to_itself_are_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checkpoints").symlink_to("checkpoints")
    assert "checkpoints" in doctor.examine()["runs folder"]
