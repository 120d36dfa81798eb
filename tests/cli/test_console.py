"""What reaches the screen: no control characters, any width, no colors where NO_COLOR is set."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import re
import sys
import termios
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from charnet.cli import console, history, live, messages, progress, tables
from charnet.config import Config
from charnet.errors import StorageError
from charnet.evaluation.losses import Evaluation
from charnet.overlay import overlay
from charnet.storage.document import CorpusInfo
from charnet.training.events import Progress

C0 = [chr(code) for code in range(0x20)]
C1 = [chr(code) for code in range(0x80, 0xA0)]
BIDI = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINES = ["\u2028", "\u2029"]


# ------------------------------------------------------------------------------------------- harmless text


@pytest.mark.parametrize("character", [*C0, "\x7f", *C1, *BIDI, *LINES, *map(chr, (0xD800, 0xDCFF))], ids=ascii)
def test_a_control_character_is_shown_as_a_symbol(character: str) -> None:
    shown = console.visible(f"a{character}b")
    assert shown.startswith("a")
    assert shown.endswith("b")
    assert len(shown) > 2
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)


def test_symbols_of_different_characters_differ() -> None:
    risky = [*C0, "\x7f", *C1, *BIDI, *LINES]
    assert len({console.visible(character) for character in risky}) == len(risky)


@pytest.mark.parametrize("text", ["plain", "Grüße, 日本語 🐈", "tab\u00a0space", "[bold]brackets[/bold] :smile:"])
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert console.visible(text) == text


def test_line_ends_stay_only_where_they_are_wanted() -> None:
    assert console.visible("a\nb\tc\r", keep="\n\t") == "a\nb\tc␍"
    assert console.visible("a\nb") == "a␊b"


class Screen(io.StringIO):
    """A stdout that is, or is not, a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(("terminal", "expected"), [(True, "a␛[2J\tb\n"), (False, "a\x1b[2J\tb")])
def test_written_text_is_exact_in_a_pipe_and_harmless_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, expected: str
) -> None:
    screen = Screen(terminal=terminal)
    monkeypatch.setattr(sys, "stdout", screen)
    console.stream_text(["a", "\x1b[2J", "\t", "b", ""])
    assert screen.getvalue() == expected


def test_a_text_that_ends_its_line_gets_no_second_end_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=True)
    monkeypatch.setattr(sys, "stdout", screen)
    console.stream_text(["a", "\n"])
    assert screen.getvalue() == "a\n"


def test_errors_and_notes_are_one_harmless_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.error("a file named\n\x1b]0;title\x07 \u202e[red]")
    console.note("a\nb")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "charnet: a file named␊␛]0;title␇ <U+202E>[red]\na␊b\n"


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    console.write_json({"text": "é\n\u2028"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out) == {"text": "é\n\u2028"}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_is_valid_whatever_the_numbers_are(number: float) -> None:
    value = {"a": number, "b": [1.5, (number, "x")], "c": {"d": number}, "e": True}
    assert json.loads(console.as_json(value), parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, [None, "x"]],
        "c": {"d": None},
        "e": True,
    }


class Refusing(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"), [(BrokenPipeError(), console.PipeClosed), (OSError(28, "No space left"), StorageError)]
)
def test_a_stdout_that_fails_is_not_a_closed_pipe(
    monkeypatch: pytest.MonkeyPatch, error: OSError, raised: type[Exception]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Refusing(error))
        with pytest.raises(raised):
            console.write_json(1)


# ------------------------------------------------------------------------------------------- small drawings


@pytest.mark.parametrize(
    ("values", "drawn"),
    [([], ""), ([1.0], "▁"), ([2.0, 2.0], "▁▁"), ([0, 7], "▁█"), ([7, 0], "█▁"), ([0, 5e-324], "▁█")],
)
def test_a_curve_is_a_bar_for_each_value(values: list[float], drawn: str) -> None:
    assert tables.curve(values) == drawn


def test_a_long_curve_is_thinned_and_keeps_both_ends() -> None:
    drawn = tables.curve([100.0, *[50.0] * 998, 0.0], width=10)
    assert drawn == "█" + drawn[1] * 8 + "▁"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (0.4, "0:00"), (59.6, "1:00"), (60, "1:00"), (3599.7, "1:00:00"), (90061, "25:01:01")],
)
def test_a_duration_carries_over_when_it_is_rounded(seconds: float, shown: str) -> None:
    assert tables.format_duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (2e9, "2.0 GB"), (3e15, "3000.0 TB")],
)
def test_a_size_is_shown_in_the_unit_that_fits(count: float, shown: str) -> None:
    assert tables.format_size(count) == shown


