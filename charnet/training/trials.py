"""The trials of a sweep: which settings are tried, which trials go on at each rung, and what mattered.

Successive halving (Jamieson & Talwalkar 2016), inside the final schedule: every trial has its final length from the
start and pauses at the rungs. Trials with shorter schedules would choose too large a learning rate: in 300 steps the
best of seven was 0.08, and so it was after 75 of these steps, but schedules of 75 steps chose 0.16.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from charnet.config import AUTO, Config
from charnet.errors import ConfigError, quoted
from charnet.overlay import limits, overlay, qualified_names
from charnet.synonyms import meant

QUARTERS = 4  # in a whole schedule; rungs are counted in quarters
NOISE = 0.01  # nats per character: by so much do losses of equal settings differ from seed to seed
MOST_TRIALS = 256
RATE, LAST_RATE, SEED = "training.learning_rate", "training.final_learning_rate", "training.seed"
NOT_TRIED = {
    *(f"training.{key}" for key in ("steps", "epochs", "eval_every", "report_every", "checkpoint_every")),
    *(f"training.{key}" for key in ("length_changes", "resume_changes")),
}
# After a quarter of the schedule small networks and no dropout are ahead that will not be at the end: only trials that
# differ in nothing but the learning rate are compared there.
COMPARED_AT_A_QUARTER = {RATE}
RUNNING, PRUNED, DIVERGED, DONE = "", "pruned", "diverged", "done"
STATES = (RUNNING, PRUNED, DIVERGED, DONE)

Tried = Mapping[str, Sequence[Any]]  # the values of each setting, by `section.field`


@dataclass
class Trial:
    """One combination of the tried values, which is one run.

    Attributes:
        values: of the tried settings, by `section.field`.
        changes: settings that differ from those of the sweep; they hold `values`.
        again: whether it repeats another trial with the next seed.
        state: "" while it may go on, else "pruned", "diverged" or "done".
        losses: the best loss until each rung, in nats per character.
        seconds: that its training took.
        last_part: length of the last part of its schedule, as a fraction of the planned one.
    """

    values: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    again: bool = False
    state: str = RUNNING
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    last_part: float = 1.0

    @property
    def label(self) -> str:
        """The tried values, for people and as the name of a folder."""
        words = [f"{key.partition('.')[2]}={shown(value)}" for key, value in self.values.items()]
        return ",".join([*words, *["again"] * self.again])


def shown(value: Any) -> str:
    """Formats a value as it may be typed again.

    >>> [shown(value) for value in (0.3, 2.0, 1e-05, 64, "gru")]
    ['0.3', '2', '1e-05', '64', 'gru']
    """
    return str(value).removesuffix(".0")


def parse(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Reads options such as `--try learning_rate=0.01,0.02`.

    Raises:
        ConfigError: there is no such setting, it cannot be tried, a value is out of range, or there is nothing to
            compare.
    """
    known, tried = qualified_names(), dict[str, list[Any]]()
    for text in texts:
        given, equals, listed = text.partition("=")
        if not equals:
            raise ConfigError(f"--try: expected a setting and its values, as in dropout=0,0.3, found {quoted(text)}")
        key = given.rpartition(".")[2] if given in known.values() else given
        if key not in known:
            raise ConfigError(f"--try: there is no setting {quoted(given)}{meant(given, known)}")
        name = known[key]
        if name.startswith("data."):
            raise ConfigError(f"--try: {key} changes the text, and losses on different texts cannot be compared")
        if name in NOT_TRIED:
            raise ConfigError(f"--try: {key} cannot be tried: all trials of a sweep have the same")
        if name in tried:
            raise ConfigError(f"--try: {key} is there twice; give all its values at once")
        section = name.partition(".")[0]
        words = [word.strip() for word in listed.split(",")]
        values = [getattr(getattr(overlay(Config(), {name: word}), section), key) for word in words]
        if AUTO in values and limits(name).auto:
            raise ConfigError(f"--try: {key} needs numbers: auto stands for one of them")
        if twice := [value for value in values if values.count(value) > 1]:
            raise ConfigError(f"--try: {key} has the value {shown(twice[0])} twice")
        tried[name] = values
    if math.prod(map(len, tried.values())) < 2:
        raise ConfigError("--try: expected at least two values to compare, as in --try learning_rate=0.01,0.02,0.04")
    return tried


def combinations(tried: Tried) -> list[Trial]:
    """Returns a trial for each combination of values.

    Raises:
        ConfigError: there are too many.
    """
    count = math.prod(map(len, tried.values()))
    if count > MOST_TRIALS:
        raise ConfigError(f"--try: {count:,} combinations, {MOST_TRIALS} at most; try fewer values at once")
    return [Trial(dict(zip(tried, values, strict=True))) for values in itertools.product(*tried.values())]


def rungs(tried: Tried) -> tuple[int, ...]:
    """Returns where trials pause, in quarters of the schedule: first where some can be compared."""
    early = len(tried.get(RATE, ())) > 1 and math.prod(map(len, tried.values())) > 2
    return (1, 2, QUARTERS) if early else (2, QUARTERS)


