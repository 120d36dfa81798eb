"""What is measured during training: metrics, the loss on held-out text, the best loss so far, a sample of text."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator

import torch

from charnet.config import Config, SamplingOptions
from charnet.data.split import Part, Split
from charnet.data.vocab import Vocabulary
from charnet.engines.registry import engine_of
from charnet.errors import CheckpointError, ConfigError, PeerError, StorageError
from charnet.evaluation.baselines import MOST_HELD_OUT, MOST_LEARNED, Baselines, baselines
from charnet.evaluation.evaluate import Stopped, evaluate
from charnet.evaluation.forecast import forecast
from charnet.evaluation.losses import Evaluation, checked
from charnet.evaluation.mixing import Mixture
from charnet.machine import explain_out_of_memory
from charnet.model.ensemble import Model, from_weights
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import LONGEST_HISTORY, CorpusInfo, TrainerState
from charnet.storage.runs import RunFolder
from charnet.training import sample_text
from charnet.training.division import Division
from charnet.training.events import Finished, Metrics, Progress, Sampled, Started
from charnet.training.group import Group
from charnet.training.planner import FINAL_EVALUATION_FRACTION, LONGEST_FINAL_EVALUATION
from charnet.training.saver import History
from charnet.training.train_state import MEMORY_ADVICE, TrainState, to_numpy
from charnet.training.trained_ngram import TrainedNgram

SECONDS_BETWEEN_SAMPLES = 6.0
MOST_SAMPLING = 0.01  # fraction of the training time, for the samples
BRIEF = 2.0  # seconds of training by which a sample of an evaluation may come early: a short run has few of them

Stop = Callable[[], object]


class Recorder:
    """Evaluates a model during training on the held-out text, and collects the history of the evaluations.

    Args:
        text: the text for training and the held-out text.
        sample_length: characters of the sample after each evaluation.
        ngram: beside the networks; each evaluation chooses its share.
        group: of the processes that evaluate together.
    """

    def __init__(
        self,
        text: Split,
        vocab: Vocabulary,
        train_state: TrainState,
        sample_length: int,
        ngram: TrainedNgram | None,
        group: Group,
    ) -> None:
        self._group, self._division = group, Division(group, train_state.num_shards)
        self.text, self.history, self._ngram = text, History(), ngram
        self._vocab, self._train_state, self._sample_length = vocab, train_state, sample_length
        self.chars_per_second = 0.0  # in the newest evaluation
        self._sampled_at, self._sample_seconds = time.monotonic() - SECONDS_BETWEEN_SAMPLES, 0.0
        self._has_sampled = False

    @property
    def device(self) -> torch.device:
        """The device on which the networks are."""
        return self._train_state.device

    def restore(self, before: Checkpoint) -> None:
        """Restores the history in a checkpoint, and the share of the n-gram."""
        self.history = list(before.history)
        if self._ngram and before.ngram_share:
            self._ngram.share = before.ngram_share

    def started(self, folder: RunFolder, config: Config, info: CorpusInfo, state: TrainerState) -> Started:
        """Describes the run before its first step, without its plan and its notes."""
        device, precision = self._train_state.device.type, config.training.precision
        return Started(
            run=folder.path,
            config=config,
            corpus=info,
            alphabet_size=len(self._vocab),
            parameters=sum(p.numel() for p in self._train_state.model.parameters()),
            device=device,
            precision="tf32" if (device, precision) == ("cuda", "fp32") else precision,
            threads=torch.get_num_threads(),
            step=state.step,
            history=tuple(self.history),
            held_out=len(self.text.val),
            test=len(self.text.test),
            processes=self._group.size,
        )

    def evaluate(self, val_chars: int, stop: Stop) -> tuple[float | None, float]:
        """Returns the loss on the held-out text, in nats per character, and the seconds that it took.

        None if no text is held out. Several processes divide it; if one of them is to stop, all of them do.
        """
        self._train_state.gather()
        began = time.monotonic()
        model, start_id = self._train_state.model, self._vocab.start_id()
        if self._ngram:
            self._ngram.fit_share(model, self.text.tune, start_id, stop, self._division)
        fitted = time.monotonic()
        if not len(self.text.val):
            return None, self._group.largest(fitted - began)
        total = Mixture(self._ngram.weighted) if self._ngram else None
        evaluation = self._evaluate(model, self.text.val, val_chars, stop, total)
        ended = time.monotonic()
        self.chars_per_second = evaluation.characters / max(ended - fitted, 1e-9)
        return evaluation.nats_per_char, self._group.largest(ended - began)

    def _evaluate(self, model: Model, part: Part, most: int, stop: Stop, total: Mixture | None) -> Evaluation:
        division = self._division
        return evaluate(
            model, part, self._vocab.start_id(), most=most, stop=stop, total=total, pieces=division.pieces,
            add_up=division.add_up,
        )  # fmt: skip

    def progress(self, state: TrainerState, config: Config) -> Iterator[Progress | Sampled]:
        """Yields loss and speed since the last line of metrics, and every few seconds a sample."""
        steps = max(1, state.step - state.reported_step)
        speed = _chars_per_second(state, state.seconds)
        yield Progress(state.step, self._train_state.sums[0].item() / steps, speed)
        if self._sample_is_due():
            yield Sampled(state.step, self.sample(config))

    def metrics(self, state: TrainerState, seconds: float, val: float | None, learning_rate: float) -> Metrics:
        """Returns a line of metrics over the steps since the one before, and sets the sums to zero.

        Args:
            seconds: of training so far.
            val: the validation loss, if there was an evaluation.
        """
        train, norm = (self._train_state.sums / (state.step - state.reported_step)).tolist()
        self._train_state.sums.zero_()
        return Metrics(
            step=state.step,
            chars_seen=state.chars_seen,
            seconds=round(seconds, 3),
            train_nats_per_char=train,
            val_nats_per_char=val,
            learning_rate=learning_rate,
            grad_norm=norm,
            chars_per_second=_chars_per_second(state, seconds),
        )

    def update_best(self, metrics: Metrics, state: TrainerState) -> tuple[bool, TrainerState]:
        """Adds an evaluation to the history. Returns whether it is the best so far, and the state after it; without
        held-out text the training loss decides."""
        loss = metrics.train_nats_per_char if metrics.val_nats_per_char is None else metrics.val_nats_per_char
        self.history.append(metrics.as_dict())
        if len(self.history) > LONGEST_HISTORY:
            self.history = self.history[::2]
        if math.isfinite(loss) and (state.best_nats_per_char is None or loss < state.best_nats_per_char):
            better = dataclasses.replace(
                state, best_step=state.step, best_nats_per_char=loss, evaluations_without_improvement=0
            )
            return True, better
        without = state.evaluations_without_improvement + 1
        return False, dataclasses.replace(state, evaluations_without_improvement=without)

    def _sample_is_due(self) -> bool:
        """Returns whether to write a sample between two evaluations: in one process, every few seconds."""
        if not self._sample_length or self._group.size > 1:
            return False
        return time.monotonic() - self._sampled_at > max(SECONDS_BETWEEN_SAMPLES, self._sample_seconds / MOST_SAMPLING)

    def sample(self, config: Config) -> str:
        """Returns a short text that the model writes now, or "" if none is wanted, or if it would take too long."""
        began = time.monotonic()
        if not self._sample_length or began - self._sampled_at < self._sample_seconds / MOST_SAMPLING - BRIEF:
            return ""
        text = self._write(config)
        self._sampled_at = time.monotonic()
        if self._has_sampled:  # the first one loads the engine, too
            self._sample_seconds = self._sampled_at - began
        self._has_sampled = True
        return text

    def _write(self, config: Config) -> str:
        ngram, weights = self._ngram, to_numpy(self._train_state.model.state_dict())
        engine = engine_of(config.model, weights, "numpy", ngram=ngram.weighted if ngram else None)
        return sample_text.write(engine, self._vocab, SamplingOptions(length=self._sample_length))

    def finish(
        self, folder: RunFolder, config: Config, state: TrainerState, reason: str, limit: str, stop: Stop
    ) -> Finished:
        """Describes the end of a run: the best loss, on all of the held-out text if there is time, and advice for a
        better model.

        Args:
            limit: what limits the run by its plan, "time" or "text"; "" without a plan.
        """
        best, held_out, history = state.best_nats_per_char, len(self.text.val), self.history
        read = min(held_out, config.data.val_chars or held_out)
        test = None
        missing = (Stopped, CheckpointError, StorageError, ConfigError, PeerError)  # then the loss so far stands
        with contextlib.suppress(*missing), explain_out_of_memory(MEMORY_ADVICE):
            if reason != "interrupted" and best is not None and read < held_out:
                whole = self._evaluate_best(self.text.val, folder, config, read, state.seconds, stop)
                read, shift, best = whole.characters, whole.nats_per_char - best, whole.nats_per_char
                history = [line | {"val_nats_per_char": line["val_nats_per_char"] + shift} for line in history]
            if reason != "interrupted" and best is not None and len(self.text.test):
                test = self._evaluate_best(self.text.test, folder, config, read, state.seconds, stop).nats_per_char
                folder.append_metrics({"step": state.best_step, runs.TEST: test})
        advice = forecast(history, reason, state.chars_seen / len(self.text.train), limit)
        return Finished(folder.path, reason, state.step, state.best_step, best, advice, read, held_out, test)

    def _evaluate_best(
        self, part: Part, folder: RunFolder, config: Config, read: int, train_seconds: float, stop: Stop
    ) -> Evaluation:
        """Evaluates the best weights on at least `read` characters of a part, and on more if there is time."""
        seconds = max(LONGEST_FINAL_EVALUATION, FINAL_EVALUATION_FRACTION * train_seconds)
        with self._division.together():
            best = self._group.share_file(folder.path / runs.BEST)
            model = from_weights(config.model, best.weights).to(self._train_state.device)
        most = self._group.share(lambda: max(read, int(seconds * self.chars_per_second)))
        total = Mixture(best.ngram) if best.ngram else None
        return checked(self._evaluate(model, part, most, stop, total))

    def baselines(self) -> Baselines | None:
        """Returns the losses of n-gram models and compressors on the same text, in a second or two.

        None if there is no held-out text or too little memory.
        """
        with contextlib.suppress(MemoryError):
            train, val = self.text.train.tail(MOST_LEARNED + 1), self.text.val.head(MOST_HELD_OUT + 1)
            return baselines(train, val, self._vocab) if len(val) else None
        return None


def _chars_per_second(state: TrainerState, seconds: float) -> float:
    """Returns the speed since the last line of metrics. `seconds` is the training time so far."""
    estimated = state.chars_seen * state.reported_step / max(1, state.step)  # earlier versions did not store the count
    chars = state.chars_seen - (state.chars_at_report or estimated)
    return round(chars / max(seconds - state.seconds_at_report, 1e-9), 1)
