"""The engine that runs compiled loops, on one core or two: the fastest at long texts. It needs numba.

To load numba takes a third of a second, to compile the loops, the first time, some more: texts of a few lines are
written sooner by the NumPy engine.

Shape legend: B texts, M networks, L layers of all of them, H units (rounded up to whole blocks in `hidden` and
`memory`), R threads, V characters.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.engines import kernels, sampling
from charnet.engines.base import COMPILED_MIN_BATCH
from charnet.engines.ensemble import combine
from charnet.engines.numpy_engine import Array, Layer, LayerState, NumpyEngine, State
from charnet.engines.packing import CELLS, VECTORS, Weights, pack, width
from charnet.machine import processor_cores

MOST_THREADS = 2  # more would wait for each other longer than they would save
RELEASE_ALL = np.iinfo(np.int64).max
SHORTEST_TRIAL = 16  # characters of a burst that says how fast so many threads are
TRIAL_EVERY = 40  # bursts: how often the slower number of threads is tried again


class _Layer(Layer):
    """A layer of many texts: its products are the NumPy engine's, what comes after them is one compiled loop."""

    def update(self, a_BG: Array, x: Array, rows_B: Sequence[int] | None, state: LayerState) -> LayerState:
        own_row_each = np.arange(len(a_BG)) if len(x) > 1 else np.zeros(len(a_BG), np.int64)
        after, memory = np.empty_like(state[0]), state[-1].copy()
        kernels.update_rows(
            CELLS[self.layout_name],
            a_BG,
            x,
            np.asarray(own_row_each if rows_B is None else rows_B),
            state[0],
            after,
            memory,
        )
        return (after, memory)[: len(state)]


class _BatchedEngine(NumpyEngine):
    layer_type = _Layer


