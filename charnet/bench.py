"""Measures how fast this machine trains and writes, compared with what limits it: medians of several repeats."""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from charnet.config import ACTIVATIONS, Config, SamplingOptions
from charnet.data.copy_index import LearnedPieces
from charnet.data.documents import Documents
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine
from charnet.engines.numpy_engine import Array
from charnet.engines.registry import engine_of, has_numba
from charnet.generation.batch import texts
from charnet.generation.copy_guard import CopyGuard
from charnet.generation.generate import stream
from charnet.machine import processor_cores
from charnet.model.device import DTYPES, choose_device, set_threads
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay
from charnet.storage.quantize import QuantizedMatrix, quantize_all
from charnet.training import group, together
from charnet.training.group import Group
from charnet.training.throughput import Products, TrainingStep, one_layer, reading_speed

REPEATS = 7
ALPHABET = Vocabulary(tuple(range(0x20, 0x61)))  # 65 symbols, as in English prose
SECONDS_PER_REPEAT = 0.4
LARGE_BLOCK = 8 << 20  # bytes: a smaller block would measure how long the threads take to synchronize
PRODUCT = 2048  # side of the square matrices whose product measures the peak
TRAINED = (
    *(("lstm", "tanh", units) for units in (128, 256, 512)),
    *(("gru", "tanh", 512), ("cifg", "tanh", 512)),
    *(("rnn", activation, 512) for activation in ACTIVATIONS),
)


@dataclass(frozen=True)
class Scenario:
    """A model to generate text with, and the engines to measure."""

    cell: str
    layers: int
    hidden: int
    engines: tuple[str, ...]
    precision: str = "fp32"
    texts: int = 1
    compare_torch: bool = False
    members: int = 1

    @property
    def config(self) -> Config:
        sizes = {"cell": self.cell, "num_layers": self.layers, "hidden_size": self.hidden, "members": self.members}
        return overlay(Config(), {f"model.{name}": value for name, value in sizes.items()})


CONTROLS: dict[str, dict[str, Any]] = {
    "match, lines of 30 to 50": {"match": "(?:[^@]{30,50}@|@)*"}, "max-copy 40": {"max_copy": 40},
    "top-k 20": {"top_k": 20}, "top-p 0.9": {"top_p": 0.9}, "min-p 0.05": {"min_p": 0.05},
    "typical-p 0.9": {"typical_p": 0.9}, "repetition-penalty 1.2": {"repetition_penalty": 1.2},
}  # fmt: skip
LEARNED = 200_000  # characters of the text that a model may not copy

BOTH = ("numpy", "compiled") if has_numba() else ("numpy",)
COMPILED = BOTH[1:]
WRITTEN = (
    *(Scenario("lstm", 2, hidden, BOTH, compare_torch=True) for hidden in (128, 256, 512)),
    *(Scenario(cell, 2, 256, BOTH) for cell in ("gru", "cifg", "rnn")),
    *(
        Scenario("lstm", layers, hidden, COMPILED, "int8")
        for layers, hidden in ((2, 128), (2, 256), (2, 512), (1, 2048))
    ),
    Scenario("lstm", 2, 256, BOTH, texts=256),
    Scenario("lstm", 1, 512, BOTH, members=3),
)


@dataclass(frozen=True)
class Result:
    """One measurement. `share_of_limit` is the fraction of `limit` that it reaches, if a limit was measured."""

    what: str
    unit: str
    median: float
    lowest: float
    highest: float
    repeats: int
    share_of_limit: float | None = None
    limit: str = ""


def sample_benchmark(scenarios: Sequence[Scenario] = WRITTEN) -> Iterator[Result]:
    """Measures characters per second of each engine, sampling included, and of `nn.LSTM` for comparison.

    For one text the limit is the speed of memory: the weights are read once per character, so memory that delivers b
    bytes per second allows b / (bytes of weights) characters per second. For many texts the limit is arithmetic: one
    multiplication and one addition per weight.
    """
    for scenario in scenarios:
        weights = _random_weights(scenario.config)
        for engine in scenario.engines:
            yield _written(engine, scenario, weights)
        if scenario.compare_torch:
            layers, hidden = scenario.layers, scenario.hidden
            yield _result(f"nn.LSTM called per character, {layers}x{hidden}", _rates(PlainTorch(layers, hidden).write))


