"""Plans a sweep that fits a time: the settings of all trials, and the steps of each, so that all train equally long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from charnet.config import RUNS, Config
from charnet.data.streams import may_not_end
from charnet.errors import ConfigError, CorpusError, plural, shortened
from charnet.overlay import as_dict, overlay
from charnet.storage.runs import RunFolder
from charnet.training import resolve, trials
from charnet.training.sweep_file import SUFFIX, Record
from charnet.training.trials import QUARTERS, Trial, Tried

if TYPE_CHECKING:
    from charnet.data.corpus import OnRead
    from charnet.training.planner import Plan

# Whatever the values of these settings, a step takes as long.
SAME_PACE = {
    trials.RATE, trials.LAST_RATE, trials.SEED, "training.warmup", "training.clip", "training.weight_decay",
    "training.patience", "training.on_nan", "model.dropout", "model.weight_dropout",
}  # fmt: skip
SHORTEST_TRAINING, FEWEST_STEPS = 2.0, 100  # of a whole training: seconds, steps
STEPS_FOR_REPEATS = 500  # with fewer, the time is better spent on longer trainings
REPEATS = 2  # the best trials, trained once more with another seed
SPARE = 0.03  # of the time
SLOWER = 1.15  # than the timed steps, where no repeated trainings can be left out instead
PART_SECONDS = 0.3  # to start and to save a run
TRAINING_TIME = 0.9  # of the time of a run: the rest is for evaluations
BYTES_KEPT = 0.4  # of the most that a run takes: what a paused one keeps


def plan(
    values: Mapping[str, Any],
    tried: Tried,
    seconds: float,
    *,
    file_values: Mapping[str, Any] | None = None,
    out: Path = RUNS,
    name: str = "",
    on_start: Callable[[], object] = lambda: None,
    on_read: OnRead = lambda *_: None,
) -> tuple[RunFolder, Record]:
    """Plans a sweep and makes its folder.

    Args:
        values, file_values: settings of all trials, by `section.field`; charnet chooses the others for the time of one
            training.
        tried: as `trials.parse` returns it.
        seconds: for the whole sweep, from now on.
        out, name, on_start, on_read: as for `setup.new_run`; "-sweep" is appended to the name.

    Raises:
        CharnetError: the user has to change something; nothing was written.
    """
    ends_at = time.monotonic() + (1 - SPARE) * seconds
    made = trials.combinations(tried)
    values = _checked(values, file_values or {}, tried, made, seconds, name)
    given = sorted(values)
    from charnet.training import start

    models: dict[tuple[Any, ...], _Timed] = {}
    expected = (ends_at - time.monotonic()) / trials.cost(tried, REPEATS)[0]  # for a whole training
    for trial in made:
        if (shape := _shape(trial)) not in models:
            found, corpus, text = start.plan_run({**values, **trial.values}, expected, on_read=on_read)
            if not len(text.val):
                raise CorpusError(
                    "a sweep compares losses on held-out text, and none is held out: give a longer text, "
                    "or a larger data.val_fraction"
                )
            models[shape] = _timed(found, expected, text.train.fill(found.config.training.window))
            values.setdefault("data.val_chars", found.config.data.val_chars)  # all read the same
    first = next(iter(models.values())).config
    draws = first.data.val == "random"  # the seed draws what is held out
    if draws and trials.SEED in tried:
        raise ConfigError(
            "--try: seed draws the held-out part here, and losses on different ones cannot be compared; "
            "add --set data.val=last"
        )
    can_repeat = trials.SEED not in tried and not draws
    each, reserved = _seconds_each(tried, models.values(), ends_at - time.monotonic(), can_repeat)
    settings = _flat(first)
    for trial in made:
        trial.changes = _changes(trial, models[_shape(trial)], each, settings)
    values_tried = {key: list(each) for key, each in tried.items()}
    record = Record(settings, values_tried, given, corpus.fingerprint, made, seconds, each, can_repeat, reserved)
    record.longest = min(models[_shape(t)].most_steps / record.config(t).training.steps for t in made)
    _check_steps(made, each, models, seconds)
    on_start()
    sizes = [resolve.bytes_on_disk(record.config(trial), len(corpus.vocab)) for trial in made]
    return RunFolder.new(out, f"{name or corpus.name}{SUFFIX}", int(BYTES_KEPT * sum(sizes)) + max(sizes)), record


def _checked(
    values: Mapping[str, Any],
    file_values: Mapping[str, Any],
    tried: Tried,
    made: Sequence[Trial],
    seconds: float,
    name: str,
) -> dict[str, Any]:
    """Returns the settings of all trials after a check of each, before anything is read."""
    if both := [key for key in tried if key in values]:
        raise ConfigError(f"{both[0]} is set and tried: leave one out")
    if "training.eval_every" in values:
        raise ConfigError("training.eval_every cannot be set: a sweep evaluates where it compares")
    values, _ = resolve.choose_length(values, file_values, seconds)
    values = {key: value for key, value in values.items() if key not in trials.NOT_TRIED}
    for trial in made:
        resolve.check(overlay(Config(), values | trial.values), trial.label)
    resolve.check(Config(), name)
    if once := [path for path in overlay(Config(), values).data.paths if may_not_end(path)]:
        raise CorpusError(f"{shortened(once[0])}: can be read only once, and a sweep reads it often: save it in a file")
    cost = trials.cost(tried)[0]
    if seconds / cost < SHORTEST_TRAINING:
        raise ConfigError(_too_many(len(made), seconds, SHORTEST_TRAINING * cost, f"{seconds / cost:.1f} seconds"))
    return values


def _too_many(count: int, seconds: float, needed: float, each: str) -> str:
    return (
        f"{count} combinations are too many for {seconds:.0f} seconds: a whole training would have {each}; "
        f"try fewer values, or give --for {needed + 0.5:.0f}s or more"
    )


def _check_steps(made: Sequence[Trial], each: float, models: Mapping[tuple[Any, ...], _Timed], seconds: float) -> None:
    """Raises ConfigError if the time is not enough, for a text that is worth more of it."""
    for trial in made:
        _, pace, most = models[_shape(trial)]
        if pace * each < min(FEWEST_STEPS, most):
            steps = plural(int(pace * each), "step")
            raise ConfigError(_too_many(len(made), seconds, seconds * FEWEST_STEPS / (pace * each), steps))


def _shape(trial: Trial) -> tuple[Any, ...]:
    return tuple(value for key, value in trial.values.items() if key not in SAME_PACE)


class _Timed(NamedTuple):
    """Settings, the steps that a whole training makes in a second, and the most that it can use."""

    config: Config
    steps_per_second: float
    most_steps: int


def _timed(plan: Plan, seconds: float, fill: float) -> _Timed:
    """Args: seconds: for which the run was planned. fill: the fraction of a window that is no padding."""
    t = plan.config.training
    steps_per_second = t.steps / seconds
    if t.steps >= plan.most_steps:  # limited by the text, not by the time
        steps_per_second = TRAINING_TIME * plan.chars_per_second / (t.batch_size * t.window * fill)
    return _Timed(plan.config, steps_per_second, plan.most_steps)


def _seconds_each(tried: Tried, models: Iterable[_Timed], left: float, can_repeat: bool) -> tuple[float, bool]:
    """Returns the seconds of a whole training, and whether some are repeated with a second seed."""
    models = list(models)
    cost, parts = trials.cost(tried, REPEATS if can_repeat else 0)
    each = max(1e-3, left - parts * PART_SECONDS) / (cost if can_repeat else SLOWER * cost)
    if can_repeat and each * min(model.steps_per_second for model in models) < STEPS_FOR_REPEATS:
        return _seconds_each(tried, models, left, can_repeat=False)
    return min(each, max(model.most_steps / model.steps_per_second for model in models)), can_repeat


def _changes(trial: Trial, model: _Timed, seconds: float, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings in which a trial differs from `settings`, with an evaluation at every rung."""
    steps = min(model.most_steps, int(model.steps_per_second * seconds))
    planned = model.config.training
    evaluations = max(1, round(planned.steps / planned.eval_every / QUARTERS))  # in a quarter
    every = max(1, steps // (QUARTERS * evaluations))
    length = {"training.eval_every": every, "training.steps": QUARTERS * evaluations * every}
    found = _flat(model.config) | trial.values | length
    return {key: value for key, value in found.items() if value != settings[key]} | trial.values


def _flat(config: Config) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, keys in as_dict(config).items() for key, value in keys.items()}
