"""`result.json`: what was measured when a run ended. `inspect` and the verdict read it; training never does."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet import regular_file
from charnet.storage.strict_json import strict_json

if TYPE_CHECKING:  # it loads NumPy
    from charnet.storage.document import TrainerState

RESULT = "result.json"
LARGEST = 1 << 16  # bytes
LONGEST_SAMPLE = 2000  # characters


@dataclass(frozen=True)
class RunResult:
    """What was measured when a run ended. Losses are in nats per character.

    Attributes:
        step, best_step: of the last step and of the weights with the lowest loss.
        nats: the loss of these weights on the held-out text; without one, on the text that they learned from.
        last_nats: that of the last weights, as far as the evaluations showed it.
        alphabet: the number of symbols; `of_bytes` says that they are bytes, not characters.
        reason: why the run ended, as in `training.events.Finished`.
        limit: the limit of the run in its plan, "time" or "text".
        order, ngram_nats: the best n-gram of the orders 1 to 7, and its loss on the held-out text.
        train_nats, val_nats: the loss of the networks alone, without dropout and without an n-gram, on equally much of
            the text that they learned from and of the held-out text. Only these two can be compared: the loss that
            training reports is higher for its dropout, and an n-gram knows the text that it was counted in.
        last_gain: by how much the held-out loss fell in the last third of the run.
        passes: over the text, until the best weights.
        ngram_share: the weight of the n-gram beside the networks, None without one.
        sample: what the model writes.
    """

    step: int
    best_step: int
    alphabet: int
    nats: float | None = None
    last_nats: float | None = None
    reason: str = ""
    limit: str = ""
    order: int = 0
    ngram_nats: float | None = None
    train_nats: float | None = None
    val_nats: float | None = None
    ngram_share: float | None = None
    sample: str = ""
    last_gain: float | None = None
    passes: float | None = None
    of_bytes: bool = False

    def to_json(self) -> bytes:
        """Returns the file's content."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False, indent=1).encode() + b"\n"


def of(checkpoint: Path, progress: TrainerState) -> RunResult | None:
    """Reads the result beside a checkpoint if it is of these weights: the best of the run."""
    return read(checkpoint, progress.best_step) if progress.step == progress.best_step else None


def read(checkpoint: Path, best_step: int) -> RunResult | None:
    """Reads the result beside a checkpoint; None if there is none, if it is damaged, or if it is of other weights.

    Args:
        best_step: of the checkpoint: a run that was resumed since may have found better weights.
    """
    try:
        values = strict_json(bytearray(regular_file.read(checkpoint.with_name(RESULT), LARGEST)))
        found = _parse(values)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found if found.best_step == best_step else None


def _parse(values: Any) -> RunResult:
    """Builds a result from parsed JSON; raises ValueError or TypeError if a part is of another type."""
    if not isinstance(values, dict):
        raise ValueError("no object")
    known = RunResult.__dataclass_fields__
    values = {name: value for name, value in values.items() if name in known}
    for name, value in values.items():
        kind = str(known[name].type)
        fits = {
            "int": type(value) is int and 0 <= value < 1 << 60,
            "float | None": value is None or (type(value) in (int, float) and -1e300 < value < 1e300),
            "bool": isinstance(value, bool),
            "str": isinstance(value, str) and len(value) <= LONGEST_SAMPLE,
        }
        if not fits[kind]:
            raise ValueError(f"invalid {name}")
    return RunResult(**values)
