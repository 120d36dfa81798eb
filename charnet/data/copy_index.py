"""Finds the runs of symbols of a text that stand verbatim in another one, the learned one.

Of a text of some megabytes every run is found, of a larger one those of 31 symbols and more. The index lies in the
cache, beside the encoded copy of the text:

    KEY.copies    a line of JSON, then the index

It is checked whenever it is opened: a damaged one, and one of another part of the text, counts as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from charnet import durable, regular_file
from charnet.data import cache, encoded_copy
from charnet.data.anchors import BLOCK, AnchorIndex
from charnet.data.documents import Documents
from charnet.data.encoded_copy import Ids
from charnet.data.suffix_array import SuffixIndex
from charnet.errors import StorageError

VERSION = 1  # changes when the index of the same text changes
MOST_SUFFIXES = 1 << 22  # symbols of a text of which every run is found
LONGEST_HEADER = 1000  # bytes

Int64s = npt.NDArray[np.int64]


class CopyIndex(Protocol):
    """Finds runs of symbols in the pieces of a text; none shorter than `shortest`, and none over a document's end."""

    shortest: int

    @property
    def order(self) -> npt.NDArray[np.integer[Any]]:
        """What is stored."""
        ...

    def longest(self, ids: Sequence[int], most: int) -> int:
        """Returns how many of the last `most` symbols of a text stand in the indexed one, as they end it.

        It may return `shortest - 1` where they are fewer.
        """
        ...

    def first(self, ids: Sequence[int], length: int) -> int | None:
        """Returns the index of the symbol of a text with which the first run ends that is as long as this, or None."""
        ...

    def next_symbols(self, ids: Sequence[int]) -> frozenset[int]:
        """Returns the symbols that come after these wherever they stand in the indexed text."""
        ...

    def runs(self, ids: npt.NDArray[np.integer[Any]]) -> tuple[Int64s, Int64s]:
        """Returns for each symbol of a text the length of the longest run that ends with it and stands in the indexed
        text, 0 for one that is too short, and the index there behind the run, (T) each."""
        ...


class LearnedPieces(NamedTuple):
    """A text, and where the pieces lie in it that a model learned from, in their order."""

    ids: Ids
    pieces: Documents
    symbols: Sequence[int]
    document_end: int | None

    def digest(self) -> str:
        """Returns a hash of what an index depends on, but for the text itself."""
        parts = [VERSION, MOST_SUFFIXES, len(self.ids), self.document_end, list(self.symbols)]
        digest = hashlib.sha256(json.dumps(parts).encode())
        for array in self.pieces:
            digest.update(np.ascontiguousarray(array, "<i8").tobytes())
        return digest.hexdigest()

    def indexed(self, stored: npt.NDArray[Any] | None = None) -> CopyIndex:
        """Builds the index, unless it is given as it was stored."""
        if self.is_short:
            return SuffixIndex(self.ids, self.pieces, len(self.symbols), self.document_end, stored)
        return AnchorIndex(self.ids, self.pieces, self.document_end, stored)

    @property
    def is_short(self) -> bool:
        """Whether every run is found."""
        return self._num_suffixes <= MOST_SUFFIXES

    @property
    def _num_suffixes(self) -> int:
        return int(self.pieces.lengths.sum()) + len(self.pieces.ends)

    def fits(self, stored: npt.NDArray[Any]) -> bool:
        """Whether an array may be the stored index: no place in it is outside the text."""
        if self.is_short:
            in_text = len(stored) == 0 or (stored.min() >= 0 and stored.max() < self._num_suffixes)
            return len(stored) == self._num_suffixes and bool(in_text)
        numbers = stored & np.uint64((1 << 32) - 1)
        return len(stored) <= len(self.ids) // BLOCK and int(numbers.max(initial=0)) < max(1, len(self.ids) // BLOCK)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the stored numbers."""
        return np.dtype("<i4" if self.is_short else "<u8")


def open_index(learned: LearnedPieces, key: str) -> CopyIndex:
    """Opens the index of a text, or builds it and puts it into the cache.

    Args:
        key: that of the encoded copy of the text.
    """
    path = cache.cache_folder() / f"{key}{cache.INDEX_SUFFIX}"
    stored = _load(path, learned)
    if stored is not None:
        return learned.indexed(stored)
    index = learned.indexed()
    raw = np.ascontiguousarray(index.order, learned.dtype).tobytes()
    header = json.dumps({"of": learned.digest(), "bytes": len(raw), "sum": zlib.crc32(raw)}).encode()
    with contextlib.suppress(StorageError):  # without the file it is built again
        if path.with_suffix(encoded_copy.SUFFIX).exists():
            durable.write(path, header + b"\n" + raw)
            cache.clear(down_to=cache.size_limit(), keep=key)
    return index


def _load(path: Path, learned: LearnedPieces) -> npt.NDArray[Any] | None:
    """Reads a stored index; returns None if it is missing, damaged, forged or of other pieces."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with regular_file.open_regular(path, follow=False) as file:
            header = json.loads(file.readline(LONGEST_HEADER))
            if header["of"] != learned.digest():
                return None
            if header["bytes"] != os.fstat(file.fileno()).st_size - file.tell():
                return None
            stored = np.frombuffer(file.read(), learned.dtype)
        if header["bytes"] == stored.nbytes and zlib.crc32(stored.data) == header["sum"] and learned.fits(stored):
            return stored
    return None
