"""Timed scenarios: how fast this machine trains and writes, beside what limits it. Figures are medians of several
repeats."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from charnet.config import ACTIVATIONS, Config, SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine
from charnet.engines.numpy_engine import Array
from charnet.engines.registry import engine_of, has_numba
from charnet.generation.batch import texts
from charnet.generation.generate import stream
from charnet.machine import processor_cores
from charnet.model.device import set_threads
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay
from charnet.storage.quantize import QuantizedMatrix, quantize_all
from charnet.training.throughput import TrainingStep

REPEATS = 7
ALPHABET = Vocabulary(tuple(range(0x20, 0x61)))  # 65 symbols, as in English prose
SECONDS_A_REPEAT = 0.4
SPINNING = 0.2  # seconds: for so long threads that wait for work, another library's too, may keep a core
LARGE_BLOCK = 8 << 20  # bytes: less is read in so short a time that the threads' meeting would be measured
PRODUCT = 2048  # side of the matrices whose product is the peak
TRAINED = (
    *(("lstm", "tanh", units) for units in (128, 256, 512)),
    *(("gru", "tanh", 512), ("cifg", "tanh", 512)),
    *(("rnn", activation, 512) for activation in ACTIVATIONS),
)
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Scenario:
    """Something to write, and by which engines."""

    cell: str
    layers: int
    hidden: int
    engines: tuple[str, ...]
    precision: str = "fp32"
    texts: int = 1
    beside_torch: bool = False
    members: int = 1

    @property
    def config(self) -> Config:
        sizes = {"cell": self.cell, "num_layers": self.layers, "hidden_size": self.hidden, "members": self.members}
        return overlay(Config(), {f"model.{name}": value for name, value in sizes.items()})


BOTH = ("numpy", "compiled") if has_numba() else ("numpy",)
COMPILED = BOTH[1:]
WRITTEN = (
    *(Scenario("lstm", 2, hidden, BOTH, beside_torch=True) for hidden in (128, 256, 512)),
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
    """One measured figure. `share_of_limit` is the fraction of `limit` that it reaches, where a limit was measured."""

    what: str
    unit: str
    median: float
    lowest: float
    highest: float
    repeats: int
    share_of_limit: float | None = None
    limit: str = ""


def sample_benchmark(scenarios: Sequence[Scenario] = WRITTEN) -> Iterator[Result]:
    """Characters per second of text, in the process, drawing included: each engine, and beside them `nn.LSTM`.

    For one text the limit is the speed of reading: the weights are read once for each character, so memory that
    delivers b bytes a second allows b / (bytes of weights) characters a second. For many texts it is arithmetic: one
    multiplication and one addition for each weight.
    """
    for scenario in scenarios:
        weights = _random_weights(scenario.config)
        for engine in scenario.engines:
            yield _written(engine, scenario, weights)
        if scenario.beside_torch:
            layers, hidden = scenario.layers, scenario.hidden
            yield _result(f"nn.LSTM called per character, {layers}x{hidden}", _rates(PlainTorch(layers, hidden).write))


def _written(name: str, scenario: Scenario, weights: dict[str, Array]) -> Result:
    networks = f"{scenario.members} x " if scenario.members > 1 else ""
    shape = f"{networks}{scenario.cell} {scenario.layers}x{scenario.hidden}, {scenario.precision}"
    used = quantize_all(weights) if scenario.precision == "int8" else weights
    engine = engine_of(scenario.config.model, dict(used), name)
    in_a_table = ("embedding.weight", "layers.0.weight_ih")  # computed for each character before the first
    read_each_time = {n: w for n, w in used.items() if not n.endswith(in_a_table)}
    if scenario.texts > 1:
        rates = _rates(functools.partial(_write_many, engine, scenario.texts))
        rates = [rate * scenario.texts for rate in rates]
        operations = 2 * sum(weights[n].size for n in read_each_time)
        limit, said = statistics.median(_peak(torch.float32)) / operations, "fp32 peak of matrix products"
        shape = f"{shape}, {scenario.texts} texts"
    else:
        rates = _rates(functools.partial(_write, engine))
        size = sum(w.values.nbytes if isinstance(w, QuantizedMatrix) else w.nbytes for w in read_each_time.values())
        speed = max(map(reading_speed, (size, LARGE_BLOCK)))
        limit, said = speed / size, f"reading {size / 1e6:.1f} MB at {speed / 1e9:.0f} GB/s"
    share = statistics.median(rates) / limit
    return _result(f"{name} engine, {shape}", rates, share_of_limit=share, limit=said)


def reading_speed(size: int) -> float:
    """Bytes per second at which this many bytes are read again and again, on all cores: the best of 30 sums."""
    block = torch.ones(max(1, size // 4))
    time.sleep(SPINNING)
    seconds = []
    for _ in range(40):
        began = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - began)
    return size / min(seconds[10:])


def _random_weights(config: Config) -> dict[str, Array]:
    random = np.random.default_rng(0)
    shapes = model_shapes(config, len(ALPHABET))
    return {name: (random.standard_normal(shape) * 0.05).astype(np.float32) for name, shape in shapes.items()}


def _rates(work: Callable[[int], None], shortest: int = 20) -> list[float]:
    """Units of work per second in several repeats, each long enough to time, after a warm-up that finds that length."""
    length = shortest
    while True:
        began = time.perf_counter()
        work(length)
        took = time.perf_counter() - began
        if took > SECONDS_A_REPEAT / 4:
            break
        length *= 2
    length = max(shortest, int(length * SECONDS_A_REPEAT / took))
    rates = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work(length)
        rates.append(length / (time.perf_counter() - began))
    return rates


def _result(
    what: str, rates: list[float], unit: str = "chars/s", share_of_limit: float | None = None, limit: str = ""
) -> Result:
    return Result(what, unit, statistics.median(rates), min(rates), max(rates), len(rates), share_of_limit, limit)


def _write(engine: Engine, length: int) -> None:
    for _ in stream(engine, ALPHABET, [0], SamplingOptions(length=length)):
        pass


def _write_many(engine: Engine, count: int, length: int) -> None:
    for pieces in texts(engine, ALPHABET, [0], SamplingOptions(length=length), count):
        for _ in pieces:
            pass


class PlainTorch:
    """What most scripts do: the library's LSTM, called with one character at a time."""

    def __init__(self, layers: int, hidden: int) -> None:
        torch.manual_seed(0)
        self._embedding = nn.Embedding(len(ALPHABET), hidden)
        self._lstm = nn.LSTM(hidden, hidden, layers, batch_first=True).eval()
        self._head = nn.Linear(hidden, len(ALPHABET))

    @torch.no_grad()
    def write(self, length: int) -> None:
        random = np.random.default_rng(0).random
        chosen, state = 0, None
        for _ in range(length):
            h, state = self._lstm(self._embedding(torch.tensor([[chosen]])), state)
            chosen = sampling.sample_logits(self._head(h)[0, 0].numpy(), 0.8, random())


