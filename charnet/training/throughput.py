"""How fast this machine takes steps of training: measured, never assumed.

Shape legend: B streams, T characters in a window.
"""

from __future__ import annotations

import math
import time

import torch

from charnet.config import GATES, Config
from charnet.model.device import DTYPES
from charnet.model.ensemble import build
from charnet.model.loss import forward_backward
from charnet.training import optim

WARM_UP = 2  # steps in which the library still chooses and compiles its code
FEWEST, SHORTEST = 3, 0.1  # steps and seconds that are timed at least


class TrainingStep:
    """A step of training as `charnet.learner` takes it, with a model of its own on random text, in which a few
    characters are frequent and most are rare (Zipf 1949): of a large alphabet few come in a window.

    Args:
        config: with its precision chosen.
    """

    def __init__(self, config: Config, alphabet_size: int, device: torch.device = torch.device("cpu")) -> None:  # noqa: B008
        model, training = config.model, config.training
        self._compute_dtype, self._device = DTYPES[training.precision], device
        self._clip = training.clip or math.inf
        self._model = build(alphabet_size, model).to(device)
        self._optimizer = optim.Optimizer(self._model, training.optimizer, blocks=GATES[model.cell])
        shape = (2, training.batch_size, training.window)
        frequencies = 1 / torch.arange(1, alphabet_size + 1)
        self._x_BT, self._y_BT = torch.multinomial(frequencies, math.prod(shape), True).view(shape).to(device)
        self._state = self._model.initial_state(training.batch_size)
        weights = sum(p.numel() for name, p in self._model.named_parameters() if optim.is_cell_matrix(name))
        self.operations_a_character = 2 * 3 * weights  # a multiplication and an addition, twice as many going back

    def run(self, times: int) -> None:
        """Takes so many steps."""
        for _ in range(times):
            self.timed()

    def timed(self) -> tuple[float, float]:
        """Takes a step: seconds until the gradients were there, and of the optimiser."""
        began = time.perf_counter()
        _, norm, _ = forward_backward(
            self._model, self._x_BT, self._y_BT, self._state, clip=self._clip, compute_dtype=self._compute_dtype
        )
        norm.item()  # on a GPU: waits until it is done
        between = time.perf_counter()
        self._optimizer.step(0, 0.0)
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return between - began, time.perf_counter() - between


def seconds_per_step(config: Config, alphabet_size: int, device: torch.device) -> float:
    """The median of a few steps. Leaves torch's random numbers as they were."""
    with torch.random.fork_rng(devices=[]):
        step = TrainingStep(config, alphabet_size, device)
        step.run(WARM_UP)
        taken: list[float] = []
        while len(taken) < FEWEST or sum(taken) < SHORTEST:
            taken.append(sum(step.timed()))
    return sorted(taken)[len(taken) // 2]
