"""A model of bytes is described in bytes by every command, and never in characters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import sentences

import charnet
from charnet.cli.app import run
from charnet.insight.notebook import model_html
from charnet.insight.reprs import RunPath

SMALL = ["--steps", "60", "--hidden-size", "8", "--batch-size", "4", "--window", "32", "--threads", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, and two runs that read it as bytes."""
    folder = tmp_path_factory.mktemp("bytes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("pets.txt").write_text(sentences(800))
        for name in "ab":
            assert run(["train", "pets.txt", "--bytes", "--name", name, "--quiet", *SMALL]) == 0
    return folder


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("train pets.txt --bytes --name c", marks=pytest.mark.exhaustive),
        "eval a pets.txt",
        "eval pets.txt --mix a --mix b",
        "eval pets.txt --mix a --mix b --mix auto",
        "eval a pets.txt --per-line",
        "sample a -p the -n 20 --adapt",
        "inspect a --all",
        "runs a b",
        "compress pets.txt --model a --compare",
    ],
)
def test_a_command_names_bytes(
    folder: Path, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run([*words.split(), *(SMALL if words.startswith("train") else [])]) == 0
    shown = "".join(capsys.readouterr())
    assert "byte" in shown
    assert not re.findall(r".*\bcharacters?\b.*", shown)


def test_a_text_of_other_bytes_is_refused_in_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for name, text, what in (
        ("other", b"\xe5\xe6\xe7\xe8\xe9 the\n", "does not know 51 % of its bytes"),
        ("none", b"\xe5\xe6\xe7", "knows none of its bytes"),
    ):
        (tmp_path / name).write_bytes(text * 9 + b"\xe5")
        assert run(["eval", "a", str(tmp_path / name)]) == 3
        assert what in capsys.readouterr().err


def test_python_names_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    model = charnet.load("a")
    for shown in (repr(model), repr(RunPath("checkpoints/a")), model_html(model)):
        assert "byte" in shown
        assert not re.findall(r".*\bcharacters?\b.*", shown)
