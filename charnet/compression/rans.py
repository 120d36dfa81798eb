"""An entropy coder: asymmetric numeral systems over ranges (rANS), after Duda (2013), arXiv:1311.2540.

The coder's state is one integer from 2**31 to 2**63. To encode a symbol that has `count` of 2**24 counts, the state
grows by a factor of 2**24 / count; its low 32 bits become a word of the output before it would leave its range. The
decoder undoes this, last symbol first, so symbols are encoded in reverse. All symbols of all streams share one coder:
it costs eight bytes, however many streams there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BITS = 24
TOTAL = 1 << BITS  # of the counts of all symbols
LOWEST = 1 << 31  # of the state between two symbols
WORD, MASK = 32, (1 << 32) - 1
ROOM = 63 - BITS  # a state below count << ROOM can take a symbol of this count

Words = npt.NDArray[np.uint32]


class CodeError(ValueError):
    """What is decoded was not encoded like this."""


def encode(starts: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Words:
    """Encodes symbols; returns the words in the order in which a decoder reads them.

    Args:
        starts: of each symbol the counts of all symbols before it.
        counts: of each symbol, from 1 to `TOTAL` - 1.
    """
    state, words = LOWEST, []
    for start, count in zip(reversed(starts.tolist()), reversed(counts.tolist()), strict=True):
        if state >= count << ROOM:
            words.append(state & MASK)
            state >>= WORD
        quotient, rest = divmod(state, count)
        state = (quotient << BITS) + rest + start
    words += [state & MASK, state >> WORD]
    return np.array(words[::-1], np.uint32)


class Decoder:
    """Decodes symbols.

    Args:
        words: as `encode` returned them.

    Attributes:
        state: of the coder.
        next: the place of the next word.

    Raises:
        CodeError: these are not such words.
    """

    def __init__(self, words: Words) -> None:
        self._words = words.tolist()
        if len(words) < 2:
            raise CodeError
        self.state, self.next = self._words[0] << WORD | self._words[1], 2
        if not LOWEST <= self.state < 1 << 63:
            raise CodeError

    def decode(self, starts_V: npt.NDArray[np.int64]) -> int:
        """Returns the next symbol.

        Args:
            starts_V: ascending from 0: of each symbol the counts of all symbols before it.

        Raises:
            CodeError: the words are at their end.
        """
        low = self.state & (TOTAL - 1)
        symbol = int(starts_V.searchsorted(low, "right")) - 1
        start = int(starts_V[symbol])
        end = int(starts_V[symbol + 1]) if symbol + 1 < len(starts_V) else TOTAL
        self.state = (end - start) * (self.state >> BITS) + low - start
        if self.state < LOWEST:
            if self.next == len(self._words):
                raise CodeError
            self.state = self.state << WORD | self._words[self.next]
            self.next += 1
        return symbol

    def finish(self) -> None:
        """Raises CodeError unless all words were read, and the coder began here."""
        if self.state != LOWEST or self.next != len(self._words):
            raise CodeError
