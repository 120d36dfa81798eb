"""Particles: texts side by side with weights, of which some are drawn anew (sequential Monte Carlo).

Shape legend: B of the particles, N particles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.engines.base import select_rows

PARTICLES = 64


class Cloud:
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
