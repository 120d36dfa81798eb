"""Generates many texts side by side: the engine reads the weights once for all of them.

Each text has its own random numbers, so the i-th text is the same however many there are: always with 8-bit weights,
otherwise to the rounding of the matrix product, since that of one row and that of many are summed in another order.

Shape legend: B texts, T symbols of each, V characters in the alphabet.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from charnet.config import SHORT_TEXT, ModelSettings, SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import registry, sampling
from charnet.engines.base import Engine, MultiStepEngine, select_rows
from charnet.generation.automaton import DEAD, Automaton
from charnet.generation.conditional import PARTICLES
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation, conditional, detokenizer_of, start
from charnet.generation.random_numbers import random_generator
from charnet.generation.sampler import END, Sampler

MAX_BATCH = 256  # texts
MAX_STEPS = 64  # symbols that each text gets before the first of them is yielded
SECONDS_PER_BLOCK = 0.1  # a block of steps no longer grows near this: the reader of the first text waits for all of it


def texts(
    engine: Engine,
    vocab: Vocabulary,
    prompt_ids: Sequence[int],
    options: SamplingOptions,
    count: int,
    *,
    first: int = 0,
    nats: bool = False,
) -> Iterator[Iterator[Chunk]]:
    """Continues a prompt in several ways; the i-th text is the one that `stream` generates with `index=i`.

    Yields an iterator over the chunks of each text in turn. Up to 256 texts are computed at a time, while the first of
    them is read; the chunks of the others wait in memory.

    Args:
        count: how many texts there are.
        first: the first of them that is yielded. Those before it are computed only if that may change its rounding.
        nats: whether to compute the surprisal of each character.

    Raises:
        ConfigError: `ban` leaves no character, or a bias is for a character that the model does not know.
    """
    sampler = Sampler(vocab, options, is_exact=engine.is_exact)
    if sampler.is_conditional:
        state = start(engine, vocab, prompt_ids)
        found = conditional(engine, vocab, sampler, options, state, nats=nats).texts(range(first, count))
        return (
            iter(Generation(engine, vocab, state, options, index=index, nats=nats, written=written))
            for index, written in enumerate(found, first)
        )
    begin = first if engine.is_exact else first - first % MAX_BATCH  # of the batch that holds it
    plain = isinstance(engine, MultiStepEngine) and sampler.temperature_only and count < engine.min_batch
    if plain or count - (first if engine.is_exact else 0) == 1:
        state = start(engine, vocab, prompt_ids)
        return (
            iter(Generation(engine, vocab, state, options, index=index, nats=nats)) for index in range(first, count)
        )
    batches = (range(at, min(at + MAX_BATCH, count)) for at in range(begin, count, MAX_BATCH))
    written = (
        text.chunks()
        for indices in batches
        for text in _Batch(engine, vocab, prompt_ids, options, sampler, indices, nats).texts
    )
    return itertools.islice(written, first - begin, None)


def fastest_engine(
    model: ModelSettings, vocab: Vocabulary, weights: Mapping[str, Any], options: SamplingOptions, count: int
) -> str:
    """Returns the name of the engine that finishes `count` texts first; for 0 texts, of the one that starts first."""
    sampler = Sampler(vocab, options)
    plain = sampler.temperature_only or sampler.is_conditional
    count = max(count, PARTICLES) if sampler.is_conditional and count else count
    length = options.expected_length if count else 0
    length = length if vocab.document_end is None else min(length, SHORT_TEXT)
    return registry.fastest(model, weights, length, texts=max(1, count), temperature_only=plain)


class _BatchedText:
    """One text of a batch: its random numbers, and its chunks that have not been yielded yet."""

    def __init__(
        self, batch: _Batch, vocab: Vocabulary, options: SamplingOptions, index: int, recent: Sequence[int]
    ) -> None:
        self._batch, self._ready = batch, deque[Chunk]()
        self.random = random_generator(options, index, is_exact=batch.is_exact).random
        self.recent = deque(recent, maxlen=batch.sampler.num_recent)
        self._detokenizer = detokenizer_of(vocab, options)
        self.matched = 0

    @property
    def ended(self) -> bool:
        return self._detokenizer.ended

    def feed(self, ids: Sequence[int], nats: Sequence[float]) -> None:
        """Takes the next symbols of the text, up to its end."""
        if END in ids:
            ids, nats = ids[: ids.index(END)], nats[: ids.index(END)]
            self._ready.append(self._detokenizer.feed(ids, nats))
            self._detokenizer.end()
        else:
            self._ready.append(self._detokenizer.feed(ids, nats))
        if self.ended:
            self._ready.append(self._detokenizer.finish())

    def chunks(self) -> Iterator[Chunk]:
        """Yields the chunks; advances the whole batch when none is ready."""
        while self._ready or not self.ended:
            if not self._ready:
                self._batch.advance()
            yield self._ready.popleft()


class _Batch:
    """Texts that are computed together. Those that have ended leave the batch."""

    def __init__(
        self,
        engine: Engine,
        vocab: Vocabulary,
        prompt_ids: Sequence[int],
        options: SamplingOptions,
        sampler: Sampler,
        indices: range,
        nats: bool,
    ) -> None:
        self._engine, self._options, self.sampler, self._nats = engine, options, sampler, nats
        self.is_exact = engine.is_exact
        begun = start(engine, vocab, prompt_ids)
        *before, last = begun.pending or (vocab.start_id(),)
        state = begun.state
        for i in before:
            _, state = engine.advance([i], state)
        self._state = select_rows(state, [0] * len(indices))
        self._ids_B: Sequence[int] = [last] * len(indices)
        self._position, self._num_steps = 0, 1
        self.texts = [_BatchedText(self, vocab, options, index, list(map(int, prompt_ids))) for index in indices]
        self._running = self.texts

    def advance(self) -> None:
        """Samples the next symbols of each running text, and drops the texts that have ended."""
        began = time.perf_counter()
        num_steps = min(self._num_steps, max(1, self._options.length - self._position))  # 1: to complete a cluster
        ids_TB, nats_TB = self._sample(num_steps)
        for text, ids, nats in zip(self._running, ids_TB.T.tolist(), nats_TB.T.tolist(), strict=True):
            text.feed(ids, nats)
        rows = [row for row, text in enumerate(self._running) if not text.ended]
        if len(rows) < len(self._running):
            self._running = [self._running[row] for row in rows]
            self._ids_B = [self._ids_B[row] for row in rows]
            self._state = select_rows(self._state, rows)
        if time.perf_counter() - began < SECONDS_PER_BLOCK / 2:
            self._num_steps = min(2 * self._num_steps, MAX_STEPS)

    def _sample(self, num_steps: int) -> tuple[sampling.Ids, sampling.Probabilities]:
        """Samples symbols (T, B); returns them and their nats, (0, B) without `nats`."""
        batch = len(self._running)
        u_TB = np.array([text.random(num_steps) for text in self._running]).T
        ids_TB = np.empty((num_steps, batch), np.intp)
        nats_TB = np.empty((num_steps if self._nats else 0, batch))
        for t in range(num_steps):
            logits_BV, self._state = self._engine.advance(self._ids_B, self._state)
            recent = [text.recent for text in self._running]
            matched = [text.matched for text in self._running] if self.sampler.pattern else ()
            ids_TB[t] = self.sampler.sample_rows(logits_BV, self._position, u_TB[t], recent, matched)
            if self._nats:
                nats_TB[t] = sampling.surprisal_rows(logits_BV, ids_TB[t])
            self._ids_B = ids_TB[t].tolist()
            if pattern := self.sampler.pattern:
                self._ids_B = _follow(pattern, self._running, self._ids_B)
            self._position += 1
            if self.sampler.uses_history:
                for text, i in zip(self._running, self._ids_B, strict=True):
                    text.recent.append(i)
        return ids_TB, nats_TB


def _follow(pattern: Automaton, running: Sequence[_BatchedText], symbols_B: Sequence[int]) -> list[int]:
    """Follows the pattern in each text; returns what the engine reads: of a text that has ended, anything."""
    for text, symbol in zip(running, symbols_B, strict=True):
        text.matched = DEAD if symbol == END else pattern.after(text.matched, symbol)
    return [max(symbol, 0) for symbol in symbols_B]
