"""Whether a run can be made in a folder: asked before the text is read, and answered by the system when it is made."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from charnet import regular_file
from charnet.errors import StorageError, quoted


def check(out: Path) -> None:
    """Refuses a folder of runs that is plainly none, before anything is read, measured or written.

    Raises:
        StorageError: it is a file or below one, or closed to the user.
    """
    if "\0" in str(out):
        raise StorageError(f"{quoted(str(out))}: cannot be written: not a valid file name")
    try:
        existing = _existing(out)
        if not existing.is_dir():
            raise refused(out, os.strerror(errno.ENOTDIR))
        if reason := regular_file.why_closed(existing):
            raise refused(out, reason)
    except OSError as error:
        raise refused(out, error.strerror or str(error)) from None


def check_space(path: Path, needed_bytes: int, advice: str) -> None:
    """Refuses a folder whose disk has not enough free space.

    Raises:
        StorageError: so many bytes are not free.
    """
    free_bytes = shutil.disk_usage(_existing(path)).free
    if free_bytes < needed_bytes:
        raise StorageError(
            f"{path}: the checkpoints of this run need {needed_bytes / 1e6:,.1f} MB, "
            f"{free_bytes / 1e6:,.1f} MB are free; free some space, or {advice}"
        )


def refused(out: Path, reason: str) -> StorageError:
    """Returns the error to raise if no run can be made in a folder."""
    return StorageError(f"{out}: no run can be made here: {reason}; choose another folder with --out")


def _existing(path: Path) -> Path:
    """Returns the folder, or what exists of the path to it."""
    return next((each for each in (path, *path.absolute().parents) if os.path.lexists(each)), path)
