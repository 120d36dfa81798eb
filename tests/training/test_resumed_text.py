"""Which text a resumed run reads."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import sentences

from charnet.cli.app import run
from charnet.config import Config, DataSettings
from charnet.data import corpus
from charnet.errors import CorpusError
from charnet.storage.checkpoint import Checkpoint
from charnet.training import resume

TINY = ["--hidden-size", "4", "--batch-size", "2", "--window", "8", "--threads", "1"]


@pytest.mark.parametrize(
    ("text", "is_same"), [("Plain Text\n" * 9, True), ("ΟΔΟΣ ς\n" * 9, False), ("İ i\n" * 9, False)]
)
def test_a_text_in_lower_case_is_resumed_from_an_older_version_unless_it_changed(
    text: str, is_same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text(text)
    data = DataSettings(paths=(str(tmp_path / "a.txt"),), lowercase=True)
    with monkeypatch.context() as older:
        older.setattr(corpus, "CASING_VERSION", 1)
        older.setattr("charnet.data.normalize._lower", lambda text: text.replace("Σ", "σ").lower())
        before = corpus.read(data.paths, data)
    older_run: Any = SimpleNamespace(vocab=before.vocab, corpus=before)
    if is_same:
        assert (
            resume._read(older_run, Config(data=data), lambda *_: None, continue_text=False, is_named=False).ids
            == before.ids
        ).all()
    else:
        with pytest.raises(CorpusError, match="this version writes ς and İ in lower case as Unicode does"):
            resume._read(older_run, Config(data=data), lambda *_: None, continue_text=False, is_named=False)


@pytest.fixture
def piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run on a text from standard input, of which no copy is left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    pipe(monkeypatch, sentences(100))
    assert run(["train", "-", "-q", "--name", "piped", "--steps", "2", *TINY]) == 0
    assert run(["cache", "clear"]) == 0
    return tmp_path / "checkpoints" / "piped"


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def step_of(folder: Path) -> int:
    return Checkpoint.load(folder / "last.safetensors").trainer_state.step


def test_a_text_from_standard_input_is_read_again_where_it_is_named_again(
    piped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, sentences(100))
    assert run(["train", "-", "-q", "--resume", "piped", "--steps", "4"]) == 0
    assert step_of(piped) == 4
    pipe(monkeypatch, "")  # not named: the copy in the cache is read
    settings = str(piped / "config.yaml")
    assert run(["train", "-q", "--resume", "piped", "--config", settings, "--steps", "5"]) == 0
    assert step_of(piped) == 5


@pytest.mark.parametrize("is_cached", [True, False])
def test_another_text_on_standard_input_is_refused_and_nothing_is_lost(
    piped: Path, is_cached: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_cached:
        pipe(monkeypatch, sentences(100))
        assert run(["corpus", "info", "-"]) == 0
    files = {path.name: path.read_bytes() for path in piped.iterdir()}
    capsys.readouterr()
    pipe(monkeypatch, sentences(100, seed=2))
    assert run(["train", "-", "-q", "--resume", "piped", "--steps", "4"]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "expected the text that this run was trained on (stdin, SHA-256" in said
    assert {path.name: path.read_bytes() for path in piped.iterdir()} == files


def test_standard_input_that_is_not_named_again_is_not_read(
    piped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del piped
    capsys.readouterr()
    pipe(monkeypatch, sentences(100))
    assert run(["train", "-q", "--resume", "piped", "--steps", "4"]) == 3
    assert "neither at - nor in the cache: give its path" in capsys.readouterr().err


def test_a_text_that_is_named_and_missing_is_not_replaced_by_the_one_in_the_cache(
    piped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe(monkeypatch, sentences(100))
    assert run(["corpus", "info", "-"]) == 0
    settings = (piped / "config.yaml").read_bytes()
    capsys.readouterr()
    assert run(["train", "missing.txt", "-q", "--resume", "piped", "--steps", "4"]) == 3
    assert "missing.txt: there is no such file" in capsys.readouterr().err
    assert (piped / "config.yaml").read_bytes() == settings
