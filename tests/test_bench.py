"""The benchmarks run and report what they should; speed is never asserted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from charnet import bench
from charnet.bench import Scenario
from charnet.config import GATES, Config
from charnet.overlay import overlay
from charnet.training import throughput
from charnet.training.communication import Imagined
from charnet.training.throughput import TrainingStep


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SECONDS_PER_REPEAT", 0.002)
    monkeypatch.setattr(bench, "REPEATS", 5)
    monkeypatch.setattr(bench, "PRODUCT", 16)
    monkeypatch.setattr(throughput, "SPINNING", 0)


def check(results: list[bench.Result]) -> None:
    for result in results:
        assert 0 < result.lowest <= result.median <= result.highest < math.inf
        assert result.repeats >= 5
        assert (result.share_of_limit is None) == (result.limit == "")


def test_sampling_is_compared_with_the_library_and_its_limit() -> None:
    both = ("numpy", "compiled")
    scenarios = [
        Scenario("lstm", 2, 8, both, compare_torch=True),
        Scenario("gru", 1, 8, ("compiled",), "int8"),
        Scenario("lstm", 1, 8, both, members=2),
        Scenario("lstm", 1, 8, both, texts=3),
    ]
    results = list(bench.sample_benchmark(scenarios))
    check(results)
    assert [r.what for r in results] == [
        "numpy engine, lstm 2x8, fp32",
        "compiled engine, lstm 2x8, fp32",
        "nn.LSTM called per character, 2x8",
        "compiled engine, gru 1x8, int8",
        "numpy engine, 2 x lstm 1x8, fp32",
        "compiled engine, 2 x lstm 1x8, fp32",
        "numpy engine, lstm 1x8, fp32, 3 texts",
        "compiled engine, lstm 1x8, fp32, 3 texts",
    ]
    assert results[0].limit.startswith("reading 0.0 MB at")
    assert results[-1].limit == "fp32 peak of matrix products"


@pytest.mark.exhaustive
def test_training_is_compared_with_the_peak_of_each_format() -> None:
    results = list(bench.train_benchmark((("rnn", "relu", 8), ("lstm", "tanh", 8)), batch_size=2, window=4))
    check(results)
    assert [r.unit for r in results] == ["GFLOP/s"] * 2 + ["chars/s", "chars/s", "%", "%"] * 2
    assert results[2].what == "rnn (relu) 1x8, B=2, T=4, fp32"
    assert results[3].limit == "bf16 peak"


@pytest.mark.parametrize(("cell", "gates"), GATES.items())
def test_the_products_alone_are_all_those_of_a_step(monkeypatch: pytest.MonkeyPatch, cell: str, gates: int) -> None:
    """Counted in multiplications of B streams, T characters, H units: forward, backward, gradients of the weights."""
    counted = 0
    linear, mm = throughput.PackedLinear.__call__, torch.mm

    def of_linear(self: throughput.PackedLinear, x: torch.Tensor) -> torch.Tensor:
        result = linear(self, x)
        return count(result, x.shape[1])

    def of_mm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return count(mm(a, b), a.shape[1])

    def count(result: torch.Tensor, depth: int) -> torch.Tensor:
        nonlocal counted
        counted += result.numel() * depth
        return result

    monkeypatch.setattr(throughput.PackedLinear, "__call__", of_linear)
    monkeypatch.setattr(torch, "mm", of_mm)
    config = throughput.one_layer(cell, "tanh", hidden=16, batch_size=2, window=3, precision="fp32")
    assert throughput.Products(config, alphabet_size=7).seconds() > 0
    one_character = 2 * gates * 16  # streams x rows
    assert counted == 3 * one_character * ((8 + 16) + 16 + (8 + 16))  # an alphabet of 7 is padded to 8


@pytest.mark.exhaustive
def test_several_processes_are_compared_with_as_many_times_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which the others do nothing here: the first takes its part, and sends nothing."""
    streams: list[int] = []
    step = throughput.forward_backward

    def counted(model: Any, x_BT: Any, *more: Any, **options: Any) -> Any:
        streams.append(len(x_BT))
        return step(model, x_BT, *more, **options)

    monkeypatch.setattr(throughput, "forward_backward", counted)
    processes = Imagined(2)
    results = list(bench.scaling_benchmark(processes, (("gru", "tanh", 8),), batch_size=5, window=4))
    check(results)
    assert [r.what for r in results] == [f"gru 1x8, B=4, T=4, {name}" for name in ("fp32", "bf16")]
    assert {r.limit for r in results} == {"2 x one process"}
    assert set(streams) == {4, 2}  # alone all, together the half
    assert processes.traffic.bytes > 0


def test_a_character_costs_two_operations_per_weight_forward_and_four_backward() -> None:
    config = overlay(Config(), {"model.hidden_size": 8, "training.precision": "fp32"})
    step = TrainingStep(config, alphabet_size=5)
    assert step.operations_a_character == 2 * 3 * (4 * 8 * 8 + 4 * 8 * 8)


@pytest.mark.exhaustive
def test_each_control_is_compared_with_writing_without_it() -> None:
    results = list(bench.controls_benchmark(units=8, learned=500))
    check(results)
    engines = [result for result in results if result.share_of_limit is None]
    assert len(results) == len(engines) * (1 + len(bench.CONTROLS))
    assert {result.what.strip() for result in results} >= set(bench.CONTROLS)
