"""Prepares a run in several processes: the first one decides for all, and all help it to measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.config import Config
from charnet.model.shapes import num_weights
from charnet.overlay import as_dict, overlay
from charnet.storage.no_folder import NoFolder
from charnet.storage.runs import RunFolder
from charnet.training.communication import Imagined
from charnet.training.group import Group
from charnet.training.planner import Plan
from charnet.training.time_budget import TimeBudget

if TYPE_CHECKING:
    import torch

Pace = Callable[[Config, int, "torch.device"], float]
Settled = tuple[Config, Plan | None, TimeBudget | None]


def pace_of_one(config: Config, alphabet_size: int, device: torch.device) -> float:
    """Returns the seconds of a step in this process."""
    from charnet.training import throughput

    return throughput.seconds_per_step(config, alphabet_size, device)


def told(pace: Pace, on_try: Callable[[Config], object]) -> Pace:
    """Returns a function that measures a pace after it has said of which settings."""

    def measure(config: Config, alphabet_size: int, device: torch.device) -> float:
        on_try(config)
        return pace(config, alphabet_size, device)

    return measure


def settle(processes: Group, choose: Callable[[Pace], Settled], alphabet_size: int) -> Settled:
    """Chooses the settings of a run, in the first process; the others have no plan.

    Args:
        choose: does so, with a function that measures the pace of some settings.
    """
    if processes.size == 1:
        return choose(pace_of_one)
    if not processes.is_first:
        while "measure" in (message := processes.share(dict)):
            _pace_of_all(processes, config_of(message["measure"]), alphabet_size)
        time_budget = None
        if message["budget"]:
            ends_at, evaluation, most_steps = message["budget"]
            time_budget = TimeBudget(ends_at, evaluation, most_steps, processes.agreed_clock)
        return config_of(message["config"]), None, time_budget

    def pace(config: Config, _alphabet_size: int, _device: torch.device) -> float:
        processes.share(lambda: {"measure": as_dict(config)})
        return _pace_of_all(processes, config, alphabet_size)

    chosen: list[Settled] = []

    def decide() -> dict[str, Any]:
        chosen.append(choose(pace))
        config, _, budget = chosen[0]
        numbers = [budget.ends_at, budget.evaluation, budget.most_steps] if budget else None
        return {"config": as_dict(config), "budget": numbers}

    processes.share(decide)
    return chosen[0]


def _pace_of_all(processes: Group, config: Config, alphabet_size: int) -> float:
    """Returns the seconds of a step that all processes make together: of the slowest, and of the sum over all."""
    import torch

    from charnet.model import device
    from charnet.training import resolve, throughput

    where = device.choose_device(config.training.device)
    device.set_threads(resolve.threads_of(config))
    seconds = throughput.seconds_per_step(config, alphabet_size, where, Imagined(processes.size))
    by_network = resolve.is_by_network(config, processes.size)
    gradients = torch.zeros(1 if by_network else num_weights(config, alphabet_size), device=where)
    processes.sum(gradients)
    began = time.monotonic()
    float(processes.sum(gradients)[0])
    return processes.largest(seconds) + processes.largest(time.monotonic() - began)


def rates(
    processes: Group, config: Config, alphabet_size: int, where: torch.device, repeats: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Measures the steps in a second, several times: of the first process alone, then of all together with their sums.

    Args:
        seconds: of each measurement, about.
    """
    import torch

    from charnet.training import throughput

    def measure(step: throughput.TrainingStep, group: Group, size: int) -> list[float]:
        gradients = torch.zeros(size, device=where)

        def timed(steps: int) -> float:
            group.largest(0.0)  # all begin together
            began = time.perf_counter()
            for _ in range(steps):
                step.run(1)
                group.sum(gradients)
            return group.largest(time.perf_counter() - began)

        timed(throughput.WARMUP_STEPS)
        steps = max(1, round(seconds / timed(1)))
        return [steps / timed(steps) for _ in range(repeats)]

    alone: list[float] = processes.share(
        lambda: measure(throughput.TrainingStep(config, alphabet_size, where), Group(), 1)
    )
    step = throughput.TrainingStep(config, alphabet_size, where, processes)
    return alone, measure(step, processes, num_weights(config, alphabet_size))


def config_of(values: dict[str, dict[str, Any]]) -> Config:
    """Returns settings that JSON has carried."""
    named = {f"{section}.{key}": value for section, fields in values.items() for key, value in fields.items()}
    return overlay(Config(), named)


def folder_of(processes: Group, make: Callable[[], RunFolder]) -> RunFolder:
    """Returns the folder of a run in the first process, and one that takes nothing in the others."""
    made: list[RunFolder] = []

    def path() -> str:
        made.append(make())
        return str(made[0].path)

    found = processes.share(path)
    return made[0] if made else NoFolder(Path(found))
