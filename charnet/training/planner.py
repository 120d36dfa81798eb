"""What `--for 5m` means: from a text, a machine and a time to settings.

The network is the largest that the time can train: each of `SIZES` is timed on this machine, and is worth its price
once the time buys `worth_from` characters with it. Where two or more of nearly that size can see the text as often as
`PASSES_OF_A_MEMBER` says, they are trained as an ensemble. Dropout, evaluations and the length follow from the
passes over the text that this makes. CONTRIBUTING.md tells from which measurements the numbers were chosen.
"""

from __future__ import annotations

import contextlib
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from charnet.config import Config, overlay
from charnet.errors import ConfigError

DEFAULT_SECONDS = 300.0
PLANNED = {  # what a plan chooses, of what has an option of its own
    "model.hidden_size", "model.members", "model.embedding_size", "model.dropout", "training.batch_size",
    "training.window", "training.steps",
}  # fmt: skip
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30 * 86400.0
EXAMPLES = "say for instance 90s, 5m, 2h or 1h30m"
UNITS = {"h": 3600, "m": 60, "s": 1}

SHARE_KEPT, MOST_KEPT = 0.04, 5.0  # of the time, and seconds, for what comes after the last step
SHARE_OF_EVALUATION = 0.05  # of the time
MOST_EVALUATIONS = 20
ROOM = 1.15  # so much longer a run may get on its way before it needs one evaluation more
READ_IN_THE_TIME_OF_ONE_LEARNED = 1.8  # characters
# Seconds, or that share of the time where it is more. Each evaluation reads all that was held out where that is no
# longer; else a part that is, and when the run is over there is one more, of all or what the last may take.
LONGEST_EVALUATION, LONGEST_OF_A_PART, SHARE_OF_AN_EVALUATION = 2.0, 0.5, 0.01
LONGEST_LAST_READING, SHARE_OF_LAST_READING = 3.0, 0.03
OVER_TIME = 2.0  # seconds of the last reading that come on top of the time
STEPS_IN_A_PASS = 70  # fewer teach too little; else there are fewer streams
FEWEST_STREAMS, SHORTEST_WINDOW, FEWEST_WINDOWS = 4, 8, 4
LARGE_ALPHABET, LARGE_ALPHABET_COUNTS = 1000, 2.0
LITTLE = 100_000  # characters: whoever has seen fewer writes no words


@dataclass(frozen=True)
class Size:
    """A shape of network and window.

    It must see `worth_from` characters to beat the size before it, or a shorter text `ENOUGH_PASSES` times; on a text
    of fewer than `least_text` characters it never does.
    """

    hidden_size: int
    embedding_size: int
    batch_size: int
    window: int
    worth_from: int
    least_text: int = 0


SIZES = (
    Size(128, 32, 32, 32, 0),
    Size(256, 64, 32, 32, 500_000),
    Size(384, 96, 64, 32, 1_300_000, least_text=60_000),
    Size(512, 128, 64, 32, 2_400_000, least_text=60_000),
    Size(512, 128, 64, 64, 3_500_000, least_text=500_000),
    Size(768, 128, 64, 64, 4_200_000, least_text=500_000),
    Size(960, 128, 64, 64, 6_000_000, least_text=500_000),
)
ENOUGH_PASSES = 5.0
# Over a text of so many characters: in few passes over a short one a network learns little. All tables are straight in
# the logarithm between two points.
PASSES_OF_A_MEMBER = ((150_000, 6.0), (1_000_000, 3.0))
GOOD_MEMBERS, MOST_MEMBERS = 3, 8
SMALLEST_MEMBER = 0.6  # of the units that one network would have
LONGEST_STEP = 1.2  # seconds, of an ensemble: Ctrl-C waits for its end
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


def parse_duration(text: str) -> float:
    """Seconds, from what people write.

    >>> parse_duration("90s"), parse_duration("5m"), parse_duration("1h30m"), parse_duration("0.5h")
    (90.0, 300.0, 5400.0, 1800.0)

    Raises:
        ConfigError: it is no such thing, or out of all reason.
    """
    if not re.fullmatch(r"(\d{1,9}(\.\d{1,9})?[hms])+", text, re.ASCII):
        raise ConfigError(f"--for: expected a time, found {text[:40]!r}; {EXAMPLES}")
    seconds = sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))
    check_seconds(seconds)
    return seconds