def cost(tried: Tried, again: int = 0) -> tuple[float, int]:
    """Returns how many whole trainings a sweep takes, `again` among them, and in how many parts.

    >>> cost({"training.learning_rate": [1, 2, 3, 4], "model.dropout": [0, 0.3]})
    (4.0, 14)
    """
    alive, before, places = combinations(tried), 0, rungs(tried)
    total, parts = float(again), again * len(places)
    for rung in places:
        total += len(alive) * (rung - before) / QUARTERS
        parts += len(alive)
        alive, before = best_half(alive, rung), rung
    return total, parts


def best_half(ranked: Sequence[Trial], rung: int) -> list[Trial]:
    """Returns the trials that go on, at least two.

    Args:
        ranked: trials, the best first.
    """
    if rung == QUARTERS:
        return []
    names = {name for trial in ranked for name in trial.values}
    apart = names - COMPARED_AT_A_QUARTER if rung < QUARTERS / 2 else names & {LAST_RATE}  # it acts at the end
    groups: dict[tuple[Any, ...], list[Trial]] = {}
    for trial in ranked:
        groups.setdefault(_rest(trial, names - apart), []).append(trial)
    going = [trial for group in groups.values() for trial in group[: -(-len(group) // 2)]]
    return [trial for trial in ranked if trial in going] if len(going) > 1 else list(ranked[:2])


def _rest(trial: Trial, left_out: Collection[str]) -> tuple[Any, ...]:
    return tuple(value for name, value in trial.values.items() if name not in left_out)


@dataclass(frozen=True)
class Effect:
    """What the values of one setting did to the loss, the other settings being the same.

    Attributes:
        losses: nats per character of each value, the mean over combinations of the others that have all values.
        rung: where they are compared, in quarters of the schedule: the last one that trials with all values reached.
        diverged: values with which every training diverged.
    """

    name: str
    losses: dict[Any, float]
    rung: int
    diverged: tuple[Any, ...] = ()

    @property
    def best(self) -> Any:
        return min(self.losses, key=self.losses.__getitem__) if self.losses else None

    @property
    def spread(self) -> float:
        """Nats per character between the best value and the worst."""
        return max(self.losses.values()) - min(self.losses.values()) if self.losses else 0.0


def effect(name: str, trials: Sequence[Trial], tried: Tried) -> Effect | None:
    """Compares the values of one setting, or returns None if no two of them were trained with the same others."""
    first = [trial for trial in trials if not trial.again]
    diverged = tuple(
        value for value in tried[name] if all(t.state == DIVERGED for t in first if t.values[name] == value)
    )
    values = [value for value in tried[name] if value not in diverged]
    for index, rung in reversed(list(enumerate(rungs(tried)))):
        lines: dict[tuple[Any, ...], dict[Any, float]] = {}
        for trial in first:
            if len(trial.losses) > index:
                lines.setdefault(_rest(trial, {name}), {})[trial.values[name]] = trial.losses[index]
        whole = [line for line in lines.values() if len(values) > 1 and all(value in line for value in values)]
        if whole:
            return Effect(name, {v: sum(line[v] for line in whole) / len(whole) for v in values}, rung, diverged)
    return Effect(name, {}, 0, diverged) if diverged else None


def noise(trials: Sequence[Trial]) -> tuple[float, float | None]:
    """Returns below which difference losses say nothing, and the largest difference of two seeds that was measured."""
    differences = [
        abs(trial.losses[count - 1] - twin.losses[count - 1])
        for trial in trials
        if trial.again and (twin := twin_of(trial, trials)) and (count := min(len(trial.losses), len(twin.losses)))
    ]
    largest = max(differences, default=None)
    return max(NOISE, largest or 0.0), largest


def twin_of(trial: Trial, trials: Sequence[Trial]) -> Trial | None:
    """Returns the trial with the same values and another seed."""
    return next((t for t in trials if t.values == trial.values and t.again != trial.again), None)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the trials of the first seed, the best first: those that went furthest, by their last loss.

    Those that may go on are compared where all of them have been. Where the best two went to the end with both seeds,
    their means decide between them.
    """
    again = [trial for trial in trials if trial.again]
    twins = [twin_of(trial, trials) for trial in again if all(each.state == DONE for each in again)]
    first = [trial for trial in trials if not trial.again]
    alive = [len(trial.losses) for trial in first if trial.losses and trial.state in (RUNNING, DONE)]

    def key(trial: Trial) -> tuple[float, ...]:
        if not trial.losses:
            return 0, 0, math.inf
        depth = min([len(trial.losses), *alive])
        mean = trial.losses[depth - 1]
        if trial in twins and (twin := twin_of(trial, trials)):
            mean = (mean + twin.losses[-1]) / 2
        return -depth, trial not in twins, mean

    return sorted(first, key=key)
