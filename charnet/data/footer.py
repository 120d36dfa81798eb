"""The footer of an encoded copy: metadata as JSON, their length, their SHA-256.

The cache may hold anything, as a downloaded checkpoint may. So every part of the metadata is checked here before any
part is used.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from dataclasses import dataclass
from typing import IO, Any

from charnet.config import DOCUMENT_END
from charnet.data.vocab import LAST_CODE_POINT, Vocabulary, id_dtype
from charnet.errors import CorpusError

DIGEST_BYTES, LENGTH_BYTES = 32, 8
TRAILER_BYTES = LENGTH_BYTES + DIGEST_BYTES
MAX_METADATA_BYTES = 1 << 26  # 13 MB of alphabet at most, then 12 bytes for each file and each block
MOST_LISTS = 1 << 17  # in the metadata: there are five, and brackets in the names of files in notes
LONGEST_STRING = 10_000
BLOCK_BYTES = 1 << 22  # under one checksum
END_BYTES = 8  # of an index behind a document
LARGEST = 2**63 - 1
DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Footer:
    """What an encoded copy says about its text, checked.

    `documents` is the number of documents, None for a running text; `sums` are the checksums of the blocks; `checks` is
    the version of the checks that the text has passed, `paths` a digest of the paths of the files that `notes` name.
    """

    key: str
    name: str
    size_bytes: int
    fingerprint: str
    notes: tuple[str, ...]
    file_ends: tuple[int, ...]
    length: int
    vocab: Vocabulary
    documents: int | None
    sums: tuple[int, ...]
    checks: int
    paths: str

    @property
    def ids_bytes(self) -> int:
        """The size of the ids."""
        return self.length * id_dtype(len(self.vocab)).itemsize

    @property
    def data_bytes(self) -> int:
        """The size of the ids and the ends of documents."""
        return self.ids_bytes + END_BYTES * (self.documents or 0)


def block_sizes(size: int) -> list[int]:
    """Returns the sizes of the blocks of so many bytes."""
    return [min(BLOCK_BYTES, size - start) for start in range(0, size, BLOCK_BYTES)]


def append(file: IO[bytes], metadata: dict[str, Any]) -> None:
    """Writes metadata at the end of a file.

    Raises:
        CorpusError: they are too large to be read again.
    """
    raw = json.dumps(metadata).encode()
    if len(raw) > MAX_METADATA_BYTES or raw.count(b"[") > MOST_LISTS:
        raise CorpusError("the text has too many files for one encoded copy: join some of them")
    file.seek(0, os.SEEK_END)
    file.write(raw + len(raw).to_bytes(LENGTH_BYTES, "little") + hashlib.sha256(raw).digest())
    file.flush()


def read(file: IO[bytes]) -> Footer | None:
    """Reads and checks the footer of a file; returns None if there is no valid one."""
    size = os.fstat(file.fileno()).st_size
    if size < TRAILER_BYTES:
        return None
    file.seek(size - TRAILER_BYTES)
    trailer = file.read(TRAILER_BYTES)
    length = int.from_bytes(trailer[:LENGTH_BYTES], "little")
    if length > min(size - TRAILER_BYTES, MAX_METADATA_BYTES):
        return None
    file.seek(size - TRAILER_BYTES - length)
    raw = file.read(length)
    if hashlib.sha256(raw).digest() != trailer[LENGTH_BYTES:] or raw.count(b"[") > MOST_LISTS:
        return None
    try:
        footer = _parse(json.loads(raw, object_pairs_hook=_flat))
    except (KeyError, ValueError, RecursionError):
        return None
    fits = footer.data_bytes == size - TRAILER_BYTES - length  # first: a forged size could have any number of blocks
    return footer if fits and len(block_sizes(footer.data_bytes)) == len(footer.sums) else None


def _flat(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object; refuses one with duplicate names, and one inside another, which is complete before it."""
    table = dict(pairs)
    if len(table) != len(pairs) or "symbols" not in table:
        raise ValueError
    return table


def _parse(raw: Any) -> Footer:
    """Checks each part.

    Raises:
        KeyError, ValueError: a part is missing or not valid.
    """
    _check(isinstance(raw, dict))
    length, documents, by_documents = raw["length"], raw["documents"], raw["by_lines"]
    file_ends, sums, notes = raw.get("file_ends", []), raw["sums"], raw["notes"]
    checks, paths = raw.get("checks", 0), raw.get("paths", "0" * 2 * DIGEST_BYTES)
    _check(all(_is_size(value) for value in (length, documents, raw["size_bytes"], checks)) and length > 0)
    _check(isinstance(by_documents, bool) and by_documents == (documents > 0))
    _check(all(isinstance(each, str) and DIGEST.fullmatch(each) for each in (raw["key"], raw["fingerprint"], paths)))
    _check(isinstance(notes, list) and all(_is_string(text) for text in (raw["name"], *notes)))
    _check(all(isinstance(values, list) and all(map(_is_size, values)) for values in (file_ends, sums)))
    _check(all(first <= second for first, second in itertools.pairwise(file_ends)))
    _check(not file_ends or file_ends[-1] == length)
    return Footer(
        raw["key"], raw["name"], raw["size_bytes"], raw["fingerprint"], tuple(notes), tuple(file_ends), length,
        _vocabulary(raw), documents if by_documents else None, tuple(sums), checks, paths,
    )  # fmt: skip


def _vocabulary(raw: dict[str, Any]) -> Vocabulary:
    symbols, rare, is_utf8, document_end = raw["symbols"], raw["rare"], raw["is_utf8"], raw.get("document_end")
    of_bytes = isinstance(symbols, list)
    _check(all(map(_is_size, symbols)) if of_bytes else isinstance(symbols, str) and len(symbols) <= LAST_CODE_POINT)
    _check(isinstance(rare, bool) and isinstance(is_utf8, bool))
    _check(document_end is None or (type(document_end) is int and document_end == ord(DOCUMENT_END)))
    vocab = Vocabulary.from_stored(symbols, rare=rare, is_utf8=is_utf8, document_end=document_end)
    _check((vocab.rare_id is not None) == rare)
    return vocab


def _check(valid: object) -> None:
    if not valid:
        raise ValueError


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_string(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_STRING
