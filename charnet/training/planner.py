"""The meaning of `--for 5m`: from a text, a machine and a time to settings.

`sizes` chooses the network, or the ensemble. Dropout, evaluations and the length follow from the passes over the text
that it can make in the time. `tests/bench/LOG.md` holds the measurements behind the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from charnet.config import Config
from charnet.overlay import overlay
from charnet.training.resolve import resolve
from charnet.training.sizes import FEWEST_STREAMS, LARGE_ALPHABET, Text, choose_size, interpolate, nearest

PLANNED = {  # what a plan chooses, of what has an option of its own
    "model.hidden_size", "model.members", "model.embedding_size", "model.dropout", "training.batch_size",
    "training.window", "training.steps",
}  # fmt: skip

RESERVED_SHARE, MOST_RESERVED = 0.04, 5.0  # of the time, and seconds, for what comes after the last step
SHARE_OF_EVALUATION = 0.05  # of the time
MOST_EVALUATIONS = 20
ROOM = 1.15  # a run may get so much longer on its way before it needs one evaluation more
EVALUATION_SPEED = 1.8  # characters evaluated in the time of one trained
# Seconds, or that share of the time where it is more. Each evaluation reads all that was held out where that is no
# longer; else a part that is, and at the end of the run there is one more, of all or of as much as there is time for.
LONGEST_EVALUATION, LONGEST_OF_A_PART, SHARE_OF_AN_EVALUATION = 2.0, 0.5, 0.01
LONGEST_LAST_READING, SHARE_OF_LAST_READING = 3.0, 0.03
OVER_TIME = 2.0  # seconds of the last reading that come on top of the time
LARGE_ALPHABET_FACTOR = 2.0  # a character of a large alphabet carries more: a pass counts so many times
LITTLE = 100_000  # characters: a model that has seen fewer writes no words
# By passes over the text. A large alphabet counts double: each character carries more.
DROPOUT = ((1.5, 0.0), (2.5, 0.08), (4, 0.15), (7, 0.5))
DROPOUT_OF_A_MEMBER = ((1.5, 0.0), (2.5, 0.08), (4, 0.12), (7, 0.3))  # what one knows too well, the others do not
WEIGHT_DROPOUT = ((8, 0.0), (14, 0.3))
MOST_PASSES = 15.0  # beyond, a text has nothing more to teach


@dataclass(frozen=True)
class Plan:
    """A run that fits the time, and what there is to say about it.

    Of its time `reserved_seconds` are for what comes after the last step. It reads `chars_per_second` and makes so many
    `passes` over the text; with more than `most_steps` it would overfit. `limit` is what to have more of for a
    better model, "time" or "text". `remarks` are sentences about what is out of the ordinary.
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
        config: the settings so far; given: names of those that the user chose.
        seconds: for planning, training and the evaluations on the way.
        pace: measures how many seconds a step with these settings takes on this machine.
    """

    def apply_unset(config: Config, values: Mapping[str, Any]) -> Config:
        return overlay(config, {name: value for name, value in values.items() if name not in given})

    sized, speed = choose_size(config, apply_unset, text, seconds - reserved_seconds(seconds), seconds_per_step)
    reading = speed * EVALUATION_SPEED
    sized = apply_unset(sized, {"data.val_chars": _read_on_the_way(text.held_out, reading, seconds)})
    evaluating = min(text.held_out, sized.data.val_chars or text.held_out) / reading
    last_reading = min(text.held_out / reading, max(LONGEST_LAST_READING, SHARE_OF_LAST_READING * seconds))
    if evaluating < text.held_out / reading:
        last_reading += evaluating
    for_the_end = reserved_seconds(seconds) + max(0.0, last_reading - OVER_TIME)
    evaluations = min(MOST_EVALUATIONS, 1 + int(SHARE_OF_EVALUATION * seconds / max(evaluating, 1e-9)))
    a_step = sized.training.batch_size * sized.training.window
    affordable = speed * (seconds - for_the_end - (evaluations - 1) * evaluating)
    felt = LARGE_ALPHABET_FACTOR if text.alphabet_size > LARGE_ALPHABET else 1.0
    most_steps = max(1, int(MOST_PASSES / felt * text.learned / a_step))
    steps = min(most_steps, max(1, int(affordable / a_step)))
    passes = steps * a_step / text.learned
    dropout = DROPOUT_OF_A_MEMBER if sized.model.members > 1 else DROPOUT
    planned = apply_unset(
        sized,
        {
            "model.dropout": interpolate(dropout, felt * passes),
            "model.weight_dropout": interpolate(WEIGHT_DROPOUT, felt * passes),
            "training.steps": steps,
            "training.eval_every": math.ceil(steps * ROOM / evaluations),
        },
    )
    limit = "text" if steps == most_steps else "time"
    remarks = _remarks(planned, steps * a_step, limit)
    planned = resolve(planned, text.learned)
    return Plan(planned, seconds, for_the_end, speed, evaluating, most_steps, passes, limit, remarks)


def _read_on_the_way(held_out: int, per_second: float, seconds: float) -> int:
    """How much of the held-out text each evaluation reads; 0 is all of it."""
    share = SHARE_OF_AN_EVALUATION * seconds
    if held_out <= max(LONGEST_EVALUATION, share) * per_second:
        return 0
    return max(1, int(max(LONGEST_OF_A_PART, share) * per_second))


def reserved_seconds(seconds: float) -> float:
    """How much of the time is not for steps, but for what comes after the last."""
    return min(RESERVED_SHARE * seconds, MOST_RESERVED)


def _remarks(planned: Config, characters: int, limit: str) -> tuple[str, ...]:
    usual, t = nearest(planned.model.hidden_size), planned.training
    remarks = []
    if characters < LITTLE:
        bought = "the time is enough" if limit == "time" else "the text is good"
        remarks.append(f"{bought} for {characters:,} characters of learning: expect letters, few words")
    if t.window < usual.window and t.batch_size <= FEWEST_STREAMS:
        remarks.append(f"the text is short: windows of {t.window} characters instead of {usual.window}")
    return tuple(remarks)
