"""Measures how fast this machine trains.

Shape legend: B streams, T characters in a window.
"""

from __future__ import annotations

import math
import time

import torch

from charnet.config import GATES, Config
from charnet.evaluation.evaluate import MOST_STREAMS
from charnet.model.device import DTYPES
from charnet.model.ensemble import build
from charnet.model.loss import forward_backward
from charnet.training import optim

EVALUATED = 64 * MOST_STREAMS  # characters
WARMUP_STEPS = 2  # while the library chooses and compiles its kernels
FEWEST_STEPS, SHORTEST_SECONDS = 3, 0.1  # timed at least


class TrainingStep:
    """A training step, the same as the trainer's, with its own model on random text.

    In that text a few characters are frequent and most are rare (Zipf 1949): a window has few of a large alphabet.

    Args:
        config: with a precision other than "auto".
    """

    def __init__(self, config: Config, alphabet_size: int, device: torch.device = torch.device("cpu")) -> None:  # noqa: B008
        model, training = config.model, config.training
        self._generator = torch.Generator(device)
        on_cpu = self._generator if device.type == "cpu" else torch.Generator()
        self._compute_dtype, self._device = DTYPES[training.precision], device
        self._clip = training.clip or math.inf
        self._model = build(alphabet_size, model, on_cpu).to(device)
        self._optimizer = optim.Optimizer(self._model, training.optimizer, blocks=GATES[model.cell])
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


def seconds_per_step(config: Config, alphabet_size: int, device: torch.device) -> float:
    """Measures the median time of a few steps."""
    step = TrainingStep(config, alphabet_size, device)
    step.run(WARMUP_STEPS)
    timings: list[float] = []
    while len(timings) < FEWEST_STEPS or sum(timings) < SHORTEST_SECONDS:
        timings.append(sum(step.timed()))
    return sorted(timings)[len(timings) // 2]
