"""Writes files so that each is at any instant, power cuts included, the complete old version or the complete new one.

The recipe is: write a temporary file, fsync it, rename it, fsync the folder. A process holds a lock on each of its
temporary files until it closes them. So the next process can tell the files of a killed process from those in use.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import itertools
import os
import secrets
import stat
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from charnet import regular_file
from charnet.regular_file import NO_FOLLOW, NO_WAIT

try:
    import fcntl
except ImportError:  # Windows: without locks, files of killed processes are not removed
    fcntl = None  # type: ignore[assignment]

PART = ".part"  # the suffix of temporary files
ATTEMPTS = 100  # to create a temporary file, if another process removes it before it is locked
NO_FOLDER_SYNC = (errno.EINVAL, errno.EBADF, errno.EACCES)  # the system cannot sync folders, or may not open this one


class Folder:
    """Writes the files of one folder durably. Methods take the name of a file and look it up by the folder's path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def write(self, name: str, content: bytes | bytearray | memoryview, *, keep_as: str | None = None) -> None:
        """Replaces or creates a file.

        Args:
            keep_as: the new name of the file that is replaced. Between the two renames it is the only one of the two.

        Raises:
            StorageError: the system refused to write. The old file is unchanged, under `name` or `keep_as`.
        """
        try:
            with self.writing_aside(f".{name}") as (file, aside):
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                if keep_as is not None:
                    with contextlib.suppress(FileNotFoundError):
                        self.move(name, keep_as)
                self.move(aside.name, name)
                sync_folder(self._path_or_handle)
        except OSError as error:
            raise regular_file.write_error(self.path / name, error) from None

    def append(self, name: str, line: str) -> None:
        """Appends a line to a file and creates the file if necessary; does not follow a link.

        Raises:
            StorageError: the system refused to write.
        """
        try:
            is_new = not self._exists(name)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_FOLLOW | NO_WAIT
            with os.fdopen(os.open(self._at(name), flags, 0o666, dir_fd=self._handle), "wb") as file:
                regular_file.check(self.path / name, os.fstat(file.fileno()))
                file.write(line.encode() + b"\n")
            if is_new:  # else a later checkpoint could survive a power cut, and this file not
                sync_folder(self._path_or_handle)
        except OSError as error:
            raise regular_file.write_error(self.path / name, error) from None

    @contextlib.contextmanager
    def writing_aside(self, name: str) -> Iterator[tuple[IO[bytes], Path]]:
        """Creates a temporary file whose name begins with `name`, and removes it at the end if it was not moved.

        Raises:
            OSError: it cannot be created.
        """
        file, aside = self._create(name)
        try:
            with file:
                yield file, aside
        finally:
            with contextlib.suppress(OSError):
                self.remove(aside.name)

    def move(self, name: str, to: str) -> None:
        """Renames a file and replaces the file that had the new name.

        Raises:
            OSError: it cannot be renamed.
        """
        os.replace(self._at(name), self._at(to), src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def remove(self, name: str) -> None:
        """Removes a file if it exists.

        Raises:
            OSError: it cannot be removed.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self._handle)

    def sync(self, name: str) -> None:
        """Flushes the content of a file to the disk; does not follow a link.

        Raises:
            StorageError: the system refused.
        """
        try:
            _sync_and_close(os.open(self._at(name), os.O_WRONLY | NO_FOLLOW | NO_WAIT, dir_fd=self._handle))
        except OSError as error:
            raise regular_file.write_error(self.path / name, error) from None

    def clean(self, pattern: str = f"*{PART}") -> None:
        """Removes the temporary files of processes that no longer run, and whatever else has such a name."""
        if fcntl is None:
            return
        found: list[str] = []
        with contextlib.suppress(OSError), os.scandir(self._path_or_handle) as entries:
            found += [entry.name for entry in entries]
        for name in fnmatch.filter(found, pattern):
            with contextlib.suppress(OSError):
                status = os.stat(self._at(name), dir_fd=self._handle, follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode):  # opening a device may act on it
                    self.remove(name)
                    continue
                handle = os.open(self._at(name), os.O_RDONLY | NO_FOLLOW | NO_WAIT, dir_fd=self._handle)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self.remove(name)
                finally:
                    os.close(handle)

    @property
    def _path_or_handle(self) -> Path | int:
        return self.path if self._handle is None else self._handle

    def _at(self, name: str) -> Path | str:
        return self.path / name if self._handle is None else name

    def _exists(self, name: str) -> bool:
        try:
            os.stat(self._at(name), dir_fd=self._handle)
        except FileNotFoundError:
            return False
        return True

    def _create(self, name: str) -> tuple[IO[bytes], Path]:
        for _ in range(ATTEMPTS):
            aside = self.path / f"{name}.{secrets.token_hex(4)}{PART}"
            if "\0" in str(aside):
                raise OSError(errno.EINVAL, "not a valid file name", str(self.path / name))
            with contextlib.suppress(FileExistsError):
                file = open(aside, "xb+", opener=self._open)  # noqa: SIM115
                if self._claim(file.fileno(), aside.name):
                    return file, aside
                file.close()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))

    def _open(self, path: str, flags: int) -> int:
        return os.open(self._at(Path(path).name), flags, 0o666, dir_fd=self._handle)

    def _claim(self, handle: int, name: str) -> bool:
        """Locks a new temporary file. Returns False if another process removed it first, as one of a killed process."""
        return try_lock(handle) is not False and self._exists(name)


class OpenFolder(Folder):
    """A folder that is held open by its handle until `close`.

    Only the names of files are looked up, in that very folder, even if another folder has taken its path. Windows has
    no handles for folders: there, files are looked up by path.

    Raises:
        OSError: the folder cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._close: Callable[[], object] = lambda: None
        status = path.stat()
        if os.name != "nt":
            self._handle = handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            self._close = weakref.finalize(self, os.close, handle)
            status = os.fstat(handle)
        self._identity = (status.st_dev, status.st_ino)

    def try_lock(self) -> bool | None:
        """Locks the folder until it is closed; see `try_lock` below."""
        return None if self._handle is None else try_lock(self._handle)

    def is_in_place(self) -> bool:
        """Checks that the path still leads to this folder."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def close(self) -> None:
        """Closes the handle and releases the lock. From then on, files are looked up by path."""
        self._handle = None
        self._close()


def write(path: Path, content: bytes | bytearray | memoryview) -> None:
    """Replaces or creates a file.

    Raises:
        StorageError: the system refused to write; the old file is unchanged.
    """
    Folder(path.parent).write(path.name, content)


def writing_aside(folder: Path, name: str) -> contextlib.AbstractContextManager[tuple[IO[bytes], Path]]:
    """Creates a temporary file whose name begins with `name`, and removes it at the end if it was not moved.

    Raises:
        OSError: it cannot be created.
    """
    return Folder(folder).writing_aside(name)


def clean(folder: Path, pattern: str = f"*{PART}") -> None:
    """Removes the temporary files of processes that no longer run, and whatever else has such a name."""
    Folder(folder).clean(pattern)


def sync(path: Path) -> None:
    """Flushes the content of a file to the disk; does not follow a link.

    Raises:
        StorageError: the system refused.
    """
    Folder(path.parent).sync(path.name)


def sync_folder(folder: Path | int) -> None:
    """Flushes the names in a folder to the disk, if the system can do that.

    Args:
        folder: its path, or its handle if it is open.
    """
    if os.name == "nt":  # Windows has no handles for folders
        return
    try:
        if isinstance(folder, int):
            os.fsync(folder)
        else:
            _sync_and_close(os.open(folder, os.O_RDONLY))
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def _sync_and_close(handle: int) -> None:
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folders(path: Path) -> None:
    """Creates a folder and its missing parents, and flushes their names to the disk."""
    new = list(itertools.takewhile(lambda folder: not os.path.exists(folder), (path, *path.parents)))
    for folder in reversed(new or [path]):  # one by one: `parents=True` recurs
        folder.mkdir(exist_ok=True)
    for folder in new:
        sync_folder(folder.parent)


def try_lock(handle: int) -> bool | None:
    """Locks an open file or folder until it is closed. Returns False if another process holds the lock, None if the
    system or the file system has no locks, as some network file systems."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
