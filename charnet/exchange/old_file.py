"""A file of another program, before anything in it is believed: its bytes, its kind, its errors."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from charnet import regular_file
from charnet.errors import CheckpointError
from charnet.machine import memory

MEMORY_SHARE = 4  # a file is read if the machine has so many times its size


@dataclass(frozen=True)
class OldFile:
    """A file that was read: its path and content."""

    path: Path
    raw: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


def read(path: Path, most: int | None = None) -> OldFile:
    """Reads a file.

    Args:
        most: the largest size, in bytes; by default a part of the machine's memory.

    Raises:
        CheckpointError: it is missing, not a regular file, or too large.
        StorageError: the operating system refused to read it.
    """
    most = memory() // MEMORY_SHARE if most is None else most
    try:
        with regular_file.open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            raw = file.read(min(size, most) + 1)  # a buffer of this size is made at once
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except regular_file.NotRegularError:
        raise CheckpointError(f"{path}: expected a file, found a pipe or a device") from None
    except OSError as error:
        raise regular_file.read_error(path, error) from None
    if len(raw) > most:
        raise CheckpointError(f"{path}: has more than {most:,} bytes, too many for this machine or for such a file")
    return OldFile(path, raw)


def damaged(path: Path, found: str) -> CheckpointError:
    """Returns the error to raise for a file that is not as its format wants it."""
    return CheckpointError(f"{path}: found {found}; the file is damaged, or of another program")


def unfit(path: Path, found: str) -> CheckpointError:
    """Returns the error to raise for a whole file whose model charnet has no form for."""
    return CheckpointError(f"{path}: {found}; such a model cannot be imported")
