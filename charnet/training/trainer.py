"""Trains by truncated back-propagation through time, as an iterator of small events.

    run = setup.new_run({"data.paths": ["corpus.txt"]})
    for event in run.events():
        ...                                     # Started, then Metrics after Metrics, then Finished

The state of the network is carried from window to window and detached from its past, so each gradient reaches back one
window, while the state carries information from the start of the stream (Williams & Peng 1990). All that the rest of a
run depends on - weights, optimizer, random numbers, position in the text, state, sums since the last metrics - goes
into `last.safetensors`: a run that was interrupted and resumed is bit for bit the run that was not.

Shape legend: B streams, T characters in a window.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterator

from charnet.config import Config
from charnet.data.batches import StreamPosition
from charnet.data.documents import NO_TARGET
from charnet.data.split import Split
from charnet.data.vocab import Vocabulary
from charnet.errors import CheckpointError, DivergedError, StorageError
from charnet.evaluation.evaluate import Stopped
from charnet.machine import explain_out_of_memory
from charnet.overlay import overlay
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import to_yaml
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.storage.runs import RunFolder
from charnet.training import optim
from charnet.training.agreement import Agreement
from charnet.training.conclusion import Conclusion, conclude
from charnet.training.divergence import diverged
from charnet.training.events import Evaluated, Event, Finished, Replanned, RolledBack, Started
from charnet.training.group import Group
from charnet.training.planner import Plan
from charnet.training.recorder import Recorder
from charnet.training.saver import Saver
from charnet.training.time_budget import TimeBudget
from charnet.training.train_state import MEMORY_ADVICE, TrainState
from charnet.training.trained_ngram import TrainedNgram

SECONDS_BETWEEN_PROGRESS = 0.5
MOST_ROLLBACKS = 3


class Trainer:
    """A run in progress. `events` does the work: steps; `recorder` measures and `saver` saves."""

    def __init__(
        self,
        config: Config,
        vocab: Vocabulary,
        info: CorpusInfo,
        text: Split,
        folder: RunFolder,
        sample_length: int = 0,
        *,
        plan: Plan | None = None,
        time_budget: TimeBudget | None = None,
        ngram: TrainedNgram | None = None,
        group: Group | None = None,
    ) -> None:
        self.group = group or Group()
        self._agreement = Agreement(self.group)
        self.config, self.vocab, self.info, self.folder = config, vocab, info, folder
        self.plan, self.time_budget = plan, time_budget
        self.known_chars: int | None = None
        self.notes, self.damage = tuple[str, ...](), ""  # about the text, and of the newest checkpoint
        self.streams = text.train.streams(vocab.start_id(), config.training.batch_size, config.training.window)
        with explain_out_of_memory(MEMORY_ADVICE):
            self.train_state = TrainState(config, len(vocab), self.group)
        self.recorder = Recorder(text, vocab, self.train_state, sample_length, ngram, self.group)
        self.saver = Saver(folder, vocab, info, self.train_state, ngram)
        self.state = TrainerState()
        self.saver.check_capacity(config, self.state)
        self._progress_at = time.monotonic()

    def started(self) -> Started:
        """Describes the run before its first step."""
        described = self.recorder.started(self.folder, self.config, self.info, self.state)
        return dataclasses.replace(
            described, damage=self.damage, known_chars=self.known_chars, metrics=tuple(self.saver.earlier),
            plan=self.plan, planned_seconds=self.saver.planned_seconds, notes=(*self.notes, *self.folder.notes),
        )  # fmt: skip

    def events(self, stop: Callable[[], object] = lambda: False) -> Generator[Event, None, None]:
        """Trains to the end, or until `stop()` is true, which is called after every step; saves before it returns.

        Closing the iterator early stops and saves too. A run that ends before its first step leaves no folder behind.

        Raises:
            DivergedError: the loss or the gradient is no longer finite; the checkpoints hold the last good weights.
            StorageError: a checkpoint cannot be written.
            ConfigError: there is not enough memory.
        """
        closed: list[GeneratorExit] = []
        try:
            with explain_out_of_memory(MEMORY_ADVICE):
                for event in self._run(lambda: closed or stop()):
                    try:
                        if not closed:
                            yield event
                    except GeneratorExit as error:
                        closed.append(error)  # raised when this process, and all others, have saved
            if closed:
                raise closed[0]
        except StorageError as error:
            raise self.saver.elsewhere(error, self.config, self.state, self.recorder.history) from None
        finally:
            if not self.saver.has_saved and self.group.size == 1:  # else another process may have to begin it anew
                self.folder.discard()
            self.folder.close()

    def _run(self, stop: Callable[[], object]) -> Iterator[Event]:
        yield self.started()
        self.save_last()
        while True:
            try:
                if self._metrics_due():  # after a step, or left by a run that was interrupted while it evaluated
                    yield from self._measure(stop)
                save_is_due = self.saver.is_due(self.config.training.checkpoint_every)
                self._agreement.wish(stops=stop(), saves=save_is_due)
                reason = self._stop_reason() or ("interrupted" if self._agreement.stops else "")
                if reason:
                    break
                self._step()
                yield from self._adjust_length()
                if self._agreement.saves:
                    self.save_last()
                if time.monotonic() - self._progress_at > SECONDS_BETWEEN_PROGRESS:
                    if self.group.size == 1:  # each process has its own clock
                        self._check_sums()
                    self._progress_at = time.monotonic()
                    yield from self.recorder.progress(self.state, self.config)
            except Stopped:
                reason = "interrupted"
                break
            except DivergedError:
                if self.config.training.on_nan == "stop" or self.state.rollbacks >= MOST_ROLLBACKS:
                    raise
                yield self._roll_back()
        self.save_last()
        limit = self.plan.limit if self.plan else ""
        yield self.recorder.finish(self.folder, self.config, self.state, reason, limit, stop)

    def conclude(
        self, finished: Finished, *, compressors: bool = False, stop: Callable[[], object] = lambda: False
    ) -> Conclusion:
        """Measures what the verdict needs, after the last event, in the first process: see `conclusion.conclude`."""
        found = finished.result(len(self.vocab), self.plan.limit if self.plan else "time", of_bytes=self.vocab.of_bytes)
        if finished.reason == "interrupted" or not self.group.is_first:
            return Conclusion(found)
        return conclude(self.recorder, self.folder, found, compressors=compressors, stop=stop)

    def _adjust_length(self) -> Iterator[Replanned]:
        """Changes the length of a run that would end too late or too early."""
        step, t = self.state.step, self.config.training
        evaluations_left = (t.steps - 1) // t.eval_every - step // t.eval_every
        steps = self.time_budget.revise(step, t.steps, evaluations_left) if self.time_budget else None
        if steps is not None:
            self.change_length(steps)
            yield Replanned(step, steps)

    def change_length(self, steps: int) -> None:
        """Changes the length of the run from here on, and records it in the settings. The rate does not jump."""
        changes = (*self.config.training.length_changes, (self.state.step, self.config.training.steps))
        replanned = overlay(self.config, {"training.steps": steps, "training.length_changes": changes})
        self.folder.write(runs.SETTINGS, to_yaml(replanned).encode())
        self.config = replanned

    def _stop_reason(self) -> str:
        s, t = self.state, self.config.training
        if s.step >= t.steps:
            return "complete"
        if t.patience and s.evaluations_without_improvement >= t.patience:
            return "stopped early"
        return ""

    def _step(self) -> None:
        """One window of every stream: forward, backward, clip, optimizer step."""
        began, s = time.perf_counter(), self.state
        position = StreamPosition(*s.position)
        x_BT, y_BT = self.streams.read(position)
        resets_B = self.streams.resets_state(position)
        sums = self.train_state.forward_backward(x_BT, y_BT, resets_B, s.step, self._agreement.wishes)
        self._agreement.agree(sums)
        if self.train_state.device.type == "cpu":  # on a GPU this would wait: metrics and saves check there
            self._check_sums()
        self.train_state.optimizer_step(s.step, self._learning_rate(s.step))
        self.state = dataclasses.replace(
            s,
            step=s.step + 1,
            chars_seen=s.chars_seen + int((y_BT != NO_TARGET).sum()),
            seconds=s.seconds + time.perf_counter() - began,
            position=self.streams.after(position),
        )

    def _learning_rate(self, step: int) -> float:
        t = self.config.training
        largest = t.learning_rate * 0.5**self.state.rollbacks
        position, steps = optim.schedule_position(step, t.steps, t.length_changes)
        return optim.learning_rate_at(position, steps, largest=largest, warmup=t.warmup, final=t.final_learning_rate)

    def _check_sums(self) -> None:
        if metric := self.train_state.nonfinite_metric():
            raise self._diverged(metric)

    def _check_all(self) -> None:
        """Checks, before a save, that a run could continue from these numbers."""
        self._check_sums()
        if tensor := self.train_state.nonfinite_tensor():
            raise self._diverged(tensor)

    def _diverged(self, what: str) -> DivergedError:
        return diverged(what, self.state, self.config, self.folder.path if self.saver.has_saved else None)

    def _roll_back(self) -> RolledBack:
        """Restores the last checkpoint and halves the learning rate."""
        diverged_after = self.state.step
        self.restore(*self.group.load_resumable(self.folder.path / runs.LAST))
        if self.time_budget:
            self.time_budget.restart_timing()
        self.state = dataclasses.replace(self.state, rollbacks=self.state.rollbacks + 1)
        self.save_last()
        return RolledBack(diverged_after, self.state.step, self._learning_rate(self.state.step))

    def _metrics_due(self) -> bool:
        s, t = self.state, self.config.training
        if s.step in (0, s.reported_step):
            return False
        return s.step % t.report_every == 0 or self._evaluation_due()

    def _evaluation_due(self) -> bool:
        step, t = self.state.step, self.config.training
        return step % t.eval_every == 0 or step == t.steps

    def _measure(self, stop: Callable[[], object]) -> Iterator[Event]:
        began, s, evaluates = time.perf_counter(), self.state, self._evaluation_due()
        self._check_sums()
        seconds = s.seconds + (time.perf_counter() - began if self.train_state.device.type != "cpu" else 0.0)
        val = self._validate(stop) if evaluates else None
        metrics = self.recorder.metrics(s, seconds, val, self._learning_rate(s.step - 1))
        self.state = dataclasses.replace(
            s, seconds=seconds, seconds_at_report=seconds, reported_step=s.step, chars_at_report=s.chars_seen
        )
        better, self.state = self.recorder.update_best(metrics, self.state) if evaluates else (False, self.state)
        self.folder.append_metrics(metrics.as_dict())
        if evaluates:
            if better:
                self._check_all()
                self.saver.save_best(self.config, self.state, self.recorder.history)
            self.save_last()
        yield metrics
        if evaluates:
            s = self.state
            yield Evaluated(s.step, better, s.best_step, s.best_nats_per_char, self.recorder.sample(self.config))

    def _validate(self, stop: Callable[[], object]) -> float | None:
        loss, seconds = self.recorder.evaluate(self.config.data.val_chars, stop)
        if self.time_budget:
            self.time_budget.record_evaluation(seconds)
        if loss is None:
            return None
        if not math.isfinite(loss):
            raise self._diverged("validation loss")
        return loss

    def save_last(self) -> None:
        """See `Saver.save_last`."""
        if not self.saver.is_saved(self.state):
            self._check_all()
            self.saver.save_last(self.config, self.state, self.recorder.history)

    def restore(self, before: Checkpoint, damage: str = "") -> None:
        """Restores the state in a checkpoint, and drops the metrics from after it.

        Args:
            damage: what is wrong with the newest checkpoint, if this is the one before it.
        """
        try:
            if not self.streams.has(StreamPosition(*before.trainer_state.position)):
                raise CheckpointError("its position is beyond the end of the text")
            self.train_state.restore(before)
        except CheckpointError as error:
            raise CheckpointError(f"{self.folder.path}: {error}") from None
        self.damage = damage
        self.state = before.trainer_state
        self.recorder.restore(before)
        self.saver.rewind(self.state, damage, before.config.training.resume_changes)

    def load_pretrained(self, weights: Checkpoint) -> None:
        """Starts from trained weights. New characters keep their initial weights."""
        self.known_chars = self.train_state.load_pretrained(weights, self.vocab)
