"""Where does a text end before its full length? A stop criterion reads it symbol by symbol."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

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
        self.held_back, self._stops = 0, [_stop_string(stop) for stop in stops]
        self._matched = [0] * len(stops)  # the longest beginning of each that ends the text so far, in symbols

    def push(self, symbol: str) -> bool:
        self._matched = [stop.advance(n, symbol) for stop, n in zip(self._stops, self._matched, strict=True)]
        lengths = [
            (n == len(stop.symbols), stop.lengths[n]) for stop, n in zip(self._stops, self._matched, strict=True)
        ]
        is_complete, self.held_back = max(lengths)
        return is_complete


class _StopString(NamedTuple):
    """A string that is found in time linear in the text (Knuth, Morris and Pratt 1977).

    By a number of its first symbols: `lengths` has how many characters they are, `borders` the longest shorter
    beginning of the string that they end with, in symbols.
    """

    symbols: list[str]
    lengths: list[int]
    borders: list[int]

    def advance(self, matched: int, symbol: str) -> int:
        """Returns how many first symbols of the string end the text, when they were `matched` before this symbol."""
        while matched == len(self.symbols) or (matched and self.symbols[matched] != symbol):
            matched = self.borders[matched]
        return matched + (self.symbols[matched] == symbol)


@lru_cache(16)  # many texts have the same
def _stop_string(text: str) -> _StopString:
    symbols = graphemes.split(text)
    stop = _StopString(symbols, [0, *itertools.accumulate(map(len, symbols))], [0, 0])
    for symbol in symbols[1:]:
        stop.borders.append(stop.advance(stop.borders[-1], symbol))
    return stop