def controls_benchmark(units: int = 256, learned: int = LEARNED) -> Iterator[Result]:
    """Measures what each control of the text costs: its speed as a share of that without any, in turn with it.

    `units` are those of two layers of LSTM; the text that may not be copied has `learned` characters of its own.
    """
    scenario = Scenario("lstm", 2, units, BOTH)
    weights = _random_weights(scenario.config)
    for name, count in [*((name, 1) for name in BOTH), (BOTH[-1], 64)]:
        engine = engine_of(scenario.config.model, dict(weights), name)
        text = "".join(stream(engine, ALPHABET, [0], SamplingOptions(length=learned, seed=1)))
        ids, pieces = ALPHABET.encode(text).astype(np.uint8), Documents.up_to(np.array([len(text)]))
        index = LearnedPieces(ids, pieces, ALPHABET.symbols, None).indexed()
        write = functools.partial(_write_controlled, engine, count, CopyGuard(index, 40))
        for number, (what, options) in enumerate(CONTROLS.items()):
            pairs = _rates_in_turn([functools.partial(write, SamplingOptions(**each)) for each in ({}, options)])
            if not number:
                many = f", {count} texts" * (count > 1)
                yield _result(f"{name} engine, lstm 2x{units}{many}", [rate * count for rate, _ in pairs])
            share = statistics.median(controlled / free for free, controlled in pairs)
            yield _result(
                f"    {what}", [rate * count for _, rate in pairs], share_of_limit=share, limit="that without it"
            )


def _write_controlled(engine: Engine, count: int, guard: CopyGuard, options: SamplingOptions, length: int) -> None:
    for chunks in texts(engine, ALPHABET, [0], replace(options, length=length), count, guard=guard):
        for _ in chunks:
            pass


def _rates_in_turn(works: Sequence[Callable[[int], None]], shortest: int = 20) -> list[tuple[float, ...]]:
    """Measures units of work per second of several kinds, one after the other in each repeat."""
    lengths = []
    for work in works:
        length = shortest
        while (took := _seconds(work, length)) < SECONDS_PER_REPEAT / 4:
            length *= 2
        lengths.append(max(shortest, int(length * SECONDS_PER_REPEAT / took)))
    repeats = range(REPEATS)
    return [tuple(n / _seconds(work, n) for work, n in zip(works, lengths, strict=True)) for _ in repeats]


def _seconds(work: Callable[[int], None], length: int) -> float:
    began = time.perf_counter()
    work(length)
    return time.perf_counter() - began


def _written(name: str, scenario: Scenario, weights: dict[str, Array]) -> Result:
    networks = f"{scenario.members} x " if scenario.members > 1 else ""
    shape = f"{networks}{scenario.cell} {scenario.layers}x{scenario.hidden}, {scenario.precision}"
    used = quantize_all(weights) if scenario.precision == "int8" else weights
    engine = engine_of(scenario.config.model, dict(used), name)
    precomputed = ("embedding.weight", "layers.0.weight_ih")  # as one table, before the first character
    read_each_time = {n: w for n, w in used.items() if not n.endswith(precomputed)}
    if scenario.texts > 1:
        rates = _rates(functools.partial(_write_many, engine, scenario.texts))
        rates = [rate * scenario.texts for rate in rates]
        operations = 2 * sum(weights[n].size for n in read_each_time)
        limit, limit_name = statistics.median(_peak(torch.float32)) / operations, "fp32 peak of matrix products"
        shape = f"{shape}, {scenario.texts} texts"
    else:
        rates = _rates(functools.partial(_write, engine))
        size = sum(w.values.nbytes if isinstance(w, QuantizedMatrix) else w.nbytes for w in read_each_time.values())
        speed = max(map(reading_speed, (size, LARGE_BLOCK)))
        limit, limit_name = speed / size, f"reading {size / 1e6:.1f} MB at {speed / 1e9:.0f} GB/s"
    share = statistics.median(rates) / limit
    return _result(f"{name} engine, {shape}", rates, share_of_limit=share, limit=limit_name)


def _random_weights(config: Config) -> dict[str, Array]:
    random = np.random.default_rng(0)
    shapes = model_shapes(config, len(ALPHABET))
    return {name: (random.standard_normal(shape) * 0.05).astype(np.float32) for name, shape in shapes.items()}


def _rates(work: Callable[[int], None], shortest: int = 20) -> list[float]:
    """Measures units of work per second in several repeats. A warm-up finds how long a repeat must be to be timed."""
    return [rate for (rate,) in _rates_in_turn([work], shortest)]


