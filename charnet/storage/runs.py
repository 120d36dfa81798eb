"""A run is a folder: who may write in it, what lies where, and which run a name means.

    config.yaml             every setting, resolved; the same file gives the same run again
    metrics.jsonl           a line for each report
    best.safetensors        the weights with the lowest validation loss
    last.safetensors        the newest state, with all that the rest of the run depends on
    previous.safetensors    the state before that, should the newest be damaged
    damaged.safetensors     a newest state that was damaged, moved out of the way when the run went on

A folder that never held more than the start of a run is removed when that run ends.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from charnet import durable
from charnet.errors import CheckpointError, StorageError, shortened
from charnet.storage.checkpoint import Checkpoint

BEST, LAST, PREVIOUS = "best.safetensors", "last.safetensors", "previous.safetensors"
DAMAGED = "damaged.safetensors"
SETTINGS, METRICS = "config.yaml", "metrics.jsonl"
DEFAULT = Path("checkpoints")
SAMPLE_ORDER = (BEST, LAST, PREVIOUS)  # which checkpoint of a run is meant, in this order
RESUME_ORDER = (LAST, PREVIOUS, BEST)


class RunFolder:
    """The folder of a run while this process trains there; no other process can at the same time.

    Raises:
        StorageError: another training is at work in it, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_new = False
        self._handle: int | None = None
        self._let_go: Callable[[], object] = lambda: None
        try:
            status = path.stat()
            if os.name != "nt":  # Windows has no handle on a folder
                self._handle = handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                self._let_go = weakref.finalize(self, os.close, handle)
                status = os.fstat(handle)
                if not durable.locked(handle):
                    raise StorageError(f"{path}: another training is at work in this run; wait for it, or stop it")
        except OSError as error:
            raise StorageError(f"{path}: cannot be opened: {error.strerror}; mend that, or take another run") from None
        self._identity = (status.st_dev, status.st_ino)
        durable.clean(path, f".*.{'[0-9a-f]' * 8}{durable.PART}", self._handle)

    @classmethod
    def new(cls, out: Path, name: str, needed_bytes: int = 0) -> RunFolder:
        """Makes the folder of a new run; where the name is taken a number is appended.

        Args:
            needed_bytes: what the run will write.

        Raises:
            StorageError: the folder cannot be made, or the disk has not that much space left.
        """
        try:
            _check_space(out, needed_bytes, "name another place with --out")
            durable.make_folders(out)
            for number in itertools.count(1):
                path = out / (name if number == 1 else f"{name}-{number}")
                with contextlib.suppress(FileExistsError):  # also when another start has just taken it
                    path.mkdir()
                    break
            try:
                durable.sync_folder(out)
                made = cls(path)
                made._is_new = True
                return made
            except (OSError, StorageError):
                path.rmdir()
                raise
        except OSError as error:
            why = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
            raise StorageError(f"{out}: no run can be made here: {why}; name another place with --out") from None

    def check_space(self, needed_bytes: int, *, damage: str = "") -> None:
        """Refuses to go on where the disk has no space for it.

        Args:
            needed_bytes: what the whole run writes, with the checkpoints that are there and will be replaced.
            damage: what is wrong with the newest; it is then kept beside the others.

        Raises:
            StorageError: the disk has not that much space left.
        """
        try:
            replaced = [self._own(name) for name in (BEST, PREVIOUS, *(() if damage else (LAST,)))]
            there = sum(path.stat().st_size for path in replaced if path.is_file())
            _check_space(self.path, needed_bytes - there, "move the run to another place")
        except OSError as error:
            raise durable.refused(self.path, error) from None

    def close(self) -> None:
        """Lets go of the folder: another process may train there."""
        self._handle = None
        self._let_go()

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Writes `best` or `last`, of which the one before is kept.

        Raises:
            StorageError: the disk refused; what was there is whole.
        """
        keep_as = self._own(PREVIOUS) if name == LAST else None
        checkpoint.save(self._own(name), keep_as=keep_as, within=self._handle)

    def write(self, name: str, content: bytes) -> None:
        """Replaces `config.yaml` or `metrics.jsonl`."""
        durable.write(self._own(name), content, within=self._handle)

    def append_metrics(self, line: str) -> None:
        """Adds a line of metrics."""
        durable.append(self._own(METRICS), line, self._handle)

    def sync_metrics(self) -> None:
        """Has the disk take the lines of metrics."""
        if (path := self._own(METRICS)).is_file():
            durable.sync(path, self._handle)

    def metrics(self) -> list[bytes]:
        """The lines of metrics so far."""
        path = self._own(METRICS)
        if path.is_symlink():  # as `append_metrics` would say after the first steps
            raise durable.refused(path, OSError(errno.ELOOP, os.strerror(errno.ELOOP)))
        try:
            return path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}; mend that, or move it away") from None

    def quarantine(self, name: str) -> None:
        """Moves a damaged checkpoint out of the way, if it is there."""
        try:
            with contextlib.suppress(FileNotFoundError):
                durable.move(self._own(name), self.path / DAMAGED, self._handle)
        except OSError as error:
            raise durable.refused(self.path / name, error) from None

    def discard(self) -> None:
        """Removes the folder and what charnet wrote in it, if this process made it; anything else stays."""
        if not self._is_new:
            return
        with contextlib.suppress(OSError, StorageError):
            for name in (BEST, LAST, PREVIOUS, DAMAGED, SETTINGS, METRICS):
                durable.remove(self._own(name), self._handle)
            self._own("").rmdir()

    def _own(self, name: str) -> Path:
        """The path of one of our files, after a check that our folder is still where it was. A folder that takes its
        place after the check is not written to: what is written goes by the handle of ours."""
        status = None
        with contextlib.suppress(OSError):
            status = self.path.stat()
        if status is None or (status.st_dev, status.st_ino) != self._identity:
            raise StorageError(f"{self.path}: the folder of this run is gone or another one; put it back and resume")
        return self.path / name


def _check_space(place: Path, needed_bytes: int, else_do: str) -> None:
    there = next((path for path in (place, *place.absolute().parents) if path.exists()), place)
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise StorageError(
            f"{place}: the checkpoints of this run need {needed_bytes / 1e6:,.1f} MB, "
            f"{free / 1e6:,.1f} MB are free; free some space, or {else_do}"
        )


def find_resumable(given: Path, runs: Path = DEFAULT) -> Path:
    """The folder of the run that is to go on.

    Raises:
        CheckpointError: there is none, or a checkpoint was named that lies outside a run.
    """
    path = find(given, runs, order=RESUME_ORDER)
    if path.name not in RESUME_ORDER:
        raise CheckpointError(f"{path}: expected a run to go on with, found a checkpoint by itself; try --init-from")
    return path


def load_resumable(path: Path, *, strict: bool = False) -> tuple[Checkpoint, str]:
    """The checkpoint to resume, and what was wrong with the newest if it is the one before it.

    Args:
        path: as `find` gave it.
        strict: refuse where the newest is damaged, or the disk does not give it back.

    Raises:
        CheckpointError: both are damaged, or the newest is and `strict`.
        StorageError: the same for what the disk does not give back.
    """
    try:
        return Checkpoint.load(path), ""
    except (CheckpointError, StorageError) as error:
        before = path.with_name(PREVIOUS)
        if strict or path.name != LAST or not before.is_file():
            raise
        with contextlib.suppress(CheckpointError, StorageError):
            return Checkpoint.load(before), str(error)
        raise


def find(given: Path | None, runs: Path = DEFAULT, *, order: Sequence[str] = SAMPLE_ORDER) -> Path:
    """The checkpoint file that a user means: a file, a run's folder, or nothing for the newest run.

    Raises:
        CheckpointError: there is none.
    """
    if given is None:
        if not (known := newest_first(runs)):
            raise CheckpointError(f"{runs}/: no run here yet; make one with `charnet train`, or name a checkpoint")
        given = known[0]
    exists, is_folder = os.path.exists, os.path.isdir  # unlike Path's these never raise, whatever the name
    if not exists(given) and is_folder(runs / given):
        given = runs / given
    if is_folder(given):
        for name in order:
            if (given / name).is_file():
                return given / name
        raise CheckpointError(f"{given}: expected the folder of a run, found no {BEST} or {LAST} in it")
    if not exists(given):
        names = ", ".join(path.name for path in newest_first(runs)[:5])
        beside = f"; runs in {runs}/: {names}" if names else ""
        raise CheckpointError(f"{shortened(str(given))}: there is no such checkpoint{beside}")
    return given


def newest_first(runs: Path) -> list[Path]:
    """The folders below one that hold a checkpoint."""
    written: dict[Path, int] = {}
    for name in (BEST, LAST, PREVIOUS):
        for path in runs.glob(f"*/{name}"):
            with contextlib.suppress(OSError):  # replaced at this moment
                written[path.parent] = max(written.get(path.parent, 0), path.stat().st_mtime_ns)
    return sorted(written, key=lambda run: -written[run])
