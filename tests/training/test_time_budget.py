"""A run ends on time, whatever the machine does on the way."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from charnet.training.time_budget import TimeBudget


class Run:
    """A run on a clock of its own. `pace` gives the seconds of a step by the time."""

    def __init__(
        self,
        seconds: float,
        steps: int,
        pace: Callable[[float], float],
        evaluations: int = 1,
        most_steps: int | None = None,
        evaluation: float = 1.0,
    ) -> None:
        self.now, self.steps, self.revisions = 100.0, steps, 0
        time_budget = TimeBudget(100.0 + seconds, evaluation, most_steps, clock=lambda: self.now)
        every, step = math.ceil(1.15 * steps / evaluations), 0
        while step < self.steps:
            self.now += pace(self.now - 100)
            step += 1
            left = (self.steps - 1) // every - step // every
            revised = time_budget.revise(step, self.steps, left)
            if revised is not None:
                self.steps, self.revisions = revised, self.revisions + 1
            if step % every == 0 and step < self.steps:
                self.now += evaluation
                time_budget.record_evaluation(evaluation)
        self.took = self.now - 100


@pytest.mark.parametrize("seconds", [5, 60, 900])
def test_a_run_as_fast_as_planned_is_left_alone(seconds: float) -> None:
    run = Run(seconds, int(seconds / 0.05), lambda _: 0.05)
    assert run.revisions == 0


@pytest.mark.parametrize("seconds", [5, 60, 900])
@pytest.mark.parametrize("factor", [0.3, 0.9, 1.1, 4])
def test_a_run_ends_on_time_on_a_machine_that_is_faster_or_slower_than_planned(seconds: float, factor: float) -> None:
    run = Run(seconds, int(seconds / 0.05), lambda _: 0.05 * factor, evaluation=0.0)
    assert run.revisions or abs(factor - 1) * seconds < 1
    assert run.took == pytest.approx(seconds, abs=max(0.3, 0.01 * seconds))


def test_a_run_ends_on_time_when_the_machine_slows_down_on_the_way() -> None:
    run = Run(60, 1200, lambda now: 0.05 if now < 30 else 0.15)
    assert run.took == pytest.approx(60, abs=1)


def test_a_run_whose_first_steps_were_slow_uses_its_time_when_the_machine_is_free_again() -> None:
    run = Run(300, 6000, lambda now: 8.0 if now < 46 else 0.05, evaluation=0.0)
    assert run.took == pytest.approx(300, abs=3)


def test_evaluations_on_the_way_count() -> None:
    run = Run(60, 1200, lambda _: 0.05, evaluations=6)
    assert run.took == pytest.approx(60, abs=1.5)


def test_what_comes_before_the_first_step_says_nothing_of_the_pace() -> None:
    now = 0.0
    time_budget = TimeBudget(60.0, clock=lambda: now)
    now = 5.0
    assert time_budget.revise(1, 1000, 0) is None


def test_a_run_that_the_text_limits_ends_early_rather_than_fill_its_time() -> None:
    run = Run(60, 400, lambda _: 0.05, most_steps=400)
    assert (run.steps, run.revisions) == (400, 0)
    slow = Run(60, 400, lambda _: 0.5, most_steps=400)
    assert slow.took == pytest.approx(60, abs=1)


def test_a_run_that_goes_back_measures_its_pace_anew() -> None:
    now = 0.0
    time_budget = TimeBudget(300.0, clock=lambda: now)
    for step in range(1, 1001):
        now += 0.05
        time_budget.revise(step, 6000, 0)
    time_budget.restart_timing()
    for step in range(500, 1200):
        now += 0.05
        revised = time_budget.revise(step, 5500, 0)
        assert revised is None or revised > 5000
