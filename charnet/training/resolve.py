"""Decides the length of a run, and gives a value to every setting that has none.

After that, a run depends only on its settings: the same `config.yaml` on the same machine gives the same weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.config import AUTO, GATES, Config
from charnet.data.text_settings import check_settings
from charnet.errors import ConfigError, short_repr
from charnet.machine import processor_cores
from charnet.model.shapes import NUM_SAMPLED, SAMPLED_SOFTMAX_FROM, num_weights
from charnet.overlay import DURATION_EXAMPLES, as_dict, overlay, parse_duration
from charnet.training import group

if TYPE_CHECKING:
    from charnet.storage.document import TrainerState

# Modules that load NumPy are imported where they are needed: an error in the settings is found in half the time.

DEFAULT_SECONDS = 300.0
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30 * 86400.0
DEFAULT_LEARNING_RATE = {"muon": 0.04, "adamw": 0.004, "sgd": 0.5}
EVALUATIONS, REPORTS = 20, 100  # in a run, unless the settings say how often
MOST_STEPS_BETWEEN_REPORTS = 100  # so that a long run shows progress
MOST_REPORTS = 300_000  # so that the metrics of a very long run can be read
VERY_LONG, PART_OF_VERY_LONG = 10_000_000, 1_000_000  # characters: of held-out text, and of an evaluation on it
BYTES_OF_THE_LIBRARY = 40_000_000
LONGEST_NAME = 200  # bytes; file systems stop at 255
LENGTH = {"training.steps", "training.epochs"}
DEPENDS_ON_LENGTH = {"training.eval_every", "training.report_every", "data.val_chars"}
# What a resumed run may change: what leaves its steps as they are, what changes them, what describes another text.
CHANGE_NO_STEP = LENGTH | {
    "data.paths",
    *(f"training.{key}" for key in ("patience", "device", "threads", "checkpoint_every", "on_nan", "timeout")),
}
RESTART_STREAMS = {"training.batch_size", "training.window"}
CHANGE_STEPS = RESTART_STREAMS | {
    *(f"training.{key}" for key in ("learning_rate", "final_learning_rate", "warmup", "weight_decay", "clip")),
    *(f"training.{key}" for key in ("precision", "eval_every", "report_every", "shards")),
    *("model.dropout", "model.weight_dropout"),
}
DESCRIBE_TEXT = {f"data.{key}" for key in ("encoding", "encoding_errors", "glob", "document_separator")}
USUAL_NGRAM, SHORTEST_FOR_NGRAM, FEWEST_FOR_NGRAM = 7, 5000, 50  # its order; characters and documents to count in


def check_seconds(seconds: float) -> None:
    """Raises ConfigError if the time is too short or too long to train for."""
    if not isinstance(seconds, int | float) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        given = f"{seconds:g} s" if isinstance(seconds, float) else short_repr(seconds)
        raise ConfigError(
            f"--for: train for at least one second and at most thirty days, not for {given}; {DURATION_EXAMPLES}"
        )


def choose_length(
    values: Mapping[str, Any], file_values: Mapping[str, Any], seconds: float | str | None, *, resumes: bool = False
) -> tuple[dict[str, Any], float | None]:
    """Decides the length of a run: the caller's, else that of the file of settings, else five minutes.

    Args:
        values: settings that the caller gives.
        file_values: settings of a file; the length in it is dropped if the caller gives one.
        seconds: the training time that the caller gives, as a number or as text like "5m".
        resumes: whether a run is resumed; it has a length already.

    Returns:
        All settings, and the time to plan for, or None if the settings have a length in steps or epochs.

    Raises:
        ConfigError: the caller gives two lengths, or the time is too short or too long.
    """
    given = LENGTH.intersection(values)
    if len(given) == 2 and values["training.epochs"] not in (0, "0", "0.0"):
        raise ConfigError("--steps and --epochs: expected one length, found two; leave one out")
    if seconds is not None:
        if resumes:
            raise ConfigError("--for plans a new run; a resumed run has a length, which --steps changes")
        if isinstance(seconds, str):
            seconds = parse_duration("--for", seconds)
        check_seconds(seconds)
        if given:
            raise ConfigError(f"{min(given)} and --for: expected one length, found two; leave one out")
    dropped = {"training.resume_changes"}  # of the run that the file belongs to
    if given or seconds is not None:
        dropped |= LENGTH | {"training.length_changes"}
    if seconds is not None:
        dropped |= DEPENDS_ON_LENGTH
    merged = {name: value for name, value in file_values.items() if name not in dropped} | dict(values)
    if seconds is None and not resumes and LENGTH.isdisjoint(merged):
        seconds = DEFAULT_SECONDS
    return merged, seconds


def val_chars(held_out: int) -> int:
    """Returns the default for how many held-out characters an evaluation reads; 0 = all of them."""
    return 0 if held_out <= VERY_LONG else PART_OF_VERY_LONG


def resolve(config: Config, train_characters: int) -> Config:
    """Returns the settings with a length in steps, a learning rate, and all else that had no value."""
    from charnet.data.batches import steps_for

    model, training = config.model, config.training
    steps = training.steps
    if training.epochs:
        steps = steps_for(training.epochs, train_characters, training.batch_size, training.window)
    return overlay(
        config,
        {
            "model.embedding_size": model.embedding_size or model.hidden_size,
            "model.ngram": max(0, model.ngram),
            "training.steps": steps,
            "training.epochs": 0.0,
            "training.learning_rate": training.learning_rate or DEFAULT_LEARNING_RATE[training.optimizer],
            "training.eval_every": training.eval_every or max(1, steps // EVALUATIONS),
            "training.report_every": training.report_every
            or max(1, min(steps // REPORTS, MOST_STEPS_BETWEEN_REPORTS), steps // MOST_REPORTS),
            "training.threads": threads_of(config),
        },
    )


def check_shards(config: Config, processes: int) -> int:
    """Returns the number of shards of a training; raises ConfigError if its streams cannot be divided so."""
    streams, shards, count = config.training.batch_size, config.training.shards, num_shards(config, processes)
    if count % processes and not is_by_network(config, processes):
        raise ConfigError(
            f"--shards {shards}: cannot be divided among {processes} processes; give a multiple of {processes}"
        )
    if streams % count:
        fits = max(1, round(streams / count)) * count
        raise ConfigError(f"{streams} streams cannot be divided into {count} equal parts; give --batch-size {fits}")
    return count


def num_shards(config: Config, processes: int) -> int:
    """Returns into how many parts the streams are divided: by default one for each process."""
    shards = config.training.shards
    return shards if shards > 1 or is_by_network(config, processes) else processes


def is_by_network(config: Config, processes: int) -> bool:
    """Returns whether each process trains some networks of an ensemble, and not a part of the batch."""
    return 1 < processes <= config.model.members and config.model.members % processes == 0


def threads_of(config: Config, local_processes: int = 0) -> int:
    """Returns the number of processor threads: by default the cores of this process's share of the machine.

    With several shards, as many as each would have in a process of its own: with another number of threads, the last
    digits of sums are others.
    """
    training, others = config.training, max(local_processes or group.local_size(), config.training.shards)
    return training.threads or max(1, processor_cores() // others)


def choose_ngram(config: Config, alphabet_size: int, characters: int, documents: int, seconds: float | None) -> Config:
    """Returns the settings with an order of the n-gram, 0 for none.

    Args:
        documents: in the text; 0 for running text.
        seconds: the time that the run has to fit, or None. Where charnet may choose, only such a run gets an n-gram.

    Raises:
        ConfigError: the order is 1, or too large for the alphabet.
    """
    from charnet.model.ngram import longest_order

    order, longest = config.model.ngram, longest_order(alphabet_size)
    if order == AUTO:
        too_little = characters < SHORTEST_FOR_NGRAM or 0 < documents < FEWEST_FOR_NGRAM
        order = 0 if seconds is None or too_little else min(USUAL_NGRAM, longest)
    if order and not 2 <= order <= longest:
        size = f"an alphabet of {alphabet_size:,}"
        raise ConfigError(f"--ngram: expected 0, or a number between 2 and {longest} with {size}, found {order}")
    return overlay(config, {"model.ngram": order})


def check(config: Config, name: str = "") -> None:
    """Checks what needs neither the text nor torch.

    Raises:
        ConfigError: the cell has no choice of activation, the encoding is unknown, or no folder can have the name.
    """
    if config.model.cell != "rnn" and config.model.activation != "tanh":
        raise ConfigError(f"model.activation: only the rnn cell has a choice, found {config.model.cell}")
    check_settings(config.data)
    invalid = name in (".", "..") or any(c in "/\\" or not c.isprintable() for c in name)
    if invalid or len(name.encode()) > LONGEST_NAME:
        raise ConfigError(f"--name: expected the name of a folder, found {name[:LONGEST_NAME]!r}")
    from charnet.data.decoding import check_encoding

    check_encoding(config.data.encoding)


def check_resumable(values: Collection[str], *, continue_text: bool) -> None:
    """Checks that a resumed run can change these settings.

    Args:
        continue_text: whether the text may change.

    Raises:
        ConfigError: it cannot; names the first such setting.
    """
    for key in sorted(set(values) - CHANGE_NO_STEP - CHANGE_STEPS):
        if key.startswith("model."):
            todo = "the weights have their shape; leave it out, or start a new run without --resume"
        elif key not in DESCRIBE_TEXT:
            todo = "start a new one with --init-from"
        elif continue_text:
            continue
        else:
            todo = "add --continue if its text has changed, or start a new one with --init-from"
        raise ConfigError(f"--resume: {key} cannot change in a run; {todo}")


def check_unfinished(run: Path, state: TrainerState, config: Config) -> None:
    """Raises ConfigError if a run has no steps left."""
    settings = config.training
    unreported = state.reported_step < state.step or state.step == 0
    if state.step > settings.steps or (state.step == settings.steps and not unreported):
        of_steps = f", beyond --steps {settings.steps}" if state.step > settings.steps else f" of {settings.steps}"
        raise ConfigError(
            f"{run}: already at step {state.step}{of_steps}; "
            f"resume with --steps {2 * state.step}, or start a new run with --init-from"
        )
    if not unreported and settings.patience and state.evaluations_without_improvement >= settings.patience:
        raise ConfigError(
            f"{run}: it stopped early, at step {state.step}, because it no longer improved; "
            f"resume it anyway with --patience 0, or start a new run with --init-from"
        )


def check_same_model(trained: Config, config: Config) -> None:
    """Raises ConfigError if weights that were trained with one config do not fit another."""
    theirs, ours = as_dict(trained), as_dict(config)
    of_model = [("model", key) for key in theirs["model"] if not key.endswith("dropout") and "ngram" not in key]
    for section, key in [*of_model, ("data", "bytes")]:
        if theirs[section][key] != ours[section][key]:
            raise ConfigError(
                f"--init-from: the weights were trained with {section}.{key} {theirs[section][key]}, "
                f"not {ours[section][key]}; leave that out, or start without --init-from"
            )


def bytes_on_disk(config: Config, alphabet_size: int) -> int:
    """Returns the most bytes that the checkpoints of a run take: weights in all three, the optimizer's two tensors per
    weight in the newest two, the n-gram in all, and one more checkpoint while it is written."""
    return 4 * 10 * num_weights(config, alphabet_size) + 4 * ngram_bytes(config, alphabet_size) + (1 << 20)


def ngram_bytes(config: Config, alphabet_size: int) -> int:
    """Returns the most bytes that the n-gram takes in a checkpoint, by default those of weights and optimizer."""
    if config.model.ngram <= 0:
        return 0
    given = config.model.ngram_megabytes
    return int(given * 1e6) if given else 4 * 3 * num_weights(config, alphabet_size)


def memory_needed(config: Config, alphabet_size: int, processes: int = 1) -> int:
    """Returns the peak bytes of main memory that training needs in each process, beyond those of the program itself.

    It counts four copies of the weights (themselves, gradients, two of the optimizer), what each layer saves for its
    backward pass (gates, their sums or gradients, state, output) and the logits with their gradient, of a large
    alphabet those of the characters that a window can have and `NUM_SAMPLED`; all in 4 bytes. The networks of an
    ensemble are trained one after the other: the weights of all are counted, and the saved tensors of one. So are
    shards, whose gradients are added pairwise; several processes send and receive sums. It adds a quarter for temporary
    tensors, and the library's own memory. `tests/bench/growth.py` measures beside it.
    """
    model, training, shards = config.model, config.training, num_shards(config, processes)
    weights, characters = num_weights(config, alphabet_size), training.batch_size * training.window // shards
    own = shards if is_by_network(config, processes) else shards // processes
    copies = 4 + 2 * (processes > 1) + own.bit_length() * (shards > 1 or processes > 1)
    logits = alphabet_size if alphabet_size <= SAMPLED_SOFTMAX_FROM else min(alphabet_size, characters + NUM_SAMPLED)
    saved = (2 * GATES[model.cell] + 3) * model.hidden_size * model.num_layers + 3 * logits
    return BYTES_OF_THE_LIBRARY + 5 * (copies * weights + characters * saved)


def check_memory(config: Config, alphabet_size: int, available_bytes: float, processes: int = 1) -> None:
    """Checks that a process of a run fits into memory, before the system would end it.

    Raises:
        ConfigError: the run needs more memory than there is.
    """
    needed = memory_needed(config, alphabet_size, processes)
    if needed > available_bytes:
        raise ConfigError(
            f"this run needs about {needed / 1e9:.1f} GB of memory, {available_bytes / 1e9:.1f} are free: "
            "choose a smaller --hidden-size, --batch-size or --window, or fewer --members"
        )
