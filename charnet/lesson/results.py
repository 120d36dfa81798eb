"""What a lesson found out: its runs, and what was measured in them. The page and the JSON hold the same numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from charnet.insight.gradients import GradientReach
from charnet.insight.memory import ContextCurve
from charnet.lesson.explosion import Explosion
from charnet.lesson.plan import REFERENCE, Plan
from charnet.lesson.runs import Run
from charnet.lesson.temperatures import Written

SMALLEST_DIFFERENCE = 0.01  # nats per character: less is never said to be one
UNDISTURBED = 0.85  # of the usual processor time
ASSUMED_CHANCE = 0.05  # where no run was repeated; such runs are short, and differ by more


@dataclass(frozen=True)
class Text:
    """The text of a lesson, in characters."""

    name: str
    characters: int
    held_out: int
    alphabet_size: int
    is_bundled: bool = False


@dataclass
class Lesson:
    """Everything that a lesson found out.

    Attributes:
        seconds: that were given, or None if the runs have a length in steps.
        memory, reach: by the names of runs.
        missing: parts that could not be measured, and why.
    """

    text: Text
    plan: Plan
    seconds: float | None
    runs: list[Run] = field(default_factory=list)
    memory: dict[str, ContextCurve] = field(default_factory=dict)
    reach: dict[str, GradientReach] = field(default_factory=dict)
    explosion: Explosion | None = None
    written: list[Written] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def run(self, name: str) -> Run | None:
        """Returns a run of this name that has a loss."""
        return next((run for run in self.runs if run.name == name and run.nats is not None), None)

    def of_part(self, *parts: str, reference: bool = True) -> list[Run]:
        """Returns the runs of some parts that have a loss; with the one that they are compared with."""
        return [
            run for run in self.runs
            if run.nats is not None and (run.part in parts or (reference and run.name == REFERENCE))
        ]  # fmt: skip

    @property
    def by_time(self) -> bool:
        """Whether the runs had equal times. On a short text they may all end at the same step before."""
        ended = {(run.steps, run.characters) for run in self.runs if not run.diverged}
        return self.seconds is not None and (len(ended) > 1 or len(self.runs) < 2)

    @property
    def disturbed(self) -> list[Run]:
        """The runs that got clearly less of the processor than the others, where time was what they had to learn in."""
        known = {run.name: run.busy for run in self.runs if run.busy is not None}
        if self.seconds is None or not known:
            return []
        usual = statistics.median(known.values())
        return [run for run in self.runs if known.get(run.name, usual) < UNDISTURBED * usual]

    @property
    def best(self) -> Run | None:
        """The run of the lowest loss."""
        return ranked(self.runs)[0] if ranked(self.runs) else None

    @property
    def seed_difference(self) -> float | None:
        """How much the loss of two runs differs that begin with other random weights; None if it is not known."""
        one, other = self.run(REFERENCE), next(iter(self.of_part("noise", reference=False)), None)
        return abs(loss(one) - loss(other)) if one and other else None

    @property
    def chance(self) -> float:
        """The difference between two runs that chance may explain: twice that of two seeds."""
        difference = self.seed_difference
        return ASSUMED_CHANCE if difference is None else max(SMALLEST_DIFFERENCE, 2 * difference)

    def as_dict(self) -> dict[str, Any]:
        """Returns all numbers, for JSON."""
        return {
            "text": vars(self.text),
            "seconds": self.seconds,
            "seconds_per_run": self.plan.seconds,
            "steps_per_run": self.plan.steps or None,
            "left_out": list(self.plan.left_out),
            "missing": self.missing,
            "seed_difference": self.seed_difference,
            "chance": self.chance,
            "runs": [run.as_dict() for run in self.runs],
            "memory": {name: curve.as_dict() for name, curve in self.memory.items()},
            "gradient": {name: reach.as_dict() for name, reach in self.reach.items()},
            "explosion": self.explosion.as_dict() if self.explosion else None,
            "temperatures": [vars(each) for each in self.written],
        }


def loss(run: Run) -> float:
    """Returns the loss of a run that has one."""
    assert run.nats is not None
    return run.nats


def ranked(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs that have a loss, the best first."""
    return sorted((run for run in runs if run.nats is not None), key=loss)
