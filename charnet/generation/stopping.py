"""Where does a text end before its full length? A stop criterion reads it character by character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

ENDS_BEFORE_SPACE, ENDS_ANYWHERE = ".!?…", "。！？｡"  # of sentences; scripts without spaces need none after the mark
CLOSERS = "\"'”’»)]」』）】"


class StopCriterion(Protocol):
    """Ends a text.

    `held_back` counts the last characters read that may be beyond the end. Once `push` has returned True, they are.
    """

    held_back: int

    def push(self, character: str) -> bool:
        """Reads one more character; returns whether the text ends."""
        ...


def stop_criteria(stop: Sequence[str] = (), max_lines: int = 0, until: str = "") -> list[StopCriterion]:
    """Returns the stop criteria for some options; the first one that is met ends the text."""
    criteria: list[StopCriterion] = [StopStrings(stop)] if stop else []
    if max_lines:
        criteria.append(MaxLines(max_lines))
    if until:
        criteria.append({"sentence": Sentence, "line": MaxLines, "paragraph": Paragraph}[until]())
    return criteria


class MaxLines:
    """Ends a text after a number of lines; the line end of the last one is cut off."""

    def __init__(self, count: int = 1) -> None:
        self.held_back, self._left = 0, count

    def push(self, character: str) -> bool:
        if character == "\n":
            self._left -= 1
            self.held_back = (self.held_back + 1) * (self._left == 0)
            return self._left == 0
        self.held_back = int(character == "\r")  # it may be the first half of a line end
        return False


class Paragraph:
    """Ends a text before its first empty line; empty lines before the first word do not count."""

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
    """Ends a text after its first full stop, question or exclamation mark, and any closing quotes and brackets.

    In scripts with spaces, a space must follow, so that 3.14 does not end a sentence.
    """

    def __init__(self) -> None:
        self.held_back, self._mark = 0, ""

    def push(self, character: str) -> bool:
        continues = bool(self._mark) and character in CLOSERS + ENDS_ANYWHERE + ENDS_BEFORE_SPACE
        if self._mark and not continues and (self._mark in ENDS_ANYWHERE or character.isspace()):
            self.held_back = 1
            return True
        if character in ENDS_BEFORE_SPACE + ENDS_ANYWHERE:
            self._mark = character
        elif not continues:
            self._mark = ""
        return False


class StopStrings:
    """Ends a text before the first of some strings."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.held_back, self._stops, self._tail = 0, tuple(stops), ""
        self._longest = max(map(len, stops))

    def push(self, character: str) -> bool:
        self._tail = (self._tail + character)[-self._longest :]
        complete = [len(stop) for stop in self._stops if self._tail.endswith(stop)]
        begun = (n for stop in self._stops for n in range(1, len(stop)) if self._tail.endswith(stop[:n]))
        self.held_back = max(complete or begun, default=0)
        return bool(complete)
