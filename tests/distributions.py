"""Distributions of an n-gram in several states, computed in double precision."""

from __future__ import annotations

import numpy as np

from charnet.model.ngram import Ngram


def probabilities(ngram: Ngram, nodes_B: np.ndarray) -> np.ndarray:
    """The distributions (B, V) of the next character."""

    def of(node: int) -> np.ndarray:
        return ngram.distribution(node, of(int(ngram.link[node]))) if node else ngram.base_V.astype(np.float64)

    return np.array([of(int(node)) for node in nodes_B])
