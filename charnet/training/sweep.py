"""Runs a sweep: trains all trials to a rung, lets the better half go on, and so to the end of the schedule.

    sweep = sweep.new_sweep({"data.paths": ["corpus.txt"]}, trials.parse(["dropout=0,0.3"]), 600)
    for event in sweep.events():
        ...                 # Planned, then (a training's own events, then Paused)... and Halved, then SweepFinished

A trial is a run like any other, in the folder of the sweep. To pause it is to interrupt it, and to go on is to resume
it. So its result is bit for bit that of a run in one piece, and a pruned one can be resumed too.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.config import LARGEST_SEED, RUNS, Config
from charnet.errors import CheckpointError, ConfigError, CorpusError, DivergedError
from charnet.overlay import DURATION_EXAMPLES
from charnet.storage import place, run_list, runs
from charnet.storage.document import Document, TrainerState
from charnet.storage.runs import RunFolder
from charnet.training import planner, setup, sweep_file, sweep_pace, sweep_plan, trials
from charnet.training.events import Event
from charnet.training.resolve import check_seconds
from charnet.training.sweep_events import Halved, Paused, Planned, SweepEvent, finished
from charnet.training.sweep_file import Record
from charnet.training.time_budget import TimeBudget
from charnet.training.trials import DIVERGED, DONE, PRUNED, QUARTERS, RUNNING, Trial, Tried

if TYPE_CHECKING:
    from charnet.data.corpus import OnRead
    from charnet.training.trainer import Trainer


def new_sweep(
    values: Mapping[str, Any],
    tried: Tried,
    seconds: float,
    *,
    file_values: Mapping[str, Any] | None = None,
    out: Path = RUNS,
    name: str = "",
    on_start: Callable[[], object] = lambda: None,
    on_read: OnRead = lambda *_: None,
) -> Sweep:
    """Plans a new sweep; see `sweep_plan.plan`."""
    check_seconds(seconds)
    place.check(out)
    began = time.monotonic()
    folder, record = sweep_plan.plan(
        values, tried, seconds, file_values=file_values, out=out, name=name, on_start=on_start, on_read=on_read
    )
    try:
        record.save(folder)
    except BaseException:
        folder.close()
        raise
    return Sweep(folder, record, began)


def resume_sweep(given: Path, seconds: float | None = None, *, out: Path = RUNS) -> Sweep:
    """Prepares to go on with a sweep.

    Args:
        given: its folder, or its name below `out`, also as it was given to the new sweep.
        seconds: time from now on; without it, the sweep has what is left of its own.

    Raises:
        ConfigError: there is no time left.
        CheckpointError: it is not the folder of a sweep, or damaged.
        StorageError: another process is at work in this folder.
    """
    path = sweep_file.find(given, out)
    record = sweep_file.read(path)
    if seconds is not None:
        check_seconds(seconds)
        record.seconds = record.spent + seconds
    elif record.spent >= record.seconds and any(t.state == RUNNING for t in record.trials if not t.again):
        raise ConfigError(f"{path}: the time of this sweep is over: give it more with --for; {DURATION_EXAMPLES}")
    return Sweep(RunFolder(path), record, time.monotonic() - record.spent)


class Sweep:
    """A sweep in progress; `events` does the work.

    Args:
        began: the time of the clock at which it would have begun without a break.
    """

    def __init__(self, folder: RunFolder, record: Record, began: float) -> None:
        self.folder, self.record = folder, record
        self._began, self._stopped = began, ""

    def events(self, stop: Callable[[], object] = lambda: False) -> Generator[SweepEvent, None, None]:
        """Trains to the end, until the time is over, or until `stop()` is true.

        Raises:
            CharnetError: as a training does, but for one that diverges: that trial is out.
        """
        try:
            yield Planned(self.folder.path, self.record)
            yield from self._halve(stop)
            reason = self._stopped
            if not reason and self.record.repeats:
                yield from self._repeat(stop)
                reason = "interrupted" if stop() else ""  # if time is short, these can be left out
            self._save()
            yield finished(self.folder.path, self.record, reason or "complete")
        finally:
            self.folder.close()

    def path(self, trial: Trial) -> Path:
        """Returns the folder of the run of a trial."""
        return self.folder.path / trial.label

    def _halve(self, stop: Callable[[], object]) -> Iterator[SweepEvent]:
        """Trains all trials of the first seed from rung to rung."""
        record, first = self.record, [trial for trial in self.record.trials if not trial.again]
        for index, rung in enumerate(record.rungs):
            for trial in first:
                if trial.state == RUNNING and len(trial.losses) <= index and not self._stopped:
                    yield from self._train(trial, rung, stop)
            if self._stopped:
                return
            if record.halved <= index:
                yield self._prune(index, rung, [t for t in first if t.state == RUNNING or len(t.losses) > index])

    def _prune(self, index: int, rung: int, reached: Sequence[Trial]) -> Halved:
        """Ends the worse trials at a rung, and more of them if otherwise the time would not be enough."""
        record = self.record
        record.halved = index + 1
        alive = sorted((t for t in reached if t.state == RUNNING), key=lambda trial: trial.losses[index])
        going = trials.best_half(alive, rung) if len(alive) > 2 and rung < QUARTERS else alive
        while len(going) > 2 and self._seconds_for(going, rung) > self._left():
            going = going[:-1]
        pruned = [trial for trial in alive if trial not in going]
        for trial in pruned:
            trial.state = PRUNED
        if rung == QUARTERS:
            going = []
        elif index + 2 == len(record.rungs) and going:
            sweep_pace.fit_last_part(record, reached, going, self._left())
        self._save()
        return Halved(rung, tuple(going), tuple(pruned), sweep_pace.slower(record, reached, rung))

    def _repeat(self, stop: Callable[[], object]) -> Iterator[SweepEvent]:
        """Trains the best two with the next seed, as far as the time allows for both."""
        record = self.record
        again = [trial for trial in record.trials if trial.again]
        best = [trial for trial in trials.ranked(record.trials) if trial.state == DONE][:2]
        if not again and len(best) == 2:
            seed = {trials.SEED: (int(record.settings[trials.SEED]) + 1) % LARGEST_SEED}
            again = [Trial(trial.values, trial.changes | seed, again=True, last_part=trial.last_part) for trial in best]
        before = 0
        for index, rung in enumerate(record.rungs):
            todo = [trial for trial in again if trial.state == RUNNING and len(trial.losses) <= index]
            seconds = sum(self._seconds_each(trials.twin_of(trial, best) or trial) for trial in todo)
            if seconds * (rung - before) / QUARTERS > self._left():
                return
            record.trials += [trial for trial in todo if trial not in record.trials]
            for trial in todo:
                if not self._stopped:
                    yield from self._train(trial, rung, stop)
            before = rung

    def _train(self, trial: Trial, rung: int, stop: Callable[[], object]) -> Generator[SweepEvent, None, None]:
        """Trains a trial to a rung, or until it has to stop."""
        if stop() or self._left() < 0:
            self._stopped = "interrupted" if stop() else "time"
            return
        began = time.monotonic()
        try:
            loss = yield from self._train_run(trial, rung, stop)
        except DivergedError:
            trial.state = DIVERGED
        else:
            if loss is None:
                self._stopped = "interrupted" if stop() else "time"
            else:
                trial.losses.append(loss)
                trial.state = DONE if rung == QUARTERS else RUNNING
        trial.seconds += time.monotonic() - began
        if trial.state == RUNNING and os.path.isfile(self.path(trial) / runs.LAST):
            _drop_previous(self.path(trial))
        self._save()
        if not self._stopped:
            yield Paused(trial, rung)

    def _train_run(self, trial: Trial, rung: int, stop: Callable[[], object]) -> Generator[Event, None, float | None]:
        """Trains the run of a trial to a rung. Returns its best loss then, or None if it had to stop on the way."""
        found = self._document(trial)
        if found is not None and self._has_reached(trial, rung, found.trainer_state, found.config):
            return found.trainer_state.best_nats_per_char  # the process ended before this was noted
        run, target = self._open(trial, is_new=found is None), self._step(trial, rung)
        if rung == QUARTERS:
            paused = self._step(trial, self.record.rungs[-2])
            target = paused + int((target - paused) * trial.last_part)
            is_first = not run.config.training.length_changes
            if run.config.training.steps > target or (is_first and run.config.training.steps < target):
                run.change_length(target)
            if not trial.again:  # each of those that are left has its part of the time
                first = [each for each in self.record.trials if each.state == RUNNING and not each.again]
                rest = sum(each.seconds * each.last_part for each in first)
                seconds = self._left() * trial.seconds * trial.last_part / rest if rest else self._left() / len(first)
                ends_at = time.monotonic() + seconds - planner.reserved_seconds(seconds)
                run.time_budget = TimeBudget(ends_at, most_steps=run.config.training.steps)

        def ends() -> bool:  # not while it evaluates at the rung
            if run.state.step >= min(target, run.config.training.steps):
                return run.state.reported_step >= run.state.step or bool(stop())
            return bool(stop()) or self._left() < 0

        with contextlib.closing(run.events(ends)) as events:
            yield from events
        return run.state.best_nats_per_char if self._has_reached(trial, rung, run.state, run.config) else None

    def _open(self, trial: Trial, *, is_new: bool) -> Trainer:
        path = self.path(trial)
        if not is_new:
            return setup.resume_run(path)
        if os.path.isdir(path):  # of a process that was killed before the first step
            folder = RunFolder(path)
            folder.discard(begun_by_another=True)
            folder.close()
        run = setup.new_run(self.record.settings | trial.changes, out=self.folder.path, name=trial.label)
        if run.info.fingerprint != self.record.fingerprint:
            run.folder.discard()
            run.folder.close()
            raise CorpusError(f"{run.info.name}: has changed since the sweep began: restore it, or start a new sweep")
        return run

    def _document(self, trial: Trial) -> Document | None:
        """Returns what is on the disk of the run of a trial, or None if it has not begun."""
        if not any(runs.is_there(self.path(trial) / name) for name in runs.RESUME_ORDER):
            return None
        found = run_list.summary(self.path(trial))
        if found.document is None:
            raise CheckpointError(f"{found.problem}; remove this folder, and the trial starts anew")
        return found.document

    def _has_reached(self, trial: Trial, rung: int, state: TrainerState, config: Config) -> bool:
        """Returns whether a run is at a rung, or has stopped early."""
        is_early = 0 < config.training.patience <= state.evaluations_without_improvement
        end = config.training.steps  # which may have become shorter or longer than planned
        return is_early or state.reported_step >= (end if rung == QUARTERS else min(self._step(trial, rung), end))

    def _step(self, trial: Trial, rung: int) -> int:
        return self.record.config(trial).training.steps * rung // QUARTERS

    def _seconds_each(self, trial: Trial) -> float:
        """Returns how long a whole training with these settings takes."""
        if not trial.losses:
            return self.record.seconds_each
        return trial.seconds * QUARTERS / self.record.rungs[len(trial.losses) - 1]

    def _seconds_for(self, going: Sequence[Trial], rung: int) -> float:
        """Returns how long it takes to train these from a rung to the next, and the best half of them to the end."""
        total = 0.0
        for following in self.record.rungs:
            if following > rung:
                total += sum(map(self._seconds_each, going)) * (following - rung) / QUARTERS
                going, rung = trials.best_half(going, following), following
        return total

    def _left(self) -> float:
        return self.record.seconds - (time.monotonic() - self._began)

    def _save(self) -> None:
        self.record.spent = round(time.monotonic() - self._began, 3)
        self.record.save(self.folder)


def _drop_previous(path: Path) -> None:
    folder = RunFolder(path)
    try:
        folder.drop_previous()
    finally:
        folder.close()
