"""A mixture of models as one engine: its probabilities are the weighted mean of theirs.

The networks of an ensemble have equal weights. An n-gram has a weight of its own, its share.

Shape legend: B texts, V characters in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.engines import exact
from charnet.engines.base import Engine
from charnet.model.ngram import ROOT, Ngram, WeightedNgram

KEPT_BYTES, BYTES_OF_AN_ARRAY = 1 << 25, 256  # of distributions; of each beside its numbers
FEWEST_AT_ONCE = 16  # texts; fewer take their steps one by one


def combine(networks: Iterable[Engine], ngram: WeightedNgram | None = None, *, is_exact: bool = False) -> Engine:
    """Returns one engine that runs all networks of a model, and its n-gram.

    Args:
        is_exact: whether the networks have 8-bit weights, so that the mean is the same on every machine too.
    """
    members = list(networks)
    weights = [1.0] * len(members)
    if ngram is not None:
        weights.append(len(members) * ngram.share / (1 - ngram.share))
        members.append(NgramEngine(ngram.table))
    if len(members) == 1:
        return members[0]
    return (ExactMixtureEngine if is_exact else MixtureEngine)(members, weights)


class MixtureEngine:
    """Runs several engines, one for each model.

    Args:
        members: the engines; the first one gives its name.
        weights: one for each, above 0; only their ratios count.
    """

    is_exact = False

    def __init__(self, members: Sequence[Engine], weights: Sequence[float]) -> None:
        self._members, self.name = members, members[0].name
        self._log_ratios = [np.float32(math.log(weight / weights[0])) for weight in weights]
        self._log_total = np.float32(math.log(sum(weights) / weights[0]))

    def start(self, batch: int) -> tuple[Any, ...]:
        return tuple(member.start(batch) for member in self._members)

    @np.errstate(over="ignore", invalid="ignore")  # a model that has diverged is reported where a symbol is sampled
    def advance(self, ids_B: Sequence[int], state: tuple[Any, ...]) -> tuple[npt.NDArray[np.float32], tuple[Any, ...]]:
        """Returns the logarithms of the mean probabilities, which are logits too, and the states of all members."""
        mean_BV: npt.NDArray[np.float32] | None = None
        after = []
        for member, ratio, before in zip(self._members, self._log_ratios, state, strict=True):
            logits_BV, member_state = member.advance(ids_B, before)
            is_ngram = isinstance(member, NgramEngine)
            log_p_BV = logits_BV if is_ngram else log_probabilities(logits_BV)
            if ratio:
                log_p_BV += ratio
            mean_BV = log_p_BV if mean_BV is None else np.logaddexp(mean_BV, log_p_BV, out=mean_BV)
            after.append(member_state)
        assert mean_BV is not None
        mean_BV -= self._log_total
        return mean_BV, tuple(after)


class ExactMixtureEngine(MixtureEngine):
    """The same by the arithmetic of `charnet.engines.exact`: the logits are multiples of a step."""

    is_exact = True

    def __init__(self, members: Sequence[Engine], weights: Sequence[float]) -> None:
        super().__init__(members, weights)
        self._weights = weights

    def advance(self, ids_B: Sequence[int], state: tuple[Any, ...]) -> tuple[npt.NDArray[np.float32], tuple[Any, ...]]:
        mean_BV: Any = 0.0
        after = []
        for member, weight, before in zip(self._members, self._weights, state, strict=True):
            if isinstance(member, NgramEngine):
                of_ngram_BV, member_state = member.probabilities(ids_B, before)
                p_BV = of_ngram_BV.astype(np.float64)
            else:
                logits_BV, member_state = member.advance(ids_B, before)
                p_BV = exact.probabilities(logits_BV)
            p_BV *= weight
            mean_BV = mean_BV + p_BV
            after.append(member_state)
        return exact.log(mean_BV / sum(self._weights)), tuple(after)


class NgramEngine:
    """Gives the logarithms of an n-gram's probabilities. The state (B) is the number of an entry of its table.

    The distribution of a state is that of its link, changed in a few places, and texts come back to the same states all
    the time: distributions are kept.
    """

    name, is_exact = "n-gram", True

    def __init__(self, table: Ngram) -> None:
        self._table = table
        self._kept: dict[int, npt.NDArray[np.float32]] = {}
        self._most_kept = KEPT_BYTES // (table.base_V.nbytes + BYTES_OF_AN_ARRAY)

    def start(self, batch: int) -> npt.NDArray[np.int64]:
        return np.full(batch, ROOT, np.int64)

    def advance(
        self, ids_B: Sequence[int], state: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        p_BV, after = self.probabilities(ids_B, state)
        return np.log(p_BV), after

    def probabilities(
        self, ids_B: Sequence[int], state: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Returns the probabilities (B, V) of the next character, and the new state."""
        if len(ids_B) < FEWEST_AT_ONCE:
            after = np.array([self._step(node, i) for node, i in zip(state.tolist(), ids_B, strict=True)], np.int64)
        else:
            after = self._table.step(state, np.asarray(ids_B, np.int64))
        return np.array([self._distribution(node) for node in after.tolist()]), after

    def _step(self, node: int, symbol: int) -> int:
        """Returns the state of one text after one more character, as `Ngram.step` does."""
        table = self._table
        while node:
            begin, end = table.first[node], table.first[node + 1]
            at = begin + table.symbols[begin:end].searchsorted(symbol)
            if at < end and table.symbols[at] == symbol:
                return int(at) if at < len(table.backoff) else int(table.link[at])
            node = table.link[node]
        return 1 + symbol

    def _distribution(self, node: int) -> npt.NDArray[np.float32]:
        """Returns the distribution (V) of the next character in a state, to be read only."""
        if not node:
            return self._table.base_V
        if (kept_V := self._kept.get(node)) is not None:
            return kept_V
        p_V = self._table.distribution(node, self._distribution(int(self._table.link[node])))
        if len(self._kept) >= self._most_kept:
            self._kept.clear()
        self._kept[node] = p_V
        return p_V


def log_probabilities(logits_BV: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Computes the logarithm of the softmax of each row; returns a new array.

    >>> log_probabilities(np.array([[1000.0, 1000.0]], np.float32)).round(3).tolist()
    [[-0.6930000185966492, -0.6930000185966492]]
    """
    shifted_BV: npt.NDArray[np.float32] = logits_BV - logits_BV.max(axis=1, keepdims=True)
    shifted_BV -= np.log(np.exp(shifted_BV).sum(axis=1, keepdims=True))
    return shifted_BV
