"""Reads a text line by line, or document by document, in the alphabet of a model.

Memory does not grow with the text: lines come in blocks. The number of lines in a block is N.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.config import DataSettings
from charnet.data import datasets, refusals
from charnet.data.decoding import check_encoding
from charnet.data.encode import Symbols, symbols_of
from charnet.data.encoded_copy import Ids
from charnet.data.refusals import SourceInfo
from charnet.data.segment import LONGEST_DOCUMENT
from charnet.data.source_notes import describe_reading
from charnet.data.sources import find
from charnet.data.vocab import Vocabulary, id_dtype
from charnet.errors import CorpusError


class Lines(NamedTuple):
    """Some lines: their ids one behind the other, the index behind each (N), and how many unknown symbols it has (N).

    An unknown symbol has no id.
    """

    ids: Ids
    ends: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.int64]


def texts_for(
    vocab: Vocabulary, paths: Sequence[str], data: DataSettings, notes: list[str]
) -> Iterator[tuple[str, Iterator[Symbols]]]:
    """Yields the name of each text, and its symbols in arrays: they are to be read before the next text.

    Args:
        notes: gets sentences for the user when all were read.

    Raises:
        CorpusError: a text is missing, or all are empty; when all were read: one is not in this encoding.
    """
    check_encoding(data.encoding)
    data, infos = dataclasses.replace(data, bytes=vocab.of_bytes), list[SourceInfo]()
    selection = find(paths, data.glob, any_bytes=data.bytes, fetch=datasets.fetch)
    for source in selection.sources:
        yield source.name, symbols_of([source], [""], data, infos, lambda _: None)
    refusals.check(infos, data.encoding)
    if not any(info.length for info in infos):
        raise CorpusError(f"{selection}: the text is empty")
    notes += [*selection.notes(), *describe_reading(infos, data)]


def blocks_of_lines(symbols: Iterable[Symbols], end: int, vocab: Vocabulary) -> Iterator[Lines]:
    """Cuts symbols, which come in arrays, into blocks of whole lines. The last line need not have an end.

    Args:
        end: the symbol that ends a line.

    Raises:
        CorpusError: a line is too long to be held in memory.
    """
    rest, length = list[Symbols](), 0
    for some in symbols:
        ends = np.flatnonzero(some == end)
        if len(ends):
            yield _lines([*rest, some[: ends[-1] + 1]], end, vocab)
            rest, length, some = [], 0, some[ends[-1] + 1 :]
        rest.append(some)
        length += len(some)
        if length > LONGEST_DOCUMENT:
            raise CorpusError(f"a line has more than {LONGEST_DOCUMENT:,} characters: evaluate it without --per-line")
    if length:
        yield _lines([*rest, np.array([end], np.uint32)], end, vocab)


def _lines(parts: Sequence[Symbols], end: int, vocab: Vocabulary) -> Lines:
    symbols = np.concatenate(parts)
    ids, is_end = vocab.lookup(symbols), symbols == end
    is_unknown = ids < 0
    behind = np.flatnonzero(is_end) + 1
    unknown_before = np.cumsum(is_unknown & ~is_end, dtype=np.int64)
    unknown = np.append(np.int64(0), unknown_before[behind - 1])
    ends = np.cumsum(~is_unknown, dtype=np.int64)[behind - 1]
    return Lines(ids[~is_unknown].astype(id_dtype(len(vocab))), ends, unknown[1:] - unknown[:-1])
