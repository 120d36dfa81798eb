"""Numbers that are no longer finite, put in at any step, never reach the disk."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import sentences
from faults.processes import outcome, seeds

from charnet.errors import DivergedError
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.training import setup
from charnet.training.events import Event, RolledBack
from charnet.training.trainer import MOST_ROLLBACKS, Trainer

pytestmark = pytest.mark.faults

STEPS = 24
SETTINGS = {
    "model.hidden_size": 8,
    "training.batch_size": 3,
    "training.window": 5,
    "training.threads": 1,
    "training.steps": STEPS,
    "training.eval_every": 6,
    "training.report_every": 2,
    "training.checkpoint_every": 0,
}
POISONS = [math.nan, math.inf, -math.inf]


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Trainer]:
    (tmp_path / "pets.txt").write_text(sentences(200))

    def prepared(name: str, **more: Any) -> Trainer:
        values = (
            SETTINGS
            | {"data.paths": [str(tmp_path / "pets.txt")]}
            | {f"model.{k}" if k in ("cell", "activation") else f"training.{k}": v for k, v in more.items()}
        )
        return setup.new_run(values, out=tmp_path, name=name)

    return prepared


def poisoned(run: Trainer, step: int, where: str, poison: float, times: int = 1) -> Trainer:
    """The run with a number put in as that step begins: into a weight, a gradient, or what the optimizer or the network
    remembers."""
    left, original = iter(range(times)), run._step
    chance = random.Random(step)
    parameter = chance.choice(list(run.train_state.model.parameters()))
    at = chance.randrange(parameter.numel())

    def spoil(values: torch.Tensor) -> None:
        values.view(-1)[at % values.numel()] = poison

    def stepped() -> None:
        if run.state.step == step and next(left, None) is not None:
            if where == "gradient":
                handle = parameter.register_hook(lambda grad: (g := grad.clone(), spoil(g))[0])
                try:
                    original()
                finally:
                    handle.remove()
                return
            with torch.no_grad():
                if where == "weight":
                    spoil(parameter)
                elif where == "optimizer":
                    spoil(chance.choice(list(run.train_state.optimizer.state.values())))
                elif where == "state":
                    spoil(chance.choice(run.train_state.state[0]))
        original()

    run._step = stepped  # type: ignore[method-assign]
    return run


def assert_all_is_finite(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        checkpoint = Checkpoint.load(path)
        for name, tensor in checkpoint.tensors.items():
            assert tensor.dtype != np.float32 or np.isfinite(tensor).all(), f"{path.name}: {name}"
        progress = checkpoint.trainer_state
        assert math.isfinite(progress.nats_since_report + progress.grad_norm_since_report)
        assert progress.best_nats_per_char is None or math.isfinite(progress.best_nats_per_char)
    for line in (folder / runs.METRICS).read_text().splitlines() if (folder / runs.METRICS).exists() else []:
        assert all(math.isfinite(value) for value in json.loads(line).values())


def all_reports(run: Trainer) -> list[Event]:
    return list(run.events())


def drawn(seed: int) -> tuple[int, str, float]:
    chance = random.Random(seed)
    wheres = ["weight", "gradient", "gradient", "optimizer", "state"]
    return chance.randrange(1, STEPS), chance.choice(wheres), chance.choice(POISONS)


@pytest.mark.parametrize("seed", seeds(15, 200))
def test_a_number_that_is_not_finite_ends_the_training_where_it_shows_and_is_never_saved(
    train: Callable[..., Trainer], seed: int
) -> None:
    step, where, poison = drawn(seed)
    run = poisoned(train("new"), step, where, poison)
    with pytest.raises(DivergedError, match="no longer a finite number"):
        all_reports(run)
    if where == "gradient":
        assert run.state.step == step
    else:  # a number that no step makes use of is found as it is about to be saved
        assert step <= run.state.step <= step + SETTINGS["training.eval_every"]
    assert_all_is_finite(run.folder.path)
    if run.folder.path.exists():
        assert Checkpoint.load(run.folder.path / runs.LAST).trainer_state.step <= step


@pytest.mark.parametrize("kind", ["optimizer", "state"])
def test_what_only_the_rest_of_the_run_would_suffer_from_is_not_saved_either(
    train: Callable[..., Trainer], kind: str
) -> None:
    """A squared gradient that overflows stops its weight for ever, and every loss stays finite."""
    run = train("new")
    original = run.save_last

    def spoiled() -> None:
        if run.state.step == 12:
            own = run.train_state
            tensor = own.optimizer.state["head.weight.square"] if kind == "optimizer" else own.state[0][1]
            tensor.view(-1)[0] = math.inf
        original()

    run.save_last = spoiled  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match="optimizer state" if kind == "optimizer" else "state"):
        all_reports(run)
    assert_all_is_finite(run.folder.path)
    assert Checkpoint.load(run.folder.path / runs.LAST).trainer_state.step == 6


@pytest.mark.parametrize("seed", seeds(6, 80))
def test_a_run_that_rolls_back_continues_at_half_the_rate_and_interrupted_it_ends_the_same(
    train: Callable[..., Trainer], seed: int
) -> None:
    step, _, poison = drawn(seed)
    times = 1 + seed % MOST_ROLLBACKS
    whole = poisoned(train("whole", on_nan="rollback"), step, "gradient", poison, times)
    reports = all_reports(whole)
    back = [report for report in reports if isinstance(report, RolledBack)]
    assert len(back) == times
    assert [b.learning_rate / a.learning_rate for a, b in itertools.pairwise(back)] == [0.5] * (times - 1)
    assert all(report.step <= report.from_step == step for report in back)
    last = Checkpoint.load(whole.folder.path / runs.LAST)
    assert (last.trainer_state.rollbacks, last.trainer_state.step) == (times, STEPS)
    assert_all_is_finite(whole.folder.path)

    cut = poisoned(train("cut", on_nan="rollback"), step, "gradient", poison, times)
    seen: list[Event] = []
    until = step + (STEPS - step) // 2
    for report in cut.events(lambda: len([r for r in seen if isinstance(r, RolledBack)]) == times
                              and cut.state.step >= until):  # fmt: skip
        seen.append(report)
    if cut.state.step < STEPS:
        all_reports(setup.resume_run(cut.folder.path))
    assert outcome(cut.folder.path) == outcome(whole.folder.path)


def test_after_three_times_a_run_that_rolls_back_ends(train: Callable[..., Trainer]) -> None:
    run = poisoned(train("new", on_nan="rollback"), 13, "gradient", math.nan, MOST_ROLLBACKS + 1)
    with pytest.raises(DivergedError):
        all_reports(run)
    assert Checkpoint.load(run.folder.path / runs.LAST).trainer_state.rollbacks == MOST_ROLLBACKS
    assert_all_is_finite(run.folder.path)


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_an_absurd_learning_rate_leaves_nothing_on_disk_that_is_not_finite(
    train: Callable[..., Trainer], optimizer: str
) -> None:
    run = train("new", optimizer=optimizer, learning_rate=1000.0, clip=0, cell="rnn", activation="relu")
    with contextlib.suppress(DivergedError):
        all_reports(run)
    assert_all_is_finite(run.folder.path)
