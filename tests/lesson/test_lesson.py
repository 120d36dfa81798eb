"""A lesson on a small text: its runs stay, the page holds the numbers of the JSON, nothing in it is markup."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import sentences
from lessons import STEPS, cells, full, give, lesson, renamed
from pages import HOSTILE

from charnet import api
from charnet.cli.app import run as charnet_
from charnet.errors import CorpusError
from charnet.lesson import runs, teach
from charnet.lesson.page import to_page
from charnet.lesson.plan import PARTS
from charnet.lesson.results import Lesson
from charnet.lesson.runs import Run
from charnet.lesson.temperatures import Written
from charnet.lesson.words import nats

SECTIONS = (
    "cells",
    "equations",
    "units",
    "layers",
    "memory",
    "explosion",
    "windows",
    "optimizers",
    "temperature",
    "runs",
)


class Elements(HTMLParser):
    """The elements of a page, their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("lesson")
    (found / "pets.txt").write_text(sentences(700))
    return found


@pytest.fixture(scope="module")
def given(folder: Path) -> Lesson:
    return give(folder / "pets.txt", folder / "runs")


def test_every_number_of_the_page_is_in_the_json(given: Lesson) -> None:
    page, numbers = Elements(to_page(given)), json.loads(json.dumps(given.as_dict()))
    assert len(numbers["runs"]) == 13
    for each in numbers["runs"]:
        assert each["steps"] == STEPS
        assert nats(each["nats"]) in page.text
        assert each["path"] in page.text
        assert f"{each['parameters']:,}" in page.text or each["part"] in ("noise", "windows", "optimizers")
    assert [each["temperature"] for each in numbers["temperatures"]] == [0.2, 0.5, 0.8, 1.0, 1.5]
    assert set(numbers["memory"]) == set(numbers["gradient"]) >= {"rnn-tanh", "lstm", "lstm-window-8"}
    assert numbers["explosion"]["clipped"]["norms"][0] == numbers["explosion"]["free"]["norms"][0]


@pytest.mark.exhaustive
def test_the_same_lesson_gives_the_same_numbers(given: Lesson, folder: Path) -> None:
    again = give(folder / "pets.txt", folder / "others")
    assert [run.nats for run in again.runs] == [run.nats for run in given.runs]
    assert again.written == given.written
    assert again.reach == given.reach


@pytest.mark.exhaustive
def test_finished_runs_are_used_again(given: Lesson, folder: Path) -> None:
    again = give(folder / "pets.txt", folder / "runs")
    assert all(run.reused for run in again.runs)
    assert [(run.path, run.nats) for run in again.runs] == [(run.path, run.nats) for run in given.runs]


def test_runs_of_another_length_are_not_used(given: Lesson, folder: Path) -> None:
    stopped = []
    with pytest.raises(teach.Stopped):
        give(folder / "pets.txt", folder / "runs", steps=STEPS + 1, stop=lambda: stopped.append(1) or len(stopped) > 1)
    assert (folder / "runs" / "lesson-pets" / f"{given.runs[0].name}-2").is_dir()


def test_a_run_of_a_lesson_writes(given: Lesson) -> None:
    assert len(api.load(given.runs[0].path).generate(length=20)) == 20


def test_a_lesson_that_is_stopped_keeps_what_is_finished(folder: Path) -> None:
    class Watcher(teach.Watcher):
        def __init__(self) -> None:
            self.done: list[str] = []

        def trained(self, run: Run, count: int) -> None:  # noqa: ARG002
            self.done.append(run.name)

    watcher = Watcher()
    with pytest.raises(teach.Stopped):
        give(folder / "pets.txt", folder / "stopped", watcher=watcher, stop=lambda: len(watcher.done) == 2)
    kept = {path.name for path in (folder / "stopped" / "lesson-pets").iterdir()}
    assert {"rnn-tanh", "rnn-relu"} <= kept


@pytest.mark.exhaustive
def test_parts_for_which_no_time_is_left_are_left_out_and_named(
    given: Lesson, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "finished", lambda *_, **__: None)
    monkeypatch.setattr(runs, "train", lambda *_, **__: given.runs[0].path)
    late = give(folder / "pets.txt", folder / "late", seconds=180.0, steps=0, began=time.monotonic() - 1000)
    assert [run.part for run in late.runs] == ["cells"] * 5
    assert late.plan.left_out == PARTS[1:]


