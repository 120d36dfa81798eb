"""Keeps a run on time: adjusts the number of steps to the measured speed while the run trains."""

from __future__ import annotations

import time
from collections.abc import Callable

CHECK_INTERVAL_FRACTION = 1 / 8  # of the remaining time
SHORTEST_CHECK_INTERVAL = 0.25  # seconds
# The error in the end of the run that needs no change: fraction of the whole time; seconds.
TOLERANCE, LEAST_TOLERANCE, MOST_TOLERANCE = 0.01, 0.25, 2.0


class TimeBudget:
    """Measures the speed of a run, and fits its length to the time when it has to end.

    Args:
        ends_at: time of the clock when the last step should end; the last evaluation and save follow.
        evaluation: expected seconds of an evaluation.
        most_steps: the run never gets longer than this.
        clock: returns seconds.
    """

    def __init__(
        self,
        ends_at: float,
        evaluation: float = 0.0,
        most_steps: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ends_at, self._clock = ends_at, clock
        self._mark_time, self._eval_seconds = clock(), 0.0  # since the mark
        self._mark_step: int | None = None  # None: the timing starts at the next call of `revise`
        self._tolerance = min(MOST_TOLERANCE, max(LEAST_TOLERANCE, TOLERANCE * (ends_at - clock())))
        self.evaluation, self.most_steps = evaluation, most_steps
        self._schedule_check()

    def _schedule_check(self) -> None:
        self._check_at = self._mark_time + max(
            SHORTEST_CHECK_INTERVAL, (self.ends_at - self._mark_time) * CHECK_INTERVAL_FRACTION
        )

    def record_evaluation(self, seconds: float) -> None:
        """Records how long an evaluation took. The later ones are expected to take as long."""
        self.evaluation = seconds
        self._eval_seconds += seconds

    def restart_timing(self) -> None:
        """Measures the speed afresh, after the run has returned to an earlier step."""
        self._mark_step = None

    def revise(self, step: int, steps: int, evaluations_left: int) -> int | None:
        """Returns a new length for the run in steps, or None if `steps` still fits the time.

        Args:
            step: steps done.
            steps: the length of the run so far.
            evaluations_left: still to come, without the last.
        """
        now = self._clock()
        if self._mark_step is None:
            self._mark_time, self._mark_step, self._eval_seconds = now, step, 0.0
            self._schedule_check()
        # A run that was slow at first has few steps: if it is fast now, they may end before the next check is due.
        half_done = step - self._mark_step >= (steps - self._mark_step) / 2
        if (now < self._check_at and not half_done) or step <= self._mark_step or step >= steps:
            return None
        seconds_per_step = max(1e-9, now - self._mark_time - self._eval_seconds) / (step - self._mark_step)
        self._mark_time, self._mark_step, self._eval_seconds = now, step, 0.0
        self._schedule_check()
        left = self.ends_at - now - evaluations_left * self.evaluation
        fits = step + max(0, round(left / seconds_per_step))
        if self.most_steps is not None:
            fits = max(step, min(fits, self.most_steps))
        return fits if abs(fits - steps) * seconds_per_step > self._tolerance else None
