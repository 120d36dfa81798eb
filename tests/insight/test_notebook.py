"""In a notebook a training shows a curve that changes, and models and events show themselves; nowhere else."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pages import HOSTILE
from run_events import events, metrics, started
from test_live_page import check_markup, folder_of

import charnet
from charnet.api import TextModel
from charnet.insight import notebook
from charnet.insight.notebook import TrainingDisplay, training_display
from charnet.storage.checkpoint import Checkpoint
from charnet.training.events import Evaluated


class Handle:
    """What IPython's display returns, and what it was given."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, shown: Any, *, display_id: bool) -> Handle:
        assert display_id
        self.update(shown)
        return self

    def update(self, shown: Any) -> None:
        self.shown.append(shown._repr_html_())


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Handle:
    """A notebook's IPython."""
    found = Handle()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel="a kernel")
    display.display = found.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return found


def test_a_training_shows_a_curve_that_changes(handle: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "SECONDS_BETWEEN_UPDATES", -1.0)
    given = list(events(tmp_path / "pets", last=20))
    display = training_display()
    assert display is not None
    for event in given:
        display(event)
    assert len(handle.shown) == len(given)
    assert "<svg" not in handle.shown[0]
    assert handle.shown[-1].count("<svg") == 2
    assert "pets: step 20 of 40, complete" in handle.shown[-1]
    assert repr(display) == "charnet: pets: step 20 of 40, complete, 4,096 characters a second"


def test_it_changes_at_most_once_a_second_and_at_the_end(handle: Handle, tmp_path: Path) -> None:
    display = training_display()
    assert display is not None
    display._shown_at = float("inf")
    for event in events(tmp_path, last=40):
        display(event)
    assert len(handle.shown) == 2


def test_charnet_train_shows_itself_in_a_notebook_unless_the_caller_listens(
    handle: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pets.txt").write_text("the cat sat on the mat\n" * 40)
    tiny: dict[str, Any] = {"steps": 2, "hidden_size": 4, "batch_size": 2, "window": 8, "threads": 1}
    heard: list[object] = []
    charnet.train("pets.txt", on_event=heard.append, **tiny)
    assert heard
    assert handle.shown == []
    charnet.train("pets.txt", progress=False, **tiny)
    assert handle.shown == []
    charnet.train("pets.txt", **tiny)
    assert len(handle.shown) >= 2
    handle.shown.clear()
    charnet.train("pets.txt", progress=True, on_event=heard.append, **tiny)
    assert '<progress max="2" value="2"' in handle.shown[-1]


@pytest.mark.parametrize("shell", [None, SimpleNamespace(), SimpleNamespace(kernel=None)])
def test_without_a_kernel_nothing_is_shown(shell: Any, handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    del handle
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    assert training_display() is None


def test_without_ipython_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "IPython"]:
        monkeypatch.delitem(sys.modules, name)
    assert training_display() is None
    assert "IPython" not in sys.modules


def test_a_model_shows_what_it_is_and_its_curve(tiny_run: Path) -> None:
    model = charnet.load(tiny_run)
    shown = model._repr_html_()
    assert "lstm 1x16, alphabet of" in shown
    assert "step 120 of 120" in shown
    assert shown.count("<polyline") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_or_text_becomes_markup_in_a_notebook(text: str, tiny_run: Path) -> None:
    checkpoint = Checkpoint.load(tiny_run / "best.safetensors")
    hostile = replace(checkpoint, corpus=replace(checkpoint.corpus, name=text))
    display = TrainingDisplay(Handle().display)
    display(started(Path(folder_of(text)), name=text))
    display(metrics(10))
    for shown in (
        TextModel(hostile)._repr_html_(),
        display._repr_html_(),
        Evaluated(1, True, 1, 2.0, text)._repr_html_(),
        started(Path(folder_of(text)), name=text)._repr_html_(),
    ):
        check_markup(shown)


def test_an_event_shows_its_numbers(tmp_path: Path) -> None:
    assert "<tr><th>step</th><td><pre>10</pre></td></tr>" in metrics(10)._repr_html_()
    assert "<caption>Started</caption>" in started(tmp_path)._repr_html_()
