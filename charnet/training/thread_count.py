"""Chooses the number of processor threads while a run trains: fewer while other programs compute.

Threads that share a step wait for each other. If one of them has no core, all wait: on two Intel cores an LSTM of 256
units learned 45,000 characters per second with two threads, and 2,000 to 9,000 while another program computed; with one
thread 38,000. So a run uses only as many threads as there are free cores, if that does not change its weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from charnet import machine
from charnet.config import Config
from charnet.errors import ConfigError
from charnet.overlay import overlay
from charnet.training.throughput import TrainingStep

SECONDS_BETWEEN_LOOKS, WEIGHT_OF_LOOK = 0.1, 0.15  # in the running mean
STEPS_COMPARED, COMPARED_RATE = 2, 0.01


class ThreadCount:
    """The number of threads of a run on the CPU.

    Args:
        most: threads.
        agrees: returns whether that number of threads gives the same weights as `most`, to the bit.
        clock: returns seconds.
    """

    def __init__(self, most: int, agrees: Callable[[int], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._agrees, self._clock = most, agrees, clock
        self._free = float(most)
        self._known = {most: True}
        self._look_at = clock()

    def adjust(self) -> None:
        """Looks at the other programs now and then, and sets the number of torch's threads."""
        if self._most == 1 or self._clock() < self._look_at:
            return
        self._look_at = self._clock() + SECONDS_BETWEEN_LOOKS
        if (free := machine.free_cores()) is None:
            return
        self._free += WEIGHT_OF_LOOK * (free - self._free)
        wanted = threads_for(self._free, self._most)
        if wanted not in self._known:
            self._known[wanted] = self._agrees(wanted)
        if self._known[wanted] and wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)


def threads_for(free_cores: float, most: int) -> int:
    """Returns the number of threads for this many free cores.

    >>> threads_for(1.9, 2), threads_for(1.2, 2), threads_for(0.1, 2)
    (2, 1, 1)
    """
    return max(1, min(most, round(free_cores)))


def agrees(config: Config, alphabet_size: int, threads: int) -> bool:
    """Returns whether this many threads give the same weights and logits as those of the settings, to the bit.

    Two steps are compared, and an evaluation. False too if there is no memory for a second network.
    """
    config = overlay(config, {"model.members": 1})  # all networks have one shape
    results = []
    before = torch.get_num_threads()
    try:
        with machine.explain_out_of_memory(""):
            for count in (config.training.threads, threads):
                torch.set_num_threads(count)
                step = TrainingStep(config, alphabet_size)
                step.run(STEPS_COMPARED, COMPARED_RATE)
                results.append(step.result())
    except ConfigError:
        return False
    finally:
        torch.set_num_threads(before)
    return all(map(torch.equal, *results))
