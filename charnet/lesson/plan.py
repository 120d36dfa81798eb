"""Which runs a lesson consists of, and how long each may take.

The runs differ from one of them, the LSTM, in one point each. The cells are compared at equal numbers of parameters,
and everything at equal times: a slow network reads less of the text, as it would outside of a lesson.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from charnet.config import Config
from charnet.errors import ConfigError
from charnet.model.shapes import num_weights
from charnet.overlay import overlay

UNITS, WINDOW, STREAMS = 128, 32, 32  # of the LSTM that all runs are compared with
OTHER_UNITS, OTHER_WINDOWS, OTHER_OPTIMIZERS = (16, 64, 256), (8, 128), ("adamw", "sgd")
CELLS = ("rnn tanh", "rnn relu", "lstm", "cifg", "gru")
PARTS = ("cells", "noise", "units", "windows", "layers", "optimizers")  # by what is left out last
EVALUATED = 8192  # held-out characters, for a point of a curve
SHORTEST_LESSON, SHORTEST_RUN, SHORTEST_OF_CELLS = 20.0, 3.0, 1.0  # seconds
BESIDES = 0.5  # seconds of a run besides its training: reading the text, saving, the last evaluation
START = 3.0  # seconds until the first run
MEASURED_FRACTION, LEAST_MEASURED, MOST_MEASURED = 0.12, 8.0, 18.0  # of the time, for what is measured after the runs
REFERENCE = "lstm"

BASE: dict[str, Any] = {
    "model.cell": "lstm", "model.hidden_size": UNITS, "model.num_layers": 1, "model.members": 1, "model.dropout": 0.0,
    "model.weight_dropout": 0.0, "model.ngram": 0, "training.batch_size": STREAMS, "training.window": WINDOW,
    "training.optimizer": "muon", "training.patience": 0, "training.seed": 0, "training.on_nan": "rollback",
    "data.val_chars": EVALUATED,
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """One run: the name of its folder, the part of the lesson that needs it, and its settings."""

    name: str
    part: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The runs of a lesson in their order.

    Attributes:
        seconds: of each run; None if each takes `steps` steps.
        left_out: the parts for which there is no time.
    """

    experiments: tuple[Experiment, ...]
    seconds: float | None
    steps: int = 0
    left_out: tuple[str, ...] = ()

    def without(self, part: str) -> Plan:
        """Returns the plan without a part that turned out not to fit."""
        kept = tuple(each for each in self.experiments if each.part != part)
        return replace(self, experiments=kept, left_out=(*self.left_out, part))


def check_time(seconds: float) -> None:
    """Raises ConfigError if a time is too short for a lesson."""
    if seconds < SHORTEST_LESSON:
        raise ConfigError(f"--for: a lesson takes {SHORTEST_LESSON:.0f} seconds at least, found {seconds:g}")


def plan(alphabet_size: int, train_chars: int, seconds: float | None, steps: int = 0) -> Plan:
    """Chooses the runs that fit a time, or all of them with so many steps each.

    Args:
        train_chars: of the text; a short one is read in fewer streams.
    """
    every = experiments(alphabet_size, train_chars)
    if seconds is None:
        return Plan(tuple(every), None, steps)
    time = seconds - START - measured_seconds(seconds)
    for number in range(len(PARTS), 0, -1):
        chosen = [each for each in every if each.part in PARTS[:number]]
        each_takes = time / len(chosen) - BESIDES
        if each_takes >= (SHORTEST_RUN if number > 1 else SHORTEST_OF_CELLS):
            break
    return Plan(tuple(chosen), each_takes, 0, PARTS[number:])


def measured_seconds(seconds: float) -> float:
    """Returns how much of the time is for what is measured after the runs."""
    return min(max(LEAST_MEASURED, MEASURED_FRACTION * seconds), MOST_MEASURED)


def experiments(alphabet_size: int, train_chars: int) -> list[Experiment]:
    """Returns all runs of a lesson, those of the first parts first."""
    streams = max(1, min(STREAMS, (train_chars - 1) // max(WINDOW, *OTHER_WINDOWS)))
    window = min(WINDOW, max(1, (train_chars - 1) // streams))
    base = overlay(Config(), BASE | {"training.batch_size": streams, "training.window": window})
    target = num_weights(base, alphabet_size)

    def made(name: str, part: str, **changes: Any) -> Experiment:
        values = {key.replace("__", "."): value for key, value in changes.items()}
        config = overlay(base, values)
        of_model = {"model.embedding_size": config.model.hidden_size}
        shape = {"training.batch_size": config.training.batch_size, "training.window": config.training.window}
        return Experiment(name, part, BASE | shape | values | of_model)

    def equal(**changes: Any) -> dict[str, Any]:
        values = {key.replace("__", "."): value for key, value in changes.items()}
        return changes | {"model__hidden_size": equal_size(overlay(base, values), alphabet_size, target)}

    found = []
    for name in CELLS:
        cell, _, activation = name.partition(" ")
        found.append(made(name.replace(" ", "-"), "cells",
                          **equal(model__cell=cell, model__activation=activation or "tanh")))  # fmt: skip
    found.append(made("lstm-other-seed", "noise", training__seed=1))
    found += [made(f"lstm-{units}-units", "units", model__hidden_size=units) for units in OTHER_UNITS]
    for length in OTHER_WINDOWS:  # characters of a step stay as they are
        rows = max(1, streams * window // length)
        found.append(made(f"lstm-window-{length}", "windows", training__window=length, training__batch_size=rows))
    found.append(made("lstm-2-layers", "layers", **equal(model__num_layers=2)))
    found += [made(f"lstm-{name}", "optimizers", training__optimizer=name) for name in OTHER_OPTIMIZERS]
    return found


def equal_size(config: Config, alphabet_size: int, target: int) -> int:
    """Returns the hidden units with which a model has nearly `target` parameters.

    >>> [equal_size(overlay(Config(), {"model.cell": cell}), 65, 148_673) for cell in ("rnn", "lstm", "cifg", "gru")]
    [242, 128, 147, 147]
    """

    def count(units: int) -> int:
        return num_weights(overlay(config, {"model.hidden_size": units, "model.embedding_size": units}), alphabet_size)

    low, high = 1, 1
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return min(low, high, key=lambda units: abs(count(units) - target))
