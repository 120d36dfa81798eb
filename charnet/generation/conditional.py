"""Samples from a model's own distribution, given that the text matches.

To leave out, at each symbol, those with which no text can match writes texts that the model would hardly write: what
was left out is missed only where it is too late. Two ways are true to the model. Rejection: texts are sampled freely,
and the first that matches is kept; each is given up with its first wrong symbol. Where too few match, particles
(sequential Monte Carlo; Gordon et al. 1993, for language models Lew et al. 2023): texts side by side take only symbols
that are left, and each has as its weight the probability of what was left; now and then texts are drawn anew by their
weights, so that those go on that the model would have written. With more particles their distribution comes as near to
the model's as one likes.

A free text ends with the first symbol that cannot go on in the pattern; it matches if it may end there.

Shape legend: B texts side by side, N particles, T symbols, V characters in the alphabet.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.config import SamplingOptions
from charnet.engines import sampling
from charnet.engines.base import Engine, put_rows, select_rows
from charnet.generation.automaton import DEAD, Automaton
from charnet.generation.random_numbers import random_generator
from charnet.generation.sampler import Sampler

PARTICLES = 64
MAX_ROWS = 256  # texts side by side
FIRST_ATTEMPTS = (16, 48, 192)  # of the first text, in turn, until enough of them match
ENOUGH = 3  # matches among them: about one in a hundred
MOST_ATTEMPTS = 4096  # of one text, before particles write it
AGAINST_FILTERS = 2.0**-200  # the weight of a step that the filters rule out
U_BLOCK = 32  # random numbers of a text at a time


class Written(NamedTuple):
    """A text: its symbols, the surprisal of each (none unless it was asked for), and the share of free texts that
    match, as far as is known."""

    ids: tuple[int, ...]
    nats: tuple[float, ...]
    share: float


@dataclass
class _Row:
    """An attempt at a text."""

    index: int
    attempt: int
    random: np.random.Generator
    recent: list[int]
    matched: int = 0
    ids: list[int] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)
    u: list[float] = field(default_factory=list)

    def next_u(self) -> float:
        if not self.u:
            self.u = self.random.random(U_BLOCK)[::-1].tolist()
        return self.u.pop()


class Conditional:
    """Writes texts that match, from one state on.

    The i-th text is the same however many are written: to the last bit with an exact engine, otherwise to rounding.

    Args:
        sampler: has the pattern.
        state: the engine's, before the symbols `pending`.
        num_sampled: how many random numbers the text before has used.
        nats: whether to compute the surprisal of each symbol.
    """

    def __init__(
        self,
        engine: Engine,
        sampler: Sampler,
        options: SamplingOptions,
        state: Any,
        pending: Sequence[int],
        *,
        recent: Sequence[int] = (),
        num_sampled: int = 0,
        nats: bool = False,
    ) -> None:
        self._engine, self._sampler, self._options, self._nats = engine, sampler, options, nats
        *before, self._last = pending
        for i in before:
            _, state = engine.advance([i], state)
        self._state, self._recent, self._num_sampled = state, list(recent), num_sampled
        self._tried = self._matched = 0
        self._log_shares: list[float] = []  # one for each text of particles
        self._first: _Row | None = None  # the first text, if an attempt has matched
        self._rejects: bool | None = None  # unless it is not known yet

    @property
    def share(self) -> float:
        """The share of free texts that match: counted, or estimated by particles."""
        if self._log_shares:
            largest = max(self._log_shares)
            return math.exp(largest) * sum(math.exp(s - largest) for s in self._log_shares) / len(self._log_shares)
        return self._matched / self._tried if self._tried else 1.0

    def texts(self, indices: range) -> Iterator[Written]:
        """Writes the texts of these numbers, in turn."""
        if self._rejects is None:
            self._rejects = len(self._sampler.stages) == 1 and self._many_match()
        for begin in range(0, len(indices), PARTICLES if self._rejects else 1):
            some = indices[begin : begin + PARTICLES] if self._rejects else indices[begin : begin + 1]
            found = self._by_rejection(some) if self._rejects else {}
            for index in some:
                row = found.get(index) or (self._first if index == 0 else None)
                ids, nats = (row.ids, row.nats) if row else self._by_particles(index)
                yield Written(tuple(ids), tuple(nats), self.share)

    def _many_match(self) -> bool:
        """Tries to write the first text; returns whether so many attempts match that others may be tried alike."""
        begin, matched = 0, list[_Row]()
        for count in FIRST_ATTEMPTS:
            rows = self._attempts([(0, attempt) for attempt in range(begin, begin + count)])
            matched += [row for row in rows if row.matched != DEAD]
            self._first = self._first or next(iter(matched), None)
            if len(matched) >= ENOUGH:
                return True
            begin += count
        return False

    def _by_rejection(self, indices: Sequence[int]) -> dict[int, _Row]:
        """Returns of each text its first attempt that matches; a text of too many attempts is missing."""
        found = {0: self._first} if 0 in indices and self._first else {}
        begun = dict.fromkeys((i for i in indices if i not in found), 0)
        while begun:
            each = max(1, min(math.ceil(1 / self.share), MAX_ROWS // len(begun)))
            tried = [(i, attempt) for i, begin in begun.items() for attempt in range(begin, begin + each)]
            for row in self._attempts(tried):
                if row.matched != DEAD:
                    found.setdefault(row.index, row)
            begun = {i: begin + each for i, begin in begun.items() if i not in found and begin < MOST_ATTEMPTS}
        return found

    def _attempts(self, tried: Sequence[tuple[int, int]]) -> list[_Row]:
        """Samples freely, until each attempt matches or is dead."""
        sampler, (pattern,) = self._sampler, self._sampler.stages
        rows = [self._row(index, attempt) for index, attempt in tried]
        state, running, ids_B = select_rows(self._state, [0] * len(rows)), rows, [self._last] * len(rows)
        for position in itertools.count():
            if not running:
                break
            logits_BV, state = self._engine.advance(ids_B, state)
            matched_B = np.array([row.matched for row in running])
            adjusted_BV = sampler.adjusted_rows(logits_BV, position, [row.recent for row in running])
            p_BV = sampler.probabilities(adjusted_BV, self._options.temperature)
            symbols_B = sampling.sample_rows(p_BV, np.array([row.next_u() for row in running]))
            allowed_BV = pattern.allowed(matched_B, sampler.left(pattern, position))
            goes_on_B = np.take_along_axis(allowed_BV, symbols_B[:, None], 1)[:, 0]
            nats_B = sampling.surprisal_rows(logits_BV, symbols_B).tolist() if self._nats else ()
            going = []
            for at, (row, symbol, goes_on) in enumerate(
                zip(running, symbols_B.tolist(), goes_on_B.tolist(), strict=True)
            ):
                if goes_on and symbol != pattern.end:
                    row.ids.append(symbol)
                    row.recent.append(symbol)
                    row.nats += nats_B[at : at + 1]
                    row.matched = pattern.after(row.matched, symbol)
                    going.append(at)
                elif not (goes_on or pattern.may_end(row.matched)):
                    row.matched = DEAD
            if len(going) < len(running):
                running, state = [running[at] for at in going], select_rows(state, going)
            ids_B = [row.ids[-1] for row in running]
        self._tried += len(rows)
        self._matched += sum(row.matched != DEAD for row in rows)
        return rows

    def _row(self, index: int, attempt: int) -> _Row:
        is_exact, before = self._engine.is_exact, self._num_sampled
        random = random_generator(self._options, index, before, attempt=1 + attempt, is_exact=is_exact)
        return _Row(index, attempt, random, list(self._recent))

    def _by_particles(self, index: int) -> tuple[Sequence[int], Sequence[float]]:
        """Writes a text by particles: stage by stage, and in the end one of them by its weight."""
        is_exact, stages = self._engine.is_exact, self._sampler.stages
        random = random_generator(self._options, index, self._num_sampled, attempt=0, is_exact=is_exact)
        cloud = _Cloud(self._state, self._last, self._recent, random)
        after = list(itertools.accumulate((int(stage.fewest_S[0]) for stage in reversed(stages)), initial=0))[::-1]
        for stage, reserve in zip(stages, after[1:], strict=True):
            self._run(cloud, stage, reserve, by_time=len(stages) == 1)
            cloud.resample_if_needed()
        chosen = sampling.sample(cloud.weights_N, float(random.random()))
        self._log_shares.append(cloud.log_share())
        return cloud.ids[chosen], cloud.nats[chosen]

    def _run(self, cloud: _Cloud, pattern: Automaton, reserve: int, *, by_time: bool) -> None:
        """Lets every particle write what one pattern describes.

        Particles are compared where they have come equally far: with `by_time` after each symbol, otherwise when all
        are at the end, as those that have paid for a fixed text would lose against those that have it before them.

        Args:
            reserve: the fewest symbols of all later patterns.
        """
        o, sampler = self._options, self._sampler
        cloud.matched_N[:] = 0
        cloud.is_running_N[:] = True
        while cloud.is_running_N.any():
            rows = np.flatnonzero(cloud.is_running_N)
            logits_BV, state = self._engine.advance(
                cloud.last_N[rows].tolist(), select_rows(cloud.state, rows.tolist())
            )
            matched_B = cloud.matched_N[rows]
            left_B = sampler.left(pattern, reserve) - cloud.length_N[rows]
            recent = [cloud.recent(row, sampler.num_recent) for row in rows.tolist()] if sampler.uses_history else ()
            adjusted_BV = sampler.adjusted_rows(logits_BV, 0, recent)
            p_BV = sampler.probabilities(adjusted_BV, o.temperature)
            allowed_BV = pattern.allowed(matched_B, left_B[:, None])
            may_end_B = pattern.fewest_S[matched_B] == 0
            kept_BV = np.where(allowed_BV | may_end_B[:, None], p_BV, 0.0)
            shares_B = kept_BV.cumsum(1)[:, -1] / p_BV.cumsum(1)[:, -1]
            if (lost_B := shares_B == 0).any():  # the filters leave nothing that matches
                only_BV = np.where(allowed_BV[lost_B], adjusted_BV[lost_B], -np.inf)
                kept_BV[lost_B] = sampling.softmax(only_BV, o.temperature, is_exact=self._engine.is_exact)
                shares_B[lost_B] = AGAINST_FILTERS
            symbols_B = sampling.sample_rows(kept_BV, cloud.random.random(PARTICLES)[rows])
            goes_on_B = np.take_along_axis(allowed_BV, symbols_B[:, None], 1)[:, 0] & (symbols_B != pattern.end)
            nats_B = sampling.surprisal_rows(logits_BV, symbols_B).tolist() if self._nats else ()
            cloud.weigh(rows, shares_B)
            cloud.is_running_N[rows] = goes_on_B
            for at in np.flatnonzero(goes_on_B).tolist():
                cloud.add(int(rows[at]), int(symbols_B[at]), nats_B[at : at + 1])
            on = rows[goes_on_B]  # the others have read no symbol: the next stage asks for the same one
            cloud.state = put_rows(cloud.state, on.tolist(), select_rows(state, np.flatnonzero(goes_on_B).tolist()))
            cloud.matched_N[on] = pattern.next_SC[cloud.matched_N[on], pattern.class_V[cloud.last_N[on]]]
            if by_time:
                cloud.resample_if_needed()


class _Cloud:
    """Particles: texts side by side with weights. Those that have ended keep theirs."""

    def __init__(self, state: Any, last: int, recent: Sequence[int], random: np.random.Generator) -> None:
        self.state, self.random, self._before = select_rows(state, [0] * PARTICLES), random, list(recent)
        self.ids: list[list[int]] = [[] for _ in range(PARTICLES)]
        self.nats: list[list[float]] = [[] for _ in range(PARTICLES)]
        self.last_N, self.length_N = np.full(PARTICLES, last), np.zeros(PARTICLES, np.int64)
        self.matched_N, self.is_running_N = np.zeros(PARTICLES, np.int64), np.ones(PARTICLES, bool)
        self.weights_N = np.ones(PARTICLES)
        self._log_share = 0.0

    def recent(self, row: int, count: int) -> list[int]:
        """Returns the last symbols of a particle."""
        ids = self.ids[row]
        return ids[-count:] if len(ids) >= count else self._before + ids

    def add(self, row: int, symbol: int, nats: Sequence[float]) -> None:
        self.ids[row].append(symbol)
        self.nats[row] += nats
        self.last_N[row] = symbol
        self.length_N[row] += 1

    def weigh(self, rows: npt.NDArray[np.integer], shares_B: npt.NDArray[np.float64]) -> None:
        """Multiplies the weights of some particles. The largest of all becomes 1: small numbers would be lost."""
        self.weights_N[rows] *= shares_B
        largest = float(self.weights_N.max())
        self.weights_N /= largest
        self._log_share += math.log(largest)

    def log_share(self) -> float:
        """Estimates the logarithm of the share of free texts that match."""
        return self._log_share + math.log(float(self.weights_N.mean()))

    def resample_if_needed(self) -> None:
        """Draws particles anew by their weights, where these are worth fewer than half as many equal ones (Kong 1994);
        systematically (Kitagawa 1996). Sums are in the order of the particles, so that they are the same everywhere."""
        ends_N = self.weights_N.cumsum()
        if ends_N[-1] ** 2 >= PARTICLES / 2 * (self.weights_N**2).cumsum()[-1]:
            return
        self._log_share = self.log_share()
        places_N = (np.arange(PARTICLES) + self.random.random()) * (ends_N[-1] / PARTICLES)
        drawn = np.minimum(ends_N.searchsorted(places_N, side="right"), PARTICLES - 1)
        self.state = select_rows(self.state, drawn.tolist())
        self.ids, self.nats = ([list(each[row]) for row in drawn] for each in (self.ids, self.nats))
        self.last_N, self.length_N = self.last_N[drawn], self.length_N[drawn]
        self.matched_N, self.is_running_N = self.matched_N[drawn], self.is_running_N[drawn]
        self.weights_N = np.ones(PARTICLES)
