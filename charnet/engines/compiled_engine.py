"""The engine that runs compiled loops on one core or two: the fastest for long texts. It needs numba.

numba takes a third of a second to load, and a few seconds more to compile the loops the first time, so the NumPy engine
finishes texts of a few lines sooner.

Shape legend: B texts, M networks, L layers of all of them, H units (rounded up to whole blocks in `hidden` and
`memory`), R threads, T symbols to sample, V characters.
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

from charnet.engines import kernels, kernels_ngram, kernels_pattern, kernels_rows, sampling
from charnet.engines.base import COMPILED_MIN_BATCH, Pattern
from charnet.engines.exact import is_exact
from charnet.engines.exact_engine import ExactEngine, ExactLayer
from charnet.engines.kernels_llvm import LANES
from charnet.engines.mixture import NgramEngine, combine
from charnet.engines.numpy_engine import Array, Layer, LayerState, NumpyEngine, State
from charnet.engines.packing import CELLS, VECTORS, Weights, pack, width
from charnet.machine import processor_cores
from charnet.model.ngram import ROOT, Ngram, WeightedNgram

MAX_THREADS = 2  # more would wait for each other longer than they would save
RELEASE_ALL = np.iinfo(np.int64).max  # beyond the number of any barrier
MIN_TIMED = 16  # symbols of a call that says how fast so many threads are
NO_PATTERN = kernels_pattern.Pattern(np.zeros((0, 0), np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32))
RETRY_EVERY = 40  # calls: how often the slower number of threads is tried again


class _Layer(Layer):
    """A layer of many texts: its products are the NumPy engine's, one compiled loop computes the rest."""

    def update(self, a_BG: Array, x: Array, rows_B: Sequence[int] | None, state: LayerState) -> LayerState:
        all_rows = np.arange(len(a_BG)) if len(x) > 1 else np.zeros(len(a_BG), np.int64)
        rows = all_rows if rows_B is None else np.asarray(rows_B)
        after, memory = np.empty_like(state[0]), state[-1].copy()
        kernels_rows.update_rows(CELLS[self.layout_name], a_BG, x, rows, state[0], after, memory)
        return (after, memory)[: len(state)]


class _BatchedEngine(NumpyEngine):
    layer_type = _Layer


class _ExactLayer(ExactLayer):
    """The same of 8-bit weights."""

    def update(self, a_BG: Array, x_BG: Array, state: LayerState) -> LayerState:
        after, memory = np.empty_like(state[0]), state[-1].copy()
        kernels_rows.update_exact_rows(CELLS[self.layout_name], a_BG, x_BG, self.inner_bias_G, state[0], after, memory)
        return (after, memory)[: len(state)]


class _BatchedExactEngine(ExactEngine):
    layer_type = _ExactLayer


class _NgramEngine(NgramEngine):
    """An n-gram beside many texts, by compiled loops."""

    def __init__(self, table: Ngram) -> None:
        super().__init__(table)
        self._packed = kernels_ngram.pack(WeightedNgram(table, 1.0))

    def probabilities(self, ids_B: Sequence[int], state: npt.NDArray[np.int64]) -> tuple[Array, npt.NDArray[np.int64]]:
        after_B = np.empty(len(ids_B), np.int64)
        p_BV = np.empty((len(ids_B), len(self._packed.base_V)), np.float32)
        kernels_rows.step_rows(self._packed, state, np.asarray(ids_B, np.int64), after_B, p_BV)
        return p_BV, after_B