# ------------------------------------------------------------------------------------------- training


def train_benchmark(
    shapes: tuple[tuple[str, str, int], ...] = TRAINED, batch_size: int = 64, window: int = 64
) -> Iterator[Result]:
    """Characters per second of whole training steps of one layer, in each number format, beside the machine's peak.

    The limit is arithmetic: each weight of the cell takes part in one multiplication and one addition a character, and
    in twice as many on the way back; the peak is that of a product of large square matrices in the same format. The
    lowest layer of a model of few characters gets by with less (`CharModel` reads rows of a table), so a share may pass
    100 %. A last line for each shape says what share of its step the optimiser takes.
    """
    set_threads(processor_cores())
    peaks = {name: _peak(kind) for name, kind in FORMATS.items()}
    for name, rates in peaks.items():
        yield _result(f"product of {PRODUCT} x {PRODUCT} matrices, {name}", [r / 1e9 for r in rates], unit="GFLOP/s")
    for cell, activation, hidden in shapes:
        shown = f"{cell} ({activation})" if cell == "rnn" else cell
        for name in FORMATS:
            config = overlay(
                Config(),
                {
                    "model.cell": cell,
                    "model.activation": activation,
                    "model.hidden_size": hidden,
                    "model.dropout": 0.0,
                    "training.batch_size": batch_size,
                    "training.window": window,
                    "training.precision": name,
                },
            )
            step = TrainingStep(config, len(ALPHABET))
            rates = _rates(step.run, shortest=1)
            limit = statistics.median(peaks[name]) / step.operations_a_character
            yield _result(
                f"{shown} 1x{hidden}, B={batch_size}, T={window}, {name}",
                [rate * batch_size * window for rate in rates],
                share_of_limit=statistics.median(rates) * batch_size * window / limit,
                limit=f"{name} peak",
            )
        yield _result(f"    of which Muon, {shown} 1x{hidden}", _shares(step), unit="%")


def _peak(kind: torch.dtype) -> list[float]:
    """Floating-point operations per second of a large matrix product."""
    a, b = torch.randn(2, PRODUCT, PRODUCT).to(kind)

    def multiply(times: int) -> None:
        for _ in range(times):
            a @ b

    return [rate * 2 * PRODUCT**3 for rate in _rates(multiply, shortest=1)]


def _shares(step: TrainingStep) -> list[float]:
    """Per cent of a step that the optimiser takes."""
    parts = [step.timed() for _ in range(REPEATS)]
    return [100 * moving / (learning + moving) for learning, moving in parts]
