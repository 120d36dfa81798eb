"""Trains the runs of a lesson, and finds those that are finished already."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charnet import regular_file
from charnet.config import Config
from charnet.data.split import Part
from charnet.errors import CharnetError, DivergedError
from charnet.evaluation.evaluate import evaluate
from charnet.evaluation.evaluate_checkpoint import model_of
from charnet.evaluation.losses import checked
from charnet.lesson.plan import Experiment
from charnet.overlay import overlay
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.strict_json import strict_json
from charnet.training import setup
from charnet.training.events import Evaluated

MOST_READ = 100_000  # held-out characters, for the loss of a run
SAME_TIME, SHORT_TIME = 0.25, 0.7  # of the seconds planned, and seconds: a run that took clearly less is another one


@dataclass(frozen=True)
class Run:
    """A run, and what it came to.

    Attributes:
        nats: per held-out character, of its best weights; None if it diverged before it had any.
        seconds: of training.
        curve: `seconds`, `characters` and `nats` at each evaluation on a part of the held-out text.
        train_curve: the same of the training loss, at each report.
        reused: it was finished by an earlier lesson.
        busy: processor seconds in each second of the run; None if that is not known.
    """

    name: str
    part: str
    path: Path
    config: Config
    parameters: int
    steps: int
    characters: int
    seconds: float
    nats: float | None
    curve: dict[str, list[float]]
    diverged: bool = False
    reused: bool = False
    busy: float | None = None
    train_curve: dict[str, list[float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns all numbers, for JSON."""
        model, training = self.config.model, self.config.training
        settings = {
            "cell": model.cell, "activation": model.activation, "units": model.hidden_size, "layers": model.num_layers,
            "window": training.window, "streams": training.batch_size, "optimizer": training.optimizer,
            "learning_rate": training.learning_rate, "seed": training.seed,
        }  # fmt: skip
        left_out = ("config", "path")
        return {"path": str(self.path), **settings, **{k: v for k, v in vars(self).items() if k not in left_out}}


def train(
    experiment: Experiment,
    values: Mapping[str, Any],
    folder: Path,
    *,
    seconds: float | None,
    steps: int,
    stop: Callable[[], object],
) -> Path | None:
    """Trains one run. Returns its folder, or None if it was stopped: then it is saved and unfinished.

    Args:
        values: the text, and settings that all runs share.
        folder: of all runs of the lesson.
        seconds, steps: its length, one of both.

    Raises:
        CharnetError: the user has to change something; a run that diverges raises nothing.
    """
    length = {} if seconds is not None else {"training.steps": steps}
    run = setup.new_run({**experiment.values, **values, **length}, out=folder, name=experiment.name, seconds=seconds)
    with contextlib.closing(run.events(stop)) as events, contextlib.suppress(DivergedError):
        for event in events:
            if isinstance(event, Evaluated) and event.step >= run.config.training.steps:
                return run.folder.path  # before the evaluation of the whole held-out text: all runs read the same part
        return None
    return run.folder.path


def finished(
    experiment: Experiment,
    values: Mapping[str, Any],
    folder: Path,
    *,
    fingerprint: str,
    seconds: float | None,
    steps: int,
) -> Path | None:
    """Returns the folder of a finished run with the same settings, text and length, if there is one."""
    wanted = overlay(Config(), {**experiment.values, **values})
    for path in sorted(folder.glob(f"{experiment.name}*/{runs.LAST}")):
        with contextlib.suppress(CharnetError):
            last = Checkpoint.load(path, weights_only=True)
            state, length = last.trainer_state, last.config.training.steps
            if last.corpus.fingerprint != fingerprint or state.step < length or not _same(wanted, last.config, values):
                continue
            if seconds is None and length == steps:
                return path.parent
            if seconds is not None and abs(state.seconds - seconds) <= max(SAME_TIME * seconds, SHORT_TIME):
                return path.parent
    return None


def _same(wanted: Config, found: Config, values: Mapping[str, Any]) -> bool:
    """Returns whether a run was trained with these settings; those of the machine and its length may be others."""
    training: dict[str, Any] = {
        "steps": 0, "epochs": 0.0, "eval_every": 0, "report_every": 0, "length_changes": (), "threads": 0,
        "learning_rate": 0.0, "precision": "auto", "device": "auto",
    }  # fmt: skip
    data: dict[str, Any] = {"val": "", "paths": values["data.paths"]}

    def bare(config: Config) -> Config:
        return dataclasses.replace(
            config,
            training=dataclasses.replace(config.training, **training),
            data=dataclasses.replace(config.data, **data),
        )

    return bare(wanted) == bare(found)


def describe(
    experiment: Experiment, path: Path, held_out: Part, *, reused: bool = False, busy: float | None = None
) -> Run:
    """Describes a finished run; its best weights read as much of the held-out text as those of all others."""
    last = Checkpoint.load(runs.find(path, order=runs.RESUME_ORDER), weights_only=True)
    state, nats = last.trainer_state, None
    with contextlib.suppress(DivergedError):
        best = Checkpoint.load(runs.find(path), weights_only=True)
        found = evaluate(model_of(best), held_out, best.vocab.start_id(), most=MOST_READ)
        nats = checked(found).nats_per_char
    return Run(
        name=experiment.name,
        part=experiment.part,
        path=path,
        config=last.config,
        parameters=sum(weight.size for weight in last.weights.values()),
        steps=state.step,
        characters=state.chars_seen,
        seconds=round(state.seconds, 3),
        nats=nats if state.best_nats_per_char is not None else None,
        curve=_curve(last.history, "val_nats_per_char"),
        train_curve=_curve(_metrics(path), "train_nats_per_char"),
        diverged=state.step < last.config.training.steps,
        reused=reused,
        busy=busy,
    )


def _metrics(folder: Path) -> list[dict[str, Any]]:
    """Returns what a run reported; nothing where that cannot be read, since only curves are drawn from it."""
    try:
        lines = regular_file.read(folder / runs.METRICS, runs.LARGEST_METRICS).splitlines()
        found = [strict_json(line.decode()) for line in lines]
    except (OSError, ValueError, CharnetError):
        return []
    return [line for line in found if isinstance(line, dict)]


def _curve(history: Sequence[Mapping[str, Any]], loss: str) -> dict[str, list[float]]:
    """Returns a loss over time and over characters, where it was measured."""
    lines = [line for line in history if line.get(loss) is not None]
    names = {"seconds": "seconds", "characters": "chars_seen", "nats": loss}
    return {name: [float(line[key]) for line in lines] for name, key in names.items()}
