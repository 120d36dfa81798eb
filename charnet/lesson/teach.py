"""Gives a lesson: trains its runs, and measures what they can show, in the time that there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from charnet.config import RUNS, Config
from charnet.data import bundled
from charnet.data import corpus as data_corpus
from charnet.data.corpus import Corpus
from charnet.data.split import EACH, LAST, Split
from charnet.data.streams import may_not_end
from charnet.errors import CorpusError, plural, shortened
from charnet.evaluation.evaluate_checkpoint import limit_threads
from charnet.insight.gradients import gradient_reach
from charnet.insight.memory import context_losses
from charnet.insight.trace import networks_of
from charnet.lesson import runs, temperatures
from charnet.lesson.explosion import explode
from charnet.lesson.plan import PARTS, Experiment, Plan, check_time, measured_seconds, plan
from charnet.lesson.results import Lesson, Text
from charnet.lesson.runs import Run
from charnet.machine import processor_cores, threads_beside_others
from charnet.overlay import overlay
from charnet.storage import runs as run_folders
from charnet.storage.checkpoint import Checkpoint
from charnet.training import start

LOOKED_INTO = ("cells", "windows")  # parts whose runs show how far memory and gradient reach
PLACES = 128  # of the gradients by distance
EXPLODES = "rnn-tanh"
FEWEST = 1000  # characters of a text
SPARE = 1.05  # of the time: what a lesson may take before parts are left out


class Watcher:
    """Hears of the progress of a lesson. This one does nothing."""

    def planned(self, plan: Plan, folder: Path) -> None:
        """The runs begin, in this folder. From now on a signal must not raise, but ask to stop."""

    def trained(self, run: Run, count: int) -> None:
        """A run is finished; `count` are planned."""

    def measuring(self) -> None:
        """All runs are finished."""


class Stopped(Exception):  # noqa: N818 - a signal, not an error
    """The lesson was asked to stop; runs that are finished stay."""


def teach(
    paths: Sequence[str],
    values: Mapping[str, Any],
    *,
    seconds: float | None,
    steps: int = 0,
    began: float | None = None,
    out: Path = RUNS,
    watcher: Watcher | None = None,
    stop: Callable[[], object] = lambda: False,
) -> Lesson:
    """Trains the runs of a lesson and measures what they show.

    Args:
        paths: files and folders; none = the text that comes with charnet.
        values: settings by `section.field` that all runs share.
        seconds: for everything; without it each run takes so many `steps`, and the numbers are the same every time.
        began: when the time began, on `time.monotonic`.
        out: the folder of runs; those of the lesson lie in a folder in it.
        stop: called again and again; true = stop.

    Raises:
        CharnetError: the user has to change something.
        Stopped: `stop` returned true.
    """
    began = time.monotonic() if began is None else began
    if seconds is not None:
        check_time(seconds)
    for path in paths:
        if may_not_end(path):
            raise CorpusError(f"{shortened(path)}: a lesson reads its text many times; save it to a file first")
    corpus = data_corpus.read(paths, overlay(Config(), values).data)
    if len(corpus.ids) < FEWEST:
        raise CorpusError(
            f"{corpus.name}: {plural(len(corpus.ids), 'character')}, too few for a lesson: give {FEWEST:,}"
        )
    kind = EACH if len(corpus.file_ends) > 1 else LAST  # the same part for every seed
    threads = values.get("training.threads") or threads_beside_others(processor_cores())  # the same for all runs
    shared = {
        **values, "training.threads": threads, "data.paths": start.absolute(tuple(paths)), "data.val": kind,
    }  # fmt: skip
    split = Split(corpus.ids, None, overlay(Config(), shared).data, 0, corpus.file_ends)
    is_bundled = [*paths] in ([], [corpus.name]) and corpus.name in bundled.TEXTS
    text = Text(corpus.name, len(corpus.ids), len(split.val), len(corpus.vocab), is_bundled)
    lesson = Lesson(text, plan(text.alphabet_size, len(split.train), seconds, steps), seconds)
    ends_at = None if seconds is None else began + SPARE * seconds - measured_seconds(seconds)
    watcher, folder = watcher or Watcher(), out / f"lesson-{corpus.name}"
    watcher.planned(lesson.plan, folder)
    for run in _trained(lesson, corpus, shared, split, folder, ends_at, stop):
        lesson.runs.append(run)
        watcher.trained(run, len(lesson.plan.experiments))
    watcher.measuring()
    limit_threads(threads)
    _measure(lesson, corpus, split, stop)
    return lesson


def _trained(
    lesson: Lesson,
    corpus: Corpus,
    values: Mapping[str, Any],
    split: Split,
    folder: Path,
    ends_at: float | None,
    stop: Callable[[], object],
) -> Iterator[Run]:
    """Yields each run when it is finished; leaves out parts that no longer fit."""
    seconds, steps = lesson.plan.seconds, lesson.plan.steps
    for experiment in lesson.plan.experiments:
        if experiment.part in lesson.plan.left_out:
            continue
        length: dict[str, Any] = {"seconds": seconds, "steps": steps}
        path = runs.finished(experiment, values, folder, fingerprint=corpus.fingerprint, **length)
        reused, busy = path is not None, None
        if path is None:
            if ends_at is not None and _is_late(lesson, experiment, ends_at):
                lesson.plan = lesson.plan.without(experiment.part)
                continue
            began, used = time.monotonic(), time.process_time()
            path = runs.train(experiment, values, folder, **length, stop=stop)
            busy = (time.process_time() - used) / max(1e-9, time.monotonic() - began)
        if path is None or stop():
            raise Stopped
        yield runs.describe(experiment, path, split.val, reused=reused, busy=busy)


def _is_late(lesson: Lesson, experiment: Experiment, ends_at: float) -> bool:
    """Returns whether the part that begins with a run no longer fits; without all cells there would be no lesson."""
    begins = experiment.part not in {PARTS[0], *(run.part for run in lesson.runs)}
    count = sum(each.part == experiment.part for each in lesson.plan.experiments)
    return begins and time.monotonic() + count * (lesson.plan.seconds or 0.0) > ends_at


def _measure(lesson: Lesson, corpus: Corpus, split: Split, stop: Callable[[], object]) -> None:
    """Measures what runs show of memory, gradients and temperature. Of a text that is too short, less is seen."""
    held_out = split.val if len(split.val) else split.train
    for run in lesson.of_part(*LOOKED_INTO):
        if stop():
            raise Stopped
        networks = networks_of(_best(run))
        try:
            lesson.memory[run.name] = context_losses(networks, held_out)
            lesson.reach[run.name] = gradient_reach(networks, held_out, places=PLACES)
        except CorpusError as error:
            lesson.missing["memory"] = str(error)
    if enlarged := lesson.run(EXPLODES):
        try:
            lesson.explosion = explode(_best(enlarged), enlarged.name, split.train.ids, held_out.ids)
        except CorpusError as error:
            lesson.missing["explosion"] = str(error)
    if stop():
        raise Stopped
    if lesson.best is not None:
        lesson.written += temperatures.write(_best(lesson.best), corpus.ids)


def _best(run: Run) -> Checkpoint:
    return Checkpoint.load(run_folders.find(run.path), weights_only=True)
