"""Results for people, whatever numbers are in a file."""

from __future__ import annotations

import re
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import tiny

from charnet.cli.app import run
from charnet.storage.document import TrainerState

HUGE = {"int": [2**62], "float": [1e299, -1e299], "float | None": [1e299, -1e299]}


@pytest.mark.parametrize(
    ("name", "value"), [(each.name, value) for each in fields(TrainerState) for value in HUGE.get(str(each.type), [])]
)
def test_a_line_of_inspect_is_short_whatever_number_a_file_holds(
    name: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tiny()
    forged = replace(whole, trainer_state=replace(whole.trainer_state, **{name: value}))
    forged.save(tmp_path / "f.safetensors")
    code = run(["inspect", str(tmp_path / "f.safetensors")])
    shown = capsys.readouterr()
    assert code in (0, 4)
    assert max(map(len, (shown.out + shown.err).splitlines())) < 300


def test_statistics_of_a_text_fit_a_narrow_terminal_and_stay_whole_in_a_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("the cat sat on a mat\n" * 30)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    assert run(["corpus", "info", "a.txt"]) == 0
    piped = capsys.readouterr().out
    assert max(map(len, piped.splitlines())) > 80
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run(["corpus", "info", "a.txt"]) == 0
    on_terminal = capsys.readouterr().out
    assert max(map(len, on_terminal.splitlines())) <= 40
    assert "given" in on_terminal.split()  # no word is cut


def test_the_loss_of_inspect_says_of_how_much_held_out_text_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("charnet.machine.threads_beside_others", lambda _: 1)
    Path("a.txt").write_text("the cat sat on a mat\n" * 60)
    train = ["train", "a.txt", "--hidden-size", "8", "--window", "13", "--batch-size", "3", "--steps", "5", "--quiet"]
    assert run([*train, "--name", "part", "--val-chars", "47", "--threads", "1"]) == 0
    assert run([*train, "--name", "whole", "--threads", "1"]) == 0
    for name, said in (("part", ", over 47 of 126 held-out characters"), ("whole", " per character, held out")):
        capsys.readouterr()
        assert run(["inspect", name]) == 0
        loss = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("loss"))
        assert loss.endswith(said)


def test_what_is_said_of_a_model_of_bytes_counts_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("charnet.machine.threads_beside_others", lambda _: 1)
    Path("a.txt").write_text("猫 sat on a mat\n" * 60)
    size = ["--hidden-size", "8", "--window", "13", "--batch-size", "3", "--steps", "5", "--threads", "1"]
    commands = [
        ["train", "a.txt", "--bytes", "--name", "b", *size],
        ["inspect", "b"],
        ["eval", "b", "a.txt"],
        ["eval", "b", "a.txt", "--per-line"],
        ["insight", "b", "a.txt"],
        ["train", "a.txt", "--bytes", "--name", "c", "--open", *size],
        ["runs", "b", "c"],
    ]
    for command in commands:
        assert run(command) == 0
        shown = capsys.readouterr()
        told = [line for line in (shown.out + shown.err).splitlines() if "counting strings" not in line]
        assert any(re.search(r"per byte|\d bytes", line) for line in told), command
        assert not [line for line in told if re.search(r"per char|\d characters|chars/s|characters back", line)], (
            command
        )
    assert run(["runs", "--html", "runs.html"]) == run(["runs", "b", "c", "-o", "runs.svg"]) == 0
    for file in ("checkpoints/c/live.html", "runs.html", "runs.svg"):
        told = Path(file).read_text(encoding="utf-8")
        assert "bytes read" in told
        assert not re.search(r"\d characters|characters read|>characters<|characters a second", told), file
