"""The page that follows a training: what is on it, and that no name or text can do anything there."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import chromium, opened
from pages import HOSTILE
from run_events import events, metrics, started

from charnet.insight import live_page, training_lines
from charnet.insight.live_page import LivePage, to_page
from charnet.training.events import Evaluated, Finished, Progress, RolledBack
from charnet.training.run_state import MOST_LINES, RunState

CONTROLS = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028\ud800-\udfff]")


def folder_of(text: str) -> str:
    """Returns the name of a folder that has this text as nearly as it can be."""
    return text.replace("/", "#").replace("\0", "")


def check_markup(page: str) -> None:
    """Asserts that a text in a page became neither an element nor an attribute, and controls nothing."""
    assert not {"script", "img", "iframe", "a", "b", "object", "form", "input"} & set(re.findall(r"<([a-z0-9]+)", page))
    assert not re.search(r"<[^>]* on[a-z]+=", page)
    assert not CONTROLS.search(page)


def state_of(*given: object) -> RunState:
    state = RunState()
    for event in given:
        state.update(event)
    return state


def test_the_page_shows_curves_numbers_and_the_newest_samples(tmp_path: Path) -> None:
    page = to_page(state_of(*list(events(tmp_path / "pets"))[:-1]), ended=False)
    assert page.count("<svg") == 5
    assert page.count("<polyline") == 7
    for each in ("pets", "lstm 1x256", "12,345 parameters", "2.1250 nats (3.0657 bits) at step 40", "step 40 of 40",
                 "4,096 characters a second", "the cat", "<h3>step 40", "<h3>step 20"):  # fmt: skip
        assert each in page
    assert "<h3>step 10<" not in page
    assert '<meta http-equiv="refresh" content="5">' in page


def test_the_last_page_does_not_load_itself_again(tmp_path: Path) -> None:
    page = to_page(state_of(*events(tmp_path)), ended=True)
    assert "refresh" not in page
    assert "step 40 of 40: done" in page
    assert "test loss" in page
    early = to_page(state_of(started(tmp_path), metrics(5)), ended=True)
    assert "step 5 of 40: ended early" in early


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_samples_become_no_markup(text: str, tmp_path: Path) -> None:
    check_markup(to_page(state_of(*events(tmp_path / folder_of(text), name=text, sample=text)), ended=False))


def test_a_page_is_written_at_the_start_now_and_then_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, written = [], []
    write = live_page.durable.write
    monkeypatch.setattr(live_page.durable, "write", lambda *given: (written.append(given[1]), write(*given)))
    page = LivePage(first.append)
    for event in events(tmp_path):
        page(event)
    assert first == [tmp_path / "live.html"]
    assert len(written) == 1
    monkeypatch.setattr(live_page, "SECONDS_BETWEEN_PAGES", -1.0)
    page(metrics(39))
    page.close()
    assert len(written) == 3
    assert b"refresh" in written[1]
    assert b"refresh" not in (tmp_path / "live.html").read_bytes()


def test_a_run_whose_folder_is_gone_gets_no_page(tmp_path: Path) -> None:
    page = LivePage(lambda _: None)
    page(started(tmp_path / "gone"))
    page.close()
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_shows_what_was_before(tmp_path: Path) -> None:
    state = state_of(*events(tmp_path, first=20, last=40))
    assert state.points("val_nats_per_char", "step")[0] == [10, 20, 30, 40]


def test_what_is_done_again_is_shown_once(tmp_path: Path) -> None:
    state = state_of(started(tmp_path), metrics(5), metrics(10), RolledBack(12, 7, 0.005), metrics(9))
    assert state.points("train_nats_per_char", "step")[0] == [5, 9]


def test_a_long_run_keeps_its_evaluations_and_some_of_its_other_lines(tmp_path: Path) -> None:
    state = state_of(started(tmp_path), *(replace(metrics(1), step=step) for step in range(1, 3 * MOST_LINES)))
    assert MOST_LINES // 2 <= len(state.metrics) <= MOST_LINES
    state.update(metrics(10))
    for step in range(3 * MOST_LINES):
        state.update(replace(metrics(1), step=step))
        assert state.metrics[-1]["step"] == step  # the newest line is never left out
    assert len(state.val) == 1
    evaluated = state_of(started(tmp_path), *(replace(metrics(10), step=step) for step in range(1, 3 * MOST_LINES)))
    assert MOST_LINES // 2 <= len(evaluated.metrics) <= MOST_LINES


def test_time_left_follows_from_the_speed(tmp_path: Path) -> None:
    state = state_of(started(tmp_path), metrics(10), Progress(20, 2.0, 2048.0))
    assert state.seconds_left() == 20 * 1024 / 2048
    state.update(Finished(tmp_path, "interrupted", 20, 10, 2.5))
    assert "step 20 of 40: interrupted" in to_page(state, ended=True)


@pytest.mark.browser
def test_the_page_opens_alone_and_runs_nothing(tmp_path: Path) -> None:
    with chromium() as browser:
        for number, text in enumerate(HOSTILE):
            page = tmp_path / f"{number}.html"
            state = state_of(*events(tmp_path / folder_of(text), name=text, sample=text))
            page.write_text(to_page(state, ended=True), encoding="utf-8")
            width, scheme = ((1200, "light"), (360, "dark"))[number > 0]
            with opened(browser, page, width=width, scheme=scheme) as tab:
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                assert tab.locator("svg").count() == 5
                assert tab.locator(".sample").first.is_visible()


def test_lines_of_progress_come_every_few_seconds_and_tell_no_time_left_before_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = [100.0], io.StringIO()
    monkeypatch.setattr(training_lines.time, "monotonic", lambda: now[0])
    lines = training_lines.TrainingLines(written)
    begun, *_, end = events(tmp_path)
    lines(begun)
    told = [Progress(1, 3.0, 0.0), Progress(2, 3.0, 0.0), Progress(20, 2.5, 1024.0), Evaluated(20, True, 20, 2.4, "a")]
    for now[0], event in zip((104.0, 106.0, 107.0, 112.0), told, strict=True):
        lines(event)
    lines(end)
    first, *bars, last = written.getvalue().splitlines()
    assert [line[len("[####################] ") :] for line in bars] == [
        "step 2 of 40, training 3.000", "step 20 of 40, training 2.500, 0:20 left",
    ]  # fmt: skip
    assert first.startswith("lstm ")
    assert last.endswith("complete")
