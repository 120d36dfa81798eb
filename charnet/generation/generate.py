"""Generates one text: a prompt comes in, characters go out, each as soon as it is sampled."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine, MultiStepEngine, Pattern
from charnet.errors import reworded
from charnet.generation.conditional import Conditional, Written
from charnet.generation.detokenizer import Chunk, detokenizer_of
from charnet.generation.pace import paced
from charnet.generation.random_numbers import random_generator
from charnet.generation.sampler import END, Sampler

MAX_STEPS = 4096  # symbols in one call of a multi-step engine
MAX_GIVEN_BACK = 64  # symbols: more are read beyond a sentence only if its marks repeat
SECONDS_PER_CALL = 0.02  # the reader waits for all of a call

Sampled = tuple[tuple[int, ...], tuple[float, ...], Any]  # symbols, their nats, the engine's state before the last one


@dataclass(frozen=True)
class GenerationState:
    """The state after some text. It is a value: a caller may store it and continue from it, as often as it likes, with
    the engine that made it. A text that is continued is the same as one that never stopped.

    `state` is the engine's state after all of the text but `pending`, the symbols that it has still to read.
    `num_sampled` counts the random numbers that were used. `recent` are the last symbols of the text, as many as the
    repetition penalty looks at. The last `written` of them were sampled, with nothing in between that was given.
    `origin` says of which model it is, where that is known.
    """

    state: Any
    pending: tuple[int, ...] = ()
    num_sampled: int = 0
    recent: tuple[int, ...] = ()
    written: int = 0
    origin: str = ""

    def extend(self, ids: Sequence[int]) -> GenerationState:
        """Returns the state after more text, which is given and not sampled.

        A document is begun once: where the start of one is all that was read, a start in the text adds nothing.
        """
        more = tuple(map(int, ids))
        begun = bool(self.pending) and not self.recent and more[:1] == self.pending
        written = 0 if more else self.written
        return replace(self, pending=self.pending + more[begun:], recent=self.recent + more, written=written)


def start(engine: Engine, vocab: Vocabulary, prompt_ids: Sequence[int] = ()) -> GenerationState:
    """Returns the state after a prompt. An empty prompt stands for the start of a line or a document.

    A model of documents reads a prompt as the start of one.
    """
    before = (vocab.start_id(),) if vocab.has_documents else ()
    return GenerationState(engine.start(1), before).extend(prompt_ids)


def read(engine: Engine, state: GenerationState) -> GenerationState:
    """Returns the same state, with all symbols read but the last: several texts can go on from it without reading all
    again."""
    ids, after, none = state.pending[:-1], state.state, np.empty(0)
    if isinstance(engine, MultiStepEngine):
        for at in range(0, len(ids), MAX_STEPS):  # between two calls Ctrl-C is noticed
            _, _, after = engine.generate(ids[at : at + MAX_STEPS], after, none, none, None)
    else:
        for i in ids:
            _, after = engine.advance([i], after)
    return replace(state, state=after, pending=state.pending[-1:])


class _Call(NamedTuple):
    """Symbols that were sampled in one call, and what the engine had read before."""

    engine_state: Any
    pending: tuple[int, ...]
    ids: tuple[int, ...]


class Generation:
    """Generates a text: iterate over it, once, for its chunks.

    `state` is always the state after all that was sampled, also after what a stop criterion cut off, so a text that is
    continued from it does not stop at the same place again. `withheld` is the text that was cut off. Only what was read
    to see where a sentence or a grapheme cluster ends is given back: it is sampled again. `reword` gives the errors on
    the way other words.

    Args:
        state: what to continue.
        options: how to sample; length, temperatures and stop criteria count from here.
        index: which of several texts of the same seed this is; each has its own random numbers.
        nats: whether to compute the surprisal of each character, which may take a tenth of the time.
        written: the symbols, if they are sampled already: those of a text that is true to the model given what it has
            to match.
        sampler: of the options, if there is one already.

    Raises:
        ConfigError: `ban` leaves no character, or a bias is for a character that the model does not know.
    """

    def __init__(
        self,
        engine: Engine,
        vocab: Vocabulary,
        state: GenerationState,
        options: SamplingOptions,
        *,
        index: int = 0,
        nats: bool = True,
        written: Written | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self._index, self._engine, self._vocab, self._options, self._nats = index, engine, vocab, options, nats
        self._sampler = sampler or Sampler(vocab, options, is_exact=engine.is_exact)
        plain = self._sampler.temperature_only
        self._generate = engine.generate if plain and isinstance(engine, MultiStepEngine) else None
        self.reword: Callable[[str], str] = str
        self._num_steps, self.seconds_per_call = 1, SECONDS_PER_CALL  # of the next call of a multi-step engine
        random = random_generator(options, index, state.num_sampled, is_exact=engine.is_exact)
        self._random = random.random
        self._engine_state, self._pending = state.state, state.pending
        self._start, self._sampled_before, self.position = (vocab.start_id(),), state.num_sampled, 0
        self._written_before, self._origin = state.written, state.origin
        self._recent = deque(state.recent, maxlen=self._sampler.num_recent + MAX_GIVEN_BACK)
        self.matched, self._is_over = 0, False
        self._written, self._share = written, None if written is None else written.share
        self.detokenizer = detokenizer_of(vocab, options)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about the options: characters of the pattern that the alphabet lacks."""
        constraint = self._sampler.constraint
        return constraint.automaton.notes if constraint else ()

    @property
    def state(self) -> GenerationState:
        """The state after all that was sampled; when a document has ended, the one before the next document."""
        num_sampled = self._sampled_before + self.position
        if self.document_ended:
            return replace(start(self._engine, self._vocab), num_sampled=num_sampled, origin=self._origin)
        recent, written = tuple(self._recent), min(self._written_before + self.position, len(self._recent))
        return GenerationState(self._engine_state, self._pending, num_sampled, recent, written, self._origin)

    @property
    def document_ended(self) -> bool:
        """Whether a model of documents ended the text, with its document."""
        return self.detokenizer.document_ended

    @property
    def withheld(self) -> str:
        """The text that was sampled and is in no chunk when the text has ended: what a stop criterion cut off."""
        return self.detokenizer.rest()

    def __iter__(self) -> Iterator[Chunk]:
        with reworded(self.reword):
            yield from self._chunks()

    def _chunks(self) -> Iterator[Chunk]:
        detokenizer = self.detokenizer
        calls = list[_Call]()  # those whose symbols may be given back
        while not detokenizer.ended:
            before, pending = self._engine_state, self._pending
            ids, nats, self._engine_state = self._advance()
            chunk = detokenizer.feed(ids, nats)
            self._pending = ids[-1:]
            if self._is_over:
                self._engine_state, self._pending = before, pending + ids
                detokenizer.end()
            if detokenizer.gives_back or detokenizer.surplus:
                calls.append(_Call(before, pending, ids))
                ids = self._give_back(calls) if detokenizer.surplus else ids
                while calls and sum(len(call.ids) for call in calls[1:]) >= detokenizer.num_uncertain:
                    del calls[0]
            self.position += len(ids)
            self._recent.extend(ids)
            yield chunk
        yield detokenizer.finish()._replace(facts=self._facts)

    @property
    def _facts(self) -> tuple[tuple[str, Any], ...]:
        """What is known of the text when it has ended."""
        return () if self._share is None else (("matching_share", self._share),)

    def _give_back(self, calls: Sequence[_Call]) -> tuple[int, ...]:
        """Goes back to the end of the text within some calls; returns the symbols of the last call that are kept."""
        *earlier, last = (call.ids for call in calls)
        sampled = tuple(i for ids in (*earlier, last) for i in ids)
        kept = sampled[: -self.detokenizer.surplus]
        self._engine_state, self._pending = calls[0].engine_state, calls[0].pending + kept
        dropped = max(0, sum(map(len, earlier)) - len(kept))
        self.position -= dropped
        for _ in range(min(dropped, len(self._recent))):
            self._recent.pop()
        return last[: len(last) - self.detokenizer.surplus + dropped]

    def _advance(self) -> Sampled:
        if self._sampler.is_conditional:
            return self._all_steps()
        return self._multi_step() if self._generate else self._single_step()

    def _single_step(self) -> Sampled:
        """Samples a symbol; returns it, its nats (none without `nats`), and the engine's state before it is read."""
        state = self._engine_state
        for i in self._pending or self._start:
            logits_1V, state = self._engine.advance([i], state)
        logits_V = logits_1V[0]
        symbol = self._sample(logits_V, self._random())
        if pattern := self._sampler.pattern:
            if symbol == END:
                self._end()
                return (), (), self._engine_state
            self.matched = pattern.after(self.matched, symbol)
        return (symbol,), (sampling.surprisal(logits_V, symbol),) if self._nats else (), state

    def _sample(self, logits_V: sampling.Floats, u: float) -> int:
        return self._sampler.sample(logits_V, self.position, u, self._recent, self.matched)

    def _all_steps(self) -> Sampled:
        """Samples a whole text that is true to the model, given what it has to match."""
        before = self.state
        written = self._written or next(
            conditional(self._engine, self._vocab, self._sampler, self._options, before, nats=self._nats).texts(
                range(self._index, self._index + 1)
            )
        )
        self._share = written.share
        self._end()
        return written.ids, written.nats, self._engine_state

    def _end(self) -> None:
        """Ends the text where its pattern does; that took a random number."""
        self._is_over = True
        self._sampled_before += 1

    def _multi_step(self) -> Sampled:
        """Samples like `_single_step`, but several symbols: twice as many as before while that is fast enough."""
        assert self._generate is not None
        o, began = self._options, time.perf_counter()
        num_steps = min(self._num_steps, max(1, o.length - self.position))  # 1: to complete a cluster, or to end
        positions = range(self.position, self.position + num_steps)
        temperatures_T, u_T = np.array([o.temperature_at(t) for t in positions]), self._random(len(positions))
        automaton, pattern = self._sampler.pattern, None
        if automaton is not None:
            tables = (automaton.next_SC, automaton.class_V, automaton.fewest_S)
            pattern = Pattern(*tables, self.matched, self._sampler.left(automaton, self.position))
        ids_T, nats_T, state = self._generate(
            self._pending or self._start, self._engine_state, u_T, temperatures_T, self._sampler.bias_V, pattern
        )
        if automaton is not None:
            for symbol in ids_T.tolist():
                self.matched = automaton.after(self.matched, symbol)
            if automaton.has_ended(self.matched):
                ids_T, nats_T = ids_T[:-1], nats_T[:-1]
                self._end()
            elif len(ids_T) < len(u_T):
                self._end()
        self._num_steps = paced(self._num_steps, time.perf_counter() - began, self.seconds_per_call, MAX_STEPS)
        return tuple(ids_T.tolist()), tuple(nats_T.tolist()) if self._nats else (), state


def conditional(
    engine: Engine,
    vocab: Vocabulary,
    sampler: Sampler,
    options: SamplingOptions,
    state: GenerationState,
    *,
    nats: bool = False,
) -> Conditional:
    """Returns what writes texts after a state that are true to the model, given what they have to match."""
    begun = read(engine, state if state.pending else replace(state, pending=(vocab.start_id(),)))
    recent, num_sampled = state.recent[-sampler.num_recent :], state.num_sampled
    last = begun.pending[0]
    return Conditional(engine, sampler, options, begun.state, last, recent=recent, num_sampled=num_sampled, nats=nats)


def stream(
    engine: Engine, vocab: Vocabulary, prompt_ids: Sequence[int], options: SamplingOptions, *, index: int = 0
) -> Iterator[str]:
    """Continues a prompt, chunk by chunk. The prompt is not repeated.

    Args:
        prompt_ids: what to continue; an empty prompt stands for the start of a line.
        index: which of several texts of the same seed this is; each has its own random numbers.

    Raises:
        ConfigError: `ban` leaves no character, or a bias is for a character that the model does not know.
    """
    generation = Generation(engine, vocab, start(engine, vocab, prompt_ids), options, index=index, nats=False)
    return (chunk.text for chunk in generation)
