"""Where a text ends before its length. An ending reads a text character by character and says when it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

UNTIL = ("sentence", "line", "paragraph")
ENDS_BEFORE_SPACE, ENDS_ANYWHERE = ".!?…", "。！？｡"  # of sentences; scripts without spaces do not wait for one
CLOSERS = "\"'”’»)]」』）】"


class StopCriterion(Protocol):
    """`held` counts the last characters read that may be beyond the end; that are, once `push` has returned True."""

    held_back: int

    def push(self, character: str) -> bool:
        """Reads one more character; True where the text ends."""
        ...


def stop_criteria(stop: Sequence[str] = (), max_lines: int = 0, until: str = "") -> list[StopCriterion]:
    """The endings that options name; the text ends with the first that comes."""
    found: list[StopCriterion] = [StopStrings(stop)] if stop else []
    if max_lines:
        found.append(MaxLines(max_lines))
    if until:
        found.append({"sentence": Sentence, "line": MaxLines, "paragraph": Paragraph}[until]())
    return found


class MaxLines:
    """So many lines, without the end of the last."""

    def __init__(self, count: int = 1) -> None:
        self.held_back, self._left = 0, count

    def push(self, character: str) -> bool:
        if character == "\n":
            self._left -= 1
            self.held_back = (self.held_back + 1) * (self._left == 0)
            return self._left == 0
        self.held_back = int(character == "\r")  # the first half of a line end, maybe
        return False


class Paragraph:
    """The text before its first empty line; empty lines before the first word do not count."""

    def __init__(self) -> None:
        self.held_back, self._line_ends, self._begun = 0, 0, False

    def push(self, character: str) -> bool:
        if character in "\r\n" and self._begun:
            self.held_back += 1
            self._line_ends += character == "\n"
            return self._line_ends == 2
        self.held_back = self._line_ends = 0
        self._begun = self._begun or not character.isspace()
        return False


class Sentence:
    """The text through its first full stop, question or exclamation mark and the quotes and brackets that it closes.

    In scripts with spaces one must follow, so that 3.14 is not the end of a sentence.
    """

    def __init__(self) -> None:
        self.held_back, self._mark = 0, ""

    def push(self, character: str) -> bool:
        goes_on = bool(self._mark) and character in CLOSERS + ENDS_ANYWHERE + ENDS_BEFORE_SPACE
        if self._mark and not goes_on and (self._mark in ENDS_ANYWHERE or character.isspace()):
            self.held_back = 1
            return True
        if character in ENDS_BEFORE_SPACE + ENDS_ANYWHERE:
            self._mark = character
        elif not goes_on:
            self._mark = ""
        return False


class StopStrings:
    """The text up to the first of some others."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.held_back, self._stops, self._tail = 0, tuple(stops), ""
        self._longest = max(map(len, stops))

    def push(self, character: str) -> bool:
        self._tail = (self._tail + character)[-self._longest :]
        complete = [len(stop) for stop in self._stops if self._tail.endswith(stop)]
        begun = (n for stop in self._stops for n in range(1, len(stop)) if self._tail.endswith(stop[:n]))
        self.held_back = max(complete or begun, default=0)
        return bool(complete)