def _result(
    what: str, rates: list[float], unit: str = "chars/s", share_of_limit: float | None = None, limit: str = ""
) -> Result:
    return Result(what, unit, statistics.median(rates), min(rates), max(rates), len(rates), share_of_limit, limit)


def _write(engine: Engine, length: int) -> None:
    for _ in stream(engine, ALPHABET, [0], SamplingOptions(length=length)):
        pass


def _write_many(engine: Engine, count: int, length: int) -> None:
    for chunks in texts(engine, ALPHABET, [0], SamplingOptions(length=length), count):
        for _ in chunks:
            pass


class PlainTorch:
    """Generates text as most scripts do: calls `nn.LSTM` with one character at a time."""

    def __init__(self, layers: int, hidden: int) -> None:
        torch.manual_seed(0)
        self._embedding = nn.Embedding(len(ALPHABET), hidden)
        self._lstm = nn.LSTM(hidden, hidden, layers, batch_first=True).eval()
        self._head = nn.Linear(hidden, len(ALPHABET))

    @torch.no_grad()
    def write(self, length: int) -> None:
        random = np.random.default_rng(0).random
        symbol, state = 0, None
        for _ in range(length):
            h, state = self._lstm(self._embedding(torch.tensor([[symbol]])), state)
            symbol = sampling.sample_logits(self._head(h)[0, 0].numpy(), 0.8, random())


def train_benchmark(
    shapes: tuple[tuple[str, str, int], ...] = TRAINED, batch_size: int = 64, window: int = 64
) -> Iterator[Result]:
    """Measures characters per second of whole training steps of one layer, in each number format.

    The limit is arithmetic: each weight of the cell takes part in one multiplication and one addition per character in
    the forward pass, and in twice as many in the backward pass. The peak is that of a product of large square matrices
    in the same format. With a small alphabet the lowest layer computes less (`CharModel` reads rows of a table), so a
    share may exceed 100 %. The last lines of each shape are what the optimizer and the products take of a bf16 step.
    """
    set_threads(processor_cores())
    peaks = {name: _peak(dtype) for name, dtype in DTYPES.items()}
    for name, rates in peaks.items():
        yield _result(f"product of {PRODUCT} x {PRODUCT} matrices, {name}", [r / 1e9 for r in rates], unit="GFLOP/s")
    for cell, activation, hidden in shapes:
        for name in DTYPES:
            config = one_layer(cell, activation, hidden, batch_size, window, name)
            step = TrainingStep(config, len(ALPHABET))
            rates = _rates(step.run, shortest=1)
            limit = statistics.median(peaks[name]) / step.operations_a_character
            yield _result(
                f"{_name(cell, activation)} 1x{hidden}, B={batch_size}, T={window}, {name}",
                [rate * batch_size * window for rate in rates],
                share_of_limit=statistics.median(rates) * batch_size * window / limit,
                limit=f"{name} peak",
            )
        for part, shares in Products(config, len(ALPHABET)).percentages(step, REPEATS).items():
            yield _result(f"    of which {part}, {_name(cell, activation)} 1x{hidden}", shares, unit="%")


def scaling_benchmark(
    processes: Group, shapes: tuple[tuple[str, str, int], ...] = TRAINED, batch_size: int = 64, window: int = 64
) -> Iterator[Result]:
    """Measures training by all processes of a group together. The limit is as many times the first process alone."""
    where, size = choose_device("auto"), processes.size
    set_threads(max(1, processor_cores() // group.local_size()))
    streams = max(1, batch_size // size) * size
    for (cell, activation, hidden), name in itertools.product(shapes, DTYPES):
        config = one_layer(cell, activation, hidden, streams, window, name)
        alone, by_all = together.rates(processes, config, len(ALPHABET), where, REPEATS, SECONDS_PER_REPEAT)
        yield _result(
            f"{_name(cell, activation)} 1x{hidden}, B={streams}, T={window}, {name}",
            [rate * streams * window for rate in by_all],
            share_of_limit=statistics.median(by_all) / statistics.median(alone) / size,
            limit=f"{size} x one process",
        )


def _name(cell: str, activation: str) -> str:
    return f"{cell} ({activation})" if cell == "rnn" else cell


def _peak(dtype: torch.dtype) -> list[float]:
    """Measures the floating-point operations per second of a large matrix product."""
    a, b = torch.randn(2, PRODUCT, PRODUCT).to(dtype)

    def multiply(times: int) -> None:
        for _ in range(times):
            a @ b

    return [rate * 2 * PRODUCT**3 for rate in _rates(multiply, shortest=1)]
