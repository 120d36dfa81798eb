"""The short texts that a model writes while it trains and when it has: they begin with a sentence, else with a line."""

from __future__ import annotations

from dataclasses import replace

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.generation.generate import stream
from charnet.generation.sentences import Sentence

MOST_BEFORE = 240  # characters among which a beginning is looked for


def write(engine: Engine, vocab: Vocabulary, options: SamplingOptions) -> str:
    """Writes a text of `options.length` characters; some more are written and dropped, up to where a sentence begins.

    A document begins where it begins.
    """
    if vocab.has_documents:
        return "".join(stream(engine, vocab, [], options))
    opening = Opening(cased=any(chr(symbol).isupper() for symbol in vocab.characters))
    for chunk in stream(engine, vocab, [], replace(options, length=options.length + MOST_BEFORE)):
        for character in chunk:
            opening.push(character)
        if opening.begins is not None and len(opening.text) >= opening.begins + options.length:
            break
    return opening.text[opening.place :][: options.length]


class Opening:
    """Finds where to begin in a text that is read character by character, as it is written.

    Args:
        cased: whether the text has capital letters: in one that has, no sentence begins with a small one.
    """

    def __init__(self, *, cased: bool = True) -> None:
        self.text = ""
        self.begins: int | None = None  # where a sentence begins, once it is known
        self._cased, self._sentence = cased, Sentence(cased=cased)
        self._line: int | None = None

    def push(self, character: str) -> None:
        """Reads one more character."""
        self.text += character
        if self.begins is not None:
            return
        ended = self._sentence.push(character)
        if self.text.strip() == character and self._may_begin(character):  # the text begins with a line
            self.begins = len(self.text) - 1
        elif ended:
            self._begin(len(self.text) - self._sentence.held_back)
        elif self._line is None and self.text[-2:-1] == "\n" and self._may_begin(character):
            self._line = len(self.text) - 1

    @property
    def place(self) -> int:
        """Where to begin: with a sentence, else with a line, the first one if no other can be a beginning."""
        return self.begins if self.begins is not None else self._line or 0

    def _begin(self, at: int) -> None:
        while self.text[at : at + 1].isspace():
            at += 1
        self.begins = at

    def _may_begin(self, character: str) -> bool:
        return self._cased and not character.islower() and not character.isspace()
