"""Folds the events of a training into its state so far: the curves, the newest numbers, how long it takes."""

from __future__ import annotations

from charnet.errors import symbol_noun
from charnet.training.events import (
    Evaluated,
    Event,
    Finished,
    Metrics,
    Progress,
    Replanned,
    RolledBack,
    Sampled,
    Started,
)

MOST_LINES = 2000  # of metrics; of more, every second one without an evaluation is left out
MOST_SAMPLES = 3


class RunState:
    """The state of a training so far, from its events.

    Attributes:
        metrics: lines of `metrics.jsonl`, also those from before a run was resumed.
        val: the validation losses, in nats per character.
        best: the lowest loss in nats per character, and its step.
        samples: the newest texts that the model wrote, each with its step, the newest last.
        steps: the length of the run.
        chars_per_step: since the last metrics.
        planned_seconds: the time that the run was planned for; 0 = none.
        seconds_before: of training, before the run was resumed.
    """

    def __init__(self) -> None:
        self.started: Started | None = None
        self.finished: Finished | None = None
        self.latest: Metrics | Progress | None = None
        self.metrics: list[dict[str, float]] = []
        self.best: tuple[float | None, int] | None = None
        self.samples: list[tuple[int, str]] = []
        self.steps = 0
        self.chars_per_step = 0.0
        self.planned_seconds = self.seconds_before = 0.0
        self._counted: tuple[int, int] | None = None  # steps and characters by then, if they are known

    @property
    def has_ngram(self) -> bool:
        """Whether an n-gram is beside the networks: then held-out losses are of both, and training losses are not."""
        return self.started is not None and self.started.config.model.ngram > 0

    @property
    def symbol(self) -> str:
        """What the model reads one by one: characters, or bytes."""
        return symbol_noun(self.started is not None and self.started.config.data.bytes)

    @property
    def val(self) -> list[float]:
        return self.points("val_nats_per_char", "step")[1]

    @property
    def sample(self) -> str:
        return self.samples[-1][1] if self.samples else ""

    def update(self, event: Event) -> None:
        """Takes in the next event."""
        match event:
            case Started():
                t = event.config.training
                self.started, self.steps, self.chars_per_step = event, t.steps, t.batch_size * t.window
                self._counted = None if event.step else (0, 0)
                self.metrics = list(event.metrics or event.history)
                self.planned_seconds = event.plan.seconds if event.plan else event.planned_seconds
                self.seconds_before = self.metrics[-1].get("seconds", 0.0) if self.metrics else 0.0
            case Progress():
                self.latest = event
            case Metrics():
                if self._counted and event.step > self._counted[0]:
                    self.chars_per_step = (event.chars_seen - self._counted[1]) / (event.step - self._counted[0])
                self.latest, self._counted = event, (event.step, event.chars_seen)
                append_line(self.metrics, event.as_dict())
            case Evaluated():
                self.best = (event.best_nats_per_char, event.best_step)
                self._add_sample(event.step, event.sample)
            case Sampled():
                self._add_sample(event.step, event.sample)
            case RolledBack():
                self.metrics = [line for line in self.metrics if line.get("step", 0) <= event.step]
                self._counted = None
            case Replanned():
                self.steps = event.steps
            case Finished():
                self.finished = event

    def points(self, name: str, over: str) -> tuple[list[float], list[float]]:
        """Returns a column of the metrics over another, where both are known: the values of `over`, those of `name`."""
        known = [line for line in self.metrics if name in line and over in line]
        return [line[over] for line in known], [line[name] for line in known]

    def characters_seen(self) -> float:
        """Estimates the characters that were read so far, those of earlier passes too."""
        known = next((line for line in reversed(self.metrics) if "chars_seen" in line), {})
        step = self.latest.step if self.latest else 0
        return known.get("chars_seen", 0) + max(0, step - known.get("step", 0)) * self.chars_per_step

    def seconds_left(self) -> float:
        """Estimates the seconds until the last step; 0 while the speed is unknown."""
        if self.latest is None or not self.latest.chars_per_second:
            return 0.0
        return (self.steps - self.latest.step) * self.chars_per_step / self.latest.chars_per_second

    def _add_sample(self, step: int, sample: str) -> None:
        if sample:
            self.samples = [*self.samples, (step, sample)][-MOST_SAMPLES:]


def append_line(lines: list[dict[str, float]], line: dict[str, float]) -> None:
    """Appends a line of metrics. Of too many, every second older one without an evaluation is dropped."""
    lines.append(line)
    if len(lines) > MOST_LINES:
        other = (at for at, each in enumerate(lines) if "val_nats_per_char" not in each)
        dropped = set(list(other)[1:-1:2]) or set(range(1, MOST_LINES, 2))
        lines[:] = [each for at, each in enumerate(lines) if at not in dropped]
