"""Samples from a model's own distribution, given that the text matches.

To leave out, at each symbol, those with which no text can match writes texts that the model would hardly write: what
was left out is missed only where it is too late. Three ways are true to the model. Rejection: texts are sampled freely,
and the first that matches is kept; each is given up with its first wrong symbol. Where too few match, all texts that
match are weighed, if they are few. Otherwise particles (sequential Monte Carlo; Gordon et al. 1993, for language models
Lew et al. 2023): texts side by side take only symbols that are left, and each has as its weight the probability of what
was left; now and then texts are drawn anew by their weights, so that those go on that the model would have written.
With more particles their distribution comes as near to the model's as one likes; with these few, a beginning that is
much less likely than others, and much more often completed, is drawn too seldom.

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
from charnet.generation.automaton import DEAD
from charnet.generation.particles import PARTICLES, Cloud
from charnet.generation.random_numbers import random_generator
from charnet.generation.sampler import Sampler

MAX_ROWS = 256  # texts side by side
MOST_WEIGHED = 256  # beginnings side by side, and texts
FIRST_ATTEMPTS = (16, 48, 192)  # of the first text, in turn, until enough of them match
ENOUGH = 3  # matches among them: about one in a hundred
MOST_ATTEMPTS = 4096  # of one text, before particles write it
AGAINST_FILTERS = 2.0**-200  # the weight of a step that the filters rule out
U_BLOCK = 32  # random numbers of a text at a time


class Written(NamedTuple):
    """A text: its symbols, the surprisal of each (none unless it was asked for), the share of free texts that match, as
    far as is known, and how it was drawn."""

    ids: tuple[int, ...]
    nats: tuple[float, ...]
    share: float
    way: str


@dataclass
class _Row:
    """An attempt at a text."""

    index: int
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
        state: the engine's, before it reads the symbol `last`.
        num_sampled: how many random numbers the text before has used.
        nats: whether to compute the surprisal of each symbol.
    """

    def __init__(
        self,
        engine: Engine,
        sampler: Sampler,
        options: SamplingOptions,
        state: Any,
        last: int,
        *,
        recent: Sequence[int] = (),
        num_sampled: int = 0,
        nats: bool = False,
    ) -> None:
        assert sampler.constraint is not None
        self._engine, self._sampler, self._options, self._nats = engine, sampler, options, nats
        self._pattern, self._barriers = sampler.constraint.automaton, sampler.constraint.barriers
        self._state, self._last, self._recent, self._num_sampled = state, last, list(recent), num_sampled
        self._tried = self._matched = 0
        self._log_shares: list[float] = []  # one for each text of particles
        self._weighed: list[tuple[_Row, float]] | None = None  # all texts that match, if they are few
        self._first: _Row | None = None  # the first text, if an attempt has matched
        self._rejects: bool | None = None  # unless it is not known yet

    @property
    def share(self) -> float:
        """The share of free texts that match: computed, counted, or estimated by particles."""
        if self._weighed:
            return math.fsum(weight for _, weight in self._weighed)
        if self._log_shares:
            largest = max(self._log_shares)
            return math.exp(largest) * sum(math.exp(s - largest) for s in self._log_shares) / len(self._log_shares)
        return self._matched / self._tried if self._tried else 1.0

    def texts(self, indices: range) -> Iterator[Written]:
        """Writes the texts of these numbers, in turn."""
        if self._rejects is None:
            self._rejects = self._many_match()
            self._weighed = None if self._rejects else self._weigh_all()
        for begin in range(0, len(indices), PARTICLES if self._rejects else 1):
            some = indices[begin : begin + PARTICLES] if self._rejects else indices[begin : begin + 1]
            found = self._by_rejection(some) if self._rejects else {}
            for index in some:
                if row := found.get(index) or (self._first if index == 0 else None):
                    drawn, way = (row.ids, row.nats), "rejection"
                elif self._weighed:
                    drawn, way = self._by_weight(index, self._weighed), "all that match"
                else:
                    drawn, way = self._by_particles(index), "particles"
                yield Written(tuple(drawn[0]), tuple(drawn[1]), self.share, way)

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
        sampler, pattern = self._sampler, self._pattern
        rows = [self._row(index, attempt) for index, attempt in tried]
        state, running, ids_B = select_rows(self._state, [0] * len(rows)), rows, [self._last] * len(rows)
        for position in itertools.count():
            if not running:
                break
            logits_BV, state = self._engine.advance(ids_B, state)
            matched_B = np.array([row.matched for row in running])
            left = sampler.left(pattern, position)
            p_BV, allowed_BV = self._step(logits_BV, matched_B, left, [row.recent for row in running])
            symbols_B = sampling.sample_rows(p_BV, np.array([row.next_u() for row in running]))
            goes_on_B = np.take_along_axis(allowed_BV, symbols_B[:, None], 1)[:, 0]
            nats_B = sampling.surprisal_rows(logits_BV, symbols_B).tolist() if self._nats else ()
            going = []
            for at, (row, symbol, goes_on) in enumerate(
                zip(running, symbols_B.tolist(), goes_on_B.tolist(), strict=True)
            ):
                after = pattern.after(row.matched, symbol)
                if goes_on and not pattern.has_ended(after):
                    row.ids.append(symbol)
                    row.recent.append(symbol)
                    row.nats += nats_B[at : at + 1]
                    row.matched = after
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
        return _Row(index, random, list(self._recent))

    def _random(self, index: int) -> np.random.Generator:
        """Returns the random numbers of a text that is not drawn by attempts."""
        is_exact = self._engine.is_exact
        return random_generator(self._options, index, self._num_sampled, attempt=0, is_exact=is_exact)

    def _weigh_all(self) -> list[tuple[_Row, float]] | None:
        """Returns all texts that match, each with its probability; None if they are many."""
        rows = [(_Row(0, self._random(0), list(self._recent)), 1.0)]
        state, ids_B, ended = self._state, [self._last], list[tuple[_Row, float]]()
        while rows and len(rows) + len(ended) <= MOST_WEIGHED:
            logits_BV, state = self._engine.advance(ids_B, state)
            matched_B = np.array([row.matched for row, _ in rows])
            left = self._sampler.left(self._pattern, len(rows[0][0].ids))
            p_BV, allowed_BV = self._step(logits_BV, matched_B, left, [row.recent for row, _ in rows])
            shares_BV = p_BV / p_BV.cumsum(1)[:, -1:]
            if np.count_nonzero(allowed_BV & (shares_BV > 0)) > MOST_WEIGHED:
                return None
            longer, begun = list[tuple[_Row, float]](), list[int]()
            for at, (row, weight) in enumerate(rows):
                goes_on_V = allowed_BV[at] & (shares_BV[at] > 0)
                ends = math.fsum(shares_BV[at][~allowed_BV[at]]) if self._pattern.may_end(row.matched) else 0.0
                for symbol in np.flatnonzero(goes_on_V).tolist():
                    matched = self._pattern.after(row.matched, symbol)
                    if self._pattern.has_ended(matched):
                        ends += float(shares_BV[at, symbol])
                        continue
                    nats = [sampling.surprisal(logits_BV[at], symbol)] if self._nats else []
                    text = _Row(0, row.random, [*row.recent, symbol], matched, [*row.ids, symbol], row.nats + nats)
                    longer.append((text, weight * float(shares_BV[at, symbol])))
                    begun.append(at)
                ended += [(row, weight * ends)] if ends else []
            rows, state, ids_B = longer, select_rows(state, begun), [row.ids[-1] for row, _ in longer]
        return None if rows or not any(weight for _, weight in ended) else ended

    def _by_weight(self, index: int, weighed: Sequence[tuple[_Row, float]]) -> tuple[list[int], list[float]]:
        """Draws one of all texts that match."""
        weights = np.array([weight for _, weight in weighed])
        row, _ = weighed[sampling.sample(weights, float(self._random(index).random()))]
        return row.ids, row.nats

    def _by_particles(self, index: int) -> tuple[list[int], list[float]]:
        """Writes a text by particles, and draws one of them by its weight in the end.

        Particles are compared where they have come equally far: without barriers after each symbol, otherwise when all
        are at the same barrier, as those that have paid for a fixed text would lose against those that have it before
        them.
        """
        cloud = Cloud(self._state, self._last, self._recent, self._random(index))
        for barrier in (*self._barriers, -1):
            while (
                rows := np.flatnonzero(cloud.is_running_N & (self._pattern.fewest_S[cloud.matched_N] > barrier))
            ).size:
                self._take_step(cloud, rows)
                if not self._barriers:
                    cloud.resample_if_needed()
            cloud.resample_if_needed()
        chosen = sampling.sample(cloud.weights_N, float(cloud.random.random()))
        self._log_shares.append(cloud.log_share())
        return cloud.ids[chosen], cloud.nats[chosen]

    def _take_step(self, cloud: Cloud, rows: npt.NDArray[np.integer]) -> None:
        """Samples the next symbol of some particles, or their end."""
        pattern, sampler = self._pattern, self._sampler
        logits_BV, state = self._engine.advance(cloud.last_N[rows].tolist(), select_rows(cloud.state, rows.tolist()))
        matched_B = cloud.matched_N[rows]
        left_B = sampler.left(pattern, 0) - cloud.length_N[rows]
        recent = [cloud.recent(row, sampler.num_recent) for row in rows.tolist()] if sampler.uses_history else ()
        p_BV, allowed_BV = self._step(logits_BV, matched_B, left_B[:, None], recent)
        may_end_B = pattern.fewest_S[matched_B] == 0
        kept_BV = np.where(allowed_BV | may_end_B[:, None], p_BV, 0.0)
        shares_B = kept_BV.cumsum(1)[:, -1] / p_BV.cumsum(1)[:, -1]
        if (lost_B := shares_B == 0).any():  # the filters leave nothing that matches
            adjusted_BV = sampler.adjusted_rows(logits_BV, 0, recent)
            only_BV = np.where(allowed_BV[lost_B], adjusted_BV[lost_B], -np.inf)
            kept_BV[lost_B] = sampling.softmax(only_BV, self._options.temperature, is_exact=self._engine.is_exact)
            shares_B[lost_B] = AGAINST_FILTERS
        symbols_B = sampling.sample_rows(kept_BV, cloud.random.random(PARTICLES)[rows])
        after_B = pattern.next_SC[matched_B, pattern.class_V[symbols_B]]
        goes_on_B = np.take_along_axis(allowed_BV, symbols_B[:, None], 1)[:, 0] & ~pattern.has_ended(after_B)
        nats_B = sampling.surprisal_rows(logits_BV, symbols_B).tolist() if self._nats else ()
        cloud.weigh(rows, shares_B)
        cloud.is_running_N[rows] = goes_on_B
        for at in np.flatnonzero(goes_on_B).tolist():
            cloud.add(int(rows[at]), int(symbols_B[at]), nats_B[at : at + 1])
        on = rows[goes_on_B]
        cloud.state = put_rows(cloud.state, on.tolist(), select_rows(state, np.flatnonzero(goes_on_B).tolist()))
        cloud.matched_N[on] = after_B[goes_on_B]

    def _step(
        self,
        logits_BV: sampling.Floats,
        matched_B: npt.NDArray[np.integer],
        left: int | npt.NDArray[np.integer],
        recent: Sequence[Sequence[int]],
    ) -> tuple[sampling.Probabilities, npt.NDArray[np.bool_]]:
        """Returns the probabilities of free texts (B, V), and the symbols with which they can go on (B, V)."""
        adjusted_BV = self._sampler.adjusted_rows(logits_BV, 0, recent)
        p_BV = self._sampler.probabilities(adjusted_BV, self._options.temperature)
        return p_BV, self._pattern.allowed(matched_B, left)
