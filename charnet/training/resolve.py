"""From what the user said to numbers: every setting that says "choose for me" gets its value here, before training.

After that a run depends on nothing but its settings: the same `config.yaml` on the same machine gives the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from charnet.config import GATES, NUM_SAMPLED, SAMPLED_SOFTMAX_FROM, Config, default, overlay
from charnet.errors import ConfigError
from charnet.machine import processor_cores

# What loads NumPy is imported where it is needed: wrong settings are refused before, in half the time.

DEFAULT_LEARNING_RATE = {"muon": 0.04, "adamw": 0.004, "sgd": 0.5}
EVALUATIONS, REPORTS = 20, 100  # in a run, unless the settings say how often
MOST_STEPS_BETWEEN_REPORTS = 100  # so that a long run does not look asleep
VERY_LONG, PART_OF_VERY_LONG = 10_000_000, 1_000_000  # characters held out, and read of them to judge
BYTES_OF_THE_LIBRARY = 40_000_000
LONGEST_NAME = 200  # bytes; file systems stop at 255
FEWEST_UNITS_IN_BF16 = 128  # of a layer that gains from it
LENGTH = {"training.steps", "training.epochs"}
OF_A_LENGTH = LENGTH | {  # what follows from a length, or changed one
    "training.earlier_plans", "training.eval_every", "training.report_every", "data.val_chars"
}  # fmt: skip
CHANGEABLE_AT_RESUME = (
    LENGTH
    | {"data.paths"}
    | {f"training.{key}" for key in ("patience", "device", "threads", "checkpoint_every", "on_nan")}
)


SHAPING = ("newlines", "normalize", "lowercase", "lines", "encoding_errors")  # settings that need characters


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


def precision(config: Config, has: Collection[str]) -> str:
    """What "auto" means: bf16 where the processor multiplies in it and the shape gains from it, else fp32.

    Measured with T = 64, E = H, whole steps, fp32 / bf16 in time, two cores of Zen 4: LSTM (B=16, H=128) 1.0, (64, 128)
    1.2, (16, 256) 1.3, (64, 512) 1.4, (64, 1024) 1.5; GRU and CIFG 1.1, 1.3, 1.3, 1.6, 1.8; RNN 1.05, 1.2, 1.0, 1.5,
    1.8. Two with AMX, an LSTM: (16, 128) 1.1, (16, 256) 1.6, (64, 256) 2.3, (64, 512) 2.5; the other cells have not
    been measured there in the present form of their scans.

    Args:
        has: arithmetic of the processor, by the names that torch gives it.
    """
    if config.training.precision != "auto":
        return config.training.precision
    gains = config.model.hidden_size >= FEWEST_UNITS_IN_BF16
    return "bf16" if gains and {"avx512_bf16", "amx_bf16"}.intersection(has) else "fp32"


def check(config: Config, name: str) -> None:
    """Refuses what is wrong by itself, before any text is read or torch is loaded.

    Raises:
        ConfigError: an activation without a choice, an unknown encoding, or a name that no folder can have.
    """
    if config.model.cell != "rnn" and config.model.activation != "tanh":
        raise ConfigError(f"model.activation: only the rnn cell has a choice of it, found {config.model.cell}")
    changed = [key for key in SHAPING if getattr(config.data, key) != default(f"data.{key}")]
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
    from charnet.model.shapes import model_shapes

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
