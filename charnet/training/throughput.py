"""Measures how fast this machine trains, reads its memory and sends to itself.

Shape legend: B streams, T characters in a window, H hidden units, G = gates x H, K = inputs of a product.
"""

from __future__ import annotations

import datetime
import math
import threading
import time
from typing import Any

import torch
from torch import distributed

from charnet.config import GATES, Config
from charnet.errors import GroupError
from charnet.evaluation.evaluate import MOST_STREAMS
from charnet.model.cells.packed_linear import PackedLinear
from charnet.model.device import DTYPES
from charnet.model.ensemble import build
from charnet.model.loss import forward_backward
from charnet.model.network import ALIGNMENT
from charnet.overlay import overlay
from charnet.training import optim
from charnet.training.communication import Network, of_sum
from charnet.training.group import Group, add
from charnet.training.resolve import is_by_network, num_shards

EVALUATED = 64 * MOST_STREAMS  # characters
WARMUP_STEPS = 2  # while the library chooses and compiles its kernels
FEWEST_STEPS, SHORTEST_SECONDS = 3, 0.1  # timed at least
SPINNING = 0.2  # seconds that idle threads, also those of another library, may keep a core busy
LARGE, REPEATED_SUMS, SECONDS_FOR_LOOPBACK = 2_000_000, 11, 20  # numbers of a sum that shows the bandwidth


