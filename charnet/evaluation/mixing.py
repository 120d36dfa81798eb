"""An n-gram in an evaluation: the loss of the mixture, and the share of the n-gram that is best on a text.

Shape legend: S streams, T characters in a chunk, N characters.
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

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Targets(NamedTuple):
    """The characters that a chunk predicts: of each stream T in a row of `ids`, from the index `first_S` on.

    Nothing before `begins_S` belongs to the text of a stream: `start_id` stands there. `counted_ST` masks those that
    count.
    """

    ids: Any
    begins_S: Ints
    first_S: Ints
    start_id: int
    counted_ST: npt.NDArray[np.bool_]


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
        self._of_networks, self._of_ngram = [np.zeros(0)], [np.zeros(0)]

    def __call__(self, nats_ST: Doubles, targets: Targets) -> float:
        self._of_networks.append(np.exp(-nats_ST[targets.counted_ST]))
        self._of_ngram.append(_probabilities(self._table, targets)[targets.counted_ST])
        return float(nats_ST[targets.counted_ST].sum())

    def share(self) -> float:
        """Returns the share with the lowest loss, by expectation maximization (Jelinek & Mercer 1980)."""
        of_networks_N, of_ngram_N = (np.concatenate(each) for each in (self._of_networks, self._of_ngram))
        is_finite = np.isfinite(of_networks_N)
        of_networks_N, of_ngram_N = of_networks_N[is_finite], of_ngram_N[is_finite]
        share = 0.5
        for _ in range(ROUNDS if len(of_ngram_N) else 0):
            of_both_N = (1 - share) * of_networks_N + share * of_ngram_N
            share = float((share * of_ngram_N / of_both_N).mean())
        return min(max(share, SMALLEST_SHARE), LARGEST_SHARE)


def _probabilities(table: Ngram, targets: Targets) -> Doubles:
    """Returns the n-gram's probability of each target, (S, T), from the characters before it."""
    context = table.order - 1
    at_SK = targets.first_S[:, None] + np.arange(-context, targets.counted_ST.shape[1])
    ids_SK = targets.ids[np.clip(at_SK, 0, len(targets.ids) - 1)].astype(np.int64)
    before_SK = targets.begins_S[:, None] - at_SK
    ids_SK[before_SK == 1] = targets.start_id
    ids_SK[before_SK > 1] = NOTHING
    return table.score(ids_SK)[:, context:]
