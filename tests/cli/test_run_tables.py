"""`charnet runs`: a list of what was trained, and runs of one text compared."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from charnet import durable
from charnet.cli.app import run
from charnet.cli.runs import _show_curves
from charnet.errors import ConfigError
from charnet.insight.svg import Line, Panel, to_svg
from charnet.overlay import overlay
from charnet.storage import result, run_list, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.result import RunResult


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    """Two runs on one text, which differ in their learning rate; the second is not at its end."""
    made = tmp_path / "checkpoints"
    for name in ("first", "second"):
        shutil.copytree(tiny_run, made / name)
    for file in (runs.LAST, runs.BEST):
        before = Checkpoint.load(made / "second" / file)
        config = overlay(before.config, {"training.learning_rate": 0.02, "training.steps": 900})
        replace(before, config=config).save(made / "second" / file)
    return made


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert run(["runs", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_the_list_says_what_each_run_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = output(capsys, "--in", str(folder), "--sort", "name")
    lines = out.splitlines()
    assert re.fullmatch(r"first   +\d\.\d{4} nats  done", lines[0])
    assert re.fullmatch(r"second  +\d\.\d{4} nats  interrupted", lines[2])
    assert re.search(r"pets, lstm 1x16, 0:\d\d trained, \d{4}-\d\d-\d\d \d\d:\d\d, [\d.]+ kB", lines[1])
    assert "step 120 of 900" in lines[3]
    found = json.loads(output(capsys, "--in", str(folder), "--json", "--sort", "best")[0])
    assert {each["name"] for each in found} == {"first", "second"}
    assert found[0]["best_nats_per_char"] <= found[1]["best_nats_per_char"]


@pytest.mark.parametrize(
    ("sort", "first"),
    [("newest", "second"), ("name", "first"), ("best", "second"), ("size", "first"), ("time", "second")],
)
def test_the_list_is_sorted(folder: Path, sort: str, first: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Checkpoint.load(folder / "second" / runs.LAST)
    state = replace(before.trainer_state, best_nats_per_char=0.1, seconds=1e6)
    replace(before, trainer_state=state).save(folder / "second" / runs.LAST)
    (folder / "first" / runs.METRICS).write_bytes(b"x" * 1_000_000)
    out, _ = output(capsys, "--in", str(folder), "--sort", sort, "--json")
    assert [each["name"] for each in json.loads(out)] == [first, "first" if first == "second" else "second"]


def test_a_run_that_is_being_trained_is_running(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = durable.OpenFolder(folder / "first")
    assert held.try_lock()
    out, _ = output(capsys, "--in", str(folder), "--sort", "name", "--json")
    assert [each["state"] for each in json.loads(out)] == ["running", "interrupted"]
    held.close()


def test_a_damaged_run_stands_in_the_list_and_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (runs.LAST, runs.BEST, runs.PREVIOUS):
        (folder / "first" / name).write_bytes(b"{}" * 20)
    out, _ = output(capsys, "--in", str(folder), "--sort", "name")
    assert "damaged" in out.splitlines()[0]
    assert "expected a checkpoint of charnet" in out
    assert output(capsys, "first", "second", "--in", str(folder), code=4)[1].count("\n") == 1


def test_a_folder_without_runs_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = output(capsys, "--in", str(tmp_path))
    assert out == ""
    assert "no run here yet; make one with charnet train" in err


def test_compared_runs_show_what_differs_and_their_losses_side_by_side(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    svg = tmp_path / "curves.svg"
    out, err = output(capsys, "first", "second", "--in", str(folder), "-o", str(svg))
    assert re.search(r"training.learning_rate +[\d.]+ \| 0.02", out)
    assert "training.steps" in out
    assert "training.seed" not in out
    assert "nats after so many characters" in out
    assert str(svg) in err
    root = ET.fromstring(svg.read_text())
    assert len(root.findall("{*}polyline")) == 4
    assert "first" in root.find("{*}desc").text
    found = json.loads(output(capsys, "first", "second", "--in", str(folder), "--json")[0])
    assert set(found["different"]) == {"training.learning_rate", "training.steps"}
    assert found["curves"][0]["nats"] == found["curves"][1]["nats"]
    assert output(capsys, "first", "second", "--in", str(folder), "-o", str(svg), code=6)[1].count("\n") == 1


def test_compared_runs_stand_side_by_side_with_loss_time_size_and_verdict_in_one_unit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_list.find("first", folder).document
    assert found is not None
    best = RunResult(9, found.trainer_state.best_step, 27, 1.31, order=5, ngram_nats=1.57)
    (folder / "first" / result.RESULT).write_bytes(best.to_json())
    out, _ = output(capsys, "first", "second", "--in", str(folder))
    assert re.search(r"^ +first +second$", out, re.MULTILINE)
    for row in (r"loss +\d\.\d{4} nats +\d\.\d{4} nats", r"trained +0:\d\d +0:\d\d", r"size +[\d.]+ kB +[\d.]+ kB"):
        assert re.search(row, out)
    assert re.search(r"^first +better than the best n-gram", out, re.MULTILINE)
    assert "bits" not in out


def test_losses_are_compared_where_all_runs_have_some(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Checkpoint.load(folder / "second" / runs.LAST)
    late = replace(before, history=before.history[-2:])
    late.save(folder / "second" / runs.LAST)
    out, _ = output(capsys, "first", "second", "--in", str(folder))
    rows = out.partition("nats after so many characters\n")[2].splitlines()[1:3]
    assert not any(" - " in row for row in rows)


def test_settings_that_only_measure_are_not_told_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder, {}, {"training.eval_every": 7})
    out, _ = output(capsys, "first", "second", "--in", str(folder))
    assert "training.learning_rate" in out
    assert "eval_every" not in out
    assert "training.eval_every" in output(capsys, "first", "second", "--in", str(folder), "--json")[0]


def change(folder: Path, corpus: dict[str, str], settings: dict[str, object]) -> None:
    for file in (runs.LAST, runs.BEST):
        before = Checkpoint.load(folder / "second" / file)
        changed = {"corpus": replace(before.corpus, **corpus), "config": overlay(before.config, settings)}
        replace(before, **changed).save(folder / "second" / file)


HELD_OUT = 'hold out different parts of "pets", or read it differently'


@pytest.mark.parametrize(
    ("corpus", "settings", "message"),
    [
        ({"fingerprint": "0" * 64, "name": "other"}, {}, 'learned from different texts, "pets" and "other"'),
        ({"fingerprint": "0" * 64}, {}, 'learned from different texts of one name, "pets"'),
        ({}, {"data.val": "random"}, f'{HELD_OUT} (seed none and 0, val "last" and "random")'),
        ({}, {"data.lines": True}, f'{HELD_OUT} (documents none and "line")'),
        ({}, {"data.val_fraction": 0.2}, f"{HELD_OUT} (val_fraction 0.1 and 0.2)"),
        ({}, {"data.lowercase": True}, f"{HELD_OUT} (lowercase False and True)"),
    ],
)
def test_runs_that_are_measured_on_different_texts_are_not_compared(
    corpus: dict[str, str],
    settings: dict[str, object],
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(folder, corpus, settings)
    _, err = output(capsys, "first", "second", "--in", str(folder), code=2)
    assert err == f"charnet: first and second {message}: their losses cannot be compared\n"


def test_a_loss_per_byte_is_not_compared_with_one_per_character(folder: Path) -> None:
    first, second = (run_list.find(name, folder) for name in ("first", "second"))
    assert second.document is not None
    config = overlay(second.document.config, {"data.bytes": True})
    of_bytes = replace(second, document=replace(second.document, config=config))
    with pytest.raises(ConfigError, match="first and second learned from characters and bytes: "):
        run_list.check_comparable([first, of_bytes])


def test_what_does_not_change_the_held_out_part_hinders_no_comparison(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, {}, {"data.val": "", "data.encoding": "utf8", "data.paths": ["x"], "training.seed": 3})
    output(capsys, "first", "second", "--in", str(folder))


def test_a_run_that_stopped_early_is_not_said_to_be_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Checkpoint.load(folder / "second" / runs.LAST)
    state = replace(before.trainer_state, evaluations_without_improvement=8)
    replace(before, trainer_state=state).save(folder / "second" / runs.LAST)
    out, _ = output(capsys, "--in", str(folder), "--sort", "name")
    assert out.splitlines()[2].endswith("stopped early")
    assert re.search(r"state +done +stopped early", output(capsys, "first", "second", "--in", str(folder))[0])


def test_seconds_of_short_runs_have_decimals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = output(capsys, "first", "second", "--in", str(folder))[0]
    heads = found.partition("nats after so many seconds\n")[2].splitlines()[0].split()
    assert len(set(heads)) == 5
    assert all("." in head for head in heads)


def test_the_folders_of_sweeps_and_lessons_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my sweep").mkdir()
    (folder / "first").rename(folder / "my sweep" / "first")
    command = f"charnet runs --in '{folder}/my sweep'"
    assert command in output(capsys, "--in", str(folder))[1]
    (folder / "second").rename(folder / "my sweep" / "second")
    out, err = output(capsys, "--in", str(folder))
    assert (out, err) == ("", f"{folder}/my sweep/ holds more runs: {command}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["first"], 2, "expected two or more runs to compare; charnet inspect"),
        (
            ["--sort", "bset"],
            2,
            '--sort: expected one of newest, name, best, size, time, found "bset" (did you mean "best"?)',
        ),
        (["-o", "x.svg"], 2, "--out: expected runs to compare beside it"),
        (["first", "third"], 4, "third: there is no such checkpoint; runs in"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    arguments: list[str], code: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = output(capsys, *arguments, "--in", str(folder), code=code)
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["FOLDER"], 2, "expected two or more runs to compare; charnet runs --in FOLDER lists those in a folder"),
        (["-o", "FOLDER"], 2, "--out: expected runs to compare beside it; charnet runs --in FOLDER lists those"),
        (["--in", "FOLDER/nope"], 4, "FOLDER/nope: there is no such folder"),
        (["FOLDER/first", "FOLDER/first/best.int8.safetensors"], 4, "expected a run, found a file by itself"),
    ],
    ids=range(4),
)
def test_what_is_no_run_is_refused_with_what_shows_it(
    arguments: list[str], code: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "first" / "best.safetensors", folder / "first" / "best.int8.safetensors")
    _, err = output(capsys, *(each.replace("FOLDER", str(folder)) for each in arguments), code=code)
    assert message.replace("FOLDER", str(folder)) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_is_wider_than_the_terminal(folder: Path, columns: int) -> None:
    own, theirs = pty.openpty()
    for arguments in ([], ["first", "second"]):
        code = (
            f"import sys; from charnet.cli.app import run; sys.exit(run({['runs', *arguments, '--in', str(folder)]!r}))"
        )
        environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
        subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True, timeout=60)
        shown = os.read(own, 1 << 16).decode()
        assert max(len(line.rstrip("\r")) for line in shown.split("\n")) <= columns, shown
    os.close(own)
    os.close(theirs)


def test_long_curves_are_in_one_line_of_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    long = [float(place) for place in range(1, 50)]
    curve = Mock(characters=long, seconds=long, nats=long[::-1])
    curve.name = "a run"
    _show_curves([curve], "characters", "bytes")
    told = [line for line in capsys.readouterr().out.splitlines() if set(line) & set("▁█")]
    assert len(told) == 1
    assert len(told[0]) <= 40


def test_a_figure_is_well_formed_whatever_the_names_are() -> None:
    hostile = '</desc><script>alert("1")</script>\x1b[31m\0&'
    lines = [Line(hostile, [1.0, 2e6], [2.0, 1.5]), Line("flat", [0.0], [1.0]), Line("none", [], [])]
    svg = to_svg([Panel(hostile, "characters", lines)], "nats", hostile)
    root = ET.fromstring(svg)
    assert not [each for each in root.iter() if each.tag.endswith("script")]
    assert (len(root.findall("{*}polyline")), len(root.findall("{*}circle"))) == (2, 1)
    ET.fromstring(to_svg([Panel("empty", "seconds", [])], "nats", ""))
