"""Writing so that a file is at any instant, power cuts included, either the old one or the new one, whole.

The recipe: write aside, fsync, rename, fsync the folder. Temporary files carry a lock of their writer for as long as it
lives, so the next start can tell those that a killed process left behind from those of a process at work.

`within` is the handle of the folder that a path lies in, where a caller holds it open: then only the last name of the
path is looked up, in that very folder, whatever has taken the folder's own name meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import functools
import itertools
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
ATTEMPTS = 100  # to make a temporary file, should a cleaner take it away before it is locked
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_SYNC_OF_FOLDERS = (errno.EINVAL, errno.EBADF, errno.EACCES)  # where a system has none, or may not open the folder
NOT_A_LINK = getattr(os, "O_NOFOLLOW", 0)


def write(
    path: Path, content: bytes | bytearray | memoryview, *, keep_as: Path | None = None, within: int | None = None
) -> None:
    """Replaces a file, or makes it.

    Args:
        keep_as: where in its folder the file that was there before is moved to; between the two moves only that one
            exists.

    Raises:
        StorageError: the disk refused; the old file is as it was, at its place or at `keep_as`.
    """
    try:
        with writing_aside(path.parent, f".{path.name}", within) as (file, aside):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if keep_as is not None:
                with contextlib.suppress(FileNotFoundError):
                    move(path, keep_as, within)
            move(aside, path, within)
            sync_folder(path.parent, within)
    except OSError as error:
        raise refused(path, error) from None


def append(path: Path, line: str, within: int | None = None) -> None:
    """Adds a line to a file, making it if need be; a link in its place is not followed.

    Raises:
        StorageError: the disk refused.
    """
    try:
        is_new = not _exists(path, within)
        handle = os.open(_at(path, within), os.O_WRONLY | os.O_APPEND | os.O_CREAT | NOT_A_LINK, 0o666, dir_fd=within)
        with os.fdopen(handle, "wb") as file:
            file.write(line.encode() + b"\n")
        if is_new:  # else a checkpoint may outlive a power cut that the lines before it do not
            sync_folder(path.parent, within)
    except OSError as error:
        raise refused(path, error) from None


@contextlib.contextmanager
def writing_aside(folder: Path, name: str, within: int | None = None) -> Iterator[tuple[IO[bytes], Path]]:
    """A new temporary file that is gone afterwards, unless it was moved away."""
    file, aside = _new(folder, name, within)
    try:
        with file:
            yield file, aside
    finally:
        with contextlib.suppress(OSError):
            remove(aside, within)


def _new(folder: Path, name: str, within: int | None) -> tuple[IO[bytes], Path]:
    for _ in range(ATTEMPTS):
        aside = folder / f"{name}.{secrets.token_hex(4)}{PART}"
        with contextlib.suppress(FileExistsError):
            file = open(aside, "xb+", opener=functools.partial(_opened, within))  # noqa: SIM115
            if kept(file.fileno(), aside, within):
                return file, aside
            file.close()
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def kept(handle: int, path: Path, within: int | None = None) -> bool:
    """Locks a temporary file that was just made; False if a cleaner came first and took it for one left behind."""
    return locked(handle) and _exists(path, within)


def move(path: Path, to: Path, within: int | None = None) -> None:
    """Gives a file another name in its folder; a file that had that name is gone.

    Raises:
        OSError: it cannot be moved.
    """
    os.replace(_at(path, within), _at(to, within), src_dir_fd=within, dst_dir_fd=within)


def remove(path: Path, within: int | None = None) -> None:
    """Removes a file, if it is there.

    Raises:
        OSError: it cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_at(path, within), dir_fd=within)


def _opened(within: int | None, path: str, flags: int) -> int:
    return os.open(_at(Path(path), within), flags, 0o666, dir_fd=within)


def _at(path: Path, within: int | None) -> Path | str:
    return path if within is None else path.name


def _exists(path: Path, within: int | None) -> bool:
    try:
        os.stat(_at(path, within), dir_fd=within)
    except FileNotFoundError:
        return False
    return True


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


def clean(folder: Path, pattern: str = f"*{PART}", within: int | None = None) -> None:
    """Removes temporary files of processes that are no more."""
    if fcntl is None:
        return
    found: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder if within is None else within) as entries:
        found += [entry.name for entry in entries]
    for path in map(folder.joinpath, fnmatch.filter(found, pattern)):
        with contextlib.suppress(OSError):
            handle = os.open(_at(path, within), os.O_RDONLY | NOT_A_LINK | os.O_NONBLOCK, dir_fd=within)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path, within)
            finally:
                os.close(handle)


def sync(path: Path, within: int | None = None) -> None:
    """Has the disk take what was written to a file; a link in its place is not followed.

    Raises:
        StorageError: it cannot.
    """
    try:
        _sync(os.open(_at(path, within), os.O_WRONLY | NOT_A_LINK, dir_fd=within))
    except OSError as error:
        raise refused(path, error) from None


def sync_folder(folder: Path, handle: int | None = None) -> None:
    """Has the disk take the names in a folder, where the system can do that."""
    if os.name == "nt":  # Windows has no handle on a folder to sync
        return
    try:
        if handle is None:
            _sync(os.open(folder, os.O_RDONLY))
        else:
            os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_SYNC_OF_FOLDERS:
            raise


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folders(path: Path) -> None:
    """Makes a folder and those above it that are missing, to outlast a power cut."""
    new = list(itertools.takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True)
    for folder in new:
        sync_folder(folder.parent)


def refused(path: Path, error: OSError) -> StorageError:
    """What to say when the system refuses to write."""
    if error.errno == errno.ELOOP:
        return StorageError(f"{path}: cannot be written: it is a link; remove it")
    todo = "free some space" if error.errno in FULL else "mend that, or write elsewhere"
    return StorageError(f"{path}: cannot be written: {error.strerror or error}; {todo}")