class CompiledEngine:
    """Runs a model of any cell from its stored weights, one text at a time; several texts go to a `_BatchedEngine`.

    Args:
        networks: parameters of each network by their names; matrices of 8 bits are used as they are.
        cell: the name of the cell.
        activation: of the `rnn` cell.
        threads: how many at most; 0 for the fastest number.
        ngram: beside the networks.
    """

    name = "compiled"

    def __init__(
        self,
        *networks: Weights,
        cell: str,
        activation: str = "tanh",
        threads: int = 0,
        ngram: WeightedNgram | None = None,
    ) -> None:
        self.is_exact = is_exact(networks[0])
        batched = _BatchedExactEngine if self.is_exact else _BatchedEngine
        self._batched = functools.cache(
            lambda: combine(
                (batched(dict(each), cell=cell, activation=activation) for each in networks),
                ngram,
                is_exact=self.is_exact,
                ngram_engine=_NgramEngine,
            )
        )
        self._ngram = kernels_ngram.pack(ngram)
        self._model = model = pack(networks, f"rnn-{activation}" if cell == "rnn" else cell)
        self._states = ("h", "c") if cell in ("lstm", "cifg") or (cell == "gru" and self.is_exact) else ("h",)
        self._units = width(networks[0]["head.weight"])
        self._threads = Threads(threads)
        self._pool: ThreadPoolExecutor | None = None
        self._process, self._lock = os.getpid(), threading.Lock()
        self._layers = model.members * model.layers
        self._arrays = kernels.Arrays(
            node=np.zeros(1, np.int64),
            hidden=np.zeros((2, self._layers, model.units), np.float32),
            memory=np.zeros((self._layers, model.units), np.float32),
            logits_MV=np.zeros((model.members, LANES * VECTORS * model.blocks_P[-1]), np.float32),
            mean_RV=np.zeros((MAX_THREADS, model.alphabet), np.float32),
        )
        with contextlib.suppress(OSError):  # the loops are compiled, but they could not be written to the cache
            self.advance([0], self.start(1))

    @property
    def min_batch(self) -> int:
        return sys.maxsize if self.is_exact else COMPILED_MIN_BATCH

    def start(self, batch: int) -> Any:
        layer = tuple(np.zeros((batch, self._units), np.float32) for _ in self._states)
        return self._nested((layer,) * self._layers, np.full(batch, ROOT, np.int64))

    def advance(self, ids_B: Sequence[int], state: Any) -> tuple[Array, Any]:
        if len(ids_B) > 1:
            return self._batched().advance(ids_B, state)
        empty, none = np.empty(0), np.zeros(2, np.int64)
        ids = np.array(ids_B, np.int64)
        _, logits_1V, after = self._run(ids, state, empty, empty, empty, empty, NO_PATTERN, none, threads=1)
        return logits_1V, after

    def generate(
        self,
        ids: Sequence[int],
        state: Any,
        u_T: npt.NDArray[np.float64],
        temperatures_T: npt.NDArray[np.float64],
        bias_V: npt.NDArray[np.float64] | None,
        pattern: Pattern | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], Any]:
        """See `MultiStepEngine`.

        Raises:
            DivergedError: the logits are no longer finite.
        """
        count = len(u_T)
        all_ids = np.concatenate([np.asarray(ids, np.int64), np.zeros(count, np.int64)])
        inverse_T = np.where(
            temperatures_T < sampling.GREEDY_BELOW, 0, 1 / np.maximum(temperatures_T, sampling.GREEDY_BELOW)
        )
        nats_T = np.empty(count)
        if bias_V is None:
            bias_V = np.zeros(self._model.alphabet)
        threads, began = self._threads.choose(), time.perf_counter()
        matched = np.array([pattern.matched, pattern.left] if pattern else [0, 0], np.int64)
        tables = kernels_pattern.Pattern(*pattern[:3]) if pattern else NO_PATTERN
        num_ids, _, after = self._run(all_ids, state, u_T, inverse_T, bias_V, nats_T, tables, matched, threads=threads)
        if matched[0] == kernels.DIVERGED:
            sampling.check_finite(float("nan"))
        self._threads.record(threads, num_ids - len(ids), time.perf_counter() - began)
        return all_ids[len(ids) : num_ids], nats_T[: num_ids - len(ids)], after

    def _run(
        self,
        ids: npt.NDArray[np.int64],
        state: Any,
        u_T: npt.NDArray[np.float64],
        inverse_T: npt.NDArray[np.float64],
        bias_V: npt.NDArray[np.float64],
        nats_T: npt.NDArray[np.float64],
        pattern: kernels_pattern.Pattern,
        matched: npt.NDArray[np.int64],
        *,
        threads: int,
    ) -> tuple[int, Array, Any]:
        """Calls `kernels.run` on several threads; returns how many ids there are then, the last logits, and the state.

        The arrays of the loops are the engine's: what is returned is copied before another thread may use them.
        """
        num_given = len(ids) - len(u_T)
        arrived = np.zeros((threads, 8), np.int64)
        run = functools.partial(
            kernels.run,
            True if self.is_exact else None,
            self._model,
            self._ngram,
            self._arrays,
            ids,
            num_given,
            u_T,
            inverse_T,
            bias_V,
            pattern,
            matched,
            nats_T,
            arrived,
        )
        others: list[Future[int]] = []
        with self._lock:
            self._set(state)
            try:
                others += [self._workers().submit(run, thread, threads) for thread in range(1, threads)]
                num_ids = int(run(0, threads))
            finally:  # also after a signal: no other thread may be left waiting for this one
                arrived[0, 0] = RELEASE_ALL
                for other in others:
                    other.result()
            is_mixture = self._model.members > 1 or self._ngram.share > 0
            logits_RV = self._arrays.mean_RV if is_mixture else self._arrays.logits_MV
            logits_1V = logits_RV[:1, : self._model.alphabet].copy()
            return num_ids, logits_1V, self._state(max(num_given, len(ids) - 1) % 2)

    def _workers(self) -> ThreadPoolExecutor:
        """Returns the pool of the other threads. A forked process starts its own: it has none of its parent's."""
        if self._pool is None or self._process != os.getpid():
            self._pool, self._process = ThreadPoolExecutor(MAX_THREADS - 1, "charnet-generate"), os.getpid()
        return self._pool

    def _nested(self, layers: State, nodes_B: npt.NDArray[np.int64]) -> Any:
        """Returns the layers of a network alone as they are, those of a mixture by network, as `MixtureEngine`."""
        count = self._model.layers
        if self._model.members == 1 and not self._ngram.share:
            return layers
        networks = tuple(layers[first : first + count] for first in range(0, len(layers), count))
        return (*networks, nodes_B) if self._ngram.share else networks

    def _set(self, state: Any) -> None:
        """Copies a state into the arrays of the loops."""
        networks = (state,)
        if self._model.members > 1 or self._ngram.share:
            networks = state[: self._model.members]
            self._arrays.node[:] = state[-1][0] if self._ngram.share else ROOT
        for i, layer in enumerate(itertools.chain.from_iterable(networks)):
            self._arrays.hidden[0, i, : self._units] = layer[0][0]
            if len(layer) > 1:
                self._arrays.memory[i, : self._units] = layer[1][0]

    def _state(self, side: int) -> Any:
        """Copies the state from the arrays of the loops; `side` says which of the two hidden states is the last."""
        arrays = (self._arrays.hidden[side], self._arrays.memory)[: len(self._states)]
        layers = tuple(tuple(array[None, i, : self._units].copy() for array in arrays) for i in range(self._layers))
        return self._nested(layers, self._arrays.node.copy())


