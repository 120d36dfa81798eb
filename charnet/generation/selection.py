"""Chooses among the texts that a model writes: none that it learned, none twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from charnet.data.copy_index import LearnedPieces
from charnet.data.documents import Documents, hashes
from charnet.data.vocab import Vocabulary
from charnet.generation.detokenizer import Chunk
from charnet.generation.scheduler import MAX_BATCH

MOST_MISSES = 1000  # texts in a row; after that the model is taken to have no more to say

Texts = Iterable[Iterable[Chunk]]


class KnownDocuments:
    """The documents that a model learned from, as hashes of 8 bytes each: two hardly ever have the same."""

    def __init__(self, learned: LearnedPieces, vocab: Vocabulary) -> None:
        self._vocab = vocab
        self._hashes = np.sort(hashes(learned.ids, learned.pieces))

    def __contains__(self, text: str) -> bool:
        ids = np.append(self._vocab.encode_known(text)[0], self._vocab.start_id()).astype(np.uint32)
        (found,) = hashes(ids, Documents.up_to(np.array([len(ids)])))
        at = int(np.searchsorted(self._hashes, found))
        return at < len(self._hashes) and self._hashes[at] == found


class Selection:
    """Texts that are new. `index` is that of the last one that was yielded, among all that were written; `misses` are
    the texts that were left out.

    Args:
        write: writes the texts of some indices, from the first up to before the last.
        count: how many to yield; there are fewer if `MOST_MISSES` texts in a row are not new.
        known: those that count as written before.
        prompt: stands before each text.
    """

    def __init__(
        self, write: Callable[[int, int], Texts], count: int, known: KnownDocuments | None, *, prompt: str = ""
    ) -> None:
        self._write, self._count, self._known, self._prompt = write, count, known, prompt
        self.index, self.misses, self.found = -1, 0, 0

    @property
    def is_complete(self) -> bool:
        """Whether as many texts were found as were wanted."""
        return self.found == self._count

    def __iter__(self) -> Iterator[list[Chunk]]:
        seen, misses_in_a_row, end = set[str](), 0, 0
        while self.found < self._count and misses_in_a_row < MOST_MISSES:
            begin, whole_batch = end, end - end % MAX_BATCH + MAX_BATCH
            end = whole_batch if begin else min(self._count, whole_batch)
            for index, chunks in enumerate(self._write(begin, end), begin):
                complete = list(chunks)
                text = self._prompt + "".join(chunk.text for chunk in complete)
                if text in seen or (self._known is not None and text in self._known):
                    self.misses, misses_in_a_row = self.misses + 1, misses_in_a_row + 1
                    if misses_in_a_row == MOST_MISSES:
                        return
                    continue
                seen.add(text)
                misses_in_a_row = 0
                self.index, self.found = index, self.found + 1
                yield complete
                if self.is_complete:
                    return
