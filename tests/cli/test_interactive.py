"""`charnet sample -i`, mostly on a pseudo-terminal, as a user sees it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import accept_signals

import charnet
from charnet.api import TextModel
from charnet.cli.app import run
from charnet.data.prompts import without_line_end

PATIENCE = 60.0  # seconds
PROMPT = "\n> "


class Terminal:
    """A charnet on a pseudo-terminal: `type` sends keys, `until` reads what comes out up to some words."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.master, slave = os.openpty()
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "300", "INPUTRC": "/dev/null"} | variables
        environment.pop("NO_COLOR", None) if "NO_COLOR" not in variables else None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "charnet", "sample", *arguments],
            cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=_take_the_terminal,
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, words: str, patience: float = PATIENCE) -> str:
        """Returns the output since the last call, up to and including these words, with plain line ends."""
        deadline = time.monotonic() + patience
        while words not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{words!r} did not come, but {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    read = os.read(self.master, 65536)
                except OSError:  # so Linux reports that the other end is closed
                    read = b""
                assert read, f"{words!r} did not come before the end, but {self.seen!r}"
                shown = read.decode("utf-8", "replace").replace("\r\n", "\n").replace("\x1b[?2004h", "")
                self.seen += shown.replace("\x1b[?2004l\r", "").replace("\x1b[?2004l", "")
        before, _, self.seen = self.seen.partition(words)
        return before + words

    def answer(self, line: str) -> str:
        """Types a line and returns the answer, without the echo."""
        self.type(line + "\n")
        shown = self.until(PROMPT).removesuffix(PROMPT)
        return shown.removeprefix(line).removeprefix("\n")

    def interrupt(self, words: str) -> None:
        """Presses Ctrl-C at a prompt, again where readline lost it, until these words are shown.

        Python waits for a key in `select`. A signal that comes between two such calls, as it may right after a key,
        is noticed at the next key only.
        """
        for _ in range(int(PATIENCE)):
            self.type("\x03")
            with contextlib.suppress(AssertionError):
                self.until(words, patience=1.0)
                return
        self.until(words)

    def code(self) -> int:
        return self.process.wait(PATIENCE)


def _take_the_terminal() -> None:
    import fcntl
    import termios

    accept_signals()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


Open = Callable[..., Terminal]


@pytest.fixture
def open_(tiny_run: Path, tmp_path: Path) -> Iterator[Open]:
    """Starts a session with the run `pets`, and waits for its first prompt."""
    shutil.copytree(tiny_run, tmp_path / "pets")
    opened: list[Terminal] = []

    def start(*arguments: str, **variables: str) -> Terminal:
        opened.append(Terminal(tmp_path, "pets", "-i", "--seed", "1", *arguments, **variables))
        opened[-1].until(PROMPT)
        return opened[-1]

    yield start
    for terminal in opened:
        with contextlib.suppress(ProcessLookupError):
            terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


@pytest.fixture
def model(tiny_run: Path) -> TextModel:
    return charnet.load(tiny_run)


def text_of(model: TextModel, *turns: str, length: int) -> str:
    """A session's text, computed from Python."""
    state, text = model.start(), ""
    for turn in turns:
        generation = model.write(model.extend(state, turn), length=length, seed=1)
        text += turn + "".join(chunk.text for chunk in generation)
        state = generation.state
    return text


def test_a_turn_continues_the_text_and_its_state(open_: Open, model: TextModel, tmp_path: Path) -> None:
    terminal = open_("-n", "30")
    for turn in ("the cat ", "", "dog"):
        terminal.answer(turn)
    expected = text_of(model, "the cat ", "", "dog", length=30)
    assert f"{len(expected)} characters in story.txt" in terminal.answer("/save story.txt")
    assert (tmp_path / "story.txt").read_text() == expected
    assert expected[:68] == model.generate("the cat ", length=60, seed=1)
    terminal.type("/quit\n")
    assert terminal.code() == 0


def test_back_undoes_a_turn_and_its_state(open_: Open) -> None:
    terminal = open_("-n", "20")
    first = terminal.answer("the ")
    second = terminal.answer("")
    assert "back after: the " in terminal.answer("/back")
    assert terminal.answer("") == second
    terminal.answer("/back")
    assert "back at the beginning" in terminal.answer("/back")
    assert "/back: there is nothing to undo" in terminal.answer("/back")
    assert terminal.answer("the ") == first


def test_temperature_and_seed_change_from_now_on(open_: Open, model: TextModel) -> None:
    terminal = open_("-n", "40")
    assert "temperature 0" in terminal.answer("/temp 0")
    cold = terminal.answer("the ")
    assert cold.strip("\n") == model.generate("the ", length=40, temperature=0)[4:].strip("\n")
    terminal.answer("/back")
    assert "temperature 1.5" in terminal.answer("/temp 1.5")
    assert "seed 7" in terminal.answer("/seed 7")
    expected = model.generate("the ", length=40, temperature=1.5, seed=7)[4:]
    assert terminal.answer("the ").strip("\n") == expected.strip("\n")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("caté", "charnet: the model does not know 'é'"),
        ("/tmep 1", 'there is no command "/tmep" (did you mean "/temp"?)'),
        ("/temp hot", "--temp: expected a number"),
        ("/temp -1", "--temp: expected a number between 0 and 100"),
        ("/seed x", "/seed: expected a number"),
        ("/save", "/save: give the name of a file"),
        ("/save pets", "pets: is a folder; give the name of a file"),
        ("/save no/such/folder.txt", "no/such/folder.txt: cannot be written"),
        ("/save pets/config.yaml", "pets/config.yaml: already exists; choose another name"),
    ],
)
def test_an_error_is_one_line_and_the_session_continues(open_: Open, line: str, error: str) -> None:
    terminal = open_("-n", "20", "--unknown", "error")
    first = terminal.answer("the ")
    terminal.answer("/back")
    assert error in (shown := terminal.answer(line))
    assert shown.count("\n") <= 1
    assert "Traceback" not in shown
    assert terminal.answer("the ") == first


