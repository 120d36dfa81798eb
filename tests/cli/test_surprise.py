"""Colors that show how unexpected a character was."""

from __future__ import annotations

import io
import itertools
import math
import re
import sys
import unicodedata

import pytest

from charnet.cli import surprise
from charnet.generation.detokenizer import Chunk

CODE = re.compile(r"\x1b\[[0-9;]*m")


def band_of(probability: float) -> int:
    """Returns the index of the band of a probability."""
    (drawn,) = surprise.colored([Chunk("a", (-math.log(probability),))])
    return [color for _, _, color in surprise.BANDS].index(drawn.partition("a")[0])


def test_each_band_begins_at_the_probability_that_the_legend_names() -> None:
    for band, (least, _, _) in enumerate(surprise.BANDS[:-1]):
        assert band_of(least) == band
        assert band_of(least * 0.999) == band + 1
    assert band_of(1.0) == 0
    assert band_of(1e-300) == len(surprise.BANDS) - 1


def test_the_colors_differ_in_brightness() -> None:
    """In xterm's cube of 6 x 6 x 6: luminance as the eye weighs it (ITU-R BT.709)."""

    def luminance(code: int) -> float:
        steps = [0, 95, 135, 175, 215, 255]
        red, green, blue = (steps[(code - 16) // n % 6] / 255 for n in (36, 6, 1))
        return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2

    pairs = [re.search(r"38;5;(\d+);48;5;(\d+)m", color) for _, _, color in surprise.BANDS[1:]]
    for pair in pairs:
        assert pair is not None
        bright, dark = sorted(map(luminance, map(int, pair.groups())), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) > 4.5, "contrast of a letter with its background (WCAG AA)"
    backgrounds = [luminance(int(pair[2])) for pair in pairs if pair]
    neighbours = itertools.pairwise(backgrounds)
    assert all((max(a, b) + 0.05) / (min(a, b) + 0.05) > 1.5 for a, b in neighbours)


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


def test_the_legend_is_one_line_that_names_every_band() -> None:
    bands = "plain 25 % or more, pale 5 %, blue 1 %, dark 0.2 %, orange less"
    assert surprise.legend() == f"probability of each character: {bands}"
