"""Continuous batching (Yu et al. 2022): a text that has ended leaves its batch, and the next one that waits takes its
place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.errors import CharnetError
from charnet.generation.copy_guard import check_guard
from charnet.generation.detokenizer import Chunk
from charnet.generation.guarded import generation
from charnet.generation.running import Batch, Request, RunningText
from charnet.generation.samplers import Samplers

MAX_BATCH = 256  # texts
MOST_WAITING = 4 * MAX_BATCH  # texts that are begun before the first of them is read: they wait in memory


class Scheduler:
    """Texts that are computed together. Those that have ended leave the batch, and those that wait join it.

    Iterate over it for the chunks of each text, in the order of the requests.
    """

    def __init__(self, engine: Engine, vocab: Vocabulary, requests: Iterator[Request], nats: bool) -> None:
        self._engine, self._vocab, self._requests, self._nats = engine, vocab, requests, nats
        self._samplers = Samplers(vocab, is_exact=engine.is_exact)
        self._batch, self._queue = Batch(engine, vocab, nats=nats), deque[Iterator[Chunk]]()

    def __iter__(self) -> Iterator[Iterator[Chunk]]:
        while True:
            self._join()
            if not self._queue:
                return
            yield self._queue.popleft()

    def _join(self) -> None:
        """Gives the free places to texts that wait."""
        joined: list[tuple[RunningText, Request]] = []
        while len(self._batch.running) + len(joined) < MAX_BATCH and len(self._queue) < MOST_WAITING:
            if (request := next(self._requests, None)) is None:
                break
            try:
                sampler = self._samplers.of(request.options)
                check_guard(request.options, request.guard)
                if sampler.is_conditional:  # it is many texts by itself
                    self._queue.append(alone(self._engine, self._vocab, request, self._nats))
                    continue
                text = RunningText(self._vocab, request, sampler, is_exact=self._engine.is_exact)
            except CharnetError as error:
                self._queue.append(_refusal(error))
                continue
            self._queue.append(self._chunks(text))
            if not text.ended:
                joined.append((text, request))
        self._batch.join(joined)

    def _chunks(self, text: RunningText) -> Iterator[Chunk]:
        """Yields the chunks of a text; advances the whole batch when none is ready."""
        while True:
            if (chunk := text.take()) is not None:
                yield chunk
            elif text.ended:
                return
            elif self._batch.advance():
                self._join()


def _refusal(error: CharnetError) -> Iterator[Chunk]:
    """Raises an error where the chunks of a text would be read."""
    raise error
    yield


def alone(engine: Engine, vocab: Vocabulary, request: Request, nats: bool) -> Iterator[Chunk]:
    """Writes the text of a request by itself."""
    state, options, number, guard, *_ = request
    yield from generation(engine, vocab, state, options, guard, index=number, nats=nats)
