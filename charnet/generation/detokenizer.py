"""From symbols to the text that is shown: decoded, cut where a stop criterion ends it, each character with its nats."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.generation import graphemes
from charnet.generation.constraints import is_constrained
from charnet.generation.stopping import StopCriterion, StopStrings, stop_criteria


class Chunk(NamedTuple):
    """A piece of text, mostly one character.

    `nats` is the surprisal of each character: minus the logarithm of its probability under the model at temperature 1,
    before bias, bans, penalty and filters. For a model of bytes it is the sum over the bytes of the character. It is
    empty unless it was asked for. The last piece of a text has the `facts` that are known of all of it, by their names
    in `--json`.
    """

    text: str
    nats: tuple[float, ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()


def line_end(vocab: Vocabulary, *, lines: bool) -> str:
    """Returns what is written behind a text: a line end behind a document, or one of `lines`."""
    return "\n" if lines or vocab.document_end is not None else ""


class Detokenizer:
    """Turns symbols, as they are sampled, into text. Text that may turn out to be beyond the end is held back.

    If the alphabet has characters that join others, text is shown by whole grapheme clusters. A text of `length`
    symbols then goes on until its last cluster is complete, which the first symbol of the next one shows. A text of
    bytes has exactly `length` bytes.

    `ended` says whether the text has ended, by a stop criterion, its length or the end of a document. `surplus` is the
    number of symbols that were fed and are not part of it: those after the one that shows the end, and those that only
    showed it. If the text `gives_back`, the latter may be from earlier calls of `feed`.
    """

    def __init__(self, vocab: Vocabulary, criteria: Sequence[StopCriterion] = (), *, length: int = sys.maxsize) -> None:
        self.ended, self.surplus = length == 0, 0
        self._decode, self._finish = (decoder := vocab.decoder()).push, decoder.finish
        self._end = "" if vocab.document_end is None else chr(vocab.document_end)
        self._criteria: Sequence[StopCriterion] = [*criteria, StopStrings([self._end])] if self._end else criteria
        self._of_bytes = vocab.of_bytes
        by_clusters = graphemes.may_join(vocab) and not (vocab.of_bytes and not self._criteria)
        self._clusters = graphemes.Clusters() if by_clusters else None
        of_several = vocab.of_bytes and by_clusters  # a character that shows the end is several symbols
        self.gives_back = of_several or any(criterion.gives_back for criterion in criteria)
        self._length, self._num_fed, self._num_shown = length, 0, 0  # symbols
        self._held_back = self._cut_off = ""
        self._is_cut = False
        self._nats: list[float] = []  # of the symbols that are not shown yet

    @property
    def document_ended(self) -> bool:
        """Whether the text ended with its document."""
        return self.ended and bool(self._end) and self._held_back.endswith(self._end)

    @property
    def num_uncertain(self) -> int:
        """The number of the last symbols that the next `feed` may turn into surplus, if the text `gives_back`."""
        return self._num_fed - self._num_shown

    def feed(self, ids: Sequence[int], nats: Sequence[float] = ()) -> Chunk:
        """Takes the next symbols, and returns the text that is certain with them."""
        self._num_fed += len(ids)
        if not self._criteria and self._num_fed <= self._length:
            text = self._decode(ids[0]) if len(ids) == 1 else "".join(map(self._decode, ids))
            if self._clusters is not None:
                text = self._clusters.feed(text)
                self._num_shown += len(text)
            if self._num_fed == self._length:
                self.ended = not self._is_open
            return Chunk(text, self._nats_of(text, nats) if nats else ())
        for count, i in enumerate(ids, 1):
            self._read(self._decode(i))
            if self.ended:
                self.surplus = self.surplus or len(ids) - count
                break
        self.ended = self.ended or (self._num_fed >= self._length and not self._is_open)
        return self._certain(nats)

    def end(self) -> None:
        """Ends the text after what was fed."""
        self.ended = True

    def finish(self) -> Chunk:
        """Returns what was held back, when no more is fed."""
        self.gives_back = False
        if not self._is_cut:
            self._read(self._finish())
        if not self._is_cut and self._clusters is not None and self._clusters.last:
            last, self._clusters.last = self._clusters.last, ""
            self._take(last)
        if not self._is_cut:
            self._criteria = ()
        return self._certain(())

    def rest(self) -> str:
        """Returns the text that was fed and is in no chunk, when no more is fed, but for surplus and document end."""
        held_back = self._held_back[: -len(self._end)] if self.document_ended else self._held_back
        return held_back + self._cut_off + (self._clusters.last if self._clusters else "") + self._finish()

    @property
    def _is_open(self) -> bool:
        """Whether the next symbol may belong to the last cluster; never for bytes, whose number is exact."""
        return self._clusters is not None and not self._of_bytes and self._clusters.is_open

    def _read(self, text: str) -> None:
        """Adds decoded text, as far as its end."""
        for at, character in enumerate(text, 1):
            symbol = character if self._clusters is None else self._clusters.push(character)
            if symbol:
                self._take(symbol, text[at:])
            if self._is_cut:
                return

    def _take(self, symbol: str, after: str = "") -> None:
        """Adds a symbol to the text, unless a criterion, or the full length, ends it."""
        self._held_back += symbol
        met = [criterion for criterion in self._criteria if criterion.push(symbol)]
        if not met and self._num_fed <= self._length:
            return
        self.ended = self._is_cut = True
        self._criteria, self._cut_off = met, after
        gives_back = self.gives_back and bool(met) and all(criterion.gives_back for criterion in met)
        if gives_back:
            held_back = max(criterion.held_back for criterion in met)
            self._held_back, self._criteria = self._held_back[: len(self._held_back) - held_back], ()
        if gives_back or self._clusters is not None:
            self._cut_off, self._finish = "", str
            self._clusters = None
            self.surplus = self._num_fed - self._num_shown - self._num_symbols(self._held_back)

    def _certain(self, nats: Sequence[float]) -> Chunk:
        """Takes from the text that is held back what no criterion may cut off."""
        held_back = max((criterion.held_back for criterion in self._criteria), default=0)
        text = self._held_back[: len(self._held_back) - held_back]
        self._held_back = self._held_back[len(text) :]
        self._num_shown += self._num_symbols(text)
        return Chunk(text, self._nats_of(text, nats))

    def _num_symbols(self, text: str) -> int:
        return len(text.encode("utf-8", "surrogateescape")) if self._of_bytes else len(text)

    def _nats_of(self, text: str, nats: Sequence[float]) -> tuple[float, ...]:
        """Takes the nats of the next symbols, and returns those of each character of a text."""
        self._nats.extend(nats)
        if not self._nats:
            return ()
        sizes = map(self._num_symbols, text) if self._of_bytes else [1] * len(text)
        sums, at = [], 0
        for size in sizes:
            sums.append(sum(self._nats[at : at + size]))
            at += size
        del self._nats[:at]
        return tuple(sums)


def detokenizer_of(vocab: Vocabulary, options: SamplingOptions) -> Detokenizer:
    """Returns what turns symbols into text, and ends it as the options say. A pattern ends a text by itself."""
    if is_constrained(options):
        return Detokenizer(vocab)
    return Detokenizer(vocab, stop_criteria(options, vocab), length=options.length)
