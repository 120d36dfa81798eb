"""Colors that show how unexpected a character was."""

from __future__ import annotations

import io
import math
import re
import sys
import unicodedata

import pytest

from charnet.cli import surprise
from charnet.generation.detokenizer import Chunk
from charnet.insight import surprises

CODE = re.compile(r"\x1b\[[0-9;]*m")


def level_of(probability: float) -> int:
    """Returns the level in whose color a character of a probability is drawn."""
    (drawn,) = surprise.colored([Chunk("a", (-math.log(probability),))])
    return surprise.CODES.index(drawn.partition("a")[0])


def test_each_level_begins_at_the_probability_that_the_legend_names() -> None:
    for number, least in enumerate(surprises.PROBABILITIES):
        assert level_of(least) == number
        assert level_of(least * 0.999) == number + 1
        assert f"(under {100 * least:g} %)" in surprise.legend()
    assert level_of(1.0) == 0
    assert level_of(1e-300) == len(surprise.CODES) - 1 == len(surprises.PROBABILITIES)


def test_expected_text_is_plain_and_every_letter_can_be_read_on_black_and_on_white() -> None:
    """In xterm's cube of 6 x 6 x 6: luminance as the eye weighs it (ITU-R BT.709)."""

    def luminance(code: int) -> float:
        steps = [0, 95, 135, 175, 215, 255]
        red, green, blue = (steps[(code - 16) // n % 6] / 255 for n in (36, 6, 1))
        return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2

    def contrast(a: float, b: float) -> float:
        return (max(a, b) + 0.05) / (min(a, b) + 0.05)

    expected, surprising, great = surprise.CODES
    assert expected == ""
    letters = re.search(r"\[4;38;5;(\d+)m", surprising)  # underlined: not by color alone
    assert letters is not None
    assert min(contrast(luminance(int(letters[1])), ground) for ground in (0.0, 1.0)) > 4.5
    pair = re.search(r"38;5;(\d+);48;5;(\d+)m", great)
    assert pair is not None
    assert contrast(*map(luminance, map(int, pair.groups()))) > 4.5
    assert all(
        code in ("4", "38", "48", "5", letters[1], *pair.groups()) for code in re.findall(r"\d+", surprising + great)
    )


def test_coloring_changes_no_text_and_line_ends_have_no_color() -> None:
    chunks = [Chunk("ab\nc", (0.0, 9.0, 9.0, 9.0)), Chunk("", ()), Chunk("\n", (9.0,)), Chunk("d", (3.5,))]
    drawn = "".join(surprise.colored(chunks))
    assert CODE.sub("", drawn) == "ab\nc\nd"
    for line in drawn.split("\n"):
        codes = CODE.findall(line)
        assert not codes or codes[-1] == surprise.RESET


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x9b", "\r", "\u202e", "\udc80", "\x00"])
def test_generated_text_cannot_control_the_terminal(character: str) -> None:
    drawn = "".join(surprise.colored([Chunk(f"[31m{character}[2J", (5.0,) * 8)]))
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in CODE.sub("", drawn))


@pytest.mark.parametrize(
    ("terminal", "variables", "possible"),
    [
        (True, {"TERM": "xterm-256color"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (False, {"TERM": "xterm-256color"}, False),
    ],
)
def test_colors_are_used_only_on_a_terminal_without_no_color(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, variables: dict[str, str], possible: bool
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    screen = io.StringIO()
    screen.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", screen)
    assert surprise.can_color() == possible


def test_the_legend_is_one_line_in_the_colors_or_with_their_names() -> None:
    plain = "plain: expected, blue: a surprise (under 10 %), orange: a great surprise (under 1 %)"
    assert surprise.legend() == plain
    colored = surprise.legend(colors=True)
    assert CODE.sub("", colored) == "expected, a surprise (under 10 %), a great surprise (under 1 %)"
    assert all(code in colored for code in surprise.CODES)


def test_pages_and_terminal_have_the_same_levels_and_names() -> None:
    assert [CODE.sub("", each) for each in surprise.legend(colors=True).split(", ")] == surprises.meanings()
    assert re.findall(r'<span class="s(\d)">([^<]+)', surprises.legend()) == [
        (str(number), meaning) for number, meaning in enumerate(surprises.meanings())
    ]
    assert f"const SURPRISES = {list(surprises.PROBABILITIES)};" in surprises.script()


def test_without_colors_a_line_of_marks_stands_below_a_line_with_surprises() -> None:
    text, nats = "ab\n\nc中d\ne", (0.0, 3.0, 9.0, 9.0, 0.0, 9.0, 3.0, 9.0, 0.0)
    lines = surprise.marked(
        [Chunk(text[:4], nats[:4]), Chunk(text[4:], nats[4:])], lambda n: surprise.MARKS[surprise.level(n)]
    )
    assert list(lines) == ["ab", " .", "", "c中d", " ##.", "e"]


def test_marks_stand_below_their_characters_whatever_a_terminal_shows_of_them() -> None:
    def marked(text: str, *nats: float) -> list[str]:
        return list(surprise.marked([Chunk(text, nats)], lambda n: surprise.MARKS[surprise.level(n)]))

    assert marked("a\tb\x9bc", 0.0, 0.0, 9.0, 0.0, 9.0) == ["a       b<9B>c", "        #    #"]
    assert marked("e\u0301\x1bx", 0.0, 0.0, 3.0, 0.0) == ["e\u0301␛x", " ."]
    assert marked("\n\na\n\n", 9.0, 9.0, 0.0, 0.0, 0.0) == ["", "", "a", ""]
