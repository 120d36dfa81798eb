"""A mixture of models as one engine: its probabilities are the weighted mean of theirs.

The networks of an ensemble have equal weights. An n-gram has a weight of its own, its share.

Shape legend: B texts, V characters in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.engines import exact
from charnet.engines.base import Engine
from charnet.model.ngram import ROOT, Ngram, WeightedNgram

KEPT_BYTES, BYTES_OF_AN_ARRAY = 1 << 25, 256  # of distributions; of each beside its numbers
FEWEST_AT_ONCE = 16  # texts; fewer take their steps one by one


def combine(
    networks: Iterable[Engine],
    ngram: WeightedNgram | None = None,
    *,
    is_exact: bool = False,
    ngram_engine: Callable[[Ngram], NgramEngine] | None = None,
) -> Engine:
    """Returns one engine that runs all networks of a model, and its n-gram.

    Args:
        is_exact: whether the networks have 8-bit weights, so that the mean is the same on every machine too.
        ngram_engine: opens the engine of the n-gram; by default that of NumPy.
    """
    members = list(networks)
    if len(members) == 1 and ngram is None:
        return members[0]
    of_ngram = None if ngram is None else (ngram_engine or NgramEngine)(ngram.table)
    return (ExactMixtureEngine if is_exact else MixtureEngine)(members, of_ngram, ngram.share if ngram else 0.0)


class MixtureEngine:
    """Runs several networks with equal weights, and an n-gram with its share.

    Args:
        networks: their engines; the first one gives its name.
        ngram: the engine of the n-gram, or None for a share of 0.
    """

    is_exact = False

    def __init__(self, networks: Sequence[Engine], ngram: NgramEngine | None, share: float) -> None:
        self._networks, self._ngram, self._share, self.name = networks, ngram, share, networks[0].name

    def start(self, batch: int) -> tuple[Any, ...]:
        ngram = () if self._ngram is None else (self._ngram.start(batch),)
        return *(network.start(batch) for network in self._networks), *ngram

    @np.errstate(over="ignore", invalid="ignore")  # a model that has diverged is reported where a symbol is sampled
    def advance(self, ids_B: Sequence[int], state: tuple[Any, ...]) -> tuple[npt.NDArray[np.float32], tuple[Any, ...]]:
        """Returns the logarithms of the mean probabilities, which are logits too, and the states of all members."""
        mean_BV: npt.NDArray[np.float32] | None = None
        after = []
        for network, before in zip(self._networks, state, strict=False):
            logits_BV, network_state = network.advance(ids_B, before)
            log_p_BV = log_probabilities(logits_BV)
            mean_BV = log_p_BV if mean_BV is None else np.logaddexp(mean_BV, log_p_BV, out=mean_BV)
            after.append(network_state)
        assert mean_BV is not None
        mean_BV -= np.float32(math.log(len(self._networks)))
        if self._ngram is not None:
            p_BV, ngram_state = self._ngram.probabilities(ids_B, state[-1])
            np.exp(mean_BV, out=mean_BV)
            mean_BV *= np.float32(1 - self._share)
            p_BV *= np.float32(self._share)
            mean_BV += p_BV
            np.log(mean_BV, out=mean_BV)
            after.append(ngram_state)
        return mean_BV, tuple(after)


class ExactMixtureEngine(MixtureEngine):
    """The same by the arithmetic of `charnet.engines.exact`: the logits are multiples of a step."""

    is_exact = True

    def advance(self, ids_B: Sequence[int], state: tuple[Any, ...]) -> tuple[npt.NDArray[np.float32], tuple[Any, ...]]:
        mean_BV: Any = 0.0
        after, total = [], float(len(self._networks))
        for network, before in zip(self._networks, state, strict=False):
            logits_BV, network_state = network.advance(ids_B, before)
            mean_BV = mean_BV + exact.probabilities(logits_BV)
            after.append(network_state)
        if self._ngram is not None:
            p_BV, ngram_state = self._ngram.probabilities(ids_B, state[-1])
            of_ngram = len(self._networks) * self._share / (1 - self._share)
            mean_BV += of_ngram * p_BV.astype(np.float64)
            total += of_ngram
            after.append(ngram_state)
        return exact.log(mean_BV / total), tuple(after)


class NgramEngine:
    """Gives an n-gram's probabilities. The state (B) is the number of an entry of its table.

    The distribution of a state is that of its link, changed in a few places, and texts come back to the same states all
    the time: distributions are kept.
    """

    def __init__(self, table: Ngram) -> None:
        self._table = table
        self._kept: dict[int, npt.NDArray[np.float32]] = {}
        self._most_kept = KEPT_BYTES // (table.base_V.nbytes + BYTES_OF_AN_ARRAY)

    def start(self, batch: int) -> npt.NDArray[np.int64]:
        return np.full(batch, ROOT, np.int64)

    def probabilities(
        self, ids_B: Sequence[int], state: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Returns the probabilities (B, V) of the next character, in an array of its own, and the new state."""
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
