"""The file of an encoded copy: ids that are written once and mapped many times, and checked each time.

    KEY.ids       the ids; if there are documents, the end of each document; then the footer, see `footer`
    KEY.checked   the inode, size and time of KEY.ids when all of its blocks had been checked

The footer holds a checksum of every block of ids and ends. Whenever a copy is opened, its footer, its ends and some
blocks are checked, others each time. If KEY.checked does not fit the file, every block is checked. A damaged or forged
copy counts as missing, and so does whatever is not a regular file: the text is encoded again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from charnet import durable, machine, regular_file
from charnet.data import footer as footers
from charnet.data.footer import END_BYTES, Footer
from charnet.data.vocab import Vocabulary, id_dtype
from charnet.errors import CorpusError, StorageError

Ids = npt.NDArray[np.unsignedinteger[Any]]
Ends = npt.NDArray[np.unsignedinteger[Any] | np.signedinteger[Any]]
Result = TypeVar("Result")

SUFFIX, CHECKED_SUFFIX = ".ids", ".checked"
IDS_AT_ONCE = 1 << 20  # that are searched for the ends of documents
BLOCKS_CHECKED = 16  # of a copy that was checked before
LONGEST_NOTE = 200  # bytes of KEY.checked


@dataclass(frozen=True)
class EncodedCopy:
    """An encoded text. `ids` is a read-only map, one id per character; `ends` are the indices behind the documents."""

    ids: Ids
    ends: Ends | None
    footer: Footer

    @property
    def vocab(self) -> Vocabulary:
        """The alphabet."""
        return self.footer.vocab

    @property
    def file_ends(self) -> tuple[int, ...]:
        """The indices behind the files, if there are several."""
        return self.footer.file_ends


def write_footer(
    file: IO[bytes], length: int, vocab: Vocabulary, *, by_documents: bool, metadata: dict[str, Any]
) -> None:
    """Completes an encoded copy: writes the ends of documents and the footer behind the ids.

    Args:
        file: holds `length` ids and nothing else.
        by_documents: whether the text consists of documents, each of which ends with `vocab.start_id()`.
        metadata: values to store with the copy, ready for JSON.

    Raises:
        CorpusError: the text has no document, or too many files.
    """
    width = id_dtype(len(vocab)).itemsize
    documents = _write_ends(file, length, vocab) if by_documents else 0
    if by_documents and not documents:
        raise CorpusError("the text is empty: it has no document")
    file.flush()
    sizes = footers.block_sizes(length * width + END_BYTES * documents)
    symbols: Any = list(vocab.characters) if vocab.of_bytes else "".join(map(chr, vocab.characters))
    footers.append(
        file,
        metadata
        | {
            "length": length,
            "symbols": symbols,
            "rare": vocab.rare_id is not None,
            "is_utf8": vocab.is_utf8,
            "by_lines": by_documents,
            "document_end": vocab.document_end,
            "documents": documents,
            "sums": _on_all_cores(lambda raw, _: zlib.crc32(raw), Path(file.name), dict(enumerate(sizes))),
        },
    )


def _write_ends(file: IO[bytes], length: int, vocab: Vocabulary) -> int:
    """Appends the index behind each document, and returns the number of documents."""
    dtype, document_end, documents = id_dtype(len(vocab)), vocab.start_id(), 0
    for start in range(0, length, IDS_AT_ONCE):
        file.seek(start * dtype.itemsize)
        ids = np.frombuffer(file.read(min(IDS_AT_ONCE, length - start) * dtype.itemsize), dtype)
        ends = (np.flatnonzero(ids == document_end) + (start + 1)).astype("<u8")
        file.seek(length * dtype.itemsize + END_BYTES * documents)
        file.write(ends.data)
        documents += len(ends)
    return documents


def _on_all_cores(function: Callable[[bytes, int], Result], path: Path, blocks: Mapping[int, int]) -> list[Result]:
    """Calls a function with each block of a file and its number, on all cores.

    Args:
        blocks: the sizes of the blocks by number.
    """

    def call(block: int) -> Result:
        with regular_file.open_regular(path, follow=False) as file:
            file.seek(block * footers.BLOCK_BYTES)
            return function(file.read(blocks[block]), block)

    with ThreadPoolExecutor(machine.processor_cores()) as pool:
        return list(pool.map(call, blocks))


def load(path: Path) -> EncodedCopy | None:
    """Checks and maps an encoded copy; returns None if it is missing, damaged or not the copy of its key."""
    with contextlib.suppress(OSError, ValueError), regular_file.open_regular(path, follow=False) as file:
        status = _status(file)
        copy = _map(file)
        if copy is None or copy.footer.key != path.stem:
            return None
        checked_path = path.with_suffix(CHECKED_SUFFIX)
        was_checked = _was_checked(checked_path, status)
        if not (_ends_are_in_order(copy) and _is_whole(path, copy.footer, every_block=not was_checked)):
            return None
        if was_checked:
            with contextlib.suppress(OSError):
                os.utime(checked_path)  # the time of the last use
        else:
            _write_checked(checked_path, status)
        return copy
    return None


def map_new(file: IO[bytes]) -> EncodedCopy:
    """Maps a copy that this process has just written.

    Raises:
        StorageError: another process changed it.
    """
    copy = _map(file)
    if copy is None:
        raise StorageError(f"{file.name}: the encoded copy changed while it was written; start again")
    return copy


def read_footer(path: Path) -> Footer | None:
    """Reads what a copy says about its text; returns None if it is missing, damaged or not the copy of its key."""
    with contextlib.suppress(OSError), regular_file.open_regular(path, follow=False) as file:
        footer = footers.read(file)
        return footer if footer and footer.key == path.stem else None
    return None


def mark_checked(file: IO[bytes], path: Path) -> None:
    """Notes that all blocks of a copy have been checked, or have just been written."""
    _write_checked(path.with_suffix(CHECKED_SUFFIX), _status(file))


def _map(file: IO[bytes]) -> EncodedCopy | None:
    """Maps the copy in a file; returns None if its footer is not valid."""
    footer = footers.read(file)
    if footer is None:
        return None
    dtype = id_dtype(len(footer.vocab))
    ids: Ids = np.memmap(file, dtype=dtype, mode="r", shape=(footer.length,))
    ends: Ends | None = None
    if footer.documents is not None:
        ends = np.memmap(file, dtype="<u8", mode="r", offset=footer.ids_bytes, shape=(footer.documents,))
    return EncodedCopy(ids, ends, footer)


def _ends_are_in_order(copy: EncodedCopy) -> bool:
    """Checks that each document ends behind the one before it, and inside the text."""
    last = 0
    for start in range(0, 0 if copy.ends is None else len(copy.ends), IDS_AT_ONCE):
        ends = np.asarray(copy.ends[start : start + IDS_AT_ONCE])  # type: ignore[index]
        if not (last < ends[0] and np.all(ends[1:] > ends[:-1]) and ends[-1] <= len(copy.ids)):
            return False
        last = ends[-1]
    return True


def _is_whole(path: Path, footer: Footer, *, every_block: bool) -> bool:
    """Compares the checksums of all blocks, or of some that are drawn at random, and checks that the alphabet has their
    ids."""
    sizes = dict(enumerate(footers.block_sizes(footer.data_bytes)))
    if not every_block and len(sizes) > BLOCKS_CHECKED:
        sizes = {block: sizes[block] for block in sorted(random.SystemRandom().sample(list(sizes), BLOCKS_CHECKED))}
    dtype = id_dtype(len(footer.vocab))

    def is_valid(raw: bytes, block: int) -> bool:
        ids_bytes = max(0, min(len(raw), footer.ids_bytes - block * footers.BLOCK_BYTES))
        ids = np.frombuffer(raw, dtype, ids_bytes // dtype.itemsize)
        return zlib.crc32(raw) == footer.sums[block] and int(ids.max(initial=0)) < len(footer.vocab)

    return all(_on_all_cores(is_valid, path, sizes))


def _status(file: IO[bytes]) -> list[int]:
    status = os.fstat(file.fileno())
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _was_checked(path: Path, status: list[int]) -> bool:
    with contextlib.suppress(OSError):
        return regular_file.read(path, LONGEST_NOTE, follow=False) == json.dumps(status).encode()
    return False


def _write_checked(path: Path, status: list[int]) -> None:
    with contextlib.suppress(StorageError):  # without this file the copy is checked again
        durable.write(path, json.dumps(status).encode())
