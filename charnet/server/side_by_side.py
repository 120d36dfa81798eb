"""Texts that take their steps side by side, in three batches: short ones, long ones, those whose readers are slow."""

from __future__ import annotations

from collections.abc import Callable

from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine, MultiStepEngine
from charnet.generation.running import Batch, Request, RunningText
from charnet.server.jobs import Job

SHORT_TEXT = 64  # steps
MANY = 32  # texts: from here on they are written side by side, whatever the engine says of batches all alike


class SideBySide:
    """Three batches of one engine.

    Args:
        deliver: called with each text after its steps; returns whether it goes on.
    """

    def __init__(self, engine: Engine, vocab: Vocabulary, deliver: Callable[[Job, RunningText], bool]) -> None:
        self._batches = [Batch(engine, vocab, nats=True) for _ in range(3)]
        self.short, self.long, self._aside = self._batches
        self._deliver, self._jobs = deliver, dict[int, Job]()

    @property
    def jobs(self) -> list[Job]:
        """Those of all its texts."""
        return list(self._jobs.values())

    def forget(self) -> None:
        """Drops all texts; nothing is delivered any more."""
        self._jobs, self._deliver = {}, lambda *_: False

    def use(self, engine: Engine) -> None:
        """Goes on with another engine of the same model."""
        for batch in self._batches:
            batch.engine = engine

    def join(self, job: Job, text: RunningText, request: Request) -> None:
        """Adds a text, unless it has ended."""
        if self._deliver(job, text):
            self._jobs[id(text)] = job
            (self.short if text.steps_left <= SHORT_TEXT else self.long).join([(text, request)])

    def drop_cancelled(self) -> None:
        """Drops the texts that nobody waits for."""
        if any(job.is_cancelled for job in self._jobs.values()):
            for batch in self._batches:
                batch.keep([row for row, text in enumerate(batch.running) if not self._jobs[id(text)].is_cancelled])
            self._jobs = {key: job for key, job in self._jobs.items() if not job.is_cancelled}

    def lay_aside(self) -> None:
        """Takes texts that are far ahead of their readers out of the batch until these have caught up."""
        for batch, to, is_ahead in ((self.long, self._aside, True), (self._aside, self.long, False)):
            jobs = [self._jobs[id(text)] for text in batch.running]
            batch.move([row for row, job in enumerate(jobs) if job.is_ahead == is_ahead], to)

    def write(self, batch: Batch, seconds: float, stops: Callable[[], object]) -> bool:
        """Writes some steps of the texts of a batch; returns whether there are any. See `Batch.advance`."""
        if not (texts := list(batch.running)):
            return False
        batch.advance(seconds, stops=stops)
        for text in texts:
            if not self._deliver(self._jobs[id(text)], text):
                del self._jobs[id(text)]
        return True


def fewest(engine: Engine) -> int:
    """Returns the number of texts from which on they are written side by side."""
    if not isinstance(engine, MultiStepEngine):
        return 0
    return engine.min_batch if engine.is_exact else min(engine.min_batch, MANY)
