"""Fits the last part of a sweep to the pace that was measured: trainings become shorter or longer, in equal seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from charnet.training.sweep_file import Record
from charnet.training.trials import QUARTERS, Trial

# Of the planned length of the last part. If there is less time, a sweep ends before its last rung.
SHORTEST_LAST_PART, LONGEST_LAST_PART = 0.25, 3.0
SLACK = 0.95  # the last part is fitted to this fraction of the time left, and not for a smaller change than this
WORTH_A_SEED = 0.85  # trainings may become so short to make room for a second seed, as a fraction of the planned time


def slower(record: Record, reached: Sequence[Trial], rung: int) -> float:
    """Returns how many times as long as planned the trainings took on their way to a rung."""
    planned = record.seconds_each * rung / QUARTERS
    return sum(trial.seconds for trial in reached) / len(reached) / planned if reached else 1.0


def fit_last_part(record: Record, reached: Sequence[Trial], going: Sequence[Trial], left: float) -> None:
    """Sets `last_part` of the trials that go on to the end.

    Those with equal steps keep equal steps. Others, such as networks of two sizes, come to equal seconds, though the
    plan was made with a pace that was timed when the machine was busier, or less busy. The time for a second seed is
    taken off, if that leaves nearly the planned length.

    Args:
        reached: all trials that came to the rung.
        left: seconds.
    """
    so_far = _seconds_so_far(record, reached)
    taken = {trial.label: so_far[record.config(trial).training.steps] for trial in going}
    rung = record.rungs[-2]
    whole = max(taken.values()) * QUARTERS / rung  # seconds, at the planned length
    with_seeds = _seconds_of_a_training(taken, left, 2) if record.repeats and len(going) > 1 else 0.0
    is_enough = with_seeds >= whole * (WORTH_A_SEED if record.reserved else 1.0)
    seconds = with_seeds if is_enough else _seconds_of_a_training(taken, left)
    most = min(LONGEST_LAST_PART, (record.longest * QUARTERS - rung) / (QUARTERS - rung))
    for trial in going:
        done = taken[trial.label]
        fits = (seconds - done) / (done * (QUARTERS - rung) / rung) if done else 1.0
        fits = min(most, max(SHORTEST_LAST_PART, fits))
        trial.last_part = 1.0 if SLACK <= fits <= 1 / SLACK else fits


def _seconds_so_far(record: Record, reached: Sequence[Trial]) -> dict[int, float]:
    """Returns how long trials took on their way to the rung, the mean over those that make equally many steps."""
    found: dict[int, list[float]] = {}
    for trial in reached:
        found.setdefault(record.config(trial).training.steps, []).append(trial.seconds)
    return {steps: sum(seconds) / len(seconds) for steps, seconds in found.items()}


def _seconds_of_a_training(taken: Mapping[str, float], left: float, more: int = 0) -> float:
    """Returns the seconds of a whole training if all, and so many more from their start, take equally long."""
    return (SLACK * left + sum(taken.values())) / (len(taken) + more)
