"""The file of an encoded copy: ids that are written once and mapped many times, and checked each time.

    KEY.ids       the ids; if there are documents, the end of each document; then the footer:
                  metadata as JSON, its length, its SHA-256
    KEY.checked   the inode, size and time of KEY.ids when all of its blocks had been checked

The metadata hold a checksum of every block of ids and ends. Whenever a copy is opened, its footer and some blocks are
checked, others each time. If KEY.checked does not fit the file, every block is checked. A damaged copy counts as
missing: the text is encoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from charnet import durable, machine
from charnet.data.vocab import Vocabulary, id_dtype
from charnet.errors import StorageError

Ids = npt.NDArray[np.unsignedinteger[Any]]
Ends = npt.NDArray[np.unsignedinteger[Any] | np.signedinteger[Any]]

SUFFIX, CHECKED_SUFFIX = ".ids", ".checked"
DIGEST_BYTES, LENGTH_BYTES = 32, 8
TRAILER_BYTES = LENGTH_BYTES + DIGEST_BYTES
MAX_METADATA_BYTES = 1 << 28
IDS_AT_ONCE = 1 << 20  # that are searched for the ends of documents
BLOCK_BYTES = 1 << 22  # under one checksum
BLOCKS_CHECKED = 16  # of a copy that was checked before


@dataclass(frozen=True)
class EncodedCopy:
    """An encoded text. `ids` is a read-only map, one id per character; `ends` are the indices behind the documents."""

    ids: Ids
    vocab: Vocabulary
    ends: Ends | None
    metadata: dict[str, Any]

    @property
    def file_ends(self) -> tuple[int, ...]:
        """The indices behind the files, if there are several."""
        return tuple(self.metadata.get("file_ends", ()))


def write_footer(
    file: IO[bytes], length: int, vocab: Vocabulary, *, by_documents: bool, metadata: dict[str, Any]
) -> None:
    """Completes an encoded copy: writes the ends of documents and the footer behind the ids.

    Args:
        file: holds `length` ids and nothing else.
        by_documents: whether the text consists of documents, each of which ends with `vocab.start_id()`.
        metadata: values to store with the copy, ready for JSON.
    """
    width = id_dtype(len(vocab)).itemsize
    documents = _write_ends(file, length, vocab) if by_documents else 0
    file.flush()
    sizes = _block_sizes(length * width + 8 * documents)
    symbols: Any = list(vocab.characters) if vocab.of_bytes else "".join(map(chr, vocab.characters))
    raw = json.dumps(
        metadata
        | {
            "length": length,
            "symbols": symbols,
            "rare": vocab.rare_id is not None,
            "is_utf8": vocab.is_utf8,
            "by_lines": by_documents,
            "document_end": vocab.document_end,
            "documents": documents,
            "sums": _checksums(Path(file.name), sizes, range(len(sizes))),
        }
    ).encode()
    file.seek(0, os.SEEK_END)
    file.write(raw + len(raw).to_bytes(LENGTH_BYTES, "little") + hashlib.sha256(raw).digest())
    file.flush()


def _write_ends(file: IO[bytes], length: int, vocab: Vocabulary) -> int:
    """Appends the index behind each document, and returns the number of documents."""
    dtype, document_end, documents = id_dtype(len(vocab)), vocab.start_id(), 0
    for start in range(0, length, IDS_AT_ONCE):
        file.seek(start * dtype.itemsize)
        ids = np.frombuffer(file.read(min(IDS_AT_ONCE, length - start) * dtype.itemsize), dtype)
        ends = (np.flatnonzero(ids == document_end) + (start + 1)).astype("<u8")
        file.seek(length * dtype.itemsize + 8 * documents)
        file.write(ends.data)
        documents += len(ends)
    return documents


def _block_sizes(size: int) -> list[int]:
    return [min(BLOCK_BYTES, size - start) for start in range(0, size, BLOCK_BYTES)]


def _checksums(path: Path, sizes: Sequence[int], blocks: Sequence[int]) -> list[int]:
    """Computes the checksums of some blocks of a file, on all cores."""

    def checksum(block: int) -> int:
        with path.open("rb") as file:
            file.seek(block * BLOCK_BYTES)
            return zlib.crc32(file.read(sizes[block]))

    with ThreadPoolExecutor(machine.processor_cores()) as pool:
        return list(pool.map(checksum, blocks))


def load(path: Path) -> EncodedCopy | None:
    """Checks and maps an encoded copy; returns None if it is missing, damaged or not the copy of its key."""
    with contextlib.suppress(OSError, ValueError, KeyError), path.open("rb") as file:
        status = _status(file)
        copy, checksums = _map(file)
        if copy is None or copy.metadata.get("key") != path.stem:
            return None
        checked_path = path.with_suffix(CHECKED_SUFFIX)
        was_checked = _read_json(checked_path) == status
        if not _is_whole(path, copy, checksums, every_block=not was_checked):
            return None
        if was_checked:
            with contextlib.suppress(OSError):
                os.utime(checked_path)  # the time of the last use
        else:
            _write_checked(checked_path, status)
        return copy
    return None


def map_new(file: IO[bytes]) -> EncodedCopy:
    """Maps a copy that this process has just written."""
    copy, _ = _map(file)
    assert copy is not None
    return copy


def read_metadata(file: IO[bytes]) -> dict[str, Any]:
    """Reads the metadata of a copy; they are empty if the footer is damaged."""
    with contextlib.suppress(ValueError, KeyError):
        copy, _ = _map(file)
        return copy.metadata if copy else {}
    return {}


def mark_checked(file: IO[bytes], path: Path) -> None:
    """Notes that all blocks of a copy have been checked, or have just been written."""
    _write_checked(path.with_suffix(CHECKED_SUFFIX), _status(file))


def _map(file: IO[bytes]) -> tuple[EncodedCopy | None, list[int]]:
    """Returns the copy in a file and the checksums of its blocks, or None if the footer is damaged."""
    size = os.fstat(file.fileno()).st_size
    if size < TRAILER_BYTES:
        return None, []
    file.seek(size - TRAILER_BYTES)
    trailer = file.read(TRAILER_BYTES)
    length = int.from_bytes(trailer[:LENGTH_BYTES], "little")
    if length > min(size - TRAILER_BYTES, MAX_METADATA_BYTES):
        return None, []
    file.seek(size - TRAILER_BYTES - length)
    raw = file.read(length)
    if hashlib.sha256(raw).digest() != trailer[LENGTH_BYTES:]:
        return None, []
    metadata = json.loads(raw)
    vocab = Vocabulary.from_stored(
        metadata.pop("symbols"),
        rare=metadata.pop("rare"),
        is_utf8=metadata.pop("is_utf8"),
        document_end=metadata.pop("document_end", None),
    )
    characters, documents, checksums = metadata["length"], metadata.pop("documents"), metadata.pop("sums")
    dtype = id_dtype(len(vocab))
    if size - TRAILER_BYTES - length != characters * dtype.itemsize + 8 * documents:
        return None, []
    ids: Ids = np.memmap(file, dtype=dtype, mode="r", shape=(characters,)) if characters else np.zeros(0, dtype)
    ends: Ends | None = None
    if metadata.pop("by_lines"):
        ends = np.memmap(file, dtype="<u8", mode="r", offset=characters * dtype.itemsize, shape=(documents,))
    return EncodedCopy(ids, vocab, ends, metadata), checksums


def _is_whole(path: Path, copy: EncodedCopy, checksums: list[int], *, every_block: bool) -> bool:
    """Compares the checksums of all blocks, or of some that are drawn at random."""
    sizes = _block_sizes(copy.ids.nbytes + (0 if copy.ends is None else copy.ends.nbytes))
    if len(sizes) != len(checksums):
        return False
    blocks = list(range(len(sizes)))
    if not every_block and len(sizes) > BLOCKS_CHECKED:
        blocks = sorted(random.SystemRandom().sample(blocks, BLOCKS_CHECKED))
    return _checksums(path, sizes, blocks) == [checksums[block] for block in blocks]


def _status(file: IO[bytes]) -> list[int]:
    status = os.fstat(file.fileno())
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _read_json(path: Path) -> Any:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return None


def _write_checked(path: Path, status: list[int]) -> None:
    with contextlib.suppress(StorageError):  # without this file the copy is checked again
        durable.write(path, json.dumps(status).encode())