def test_a_file_that_this_session_saved_may_be_saved_again(open_: Open, tmp_path: Path) -> None:
    terminal = open_("-n", "5")
    terminal.answer("the ")
    terminal.answer("/save a.txt")
    terminal.answer("")
    assert "14 characters in a.txt" in terminal.answer("/save a.txt")
    assert len((tmp_path / "a.txt").read_text()) == 14


def test_save_refuses_links_devices_and_impossible_names_and_the_session_continues(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("link").symlink_to("file")
    Path("dead").symlink_to("nowhere")
    Path("null").symlink_to("/dev/null")
    os.mkfifo("pipe")
    names = ["link", "dead", "null", "pipe", "/dev/null", "a\0b", "a/\0/b"]
    lines = ["the ", *(f"/save {name}" for name in names), "/temp 0.5", "/save saved"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
    assert run(["sample", str(tiny_run), "-i", "-n", "5"]) == 0
    said = capsys.readouterr().err.splitlines()
    refusals = ["is a link", "is a link", "is a link", *["is not a regular file"] * 2, *["cannot be written"] * 2]
    for name, refusal, line in zip(names, refusals, said[-9:-2], strict=True):
        assert line.startswith(f"charnet: {name}: {refusal}".replace("\0", "\u2400"))
    assert said[-2:] == ["temperature 0.5", "9 characters in saved"]
    assert Path("file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dead", "file", "link", "null", "pipe", "saved"]


def test_ctrl_c_stops_the_text_and_not_the_session(open_: Open, tmp_path: Path) -> None:
    terminal = open_("-n", "100000000", "--ban", "\n")
    terminal.type("the \n")
    terminal.until("the \n")
    for _ in range(50):  # as many letters at least have come before the key
        terminal.until("e")
    terminal.type("\x03")
    terminal.until(PROMPT)
    terminal.answer("/save long.txt")
    assert len((tmp_path / "long.txt").read_text()) > 50
    terminal.type("half a li")
    terminal.until("half a li")
    terminal.interrupt("type /quit to quit")
    terminal.until(PROMPT)  # before it, the key is not readline's
    terminal.type("\x04")
    assert terminal.code() == 0


@pytest.mark.parametrize("end", ["\x04", "/quit\n", "/exit\n"])
def test_a_session_ends_with_code_0(open_: Open, end: str) -> None:
    terminal = open_()
    terminal.type(end)
    assert terminal.code() == 0


def test_a_prompt_on_the_command_line_is_the_first_turn(open_: Open, model: TextModel) -> None:
    terminal = open_("-n", "25", "-p", "the ")
    assert "back at the beginning" in terminal.answer("/back")
    assert terminal.answer("the ").strip("\n") == model.generate("the ", length=25, seed=1)[4:].strip("\n")


def test_a_turn_that_ends_early_continues_after_its_end(open_: Open, model: TextModel, tmp_path: Path) -> None:
    terminal = open_("-n", "200", "--until", "line")
    for _ in range(3):
        terminal.answer("")
    terminal.answer("/save lines.txt")
    whole = "".join(model.stream(length=600, seed=1))
    saved = (tmp_path / "lines.txt").read_text()
    assert saved == "".join(whole.splitlines(keepends=True)[:3]) + "\n"
    assert without_line_end(saved) in whole  # so that a prompt file of it is the text


def test_surprise_colors_a_session_unless_no_color_is_set(open_: Open) -> None:
    assert re.search(r"\x1b\[[0-9;]*48;5;[0-9]+m", open_("-n", "60", "--surprise").answer("the "))
    assert "\x1b[" not in open_("-n", "60", "--surprise", NO_COLOR="1").answer("the ")


def test_in_a_pipe_lines_are_read_to_the_end_without_a_prompt(tiny_run: Path) -> None:
    command = [sys.executable, "-m", "charnet", "sample", str(tiny_run), "-i", "-q", "-n", "9", "--seed", "1"]
    done = subprocess.run(command, input=b"the \n\n/nonsense\n\xff\n", capture_output=True, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stdout.decode() == charnet.load(tiny_run).generate("the ", length=18, seed=1)[4:]
    assert done.stderr.count(b"charnet: ") == 2
    assert b"> " not in done.stdout
