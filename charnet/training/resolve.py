"""The length of a run, and a value for every setting that says "choose for me".

After that a run depends on nothing but its settings: the same `config.yaml` on the same machine gives the same weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.config import GATES, NUM_SAMPLED, SAMPLED_SOFTMAX_FROM, Config
from charnet.errors import ConfigError
from charnet.machine import processor_cores
from charnet.model.shapes import model_shapes
from charnet.overlay import as_dict, default, overlay

if TYPE_CHECKING:
    from charnet.storage.document import TrainerState

# What loads NumPy is imported where it is needed: wrong settings are refused before, in half the time.

DEFAULT_SECONDS = 300.0
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30 * 86400.0
EXAMPLES = "for example 90s, 5m, 2h or 1h30m"
UNITS = {"h": 3600, "m": 60, "s": 1}
DEFAULT_LEARNING_RATE = {"muon": 0.04, "adamw": 0.004, "sgd": 0.5}
EVALUATIONS, REPORTS = 20, 100  # in a run, unless the settings say how often
MOST_STEPS_BETWEEN_REPORTS = 100  # so that a long run does not look asleep
VERY_LONG, PART_OF_VERY_LONG = 10_000_000, 1_000_000  # characters held out, and read of them in an evaluation
BYTES_OF_THE_LIBRARY = 40_000_000
LONGEST_NAME = 200  # bytes; file systems stop at 255
LENGTH = {"training.steps", "training.epochs"}
FROM_LENGTH = {"training.eval_every", "training.report_every", "data.val_chars"}  # what follows from a length
CHANGEABLE_AT_RESUME = (
    LENGTH
    | {"data.paths"}
    | {f"training.{key}" for key in ("patience", "device", "threads", "checkpoint_every", "on_nan")}
)
NEEDS_CHARACTERS = ("newlines", "normalize", "lowercase", "lines", "encoding_errors")  # settings that bytes have not


def parse_duration(text: str) -> float:
    """Seconds, from what people write.

    >>> parse_duration("90s"), parse_duration("5m"), parse_duration("1h30m"), parse_duration("0.5h")
    (90.0, 300.0, 5400.0, 1800.0)

    Raises:
        ConfigError: it is no duration, or out of all reason.
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


def choose_length(
    values: Mapping[str, Any], file_values: Mapping[str, Any], seconds: float | None, *, resumes: bool = False
) -> tuple[dict[str, Any], float | None]:
    """Decides how long a run is: as long as was asked for, else as a file of settings says, else five minutes.

    Args:
        values: settings that were asked for.
        file_values: settings of a file; those of another length than the one asked for are dropped.
        seconds: the time that was asked for.
        resumes: whether a run is resumed: it has a length.

    Returns:
        All settings, and the time to plan for; None where the settings hold a length in steps or epochs.

    Raises:
        ConfigError: two lengths were asked for, or the time is no time to train for.
    """
    asked = LENGTH.intersection(values)
    if len(asked) == 2 and str(values["training.epochs"]) not in ("0", "0.0"):
        raise ConfigError("--steps and --epochs: expected one length, found two; leave one out")
    if seconds is not None:
        if resumes:
            raise ConfigError("--for plans a new run; a resumed run has its length, or a new one by --steps")
        check_seconds(seconds)
        if asked:
            raise ConfigError(f"{min(asked)} and a time to train for: expected one length, found two; leave one out")
    dropped = LENGTH | {"training.length_changes"} if asked or seconds is not None else set()
    if seconds is not None:
        dropped |= FROM_LENGTH
    merged = {name: value for name, value in file_values.items() if name not in dropped} | dict(values)
    if seconds is None and not resumes and LENGTH.isdisjoint(merged):
        seconds = DEFAULT_SECONDS
    return merged, seconds


def val_chars(held_out: int) -> int:
    """How many characters of a held-out text are read to judge, unless the user says so; 0 for all of them."""
    return 0 if held_out <= VERY_LONG else PART_OF_VERY_LONG


