"""Mixtures in an evaluation: the loss of networks and n-gram together, that of each character, and the best weights.

Shape legend: S streams, T characters in a chunk, N characters, K models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.model.ngram import NOTHING, Ngram, WeightedNgram

LARGEST_SHARE = 0.98
SMALLEST_SHARE = 1e-4
ROUNDS = 100  # of expectation maximization
MOST_ROUNDS, NEAR_ENOUGH = 200, 1e-5  # for the weights of models; nats per character more than with the best ones
SMALLEST_WEIGHT = 1e-12  # a weight of 0 could not grow

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Targets(NamedTuple):
    """The characters that a chunk predicts: of each stream T in a row of `ids`, from the index `first_S` on.

    Nothing before `begins_S` belongs to the text of a stream: `start_id` stands there. `counted_ST` masks those that
    count. `ids` begin at the character `offset` of the whole text.
    """

    ids: Any
    begins_S: Ints
    first_S: Ints
    start_id: int
    counted_ST: npt.NDArray[np.bool_]
    offset: int = 0


Total = Callable[[Doubles, Targets], float]  # from the loss (S, T) of the networks to the sum over what counts


class Mixture:
    """Adds up the loss of networks and n-gram together: call it as a `Total`.

    Args:
        learning: after each chunk the share moves by this part, for each character, toward the probability that the
            character came from the n-gram: expectation maximization on the way (Neal & Hinton 1998).

    Attributes:
        ngram: the n-gram with its share now.
    """

    def __init__(self, ngram: WeightedNgram, learning: float = 0.0) -> None:
        self.ngram, self._learning = ngram, learning

    def __call__(self, nats_ST: Doubles, targets: Targets) -> float:
        return float(self.nats(nats_ST, targets).sum())

    def nats(self, nats_ST: Doubles, targets: Targets) -> Doubles:
        """Returns the loss of networks and n-gram together for each target that counts, (N)."""
        share, counted_ST = self.ngram.share, targets.counted_ST
        of_ngram_N = share * _probabilities(self.ngram.table, targets)[counted_ST]
        of_both_N = (1 - share) * np.exp(-nats_ST[counted_ST]) + of_ngram_N
        if self._learning:
            moved = share + self._learning * float((of_ngram_N / of_both_N - share).sum())
            self.ngram = WeightedNgram(self.ngram.table, min(max(moved, SMALLEST_SHARE), LARGEST_SHARE))
        return -np.log(of_both_N)


class ShareFit:
    """Finds the share of an n-gram that is best on a text: call it as a `Total` with all chunks, then `share`."""

    def __init__(self, table: Ngram) -> None:
        self._table = table
        self._found = [np.zeros((0, 4))]

    def __call__(self, nats_ST: Doubles, targets: Targets) -> float:
        nats_N, of_ngram_ST = nats_ST[targets.counted_ST], _probabilities(self._table, targets)
        begin_N, place_N = (
            np.full(len(nats_N), targets.offset + each[0]) for each in (targets.begins_S, targets.first_S)
        )
        found = [begin_N, place_N, np.exp(-nats_N), of_ngram_ST[targets.counted_ST]]
        self._found.append(np.stack(found, axis=1))
        return float(nats_N.sum())

    def found(self) -> Doubles:
        """Returns of each character (N, 4) where its text and its chunk begin, which tells one chunk from all others,
        and the probabilities of networks and n-gram."""
        return np.concatenate(self._found)

    @staticmethod
    def share(found_N4: Doubles) -> float:
        """Returns the share with the lowest loss, by expectation maximization (Jelinek & Mercer 1980).

        Args:
            found_N4: what was found, the chunks in any order.
        """
        order_N = np.lexsort((found_N4[:, 1], found_N4[:, 0]))  # stable
        _, _, of_networks_N, of_ngram_N = found_N4[order_N].T
        is_finite = np.isfinite(of_networks_N)
        of_networks_N, of_ngram_N = of_networks_N[is_finite], of_ngram_N[is_finite]
        share = 0.5
        for _ in range(ROUNDS if len(of_ngram_N) else 0):
            of_both_N = (1 - share) * of_networks_N + share * of_ngram_N
            share = float((share * of_ngram_N / of_both_N).mean())
        return min(max(share, SMALLEST_SHARE), LARGEST_SHARE)


class EachLoss:
    """Keeps the loss of every character of a text: call it as a `Total`.

    Attributes:
        nats_N: the losses so far.
    """

    def __init__(self, characters: int, ngram: WeightedNgram | None) -> None:
        self.nats_N, self._ngram = np.full(characters, np.nan), ngram

    def __call__(self, nats_ST: Doubles, targets: Targets) -> float:
        nats = nats_ST[targets.counted_ST]
        if self._ngram is not None:
            share, of_ngram_ST = self._ngram.share, _probabilities(self._ngram.table, targets)
            nats = -np.log((1 - share) * np.exp(-nats) + share * of_ngram_ST[targets.counted_ST])
        at_ST = targets.offset + targets.first_S[:, None] + np.arange(targets.counted_ST.shape[1])
        self.nats_N[at_ST[targets.counted_ST]] = nats
        return float(nats.sum())


def fit_weights(p_NK: Doubles) -> Doubles:
    """Finds the weights (K) of models with which the mean of their probabilities has the lowest loss on a text.

    By expectation maximization (Jelinek & Mercer 1980), two steps at a time extrapolated (SQUAREM: Varadhan & Roland
    2008), until the loss is within `NEAR_ENOUGH` of the lowest: it is convex, and the log of the largest factor of a
    step bounds what is left.

    Args:
        p_NK: the probability that each model gave each character.

    >>> fit_weights(np.array([[0.5, 0.25]] * 3 + [[0.25, 0.5]])).round(3).tolist()
    [1.0, 0.0]
    """
    p_NK = p_NK[p_NK.max(axis=1) > 0]
    weights_K = np.full(p_NK.shape[1], 1 / p_NK.shape[1])
    for _ in range(MOST_ROUNDS if len(p_NK) else 0):
        factor_K = _factors(p_NK, weights_K)
        if factor_K.max() <= 1 + NEAR_ENOUGH:
            break
        once_K = weights_K * factor_K
        twice_K = once_K * _factors(p_NK, once_K)
        change_K, bend_K = once_K - weights_K, twice_K - 2 * once_K + weights_K
        length = np.linalg.norm(change_K) / max(float(np.linalg.norm(bend_K)), SMALLEST_WEIGHT)
        further_K = np.maximum(weights_K + 2 * length * change_K + length**2 * bend_K, SMALLEST_WEIGHT)
        further_K /= further_K.sum()
        is_better = np.log(p_NK @ further_K).sum() >= np.log(p_NK @ twice_K).sum()
        weights_K = further_K if is_better else twice_K
    return weights_K


def _factors(p_NK: Doubles, weights_K: Doubles) -> Doubles:
    """Returns by what a step of expectation maximization multiplies each weight (K)."""
    factor_K: Doubles = (p_NK / (p_NK @ weights_K)[:, None]).mean(axis=0)
    return factor_K


def _probabilities(table: Ngram, targets: Targets) -> Doubles:
    """Returns the n-gram's probability of each target, (S, T), from the characters before it."""
    context = table.order - 1
    at_SK = targets.first_S[:, None] + np.arange(-context, targets.counted_ST.shape[1])
    ids_SK = targets.ids[np.clip(at_SK, 0, len(targets.ids) - 1)].astype(np.int64)
    before_SK = targets.begins_S[:, None] - at_SK
    ids_SK[before_SK == 1] = targets.start_id
    ids_SK[before_SK > 1] = NOTHING
    return table.score(ids_SK)[:, context:]