def test_a_perplexity_that_overflows_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_evaluation(Evaluation(nats=1e37, characters=1))
    out = capsys.readouterr().out
    assert out.startswith("1.000e+37 nats per character\n1.443e+37 bits per character\nperplexity: too large")


def test_a_loss_is_shown_in_nats_and_bits() -> None:
    assert tables.format_loss(None) == "-"
    assert tables.format_loss(0.6931472) == "0.6931 nats (1.0000 bits)"


# ------------------------------------------------------------------------------------------- the views of a training


def story(folder: Path = Path("checkpoints/my pets"), *, reason: str = "complete", sample: str = "abc") -> list[Any]:
    """The events of a short training."""
    from charnet.training.events import Evaluated, Finished, Metrics, Started

    config = overlay(Config(), {"training.steps": 40})
    events: list[Any] = [
        Started(
            run=folder, config=config, corpus=CorpusInfo("pets", 12345, 12345, 1, "f" * 64, "k" * 64), alphabet_size=17,
            parameters=1600, device="cpu", precision="fp32", threads=2, step=10, known_chars=12,
        )
    ]  # fmt: skip
    for step, val in ((20, 2.5), (40, 1.5)):
        events.append(Metrics(step - 5, step * 8, 0.5, 2.0, None, 0.01, 0.7, 12345.6))
        events.append(Metrics(step, step * 10, 1.0, 2.0, val, 0.01, 0.7, 12345.6))
        events.append(Evaluated(step, True, step, val, sample))
    return [*events, Finished(folder, reason, 40, 40, 1.5)]


def show_all(view: progress.TrainingView, events: Iterable[Any]) -> None:
    with view:
        view.starting()
        for event in events:
            view.show(event)


def test_plain_lines_name_the_text_the_loss_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    show_all(progress.training_view(quiet=False, json=False), story())
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    for words in ("pets, 12,345 characters, alphabet of 17", "resuming at step 10", "12 characters known, 5 new"):
        assert words in err
    assert "best: 1.5000 nats (2.1640 bits) per character at step 40" in err
    assert "charnet sample 'checkpoints/my pets' --temp 0.8" in err


def test_an_interrupted_run_shows_how_to_resume_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_all(progress.training_view(quiet=False, json=False), story(reason="interrupted"))
    assert "interrupted at step 40, everything is saved" in (err := capsys.readouterr().err)
    assert "charnet train --resume 'checkpoints/my pets'" in err


def test_plain_lines_of_progress_come_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    show_all(progress.training_view(quiet=False, json=False), story())
    assert "step 40/40, 12,346 chars/s, 0:00 left, train 2.0000 nats" in capsys.readouterr().err


def test_json_lines_are_the_metrics_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    show_all(progress.training_view(quiet=True, json=True), story())
    out, err = capsys.readouterr()
    assert err == ""
    assert [json.loads(line)["step"] for line in out.splitlines()] == [15, 20, 35, 40]


def test_the_quiet_view_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_all(progress.training_view(quiet=True, json=False), story())
    assert capsys.readouterr() == ("", "")


Draw = Callable[[int, Iterable[Any]], str]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Shows events on a pseudo-terminal of this width, and returns everything that was written to it."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def on_terminal(width: int, events: Iterable[Any]) -> str:
        master, slave = os.openpty()
        termios.tcsetwinsize(slave, (24, width))
        received: list[bytes] = []

        def collect() -> None:
            try:
                while piece := os.read(master, 65536):
                    received.append(piece)
            except OSError:  # so Linux reports that the other end is closed
                pass

        reader = threading.Thread(target=collect)
        reader.start()
        try:
            with os.fdopen(slave, "w", encoding="utf-8") as screen, monkeypatch.context() as patch:
                patch.setattr(sys, "stderr", screen)
                with contextlib.suppress(KeyboardInterrupt):
                    show_all(progress.training_view(quiet=False, json=False), events)
        finally:
            reader.join(5)
            os.close(master)
        return b"".join(received).decode()

    return on_terminal


COLORS = re.compile(r"\x1b\[[0-9;]*\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")


@pytest.mark.parametrize("width", [1, 20, 80, 200])
def test_the_live_display_fits_any_terminal(draw: Draw, width: int) -> None:
    drawn = draw(width, story(sample="[bold] and\ttabs, 日本語\n" + "a long line " * 30))
    assert "Traceback" not in drawn
    if width >= 80:
        assert "step 40 of 40" in drawn
        assert "[bold]" in drawn
        assert "charnet sample 'checkpoints/my pets'" in drawn


