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
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from charnet.config import SamplingOptions
from charnet.engines.base import Engine, MultiStepEngine
from charnet.engines.registry import available, open_engine
from charnet.errors import CharnetError
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation
from charnet.generation.rows import Alternatives
from charnet.generation.running import Request, RunningText
from charnet.generation.sampler import Sampler
from charnet.generation.samplers import Samplers
from charnet.server import side_by_side
from charnet.server.jobs import BrokenError, BusyError, Job, StoppedError
from charnet.server.prompt_reader import PromptReader
from charnet.server.side_by_side import SHORT_TEXT, SideBySide
from charnet.storage.checkpoint import Checkpoint

READING_SECONDS, WRITING_SECONDS, SHORT_SECONDS = 0.008, 0.05, 0.02  # of a turn; the last one while short texts run
SHORTEST_CALL = 0.0015  # seconds for one of several texts in a turn
MOST_RUNNING, MOST_WAITING = 256, 64  # texts
PAUSE_SECONDS = 0.005  # in which a turn that had nothing to do waits


class _Alone(NamedTuple):
    """A text that is written by itself, some steps in each turn."""

    job: Job
    generation: Generation
    chunks: Iterator[Chunk]


class EngineRoom:
    """The engine of a model and the texts that it writes.

    Args:
        checkpoint: the model; its file may go away.
        sha256: of that file.
        log: called with the traceback of a bug.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, sha256: str = "", log: Callable[[str], object] = lambda _: None
    ) -> None:
        self.checkpoint, self.sha256, self._log = checkpoint, sha256 or checkpoint.sha256, log
        self.engine: Engine = open_engine(checkpoint, "numpy")
        self._samplers = Samplers(checkpoint.vocab, is_exact=self.engine.is_exact)
        self._reader, self._changed = PromptReader(checkpoint.vocab), threading.Condition()
        self._waiting, self._reading = deque[Job](), deque[Job]()
        self._alone: list[_Alone] = []
        self._together = SideBySide(self.engine, checkpoint.vocab, self._deliver)
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
            self.engine = engine
            self._together.use(engine)

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
            StoppedError: the room is closed.
            CharnetError: the options do not fit the model.
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
        return len(self._reading) + len(self._alone) + len(self._together.jobs)

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
        while self._goes_on():
            try:
                self._turn()
            except Exception:  # a bug: who waits for a text learns of it, and later ones are written
                self._log(traceback.format_exc())
                self._end_all(BrokenError("a bug in charnet: the server's log has the traceback"))
        self._end_all(StoppedError("the server is stopping"))
        self._together.forget()  # it leads back to this room: what was frozen is freed only without a cycle

    def _end_all(self, error: CharnetError) -> None:
        with self._changed:
            jobs = [*self._waiting, *self._reading, *(each.job for each in self._alone), *self._together.jobs]
            self._waiting, self._reading, self._alone = deque(), deque(), []
            self._together = SideBySide(self.engine, self.checkpoint.vocab, self._deliver)
        for job in jobs:
            self._end(job, error)

    def _goes_on(self) -> bool:
        """Waits for work, and takes what there is room for; returns whether there is any."""
        with self._changed:
            while not (self._stops or self._ends or self._waiting or self.running):
                self._changed.wait()
            if any(job.is_cancelled for job in self._waiting):
                self._waiting = deque(job for job in self._waiting if not job.is_cancelled)
            while self._waiting and self.running < MOST_RUNNING:
                self._reading.append(self._waiting.popleft())
            self._stops = self._stops or (self._ends and not self.running)  # from here on no text is taken
            return not self._stops

    def _turn(self) -> None:
        self._drop_cancelled()
        self._read_prompts()
        self._gather()
        together = self._together
        together.lay_aside()
        seconds = SHORT_SECONDS if together.short.running else WRITING_SECONDS
        has_written = together.write(together.short, seconds, self._has_arrival)
        has_written = self._write_alone() or has_written
        has_written = together.write(together.long, seconds, self._has_arrival) or has_written
        if not (has_written or self._reading):
            time.sleep(PAUSE_SECONDS)

    def _write_alone(self) -> bool:
        """Writes some steps of each text that is written by itself, until a text arrives; returns whether of any."""
        written = [each for each in self._alone if not each.job.is_ahead]
        seconds = max(SHORTEST_CALL, SHORT_SECONDS / max(1, len(written)))
        for each in written:
            self._alone.remove(each)
            if self._write(each, seconds):
                self._alone.append(each)  # behind all others
            if self._has_arrival():
                break
        return bool(written)

    def _gather(self) -> None:
        """Lets texts that were written by themselves go on side by side, if there are enough of them."""
        engine, vocab = self.engine, self.checkpoint.vocab
        if not self._alone or self.running < side_by_side.fewest(engine):
            return
        ended = [each for each in self._alone if each.generation.detokenizer.ended]  # their last piece is to come
        for job, generation, _ in (each for each in self._alone if each not in ended):
            request = Request(generation.state, job.options, job.number)
            text = RunningText.after(generation, vocab, request, self._sampler(job), is_exact=engine.is_exact)
            self._together.join(job, text, request)
        self._alone = ended

    def _has_arrival(self) -> bool:
        """Whether a text waits for which there is room."""
        return bool(self._waiting) and self.running < MOST_RUNNING

    def _drop_cancelled(self) -> None:
        for job in self._reading:
            if job.is_cancelled:
                self._reader.keep_part(job)
        self._reading = deque(job for job in self._reading if not job.is_cancelled)
        self._alone = [each for each in self._alone if not each.job.is_cancelled]
        self._together.drop_cancelled()

    def _read_prompts(self) -> None:
        """Reads pieces of prompts in turn until the time for it is over; begins the texts whose prompts are read."""
        began, engine = time.perf_counter(), self.engine
        while self._reading and time.perf_counter() - began < READING_SECONDS:
            job = self._reading[0]  # it stays until it is written: it counts as running
            try:
                if not self._reader.read(engine, job):
                    self._reading.rotate(-1)
                    continue
                self._begin(engine, job)
            except CharnetError as error:
                self._end(job, error)
            self._reading.popleft()

    def _begin(self, engine: Engine, job: Job) -> None:
        assert job.state is not None
        vocab, sampler = self.checkpoint.vocab, self._sampler(job)
        if self._is_plain(engine, sampler, job):
            generation = Generation(engine, vocab, job.state, job.options, index=job.number, nats=True, sampler=sampler)
            begun = _Alone(job, generation, iter(generation))
            self._alone.insert(0 if job.options.length <= SHORT_TEXT else len(self._alone), begun)
            return
        request = Request(job.state, job.options, job.number, likely=job.likely, scores=job.scores_prompt)
        text = RunningText(vocab, request, sampler, is_exact=engine.is_exact)
        self._together.join(job, text, request)

    def _sampler(self, job: Job) -> Sampler:
        return job.sampler or self._samplers.of(job.options)

    def _is_plain(self, engine: Engine, sampler: Sampler, job: Job) -> bool:
        return job.likely is None and sampler.temperature_only and self.running < side_by_side.fewest(engine)

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
        self._deliver_chunk(each.job, chunk, [])
        return True

    def _deliver(self, job: Job, text: RunningText) -> bool:
        """Delivers what is ready of a text; returns whether it goes on."""
        alternatives, text.alternatives = text.alternatives, []
        try:
            while (chunk := text.take()) is not None:
                self._deliver_chunk(job, chunk, alternatives)
                alternatives = []
            if alternatives:
                job.deliver(Chunk(""), alternatives, None)
        except CharnetError as error:
            self._end(job, error)
            return False
        if text.ended:
            self._end(job)
        return not text.ended

    def _deliver_chunk(self, job: Job, chunk: Chunk, alternatives: list[Alternatives]) -> None:
        self.characters += len(chunk.text)
        job.delivered += len(chunk.text)
        job.deliver(chunk, alternatives, None)

    def _end(self, job: Job, error: CharnetError | None = None) -> None:
        job.deliver(None, [], error)
