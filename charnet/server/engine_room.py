"""One thread that computes all texts of a model, while clients come and go.

In each turn it reads a bounded piece of the prompts that wait, and writes a bounded piece of every text: nobody waits
for the end of another's text, nor of another's prompt. Texts for which only temperature, bias and pattern apply are
written one after the other, some steps each, as long as that is faster; all others take their steps side by side, the
short ones apart from the long ones: who asks for a few characters, at each key stroke perhaps, has them before a step
of a hundred others has been made five times. A text that arrives ends the turn.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from charnet.config import SamplingOptions
from charnet.engines.base import Engine, MultiStepEngine
from charnet.engines.registry import available, open_engine
from charnet.errors import CharnetError
from charnet.generation import generate
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation
from charnet.generation.running import Batch, Request, RunningText
from charnet.generation.sampler import Sampler
from charnet.generation.samplers import Samplers
from charnet.server.jobs import BusyError, Job, StoppedError
from charnet.server.prefixes import Prefixes
from charnet.storage.checkpoint import Checkpoint

READING_SECONDS, WRITING_SECONDS, SHORT_SECONDS = 0.008, 0.05, 0.02  # of a turn; the last one while short texts run
SHORT_TEXT = 64  # steps
SHORTEST_CALL = 0.0015  # seconds for one of several texts in a turn
PIECE = 64  # symbols of a prompt that are read at once
MOST_RUNNING, MOST_WAITING = 256, 64  # texts
MOST_AHEAD, PAUSE_SECONDS = 4096, 0.005  # characters; in which a turn that had nothing to do waits


@dataclass
class _Alone:
    """A text that is written by itself, some steps in each turn."""

    job: Job
    generation: Generation
    chunks: Iterator[Chunk]


class EngineRoom:
    """The engine of a model and the texts that it writes.

    Args:
        checkpoint: the model; its file may go away.
        sha256: of that file.
    """

    def __init__(self, checkpoint: Checkpoint, *, sha256: str = "") -> None:
        self.checkpoint, self.sha256 = checkpoint, sha256 or checkpoint.sha256
        self.engine: Engine = open_engine(checkpoint, "numpy")
        self._samplers = Samplers(checkpoint.vocab, is_exact=self.engine.is_exact)
        self._prefixes, self._changed = Prefixes(), threading.Condition()
        self._waiting, self._reading = deque[Job](), deque[Job]()
        self._alone: list[_Alone] = []
        self._short, self._long = (Batch(self.engine, checkpoint.vocab, nats=True) for _ in range(2))
        self._of_batch = dict[int, Job]()
        self._stops, self._ends = False, False
        self.characters = 0  # that were written
        self._thread = threading.Thread(target=self._run, name="charnet-engine", daemon=True)

    def start(self) -> None:
        """Starts to work."""
        self._thread.start()

    def compile(self) -> None:
        """Opens the compiled engine in the background, where there is one; texts that begin later are written by it."""
        threading.Thread(target=self._open_compiled, name="charnet-compile", daemon=True).start()

    def _open_compiled(self) -> None:
        if available("compiled") != "compiled":
            return
        engine = open_engine(self.checkpoint, "compiled")
        if isinstance(engine, MultiStepEngine):  # what is loaded at its first use, is loaded before a client waits
            engine.generate([0], engine.start(1), np.full(1, 0.5), np.ones(1), None)
        engine.advance([0, 0], engine.start(2))
        gc.freeze()  # else each full collection walks through a compiler: 0.1 s in which nobody is answered
        with self._changed:
            self.engine = self._short.engine = self._long.engine = engine

    def prepare(self, options: SamplingOptions) -> None:
        """Makes what samples with some options, which takes seconds for some patterns; any thread may call this.

        Raises:
            CharnetError: the options do not fit the model.
        """
        self._samplers.of(options)

    def submit(self, *jobs: Job) -> None:
        """Takes texts to write, all or none. They begin in their order.

        Raises:
            BusyError: too many wait already.
            CharnetError: the options do not fit the model, or the room is closed.
        """
        for job in jobs:
            job.sampler = self._samplers.of(job.options)
        with self._changed:
            if self._stops:
                raise StoppedError("the server is stopping")
            if len(jobs) > self.places:
                raise BusyError
            self._waiting.extend(jobs)
            self._changed.notify()

    @property
    def places(self) -> int:
        """Texts that it would still take."""
        return MOST_WAITING + max(0, MOST_RUNNING - self.running) - self.waiting

    @property
    def waiting(self) -> int:
        """Texts that have not begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Texts that are being written, or whose prompt is being read."""
        return len(self._reading) + len(self._alone) + len(self._of_batch)

    def close_when_idle(self) -> None:
        """Lets the texts under way end, and then closes; no others are taken."""
        with self._changed:
            self._ends = True
            self._changed.notify()

    def close(self) -> None:
        """Ends all texts with an error, and the thread."""
        with self._changed:
            self._stops = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        try:
            while self._goes_on():
                self._turn()
        finally:  # also where a bug ends the thread: nobody waits for it
            with self._changed:
                self._stops = True
            of_batch = self._of_batch.values()
            for job in (*self._waiting, *self._reading, *(each.job for each in self._alone), *of_batch):
                self._end(job, StoppedError("the server is stopping"))

    def _goes_on(self) -> bool:
        """Waits for work, and takes what there is room for; returns whether there is any."""
        with self._changed:
            while not (self._stops or self._ends or self._waiting or self.running):
                self._changed.wait()
            if any(job.is_cancelled for job in self._waiting):
                self._waiting = deque(job for job in self._waiting if not job.is_cancelled)
            while self._waiting and self.running < MOST_RUNNING:
                self._reading.append(self._waiting.popleft())
            return not self._stops and not (self._ends and not self.running)

    def _turn(self) -> None:
        self._drop_cancelled()
        self._read_prompts()
        seconds = SHORT_SECONDS if self._short.running else WRITING_SECONDS
        if self._short.running:
            self._write_batch(self._short, seconds)
        has_written = self._write_alone()
        if self._long.running:
            self._write_batch(self._long, seconds)
        if self._alone and not (has_written or self._of_batch or self._reading):
            time.sleep(PAUSE_SECONDS)

    def _write_alone(self) -> bool:
        """Writes some steps of each text that is written by itself, until a text arrives; returns whether of any."""
        written = [each for each in self._alone if each.job.delivered - each.job.taken < MOST_AHEAD]
        seconds = max(SHORTEST_CALL, SHORT_SECONDS / max(1, len(written)))
        for each in written:
            self._alone.remove(each)
            if self._write(each, seconds):
                self._alone.append(each)  # behind all others
            if self._has_arrival():
                break
        return bool(written)

    def _has_arrival(self) -> bool:
        """Whether a text waits for which there is room."""
        return bool(self._waiting) and self.running < MOST_RUNNING

    def _drop_cancelled(self) -> None:
        for job in self._reading:
            if job.is_cancelled:
                self._keep_part(job)
        self._reading = deque(job for job in self._reading if not job.is_cancelled)
        self._alone = [each for each in self._alone if not each.job.is_cancelled]
        if any(job.is_cancelled for job in self._of_batch.values()):
            for batch in (self._short, self._long):
                batch.keep([row for row, text in enumerate(batch.running) if not self._of_batch[id(text)].is_cancelled])
            self._of_batch = {key: job for key, job in self._of_batch.items() if not job.is_cancelled}

    def _read_prompts(self) -> None:
        """Reads pieces of prompts in turn until the time for it is over; begins the texts whose prompts are read."""
        began, engine = time.perf_counter(), self.engine
        while self._reading and time.perf_counter() - began < READING_SECONDS:
            job = self._reading[0]  # it stays until it is written: it counts as running
            try:
                if not self._has_read(engine, job):
                    self._reading.rotate(-1)
                    continue
                self._begin(engine, job)
            except CharnetError as error:
                self._end(job, error)
            self._reading.popleft()

    def _has_read(self, engine: Engine, job: Job) -> bool:
        """Reads a piece of a prompt; returns whether only its last symbol is left."""
        if job.scores_prompt:
            job.state = generate.start(engine, self.checkpoint.vocab, job.ids.tolist())
            return True
        if job.state is None:
            count, state = self._prefixes.longest(job.ids)
            begun = state or generate.start(engine, self.checkpoint.vocab)
            job.state = begun.extend(job.ids[count:].tolist())
        pending = job.state.pending
        if len(pending) > 1:
            piece = replace(job.state, pending=pending[: PIECE + 1])
            read = generate.read(engine, piece)
            job.state = replace(job.state, state=read.state, pending=read.pending + pending[PIECE + 1 :])
        if len(job.state.pending) > 1:
            return False
        self._prefixes.keep(job.ids, job.state)
        return True

    def _keep_part(self, job: Job) -> None:
        """Keeps what was read of a prompt that nobody waits for any more: who types asks again with a longer one, and
        would otherwise never come to the end of a long text."""
        if (state := job.state) is None or job.scores_prompt:
            return
        unread = len(state.pending) - 1
        recent = state.recent[: len(state.recent) - unread]
        self._prefixes.keep(job.ids[: len(job.ids) - unread], replace(state, pending=state.pending[:1], recent=recent))

    def _begin(self, engine: Engine, job: Job) -> None:
        assert job.state is not None
        vocab, sampler = self.checkpoint.vocab, job.sampler or self._samplers.of(job.options)
        if self._is_plain(engine, sampler, job):
            generation = Generation(engine, vocab, job.state, job.options, index=job.number, nats=True, sampler=sampler)
            begun = _Alone(job, generation, iter(generation))
            self._alone.insert(0 if job.options.length <= SHORT_TEXT else len(self._alone), begun)
            return
        request = Request(job.state, job.options, job.number, likely=job.likely, scores=job.scores_prompt)
        text = RunningText(vocab, request, sampler, is_exact=engine.is_exact)
        if self._deliver(job, text):
            self._of_batch[id(text)] = job
            (self._short if text.steps_left <= SHORT_TEXT else self._long).join([(text, request)])

    def _is_plain(self, engine: Engine, sampler: Sampler, job: Job) -> bool:
        if not isinstance(engine, MultiStepEngine) or job.likely is not None or not sampler.temperature_only:
            return False
        return len(self._alone) + 1 < engine.min_batch

    def _write(self, each: _Alone, seconds: float) -> bool:
        """Writes some steps of a text; returns whether it goes on."""
        each.generation.seconds_per_call = seconds
        try:
            chunk = next(each.chunks, None)
        except CharnetError as error:
            self._end(each.job, error)
            return False
        if chunk is None:
            self._end(each.job)
            return False
        self.characters += len(chunk.text)
        each.job.delivered += len(chunk.text)
        each.job.deliver(chunk, [], None)
        return True

    def _write_batch(self, batch: Batch, seconds: float) -> None:
        """Writes some steps of texts that take them side by side."""
        texts = list(batch.running)
        batch.advance(seconds, stops=self._has_arrival)
        for text in texts:
            job = self._of_batch[id(text)]
            if not self._deliver(job, text):
                del self._of_batch[id(text)]

    def _deliver(self, job: Job, text: RunningText) -> bool:
        """Delivers what is ready of a text; returns whether it goes on."""
        alternatives, text.alternatives = text.alternatives, []
        try:
            while (chunk := text.take()) is not None:
                self.characters += len(chunk.text)
                job.deliver(chunk, alternatives, None)
                alternatives = []
            if alternatives:
                job.deliver(Chunk(""), alternatives, None)
        except CharnetError as error:
            self._end(job, error)
            return False
        if text.ended:
            self._end(job)
        return not text.ended

    def _end(self, job: Job, error: CharnetError | None = None) -> None:
        job.deliver(None, [], error)
