"""The encoded copies in the cache folder: written once, mapped many times, never believed without a look.

    KEY.ids     the ids; for lines as documents the end of each; then a document about them, its length and SHA-256
    KEY.seal    how the file system described KEY.ids when all of it had been checked
    KEY.known   what files held, by how the file system described them

A copy is written aside, synced, and moved to its place in one step, so a power cut leaves all of it or nothing. Its
document holds a checksum of each block. Opening looks at the document and at some blocks, others each time; where the
seal does not fit the file, at every block. What is damaged is as good as not there: the text is encoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from charnet import durable, machine
from charnet.data.cache import cache_folder, clean
from charnet.data.encode import Numbers, id_type
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, StorageError

Ids = Numbers
Ends = npt.NDArray[np.unsignedinteger[Any] | np.signedinteger[Any]]

DIGEST_BYTES, LENGTH_BYTES = 32, 8
TAIL = DIGEST_BYTES + LENGTH_BYTES
LARGEST_DOCUMENT = 1 << 28  # bytes
BLOCK = 1 << 20  # ids that are searched for line ends at once
BLOCKS_LOOKED_AT = 16
SUM_BLOCK = 1 << 22  # bytes under one checksum
LIMIT = "CHARNET_CACHE_LIMIT"
DEFAULT_LIMIT = 50 * 10**9  # bytes
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Copy:
    """An encoded copy. `ids` is a read-only map, one number a character; `ends` are the places behind each document."""

    ids: Ids
    vocab: Vocabulary
    ends: Ends | None
    about: dict[str, Any]


def limit() -> int:
    """The bytes that all copies together may take: `CHARNET_CACHE_LIMIT`, else 50 GB.

    Raises:
        ConfigError: it is no size.
    """
    return size_in_bytes(os.environ.get(LIMIT, ""), LIMIT) if os.environ.get(LIMIT) else DEFAULT_LIMIT


def size_in_bytes(text: str, name: str) -> int:
    """Bytes, from what people write.

    >>> size_in_bytes("20GB", "--limit"), size_in_bytes("1.5 M", "--limit"), size_in_bytes("0", "--limit")
    (20000000000, 1500000, 0)

    Raises:
        ConfigError: it is no size.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?([KMGT]?)B?", text.strip(), re.IGNORECASE | re.ASCII)
    if not found:
        raise ConfigError(f"{name}: expected a size as in 500MB or 20GB, found {text[:40]!r}")
    return int(float(found[1]) * UNITS[found[2].upper()])


def write_footer(file: IO[bytes], length: int, vocab: Vocabulary, *, by_lines: bool, about: dict[str, Any]) -> None:
    """Completes an encoded copy behind its ids: the ends of documents, the document about it, its checksum.

    Args:
        file: holds `length` ids and nothing else.
        by_lines: whether each line is a document.
        about: what else to remember, ready for JSON.
    """
    width = id_type(len(vocab)).itemsize
    documents = _write_ends(file, length, vocab) if by_lines else 0
    file.flush()
    sizes = _blocks(length * width + 8 * documents)
    symbols: Any = list(vocab.characters) if vocab.of_bytes else "".join(map(chr, vocab.characters))
    document = about | {
        "length": length,
        "symbols": symbols,
        "rare": vocab.rare_id is not None,
        "is_utf8": vocab.is_utf8,
        "by_lines": by_lines,
        "documents": documents,
        "sums": _sums(Path(file.name), sizes, range(len(sizes))),
    }
    raw = json.dumps(document).encode()
    file.seek(0, os.SEEK_END)
    file.write(raw + len(raw).to_bytes(LENGTH_BYTES, "little") + hashlib.sha256(raw).digest())
    file.flush()


def _blocks(size: int) -> list[int]:
    return [min(SUM_BLOCK, size - start) for start in range(0, size, SUM_BLOCK)]


def _sums(path: Path, sizes: Sequence[int], blocks: Sequence[int]) -> list[int]:
    """The checksums of some blocks of a file, on all cores."""

    def summed(block: int) -> int:
        with path.open("rb") as file:
            file.seek(block * SUM_BLOCK)
            return zlib.crc32(file.read(sizes[block]))

    with ThreadPoolExecutor(machine.processor_cores()) as pool:
        return list(pool.map(summed, blocks))


def _write_ends(file: IO[bytes], length: int, vocab: Vocabulary) -> int:
    """Appends the place behind each line end; how many there are."""
    dtype, line_end, documents = id_type(len(vocab)), vocab.start_id(), 0
    for start in range(0, length, BLOCK):
        file.seek(start * dtype.itemsize)
        ids = np.frombuffer(file.read(min(BLOCK, length - start) * dtype.itemsize), dtype)
        ends = (np.flatnonzero(ids == line_end) + (start + 1)).astype("<u8")
        file.seek(length * dtype.itemsize + 8 * documents)
        file.write(ends.data)
        documents += len(ends)
    return documents


def open_copy(key: str) -> Copy | None:
    """The encoded copy of that key, or None if there is no whole one in the cache."""
    path = cache_folder() / f"{key}.ids"
    with contextlib.suppress(OSError, ValueError, KeyError), path.open("rb") as file:
        seal = _status_of(file)
        copy, sums = _opened(file)
        if copy is None or copy.about.get("key") != key:
            return None
        seal_path = path.with_suffix(".seal")
        is_sealed = _read_checked(seal_path) == seal
        if not _is_whole(path, copy, sums, every_block=not is_sealed):
            return None
        if is_sealed:
            with contextlib.suppress(OSError):
                os.utime(seal_path)  # when it was last used
        else:
            write_checked(seal_path, seal)
        return copy
    return None