class CompiledEngine:
    """Runs a model of any cell from its stored weights, one text at a time; several are left to the NumPy engine.

    Args:
        networks: parameters of each network by their names; matrices of 8 bits are used as they are.
        cell: the name of the cell; activation: of the `rnn` cell.
        threads: how many at most; 0 for as many as write fastest.
    """

    name = "compiled"

    def __init__(self, *networks: Weights, cell: str, activation: str = "tanh", threads: int = 0) -> None:
        self._batched = functools.cache(
            lambda: combine(_BatchedEngine(dict(each), cell=cell, activation=activation) for each in networks)
        )
        self._model = pack(networks, f"rnn-{activation}" if cell == "rnn" else cell)
        self._states = ("h", "c") if cell in ("lstm", "cifg") else ("h",)
        self._units = width(networks[0]["head.weight"])
        self._threads = Threads(threads)
        self._second: ThreadPoolExecutor | None = None
        self._process, self._one_caller = os.getpid(), threading.Lock()
        model = self._model
        self._layers = model.members * model.layers
        self._hidden = np.zeros((2, self._layers, model.units), np.float32)
        self._memory = np.zeros((self._layers, model.units), np.float32)
        self._logits_MV = np.zeros((model.members, kernels.LANES * VECTORS * model.blocks_P[-1]), np.float32)
        self._mean_RV = np.zeros((MOST_THREADS, model.alphabet), np.float32)
        with contextlib.suppress(OSError):  # it is compiled, but the disk did not take it for the next time
            self.advance([0], self.start(1))

    @property
    def min_batch(self) -> int:
        return sys.maxsize if self._model.of_bytes else COMPILED_MIN_BATCH

    def start(self, batch: int) -> Any:
        layer = tuple(np.zeros((batch, self._units), np.float32) for _ in self._states)
        return self._nested((layer,) * self._layers)

    def advance(self, ids_B: Sequence[int], state: Any) -> tuple[Array, Any]:
        if len(ids_B) > 1:
            return self._batched().advance(ids_B, state)
        nothing = np.empty(0)
        _, after = self._run(np.array(ids_B, np.int64), state, nothing, nothing, nothing, nothing, threads=1)
        logits_RV = self._mean_RV if self._model.members > 1 else self._logits_MV
        return logits_RV[:1, : self._model.alphabet], after

    def generate(
        self,
        ids: Sequence[int],
        state: Any,
        u_T: npt.NDArray[np.float64],
        temperatures_T: npt.NDArray[np.float64],
        bias_V: npt.NDArray[np.float64] | None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], Any]:
        """See `MultiStepEngine`.

        Raises:
            DivergedError: the logits are no longer numbers.
        """
        count = len(u_T)
        all_ids = np.concatenate([np.asarray(ids, np.int64), np.zeros(count, np.int64)])
        sharpness_T = np.where(
            temperatures_T < sampling.GREEDY_BELOW, 0, 1 / np.maximum(temperatures_T, sampling.GREEDY_BELOW)
        )
        nats_T = np.empty(count)
        if bias_V is None:
            bias_V = np.zeros(self._model.alphabet)
        threads, began = self._threads.choose(), time.perf_counter()
        written, after = self._run(all_ids, state, u_T, sharpness_T, bias_V, nats_T, threads=threads)
        if written < len(all_ids):
            sampling.check_finite(float("nan"))
        self._threads.note(threads, count, time.perf_counter() - began)
        return all_ids[len(ids) :], nats_T, after

    def _run(
        self,
        ids: npt.NDArray[np.int64],
        state: Any,
        uniforms: npt.NDArray[np.float64],
        sharpness: npt.NDArray[np.float64],
        bias_V: npt.NDArray[np.float64],
        nats: npt.NDArray[np.float64],
        *,
        threads: int,
    ) -> tuple[int, Any]:
        """`kernels.run` on so many threads: how many ids there are, and the state."""
        given = len(ids) - len(uniforms)
        arrived = np.zeros((threads, 8), np.int64)  # a cache line for each
        arrays = (
            self._hidden,
            self._memory,
            self._logits_MV,
            self._mean_RV,
            ids,
            given,
            uniforms,
            sharpness,
            bias_V,
            nats,
            arrived,
        )
        run = functools.partial(kernels.run, self._model, *arrays)
        others: list[Future[int]] = []
        with self._one_caller:
            self._set(state)
            try:
                others += [self._pool().submit(run, part, threads) for part in range(1, threads)]
                written = int(run(0, threads))
            finally:  # even when a signal came in between, nobody is left waiting for this thread
                arrived[0, 0] = RELEASE_ALL
                for other in others:
                    other.result()
            return written, self._state(max(given, len(ids) - 1) % 2)

    def _pool(self) -> ThreadPoolExecutor:
        if self._second is None or self._process != os.getpid():  # a forked process has none of its parent's threads
            self._second, self._process = ThreadPoolExecutor(MOST_THREADS - 1, "charnet-writer"), os.getpid()
        return self._second

    def _nested(self, layers: State) -> Any:
        """Of one network its layers, of an ensemble the layers of each network: as `EnsembleEngine` has them."""
        count = self._model.layers
        if self._model.members == 1:
            return layers
        return tuple(layers[first : first + count] for first in range(0, len(layers), count))

    def _set(self, state: Any) -> None:
        layers = state if self._model.members == 1 else itertools.chain.from_iterable(state)
        for i, layer in enumerate(layers):
            self._hidden[0, i, : self._units] = layer[0][0]
            if len(layer) > 1:
                self._memory[i, : self._units] = layer[1][0]

    def _state(self, side: int) -> Any:
        arrays = (self._hidden[side], self._memory)[: len(self._states)]
        layers = range(self._layers)
        return self._nested(tuple(tuple(array[None, i, : self._units].copy() for array in arrays) for i in layers))


@dataclass
class Threads:
    """How many threads to use for the next burst: as many as wrote fastest last time, so that more are never slower.

    Another number is tried again now and then, since other programs may have come or gone.

    Args:
        most: the largest number; 0 for as many as there are cores. It is never above `MOST_THREADS`.
    """

    most: int = 0
    rates: dict[int, float] = field(default_factory=dict)  # characters a second
    bursts: int = 0

    def __post_init__(self) -> None:
        cores = processor_cores() if os.name == "posix" else 1  # elsewhere a thread that waits cannot give way
        self.most = min(self.most or cores, cores, MOST_THREADS)

    @property
    def best(self) -> int:
        return max(self.rates, key=self.rates.__getitem__, default=1)

    def choose(self) -> int:
        untried = [count for count in range(1, self.most + 1) if count not in self.rates]
        self.bursts += 1
        if untried:
            return untried[0]
        return self.best if self.bursts % TRIAL_EVERY else min(self.rates, key=self.rates.__getitem__)

    def note(self, threads: int, characters: int, seconds: float) -> None:
        if characters >= SHORTEST_TRIAL:
            self.rates[threads] = characters / seconds
