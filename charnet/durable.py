"""Writing so that a file is at any instant, power cuts included, either the old one or the new one, whole.

The recipe: write aside, fsync, rename, fsync the folder. Temporary files carry a lock of their writer for as long as it
lives, so the next start can tell those that a killed process left behind from those of a process at work.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from charnet.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing of others is cleaned away
    fcntl = None  # type: ignore[assignment]

PART = ".part"  # how names of temporary files end
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(path: Path, content: bytes | bytearray | memoryview, *, keep_as: Path | None = None) -> None:
    """Replaces a file, or makes it.

    Args:
        keep_as: where the file that was there before is moved to; between the two moves only that one exists.

    Raises:
        StorageError: the disk refused; the old file is as it was, at its place or at `keep_as`.
    """
    try:
        with writing_aside(path.parent, f".{path.name}") as (file, aside):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if keep_as is not None:
                with contextlib.suppress(FileNotFoundError):
                    path.replace(keep_as)
            aside.replace(path)
            _sync_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from None


def append(path: Path, line: str) -> None:
    """Adds a line to a file, making it if need be; a link in its place is not followed.

    Raises:
        StorageError: the disk refused.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(line.encode() + b"\n")
    except OSError as error:
        raise refused(path, error) from None


@contextlib.contextmanager
def writing_aside(folder: Path, name: str) -> Iterator[tuple[IO[bytes], Path]]:
    """A new temporary file that is gone afterwards, unless it was moved away."""
    aside = folder / f"{name}.{secrets.token_hex(4)}{PART}"
    try:
        with aside.open("xb+") as file:
            locked(file.fileno())
            yield file, aside
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def locked(handle: int) -> bool:
    """Takes the lock of an open file or folder, for as long as it is open; False if another process has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def clean(folder: Path, pattern: str = f"*{PART}") -> None:
    """Removes temporary files of processes that are no more."""
    if fcntl is None:
        return
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def sync(path: Path) -> None:
    """Has the disk take what was written to a file or a folder.

    Raises:
        StorageError: it cannot.
    """
    try:
        _sync(path)
    except OSError as error:
        raise refused(path, error) from None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    if os.name != "nt":  # Windows has no handle on a folder to sync
        _sync(folder)


def refused(path: Path, error: OSError) -> StorageError:
    """What to say when the system refuses to write."""
    todo = "free some space" if error.errno in FULL else "mend that, or write elsewhere"
    return StorageError(f"{path}: cannot be written: {error.strerror}; {todo}")