def with_notes(*notes: str) -> list[Any]:
    """The story of a text on which there are notes."""
    begun, *rest = story()
    return [dataclasses.replace(begun, notes=notes), *rest]


def test_what_was_left_out_of_the_text_is_said_again_at_the_end(draw: Draw) -> None:
    drawn = draw(80, with_notes("reading 7 files; left out: 1 .docx file", "another note"))
    assert drawn.count("left out: 1 .docx file") == 2
    assert drawn.count("another note") == 1
    assert drawn.rindex("left out: 1 .docx file") < drawn.index("best: ")


@pytest.mark.parametrize(("notes", "rows"), [(0, 24 - 5), (3, 24 - 8), (4, 24 - 9), (5, 24)])
def test_the_live_display_leaves_the_opening_lines_on_the_screen_where_it_has_room(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, notes: int, rows: int
) -> None:
    heights, drawn = [], live.screen.draw

    def recorded(seen: Any, seconds: float, width: int, height: int, footnote: str = "") -> Any:
        heights.append(height)
        return drawn(seen, seconds, width, height, footnote)

    monkeypatch.setattr(live.screen, "draw", recorded)
    monkeypatch.setenv("LINES", "24")
    draw(80, with_notes(*(f"note {number}" for number in range(notes))))
    assert set(heights[:-1]) == {rows}


def test_no_color_gives_no_color_codes(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    assert COLORS.search(draw(80, story()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not COLORS.search(draw(80, story()))


def test_a_dumb_terminal_gets_plain_lines(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in draw(80, story())


def test_generated_text_cannot_control_the_terminal(draw: Draw) -> None:
    drawn = draw(80, story(Path("runs/\x1b]0;t\x07"), sample="\x1b]0;owned\x07\x9b2J\x00\u202e"))
    assert "\x1b]" not in drawn
    assert not {"\x07", "\x9b", "\x00", "\u202e"} & set(drawn)


def test_the_cursor_is_shown_again_after_a_second_ctrl_c(draw: Draw) -> None:
    def interrupted() -> Iterator[Any]:
        yield from story()[:3]
        raise KeyboardInterrupt

    drawn = draw(80, interrupted())
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")


def test_a_loss_worse_than_guessing_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    *before, end = story()
    show_all(
        progress.training_view(quiet=False, json=False), [*before, dataclasses.replace(end, best_nats_per_char=2.9)]
    )
    assert "worse than guessing (2.83 nats): train longer" in capsys.readouterr().err
    show_all(
        progress.training_view(quiet=False, json=False), [*before, dataclasses.replace(end, best_nats_per_char=2.8)]
    )
    assert "guessing" not in capsys.readouterr().err


def test_a_loss_over_a_part_of_the_held_out_text_is_shown_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    *before, end = story()
    for read in (1234, 5678):
        ended = dataclasses.replace(end, read=read, held_out=5678)
        show_all(progress.training_view(quiet=False, json=False), [*before, ended])
        mentioned = ", over 1,234 of 5,678 held-out characters" in capsys.readouterr().err
        assert mentioned == (read < 5678)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, "held out\n"),
        (
            {"data.val_chars": 100},
            "held out; each evaluation reads the same 100, spread evenly over them\n",
        ),
        ({"data.val_chars": 100, "data.lines": True}, "held out; each evaluation reads the first 100\n"),
    ],
)
def test_the_first_line_says_which_held_out_characters_are_read(
    values: dict[str, Any], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    started = story()[0]
    progress.training_view(quiet=False, json=False).show(
        dataclasses.replace(started, config=overlay(started.config, values), held_out=5678)
    )
    assert shown in capsys.readouterr().err


def test_a_terminal_that_is_not_utf8_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Latin(io.StringIO):
        encoding = "iso8859-1"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stderr", Latin())
    assert type(progress.training_view(quiet=False, json=False)) is progress._PlainLines


@pytest.mark.parametrize("text", ["日本語の文章です", "👩‍👩‍👧‍👦 family 🇩🇪🇫🇷", "one two three four five", "x" * 40])
def test_a_folded_line_fits_however_a_terminal_draws_it(text: str) -> None:
    lines = list(console.folded(text, 9))
    assert "".join(lines) == text
    assert all(sum(map(console.width, line)) <= 9 for line in lines)


def test_the_first_signal_is_answered_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    view = progress.training_view(quiet=False, json=False)
    view.show(story()[0])
    view.stopping()
    assert "finishing this step, then saving; press Ctrl-C again to stop at once" in capsys.readouterr().err


def test_slow_runs_show_progress_between_metrics(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    show_all(progress.training_view(quiet=False, json=False), [story()[0], Progress(12, 2.25, 100.0)])
    assert "step 12/40, 100 chars/s" in capsys.readouterr().err


@pytest.mark.parametrize(("train", "promised"), [(1.3, True), (0.8, False)])
def test_no_more_time_is_promised_beside_a_verdict_that_asks_for_something_else(train: float, promised: bool) -> None:
    from charnet.storage.result import RunResult
    from charnet.training.conclusion import Conclusion
    from charnet.training.events import Finished

    said = "still improving: twice the time should give about 1.20 nats"
    found = RunResult(40, 40, 17, 1.3, 1.3, "complete", "time", 5, 1.57, train, 1.35, passes=3.0)
    lines = messages.closing(Finished(Path("pets"), "complete", 40, 40, 1.3, said), 17, Conclusion(found))
    assert (said in lines) == promised
    assert any("learned by heart" in line for line in lines) != promised


def test_without_held_out_text_the_loss_is_said_to_be_that_of_the_learned_text() -> None:
    from charnet.training.events import Finished

    for held_out, words in ((0, ", of the text that it learned from"), (30, "at step 40")):
        lines = messages.closing(Finished(Path("pets"), "complete", 40, 40, 1.3, "", held_out, held_out), 17, None)
        assert lines[0].endswith(words)


def test_a_best_loss_over_all_of_the_held_out_text_says_so_where_those_before_were_over_a_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun, *rest, end = story()
    of_part = dataclasses.replace(begun, config=overlay(begun.config, {"data.val_chars": 500}))
    for start, held_out, said in (
        (of_part, 600, True),
        (of_part, 500, False),
        (begun, 600, begun.config.data.val_chars),
    ):
        events = [start, *rest, dataclasses.replace(end, read=held_out, held_out=held_out)]
        show_all(progress.training_view(quiet=False, json=False), events)
        expected = "at step 40, over all of the held-out text"
        assert (expected in capsys.readouterr().err) == (said is True)


def test_a_line_shows_a_validation_loss_once_with_its_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    view = progress.training_view(quiet=False, json=False)
    begun, *rest = story()
    show_all(view, [begun])
    capsys.readouterr()
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e9)
    show_all(view, rest[:3])  # with an evaluation at step 20
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    show_all(view, [Progress(22, 2.25, 100.0), Progress(23, 2.24, 100.0)])
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("step 2"))
    assert first.endswith(", val 2.5000 nats (3.6067 bits) at step 20")
    assert ", val " not in second


def test_a_download_shows_its_rate_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: now[0])
    view = progress.training_view(quiet=False, json=False, reading="fetching enwik8")
    for now[0], done in ((9.0, 30), (11.0, 50), (12.0, 60)):  # 30 MB are there from an earlier try
        view.reading(done * 10**6, 100 * 10**6)
    assert capsys.readouterr().err == "fetching enwik8: 50.0 MB of 100.0 MB, 10.0 MB a second, 0:05 left\n"


