"""Opens files that somebody else may have put there: regular files only, without waiting, and not read without limit.

To open a pipe waits until another process writes to it, to open a device may act on it, and reading either may never
end. So the kind of a file is looked up before it is opened, and once more when it is open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from io import BufferedRandom, BufferedReader
from pathlib import Path

from charnet.errors import StorageError

NO_FOLLOW, NO_WAIT = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)
OPEN_ALREADY = re.compile(r"/dev/(stdin|fd/\d+)|/proc/self/fd/\d+")  # as the shell names `<(command)`
SYSTEM_FOLDERS = ("/proc/", "/sys/")  # what looks like a regular file there may have no end
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ATTEMPTS = 10  # to open a file, if another process removes it meanwhile


class NotRegularError(OSError):
    """The file is a pipe, a socket or a device."""


def open_regular(path: Path, *, or_open: bool = False, follow: bool = True) -> BufferedReader:
    """Opens a regular file to read it.

    Args:
        or_open: also accept a pipe that this process has open already, by a name such as /dev/stdin.
        follow: also accept a link to a regular file.

    Raises:
        OSError: there is no such file, it is not regular, the system refused, or no file can have such a name.
    """
    if or_open and OPEN_ALREADY.fullmatch(str(path)):
        return path.open("rb")
    try:
        check(path, path.stat(follow_symlinks=follow))
    except ValueError:  # a zero byte
        raise OSError(errno.EINVAL, "not a valid file name", str(path)) from None
    flags = NO_WAIT if follow else NO_WAIT | NO_FOLLOW
    file = open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags))  # noqa: SIM115
    try:
        check(path, os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def read(path: Path, most: int, *, or_open: bool = False, follow: bool = True) -> bytes:
    """Reads a regular file of at most `most` bytes; the other arguments are those of `open_regular`.

    Raises:
        OSError: as for `open_regular`, or the file is larger.
    """
    with open_regular(path, or_open=or_open, follow=follow) as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return raw


def open_own(path: Path) -> BufferedRandom:
    """Opens a file to read and write it, and creates it if necessary. Whatever else has its name is removed: a link, a
    pipe, a file that has a second name and so may belong to somebody else.

    Raises:
        OSError: the system refused.
    """
    flags = os.O_CREAT | NO_FOLLOW | NO_WAIT
    for _ in range(ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            if not _is_own(os.lstat(path)):
                path.unlink()
        file = open(path, "rb+", opener=lambda name, mode: os.open(name, mode | flags, 0o666))  # noqa: SIM115
        if _is_own(os.fstat(file.fileno())):
            return file
        file.close()
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def status(path: Path) -> os.stat_result | None:
    """Returns the status of a regular file, or None if there is none; a link is none either."""
    with contextlib.suppress(OSError, ValueError):
        found = os.lstat(path)
        return found if stat.S_ISREG(found.st_mode) else None
    return None


def is_of_system(path: Path | str) -> bool:
    """Returns whether a path leads into a folder in which the system shows its state, as files of any size."""
    with contextlib.suppress(ValueError, OSError):  # no file can have such a name
        return os.path.realpath(path).startswith(SYSTEM_FOLDERS)
    return False


def _is_own(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def read_error(path: Path, error: OSError) -> StorageError:
    """Returns the error to raise if a file cannot be read."""
    name = str(path) if str(path).isprintable() else repr(str(path))
    return StorageError(f"{name}: cannot be read: {error.strerror or error}")


def check(path: Path, found: os.stat_result) -> None:
    """Raises an OSError unless this is the status of a regular file: NotRegularError, or IsADirectoryError."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise NotRegularError(errno.EINVAL, "it is a pipe or a device", str(path))


def check_folder(path: Path) -> None:
    """Raises StorageError if the folder of a new file is missing or closed, before the work for that file is done."""
    folder = path.parent
    if not os.path.lexists(folder):
        raise StorageError(
            f"{path}: cannot be written: the folder {folder} does not exist; make it first, or write elsewhere"
        )
    if not folder.is_dir():
        raise StorageError(f"{path}: cannot be written: {folder} is no folder; write elsewhere")
    if reason := why_closed(folder):
        raise StorageError(f"{path}: cannot be written: {reason}; write elsewhere")


def why_closed(folder: Path) -> str:
    """Returns why nothing can be written in a folder, as far as that shows without writing; "" if nothing speaks
    against it."""
    if os.access(folder, os.W_OK | os.X_OK):
        return ""
    is_read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS) if is_read_only else f"the folder {folder} is closed to you"


def write_error(path: Path, error: OSError) -> StorageError:
    """Returns the error to raise if the system refuses to write, with what to do about it."""
    if error.errno == errno.ELOOP:
        return StorageError(f"{path}: cannot be written: it is a link; remove it")
    advice = "free some space" if error.errno in FULL else "fix that, or write elsewhere"
    return StorageError(f"{path}: cannot be written: {error.strerror or error}; {advice}")
