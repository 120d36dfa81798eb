"""What `charnet sweep` says: its plan, how each trial does, and what mattered."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.cli.messages import NOTHING_SAVED, rolled_back
from charnet.cli.options import TEXTS
from charnet.cli.tables import format_duration, format_loss
from charnet.cli.train import train
from charnet.errors import plural
from charnet.training.planner import PLANNED
from charnet.training.trials import DIVERGED, DONE, NOT_TRIED, PRUNED, QUARTERS, RUNNING, Trial, shown, twin_of

if TYPE_CHECKING:
    from charnet.training.sweep_events import Halved, Paused, Planned, SweepEvent, SweepFinished
    from charnet.training.sweep_file import Record
    from charnet.training.trials import Effect

EARLY = "before the end most differences are smaller than at the end, and small networks and no dropout look too good"
NOT_NAMED = NOT_TRIED - {"training.steps"}  # they follow from the steps
UNEQUAL = 1.25  # times the shortest time
SAME_PACE = 0.05  # a smaller difference from the planned time, as a fraction of it, is not worth a word
PLACES = {1: "a quarter", 2: "half", QUARTERS: "the end"}
SIZES = PLANNED - {"model.dropout", "training.steps"}  # a longer training chooses others, unless they are named


def lines(event: SweepEvent) -> list[str]:
    """Returns what is said of an event on the way."""
    from charnet.training.events import Replanned, RolledBack, Started
    from charnet.training.sweep_events import Halved, Paused, Planned

    if isinstance(event, Planned):
        return _planned(event)
    if isinstance(event, Paused):
        return [_paused(event)]
    if isinstance(event, Started):
        damage = f"{event.run}: its newest checkpoint is damaged ({event.damage}); resuming from the one before it"
        return [*event.notes, *[damage] * bool(event.damage)]
    if isinstance(event, RolledBack):
        return [rolled_back(event)]
    if isinstance(event, Replanned):
        return [f"to end on time, this training now ends at step {event.steps:,}"]
    return _halved(event) if isinstance(event, Halved) else []


def aborted(folder: Path | None) -> list[str]:
    """Says what is left of a sweep that was stopped at once."""
    if folder is None:
        return [NOTHING_SAVED]
    command = f"charnet sweep --resume {shlex.quote(str(folder))}"
    return ["stopped at once; resume from the last checkpoints with:", f"  {command}"]


def _planned(event: Planned) -> list[str]:
    from charnet.storage.run_list import short_model
    from charnet.training.trials import best_half, combinations

    record = event.record
    alive, stages = combinations(record.tried), []
    for rung in record.rungs:
        stages.append(f"{len(alive)} to {PLACES[rung]}")
        alive = best_half(alive, rung)
    if_left = "" if record.reserved else ", if time is left"
    stages += [f"then the best 2 again with another seed{if_left}"] * record.repeats
    steps = [record.config(trial).training.steps for trial in record.trials]
    models = sorted({short_model(record.config(trial)) for trial in record.trials})
    model = models[0] if len(models) == 1 else f"{len(models)} models"
    range_of_steps = f"{min(steps):,} to {max(steps):,} steps" if min(steps) < max(steps) else plural(steps[0], "step")
    tried = " x ".join(f"{len(values)} of {_field(name)}" for name, values in record.tried.items())
    spent = f", {format_duration(record.spent)} of it spent" if record.halved or record.trials[0].losses else ""
    return [
        f"{plural(math.prod(map(len, record.tried.values())), 'combination')}: {tried}; {model}; "
        f"a whole training is {range_of_steps}, {format_duration(record.seconds_each)}",
        f"plan: {', '.join(stages)}; in {format_duration(record.seconds)}{spent}",
        f"the runs are in {event.folder}",
    ]


def _paused(event: Paused) -> str:
    trial = event.trial
    if trial.state == DIVERGED:
        return f"{_label(trial)}: its loss is no longer a finite number; it is out"
    place, time = PLACES[event.rung], format_duration(trial.seconds)
    return f"{_label(trial)}: {format_loss(trial.losses[-1])} at {place}, {time} trained"


def _halved(event: Halved) -> list[str]:
    if event.rung == QUARTERS:
        return []
    said = [f"out after {PLACES[event.rung]}: {_label(trial)}" for trial in event.pruned]
    changed = [(_label(trial), f"{100 * abs(part - 1):.0f} % {'longer' if part > 1 else 'shorter'}")
               for trial in event.going if round(part := trial.last_part, 2) != 1]  # fmt: skip
    if not changed:
        return said
    parts = [trial.last_part for trial in event.going]
    aim = "to end on time" if max(parts) <= 1 else "to use the time" if min(parts) >= 1 else "to take equal times"
    rests = [f"the rest of {label} is {words}" for label, words in changed]
    if len(changed) == len(event.going) and len({words for _, words in changed}) == 1:
        rests = [f"the rest of each is {changed[0][1]}"]
    pace = f" (so far they took {event.slower:.2g} times the planned seconds)"
    return [*said, f"{aim}, {', '.join(rests)}{pace * (abs(event.slower - 1) > SAME_PACE)}"]


def findings(event: SweepFinished) -> list[str]:
    """Returns the table of trials, what mattered, and what to do with the best run."""
    if event.best is None:
        return [f"nothing was compared; {_how_to_go_on(event)}"]
    rows = [_row(trial, event) for trial in event.ranked]
    width = max(len(label) for label, _ in rows)
    said = [f"{label:<{width}}  {words}" for label, words in rows] + [""]
    said += [_effect(effect, event.noise) + _along(event.record, effect.name) for effect in event.effects]
    differ = event.seeds_differ
    measured = f"; two seeds of the same settings differed by {differ:.4f}" if differ is not None else ""
    said.append(f"differences below {event.noise:.3g} nats are noise{measured}")
    if any(effect.rung < QUARTERS and effect.spread >= event.noise for effect in event.effects):
        said.append(EARLY)
    took = [trial.seconds for trial in event.ranked if trial.state == DONE]
    if took and max(took) > UNEQUAL * min(took):
        unequal = f"{format_duration(min(took))} to {format_duration(max(took))}"
        said.append(f"the trainings that went to the end took {unequal}, not equally long: mistrust small differences")
    if len(event.ranked) > 1 and (close := _as_good(event)):
        said.append(f"as good as the best, within the noise: {close}")
    if event.reason != "complete":
        said.append(_how_to_go_on(event))
    best = event.ranked[0]
    return [
        *said,
        "",
        f"best: {_label(best)}",
        f"write with it:    charnet sample {shlex.quote(str(event.best))}",
        f"train it longer:  {train_command(event.record, best)}",
        *[f"go on with another: charnet train --resume {shlex.quote(str(event.folder / _example(event)))}"]
        * bool(_example(event)),
    ]


def _how_to_go_on(event: SweepFinished) -> str:
    again = f"charnet sweep --resume {shlex.quote(str(event.folder))}"
    if event.reason == "time":
        return f"the time was over before the last rung; {again} --for 5m goes on"
    return f"{again} goes on"


def _example(event: SweepFinished) -> str:
    return next((trial.label for trial in event.ranked if trial.state == PRUNED), "")


def _row(trial: Trial, event: SweepFinished) -> tuple[str, str]:
    record, twin = event.record, twin_of(trial, event.record.trials)
    if not trial.losses:
        return _label(trial), "diverged" if trial.state == DIVERGED else "not begun"
    rung = record.rungs[len(trial.losses) - 1]
    words = {RUNNING: "came to", PRUNED: "pruned after", DIVERGED: "diverged after"}.get(trial.state, "done")
    words += f" {PLACES[rung]}" if rung < QUARTERS and trial.state != DONE else ""
    if twin and twin.losses:
        place_of_twin = PLACES[record.rungs[len(twin.losses) - 1]]
        words += f", with another seed {twin.losses[-1]:.4f} at {place_of_twin}"
    return _label(trial), f"{format_loss(trial.losses[-1])}  {format_duration(trial.seconds)}  {words}"


def _effect(effect: Effect, noise: float) -> str:
    name = _field(effect.name)
    diverged = f"; diverged: {', '.join(map(shown, effect.diverged))}" if effect.diverged else ""
    if len(effect.losses) < 2:
        return f"{name}: nothing to compare{diverged}"
    losses = ", ".join(f"{shown(value)}: {loss:.4f}" for value, loss in effect.losses.items())
    place = "" if effect.rung == QUARTERS else f" at {PLACES[effect.rung]} of the training"
    if effect.spread < noise:
        return f"{name}: no difference above the noise{place}, {effect.spread:.4f} nats ({losses}){diverged}"
    return f"{name} mattered {effect.spread:.3f} nats{place}, {shown(effect.best)} was best ({losses}){diverged}"


def _along(record: Record, name: str) -> str:
    """Says which settings were chosen otherwise for the values of a tried one."""
    changed = changed_with(record, name)
    words = [
        f"{_field(key)} ({', '.join(map(_number, values))})" if values else _field(key)
        for key, values in changed.items()
    ]
    return f"; along with it changed {', '.join(words)}" if words else ""


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else shown(value)


def changed_with(record: Record, name: str) -> dict[str, list[Any]]:
    """Returns the settings that are others for other values of a tried one: for each value theirs, in the order of the
    values, or nothing if that depends on further settings."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for trial in record.trials:
        if not trial.again:
            others = {key: value for key, value in trial.values.items() if key != name}
            lines.setdefault(repr(others), []).append(record.settings | trial.changes)
    found: dict[str, list[Any]] = {}
    for key in record.settings.keys() - record.tried.keys() - NOT_NAMED:
        values = [[settings[key] for settings in line] for line in lines.values()]
        if any(value != line[0] for line in values for value in line):
            found[key] = values[0] if all(line == values[0] for line in values) else []
    return dict(sorted(found.items()))