def map_copy(file: IO[bytes]) -> Copy:
    """Maps a copy that was just completed."""
    copy, _ = _opened(file)
    assert copy is not None
    return copy


def _opened(file: IO[bytes]) -> tuple[Copy | None, list[int]]:
    """The copy in a file, and the checksums of its blocks, if its document is whole."""
    size = os.fstat(file.fileno()).st_size
    if size < TAIL:
        return None, []
    file.seek(size - TAIL)
    tail = file.read(TAIL)
    length = int.from_bytes(tail[:LENGTH_BYTES], "little")
    if length > min(size - TAIL, LARGEST_DOCUMENT):
        return None, []
    file.seek(size - TAIL - length)
    raw = file.read(length)
    if hashlib.sha256(raw).digest() != tail[LENGTH_BYTES:]:
        return None, []
    about = json.loads(raw)
    vocab = Vocabulary.from_stored(about.pop("symbols"), rare=about.pop("rare"), is_utf8=about.pop("is_utf8"))
    characters, documents, sums = about["length"], about.pop("documents"), about.pop("sums")
    dtype = id_type(len(vocab))
    if size - TAIL - length != characters * dtype.itemsize + 8 * documents:
        return None, []
    ids: Ids = np.memmap(file, dtype=dtype, mode="r", shape=(characters,)) if characters else np.zeros(0, dtype)
    ends: Ends | None = None
    if about.pop("by_lines"):
        ends = np.memmap(file, dtype="<u8", mode="r", offset=characters * dtype.itemsize, shape=(documents,))
    return Copy(ids, vocab, ends, about), sums


def _is_whole(path: Path, copy: Copy, sums: list[int], *, every_block: bool) -> bool:
    sizes = _blocks(copy.ids.nbytes + (0 if copy.ends is None else copy.ends.nbytes))
    if len(sizes) != len(sums):
        return False
    looked_at = list(range(len(sizes)))
    if not every_block and len(sizes) > BLOCKS_LOOKED_AT:
        looked_at = sorted(random.SystemRandom().sample(looked_at, BLOCKS_LOOKED_AT))
    return _sums(path, sizes, looked_at) == [sums[block] for block in looked_at]


def _status_of(file: IO[bytes]) -> list[int]:
    status = os.fstat(file.fileno())
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _read_checked(path: Path) -> Any:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return None


def write_checked(path: Path, seal: list[int]) -> None:
    """Remembers how the file system describes a copy that was checked; where that fails it is checked again."""
    with contextlib.suppress(StorageError):
        durable.write(path, json.dumps(seal).encode())


def keep(file: IO[bytes], part: Path, key: str) -> None:
    """Moves a complete copy to its place in the cache, and removes the copies not used for longest over the limit.

    Raises:
        OSError: the disk refused.
    """
    path = cache_folder() / f"{key}.ids"
    file.flush()
    os.fsync(file.fileno())
    part.replace(path)
    durable.sync_folder(path.parent)  # the only copy of what came through standard input
    write_checked(path.with_suffix(".seal"), _status_of(file))
    clear(down_to=limit(), but=key)


@dataclass(frozen=True)
class Entry:
    """One encoded copy in the cache. `used` is when it was last opened, in seconds since 1970."""

    key: str
    name: str
    characters: int
    size_bytes: int
    used: float


def entries() -> list[Entry]:
    """The encoded copies in the cache, that used last first."""
    return [entry for path, status, used in _copies() if (entry := _entry(path, status.st_size, used))]


def _copies() -> list[tuple[Path, os.stat_result, float]]:
    """The encoded copies as the file system describes them, and when each was last used; that used last first."""
    found = []
    for path in cache_folder().glob("*.ids"):
        with contextlib.suppress(OSError):
            status = path.stat()
            used = status.st_mtime
            with contextlib.suppress(OSError):
                used = max(used, path.with_suffix(".seal").stat().st_mtime)
            found.append((path, status, used))
    return sorted(found, key=lambda copy: -copy[2])


def _entry(path: Path, size: int, used: float) -> Entry | None:
    """What a copy says about itself; None if it is no more."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        about: dict[str, Any] = {}
        with contextlib.suppress(ValueError, KeyError):
            copy, _ = _opened(file)
            about = copy.about if copy else {}
        return Entry(path.stem, about.get("name", "damaged"), about.get("length", 0), size, used)
    return None


def clear(*, down_to: int = 0, but: str = "") -> list[Entry]:
    """Removes the copies not used for longest until the others fit.

    Args:
        down_to: bytes; but: the key of one that stays.

    Returns:
        Those that were removed.
    """
    clean(cache_folder())
    removed, total = [], 0
    for path, status, used in sorted(_copies(), key=lambda copy: copy[0].stem != but):
        total += status.st_size
        if total > down_to and path.stem != but:
            if entry := _entry(path, status.st_size, used):
                removed.append(entry)
            for each in (path, path.with_suffix(".seal")):
                with contextlib.suppress(OSError):
                    each.unlink()
    if not down_to:
        for path in cache_folder().glob("*.known"):
            with contextlib.suppress(OSError):
                path.unlink()
    return removed
