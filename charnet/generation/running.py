"""A batch of texts that are computed side by side, each with its own prompt, options, position and random numbers.

A text that still reads its prompt and one that is written take the same step. Texts join and leave between two calls of
`advance`: a state is a value, so that is a concatenation and an index.

Shape legend: B texts, T symbols of each, V characters in the alphabet.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine, select_rows
from charnet.errors import CharnetError
from charnet.generation.automaton import DEAD
from charnet.generation.copy_guard import CopyGuard, NothingLeftError
from charnet.generation.detokenizer import Chunk, detokenizer_of
from charnet.generation.generate import Generation, GenerationState
from charnet.generation.pace import paced
from charnet.generation.random_numbers import random_generator
from charnet.generation.rows import Alternatives, alternatives, sample_rows
from charnet.generation.sampler import END, Sampler

TO_SAMPLE = -2  # in place of a symbol
MAX_STEPS = 64  # symbols that each text gets in one call
SECONDS_PER_BLOCK = 0.1  # the reader of a text waits for all steps of a call


class Request(NamedTuple):
    """A text to write: what it continues, how, the number of its text among those of the same seed, and the guard that
    `max_copy` needs. Of each symbol that is written the `likely` most likely ones are kept too,
    unless that is None; if it `scores`, also of those that are given."""

    state: GenerationState
    options: SamplingOptions
    number: int = 0
    guard: CopyGuard | None = None
    likely: int | None = None
    scores: bool = False


class RunningText:
    """One text of a batch: its random numbers, and its chunks that have not been yielded yet.

    `first` is the symbol that the engine reads next, and `unread` what it reads after that before the text is written.
    `position` counts the symbols that were sampled; `matched` is the state of the pattern after them. `alternatives`
    are those of the symbols that were sampled, if they were asked for.
    """

    def __init__(self, vocab: Vocabulary, request: Request, sampler: Sampler, *, is_exact: bool) -> None:
        self._ready = deque[Chunk]()
        self.sampler, self._length = sampler, request.options.length
        state, options, number, guard, self.likely, self.scores = request
        self.alternatives: list[Alternatives] = []
        self._random = random_generator(options, number, state.num_sampled, is_exact=is_exact).random
        self._drawn: npt.NDArray[np.float64] = np.empty(0)  # and not used yet
        self.recent = deque(state.recent, maxlen=sampler.num_recent)
        self._detokenizer = detokenizer_of(vocab, options)
        self.first, *unread = state.pending or (vocab.start_id(),)
        self.unread = deque(unread)
        self.position = self.matched = 0
        self._copying = guard.written(state) if options.max_copy and guard is not None else None
        self._error: CharnetError | None = None

    @classmethod
    def after(
        cls, generation: Generation, vocab: Vocabulary, request: Request, sampler: Sampler, *, is_exact: bool
    ) -> RunningText:
        """Goes on with a text that was written by itself up to the state of a request."""
        text = cls(vocab, request, sampler, is_exact=is_exact)
        text._detokenizer, text.position, text.matched = generation.detokenizer, generation.position, generation.matched
        return text

    @property
    def ended(self) -> bool:
        return self._detokenizer.ended and not (self.scores and self.unread)

    @property
    def steps_left(self) -> int:
        is_over = self._detokenizer.ended  # at once, for a text of no symbols whose prompt is scored
        return len(self.unread) + (0 if is_over else max(1, self._length - self.position))  # 1: to complete a cluster

    def given(self, num_steps: int) -> list[int]:
        """Takes from what is unread what the engine reads in some steps."""
        return [self.unread.popleft() for _ in range(min(num_steps, len(self.unread)))]

    def numbers(self, count: int) -> npt.NDArray[np.float64]:
        """Draws the random numbers of some symbols."""
        drawn, self._drawn = self._drawn[:count], self._drawn[count:]
        return np.concatenate([drawn, self._random(count - len(drawn))]) if len(drawn) < count else drawn

    def put_back(self, given: Sequence[int], numbers: npt.NDArray[np.float64]) -> None:
        """Takes back what was taken for steps that were not made."""
        self.unread.extendleft(reversed(given))
        self._drawn = np.concatenate([numbers, self._drawn])

    def feed(self, ids: Sequence[int], nats: Sequence[float]) -> None:
        """Takes the next symbols of the text, up to its end."""
        self.position += len(ids)
        if END in ids:
            ids, nats = ids[: ids.index(END)], nats[: ids.index(END)]
            self._ready.append(self._detokenizer.feed(ids, nats))
            self._error = None if self.ended else self._error  # a text that has ended before could go on no further
            self._detokenizer.end()
        elif ids:
            self._ready.append(self._detokenizer.feed(ids, nats))
        if self.ended:
            self._ready.append(self._detokenizer.finish()._replace(facts=self._facts()))

    def _facts(self) -> tuple[tuple[str, Any], ...]:
        """Returns what is known of the text when it has ended."""
        if self._copying is None:
            return ()
        self._copying.pop(self._detokenizer.surplus)
        return self._copying.facts

    def fail(self, error: CharnetError) -> int:
        """Ends the text with an error, which is raised where it is read."""
        self._error = self._error or error
        return END

    def keep_from_copying(self, symbol: int, logits_V: sampling.Floats, position: int, u: float) -> int:
        """Returns the symbol that was sampled, or another one with which the text does not copy too much."""
        if self._copying is None or self._error or self.matched == DEAD:
            return symbol
        try:
            return self._copying.choose(symbol, self.sampler, logits_V, position, u, self.recent, self.matched)
        except NothingLeftError as error:
            return self.fail(error)

    def follow(self, symbol: int) -> None:
        """Takes note of the next symbol, as far as the sampler has to know it."""
        if pattern := self.sampler.pattern:
            self.matched = DEAD if symbol == END else pattern.after(self.matched, symbol)
        self.recent.append(symbol)

    def take(self) -> Chunk | None:
        """Returns the next chunk that is ready, if there is one.

        Raises:
            CharnetError: the text has failed, and all chunks before were taken.
        """
        if self._ready:
            return self._ready.popleft()
        if self.ended and self._error is not None:
            raise self._error
        return None


class Batch:
    """Texts that are computed together.

    Args:
        nats: whether to compute the surprisal of each character.
    """

    def __init__(self, engine: Engine, vocab: Vocabulary, *, nats: bool = False) -> None:
        self.engine, self._vocab, self._nats = engine, vocab, nats
        self.running: list[RunningText] = []
        self._ids_B: Sequence[int] = []
        self._state: Any = None
        self._groups = list[tuple[Sampler, npt.NDArray[np.intp]]]()  # rows that are sampled alike
        self._num_steps = 1

    def join(self, texts: Sequence[tuple[RunningText, Request]]) -> None:
        """Adds texts that have not ended."""
        if texts:
            states = [self._state] if self.running else []
            self._state = _concatenate([*states, *(request.state.state for _, request in texts)])
            self._ids_B = [*self._ids_B, *(text.first for text, _ in texts)]
            self.running = self.running + [text for text, _ in texts]
            self._group()

    def move(self, rows: Sequence[int], to: Batch) -> None:
        """Moves the texts in some rows to another batch of the same engine."""
        if rows:
            states = [to._state] if to.running else []
            to._state = _concatenate([*states, select_rows(self._state, rows)])
            to._ids_B = [*to._ids_B, *(self._ids_B[row] for row in rows)]
            to.running = to.running + [self.running[row] for row in rows]
            to._group()
            self.keep([row for row in range(len(self.running)) if row not in set(rows)])

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all texts but those in some rows."""
        if len(rows) < len(self.running):
            self.running = [self.running[row] for row in rows]
            self._ids_B = [self._ids_B[row] for row in rows]
            self._state = select_rows(self._state, rows)
            self._group()

    def _group(self) -> None:
        """Finds the rows that are sampled alike. Where the temperature changes they have to be at the same position."""
        groups: dict[tuple[int, int], list[int]] = {}
        for row, text in enumerate(self.running):
            at = text.position - len(text.unread) if text.sampler.changes_temperature else 0
            groups.setdefault((id(text.sampler), at), []).append(row)
        self._groups = [(self.running[rows[0]].sampler, np.array(rows)) for rows in groups.values()]

    def advance(self, seconds: float = SECONDS_PER_BLOCK, *, stops: Callable[[], object] = lambda: False) -> bool:
        """Reads or samples the next symbols of each text, and drops the texts that have ended; returns whether some
        have.

        Args:
            seconds: a call takes about so long at most.
            stops: asked after each step; true ends the call.
        """
        began = time.perf_counter()
        num_steps = min(self._num_steps, *(text.steps_left for text in self.running))
        given = [text.given(num_steps) for text in self.running]
        ids_TB, nats_TB = self._sample(num_steps, given, stops)
        columns = zip(self.running, given, ids_TB.T.tolist(), nats_TB.T.tolist(), strict=True)
        for text, read_before, ids, nats in columns:
            text.feed(ids[len(read_before) :], nats[len(read_before) :])
        rows = [row for row, text in enumerate(self.running) if not text.ended]
        has_ended = len(rows) < len(self.running)
        self.keep(rows)
        if len(ids_TB) == num_steps:
            self._num_steps = paced(self._num_steps, time.perf_counter() - began, seconds, MAX_STEPS)
        return has_ended

    def _sample(
        self, num_steps: int, given: Sequence[Sequence[int]], stops: Callable[[], object]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Takes steps with all texts.

        Args:
            given: the symbols of each text with which its steps begin; the others are sampled.
            stops: asked after each step; true ends them.

        Returns:
            The symbols (T, B) and the nats of those that were sampled, (0, B) without `nats`.
        """
        texts, batch = self.running, len(self.running)
        ids_TB, u_TB = np.full((num_steps, batch), TO_SAMPLE), np.zeros((num_steps, batch))
        nats_TB = np.empty((num_steps if self._nats else 0, batch))
        for row, (text, ids) in enumerate(zip(texts, given, strict=True)):
            ids_TB[: len(ids), row] = ids
            u_TB[len(ids) :, row] = text.numbers(num_steps - len(ids))
        positions_B = np.array([text.position - len(ids) for text, ids in zip(texts, given, strict=True)])
        for t in range(num_steps):
            logits_BV, self._state = self.engine.advance(self._ids_B, self._state)
            is_sampled_B = ids_TB[t] == TO_SAMPLE
            for sampler, group in self._groups:
                rows = group[is_sampled_B[group]]
                if len(rows):
                    of_rows = logits_BV if len(rows) == batch else logits_BV[rows]
                    some = texts if len(rows) == batch else [texts[row] for row in rows]
                    ids_TB[t, rows] = sample_rows(sampler, some, of_rows, positions_B[rows] + t, u_TB[t, rows])
            for row, text in enumerate(texts):
                if text.likely is not None and (is_sampled_B[row] or text.scores) and ids_TB[t, row] != END:
                    text.alternatives.append(alternatives(logits_BV[row], int(ids_TB[t, row]), text.likely))
            if self._nats:
                nats_TB[t] = sampling.surprisal_rows(logits_BV, ids_TB[t])
            self._ids_B = np.maximum(ids_TB[t], 0).tolist()  # of a text that has ended it reads anything
            if (made := t + 1) < num_steps and stops():
                for row, (text, ids) in enumerate(zip(texts, given, strict=True)):
                    text.put_back(ids[made:], u_TB[max(made, len(ids)) :, row])
                return ids_TB[:made], nats_TB[:made]
        return ids_TB, nats_TB


def _concatenate(states: Sequence[Any]) -> Any:
    """Returns the state of all texts of some states."""
    if isinstance(states[0], tuple):
        return tuple(_concatenate(parts) for parts in zip(*states, strict=True))
    return np.concatenate(states)
