"""`charnet sample -i`, mostly on a pseudo-terminal, as a user sees it."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import accept_signals

import charnet
from charnet.api import TextModel
from charnet.cli.app import run
from charnet.cli.turns import Draft, Writer
from charnet.data.prompts import without_line_end

PATIENCE = 60.0  # seconds
PROMPT = "\n> "
STYLE = re.compile(r"\x1b\[(?:[01]|38;5;30)m")  # of what was typed and of what was written


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
        self.seen = self.raw = ""

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
                shown = shown.replace("\x1b[?2004l\r", "").replace("\x1b[?2004l", "")
                self.raw += shown
                self.seen = STYLE.sub("", self.seen + shown)
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

    def flags(self) -> int:
        """The local modes of the terminal, as `stty` shows them, without those that readline changes at a prompt."""
        local: int = termios.tcgetattr(self.master)[3]
        return local & ~(termios.ICANON | termios.ECHO | termios.ISIG)

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
    assert "/undo: there is nothing to undo" in terminal.answer("/back")
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


ERRORS = [
    ("éÉ", "charnet: the model knows none of these characters; it knows: a c"),
    ("/tmep 1", 'there is no command "/tmep" (did you mean "/temp"?)'),
    ("/temp hot", "temperature: expected a number"),
    ("/temp -1", "temperature: expected a number between 0 and 100"),
    ("/seed x", "/seed: expected a number"),
    ("/set top_p 2", "top_p: expected a number between 0 and 1"),
    ("/set tmp 2", 'there is no sampling option "tmp" (did you mean "temp"?)'),
    ("/set stop \\q", "/set stop: expected one of"),
    ("/set ban \u00e9", "ban: the model does not know"),
    ("/set exact yes", "exact: expected match beside it"),
    ("/load", "/load: give the name of a run"),
    ("/load nowhere", "nowhere: there is no such checkpoint"),
    ("/10", "/10: expected a number of continuations between 1 and 9"),
    ("/show", "/show: there is no text yet"),
    ("/again", "/again: the model has not continued this text yet"),
    ("/save", "/save: give the name of a file"),
    ("/save pets", "pets: is a folder; give the name of a file"),
    ("/save no/such/folder.txt", "no/such/folder.txt: cannot be written"),
    ("/save pets/config.yaml", "pets/config.yaml: already exists; choose another name"),
]


def test_an_error_is_one_line_and_the_session_continues(open_: Open) -> None:
    terminal = open_("-n", "20", "--unknown", "error")
    first = terminal.answer("the ")
    for line, error in ERRORS:
        terminal.answer("/back")
        assert error in (shown := terminal.answer(line)), line
        assert shown.count("\n") <= 1, line
        assert "Traceback" not in shown, line
        assert terminal.answer("the ") == first, line


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
    hidden = terminal.flags()
    terminal.type("\x03")
    assert "^C" not in terminal.until(PROMPT)
    assert terminal.flags() == hidden | termios.ECHOCTL != hidden  # and again as it was
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
    assert re.search(r"\x1b\[4;38;5;[0-9]+m", open_("-n", "60", "--surprise").answer("the "))
    assert "\x1b[" not in open_("-n", "60", "--surprise", NO_COLOR="1").answer("the ")


def test_in_a_pipe_lines_are_read_to_the_end_without_a_prompt(tiny_run: Path) -> None:
    command = [sys.executable, "-m", "charnet", "sample", str(tiny_run), "-i", "-q", "-n", "9", "--seed", "1"]
    done = subprocess.run(command, input=b"the \n\n/nonsense\n\xff\n", capture_output=True, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stdout.decode() == charnet.load(tiny_run).generate("the ", length=18, seed=1)[4:]
    assert done.stderr.count(b"charnet: ") == 2
    assert b"> " not in done.stdout


Talk = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def talk(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    """Gives lines to a session with the run `pets` in a pipe; returns what is on stdout, and the lines on stderr."""
    shutil.copytree(tiny_run, tmp_path / "pets")
    monkeypatch.chdir(tmp_path)

    def session(*lines: str, options: tuple[str, ...] = ()) -> tuple[str, list[str]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("".join(f"{line}\n" for line in lines).encode())))
        assert run(["sample", "pets", "-i", "-q", "-n", "31", "--seed", "1", *options]) == 0
        shown = capsys.readouterr()
        return shown.out, shown.err.splitlines()

    return session


def test_a_turn_with_unknown_characters_is_written_without_them_and_says_which(talk: Talk, model: TextModel) -> None:
    out, err = talk("thé cat", "/save a.txt")
    assert out == "".join(model.stream("th cat", length=31, seed=1))
    assert err[0] == "left out 1 character that the model does not know: 'é'; the nearest it knows: 'e'"
    assert Path("a.txt").read_text().startswith("th cat")


@pytest.mark.parametrize(("line", "command"), [("Exit", "/exit"), ("?", "/help"), (":q", "/quit"), ("undo", "/undo")])
def test_a_command_without_its_slash_is_taken_as_text_and_the_command_is_named(
    line: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from charnet.cli.interactive import Session

    texts = list[str]()
    session = Session.__new__(Session)
    session._choices, session._turn = [], texts.append  # type: ignore[method-assign]
    for each in (line, f"{line} is a word"):
        session._answer(each)
    assert texts == [line, f"{line} is a word"]
    assert capsys.readouterr().err == f'"{line}" was taken as text; {command} is the command, and /help shows all\n'


def test_again_writes_the_last_turn_anew_with_other_random_numbers(talk: Talk, model: TextModel) -> None:
    prompt, expected = "the ", [model.generate("the ", length=31, seed=1, index=index)[4:] for index in range(3)]
    assert len(set(expected)) == 3
    assert talk(prompt, "/again", "/again", "/save a.txt")[0] == "".join(expected)
    assert Path("a.txt").read_text() == prompt + expected[2]


def test_undo_after_again_takes_back_the_whole_turn(talk: Talk, model: TextModel) -> None:
    out, err = talk("the ", "", "/again", "/undo", "", "/undo", "/undo", "/undo")
    first, *_, last = [out[at : at + 31] for at in range(0, len(out), 31)]
    assert len(out) == 4 * 31
    assert "the " + first + last == model.generate("the ", length=62, seed=1)
    kept = "back after: the " + first.replace("\n", "\u240a")
    assert err == [kept, kept, "back at the beginning",
                   "charnet: /undo: there is nothing to undo"]  # fmt: skip


def test_at_temperature_0_again_says_that_nothing_changes(talk: Talk) -> None:
    out, err = talk("the ", "/again", options=("--temp", "0"))
    assert out[:31] == out[31:]
    assert err == ["at temperature 0 it writes the same again; /temp 0.8 gives it a choice"]


def test_a_number_takes_one_of_several_continuations(talk: Talk, model: TextModel) -> None:
    expected = list(model.texts("the ", count=3, length=31, seed=1))
    out, err = talk("/3 the ", "4", "2", "", "/save a.txt")
    shown = "\n".join(err)
    assert [f"{i}: {text[4:]}" in shown for i, text in enumerate(expected, 1)] == [True] * 3
    assert "expected a number between 1 and 3, found" in shown
    second = model.write(model.start("the "), length=31, seed=1, index=1)
    assert "the " + "".join(chunk.text for chunk in second) == expected[1]
    after = "".join(chunk.text for chunk in model.write(second.state, length=31, seed=1))
    assert out == expected[1][4:] + after
    assert Path("a.txt").read_text().removesuffix("\n") == (expected[1] + after).removesuffix("\n")


def test_again_offers_other_continuations_and_after_a_choice_writes_another(talk: Talk, model: TextModel) -> None:
    expected = [text[4:] for text in model.texts("the ", count=5, length=31, seed=1)]
    out, err = talk("/2 the ", "/again", "1", "/again")
    assert f"2: {expected[3]}" in "\n".join(err)
    assert out == expected[2] + expected[4]


@pytest.mark.parametrize("line", ["", "/undo", "/back"])
def test_none_of_the_continuations_may_be_taken(talk: Talk, line: str) -> None:
    out, err = talk("/2 the ", line, "/undo", "/2", "dog")
    assert err.count("took none of them") == 2
    assert "charnet: /undo: there is nothing to undo" in err
    assert len(out) == 31


def test_any_option_can_be_set_shown_and_taken_back(talk: Talk, model: TextModel) -> None:
    lines = ("/set top-k 2", "/set n 40", "/set stop \\n", "/set", "the ", "/set stop default", "/set length default")
    out, err = talk(*lines, "/set temp 0.5:1", "/set")
    assert out == "".join(model.stream("the ", length=40, top_k=2, stop=["\n"], seed=1))
    assert err[0].startswith("top_k 2: sample from the K most likely")
    assert err[3:7] == ["length 40", "top_k 2", "seed 1", "stop ('\\n',)"]
    assert err[-5:-1] == ["temperature 0.5", "top_k 2", "seed 1", "temperature_end 1"]
    assert err[-1].startswith("as they are by default: length, top_p")


def test_max_copy_can_be_set_in_a_session(talk: Talk, tiny_run: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_run.parent.parent / "pets.txt", tmp_path)
    out, err = talk("/set max_copy 12", "the ")
    assert len(out) == 31
    assert err[0].startswith("max_copy 12: ")


def test_another_model_goes_on_with_the_text_and_undo_brings_the_first_back(talk: Talk, model: TextModel) -> None:
    Path("caps.txt").write_text("THE CAT SAT. the cat. " * 40)
    small: dict[str, Any] = {"steps": 3, "hidden_size": 5, "batch_size": 2, "window": 9, "threads": 1}
    other = charnet.load(charnet.train("caps.txt", **small))
    out, err = talk("the ", "/load caps", "", "/undo", "/undo", "")
    first, second, third = (out[at : at + 31] for at in (0, 31, 62))
    known = [c for c in "the " + first if c in "THE CAT SAT. the cat. "]
    dropped = len("the " + first) - len(known)
    assert second == "".join(other.stream("".join(known), length=31, seed=1))
    assert first + third == model.generate("the ", length=62, seed=1)[4:]
    plural = "s" if dropped > 1 else ""
    assert f"caps goes on; it has read {len(known)} characters, without {dropped} character{plural} that it does not "\
        "know" in err  # fmt: skip


def test_a_turn_may_have_several_lines_and_end_with_one(talk: Talk, model: TextModel) -> None:
    out, err = talk("the cat\\", "sat\\", "", "/save a.txt", "/save b\\", "the \\", "/undo\\")
    assert out[:31] == "".join(model.stream("the cat\nsat\n", length=31, seed=1))
    assert Path("a.txt").read_text().startswith("the cat\nsat\n")
    assert Path("b\\").exists(), "a command is one line"
    assert "left out 2 characters that the model does not know: '/', 'u'" in err


def test_two_backslashes_at_the_end_of_a_line_are_one(talk: Talk) -> None:
    assert "does not know: '\\\\'" in talk("the\\\\")[1][0]


def test_commands_are_understood_in_full_width(talk: Talk, model: TextModel) -> None:
    lines = (
        "\uff0fseed\u3000\uff17",
        "/set\u3000top_k\u3000\uff12",
        "\uff0ftemp \uff11\uff0e\uff15",
        "/\uff12\u3000the ",
        "\uff12",
    )
    out, err = talk(*lines, "\uff0f\uff0f")
    assert out == "".join(model.stream("the ", length=31, seed=7, top_k=2, temperature=1.5, index=1))
    assert "seed 7" in err
    assert "temperature 1.5" in err
    assert "does not know" in err[-1] or "knows none of these" in err[-1]


def test_help_names_every_command_within_any_width(talk: Talk, monkeypatch: pytest.MonkeyPatch, tiny_run: Path) -> None:
    del tiny_run
    for columns in (40, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = talk("/help")[1]
        assert max(map(len, lines)) < columns
        for name in ("again", "3", "undo", "show", "temp", "seed", "set", "load", "save", "help", "quit"):
            assert any(line.lstrip().startswith(f"/{name}") for line in lines), name
        assert "/back" in " ".join(lines)


def test_show_marks_what_was_typed_and_what_was_unexpected(talk: Talk, model: TextModel) -> None:
    out, err = talk("the ", "/save a.txt", "/show", options=("--temp", "2"))
    text = "the " + out
    nats = [n for chunk in model.write(model.start("the "), length=31, seed=1, temperature=2) for n in chunk.nats]
    lines = text.split("\n")
    shown = err[1:-1]
    marks = "".join(
        (shown.pop(0) if shown and not set(shown[0]) - set(" .#_") else "").ljust(len(line)) + "\n"
        for line in lines
        if shown.pop(0) == line
    )
    levels = [sum(nat > -math.log(p) for p in (0.1, 0.01)) for nat in nats]
    expected = "".join(c if c == "\n" else " .#"[level] for c, level in zip(out, levels, strict=True))
    assert marks[4:].rstrip() == expected.rstrip()
    assert set(marks[:4]) <= set("_.#")
    assert err[-1] == '"." marks a surprise (under 10 %), "#" a great surprise (under 1 %), "_" what you typed'


def test_the_surprise_of_what_was_typed_is_that_of_reading_it(model: TextModel) -> None:
    engine, vocab = model._open("numpy"), model.checkpoint.vocab
    writer = Writer(engine, vocab, str, lambda _: None)
    begun = Draft(writer, model.start()).typed(vocab.encode("dog ").tolist()).typed(vocab.encode("the cat").tolist())
    first, second = (piece.rated() for piece in begun.pieces)
    assert (first.text, second.text) == ("dog ", "the cat")
    assert sum(first.nats + second.nats) == pytest.approx(model.evaluate("dog the cat").nats, rel=1e-3)


def test_typed_and_written_text_look_different(open_: Open) -> None:
    terminal = open_("-n", "20")
    terminal.answer("the ")
    assert "\x1b[1m> the \n\x1b[0m" in terminal.raw
    assert re.search(r"the \n\x1b\[0m\x1b\[38;5;30m[a-z \n]+", terminal.raw)


def test_without_colors_a_mark_stands_before_what_was_written(open_: Open, model: TextModel) -> None:
    terminal = open_("-n", "60", NO_COLOR="1")
    shown = terminal.answer("the ").split("\n")
    assert "\x1b[" not in terminal.raw
    written = model.generate("the ", length=60, seed=1)[4:].split("\n")
    assert shown == [f"| {line}".rstrip() if not line else f"| {line}" for line in written]


def test_words_wrap_at_the_width_of_the_terminal_and_the_text_stays(open_: Open, tmp_path: Path) -> None:
    terminal = open_("-n", "120", "--ban", "\n", COLUMNS="24")
    lines = terminal.answer("the ").strip("\n").split("\n")
    assert len(lines) > 4
    assert max(map(len, lines)) <= 24
    terminal.answer("/save a.txt")
    saved = (tmp_path / "a.txt").read_text()
    assert "\n" not in saved
    assert " ".join(lines) == saved[4:].strip(" ")


def test_show_colors_a_terminal(open_: Open) -> None:
    terminal = open_("-n", "30", "--temp", "2")
    terminal.answer("the ")
    assert re.search(r"\x1b\[[0-9;]*48;5;[0-9]+m", terminal.answer("/show"))


def test_ctrl_c_drops_the_lines_of_a_turn(open_: Open) -> None:
    terminal = open_("-n", "20")
    terminal.type("the cat\\\n")
    terminal.until("\n. ")
    terminal.interrupt("type /quit to quit")
    terminal.until(PROMPT)
    assert "/undo: there is nothing to undo" in terminal.answer("/undo")
