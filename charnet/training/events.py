"""What a training tells while it runs: small frozen values, in the order in which they come.

Started, (Working | Metrics [Evaluated] | RolledBack | Replanned)..., Finished
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charnet.config import Config
from charnet.storage.document import CorpusInfo
from charnet.training.planner import Plan


@dataclass(frozen=True)
class Started:
    """What is about to be trained, and where.

    `step` and `history` (the evaluations so far) are those of a run that goes on. `damage` says what was wrong with the
    newest checkpoint where the one before it had to do. `carried` counts the characters that the weights of
    `--init-from` know already. `plan` is there where the run was planned to fit a time. `notes` are sentences
    about the text and how it was read.
    """

    run: Path
    config: Config
    corpus: CorpusInfo
    alphabet_size: int
    parameters: int
    device: str
    precision: str
    threads: int
    step: int
    history: tuple[dict[str, float], ...] = ()
    damage: str = ""
    known_chars: int | None = None
    plan: Plan | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """A glimpse between two lines of metrics, about twice a second; written nowhere."""

    step: int
    train_nats_per_char: float
    chars_per_second: float


@dataclass(frozen=True)
class Metrics:
    """One line of `metrics.jsonl`. `train_nats_per_char` and `grad_norm` are means since the line before."""

    step: int
    chars_seen: int
    seconds: float
    train_nats_per_char: float
    val_nats_per_char: float | None
    learning_rate: float
    grad_norm: float
    chars_per_second: float

    def as_dict(self) -> dict[str, float]:
        """The line as JSON holds it; without a validation loss where there was no evaluation."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Evaluated:
    """Follows the metrics of an evaluation: was it the best so far, and a few lines that the model writes now."""

    step: int
    best: bool
    best_step: int
    best_nats_per_char: float | None
    sample: str


@dataclass(frozen=True)
class RolledBack:
    """The numbers were no longer finite after `from_step`; training goes on from `step` at a smaller learning rate."""

    from_step: int
    step: int
    learning_rate: float


@dataclass(frozen=True)
class Replanned:
    """At `step`, to end on time: the run is now so many `steps` long."""

    step: int
    steps: int


@dataclass(frozen=True)
class Finished:
    """Why training ended ("complete", "stopped early" or "interrupted"), the best it reached, and a sentence on what
    would make it better.

    `best_nats_per_char` was found over `read` of `held_out` characters; both are 0 where nothing was held out.
    """

    run: Path
    reason: str
    step: int
    best_step: int
    best_nats_per_char: float | None
    forecast: str = ""
    read: int = 0
    held_out: int = 0


Event = Started | Progress | Metrics | Evaluated | RolledBack | Replanned | Finished
