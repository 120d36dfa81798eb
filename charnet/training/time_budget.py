"""Ending on time: how many steps the rest of a run's time is good for, asked again and again while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE_BETWEEN_LOOKS = 1 / 8  # of the time that is left
SHORTEST_BETWEEN_LOOKS = 0.25  # seconds
TOLERANCE, LEAST_TOLERANCE, MOST_TOLERANCE = 0.01, 0.25, 2.0  # share of the whole time, seconds


class TimeBudget:
    """Watches the pace of a run against the time when it has to end.

    Args:
        ends_at: when the last step should be done, on the clock; the last evaluation and saving come after it.
        evaluation: seconds that one will take, as far as is known.
        most_steps: the run never gets longer than this, whatever the time.
        clock: seconds.
    """

    def __init__(
        self,
        ends_at: float,
        evaluation: float = 0.0,
        most_steps: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ends_at, self._clock = ends_at, clock
        self._marked, self._away = clock(), 0.0
        self._marked_step: int | None = None  # what comes before the first step says nothing of the pace
        self._tolerance = min(MOST_TOLERANCE, max(LEAST_TOLERANCE, TOLERANCE * (ends_at - clock())))
        self._evaluation, self._most_steps = evaluation, most_steps
        self._plan_next_look()

    def _plan_next_look(self) -> None:
        self._look_at = self._marked + max(SHORTEST_BETWEEN_LOOKS, (self._ends_at - self._marked) * SHARE_BETWEEN_LOOKS)

    def evaluated(self, seconds: float) -> None:
        """An evaluation took so long; those to come are counted in."""
        self._evaluation = seconds
        self._away += seconds

    def went_back(self) -> None:
        """The run is at an earlier step again: its pace is measured anew."""
        self._marked_step = None

    def revised(self, step: int, steps: int, evaluations_left: int) -> int | None:
        """A better length than `steps` for the run, or None while the plan holds.

        Args:
            step: steps done; evaluations_left: those before the last.
        """
        now = self._clock()
        if self._marked_step is None:
            self._marked, self._marked_step, self._away = now, step, 0.0
            self._plan_next_look()
        if now < self._look_at or step <= self._marked_step or step >= steps:
            return None
        seconds_per_step = max(1e-9, now - self._marked - self._away) / (step - self._marked_step)
        self._marked, self._marked_step, self._away = now, step, 0.0
        self._plan_next_look()
        left = self._ends_at - now - evaluations_left * self._evaluation
        fits = step + max(0, round(left / seconds_per_step))
        if self._most_steps is not None:
            fits = max(step, min(fits, self._most_steps))
        return fits if abs(fits - steps) * seconds_per_step > self._tolerance else None
