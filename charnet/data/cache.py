"""The cache folder: encoded copies, fingerprints of large files, downloaded datasets.

    KEY.ids, KEY.checked   an encoded copy, see `encoded_copy`
    KEY.copies             where runs of a text stand in it, see `copy_index`
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

from charnet import durable, regular_file
from charnet.data import encoded_copy
from charnet.data.encoded_copy import CHECKED_SUFFIX, SUFFIX, EncodedCopy
from charnet.errors import ConfigError, StorageError, plural, shortened

TEXTS = "texts"  # the folder of datasets
TEMPORARY = "charnet-"  # how names of temporary files begin
FINGERPRINTS_SUFFIX, INDEX_SUFFIX = ".fingerprints", ".copies"
OLD_CHECKED_SUFFIX, OLD_FINGERPRINTS_SUFFIX = ".seal", ".known"  # of older versions
CHECKED_SUFFIXES = (CHECKED_SUFFIX, OLD_CHECKED_SUFFIX)
BESIDE_SUFFIXES = (*CHECKED_SUFFIXES, INDEX_SUFFIX)  # files that go with their copy
NOTE_SUFFIXES = (*BESIDE_SUFFIXES, FINGERPRINTS_SUFFIX, OLD_FINGERPRINTS_SUFFIX)  # files that may get lost
LEFT_BEHIND = tuple(f"{name}*{durable.PART}" for name in (TEMPORARY, *(f".*{suffix}." for suffix in NOTE_SUFFIXES)))
LIMIT_VARIABLE = "CHARNET_CACHE_LIMIT"
DEFAULT_LIMIT = 50 * 10**9  # bytes
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Entry:
    """An encoded copy in the cache, with the index beside it. `used` is the time when it was last opened, in seconds
    since 1970."""

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
        with contextlib.suppress(OSError):  # without one either, the cache folder's own error is the one to raise
            folder = Path(tempfile.gettempdir())
    clean(folder)
    return folder


def note_unwritable(folder: Path) -> list[str]:
    """Returns a sentence for the user if what is written to `folder` does not stay in the cache."""
    named = shortened(str(cache_folder()))
    lost = f"{named}: cannot be written, so the encoded text is not kept; name another folder in CHARNET_CACHE"
    return [lost] * (folder != cache_folder())


def clean(folder: Path) -> None:
    """Removes temporary files of charnet's processes that have ended; those of other programs stay."""
    for pattern in LEFT_BEHIND:
        durable.clean(folder, pattern)
    if folder == cache_folder():
        durable.clean(folder / TEXTS, f"*.txt.*{durable.PART}")


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Names the folder if the system refuses to write.

    Raises:
        StorageError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{shortened(str(folder))}: the text cannot be stored here: {error.strerror or error}; "
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


def open_copy(key: str, fingerprint: str, size_bytes: int) -> EncodedCopy | None:
    """Returns the encoded copy of a key, or None if the cache has none that is whole and says that it is of this text.

    Args:
        fingerprint, size_bytes: of the text.
    """
    copy = encoded_copy.load(cache_folder() / f"{key}{SUFFIX}")
    is_right = copy and (copy.footer.fingerprint, copy.footer.size_bytes) == (fingerprint, size_bytes)
    return copy if is_right else None


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
    with contextlib.suppress(StorageError):  # what cannot be removed now stays
        clear(down_to=size_limit(), keep=key)


def entries() -> list[Entry]:
    """Returns the encoded copies in the cache, the one that was used last first.

    Raises:
        StorageError: the folder cannot be read.
    """
    return [_read_entry(*copy) for copy in _copies()]


def _copies() -> list[tuple[Path, int, float]]:
    """Returns the copies' paths, their bytes and the time of their last use, the one that was used last first."""
    copies = []
    for path in _files(SUFFIX):
        if status := regular_file.status(path):
            checked = (regular_file.status(path.with_suffix(suffix)) for suffix in CHECKED_SUFFIXES)
            used = max(each.st_mtime for each in (status, *checked) if each)
            index = regular_file.status(path.with_suffix(INDEX_SUFFIX))
            copies.append((path, status.st_size + (index.st_size if index else 0), used))
    return sorted(copies, key=lambda copy: -copy[2])


def _files(*suffixes: str) -> list[Path]:
    """Lists what has a name in the cache folder that ends so, whatever it is.

    Raises:
        StorageError: the folder cannot be read.
    """
    folder = cache_folder()
    try:
        with os.scandir(folder) as found:
            return [folder / entry.name for entry in found if entry.name.endswith(suffixes)]
    except FileNotFoundError:
        return []
    except OSError as error:
        name = shortened(str(folder))
        raise StorageError(f"{name}: cannot be read: {error.strerror}; name another folder in CHARNET_CACHE") from None


def _read_entry(path: Path, size: int, used: float) -> Entry:
    """Reads what a copy says about its text."""
    footer = encoded_copy.read_footer(path)
    return Entry(path.stem, footer.name if footer else "damaged", footer.length if footer else 0, size, used)


def clear(*, down_to: int = 0, keep: str = "") -> list[Entry]:
    """Removes the copies that were not used for the longest time until the others fit.

    With `down_to` 0 it also removes the fingerprints, what older versions left, and what only has the name of a copy.

    Args:
        down_to: the bytes that the other copies may take.
        keep: the key of a copy that stays in any case.

    Returns:
        The copies that were removed.

    Raises:
        StorageError: the folder cannot be read, or the system refused to remove a file. All others were removed.
    """
    clean(cache_folder())
    copies, removed, total = _copies(), list[Entry](), 0
    refused: dict[Path, OSError] = {}
    for path, size, used in sorted(copies, key=lambda copy: copy[0].stem != keep):
        total += size
        if total > down_to and path.stem != keep:
            entry = _read_entry(path, size, used)
            if _remove(path, refused):
                removed.append(entry)
                for suffix in BESIDE_SUFFIXES:
                    _remove(path.with_suffix(suffix), refused)
    if not down_to:
        for path in _files(SUFFIX, *NOTE_SUFFIXES):
            if path.stem != keep:
                _remove(path, refused)
    for path, error in refused.items():
        raise StorageError(
            f"{shortened(str(path))}: cannot be removed: {error.strerror}; "
            f"{len(removed):,} of {plural(len(copies), 'file')} with encoded copies removed"
        )
    return removed


def _remove(path: Path, refused: dict[Path, OSError]) -> bool:
    """Removes a file, or a link without what it leads to; returns False and notes why if the system refuses."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        refused[path] = error
        return False
    return True
