"""Training by truncated back-propagation through time, as an iterator of small reports.

    training = prepare.start({"data.paths": ["corpus.txt"]})
    for report in training.events():
        ...                                     # Started, then Metrics after Metrics, then Finished

The state of the network is carried from window to window and cut from its past, so each gradient reaches back one
window while the memory reaches back to the start of the stream (Williams & Peng 1990). All that the rest of a run
depends on - weights, optimiser, random numbers, place in the text, state, sums since the last report - goes into
`last.safetensors`: a run that was interrupted and resumed is bit for bit the run that was not.

Shape legend: B streams, T characters in a window, V characters in the alphabet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import platform
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import charnet
from charnet.config import Config, overlay
from charnet.config_file import to_yaml
from charnet.data.batches import Split, StreamPosition, Streams
from charnet.data.documents import NO_TARGET, DocumentStreams
from charnet.data.encoded_copy import Ends, Ids
from charnet.data.vocab import Vocabulary
from charnet.engines.registry import engine_of
from charnet.errors import CheckpointError, ConfigError, DivergedError, StorageError
from charnet.evaluation.baselines import Baselines, baselines
from charnet.evaluation.evaluate import Evaluation, Stopped, evaluate
from charnet.evaluation.forecast import forecast
from charnet.generation.generate import stream
from charnet.generation.sampler import Options
from charnet.machine import explain_out_of_memory
from charnet.model.network import from_weights
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.storage.runs import RunFolder
from charnet.training import optim
from charnet.training.events import Evaluated, Event, Finished, Metrics, Progress, Replanned, RolledBack, Started
from charnet.training.planner import LONGEST_LAST_READING, SHARE_OF_LAST_READING, Plan
from charnet.training.time_budget import TimeBudget
from charnet.training.train_state import NEEDS_LESS, TrainState, to_numpy

SECONDS_BETWEEN_PROGRESS = 0.5
LARGEST_SHARE_OF_SAVING = 0.01  # of the training time, for the saves that come by the clock
LONGEST_HISTORY = 1000  # evaluations kept inside a checkpoint; beyond that every second one is dropped
MOST_ROLLBACKS = 3


class Trainer:
    """A run in progress. `reports` does the work; everything else prepares, measures or saves."""

    def __init__(
        self,
        config: Config,
        vocab: Vocabulary,
        info: CorpusInfo,
        ids: Ids,
        folder: RunFolder,
        sample_length: int = 0,
        *,
        ends: Ends | None = None,
        plan: Plan | None = None,
        time_budget: TimeBudget | None = None,
    ) -> None:
        settings = config.training
        self.config, self.vocab, self.info = config, vocab, info
        self.folder, self.sample_length, self.plan, self.time_budget = folder, sample_length, plan, time_budget
        self.known_chars: int | None = None
        self.notes: tuple[str, ...] = ()  # about the text
        self.damage = ""
        text = Split(ids, ends, config.data)
        self.train_ids, self.val_ids, self.val_ends = text.train, text.val, text.val_ends
        self.streams: Streams | DocumentStreams
        if text.train_ends is None:
            self.streams = Streams(self.train_ids, settings.batch_size, settings.window)
        else:
            self.streams = DocumentStreams(
                self.train_ids, text.train_ends, vocab.start_id(), settings.batch_size, settings.window
            )
        with explain_out_of_memory(NEEDS_LESS):
            self.train_state = TrainState(config, len(vocab))
        self.state = TrainerState()
        self.history: list[dict[str, float]] = []
        self.saved: TrainerState | None = None  # as `last` has it
        self.has_saved = False  # whether anything that was learned may be on disk
        self.saved_at, self.seconds_a_save = time.monotonic(), 0.0
        self.read_per_second = 0.0  # held-out characters, in the newest evaluation
        self.progress_at = time.monotonic()

    def started(self) -> Started:
        """What is about to be trained."""
        precision = self.config.training.precision
        return Started(
            run=self.folder.path,
            config=self.config,
            corpus=self.info,
            alphabet_size=len(self.vocab),
            parameters=sum(p.numel() for p in self.train_state.model.parameters()),
            device=self.train_state.device.type,
            precision="tf32" if (self.train_state.device.type, precision) == ("cuda", "fp32") else precision,
            threads=torch.get_num_threads(),
            step=self.state.step,
            history=tuple(self.history),
            damage=self.damage,
            known_chars=self.known_chars,
            plan=self.plan,
            notes=self.notes,
        )

    def events(self, stop: Callable[[], object] = lambda: False) -> Generator[Event, None, None]:
        """Trains to the end, or until `stop` says so, which is asked after every step; saves before it returns.

        A consumer that leaves on the way, as when the pipe it writes to breaks, loses nothing: closing the iterator
        saves too. A run that ends before its first step leaves no folder behind.

        Raises:
            DivergedError: the loss or the gradient is no longer finite; the checkpoints hold the last good weights.
            StorageError: a checkpoint cannot be written.
            ConfigError: there is not enough memory.
        """
        try:
            with explain_out_of_memory(NEEDS_LESS):
                yield from self._run(stop)
        except GeneratorExit:  # between two steps: all numbers belong together
            self.save_last()
            raise
        finally:
            if not self.has_saved:
                self.folder.discard()
            self.folder.close()

    def _run(self, stop: Callable[[], object]) -> Iterator[Event]:
        yield self.started()
        self.save_last()
        while True:
            try:
                if self._metrics_due():  # after a step, or owed by a run that was interrupted while it evaluated
                    yield from self._measure(stop)
                reason = self._stop_reason() or ("interrupted" if stop() else "")
                if reason:
                    break
                self._step()
                yield from self._adjust_length()
                if self._save_due():
                    self.save_last()
            except Stopped:
                reason = "interrupted"
                break
            except DivergedError:
                if self.config.training.on_nan == "stop" or self.state.rollbacks >= MOST_ROLLBACKS:
                    raise
                yield self._roll_back()
                continue
            if time.monotonic() - self.progress_at > SECONDS_BETWEEN_PROGRESS:
                yield self._progress()
        self.save_last()
        yield self._finished(reason, stop)

    def _finished(self, reason: str, stop: Callable[[], object]) -> Finished:
        p, held_out = self.state, len(self.val_ids)
        best, read = p.best_nats_per_char, min(held_out, self.config.data.val_chars or held_out)
        history: list[dict[str, float]] = self.history
        missing = (Stopped, CheckpointError, StorageError, ConfigError)  # then what is known must do
        with contextlib.suppress(*missing), explain_out_of_memory(NEEDS_LESS):
            if reason != "interrupted" and best is not None and read < held_out:
                whole = self._read_at_the_end(read, stop)
                read, shift, best = whole.characters, whole.nats_per_char - best, whole.nats_per_char
                history = [line | {"val_nats_per_char": line["val_nats_per_char"] + shift} for line in history]
        limit = self.plan.limit if self.plan else "time"
        advice = forecast(history, reason, p.chars_seen / len(self.train_ids), limit)
        return Finished(self.folder.path, reason, p.step, p.best_step, best, advice, read, held_out)

    def _read_at_the_end(self, judged_by: int, stop: Callable[[], object]) -> Evaluation:
        """How good the best weights are: over all that was held out where there is time for that, else over more of it
        than they were chosen by."""
        seconds = max(LONGEST_LAST_READING, SHARE_OF_LAST_READING * self.state.seconds)
        weights = Checkpoint.load(self.folder.path / runs.BEST, weights_only=True).weights
        most = max(judged_by, int(seconds * self.read_per_second))
        model = from_weights(self.config.model, weights).to(self.train_state.device)
        return evaluate(model, self.val_ids, self.vocab.start_id(), self.val_ends, most=most, stop=stop)

    def baselines(self) -> Baselines | None:
        """What simple means make of the same text, in a second or two; None where nothing is held out, or too little
        memory is left for it."""
        with contextlib.suppress(MemoryError):
            return baselines(self.train_ids, self.val_ids, self.vocab) if len(self.val_ids) else None
        return None

    def _adjust_length(self) -> Iterator[Replanned]:
        """Changes the length of a run that would end too late, or too early; the settings tell it, so that the same
        settings give the same run again."""
        step, t = self.state.step, self.config.training
        evaluations_left = (t.steps - 1) // t.eval_every - step // t.eval_every
        steps = self.time_budget.revised(step, t.steps, evaluations_left) if self.time_budget else None
        if steps is None:
            return
        earlier = (*t.earlier_plans, f"{step}:{t.steps}")
        replanned = overlay(self.config, {"training.steps": steps, "training.earlier_plans": earlier})
        self.folder.write(runs.SETTINGS, to_yaml(replanned).encode())
        self.config = replanned
        yield Replanned(step, steps)

    def _progress(self) -> Progress:
        self.progress_at, p = time.monotonic(), self.state
        steps, seconds = max(1, p.step - p.reported_step), p.seconds - p.seconds_at_report
        speed = steps * self._chars_a_step() / max(seconds, 1e-9)
        return Progress(p.step, self.train_state.sums[0].item() / steps, round(speed, 1))

    def _chars_a_step(self) -> float:
        return self.state.chars_seen / max(1, self.state.step)

    def _save_due(self) -> bool:
        shortest = max(self.config.training.checkpoint_every, self.seconds_a_save / LARGEST_SHARE_OF_SAVING)
        return time.monotonic() - self.saved_at > shortest

    def _roll_back(self) -> RolledBack:
        """Goes back to the last checkpoint, to go on from there at half the learning rate."""
        diverged_after = self.state.step
        self.restore(*runs.load_resumable(self.folder.path / runs.LAST))
        if self.time_budget:
            self.time_budget.went_back()
        self.state = dataclasses.replace(self.state, rollbacks=self.state.rollbacks + 1)
        self.save_last()
        return RolledBack(diverged_after, self.state.step, self._learning_rate(self.state.step))

    def _stop_reason(self) -> str:
        p, settings = self.state, self.config.training
        if p.step >= settings.steps:
            return "complete"
        if settings.patience and p.evaluations_without_improvement >= settings.patience:
            return "stopped early"
        return ""

    def _step(self) -> None:
        """One window of every stream: forward, backward, clip, move."""
        began, p = time.perf_counter(), self.state
        position = StreamPosition(*p.position)
        x_BT, y_BT = self.streams.read(position)
        self.train_state.forward_backward(x_BT, y_BT, reset_state=self.streams.resets_state(position))
        if (
            self.train_state.device.type == "cpu"
        ):  # elsewhere asking would make the processor wait: reports and saves ask
            self._check_sums()
        self.train_state.optimizer_step(p.step, self._learning_rate(p.step))
        self.state = dataclasses.replace(
            p,
            step=p.step + 1,
            chars_seen=p.chars_seen + int((y_BT != NO_TARGET).sum()),
            seconds=p.seconds + time.perf_counter() - began,
            position=self.streams.after(position),
        )

    def _learning_rate(self, step: int) -> float:
        t = self.config.training
        largest = t.learning_rate * 0.5**self.state.rollbacks
        place, steps = optim.schedule_position(step, t.steps, t.plans_given_up())
        return optim.learning_rate_at(place, steps, largest=largest, warmup=t.warmup, final=t.final_learning_rate)

    def _check_sums(self) -> None:
        if strange := self.train_state.nonfinite_metric():
            raise self._diverged(strange)

    def _diverged(self, what: str) -> DivergedError:
        folder = self.folder.path
        left = f"the checkpoints in {folder} hold the weights from before" if self.has_saved else "nothing is kept"
        rate = self.config.training.learning_rate * 0.5**self.state.rollbacks
        rollback = ", or --on-nan rollback" if self.config.training.on_nan == "stop" else ""
        return DivergedError(
            f"after step {self.state.step} the {what} is no longer a finite number; {left}; "
            f"try a new run with a --learning-rate below {rate:g}{rollback}"
        )

    # ------------------------------------------------------------------------------------- reports

    def _metrics_due(self) -> bool:
        p, settings = self.state, self.config.training
        if p.step in (0, p.reported_step):
            return False
        return p.step % settings.report_every == 0 or self._evaluation_due()

    def _evaluation_due(self) -> bool:
        step, settings = self.state.step, self.config.training
        return step % settings.eval_every == 0 or step == settings.steps

    def _measure(self, stop: Callable[[], object]) -> Iterator[Event]:
        began, p = time.perf_counter(), self.state
        self._check_sums()
        steps = p.step - p.reported_step
        train, norm = (self.train_state.sums / steps).tolist()
        seconds = p.seconds + (time.perf_counter() - began if self.train_state.device.type != "cpu" else 0.0)
        val = self._validate(stop) if self._evaluation_due() and len(self.val_ids) else None
        metrics = Metrics(
            step=p.step,
            chars_seen=p.chars_seen,
            seconds=round(seconds, 3),
            train_nats_per_char=train,
            val_nats_per_char=val,
            learning_rate=self._learning_rate(p.step - 1),
            grad_norm=norm,
            chars_per_second=round(steps * self._chars_a_step() / max(seconds - p.seconds_at_report, 1e-9), 1),
        )
        self.train_state.sums.zero_()
        self.state = dataclasses.replace(p, seconds=seconds, seconds_at_report=seconds, reported_step=p.step)
        better = self._update_best(metrics) if self._evaluation_due() else False
        self.folder.append_metrics(json.dumps(metrics.as_dict()))
        if self._evaluation_due():
            if better:
                self._save(runs.BEST, {})
            self.save_last()
        yield metrics
        if self._evaluation_due():
            p = self.state
            yield Evaluated(p.step, better, p.best_step, p.best_nats_per_char, self._sample())

    def _validate(self, stop: Callable[[], object]) -> float:
        began = time.monotonic()
        most = self.config.data.val_chars
        model, start_id = self.train_state.model, self.vocab.start_id()
        evaluation = evaluate(model, self.val_ids, start_id, self.val_ends, most=most, stop=stop)
        loss, seconds = evaluation.nats_per_char, time.monotonic() - began
        self.read_per_second = evaluation.characters / max(seconds, 1e-9)
        if self.time_budget:
            self.time_budget.evaluated(seconds)
        if not math.isfinite(loss):
            raise self._diverged("validation loss")
        return loss

    def _update_best(self, metrics: Metrics) -> bool:
        """Whether this evaluation is the best so far; without held-out text the training loss decides."""
        p = self.state
        loss = metrics.train_nats_per_char if metrics.val_nats_per_char is None else metrics.val_nats_per_char
        better = math.isfinite(loss) and (p.best_nats_per_char is None or loss < p.best_nats_per_char)
        self.history.append(metrics.as_dict())
        if len(self.history) > LONGEST_HISTORY:
            self.history = self.history[::2]
        if better:
            self.state = dataclasses.replace(
                p, best_step=p.step, best_nats_per_char=loss, evaluations_without_improvement=0
            )
        else:
            self.state = dataclasses.replace(p, evaluations_without_improvement=p.evaluations_without_improvement + 1)
        return better

    def _sample(self) -> str:
        if not self.sample_length:
            return ""
        engine = engine_of(self.config.model, to_numpy(self.train_state.model.state_dict()), "numpy")
        return "".join(stream(engine, self.vocab, [], Options(length=self.sample_length)))

    # ------------------------------------------------------------------------------------- saving and restoring

    def save_last(self) -> None:
        """Writes all that the rest of the run depends on, unless that is what was written last."""
        if self.saved == self.state:
            return
        began = time.monotonic()
        self._check_sums()
        self.folder.sync_metrics()
        self._save(runs.LAST, self.train_state.resume_state())
        self.saved = self.state
        self.saved_at = time.monotonic()
        self.seconds_a_save = self.saved_at - began

    def _save(self, name: str, extra: dict[str, Tensor]) -> None:
        if strange := self.train_state.nonfinite_tensor():  # nothing is saved that a run could not recover from
            raise self._diverged(strange)
        nats, norm = self.train_state.sums.tolist()
        names = tuple(Path(path).name for path in self.config.data.paths)  # where they lie is nobody's business
        checkpoint = Checkpoint(
            config=overlay(self.config, {"data.paths": names}),
            vocab=self.vocab,
            corpus=self.info,
            trainer_state=dataclasses.replace(self.state, nats_since_report=nats, grad_norm_since_report=norm),
            tensors=to_numpy(self.train_state.weights() | extra),
            history=self.history,
            versions={
                "charnet": charnet.__version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        self.has_saved = (
            self.has_saved or self.state.step > 0
        )  # first: what cuts in or is refused may come after the rename
        self.folder.save(name, checkpoint)

    def restore(self, before: Checkpoint, damage: str = "") -> None:
        """Goes back to exactly where a checkpoint was written, and drops lines of metrics from after it.

        Args:
            damage: what was wrong with a newer one.
        """
        try:
            if not self.streams.has(StreamPosition(*before.trainer_state.position)):
                raise CheckpointError("expected a place in the text, found one beyond its end")
            self.train_state.restore(before)
        except CheckpointError as error:
            raise CheckpointError(f"{self.folder.path}: {error}") from None
        self.damage = damage
        if damage:
            self.folder.quarantine(runs.LAST)
        self.state, self.history = before.trainer_state, list(before.history)
        self.has_saved = self.has_saved or before.trainer_state.step > 0
        self.saved = None  # it may have been another file, or other settings: `last` is written before the first step
        self._forget_metrics_after(self.state.reported_step)

    def _forget_metrics_after(self, step: int) -> None:
        lines = self.folder.metrics()
        kept = []
        for line in lines:
            try:
                if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # a line that was cut when the run was
        if kept != lines:
            self.folder.write(runs.METRICS, b"".join(kept))

    def load_pretrained(self, weights: Checkpoint) -> None:
        """Starts from trained weights, as far as the alphabets are the same."""
        self.known_chars = self.train_state.load_pretrained(weights, self.vocab)
