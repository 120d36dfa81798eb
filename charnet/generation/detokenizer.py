"""From symbols to the text that is shown: decoded, cut where it ends, each character with its nats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from charnet.data.vocab import Vocabulary
from charnet.generation.stopping import StopCriterion


class Chunk(NamedTuple):
    """A piece of text, mostly one character. `nats` says of each character how unexpected it was: minus the logarithm
    of its probability under the model at temperature 1, before bias, bans, penalty and filters (of a model of bytes
    that of all its bytes); nothing where that was not asked for."""

    text: str
    nats: tuple[float, ...] = ()


class Detokenizer:
    """Takes symbols as they are drawn and gives the text that they make, to where an ending cuts it; what may turn out
    to be beyond the end is held back."""

    def __init__(self, vocab: Vocabulary, endings: Sequence[StopCriterion] = ()) -> None:
        self.ended, self.surplus = False, 0
        self._push, self._finish = (decoder := vocab.decoder()).push, decoder.finish
        self._endings, self._of_bytes = endings, vocab.of_bytes
        self._held = self._beyond = ""  # read and not shown yet; read after the end
        self._nats: list[float] = []  # of the symbols that are not shown yet

    def take(self, ids: Sequence[int], nats: Sequence[float] = ()) -> Chunk:
        """The text that has become certain with these symbols. Where they are more than the text and the beginning of
        what follows it, `surplus` says by how many."""
        if not self._endings:
            text = self._push(ids[0]) if len(ids) == 1 else "".join(map(self._push, ids))
            return Chunk(text, self._weighed(text, nats) if nats else ())
        for count, i in enumerate(ids, 1):
            self._read(self._push(i))
            if self.ended:
                self.surplus = len(ids) - count
                break
        return self._certain(nats[: len(ids) - self.surplus])

    def finish(self) -> Chunk:
        """What was held back, at the end of the length."""
        if not self.ended:
            self._read(self._finish())
        if not self.ended:
            self._endings = ()
        return self._certain(())

    def rest(self) -> str:
        """What was taken and not shown, where nothing more will be taken."""
        return self._held + self._beyond + self._finish()

    def _read(self, text: str) -> None:
        for at, character in enumerate(text, 1):
            self._held += character
            ending = [each for each in self._endings if each.push(character)]
            if ending:
                self.ended, self._endings, self._beyond = True, ending, text[at:]
                return

    def _certain(self, nats: Sequence[float]) -> Chunk:
        text = self._held[: len(self._held) - max((each.held_back for each in self._endings), default=0)]
        self._held = self._held[len(text) :]
        return Chunk(text, self._weighed(text, nats))

    def _weighed(self, text: str, nats: Sequence[float]) -> tuple[float, ...]:
        """The nats of each character of a text, and room for those of the next."""
        self._nats.extend(nats)
        if not self._nats:
            return ()
        sizes = [len(c.encode("utf-8", "surrogateescape")) for c in text] if self._of_bytes else [1] * len(text)
        weighed, at = [], 0
        for size in sizes:
            weighed.append(sum(self._nats[at : at + size]))
            at += size
        del self._nats[:at]
        return tuple(weighed)
