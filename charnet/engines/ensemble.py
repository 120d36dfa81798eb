"""An ensemble of networks as one engine: its probabilities are the mean of theirs.

Shape legend: B texts, V characters in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.engines.base import Engine


def combine(engines: Iterable[Engine]) -> Engine:
    """Returns one engine that runs all networks of a model."""
    members = list(engines)
    return EnsembleEngine(members) if len(members) > 1 else members[0]


class EnsembleEngine:
    """Runs several engines of one kind, one for each network."""

    def __init__(self, members: Sequence[Engine]) -> None:
        self._members, self.name = members, members[0].name

    def start(self, batch: int) -> tuple[Any, ...]:
        return tuple(member.start(batch) for member in self._members)

    @np.errstate(over="ignore", invalid="ignore")  # a model that has diverged is reported where a symbol is sampled
    def advance(self, ids_B: Sequence[int], state: tuple[Any, ...]) -> tuple[npt.NDArray[np.float32], tuple[Any, ...]]:
        """Returns the logarithms of the mean probabilities, which are logits too, and the states of all networks."""
        mean_BV: npt.NDArray[np.float32] | None = None
        after = []
        for member, before in zip(self._members, state, strict=True):
            logits_BV, member_state = member.advance(ids_B, before)
            log_p_BV = log_probabilities(logits_BV)
            mean_BV = log_p_BV if mean_BV is None else np.logaddexp(mean_BV, log_p_BV, out=mean_BV)
            after.append(member_state)
        assert mean_BV is not None
        mean_BV -= np.float32(math.log(len(after)))
        return mean_BV, tuple(after)


def log_probabilities(logits_BV: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Computes the logarithm of the softmax of each row; returns a new array.

    >>> log_probabilities(np.array([[1000.0, 1000.0]], np.float32)).round(3).tolist()
    [[-0.6930000185966492, -0.6930000185966492]]
    """
    shifted_BV: npt.NDArray[np.float32] = logits_BV - logits_BV.max(axis=1, keepdims=True)
    shifted_BV -= np.log(np.exp(shifted_BV).sum(axis=1, keepdims=True))
    return shifted_BV
