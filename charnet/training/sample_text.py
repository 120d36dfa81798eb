"""The short texts that a model writes while it trains and when it has: they begin with a sentence, else with a line."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.generation.generate import stream
from charnet.generation.sentences import Sentence

MOST_BEFORE = 240  # characters among which a beginning is looked for
BEGINNINGS = ("Lu", "Lt", "Nd", "Ps", "Pi", "Pd")  # of a text with capitals: those, digits, opening quotes, dashes


def write(engine: Engine, vocab: Vocabulary, options: SamplingOptions) -> str:
    """Writes a text of at least `options.length` characters, and drops what comes before the first sentence.

    A model of documents begins with one.
    """
    if vocab.has_documents:
        return "".join(stream(engine, vocab, [], options))
    opening = Opening(cased=any(chr(symbol).isupper() for symbol in vocab.characters))
    for chunk in stream(engine, vocab, [], replace(options, length=options.length + MOST_BEFORE)):
        for character in chunk:
            opening.push(character)
        if opening.is_found and len(opening.text) >= opening.place + options.length:
            break
    return opening.text[opening.place :]


class Opening:
    """Finds where to begin in a text that is read character by character, as it is written.

    Args:
        cased: whether the text has capital letters: in one that has, no sentence begins with a small one.
    """

    def __init__(self, *, cased: bool = True) -> None:
        self.text = ""
        self.begins: int | None = None  # where a sentence begins, once it is known
        self._cased, self._sentence = cased, Sentence(cased=cased)
        self._ended_at: int | None = None  # where the first sentence ended, until it is known how the next one begins
        self._line: int | None = None

    def push(self, character: str) -> None:
        """Reads one more character."""
        is_found, self.text = self.is_found, self.text + character
        if is_found:
            return
        if self.text.strip() == character and self._may_begin(character):  # the text begins with a line
            self.begins = len(self.text) - 1
            return
        if self._line is None and self.text[-2:-1] == "\n" and self._may_begin(character):
            self._line = len(self.text) - 1
        if self._ended_at is None and self._sentence.push(character):
            self._ended_at = len(self.text) - self._sentence.held_back
        if self._ended_at is not None and (rest := self.text[self._ended_at :].lstrip()):
            self._decide(rest)

    def _decide(self, rest: str) -> None:
        """Begins with what follows a sentence, unless it goes on there, as in "Why?" said the cat."""
        if not (self._cased and rest[0].islower()):
            self.begins = len(self.text) - len(rest)
            return
        self._sentence, self._ended_at = Sentence(cased=self._cased), None
        for character in rest:
            self._sentence.push(character)

    @property
    def is_found(self) -> bool:
        """Whether it is known where to begin: later characters change nothing."""
        return self.begins is not None or len(self.text) >= MOST_BEFORE

    @property
    def place(self) -> int:
        """Where to begin: with a sentence, else with a line, the first one if no other can be a beginning."""
        at = self.begins if self.begins is not None else self._line or 0
        return len(self.text) - len(self.text[at:].lstrip())

    def _may_begin(self, character: str) -> bool:
        return self._cased and (unicodedata.category(character) in BEGINNINGS or character in "\"'")