def test_a_text_that_is_too_short_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("ab\n" * 100)
    with pytest.raises(CorpusError, match="short: 300 characters, too few for a lesson: give 1,000"):
        give(tmp_path / "short.txt", tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "short.txt"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_has_all_its_sections_and_links_to_them(language: str) -> None:
    page = to_page(full(), language)
    found = Elements(page)
    ids = [value for name, value in found.attributes if name == "id"]
    assert ids == list(SECTIONS)
    assert [value for name, value in found.attributes if name == "href"] == [f"#{each}" for each in SECTIONS]
    assert f'<html lang="{language}">' in page
    assert "<script" not in page
    assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "").replace("http-equiv", "")
    assert len(page.encode()) < 1_000_000
    assert found.names.count("svg") == 1 + 7 + 3 + 3 + 1 + 1 + 2 + 1


def test_runs_that_were_evaluated_once_are_drawn_by_their_training_losses() -> None:
    once = {"seconds": [2.0], "characters": [1000.0], "nats": [1.5]}
    steps = {"seconds": [0.5, 1.0, 2.0], "characters": [250.0, 500.0, 1000.0], "nats": [3.0, 2.0, 1.6]}
    page = to_page(lesson(*(renamed(run, curve=once, train_curve=steps) for run in cells())))
    assert "training loss (too short for held-out ones)" in page
    assert "loss while learning" not in page
    assert min(len(points.split()) for points in re.findall(r'<polyline[^>]* points="([^"]*)"', page)) > 1


def test_a_run_of_a_lesson_has_the_training_loss_of_each_report(given: Lesson) -> None:
    assert all(len(run.train_curve["nats"]) > 1 for run in given.runs)
    assert all(run.train_curve["characters"][-1] == run.characters for run in given.runs)


def test_a_lesson_of_cells_alone_has_a_page() -> None:
    ids = [value for name, value in Elements(to_page(lesson(*cells()))).attributes if name == "id"]
    assert ids == ["cells", "equations", "runs"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_a_text(text: str) -> None:
    page = Elements(to_page(full(text=text, written=[Written(0.2, text, 1.0, 1.0), Written(1.5, text, 2.0, 0.5)])))
    assert not {"script", "img", "iframe", "object", "form", "base", "b", "input"} & set(page.names)
    assert page.names.count("style") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]


def test_lines_of_a_written_text_stay_lines() -> None:
    page = to_page(full(written=[Written(0.2, "one\n  two\n", 1.0, 1.0), Written(1.5, "x", 2.0, 0.5)]))
    assert '<div class="text">one\n  two\n</div>' in page


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("lesson missing.txt", 3, "there is no such file or folder"),
        ("lesson pets.txt --for 5", 2, "20 seconds at least, found 5"),
        ("lesson pets.txt --for 1m --steps 5", 2, "expected one length, found two"),
        ("lesson pets.txt --language de", 2, "expected one of en, zh, found \"de\""),
        ("lesson pets.txt -o pets.txt", 6, "already exists; choose another name, or replace it with --force"),
        ("lesson -", 3, "a lesson reads its text many times"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    assert charnet_(line.split()) == code
    (found,) = capsys.readouterr().err.splitlines()
    assert message in found
    assert not re.search("checkpoints", str(list(folder.iterdir())))


def test_the_command_says_a_line_for_each_run_and_prints_numbers_and_answers(
    given: Lesson, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    steps = []

    def taught(paths, values, *, watcher, **more):
        steps.append((paths, values, more["steps"], more["seconds"]))
        watcher.planned(given.plan, folder / "runs")
        for each in given.runs:
            watcher.trained(each, len(given.plan.experiments))
        watcher.measuring()
        return given

    monkeypatch.setattr(teach, "teach", taught)
    line = ["lesson", "pets.txt", "--steps", "3", "--threads", "1", "--language", "zh", "-o", "l.html", "--json"]
    assert charnet_(line) == 0
    assert steps == [(["pets.txt"], {"training.threads": 1}, 3, None)]
    printed = capsys.readouterr()
    numbers = json.loads(printed.out)
    assert numbers["runs"] == json.loads(json.dumps(given.as_dict()))["runs"]
    assert all(sentence in Elements((folder / "l.html").read_text()).text for sentence in numbers["answers"]["cells"])
    lines = printed.err.splitlines()
    assert len(lines) == 1 + 13 + 2
    assert re.fullmatch(r"1 of 13  rnn-tanh: \d\.\d{4} nats, [\d,]+ characters in \d+\.\d s", lines[1])
