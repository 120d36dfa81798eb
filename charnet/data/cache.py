"""The cache folder: encoded copies, fingerprints of large files, downloaded datasets.

    KEY.ids, KEY.checked   an encoded copy, see `encoded_copy`
    KEY.fingerprints       sizes and SHA-256 of files, see `fingerprints`
    texts/                 datasets, see `datasets`

A copy is written aside, synced and renamed, so after a power cut it is either whole or missing. All copies together
stay below a limit: those that were not used for the longest time are removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from charnet import durable
from charnet.data import encoded_copy
from charnet.data.encoded_copy import CHECKED_SUFFIX, SUFFIX, EncodedCopy
from charnet.errors import ConfigError, StorageError

TEMPORARY = "charnet-"  # how names of temporary files begin
FINGERPRINTS_SUFFIX = ".fingerprints"
OLD_CHECKED_SUFFIX, OLD_FINGERPRINTS_SUFFIX = ".seal", ".known"  # of older versions
CHECKED_SUFFIXES = (CHECKED_SUFFIX, OLD_CHECKED_SUFFIX)
NOTE_SUFFIXES = (*CHECKED_SUFFIXES, FINGERPRINTS_SUFFIX, OLD_FINGERPRINTS_SUFFIX)  # files that may get lost
LEFT_BEHIND = tuple(f"{name}*{durable.PART}" for name in (TEMPORARY, *(f".*{suffix}." for suffix in NOTE_SUFFIXES)))
LIMIT_VARIABLE = "CHARNET_CACHE_LIMIT"
DEFAULT_LIMIT = 50 * 10**9  # bytes
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Entry:
    """An encoded copy in the cache. `used` is the time when it was last opened, in seconds since 1970."""

    key: str
    name: str
    characters: int
    size_bytes: int
    used: float


def cache_folder() -> Path:
    """Returns the cache folder: `CHARNET_CACHE`, else `charnet` in the user's cache folder."""
    named = os.environ.get("CHARNET_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or os.path.expanduser("~/.cache")) / "charnet"  # noqa: PTH111 - never raises, as Path.home may


def writable_cache() -> Path:
    """Returns the cache folder, or the system's folder for temporary files if the cache folder is not writable."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        durable.make_folders(folder)
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        folder = Path(tempfile.gettempdir())
    clean(folder)
    return folder


def clean(folder: Path) -> None:
    """Removes temporary files of charnet's processes that have ended; those of other programs stay."""
    for pattern in LEFT_BEHIND:
        durable.clean(folder, pattern)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Names the folder if the system refuses to write.

    Raises:
        StorageError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        folder = cache_folder()
        with contextlib.suppress(OSError):
            folder = writable_cache()
        raise StorageError(
            f"{folder}: the text cannot be stored here: {error.strerror or error}; "
            "free some space or name another folder in CHARNET_CACHE"
        ) from None


def size_limit() -> int:
    """Returns how many bytes all copies together may take: `CHARNET_CACHE_LIMIT`, else 50 GB.

    Raises:
        ConfigError: the variable is not a size.
    """
    value = os.environ.get(LIMIT_VARIABLE)
    return parse_size(value, LIMIT_VARIABLE) if value else DEFAULT_LIMIT


def parse_size(text: str, name: str) -> int:
    """Returns the bytes of a size as people write it.

    >>> parse_size("20GB", "--limit"), parse_size("1.5 M", "--limit"), parse_size("0", "--limit")
    (20000000000, 1500000, 0)

    Args:
        name: the option or variable, for messages.

    Raises:
        ConfigError: it is not a size.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?([KMGT]?)B?", text.strip(), re.IGNORECASE | re.ASCII)
    if not match:
        raise ConfigError(f"{name}: expected a size as in 500MB or 20GB, found {text[:40]!r}")
    return int(float(match[1]) * UNITS[match[2].upper()])


def open_copy(key: str) -> EncodedCopy | None:
    """Returns the encoded copy of a key, or None if the cache has none that is whole."""
    return encoded_copy.load(cache_folder() / f"{key}{SUFFIX}")


def add_copy(file: IO[bytes], aside: Path, key: str) -> None:
    """Moves a complete copy to its place in the cache, and removes old copies if the limit is exceeded.

    Args:
        file: the open copy; aside: its path beside the other copies.

    Raises:
        OSError: the disk refused.
    """
    path = cache_folder() / f"{key}{SUFFIX}"
    file.flush()
    os.fsync(file.fileno())
    aside.replace(path)
    durable.sync_folder(path.parent)  # of a text from standard input there is no other copy
    encoded_copy.mark_checked(file, path)
    clear(down_to=size_limit(), keep=key)


def entries() -> list[Entry]:
    """Returns the encoded copies in the cache, the one that was used last first."""
    return [entry for path, status, used in _copies() if (entry := _read_entry(path, status.st_size, used))]


def _copies() -> list[tuple[Path, os.stat_result, float]]:
    """Returns the copies' paths, their status and the time of their last use, the one that was used last first."""
    copies = []
    for path in cache_folder().glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):
            status = path.stat()
            used = status.st_mtime
            for suffix in CHECKED_SUFFIXES:
                with contextlib.suppress(OSError):
                    used = max(used, path.with_suffix(suffix).stat().st_mtime)
            copies.append((path, status, used))
    return sorted(copies, key=lambda copy: -copy[2])


def _read_entry(path: Path, size: int, used: float) -> Entry | None:
    """Reads the metadata of a copy; returns None if the file is gone."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        metadata = encoded_copy.read_metadata(file)
        return Entry(path.stem, metadata.get("name", "damaged"), metadata.get("length", 0), size, used)
    return None


def clear(*, down_to: int = 0, keep: str = "") -> list[Entry]:
    """Removes the copies that were not used for the longest time until the others fit.

    With `down_to` 0 it also removes the fingerprints, and what older versions left.

    Args:
        down_to: the bytes that the other copies may take.
        keep: the key of a copy that stays in any case.

    Returns:
        The copies that were removed.
    """
    folder = cache_folder()
    clean(folder)
    removed, total = [], 0
    for path, status, used in sorted(_copies(), key=lambda copy: copy[0].stem != keep):
        total += status.st_size
        if total > down_to and path.stem != keep:
            if entry := _read_entry(path, status.st_size, used):
                removed.append(entry)
            _remove(path, *(path.with_suffix(suffix) for suffix in CHECKED_SUFFIXES))
    if not down_to:
        notes = (path for suffix in NOTE_SUFFIXES for path in folder.glob(f"*{suffix}"))
        _remove(*(path for path in notes if path.stem != keep))
    return removed


def _remove(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
