"""Chooses the network or ensemble for a training time, from measurements on this machine.

The network is the largest of `SIZES` that can read `worth_from` characters in the time. If two or more networks of
nearly that size can each make `PASSES_PER_MEMBER` passes over the text, they are trained as an ensemble instead.
`tests/bench/LOG.md` holds the measurements behind the numbers.
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
    from charnet.data.documents import Documents

STEPS_PER_PASS = 70  # at least; a short text gets fewer streams
FEWEST_STREAMS, SHORTEST_WINDOW, FEWEST_WINDOWS = 4, 8, 4
LARGE_ALPHABET = 1000  # symbols; embeddings of a larger alphabet are twice as wide


@dataclass(frozen=True)
class Text:
    """The size of a text: characters to train on, characters held out, different characters, and those that each
    evaluation reads to choose the share of an n-gram."""

    train_chars: int
    held_out: int
    alphabet_size: int
    tuning: int = 0


@dataclass(frozen=True)
class Size:
    """A network and its batches.

    It beats the size before it after `worth_from` characters, or after `ENOUGH_PASSES` passes over a shorter text. On a
    text of fewer than `least_text` characters it overfits.
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
CHARACTERS_PER_STEP, LARGEST_BATCH, LONGEST_WINDOW = 1500, 512, 256  # for separate documents
# By the characters of the text: a network learns little in few passes over a short text. `interpolate` reads the table.
PASSES_PER_MEMBER = ((150_000, 6.0), (1_000_000, 3.0))
STEPS_PER_MEMBER = 400
SHORTEST_TEXT = 5000  # characters; a network learns a shorter text by heart
GOOD_MEMBERS, MOST_MEMBERS = 3, 8
SMALLEST_MEMBER = 0.6  # fraction of the hidden size of a single network
LONGEST_STEP = 1.2  # seconds, for an ensemble: Ctrl-C waits until the step ends


ApplyUnset = Callable[[Config, Mapping[str, Any]], Config]
SecondsPerStep = Callable[[Config], float]
Timed = tuple[Config, float]  # settings, and their training speed in characters per second


def choose_size(
    config: Config, apply_unset: ApplyUnset, text: Text, seconds: float, seconds_per_step: SecondsPerStep
) -> Timed:
    """Chooses the best network or ensemble for a training time. Returns its settings and its speed.

    Args:
        apply_unset: overlays values on a config, except settings that the user chose.
        seconds: for training steps only.
        seconds_per_step: measures a step with these settings on this machine.
    """
    timed = _candidates(config, apply_unset, text, seconds, seconds_per_step)
    return _choose_ensemble(timed, apply_unset, text.train_chars, seconds, seconds_per_step) or timed[-1]


def _candidates(
    config: Config, apply_unset: ApplyUnset, text: Text, seconds: float, seconds_per_step: SecondsPerStep
) -> list[Timed]:
    """Returns the settings with each size that pays off in the time, the largest last; at least one."""
    timed: list[Timed] = []
    for size in SIZES:
        sized = _with_size(config, apply_unset, size, text)
        if timed and sized == timed[-1][0]:
            continue
        enough = min(size.worth_from, ENOUGH_PASSES * text.train_chars)
        if timed and (text.train_chars < size.least_text or timed[-1][1] * seconds < enough):
            break  # larger networks are slower still
        try:
            speed = _speed(sized, seconds_per_step)
        except ConfigError:  # not enough memory
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
    train_chars: int,
    seconds: float,
    seconds_per_step: SecondsPerStep,
) -> Timed | None:
    """Chooses an ensemble to replace a single network that would overfit.

    Its networks have the largest size of which `GOOD_MEMBERS` fit in the time, else the largest of which two do; it has
    as many of them as fit. None if there is no time for two of any size close to the single network's.
    """
    units = timed[-1][0].model.hidden_size
    fitting = [
        (min(members, GOOD_MEMBERS), size_rank, members, config)
        for size_rank, (config, speed) in enumerate(timed)
        if config.model.hidden_size >= SMALLEST_MEMBER * units
        and (members := _num_members(config, speed, train_chars, seconds)) > 1
    ]
    for _, _, members, config in sorted(fitting, key=operator.itemgetter(0, 1), reverse=True):
        ensemble = apply_unset(config, {"model.members": members})
        if ensemble == config:
            break  # the user's own choice
        with contextlib.suppress(ConfigError):  # not enough memory
            return ensemble, _speed(ensemble, seconds_per_step)
    return None