@dataclass
class Threads:
    """Chooses how many threads to use for the next call: the number that was fastest last time.

    Two threads are slower than one while other programs use the cores. So both are timed, and the slower is tried again
    now and then.

    Args:
        most: the largest number; 0 for as many as there are cores. It is never above `MAX_THREADS`.
    """

    most: int = 0
    rates: dict[int, float] = field(default_factory=dict)  # characters per second, by the number of threads
    calls: int = 0

    def __post_init__(self) -> None:
        cores = processor_cores() if os.name == "posix" else 1  # elsewhere a waiting thread cannot give up its core
        self.most = min(self.most or cores, cores, MAX_THREADS)

    @property
    def fastest(self) -> int:
        return max(self.rates, key=self.rates.__getitem__, default=1)

    def choose(self) -> int:
        """Returns the number of threads for the next call."""
        untried = [count for count in range(1, self.most + 1) if count not in self.rates]
        self.calls += 1
        if untried:
            return untried[0]
        return self.fastest if self.calls % RETRY_EVERY else min(self.rates, key=self.rates.__getitem__)

    def record(self, threads: int, characters: int, seconds: float) -> None:
        """Records how long a call took, unless it was too short to say how fast it is."""
        if characters >= MIN_TIMED:
            self.rates[threads] = characters / seconds
