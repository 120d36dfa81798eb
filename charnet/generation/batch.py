"""Many texts written side by side: the weights are read once for all of them.

Each text has its own random numbers, so that the i-th is the same however many there are, to the rounding of the
product of matrices: one row and many are summed in another order.

Shape legend: B texts, T symbols of each, V characters in the alphabet.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from charnet.data.utf8 import LONGEST_UTF8
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine, MultiStepEngine
from charnet.generation import stopping
from charnet.generation.detokenizer import Chunk, Detokenizer
from charnet.generation.generate import Generation, random_generator, start
from charnet.generation.sampler import Options, Sampler

LARGEST_GROUP = 256  # texts
LARGEST_BLOCK = 64  # symbols that each text gets before any is looked at
SECONDS_A_BLOCK = 0.1  # one that took longer is not made larger: the reader of the first text waits for all of it


def texts(
    engine: Engine, vocab: Vocabulary, prompt_ids: Sequence[int], options: Options, count: int, *, nats: bool = False
) -> Iterator[Iterator[Chunk]]:
    """Continues a prompt in several ways; the i-th text is the one that `stream` writes with `index=i`.

    Yields the pieces of each text in turn. The texts are computed up to 256 at a time, while the first of them is read;
    the others are kept until they are asked for.

    Args:
        nats: whether to say of each character how unexpected it was.

    Raises:
        ConfigError: `ban` leaves nothing to write, or a bias is for a character that the model does not know.
    """
    choice = Sampler(vocab, options)
    if count == 1 or (isinstance(engine, MultiStepEngine) and choice.temperature_only and count < engine.min_batch):
        state = start(engine, prompt_ids)
        return (iter(Generation(engine, vocab, state, options, index=index, nats=nats)) for index in range(count))
    groups = (range(first, min(first + LARGEST_GROUP, count)) for first in range(0, count, LARGEST_GROUP))
    return (
        text.pieces()
        for indices in groups
        for text in _Group(engine, vocab, prompt_ids, options, choice, indices, nats).texts
    )


class _BatchedText:
    """One of a group: its random numbers, and the pieces that nobody has asked for yet."""

    def __init__(self, group: _Group, vocab: Vocabulary, options: Options, index: int, recent: Sequence[int]) -> None:
        self._group, self._ready, self.is_whole = group, deque[Chunk](), False
        self.random = random_generator(options, index).random
        self.recent = deque(recent, maxlen=max(LONGEST_UTF8, options.repetition_window))
        self._transcript = Detokenizer(vocab, stopping.stop_criteria(options.stop, options.max_lines, options.until))

    def take(self, ids: Sequence[int], nats: Sequence[float], *, last: bool) -> None:
        self._ready.append(self._transcript.take(ids, nats))
        if last or self._transcript.ended:
            self._ready.append(self._transcript.finish())
            self.is_whole = True

    def pieces(self) -> Iterator[Chunk]:
        while self._ready or not self.is_whole:
            if not self._ready:
                self._group.advance()
            yield self._ready.popleft()


class _Group:
    """Texts that are computed together; those that have ended leave."""

    def __init__(
        self,
        engine: Engine,
        vocab: Vocabulary,
        prompt_ids: Sequence[int],
        options: Options,
        choice: Sampler,
        indices: range,
        nats: bool,
    ) -> None:
        self._engine, self._options, self._choice, self._nats = engine, options, choice, nats
        *before, last = map(int, prompt_ids if len(prompt_ids) else [vocab.start_id()])
        state = engine.start(1)
        for i in before:
            _, state = engine.advance([i], state)
        self._state = _rows(state, [0] * len(indices))
        self._ids_B: Sequence[int] = [last] * len(indices)
        self._place, self._block = 0, 1
        self.texts = [_BatchedText(self, vocab, options, index, list(map(int, prompt_ids))) for index in indices]
        self._writing = self.texts

    def advance(self) -> None:
        """Gives each text that is still being written its next symbols, and lets those go that have ended."""
        began, left = time.perf_counter(), self._options.length - self._place
        size = min(self._block, left)
        ids_TB, nats_TB = self._draw(size)
        for text, ids, nats in zip(self._writing, ids_TB.T.tolist(), nats_TB.T.tolist(), strict=True):
            text.take(ids, nats, last=size == left)
        keep = [row for row, text in enumerate(self._writing) if not text.is_whole]
        if len(keep) < len(self._writing):
            self._writing = [self._writing[row] for row in keep]
            self._ids_B = [self._ids_B[row] for row in keep]
            self._state = _rows(self._state, keep)
        if time.perf_counter() - began < SECONDS_A_BLOCK / 2:
            self._block = min(2 * self._block, LARGEST_BLOCK)

    def _draw(self, size: int) -> tuple[sampling.Ids, sampling.Probabilities]:
        """Symbols (T, B) and their nats, (0, B) if nobody asked."""
        batch = len(self._writing)
        u_TB = np.array([text.random(size) for text in self._writing]).T
        ids_TB = np.empty((size, batch), np.intp)
        nats_TB = np.empty((size if self._nats else 0, batch))
        for t in range(size):
            logits_BV, self._state = self._engine.advance(self._ids_B, self._state)
            ids_TB[t] = self._choice.sample_rows(
                logits_BV, self._place, u_TB[t], [text.recent for text in self._writing]
            )
            if self._nats:
                nats_TB[t] = sampling.surprisal_rows(logits_BV, ids_TB[t])
            self._ids_B = ids_TB[t].tolist()
            self._place += 1
            if self._choice.uses_history:
                for text, i in zip(self._writing, self._ids_B, strict=True):
                    text.recent.append(i)
        return ids_TB, nats_TB


def _rows(state: Any, rows: Sequence[int]) -> Any:
    """Some of the texts of a state: arrays whose first axis runs over texts, or tuples of such."""
    return tuple(_rows(part, rows) for part in state) if isinstance(state, tuple) else state[rows]