def check_seconds(seconds: float) -> None:
    """Raises ConfigError if this is no time to train for."""
    if not isinstance(seconds, int | float) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ConfigError(
            f"a time to train for: expected between one second and thirty days, found {str(seconds)[:40]}; "
            f"{EXAMPLES}, from Python seconds=90"
        )


@dataclass(frozen=True)
class Text:
    """What matters of a text: characters to learn from, held out to judge by, and of how many kinds."""

    learned: int
    held_out: int
    alphabet_size: int


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

    timed = _candidates(config, apply_unset, text, seconds - reserved_seconds(seconds), seconds_per_step)
    several = _choose_ensemble(timed, apply_unset, text.learned, seconds - reserved_seconds(seconds), seconds_per_step)
    sized, speed = several or timed[-1]
    reading = speed * READ_IN_THE_TIME_OF_ONE_LEARNED
    sized = apply_unset(sized, {"data.val_chars": _read_on_the_way(text.held_out, reading, seconds)})
    evaluating = min(text.held_out, sized.data.val_chars or text.held_out) / reading
    last_reading = min(text.held_out / reading, max(LONGEST_LAST_READING, SHARE_OF_LAST_READING * seconds))
    if evaluating < text.held_out / reading:
        last_reading += evaluating
    for_the_end = reserved_seconds(seconds) + max(0.0, last_reading - OVER_TIME)
    evaluations = min(MOST_EVALUATIONS, 1 + int(SHARE_OF_EVALUATION * seconds / max(evaluating, 1e-9)))
    a_step = sized.training.batch_size * sized.training.window
    affordable = speed * (seconds - for_the_end - (evaluations - 1) * evaluating)
    felt = LARGE_ALPHABET_COUNTS if text.alphabet_size > LARGE_ALPHABET else 1.0
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
    return Plan(planned, seconds, for_the_end, speed, evaluating, most_steps, passes, limit, remarks)


def _read_on_the_way(held_out: int, per_second: float, seconds: float) -> int:
    """How much of the held-out text each evaluation reads; 0 is all of it."""
    share = SHARE_OF_AN_EVALUATION * seconds
    if held_out <= max(LONGEST_EVALUATION, share) * per_second:
        return 0
    return max(1, int(max(LONGEST_OF_A_PART, share) * per_second))


def reserved_seconds(seconds: float) -> float:
    """How much of the time is not for steps, but for what comes after the last."""
    return min(SHARE_KEPT * seconds, MOST_KEPT)


ApplyUnset = Callable[[Config, Mapping[str, Any]], Config]
Timed = tuple[Config, float]  # settings, and the characters a second that they learn


def _candidates(
    config: Config, apply_unset: ApplyUnset, text: Text, seconds: float, seconds_per_step: Callable[[Config], float]
) -> list[Timed]:
    """The settings with each size that is worth its price, the largest last; at least one."""
    timed: list[Timed] = []
    for size in SIZES:
        sized = _with_size(config, apply_unset, size, text)
        if timed and sized == timed[-1][0]:
            continue
        enough = min(size.worth_from, ENOUGH_PASSES * text.learned)
        if timed and (text.learned < size.least_text or timed[-1][1] * seconds < enough):
            break  # a larger one is no faster
        try:
            speed = _speed(sized, seconds_per_step)
        except ConfigError:  # there is no memory for it
            if not timed:
                raise
            break
        if timed and speed * seconds < enough:
            break
        timed.append((sized, speed))
    return timed


def _speed(config: Config, seconds_per_step: Callable[[Config], float]) -> float:
    return config.training.batch_size * config.training.window / seconds_per_step(config)


