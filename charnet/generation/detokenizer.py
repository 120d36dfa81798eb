"""From symbols to the text that is shown: decoded, cut where a stop criterion ends it, each character with its nats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from charnet.data.vocab import Vocabulary
from charnet.generation.stopping import StopCriterion, StopStrings


class Chunk(NamedTuple):
    """A piece of text, mostly one character.

    `nats` is the surprisal of each character: minus the logarithm of its probability under the model at temperature 1,
    before bias, bans, penalty and filters. For a model of bytes it is the sum over the bytes of the character. It is
    empty unless it was asked for.
    """

    text: str
    nats: tuple[float, ...] = ()


class Detokenizer:
    """Turns symbols, as they are sampled, into text. Text that may turn out to be beyond the end is held back.

    `ended` says whether a stop criterion or the end of a document ended the text. `surplus` is the number of symbols of
    the last `feed` that were not needed to know this.
    """

    def __init__(self, vocab: Vocabulary, criteria: Sequence[StopCriterion] = ()) -> None:
        self.ended, self.surplus = False, 0
        self._decode, self._finish = (decoder := vocab.decoder()).push, decoder.finish
        self._end = "" if vocab.document_end is None else chr(vocab.document_end)
        self._criteria: Sequence[StopCriterion] = [*criteria, StopStrings([self._end])] if self._end else criteria
        self._of_bytes = vocab.of_bytes
        self._held_back = self._cut_off = ""
        self._nats: list[float] = []  # of the symbols that are not shown yet

    @property
    def document_ended(self) -> bool:
        """Whether the text ended with its document."""
        return self.ended and bool(self._end) and self._held_back.endswith(self._end)

    def feed(self, ids: Sequence[int], nats: Sequence[float] = ()) -> Chunk:
        """Takes the next symbols, and returns the text that is certain with them."""
        if not self._criteria:
            text = self._decode(ids[0]) if len(ids) == 1 else "".join(map(self._decode, ids))
            return Chunk(text, self._nats_of(text, nats) if nats else ())
        for count, i in enumerate(ids, 1):
            self._read(self._decode(i))
            if self.ended:
                self.surplus = len(ids) - count
                break
        return self._certain(nats[: len(ids) - self.surplus])

    def finish(self) -> Chunk:
        """Returns what was held back, when the text has its full length."""
        if not self.ended:
            self._read(self._finish())
        if not self.ended:
            self._criteria = ()
        return self._certain(())

    def rest(self) -> str:
        """Returns the text that was fed and is in no chunk, when no more is fed, but for the end of its document."""
        held_back = self._held_back[: -len(self._end)] if self.document_ended else self._held_back
        return held_back + self._cut_off + self._finish()

    def _read(self, text: str) -> None:
        """Adds decoded text, as far as the first stop criterion to end it."""
        for at, character in enumerate(text, 1):
            self._held_back += character
            met = [criterion for criterion in self._criteria if criterion.push(character)]
            if met:
                self.ended, self._criteria, self._cut_off = True, met, text[at:]
                return

    def _certain(self, nats: Sequence[float]) -> Chunk:
        """Takes from the text that is held back what no criterion may cut off."""
        held_back = max((criterion.held_back for criterion in self._criteria), default=0)
        text = self._held_back[: len(self._held_back) - held_back]
        self._held_back = self._held_back[len(text) :]
        return Chunk(text, self._nats_of(text, nats))

    def _nats_of(self, text: str, nats: Sequence[float]) -> tuple[float, ...]:
        """Takes the nats of the next symbols, and returns those of each character of a text."""
        self._nats.extend(nats)
        if not self._nats:
            return ()
        sizes = [len(c.encode("utf-8", "surrogateescape")) for c in text] if self._of_bytes else [1] * len(text)
        sums, at = [], 0
        for size in sizes:
            sums.append(sum(self._nats[at : at + size]))
            at += size
        del self._nats[:at]
        return tuple(sums)