def _as_good(event: SweepFinished) -> str:
    first, *rest = event.ranked
    close = [
        trial
        for trial in rest
        if len(trial.losses) == len(first.losses) and abs(trial.losses[-1] - first.losses[-1]) < event.noise
    ]
    return "; ".join(map(_label, close))


def train_command(record: Record, trial: Trial) -> str:
    """Returns the command line of a longer training with the settings of a trial, and with the size of its network."""
    settings = record.settings | trial.changes
    named = {*record.given, *record.tried, *SIZES} - {"data.paths", "data.val_chars"}
    words = [*settings["data.paths"], *_flags({name: settings[name] for name in sorted(named)})]
    return shlex.join(["charnet", "train", *words, "--for", f"{record.seconds:.0f}s"])


def _flags(settings: Mapping[str, Any]) -> Iterable[str]:
    from charnet.data.segment import is_pattern

    own = signature(train).parameters
    for name, value in settings.items():
        key = _field(name)
        text = shown(value)
        if key in TEXTS and not is_pattern(text):
            text = text.encode("unicode_escape").decode()
        if isinstance(value, bool) or key not in own:
            yield from ("--set", f"{name}={text}")
        else:
            yield from (f"--{key.replace('_', '-')}", text)


def as_dict(event: SweepFinished) -> dict[str, Any]:
    """Returns what a sweep has found, ready for JSON."""
    record = event.record
    return {
        "folder": str(event.folder),
        "reason": event.reason,
        "seconds": record.spent,
        "seconds_planned": record.seconds,
        "seconds_each": record.seconds_each,
        "rungs": [rung / QUARTERS for rung in record.rungs],
        "trials": [_trial(trial, event.folder, record) for trial in record.trials],
        "effects": [
            {
                "setting": effect.name,
                "nats_per_char": {shown(value): loss for value, loss in effect.losses.items()},
                "spread": effect.spread,
                "best": effect.best,
                "compared_at": effect.rung / QUARTERS,
                "diverged": list(effect.diverged),
                "changed_with": changed_with(record, effect.name),
            }
            for effect in event.effects
        ],
        "noise": event.noise,
        "seeds_differ": event.seeds_differ,
        "best": None if event.best is None else str(event.best),
        "train": None if event.best is None else train_command(record, event.ranked[0]),
    }


def _trial(trial: Trial, folder: Path, record: Record) -> dict[str, Any]:
    return {
        "run": str(folder / trial.label),
        "values": trial.values,
        "another_seed": trial.again,
        "steps": record.config(trial).training.steps,
        "last_part": trial.last_part,
        "state": trial.state or "not done",
        "nats_per_char": trial.losses,
        "seconds": round(trial.seconds, 3),
    }


def _label(trial: Trial) -> str:
    return trial.label.replace(",", ", ")


def _field(name: str) -> str:
    return name.partition(".")[2]
