"""The live screen: what it says of a training at every size of a terminal, and that nothing on it is too wide."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from run_events import events, metrics, started

from charnet.cli import chart, console, screen
from charnet.cli.chart import Line, Series
from charnet.cli.history import RunHistory
from charnet.overlay import overlay
from charnet.training.events import Progress, Sampled

SIZES = [(24, 8), (40, 20), (80, 24), (120, 40), (1, 1), (7, 3)]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The part of a plan that the screen looks at."""

    seconds: float
    limit: str = "time"
    remarks: tuple[str, ...] = ()


def history(*, planned: bool = False, sample: str = "The cat sat on the mat", **changes: Any) -> RunHistory:
    found = RunHistory()
    for event in itertools.islice(events(Path("runs/pets"), sample=sample), 12):
        if event == started(Path("runs/pets")):
            event = dataclasses.replace(event, plan=Plan(90.0) if planned else None, **changes)  # type: ignore[type-var]
        found.update(event)
    return found


def written(lines: Iterable[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("sample", ["", "The cat sat. " * 40, "猫坐在垫子上。" * 40, "a\tb\n\x1b[2J" * 9])
@pytest.mark.parametrize("planned", [False, True])
def test_no_line_is_too_wide_and_the_last_one_stays_free(width: int, height: int, sample: str, planned: bool) -> None:
    found = history(sample=sample, planned=planned)
    for footnote in ("", "a note"):
        lines = screen.draw(found, 33.0, width, height, footnote)
        assert all(screen.width_of(line) <= width for line in lines)
        assert not any("\x1b" in text for text in written(lines))
    assert len(screen.draw(found, 33.0, width, height)) <= max(1, height - 1)


@pytest.mark.parametrize("width", [24, 27, 33, 80])
def test_no_line_of_chinese_begins_with_a_closing_mark_or_ends_with_an_opening_one(width: int) -> None:
    sample = "".join("他说：“" + "猫坐在垫子上" * count + "。”（第一页）。" for count in range(1, 12))
    shown = [text for text in written(screen.draw(history(sample=sample), 33.0, width, 40)) if "猫" in text]
    assert len(shown) > 2
    assert not [text for text in shown if text[0] in console.NEVER_FIRST or text[-1] in console.NEVER_LAST]


@pytest.mark.parametrize(("width", "height"), SIZES[:4])
def test_rate_both_losses_and_a_line_of_text_are_on_every_screen(width: int, height: int) -> None:
    shown = "\n".join(written(screen.draw(history(), 33.0, width, height)))
    for words in ("4,096 chars/s", "train 2.62", "held out 2.12", "The cat"):
        assert words in shown


def test_the_curve_takes_the_height_that_there_is() -> None:
    rows = [sum("│" in line or "┤" in line for line in written(screen.draw(history(), 0, 80, h))) for h in (12, 24, 40)]
    assert rows[0] == 0 < rows[1] < rows[2]
    assert rows[2] == rows[1] + 16


def test_the_legend_says_which_loss_has_the_ngram_where_there_is_one_and_room_for_it() -> None:
    found = history()
    assert found.started is not None
    assert "⠒ train  ⠤ held out" in "\n".join(written(screen.draw(found, 0, 80, 24)))
    found.started = dataclasses.replace(found.started, config=overlay(found.started.config, {"model.ngram": 5}))
    legend = "nats per character: ⠒ train (networks alone)  ⠤ held out (with the n-gram)"
    assert legend in "\n".join(written(screen.draw(found, 0, 80, 24)))
    assert "⠒ train  ⠤ held out" in "\n".join(written(screen.draw(found, 0, 60, 24)))


def test_the_bar_is_of_time_where_time_was_asked_and_of_steps_elsewhere() -> None:
    bar = written(screen.draw(history(planned=True), 33.0, 80, 24))[0]
    assert bar.endswith(" 0:33 of 1:30")
    assert "step 40 of 40" in written(screen.draw(history(), 33.0, 80, 24))[0]
    late = written(screen.draw(history(planned=True), 95.0, 80, 24))[0]
    assert late.endswith(" 1:30 of 1:30")


def resumed(*, planned: float, seconds: float = 40 / 4) -> RunHistory:
    """A training of 80 steps that is resumed at step 40, after `seconds`."""
    found = RunHistory()
    earlier = tuple(dataclasses.replace(metrics(step), seconds=seconds).as_dict() for step in (20, 40))
    begun = dataclasses.replace(started(Path("runs/pets"), 40, steps=80), metrics=earlier, planned_seconds=planned)
    found.update(begun)
    return found


def test_a_resumed_run_begins_with_the_curve_from_before() -> None:
    found = resumed(planned=0)
    found.update(Progress(41, 2.6, 4096.0))
    assert found.curve("train_nats_per_char", timed=False)[0] == [20, 40]
    assert any("┤" in line for line in written(screen.draw(found, 0.5, 80, 24)))


def test_a_resumed_run_that_was_planned_for_a_time_keeps_bar_and_axis_of_time() -> None:
    found = resumed(planned=30.0)
    found.update(Progress(41, 2.6, 4096.0))
    lines = written(screen.draw(found, 5.0, 80, 24))
    assert lines[0].endswith(" 0:15 of 0:30")
    assert next(line for line in lines if "└" in line)
    assert "0:30" in lines[next(at for at, line in enumerate(lines) if "└" in line) + 1]
    found.update(metrics(50))
    found.stamp(5.5)
    assert found.curve("val_nats_per_char", timed=True)[0] == [10.0, 10.0, 15.5]


def test_a_resumed_run_whose_steps_need_another_time_says_so() -> None:
    found = resumed(planned=30.0)
    found.update(Progress(41, 2.6, 409.6))  # 39 steps of 1,024 characters at this speed
    assert written(screen.draw(found, 5.0, 80, 24))[0].endswith(" 0:15 of 1:52")


def test_words_beside_the_bar_are_left_out_whole() -> None:
    found = history()
    found.steps = 1_000_000
    assert written(screen.draw(found, 0.0, 80, 24))[0].endswith(" left")
    for width in range(4, 80):
        bar = written(screen.draw(found, 0.0, width, 24))[0].lstrip("━").strip()
        assert bar in ("", "40", "step 40", "step 40 of 1,000,000") or bar.endswith(" left")


def test_the_first_moments_of_a_run_are_drawn_too() -> None:
    found = RunHistory()
    found.update(started(Path("runs/pets")))
    found.update(Progress(1, 3.2, 0.0))
    assert "train 3.20" in "\n".join(written(screen.draw(found, 0.0, 80, 24)))


@pytest.mark.parametrize(
    ("characters", "alphabet", "seen", "words"),
    [
        (561_600, 63, 2.3, "your text, 312 pages, is read for the third time"),
        (561_600, 63, 0.0, "your text, 312 pages, is read for the first time"),
        (6_000, 2_500, 11.5, "your text, 10 pages, is read for the 12th time"),
        (1_900, 63, 1.0, "your text, 1 page, is read for the second time"),
        (500, 63, 1.0, "your text, less than a page, is read for the second time"),
    ],
)
def test_pages_and_readings_are_counted_in_plain_words(characters: int, alphabet: int, seen: float, words: str) -> None:
    found = RunHistory()
    begun = started(Path("runs/pets"), steps=10**6)
    corpus = dataclasses.replace(begun.corpus, characters=characters)
    found.update(dataclasses.replace(begun, corpus=corpus, alphabet_size=alphabet, held_out=characters // 10))
    read = round(seen * (characters - characters // 10))
    found.update(dataclasses.replace(metrics(7), chars_seen=read))
    assert screen.reading(found) == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The cat sat on", "The cat sat"),
        ("The cat sat on it.", "The cat sat on it."),
        ("在山上。他说今天很好", "在山上。他说今天很好"),
        ("The cat\nsa", "The cat"),
        ("x" * 30, "x" * 30),
        ("", ""),
    ],
)
def test_the_last_word_of_a_sample_is_whole(text: str, shown: str) -> None:
    assert screen.whole_words(text) == shown


def test_the_newest_sample_is_shown() -> None:
    found = history()
    found.update(Sampled(41, "A dog ran off"))
    assert "A dog ran" in "\n".join(written(screen.draw(found, 0.0, 80, 24)))


Draw = Callable[..., list[str]]


def test_a_chart_has_numbers_on_both_axes_and_the_curves_between() -> None:
    x = [float(at) for at in range(11)]
    falling = Series(x, [3.0 - 0.2 * at for at in x], "train", joined=True)
    lines = written(chart.draw([falling], 10.0, ["0", "half", "end"], 40, 10))
    assert len(lines) == 10
    assert lines[0].startswith("2.60 ┤")  # the first fifth of a curve is cut off at the top
    assert lines[7].startswith("1.00 ┤")
    assert lines[-1].split() == ["0", "half", "end"]
    assert all(len(line) <= 40 for line in lines)
    heights = [
        next(row for row in range(8) if len(lines[row]) > at and lines[row][at] > "\u2800") for at in (16, 24, 38)
    ]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]


def test_a_chart_without_points_is_not_drawn() -> None:
    assert chart.draw([Series([], [], "train")], 10.0, ["0", "1"], 40, 10) == []
    assert chart.draw([Series([1.0], [2.0], "train")], 0.0, ["0", "1"], 40, 10) == []


def test_a_level_curve_is_drawn_without_dividing_by_zero() -> None:
    assert chart.draw([Series([1.0, 2.0], [2.0, 2.0], "train", joined=True)], 2.0, ["0", "2"], 20, 6)


def test_a_huge_first_loss_leaves_the_height_to_the_rest() -> None:
    x = [float(at) for at in range(101)]
    curve = Series(x, [1.5 + 300 / (1 + at * at) for at in x], "train", joined=True)
    early, late = (
        written(chart.draw([Series(x[:n], curve.y[:n], "train", joined=True)], 100.0, ["0", "1"], 60, 12))
        for n in (10, 101)
    )
    top = [float(lines[0].split()[0]) for lines in (early, late)]
    assert top[0] > 20
    assert top[1] < 2.5
    assert float(late[9].split()[0]) == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("y", [[1e299, 1e298], [3.0, 1e300]])
def test_numbers_that_no_margin_holds_draw_nothing(y: list[float]) -> None:
    assert chart.draw([Series([1.0, 2.0], y, "train")], 2.0, ["0", "1"], 60, 12) == []