def resolve(config: Config, train_characters: int) -> Config:
    """Fills in the length in steps, the learning rate, and how often to evaluate and report."""
    from charnet.data.batches import steps_for

    model, training = config.model, config.training
    steps = training.steps
    if training.epochs:
        steps = steps_for(training.epochs, train_characters, training.batch_size, training.window)
    return overlay(
        config,
        {
            "model.embedding_size": model.embedding_size or model.hidden_size,
            "training.steps": steps,
            "training.epochs": 0.0,
            "training.learning_rate": training.learning_rate or DEFAULT_LEARNING_RATE[training.optimizer],
            "training.eval_every": training.eval_every or max(1, steps // EVALUATIONS),
            "training.report_every": training.report_every or max(1, min(steps // REPORTS, MOST_STEPS_BETWEEN_REPORTS)),
            "training.threads": training.threads or processor_cores(),
        },
    )


def check(config: Config, name: str = "") -> None:
    """Refuses what is wrong by itself, before any text is read or torch is loaded.

    Raises:
        ConfigError: an activation without a choice, an unknown encoding, or a name that no folder can have.
    """
    if config.model.cell != "rnn" and config.model.activation != "tanh":
        raise ConfigError(f"model.activation: only the rnn cell has a choice of it, found {config.model.cell}")
    changed = [key for key in NEEDS_CHARACTERS if getattr(config.data, key) != default(f"data.{key}")]
    if config.data.bytes and changed:
        raise ConfigError(f"data.{changed[0]}: bytes are learned as they are; leave out one of the two")
    odd = name in (".", "..") or any(c in "/\\" or not c.isprintable() for c in name)
    if odd or len(name.encode()) > LONGEST_NAME:
        raise ConfigError(f"--name: expected the name of a folder, found {name[:LONGEST_NAME]!r}")
    from charnet.data.decoding import check_encoding

    check_encoding(config.data.encoding)


def check_resumable(values: Collection[str]) -> None:
    """Refuses settings that a run cannot change on its way.

    Raises:
        ConfigError: names the first of them.
    """
    for key in values:
        if key not in CHANGEABLE_AT_RESUME:
            raise ConfigError(f"--resume: {key} belongs to the run and cannot change; start a new one with --init-from")


def check_unfinished(run: Path, state: TrainerState, config: Config) -> None:
    """Raises ConfigError if a run has no more steps to take."""
    settings = config.training
    owed = state.reported_step < state.step or state.step == 0
    if state.step > settings.steps or (state.step == settings.steps and not owed):
        raise ConfigError(
            f"{run}: all {settings.steps} steps are done, {state.step} of them taken; "
            f"resume with --steps {2 * state.step}, or start a new run with --init-from"
        )
    if not owed and settings.patience and state.evaluations_without_improvement >= settings.patience:
        raise ConfigError(
            f"{run}: it stopped early, at step {state.step}, because it no longer improved; "
            f"resume all the same with --patience 0, or start a new run with --init-from"
        )


def check_same_model(trained: Config, config: Config) -> None:
    """Raises ConfigError if weights that were trained with some settings do not fit others."""
    theirs, ours = as_dict(trained), as_dict(config)
    for section, key in [("model", k) for k in theirs["model"] if not k.endswith("dropout")] + [("data", "bytes")]:
        if theirs[section][key] != ours[section][key]:
            raise ConfigError(
                f"--init-from: the weights were trained with {section}.{key} {theirs[section][key]}, "
                f"not {ours[section][key]}; leave that out, or start without --init-from"
            )


def bytes_on_disk(config: Config, alphabet_size: int) -> int:
    """What the checkpoints of a run may take: weights in all three, two copies in the optimiser of the newest two, and
    all of it once more while one is written."""
    return 4 * 10 * _weights(config, alphabet_size) + (1 << 20)


def memory_needed(config: Config, alphabet_size: int) -> int:
    """Bytes of main memory that a training needs at its peak, over those of the program itself.

    It counts four copies of the weights (themselves, gradients, two of the optimizer), what each layer saves for its
    backward pass (gates, their sums or gradients, state, output) and the logits with their gradient, of a large
    alphabet those of the characters that a window can have and `NUM_SAMPLED`; all in 4 bytes. The networks of an
    ensemble are trained one after the other: the weights of all are counted, and what one of them saves. It adds a
    quarter for temporary tensors, and what the library takes for itself. `tests/bench/growth.py` measures beside it.
    """
    model, training = config.model, config.training
    weights, characters = _weights(config, alphabet_size), training.batch_size * training.window
    logits = alphabet_size if alphabet_size <= SAMPLED_SOFTMAX_FROM else min(alphabet_size, characters + NUM_SAMPLED)
    kept = (2 * GATES[model.cell] + 3) * model.hidden_size * model.num_layers + 3 * logits
    return BYTES_OF_THE_LIBRARY + 5 * (4 * weights + characters * kept)


def _weights(config: Config, alphabet_size: int) -> int:
    return sum(math.prod(shape) for shape in model_shapes(config, alphabet_size).values())


def check_memory(config: Config, alphabet_size: int, available_bytes: int) -> None:
    """Refuses what cannot fit before the system ends the process for it.

    Raises:
        ConfigError: the run needs more memory than there is.
    """
    needed = memory_needed(config, alphabet_size)
    if needed > available_bytes:
        raise ConfigError(
            f"this run needs about {needed / 1e9:.1f} GB of memory, {available_bytes / 1e9:.1f} are free: "
            "choose a smaller --hidden-size, --batch-size or --window, or fewer --members"
        )
