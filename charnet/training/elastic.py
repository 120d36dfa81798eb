"""Which run a command of torchrun has begun: if torchrun starts its processes again, they resume it.

It starts them again after one of them was lost (`--max-restarts`), and when a machine joins or leaves (`--nnodes 1:4`).
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from charnet.errors import ConfigError, StorageError
from charnet.storage import runs
from charnet.storage.runs import RunFolder
from charnet.training import resolve
from charnet.training.group import job


def mark(folder: RunFolder) -> None:
    """Notes in the folder of a run which job it belongs to."""
    if job():
        folder.write(runs.JOB, json.dumps({"job": job(), "agent": os.getppid()}).encode())


def new_folder(out: Path, name: str, needed_bytes: int) -> RunFolder:
    """Creates the folder of a new run as `RunFolder.new` does, marked at once: it may be lost before its first save."""
    folder = RunFolder.new(out, name, needed_bytes)
    try:
        mark(folder)
    except BaseException:
        folder.discard()
        folder.close()
        raise
    return folder


def has_begun(out: Path) -> bool:
    """Returns whether a folder of runs has one that this job has begun and not ended."""
    for path in out.glob(f"*/{runs.JOB}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            is_of_job = json.loads(path.read_bytes())["job"] == job()
            if is_of_job and (path.parent / runs.LAST).exists() and not _has_ended(path.parent):
                return True
    return False


def find(out: Path) -> tuple[Path | None, bool]:
    """Returns the run that this job has begun, and whether it was trained to its end since torchrun was started.

    A run that was lost before its first save is removed. One that an earlier job of the same name has ended does not
    count.
    """
    if not job():
        return None, False
    for path in sorted(out.glob(f"*/{runs.JOB}"), key=os.path.getmtime, reverse=True):
        try:
            found = json.loads(path.read_bytes())
            if found["job"] != job():
                continue
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not any((path.parent / name).exists() for name in runs.RESUME_ORDER):
            with contextlib.suppress(StorageError):  # another process is at work there
                folder = RunFolder(path.parent)
                folder.discard(begun_by_another=True)
                folder.close()
            return None, False
        if not _has_ended(path.parent):
            return path.parent, False
        return (path.parent, True) if found.get("agent") == os.getppid() else (None, False)
    return None, False


def _has_ended(run: Path) -> bool:
    last, _ = runs.load_resumable(runs.find(run, order=runs.RESUME_ORDER))
    try:
        resolve.check_unfinished(run, last.trainer_state, last.config)
    except ConfigError:
        return True
    return False
