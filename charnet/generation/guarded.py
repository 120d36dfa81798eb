"""Generates one text that does not copy from the learned one, as `copy_guard` says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine
from charnet.generation.copy_guard import CopyGuard, NothingLeftError, check_guard
from charnet.generation.generate import Generation, GenerationState, Sampled
from charnet.generation.random_numbers import random_generator

MAX_STEPS = 64  # symbols in one call of a multi-step engine: what it writes behind a copied run is lost
SOON = 128  # symbols behind a place where another one was chosen in which a call ends where the next one may be
CALL = 6  # twice the symbols that are sampled in the time that a call takes by itself


class GuardedGeneration(Generation):
    """A `Generation` in which no run of N symbols stands in the learned text; the arguments are those of `generation`.

    A call of a multi-step engine writes on as if there were no guard. Where it has copied, the text goes back to before
    that place, and the same random number chooses again. The more often that happens, the shorter are the calls.
    """

    def __init__(
        self,
        engine: Engine,
        vocab: Vocabulary,
        state: GenerationState,
        options: SamplingOptions,
        guard: CopyGuard,
        *,
        index: int = 0,
        nats: bool = True,
    ) -> None:
        super().__init__(engine, vocab, state, options, index=index, nats=nats)
        self._copying = guard.written(state)
        self._index, self._refused = index, frozenset[int]()
        self._last: int | None = None  # the place where another symbol was chosen last

    def _sample(self, logits_V: sampling.Floats, u: float) -> int:
        symbol = super()._sample(logits_V, u)
        return self._copying.choose(
            symbol, self._sampler, logits_V, self.position, u, self._recent, self.matched, self._refused
        )

    def _advance(self) -> Sampled:
        if self._generate is None:
            return self._single_step()
        if self._copying.banned():
            self._last, self._num_steps = self.position, MAX_STEPS
            return self._single_step()
        before = self._engine_state, self._pending, self.matched, self._sampled_before
        since = MAX_STEPS * MAX_STEPS if self._last is None else self.position - self._last
        few = math.isqrt(CALL * since) * (since > SOON)
        self._num_steps = max(1, self._copying.free, min(self._num_steps, MAX_STEPS, few))
        sampled = self._multi_step()
        ids = sampled[0]
        place, refused = self._copying.first_refused(ids), frozenset[int]()
        if place is None:
            self._copying.extend(ids)
            position = self.position + len(ids)
            if self._is_over or not self._copying.is_dead_end(self._sampler, position, self._recent, self.matched):
                return sampled
            self._copying.pop(len(ids))
            place, refused = len(ids) - 1, frozenset(ids[-1:])
        return self._again(before, ids, place, refused)

    def _again(
        self, before: tuple[Any, tuple[int, ...], int, int], ids: Sequence[int], place: int, refused: frozenset[int]
    ) -> Sampled:
        """Samples the symbols of a call again up to a place, and there another one; or before it, if nothing is left.

        Args:
            before: what the text was before the call.
            ids: the symbols.
            refused: may not come at the place, whatever the index says.
        """
        begin = self.position
        while True:
            self._engine_state, self._pending, self.matched, self._sampled_before = before
            self.position, self._is_over = begin, False
            earlier, nats = self._repeat(place)
            self.position, self._refused = begin + place, refused
            try:
                last, last_nats, state = self._single_step()
                return (*earlier, *last), (*nats, *last_nats), state
            except NothingLeftError:
                if not place:
                    raise
                self._copying.pop(place)
                place -= 1
                refused = frozenset([ids[place]])
            finally:
                self.position, self._refused = begin, frozenset()
                self._last, self._num_steps = begin, MAX_STEPS

    def _repeat(self, count: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Samples the first symbols of a call once more."""
        num_sampled = self._sampled_before + self.position
        again = random_generator(self._options, self._index, num_sampled, is_exact=self._engine.is_exact)
        self._random, self._num_steps = again.random, count
        if not count:
            return (), ()
        ids, nats, self._engine_state = self._multi_step()
        self._pending = ids[-1:]
        self._copying.extend(ids)
        return ids, nats

    @property
    def _facts(self) -> tuple[tuple[str, Any], ...]:
        return self._copying.facts

    def _give_back(self, calls: Sequence[Any]) -> tuple[int, ...]:
        self._copying.pop(self.detokenizer.surplus)
        return super()._give_back(calls)


def generation(
    engine: Engine,
    vocab: Vocabulary,
    state: GenerationState,
    options: SamplingOptions,
    guard: CopyGuard | None,
    *,
    index: int = 0,
    nats: bool = True,
) -> Generation:
    """Returns the text that continues a state, guarded if the options ask for that.

    Args:
        guard: needed with `max_copy`.
        index, nats: as for `Generation`.

    Raises:
        ConfigError: as for `Generation`, or the guard is missing.
    """
    check_guard(options, guard)
    if options.max_copy and guard is not None:
        return GuardedGeneration(engine, vocab, state, options, guard, index=index, nats=nats)
    return Generation(engine, vocab, state, options, index=index, nats=nats)
