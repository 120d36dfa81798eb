"""Which networks fit a time: each of `SIZES` is timed on this machine, alone and as an ensemble.

The network is the largest that the time can train: one is worth its price once the time is enough for `worth_from`
characters with it. If the time is enough for two or more of nearly that size to see the text as often as
`PASSES_OF_A_MEMBER` says, they are trained as an ensemble. `tests/bench/LOG.md` holds the measurements behind the
numbers.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from charnet.config import Config
from charnet.errors import ConfigError

if TYPE_CHECKING:
    from charnet.data.encoded_copy import Ends

STEPS_IN_A_PASS = 70  # fewer teach too little; else there are fewer streams
FEWEST_STREAMS, SHORTEST_WINDOW, FEWEST_WINDOWS = 4, 8, 4
LARGE_ALPHABET = 1000  # characters: from there on an embedding is twice as wide


@dataclass(frozen=True)
class Text:
    """What matters of a text: characters to learn from, held out to judge by, and of how many kinds."""

    learned: int
    held_out: int
    alphabet_size: int


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
CHARACTERS_A_STEP, LARGEST_BATCH, LONGEST_WINDOW = 1500, 512, 256  # where every line is a document
# Over a text of so many characters: in few passes over a short one a network learns little. All tables are straight in
# the logarithm between two points.
PASSES_OF_A_MEMBER = ((150_000, 6.0), (1_000_000, 3.0))
GOOD_MEMBERS, MOST_MEMBERS = 3, 8
SMALLEST_MEMBER = 0.6  # of the units that one network would have
LONGEST_STEP = 1.2  # seconds, of an ensemble: Ctrl-C waits for its end


ApplyUnset = Callable[[Config, Mapping[str, Any]], Config]
SecondsPerStep = Callable[[Config], float]
Timed = tuple[Config, float]  # settings, and the characters a second that they learn


def choose_size(
    config: Config, apply_unset: ApplyUnset, text: Text, seconds: float, seconds_per_step: SecondsPerStep
) -> Timed:
    """Chooses the network or the ensemble that a time of training is best spent on, and its speed.

    Args:
        apply_unset: lays values over a config, but for settings that the user chose.
        seconds: for steps.
        seconds_per_step: measures a step with these settings on this machine.
    """
    timed = _candidates(config, apply_unset, text, seconds, seconds_per_step)
    return _choose_ensemble(timed, apply_unset, text.learned, seconds, seconds_per_step) or timed[-1]


def _candidates(
    config: Config, apply_unset: ApplyUnset, text: Text, seconds: float, seconds_per_step: SecondsPerStep
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


def _speed(config: Config, seconds_per_step: SecondsPerStep) -> float:
    return config.training.batch_size * config.training.window / seconds_per_step(config)


def _choose_ensemble(
    timed: Sequence[Timed],
    apply_unset: ApplyUnset,
    learned: int,
    seconds: float,
    seconds_per_step: SecondsPerStep,
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
        size = nearest(sized.model.hidden_size)
    sized = apply_unset(sized, {"training.batch_size": size.batch_size, "training.window": size.window})
    width = size.embedding_size * (2 if text.alphabet_size > LARGE_ALPHABET else 1)
    return _fitting(apply_unset(sized, {"model.embedding_size": width}), apply_unset, text.learned)


def nearest(hidden_size: int) -> Size:
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


def fit_to_documents(config: Config, given: Collection[str], ends: Ends) -> dict[str, int]:
    """Chooses a window that most documents fit into, and enough of them side by side for a step of useful size.

    Args:
        given: names of settings that the user chose; they are left out of the result.
        ends: the places behind the documents.
    """
    import numpy as np  # here: `train --help` needs none of it

    from charnet.data.documents import sampled_lengths

    lengths, t = sampled_lengths(ends), config.training
    window = min(LONGEST_WINDOW, max(8, -(-int(np.quantile(lengths, 0.99)) // 8) * 8))
    if "training.window" in given:
        window = t.window
    wanted = CHARACTERS_A_STEP / float(np.minimum(lengths, window).mean())
    most = max(1, len(ends) // 8)
    batch_size = min(most, max(16, min(LARGEST_BATCH, 1 << round(math.log2(wanted)))))
    fitted = {"training.window": window, "training.batch_size": batch_size}
    return {name: value for name, value in fitted.items() if name not in given}


def interpolate(points: Sequence[tuple[float, float]], x: float) -> float:
    """What a table says about a number: straight in its logarithm between two points, level outside.

    >>> [interpolate(((1.5, 0.0), (2.5, 0.08), (7, 0.5)), passes) for passes in (0.1, 2.5, 5, 1000)]
    [0.0, 0.08, 0.36, 0.5]
    """
    (before, low), *rest = points
    if x <= before:
        return low
    for after, high in rest:
        if x <= after:
            return round(low + (high - low) * math.log(x / before) / math.log(after / before), 2)
        before, low = after, high
    return low