def test_a_download_has_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.setattr(live, "SECONDS_BETWEEN_UPDATES", 0.0)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=70, highlight=False, markup=False, legacy_windows=False)
    with live.LiveDisplay(console, history.TransferRate("fetching names")) as view:
        view.starting()
        view.reading(50_000, 100_000)
        view.reading(60_000, 0)  # a server that does not say how much there is
    drawn = screen.getvalue()
    assert "fetching names: 50.0 kB of 100.0 kB" in drawn
    assert "━" in drawn
    assert "fetching names: 60.0 kB, " in drawn


def test_a_command_that_takes_a_text_out_is_not_broken_by_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    class Terminal(Screen):
        def fileno(self) -> int:
            return 2

    command = "grep -vE -e '-->|^[0-9]*[[:space:]]*$' 'a film with a name.srt' > text.txt"
    message = f"a film with a name.srt is text with times: the model learns those too; the words alone: {command}"
    for columns in (50, 300):
        out, err = Screen(terminal=True), Terminal(terminal=True)
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(os, "get_terminal_size", lambda *_, columns=columns: os.terminal_size((columns, 24)))
        console.note(message)
        tables.show_rows([("", message), ("alphabet", "60 characters")])
        drawn = io.StringIO()
        narrow = Console(file=drawn, force_terminal=True, width=columns, highlight=False, markup=False)
        live.LiveDisplay(narrow, history.TransferRate("reading"))._print([message])
        for screen in (out, err, drawn):
            assert any(line.strip() == command or line.strip() == message for line in screen.getvalue().splitlines())
            assert " ".join(screen.getvalue().split()).startswith(" ".join(message.split()))