def _num_members(config: Config, speed: float, train_chars: int, seconds: float) -> int:
    """Returns how many such networks fit in the time. Each makes enough passes and steps, and a step is no longer than
    `LONGEST_STEP`. One network is enough for a text that it learns by heart."""
    if train_chars < SHORTEST_TEXT:
        return 1
    characters_per_step = config.training.batch_size * config.training.window
    least = max(interpolate(PASSES_PER_MEMBER, train_chars) * train_chars, STEPS_PER_MEMBER * characters_per_step)
    return int(min(speed * seconds / least, LONGEST_STEP * speed / characters_per_step, MOST_MEMBERS))


def _with_size(config: Config, apply_unset: ApplyUnset, size: Size, text: Text) -> Config:
    sized = apply_unset(config, {"model.hidden_size": size.hidden_size})
    if sized.model.hidden_size != size.hidden_size:
        size = nearest_size(sized.model.hidden_size)
    sized = apply_unset(sized, {"training.batch_size": size.batch_size, "training.window": size.window})
    width = size.embedding_size * (2 if text.alphabet_size > LARGE_ALPHABET else 1)
    return _shrink_batches(apply_unset(sized, {"model.embedding_size": width}), apply_unset, text.train_chars)


def nearest_size(hidden_size: int) -> Size:
    """Returns the largest size with no more hidden units than these, else the smallest."""
    return max(
        (size for size in SIZES if size.hidden_size <= hidden_size), key=attrgetter("hidden_size"), default=SIZES[0]
    )


def _shrink_batches(config: Config, apply_unset: ApplyUnset, characters: int) -> Config:
    """Fits the batches to a short text: first fewer streams, then a shorter window, at last a single stream."""

    def halve(key: str, least: int, steps_per_pass: int) -> None:
        nonlocal config
        while (value := getattr(config.training, key)) > least:
            t = config.training
            if t.batch_size * t.window * steps_per_pass < characters:
                return
            halved = apply_unset(config, {f"training.{key}": max(least, value // 2)})
            if halved == config:
                return  # the user's own choice
            config = halved

    halve("batch_size", FEWEST_STREAMS, STEPS_PER_PASS)
    halve("window", SHORTEST_WINDOW, FEWEST_WINDOWS)
    halve("batch_size", 1, 1)
    halve("window", 1, 1)
    return config


def fit_to_documents(config: Config, given: Collection[str], documents: Documents) -> dict[str, int]:
    """Chooses a window that most documents fit into, and a batch of them that makes a useful step.

    Args:
        given: names of settings that the user chose; the result does not contain them.
        documents: to train on.
    """
    import numpy as np  # imported here: `train --help` does not need it

    from charnet.data.documents import windows_in_pass

    lengths, t = documents.sampled_lengths(), config.training
    window = min(LONGEST_WINDOW, max(8, -(-int(np.quantile(lengths, 0.99)) // 8) * 8))
    if "training.window" in given:
        window = t.window
    streams = CHARACTERS_PER_STEP / float(np.minimum(lengths, window).mean())
    most = max(FEWEST_STREAMS, int(windows_in_pass(documents, window).sum()) // STEPS_PER_PASS)
    batch_size = min(most, max(16, min(LARGEST_BATCH, 1 << round(math.log2(streams)))))
    fitted = {"training.window": window, "training.batch_size": batch_size}
    return {name: value for name, value in fitted.items() if name not in given}


def interpolate(points: Sequence[tuple[float, float]], x: float) -> float:
    """Interpolates in a table, linearly in the logarithm of x; constant outside the table.

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
