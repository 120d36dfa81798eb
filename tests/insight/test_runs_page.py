"""The page about runs: `charnet runs --html`."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import chromium, opened
from pages import HOSTILE
from test_live_page import check_markup, folder_of

from charnet.cli.app import run
from charnet.insight.curves import Losses, loss_panels
from charnet.insight.runs_page import MOST_CURVES, to_page
from charnet.overlay import overlay
from charnet.storage import run_list, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.run_list import RunSummary


@pytest.fixture
def found(tiny_run: Path) -> RunSummary:
    return run_list.summary(tiny_run)


def renamed(run: RunSummary, name: str, text: str, fingerprint: str = "1" * 64) -> RunSummary:
    """Returns a run of another name on another text."""
    assert run.document is not None
    corpus = replace(run.document.corpus, name=text, fingerprint=fingerprint)
    config = overlay(run.document.config, {"training.seed": 7, "data.field": text})
    return replace(run, path=run.path / name, document=replace(run.document, corpus=corpus, config=config))


def test_runs_of_one_text_stand_together_with_what_sets_them_apart(found: RunSummary) -> None:
    page = to_page([found, renamed(found, "other", "other"), renamed(found, "third", "other")], "Runs")
    assert "3 runs of 2 texts" in page
    assert page.count("<h2>") == 2
    assert page.count("<polyline") == 2 + 4
    assert page.count("Settings that differ") == 0
    assert found.document is not None
    config = overlay(found.document.config, {"training.seed": 7})
    seed = replace(found, path=found.path / "second", document=replace(found.document, config=config))
    page = to_page([found, seed], "Runs")
    assert re.search(r'<th scope="row">training.seed</th><td>0</td><td>7</td>', page)


def test_only_runs_with_the_same_held_out_part_share_a_figure(found: RunSummary) -> None:
    assert found.document is not None
    config = overlay(found.document.config, {"data.val": "random"})
    other = replace(found, path=found.path / "other", document=replace(found.document, config=config))
    page = to_page([found, other], "Runs")
    assert "2 runs of 1 text" in page
    assert page.count("<h2>") == 2
    assert page.count("Settings that differ") == 0


def test_of_very_many_runs_those_are_drawn_that_can_be_told_apart(found: RunSummary) -> None:
    page = to_page([found] * (MOST_CURVES + 3), "Runs")
    assert page.count("<polyline") == 2 * MOST_CURVES
    assert f"The first {MOST_CURVES} of {MOST_CURVES + 3} runs are drawn" in page


def test_a_damaged_run_is_in_the_table(found: RunSummary) -> None:
    damaged = replace(found, document=None, state="damaged", problem="it ends <early>")
    page = to_page([damaged], "Runs")
    assert "it ends &lt;early&gt;" in page
    assert "1 run of 0 texts" in page


@pytest.mark.parametrize("text", HOSTILE)
def test_names_of_runs_texts_and_settings_become_no_markup(text: str, found: RunSummary) -> None:
    page = to_page([renamed(found, folder_of(text), text), found], text)
    check_markup(page)


def test_times_have_the_unit_that_fits() -> None:
    for longest, unit in ((100.0, "seconds"), (600.0, "minutes"), (10_000.0, "hours")):
        _, by_time = loss_panels([Losses("a", [1.0, 2.0], [1.0, longest], [2.0, 1.0])])
        assert by_time.x_label == unit
        assert by_time.lines[0].x[-1] * {"seconds": 1, "minutes": 60, "hours": 3600}[unit] == longest


def test_a_steep_beginning_does_not_flatten_the_rest() -> None:
    characters = [float(each) for each in range(1, 101)]
    nats = [4.0, 3.0, *(2 - each / 100 for each in range(98))]
    panel, _ = loss_panels([Losses("a", characters, characters, nats)])
    assert panel.range_y is not None
    assert panel.range_y[1] < 2


def test_a_curve_without_times_is_left_out() -> None:
    _, by_time = loss_panels([Losses("old", [1.0, 2.0], [], [2.0, 1.0])])
    assert by_time.lines[0].x == []


def test_the_command_writes_a_page_about_all_runs_or_some(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        shutil.copytree(tiny_run, Path("checkpoints") / name)
    before = Checkpoint.load(Path("checkpoints/second") / runs.LAST)
    replace(before, config=overlay(before.config, {"training.seed": 5})).save(Path("checkpoints/second") / runs.LAST)
    assert run(["runs", "--html", "all.html"]) == 0
    assert "the page is all.html" in capsys.readouterr().err
    assert "2 runs of 1 text" in Path("all.html").read_text()
    assert run(["runs", "first", "second", "--html", "all.html"]) == 6
    assert "--force" in capsys.readouterr().err
    assert run(["runs", "first", "second", "--html", "all.html", "--force", "-o", "curves.svg"]) == 0
    assert "2 runs compared" in Path("all.html").read_text()
    assert Path("curves.svg").exists()


@pytest.mark.browser
def test_the_page_opens_alone_and_runs_nothing(found: RunSummary, tmp_path: Path) -> None:
    listed = [renamed(found, folder_of(text), text, f"{at:064}") for at, text in enumerate(HOSTILE)] + [found]
    page = tmp_path / "runs.html"
    page.write_text(to_page(listed, "Runs"), encoding="utf-8")
    with chromium() as browser:
        for width, scheme in ((1200, "light"), (360, "dark")):
            with opened(browser, page, width=width, scheme=scheme) as tab:
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                assert tab.locator("tbody").first.locator("tr").count() == len(listed)
                tab.locator("summary").first.click()
                assert tab.locator("details table").first.is_visible()
