"""What `--for 5m` does: chooses settings for a text, a machine and a training time.

`sizes` chooses the network or the ensemble. The number of steps follows from the measured speed, the dropout rates
from the number of passes over the text. `tests/bench/LOG.md` holds the measurements behind the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from charnet.config import Config
from charnet.errors import plural
from charnet.overlay import overlay
from charnet.training.resolve import resolve
from charnet.training.sizes import (
    FEWEST_STREAMS,
    LARGE_ALPHABET,
    SHORTEST_TEXT,
    Text,
    choose_size,
    interpolate,
    nearest_size,
)

PLANNED = {  # settings that a plan chooses and that have a command-line option
    "model.hidden_size", "model.members", "model.embedding_size", "model.dropout", "training.batch_size",
    "training.window", "training.steps",
}  # fmt: skip

# Time after the last step, for saving: a fraction of the whole time, and the most seconds.
RESERVED_FRACTION, MOST_RESERVED_SECONDS = 0.04, 5.0
EVALUATION_FRACTION = 0.05  # of the time, for all evaluations
USUAL_EVALUATIONS, MOST_EVALUATIONS = 8, 20
SPARE_STEPS = 1.15  # a run may grow by this factor on its way before it needs one more evaluation
EVALUATION_SPEED, MIXTURE_SPEED = 1.8, 1.3  # characters evaluated while one is trained on: of networks, with an n-gram
# An evaluation reads the part of the held-out text for which `USUAL_EVALUATIONS` fit before the last, or all of it if
# that is little more. After evaluations of a part one more follows at the end of the run, of all of the held-out text
# or as much as fits its own limit, in seconds or, if that is longer, as a fraction of the time.
LEAST_EVALUATED, LITTLE_MORE = 8192, 1.5  # characters: of fewer a loss says little; times as much
LONGEST_FINAL_EVALUATION, FINAL_EVALUATION_FRACTION = 3.0, 0.03
FINAL_EVALUATION_OVERTIME = 2.0  # seconds of the final evaluation that may come after the end of the time
LARGE_ALPHABET_PASS = 2.0  # a character of a large alphabet carries more: one pass counts as this many
FEW_CHARACTERS = 100_000  # a model that was trained on fewer writes no words
# Dropout rates by passes over the text. The networks of an ensemble need less: they overfit in different ways.
DROPOUT = ((1.5, 0.0), (2.5, 0.08), (4, 0.15), (7, 0.5))
MEMBER_DROPOUT = ((1.5, 0.0), (2.5, 0.08), (4, 0.12), (7, 0.3))
WEIGHT_DROPOUT = ((8, 0.0), (14, 0.3))
MOST_PASSES = 15.0  # more bring nothing, whatever the text


@dataclass(frozen=True)
class Plan:
    """The settings of a run that fits a time, and what they rest on.

    Attributes:
        config: a value for every setting.
        seconds: the time, for planning, training and evaluation.
        reserved_seconds: the part of the time that is for the work after the last step.
        chars_per_second: the measured training speed.
        seconds_per_evaluation: the expected length of an evaluation before the last.
        most_steps: the run would overfit with more.
        passes: over the text.
        limit: what the model lacks most, "time" or "text".
        remarks: sentences about what is unusual.
    """

    config: Config
    seconds: float
    reserved_seconds: float
    chars_per_second: float
    seconds_per_evaluation: float
    most_steps: int
    passes: float
    limit: str
    remarks: tuple[str, ...] = ()


def plan(
    config: Config, given: Collection[str], text: Text, seconds: float, seconds_per_step: Callable[[Config], float]
) -> Plan:
    """Chooses every setting that the user did not.

    Args:
        config: the settings so far.
        given: names of the settings that the user chose.
        seconds: for planning, training and all evaluations but the end of the final one.
        seconds_per_step: measures how long a step with these settings takes on this machine.
    """

    def apply_unset(config: Config, values: Mapping[str, Any]) -> Config:
        return overlay(config, {name: value for name, value in values.items() if name not in given})

    config, speed = choose_size(config, apply_unset, text, seconds - reserved_seconds(seconds), seconds_per_step)
    chars_per_step = config.training.batch_size * config.training.window

    eval_speed = speed * (MIXTURE_SPEED if text.tuning else EVALUATION_SPEED)
    config = apply_unset(config, {"data.val_chars": _val_chars(text, eval_speed, seconds)})
    evaluation = (min(text.held_out, config.data.val_chars or text.held_out) + text.tuning) / eval_speed
    evaluations = min(MOST_EVALUATIONS, 1 + int(EVALUATION_FRACTION * seconds / max(evaluation, 1e-9)))
    reserved = reserved_seconds(seconds) + _final_evaluation(text.held_out / eval_speed, evaluation, seconds)

    pass_weight = LARGE_ALPHABET_PASS if text.alphabet_size > LARGE_ALPHABET else 1.0
    most_steps = max(1, int(MOST_PASSES / pass_weight * text.train_chars / chars_per_step))
    chars_in_time = speed * (seconds - reserved - (evaluations - 1) * evaluation)
    steps = min(most_steps, max(1, int(chars_in_time / chars_per_step)))
    passes = steps * chars_per_step / text.train_chars
    limit = "text" if steps == most_steps or text.train_chars < SHORTEST_TEXT else "time"

    dropout = MEMBER_DROPOUT if config.model.members > 1 else DROPOUT
    config = apply_unset(
        config,
        {
            "model.dropout": interpolate(dropout, pass_weight * passes),
            "model.weight_dropout": interpolate(WEIGHT_DROPOUT, pass_weight * passes),
            "training.steps": steps,
            "training.eval_every": math.ceil(steps * SPARE_STEPS / evaluations),
        },
    )
    remarks = _remarks(config, text.train_chars, steps * chars_per_step, limit)
    config = resolve(config, text.train_chars)
    return Plan(config, seconds, reserved, speed, evaluation, most_steps, passes, limit, remarks)


def reserved_seconds(seconds: float) -> float:
    """Returns how much of the time is for the work after the last step, without a final evaluation."""
    return min(RESERVED_FRACTION * seconds, MOST_RESERVED_SECONDS)


def _val_chars(text: Text, chars_per_second: float, seconds: float) -> int:
    """Returns how many held-out characters each evaluation reads; 0 = all of them."""
    in_time = int(EVALUATION_FRACTION * seconds / USUAL_EVALUATIONS * chars_per_second)
    most = max(LEAST_EVALUATED, in_time - text.tuning)
    return 0 if text.held_out <= LITTLE_MORE * most else most


def _final_evaluation(full: float, evaluation: float, seconds: float) -> float:
    """Returns the seconds of evaluation after the last step that count against the time.

    Args:
        full: seconds of an evaluation on all of the held-out text.
        evaluation: seconds of each evaluation before the last.
        seconds: the whole time.
    """
    final = min(full, max(LONGEST_FINAL_EVALUATION, FINAL_EVALUATION_FRACTION * seconds))
    if evaluation < full:  # the last step has an evaluation of a part, then comes the final one
        final += evaluation
    return max(0.0, final - FINAL_EVALUATION_OVERTIME)


def _remarks(config: Config, train_chars: int, characters: int, limit: str) -> tuple[str, ...]:
    usual, t = nearest_size(config.model.hidden_size), config.training
    remarks = []
    if train_chars >= SHORTEST_TEXT and characters < FEW_CHARACTERS:
        remarks.append(f"the {limit} is enough to train on {plural(characters, 'character')} only: expect little sense")
    if t.window < usual.window and t.batch_size <= FEWEST_STREAMS:
        remarks.append(f"the text is short: windows of {plural(t.window, 'character')} instead of {usual.window}")
    return tuple(remarks)
