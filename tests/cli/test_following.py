"""`charnet train --log`: loggers beside a training."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path

import pytest
from conftest import sentences

from charnet.cli import following
from charnet.cli.app import run

TINY = ["--steps", "2", "--hidden-size", "4", "--batch-size", "2", "--window", "8", "--threads", "1"]
NOISY = """
import sys
print("noise")
class Run:
    def log(self, values, step): print("noise"); sys.exit("no more")
    def finish(self): print("noise", file=sys.stderr)
def init(**more): return Run()
"""


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    Path("pets.txt").write_text(sentences(100))
    return "pets.txt"


def test_a_training_is_logged_and_says_where(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", text, "--log", "tensorboard", *TINY]) == 0
    assert len(list(Path("checkpoints/pets/tensorboard").iterdir())) == 1
    assert "tensorboard --logdir checkpoints/pets/tensorboard" in capsys.readouterr().err


def test_what_a_logger_prints_or_does_wrong_changes_neither_output_nor_exit_code(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("wandb.py").write_text(NOISY)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    assert run(["train", text, "--json", "--quiet", "--log", "wandb", *TINY]) == 0
    sys.modules.pop("wandb", None)
    out, err = capsys.readouterr()
    assert [json.loads(line)["step"] for line in out.splitlines()] == [1, 2, 2]
    assert err == "wandb: 4 of 6 reports were lost: SystemExit: no more\n"


def test_a_wrong_logger_is_refused_before_anything_is_trained(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", text, "--log", "tensorboard,wand", *TINY]) == 2
    assert 'found "wand" (did you mean "wandb"?)' in capsys.readouterr().err
    assert not Path("checkpoints").exists()


def test_the_live_page_lies_in_the_run_and_is_opened(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[Path] = []
    monkeypatch.setattr(following, "_open", pages.append)
    assert run(["train", text, "--open", *TINY]) == 0
    assert f"the live page is {Path('checkpoints/pets/live.html')}\n" in capsys.readouterr().err
    assert pages == [Path("checkpoints/pets/live.html")]
    page = pages[0].read_text()
    assert "step 2 of 2: done" in page
    assert 'class="text sample"' in page


class Browser(webbrowser.BackgroundBrowser):
    """Remembers what it opened, and then fails."""

    def open(self, url: str, *_: object) -> bool:
        opened.append(url)
        raise webbrowser.Error


opened: list[str] = []


@pytest.mark.parametrize(
    ("environment", "browser", "count"),
    [
        ({"DISPLAY": ":0"}, Browser("a window"), 1),
        ({"DISPLAY": ":0"}, webbrowser.GenericBrowser("lynx"), 0),
        ({"WAYLAND_DISPLAY": "w"}, Browser("a window"), 1),
        ({}, Browser("a window"), 0),
    ],
)
def test_a_page_is_opened_where_there_are_windows(
    environment: dict[str, str],
    browser: webbrowser.BaseBrowser,
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(webbrowser, "get", lambda: browser)
    monkeypatch.setattr(webbrowser.GenericBrowser, "open", lambda *_: pytest.fail("a text browser takes the terminal"))
    opened.clear()
    following._open(tmp_path / "a page#1.html")
    for thread in threading.enumerate():
        if thread.name == following.OPENING:
            thread.join(60)
    assert len(opened) == count
    assert all(url.endswith("/a%20page%231.html") for url in opened)


def test_the_process_ends_though_a_logger_hangs_with_threads_of_its_own() -> None:
    code = """
import sys, threading
from charnet import __main__
from charnet.cli import app
from charnet.training.background import Background

def hang():
    threading.Thread(target=threading.Event().wait).start()
    threading.Event().wait()

def run(arguments):
    print("done")
    print(Background("hangs", hang, ()).close(0.2), file=sys.stderr)
    return 3

app.run = run
__main__.main()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout) == (3, "done\n")
    assert found.stderr == "hangs: it did not end in time\n"
