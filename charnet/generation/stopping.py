"""Where does a text end before its full length? A stop criterion reads it symbol by symbol."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.generation import graphemes
from charnet.generation.sentences import Sentence


class StopCriterion(Protocol):
    """Ends a text.

    It reads symbols: single characters, or grapheme clusters if the alphabet has characters that join others.
    `held_back` counts the last characters read that may be beyond the end. Once `push` has returned True, they are. If
    a criterion `gives_back`, what continues the text writes them again; otherwise it goes on after them.
    """

    gives_back: bool
    held_back: int

    def push(self, symbol: str) -> bool:
        """Reads one more symbol; returns whether the text ends."""
        ...


def stop_criteria(options: SamplingOptions, vocab: Vocabulary) -> list[StopCriterion]:
    """Returns the stop criteria for some options; the first one that is met ends the text."""
    criteria: list[StopCriterion] = [StopStrings(options.stop)] if options.stop else []
    line_end = "\r" if 0x0D in vocab.symbols and 0x0A not in vocab.symbols else "\n"
    if options.max_lines:
        criteria.append(MaxLines(options.max_lines, line_end))
    if options.until == "sentence":
        criteria.append(Sentence(cased=_has_capitals(vocab)))
    elif options.until:
        criteria.append(MaxLines(1, line_end) if options.until == "line" else Paragraph(line_end))
    return criteria


@lru_cache(4)
def _has_capitals(vocab: Vocabulary) -> bool:
    return any(chr(symbol).isupper() for symbol in vocab.characters)


class MaxLines:
    """Ends a text after a number of lines; the line end of the last one is cut off."""

    gives_back = False

    def __init__(self, count: int = 1, line_end: str = "\n") -> None:
        self.held_back, self._left, self._line_end = 0, count, line_end

    def push(self, symbol: str) -> bool:
        if symbol == self._line_end:
            self._left -= 1
            self.held_back = (self.held_back + 1) * (self._left == 0)
            return self._left == 0
        self.held_back = int(symbol == "\r")  # it may be the first half of a line end
        return False


class Paragraph:
    """Ends a text before its first empty line; empty lines before the first word do not count."""

    gives_back = False

    def __init__(self, line_end: str = "\n") -> None:
        self.held_back, self._line_ends, self._begun, self._line_end = 0, 0, False, line_end

    def push(self, symbol: str) -> bool:
        if symbol in "\r\n" and self._begun:
            self.held_back += 1
            self._line_ends += symbol == self._line_end
            return self._line_ends == 2
        self.held_back = self._line_ends = 0
        self._begun = self._begun or not symbol.isspace()
        return False


class StopStrings:
    """Ends a text before the first of some strings. They are compared symbol by symbol: 👩 is not in 👩‍🚀."""

    gives_back = False

    def __init__(self, stops: Sequence[str]) -> None:
        self.held_back, self._stops, self._tail = 0, [graphemes.split(stop) for stop in stops], list[str]()
        self._longest = max(map(len, self._stops))

    def push(self, symbol: str) -> bool:
        self._tail = [*self._tail, symbol][-self._longest :]
        complete = [stop for stop in self._stops if self._tail[-len(stop) :] == stop]
        begun = (
            stop[:n] for stop in self._stops for n in range(1, len(stop)) if self._tail[-n:] == stop[:n]
        )  # what may become one
        self.held_back = max((len("".join(found)) for found in complete or begun), default=0)
        return bool(complete)