def _choose_ensemble(
    timed: Sequence[Timed],
    apply_unset: ApplyUnset,
    learned: int,
    seconds: float,
    seconds_per_step: Callable[[Config], float],
) -> Timed | None:
    """An ensemble instead of one network that would learn the text by heart: of the largest size of which the time buys
    `GOOD_MEMBERS` or more, else two, as many as it buys. None where no size that is nearly the largest is cheap
    enough."""
    units = timed[-1][0].model.hidden_size
    affordable = [
        (min(members, GOOD_MEMBERS), place, members, config)
        for place, (config, speed) in enumerate(timed)
        if config.model.hidden_size >= SMALLEST_MEMBER * units
        and (members := _members(config, speed, learned, seconds)) > 1
    ]
    for _, _, members, config in sorted(affordable, key=operator.itemgetter(0, 1), reverse=True):
        several = apply_unset(config, {"model.members": members})
        if several == config:
            break  # the user's own choice
        with contextlib.suppress(ConfigError):  # there is no memory for it
            return several, _speed(several, seconds_per_step)
    return None


def _members(config: Config, speed: float, learned: int, seconds: float) -> int:
    """How many of these the time buys if each sees the text often enough, and a step is to be no longer than a signal
    may wait for it."""
    seconds_per_step = config.training.batch_size * config.training.window / speed
    by_time = speed * seconds / (interpolate(PASSES_OF_A_MEMBER, learned) * learned)
    return int(min(by_time, LONGEST_STEP / seconds_per_step, MOST_MEMBERS))


def _with_size(config: Config, apply_unset: ApplyUnset, size: Size, text: Text) -> Config:
    sized = apply_unset(config, {"model.hidden_size": size.hidden_size})
    if sized.model.hidden_size != size.hidden_size:
        size = _nearest(sized.model.hidden_size)
    sized = apply_unset(sized, {"training.batch_size": size.batch_size, "training.window": size.window})
    width = size.embedding_size * (2 if text.alphabet_size > LARGE_ALPHABET else 1)
    return _fitting(apply_unset(sized, {"model.embedding_size": width}), apply_unset, text.learned)


def _nearest(hidden_size: int) -> Size:
    """The largest size that is no larger, whatever the user says about the units."""
    return max(
        (size for size in SIZES if size.hidden_size <= hidden_size), key=attrgetter("hidden_size"), default=SIZES[0]
    )


def _fitting(config: Config, apply_unset: ApplyUnset, characters: int) -> Config:
    """Fewer streams where a pass over the text has too few steps, then a shorter window where it has next to none;
    for the shortest texts a single stream."""

    def shorter(key: str, least: int, steps_in_a_pass: int) -> None:
        nonlocal config
        while (value := getattr(config.training, key)) > least:
            t = config.training
            if t.batch_size * t.window * steps_in_a_pass < characters:
                return
            halved = apply_unset(config, {f"training.{key}": max(least, value // 2)})
            if halved == config:
                return  # the user's own choice
            config = halved

    shorter("batch_size", FEWEST_STREAMS, STEPS_IN_A_PASS)
    shorter("window", SHORTEST_WINDOW, FEWEST_WINDOWS)
    shorter("batch_size", 1, 1)
    shorter("window", 1, 1)
    return config


def interpolate(points: Sequence[tuple[float, float]], x: float) -> float:
    """What a table says about a number: straight in its logarithm between two points, level outside.

    >>> [interpolate(DROPOUT, passes) for passes in (0.1, 2.5, 5, 1000)]
    [0.0, 0.08, 0.29, 0.5]
    """
    (before, low), *rest = points
    if x <= before:
        return low
    for after, high in rest:
        if x <= after:
            return round(low + (high - low) * math.log(x / before) / math.log(after / before), 2)
        before, low = after, high
    return low


def _remarks(planned: Config, characters: int, limit: str) -> tuple[str, ...]:
    usual, t = _nearest(planned.model.hidden_size), planned.training
    remarks = []
    if characters < LITTLE:
        bought = "the time is enough" if limit == "time" else "the text is good"
        remarks.append(f"{bought} for {characters:,} characters of learning: expect letters, few words")
    if t.window < usual.window and t.batch_size <= FEWEST_STREAMS:
        remarks.append(f"the text is short: windows of {t.window} characters instead of {usual.window}")
    return tuple(remarks)
