"""A run is a folder: what it holds, who may write to it, and which run the user means.

config.yaml             all settings, with defaults resolved; the same file reproduces the run
metrics.jsonl           a line for each report
best.safetensors        the weights with the lowest validation loss
last.safetensors        the newest state, with everything needed to resume the run
previous.safetensors    the state before that, in case the newest is damaged
damaged.safetensors     a newest state that was damaged, moved away when the run was resumed
result.json             what was measured when the run ended: baselines, and a text
live.html               the page of `charnet train --open`
tensorboard/            the events of `charnet train --log tensorboard`
loggers.json            the names under which other loggers know the run
torchrun.json           the job of torchrun that trained the run last
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from charnet import durable, regular_file
from charnet.config import RUNS
from charnet.errors import CheckpointError, NewerFormatError, StorageError, did_you_mean, shortened
from charnet.storage import place
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.result import RESULT
from charnet.storage.tensorfile import ATTEMPTS, RENAME_SECONDS

BEST, LAST, PREVIOUS = "best.safetensors", "last.safetensors", "previous.safetensors"
SETTINGS, METRICS, DAMAGED = "config.yaml", "metrics.jsonl", "damaged.safetensors"
LIVE_PAGE, TENSORBOARD, LOGGERS, JOB = "live.html", "tensorboard", "loggers.json", "torchrun.json"
LARGEST_METRICS, LONGEST_METRICS_LINE, MOST_NAMED = 1 << 27, 400, 5  # bytes: some half a million lines; runs
CHANGES, TEST, PLANNED = "changes", "test_nats_per_char", "planned_seconds"  # keys of metrics that are no reports
SAMPLE_ORDER = (BEST, LAST, PREVIOUS)  # the checkpoints of a run, by preference
RESUME_ORDER = (LAST, PREVIOUS, BEST)


class RunFolder:
    """The folder of a run while this process trains it. No other process can train it at the same time, if its file
    system has locks.

    Attributes:
        notes: sentences for the user about the folder: that it cannot be locked.
        is_in_place: returns whether the folder is where it was.

    Raises:
        StorageError: another process is training the run, or its folder cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._is_new = path, False
        try:
            self._folder = durable.OpenFolder(path)
        except OSError as error:
            raise StorageError(f"{path}: cannot be opened: {error.strerror}; fix that, or choose another run") from None
        locked = self._folder.try_lock()
        if locked is False:
            raise StorageError(f"{path}: another process is training this run; wait for it, or stop it")
        unlocked = f"{path}: cannot be locked on this file system: start no second training of this run beside this one"
        self.notes = () if locked else (unlocked,)
        self.is_in_place = self._folder.is_in_place
        self._folder.clean(f".*.{'[0-9a-f]' * 8}{durable.PART}")

    @classmethod
    def new(cls, out: Path, name: str, needed_bytes: int = 0) -> RunFolder:
        """Creates the folder of a new run. If the name is taken, a number is appended to it.

        Args:
            needed_bytes: the space that the run will take.

        Raises:
            StorageError: the folder cannot be created, or the disk has not enough free space.
        """
        place.check(out)
        try:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.lstat(out / name / f".{PREVIOUS}.{'0' * 8}{durable.PART}")  # the longest path is not too long
            place.check_space(out, needed_bytes, "choose another folder with --out")
            durable.make_folders(out)
            for number in itertools.count(1):
                path = out / (name if number == 1 else f"{name}-{number}")
                with contextlib.suppress(FileExistsError):  # even if another process has just created it
                    path.mkdir()
                    break
            try:
                durable.sync_folder(out)
                created = cls(path)
                created._is_new = True
                return created
            except (OSError, StorageError):
                path.rmdir()
                raise
        except OSError as error:
            raise place.refused(out, error.strerror or str(error)) from None

    def check_space(self, needed_bytes: int, *, damage: str = "") -> None:
        """Checks that the disk has enough free space to resume the run.

        Args:
            needed_bytes: the space that the whole run takes, with the existing checkpoints, which will be replaced.
            damage: how the newest checkpoint is damaged, if it is. A damaged one is moved away, not replaced.

        Raises:
            StorageError: the disk has not enough free space.
        """
        try:
            folder = self._checked_folder()
            replaced = [folder.path / name for name in (BEST, PREVIOUS, *(() if damage else (LAST,)))]
            existing_bytes = sum(path.stat().st_size for path in replaced if os.path.isfile(path))
            place.check_space(self.path, needed_bytes - existing_bytes, "move the run to another disk")
        except OSError as error:
            raise regular_file.write_error(self.path, error) from None

    def close(self) -> None:
        """Releases the folder, so that another process can train the run."""
        self._folder.close()

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Writes the checkpoint `best` or `last`. The `last` that is replaced becomes `previous`.

        Raises:
            StorageError: the system refused to write; the old checkpoint is unchanged.
        """
        keep_as = PREVIOUS if name == LAST else None
        self._checked_folder().write(name, checkpoint.pack(), keep_as=keep_as)

    def write(self, name: str, content: bytes) -> None:
        """Replaces `config.yaml`, `metrics.jsonl` or `result.json`."""
        self._checked_folder().write(name, content)

    def append_metrics(self, values: Mapping[str, Any]) -> None:
        """Appends a line to the metrics: finite numbers and texts, as JSON."""
        self._checked_folder().append(METRICS, json.dumps(values, allow_nan=False))

    def sync_metrics(self) -> None:
        """Flushes the metrics to the disk."""
        folder = self._checked_folder()
        if os.path.isfile(folder.path / METRICS):
            folder.sync(METRICS)

    def metrics(self) -> list[bytes]:
        """Reads the lines of the metrics. A file that has a second name is replaced by a copy."""
        path = self._checked_folder().path / METRICS
        if path.is_symlink():  # `append_metrics` would refuse it, but only after the first steps
            raise regular_file.write_error(path, OSError(errno.ELOOP, os.strerror(errno.ELOOP)))
        try:
            lines = regular_file.read(path, LARGEST_METRICS).splitlines(keepends=True)
            if path.stat().st_nlink > 1:  # the file behind the other name must not grow
                self.write(METRICS, b"".join(lines))
            return lines
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{regular_file.read_error(path, error)}; fix that, or move it away") from None

    def quarantine(self, name: str) -> None:
        """Renames a damaged checkpoint to `damaged.safetensors`, if it exists."""
        try:
            with contextlib.suppress(FileNotFoundError):
                self._checked_folder().move(name, DAMAGED)
        except OSError as error:
            raise regular_file.write_error(self.path / name, error) from None

    def drop_previous(self) -> None:
        """Removes the state before the newest one, to save space while the run is paused."""
        self._checked_folder().remove(PREVIOUS)

    def discard(self, *, begun_by_another: bool = False) -> None:
        """Removes the folder and the run's files if this process created them, or another that was killed before its
        first checkpoint. A folder with other files stays."""
        if not (self._is_new or begun_by_another):
            return
        with contextlib.suppress(OSError, StorageError):
            for name in (BEST, LAST, PREVIOUS, DAMAGED, SETTINGS, METRICS, LIVE_PAGE, LOGGERS, JOB, RESULT):
                self._checked_folder().remove(name)
            self._checked_folder().path.rmdir()

    def _checked_folder(self) -> durable.OpenFolder:
        """Returns the folder, after a check that it is in its place. A folder that takes its place after the check is
        not written to, as files are written by the handle of ours."""
        if not self._folder.is_in_place():
            raise StorageError(f"{self.path}: the folder of this run was removed or replaced; put it back and resume")
        return self._folder


def find_resumable(given: Path, runs: Path = RUNS) -> Path:
    """Finds the checkpoint from which a run can be resumed.

    Raises:
        CheckpointError: there is none, or the path is a checkpoint outside a run.
    """
    path = find(given, runs, order=RESUME_ORDER)
    if path.name not in RESUME_ORDER:
        raise CheckpointError(f"{path}: expected a run to resume, found a checkpoint by itself; try --init-from")
    return path


def load_resumable(path: Path, *, strict: bool = False) -> tuple[Checkpoint, str]:
    """Loads the newest checkpoint of a run; if it cannot be read, the previous one.

    Args:
        path: a result of `find_resumable`.
        strict: refuse instead of loading the previous one.

    Returns the checkpoint, and why the newest one could not be read ("" if it was).

    Raises:
        CheckpointError: both are damaged, or the newest one is and `strict` is set, or a newer charnet wrote it.
        StorageError: the newest one cannot be read from the disk, and the previous one is no help.
    """
    try:
        return Checkpoint.load(path), ""
    except (CheckpointError, StorageError) as error:
        previous = path.with_name(PREVIOUS)
        if strict or isinstance(error, NewerFormatError) or path.name != LAST or not os.path.isfile(previous):
            raise
        with contextlib.suppress(CheckpointError, StorageError):
            return Checkpoint.load(previous), str(error)
        raise


def find(given: Path | None, runs: Path = RUNS, *, order: Sequence[str] = SAMPLE_ORDER) -> Path:
    """Finds the checkpoint file that the user means.

    Args:
        given: a file, a run's folder, the name of a run, or None for the newest run.
        runs: the folder of all runs.
        order: the names of checkpoints in a run, by preference.

    Raises:
        CheckpointError: there is none.
    """
    if given is None:
        if not (known := newest_first(runs)):
            raise CheckpointError(f"{runs}/: no run here yet; make one with `charnet train`, or name a checkpoint")
        given = known[0]
    is_folder = os.path.isdir  # unlike the method of Path, it accepts any name
    is_name = bool(given.name) and ".." not in given.parts  # else it would lead out of the folder of runs
    is_name = is_name and given.suffix != ".safetensors" and is_folder(runs / given)
    if is_name and not any(is_there(given / each) for each in order):
        given = runs / given  # even beside a text of that name
    if is_folder(given):
        for name in order:
            if is_there(given / name):
                return given / name
        raise CheckpointError(f"{given}: expected the folder of a run, found no {BEST} or {LAST} in it")
    if not (os.path.exists(given) or is_there(given)):
        names = [path.name for path in newest_first(runs)]
        few = ", ".join(names[:MOST_NAMED]) + ", ..." * (len(names) > MOST_NAMED)
        advice = did_you_mean(given.name, names) or f"; runs in {runs}/: {few}" * bool(names)
        raise CheckpointError(f"{shortened(str(given))}: there is no such checkpoint{advice}")
    return given


def exists(given: Path, runs: Path = RUNS) -> bool:
    """Returns whether there is a path, or a run, of this name."""
    return os.path.exists(given) or os.path.isdir(runs / given)


def is_there(path: Path) -> bool:
    """Returns whether a checkpoint exists. A training that saves gives `last` the name `previous`, and then the new one
    its place: between the two `last` is looked for again.
    """
    for _ in range(ATTEMPTS):
        if os.path.isfile(path):
            return True
        if path.name != LAST or not os.path.isfile(path.with_name(PREVIOUS)):
            return False
        time.sleep(RENAME_SECONDS)
    return False


def newest_first(runs: Path) -> list[Path]:
    """Lists the folders in `runs` that hold a checkpoint, by the time of their newest one."""
    written: dict[Path, int] = {}
    for name in (BEST, LAST, PREVIOUS):
        for path in runs.glob(f"*/{name}"):
            with contextlib.suppress(OSError):  # it is being replaced
                regular_file.check(path, status := path.stat())
                written[path.parent] = max(written.get(path.parent, 0), status.st_mtime_ns)
    return sorted(written, key=lambda run: -written[run])
