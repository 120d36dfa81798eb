"""Writing text: prompt in, characters out, each as soon as it is drawn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from charnet.data.utf8 import LONGEST_UTF8
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine, MultiStepEngine
from charnet.generation import stopping
from charnet.generation.detokenizer import Chunk, Detokenizer
from charnet.generation.sampler import Options, Sampler

__all__ = ["Generation", "GenerationState", "Options", "random_generator", "start", "stream"]

LARGEST_BURST = 4096  # symbols asked of an engine at once
SECONDS_A_BURST = 0.02  # a burst that took longer is not made larger: the reader waits for all of it


@dataclass(frozen=True)
class GenerationState:
    """A place in a text. It is a value: it may be kept, gone back to and continued, as often as wanted, by the engine
    that made it; what is written from it is what would have come without the stop.

    `state` is the engine's after all of the text but `unread`, the symbols that it has still to read. `drawn` counts
    the random numbers that were used. `recent` are the last symbols of the text, as many as a penalty looks back.
    """

    state: Any
    pending: tuple[int, ...] = ()
    num_sampled: int = 0
    recent: tuple[int, ...] = ()

    def extend(self, ids: Sequence[int]) -> GenerationState:
        """The place after more text, which is not drawn but given."""
        more = tuple(map(int, ids))
        return replace(self, pending=self.pending + more, recent=self.recent + more)


def start(engine: Engine, prompt_ids: Sequence[int] = ()) -> GenerationState:
    """The place after a prompt; nothing stands for the start of a line."""
    return GenerationState(engine.start(1)).extend(prompt_ids)


def random_generator(options: Options, index: int, num_sampled: int = 0) -> np.random.Generator:
    """The random numbers of a text, from the one after `drawn` others: each symbol takes one."""
    bits = np.random.PCG64(np.random.SeedSequence(options.seed, spawn_key=(index,)))
    return np.random.Generator(bits.advance(num_sampled))


class Generation:
    """A text as it is written: iterate for its pieces, once.

    `position` is at any time the place after all that was drawn: also after what an ending cut off, so that going on
    from there never ends at the same place again. `unshown` is that text.

    Args:
        position: what to continue.
        options: how; length, temperatures and endings count from here.
        index: which of several texts of the same seed this is; each has its own random numbers.
        nats: whether to say of each character how unexpected it was, which may take a tenth of the time.

    Raises:
        ConfigError: `ban` leaves nothing to write, or a bias is for a character that the model does not know.
    """

    def __init__(
        self,
        engine: Engine,
        vocab: Vocabulary,
        position: GenerationState,
        options: Options,
        *,
        index: int = 0,
        nats: bool = True,
    ) -> None:
        self._engine, self._options, self._nats = engine, options, nats
        self._choice = Sampler(vocab, options)
        self._write = engine.generate if isinstance(engine, MultiStepEngine) and self._choice.temperature_only else None
        self._size = 1  # of the next burst
        self._random = random_generator(options, index, position.num_sampled).random
        self._state, self._unread = position.state, position.pending
        self._start, self._before, self._place = (vocab.start_id(),), position.num_sampled, 0
        self._recent = deque(position.recent, maxlen=max(LONGEST_UTF8, options.repetition_window))
        self._transcript = Detokenizer(vocab, stopping.stop_criteria(options.stop, options.max_lines, options.until))

    @property
    def state(self) -> GenerationState:
        """The place after all that was drawn."""
        return GenerationState(self._state, self._unread, self._before + self._place, tuple(self._recent))

    @property
    def withheld(self) -> str:
        """What was drawn and is in no piece, when nothing more will be drawn: what an ending cut off."""
        return self._transcript.rest()

    def __iter__(self) -> Iterator[Chunk]:
        length, transcript = self._options.length, self._transcript
        draw = self._burst if self._write else self._one
        while self._place < length and not transcript.ended:
            before, read = self._state, self._unread
            ids, nats, self._state = draw()
            piece = transcript.take(ids, nats)
            self._unread = ids[-1:]
            if transcript.surplus:  # the text ended within the burst: its state is that before, with more to be read
                ids = ids[: -transcript.surplus]
                self._state, self._unread = before, read + ids
            self._place += len(ids)
            self._recent.extend(ids)
            yield piece
        yield transcript.finish()

    def _one(self) -> tuple[tuple[int, ...], tuple[float, ...], Any]:
        """The next symbol, its nats (none if nobody asked), and the state before it is read."""
        state = self._state
        for i in self._unread or self._start:
            logits_1V, state = self._engine.advance([i], state)
        logits_V = logits_1V[0]
        drawn = self._choice.sample(logits_V, self._place, self._random(), self._recent)
        return (drawn,), (sampling.surprisal(logits_V, drawn),) if self._nats else (), state

    def _burst(self) -> tuple[tuple[int, ...], tuple[float, ...], Any]:
        """As `_one`, but as many symbols of plain text as the engine writes while a reader does not notice."""
        assert self._write is not None
        o, began = self._options, time.perf_counter()
        places = range(self._place, min(self._place + self._size, o.length))
        temperatures_T, u_T = np.array([o.temperature_at(place) for place in places]), self._random(len(places))
        ids_T, nats_T, state = self._write(
            self._unread or self._start, self._state, u_T, temperatures_T, self._choice.bias_V
        )
        if time.perf_counter() - began < SECONDS_A_BURST / 2:
            self._size = min(2 * self._size, LARGEST_BURST)
        return tuple(ids_T.tolist()), tuple(nats_T.tolist()) if self._nats else (), state


def stream(
    engine: Engine, vocab: Vocabulary, prompt_ids: Sequence[int], options: Options, *, index: int = 0
) -> Iterator[str]:
    """Continues a prompt, a piece of text at a time; the prompt itself is not repeated.

    Args:
        prompt_ids: what to continue; nothing stands for the start of a line.
        index: which of several texts of the same seed this is; each has its own random numbers.

    Raises:
        ConfigError: `ban` leaves nothing to write, or a bias is for a character that the model does not know.
    """
    writing = Generation(engine, vocab, start(engine, prompt_ids), options, index=index, nats=False)
    return (piece.text for piece in writing)