def part_of(config: Config, processes: int) -> tuple[Config, int, bool]:
    """Returns what one of several processes computes in a step.

    Returns:
        The settings of a shard and of the networks of the process, how many shards it computes one after the other,
        and whether it shares weights with the others.
    """
    members, by_network, count = config.model.members, is_by_network(config, processes), num_shards(config, processes)
    values = {
        "training.batch_size": max(1, config.training.batch_size // count),
        "model.members": members // processes if by_network else members,
    }
    return overlay(config, values), count if by_network else max(1, count // processes), not by_network


class TrainingStep:
    """A training step, the same as the trainer's, with its own model on random text.

    In that text a few characters are frequent and most are rare (Zipf 1949): a window has few of a large alphabet.

    Args:
        config: with a precision other than "auto".
        group: processes that take the step together; this one takes its part of it, and sends no gradients.
    """

    def __init__(
        self,
        config: Config,
        alphabet_size: int,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        group: Group | None = None,
    ) -> None:
        config, self._shards, shares = part_of(config, group.size if group else 1)
        model, training = config.model, config.training
        self._generator = torch.Generator(device)
        on_cpu = self._generator if device.type == "cpu" else torch.Generator()
        self._compute_dtype, self._device = DTYPES[training.precision], device
        self._clip = training.clip or math.inf
        self._model = build(alphabet_size, model, on_cpu).to(device)
        self._optimizer = optim.Optimizer(
            self._model, training.optimizer, blocks=GATES[model.cell], group=group if shares else None
        )
        shape = (2, training.batch_size, training.window)
        frequencies = 1 / torch.arange(1, alphabet_size + 1)
        ids = torch.multinomial(frequencies, math.prod(shape), True, generator=on_cpu)
        self._x_BT, self._y_BT = ids.view(shape).to(device)
        self._state = self._model.initial_state(training.batch_size)
        weights = sum(p.numel() for name, p in self._model.named_parameters() if optim.is_cell_matrix(name))
        self.operations_a_character = 2 * 3 * weights  # multiply and add, forward; twice as many backward

    def run(self, times: int, learning_rate: float = 0.0) -> None:
        """Takes this many steps."""
        for _ in range(times):
            self.timed(learning_rate)

    @torch.no_grad()
    def result(self) -> list[torch.Tensor]:
        """Returns copies of the weights, and the logits of an evaluation."""
        ids_ST = self._x_BT.flatten().repeat(-(-EVALUATED // self._x_BT.numel()))[:EVALUATED].view(MOST_STREAMS, -1)
        logits_STV, _ = self._model.eval()(ids_ST, self._model.initial_state(MOST_STREAMS))
        return [logits_STV, *(p.detach().clone() for p in self._model.parameters())]

    def timed(self, learning_rate: float = 0.0) -> tuple[float, float]:
        """Takes a step. Returns the seconds of the forward and backward pass, and of the optimizer."""
        began = time.perf_counter()
        for _ in range(self._shards):
            _, norm, _ = forward_backward(
                self._model,
                self._x_BT,
                self._y_BT,
                self._state,
                clip=self._clip,
                compute_dtype=self._compute_dtype,
                generator=self._generator,
            )
        norm.item()  # waits for a GPU
        between = time.perf_counter()
        self._optimizer.step(0, learning_rate)
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return between - began, time.perf_counter() - between


def seconds_per_step(config: Config, alphabet_size: int, device: torch.device, group: Group | None = None) -> float:
    """Measures the time of a step with these settings; in a group without the sum of gradients."""
    return median_seconds(TrainingStep(config, alphabet_size, device, group))


def median_seconds(step: TrainingStep) -> float:
    """Measures the median time of a few steps."""
    step.run(WARMUP_STEPS)
    timings: list[float] = []
    while len(timings) < FEWEST_STEPS or sum(timings) < SHORTEST_SECONDS:
        timings.append(sum(step.timed()))
    return sorted(timings)[len(timings) // 2]


class Products:
    """The matrix products of a training step of one layer over a small alphabet, with nothing between them.

    Each character takes one product forward and one backward, with all streams at once. The gradients of the weights
    take one for the whole window. The input is a one-hot character, as in `CharModel`.

    Args:
        config: of one layer, with a precision other than "auto".
    """

    def __init__(self, config: Config, alphabet_size: int) -> None:
        model, streams, dtype = config.model, config.training.batch_size, DTYPES[config.training.precision]
        units, sums = model.hidden_size, GATES[model.cell] * model.hidden_size
        inputs = -(-alphabet_size // ALIGNMENT) * ALIGNMENT + units
        weight_GK = torch.randn(sums, inputs).to(dtype)
        self._forward = PackedLinear(weight_GK, streams)
        self._backward = PackedLinear(weight_GK[:, -units:].t(), streams)
        self._x_TBK = torch.randn(config.training.window, streams, inputs).to(dtype)
        self._d_TBG = torch.randn(config.training.window, streams, sums).to(dtype)

    def percentages(self, step: TrainingStep, repeats: int) -> dict[str, list[float]]:
        """Measures in turn with whole steps; returns what these products and the optimizer take of each step."""
        self.seconds()  # the first time is longer
        found: dict[str, list[float]] = {"Muon": [], "products alone": []}
        for _ in range(repeats):
            (gradients, optimizer), products = step.timed(), self.seconds()
            for name, seconds in zip(found, (optimizer, products), strict=True):
                found[name].append(100 * seconds / (gradients + optimizer))
        return found

    def seconds(self) -> float:
        """Computes the products once, and returns the time that it took."""
        began = time.perf_counter()
        for x_BK in self._x_TBK:
            self._forward(x_BK)
        for d_BG in self._d_TBG:
            self._backward(d_BG)
        torch.mm(self._d_TBG.flatten(0, 1).t(), self._x_TBK.flatten(0, 1))
        return time.perf_counter() - began


def one_layer(cell: str, activation: str, hidden: int, batch_size: int, window: int, precision: str) -> Config:
    """Returns the settings of a benchmark: one layer, without dropout."""
    values = {
        "model.cell": cell, "model.activation": activation, "model.hidden_size": hidden, "model.dropout": 0.0,
        "training.batch_size": batch_size, "training.window": window, "training.precision": precision,
    }  # fmt: skip
    return overlay(Config(), values)


def reading_speed(size: int) -> float:
    """Measures the bytes per second at which all cores read a block repeatedly: the best of 30 sums."""
    block = torch.ones(max(1, size // 4))
    time.sleep(SPINNING)
    seconds = []
    for _ in range(40):
        began = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - began)
    return size / min(seconds[10:])


def loopback() -> Network:
    """Measures the network within this machine: the sum of the numbers of two processes, here of two threads."""
    c10d: Any = distributed  # torch does not declare the types of these
    store, found = c10d.HashStore(), list[list[float]]()

    def take_part(rank: int) -> None:
        patience = datetime.timedelta(seconds=SECONDS_FOR_LOOPBACK)
        group = c10d.ProcessGroupGloo(store, rank, 2, patience)
        found.append([_seconds_of_sum(group, size) for size in (2, LARGE)])

    threads = [threading.Thread(target=take_part, args=(rank,), daemon=True) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not found:
        raise GroupError("the speed of the network within this machine cannot be measured; give one with --network")
    small, large = (max(each) for each in zip(*found, strict=True))
    traffic = of_sum(4 * LARGE, 2)
    return Network(small / traffic.messages, traffic.bytes / max(large - small, 1e-9))


def _seconds_of_sum(group: Any, size: int) -> float:
    """Measures the median time of a sum as `Group.sum` computes it, of numbers of two processes."""
    numbers_N, timings = torch.ones(size), []
    received = torch.empty_like(numbers_N)
    for _ in range(REPEATED_SUMS):
        began = time.perf_counter()
        group.alltoall_base(received, numbers_N, [], []).wait()
        part = add(iter(received.view(2, -1)), 2)
        group.allgather([list(numbers_N.view(2, -1))], [part]).wait()
        timings.append(time.perf_counter() - began)
    return sorted(timings)[len(timings) // 2]
