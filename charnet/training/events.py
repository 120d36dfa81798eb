"""The events of a training run, in this order:

Started, (Progress | Metrics [Evaluated] | Sampled | RolledBack | Replanned)..., Finished
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from charnet.config import Config
from charnet.data.printable import xml_text
from charnet.storage.result import RunResult

if TYPE_CHECKING:  # these load NumPy, which a refused command line does not need
    from charnet.storage.document import CorpusInfo
    from charnet.training.planner import Plan


class _Shown:
    """An event that a notebook shows as a table of its numbers and texts."""

    def _repr_html_(self) -> str:
        told = {name: value for name, value in vars(self).items() if isinstance(value, str | int | float | Path)}
        rows = "".join(
            f"<tr><th>{xml_text(name)}</th><td><pre>{xml_text(str(value), keep=chr(10))}</pre></td></tr>"
            for name, value in told.items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"


@dataclass(frozen=True)
class Started(_Shown):
    """The run before its first step.

    Attributes:
        step: 0, or the step at which the run resumes.
        history: the evaluations so far.
        metrics: the lines of metrics so far; of many, some are left out.
        planned_seconds: of a resumed run, the time that it was planned for; 0 = none.
        damage: what is wrong with the newest checkpoint, if the run resumes from the one before it.
        known_chars: characters of the alphabet that the weights of `--init-from` know.
        plan: if the run was planned to fit a time.
        notes: sentences about the text and how it was read, and about the folder.
        held_out, test: characters held out for validation and for the test.
        processes: that train together.
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
    held_out: int = 0
    test: int = 0
    processes: int = 1
    metrics: tuple[dict[str, float], ...] = ()
    planned_seconds: float = 0.0


@dataclass(frozen=True)
class Progress(_Shown):
    """Loss and speed between two lines of metrics, about twice a second. It is not saved."""

    step: int
    train_nats_per_char: float
    chars_per_second: float


@dataclass(frozen=True)
class Metrics(_Shown):
    """One line of `metrics.jsonl`. `train_nats_per_char` and `grad_norm` are means since the previous line."""

    step: int
    chars_seen: int
    seconds: float
    train_nats_per_char: float
    val_nats_per_char: float | None
    learning_rate: float
    grad_norm: float
    chars_per_second: float

    def as_dict(self) -> dict[str, float]:
        """Returns the fields for JSON, without the validation loss if there was no evaluation."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Evaluated(_Shown):
    """Follows the metrics of an evaluation: whether it is the best so far, and a sample that the model writes now."""

    step: int
    best: bool
    best_step: int
    best_nats_per_char: float | None
    sample: str


@dataclass(frozen=True)
class Sampled(_Shown):
    """A text that the model writes now, between two evaluations, every few seconds. It is not saved."""

    step: int
    sample: str


@dataclass(frozen=True)
class RolledBack(_Shown):
    """A number was no longer finite after `from_step`; training resumes at `step` with a lower learning rate."""

    from_step: int
    step: int
    learning_rate: float


@dataclass(frozen=True)
class Replanned(_Shown):
    """At `step`, the length of the run became `steps`, so that it ends on time."""

    step: int
    steps: int


@dataclass(frozen=True)
class Finished(_Shown):
    """The end of a run.

    Attributes:
        reason: "complete", "stopped early" or "interrupted".
        best_nats_per_char: the best loss, measured on `read` of the `held_out` characters; both are 0 if there is no
            held-out text.
        forecast: a sentence about what twice the time would give, or "".
        test_nats_per_char: the loss of the best weights on the test text, if there is one.
    """

    run: Path
    reason: str
    step: int
    best_step: int
    best_nats_per_char: float | None
    forecast: str = ""
    read: int = 0
    held_out: int = 0
    test_nats_per_char: float | None = None

    def result(self, alphabet: int, limit: str = "time", *, of_bytes: bool = False) -> RunResult:
        """Returns what this event alone tells of a run, for a verdict.

        Args:
            alphabet: the number of symbols.
            limit: of the run in its plan.
            of_bytes: whether these symbols are bytes.
        """
        nats = self.best_nats_per_char
        finite = nats if nats is not None and math.isfinite(nats) else None
        return RunResult(
            self.step, self.best_step, alphabet, finite, reason=self.reason, limit=limit, of_bytes=of_bytes
        )


Event = Started | Progress | Metrics | Evaluated | Sampled | RolledBack | Replanned | Finished
