"""Saves a run while it trains: when a save is due, what is in it, and how to return to it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import platform
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charnet.config import Config
from charnet.data.vocab import Vocabulary
from charnet.errors import StorageError
from charnet.overlay import overlay
from charnet.storage import capacity, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import to_yaml
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.storage.runs import RunFolder
from charnet.training.run_state import append_line
from charnet.training.train_state import TrainState, to_numpy
from charnet.training.trained_ngram import TrainedNgram
from charnet.version import __version__

MOST_TIME_SAVING = 0.01  # fraction of the training time, for the regular saves
LARGEST = 1e15  # of a number of the metrics: larger ones are of a damaged file

History = list[dict[str, float]]


class Saver:
    """Writes the checkpoints `last` and `best` of a run.

    Args:
        folder: of the run.
        vocab: of the run, for every checkpoint.
        info: about the text, for every checkpoint.
        train_state: what is saved.
        ngram: beside the networks, saved with them.

    Attributes:
        has_saved: whether a checkpoint of a trained model may be on disk.
        earlier: lines of metrics of a resumed run, from before; of many, some are left out.
        planned_seconds: the time that the run was planned for, as far as its metrics tell; 0 = none.
    """

    def __init__(
        self,
        folder: RunFolder,
        vocab: Vocabulary,
        info: CorpusInfo,
        train_state: TrainState,
        ngram: TrainedNgram | None,
    ) -> None:
        self.folder, self.has_saved, self._ngram = folder, False, ngram
        self._vocab, self._info, self._train_state = vocab, info, train_state
        self.earlier: list[dict[str, float]] = []
        self.planned_seconds = 0.0
        self._saved: TrainerState | None = None  # the state in `last`
        self._saved_at, self._seconds_per_save = time.monotonic(), 0.0

    def is_due(self, checkpoint_every: float) -> bool:
        """Returns whether `checkpoint_every` seconds have passed since the last save, or more if saves are slow."""
        shortest = max(checkpoint_every, self._seconds_per_save / MOST_TIME_SAVING)
        return time.monotonic() - self._saved_at > shortest

    def is_saved(self, state: TrainerState) -> bool:
        """Returns whether `last` holds this state already."""
        return self._saved == state

    def save_last(self, config: Config, state: TrainerState, history: History) -> None:
        """Writes all that the rest of the run depends on."""
        began = time.monotonic()
        self._train_state.gather()
        self.folder.sync_metrics()
        self._save(runs.LAST, config, state, history, self._train_state.resume_state())
        self._saved, self._saved_at = state, time.monotonic()
        self._seconds_per_save = self._saved_at - began

    def save_best(self, config: Config, state: TrainerState, history: History) -> None:
        """Writes the weights with the best loss so far, which has just been measured."""
        self._save(runs.BEST, config, state, history, {})

    def elsewhere(self, error: StorageError, config: Config, state: TrainerState, history: History) -> StorageError:
        """Saves a run whose folder was removed or replaced in a new folder beside it. Returns the error that says so,
        or the one that was given if that is not what happened.

        Raises:
            StorageError: there is nowhere to save it.
        """
        gone = self.folder.path
        if self.folder.is_in_place() or self._train_state.num_processes > 1 or not self.has_saved:
            return error
        with contextlib.closing(RunFolder.new(gone.parent, gone.name)) as folder:
            folder.write(runs.SETTINGS, to_yaml(config).encode())
            folder.save(runs.LAST, self._checkpoint(config, state, history, self._train_state.resume_state()))
        advice = f"resume it with charnet train --resume {shlex.quote(str(folder.path))}"
        return StorageError(f"{gone}: was removed or replaced; the run is saved in {folder.path}: {advice}")

    def check_capacity(self, config: Config, state: TrainerState) -> None:
        """Raises ConfigError if a file of this run could not be read again."""
        capacity.check(config, self._checkpoint(config, state, [], self._train_state.resume_state()))

    def _save(self, name: str, config: Config, state: TrainerState, history: History, extra: dict[str, Tensor]) -> None:
        checkpoint = self._checkpoint(config, state, history, extra)
        self.has_saved = self.has_saved or state.step > 0  # set first: an error may come after the rename
        self.folder.save(name, checkpoint)

    def _checkpoint(
        self, config: Config, state: TrainerState, history: History, extra: dict[str, Tensor]
    ) -> Checkpoint:
        nats, norm = self._train_state.sums.tolist()
        names = tuple(Path(path).name for path in config.data.paths)  # the folders stay private
        return Checkpoint(
            config=overlay(config, {"data.paths": names}),
            vocab=self._vocab,
            corpus=self._info,
            trainer_state=dataclasses.replace(state, nats_since_report=nats, grad_norm_since_report=norm),
            tensors=to_numpy(self._train_state.weights() | extra) | (self._ngram.tensors if self._ngram else {}),
            ngram_share=self._ngram.share if self._ngram else 0.0,
            history=history,
            versions={
                "charnet": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def rewind(self, state: TrainerState, damage: str, changes: Sequence[str]) -> None:
        """Returns to an earlier state: moves a damaged `last` out of the way, and drops later metrics.

        `last` is written again before the next step.

        Args:
            changes: of the settings of the run until then.
        """
        if damage:
            self.folder.quarantine(runs.LAST)
        self.has_saved = self.has_saved or state.step > 0
        self._saved = None  # the state may come from another file, or have other settings
        lines, remaining = self.folder.metrics(), []
        self.earlier, self.planned_seconds = [], 0.0
        for line in lines:
            if (values := _read_line(line, state.reported_step, changes)) is not None:
                remaining.append(line)
                self._remember(values)
        if remaining != lines:
            self.folder.write(runs.METRICS, b"".join(remaining))

    def forget_plan(self, reported_step: int) -> None:
        """Records that the run has another length now than the time that it was planned for."""
        if self.planned_seconds:
            self.planned_seconds = 0.0
            self.folder.append_metrics({"step": reported_step, runs.PLANNED: 0.0})

    def _remember(self, values: dict[str, Any]) -> None:
        numbers = {key: value for key, value in values.items() if type(value) in (int, float) and abs(value) < LARGEST}
        if runs.PLANNED in values:
            self.planned_seconds = max(0.0, numbers.get(runs.PLANNED, 0.0))
        elif "step" in numbers:
            append_line(self.earlier, numbers)


def _read_line(line: bytes, last_step: int, changes: Sequence[str]) -> dict[str, Any] | None:
    """Reads a complete line of metrics from a step no later than `last_step`, or one of `changes`; None for another."""
    try:
        values: dict[str, Any] = json.loads(line)
        if runs.CHANGES in values:
            is_of_run = f"step {values['step']}: {values[runs.CHANGES]}" in changes
        else:  # the test is read at the end, which is another one now
            is_of_run = runs.TEST not in values and line.endswith(b"\n") and bool(values["step"] <= last_step)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # cut off when the run was interrupted
    return values if is_of_run else None
