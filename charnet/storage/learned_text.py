"""The text that the model of a checkpoint learned from: opened again, indexed, and named place by place."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charnet.config import DataSettings
from charnet.data import corpus, sources
from charnet.data.cache import open_copy
from charnet.data.copy_index import CopyIndex, LearnedPieces, open_index
from charnet.data.corpus import Corpus
from charnet.data.datasets import is_known
from charnet.data.encoded_copy import EncodedCopy, Ends, Ids
from charnet.data.split import LAST, Part, Split
from charnet.data.streams import may_not_end
from charnet.data.widen import map_ids
from charnet.errors import CharnetError, CorpusError, shortened
from charnet.storage.checkpoint import Checkpoint


class Place(NamedTuple):
    """A place in the learned text: its file, and the line there, or the document, all counted from 1."""

    file: str
    line: int
    is_document: bool = False

    def __str__(self) -> str:
        return f"{shortened(self.file)}, {'document' if self.is_document else 'line'} {self.line:,}"


@dataclass(frozen=True)
class LearnedText:
    """What a model learned from, with an index of its runs, and what was held out.

    Args:
        ids: the whole text in the model's own symbols, the held-out parts too.
        pieces: where the parts lie in it that were learned.
        held_out: the part that was not.
        files: the names of the files, in their order.
    """

    name: str
    index: CopyIndex
    pieces: LearnedPieces
    held_out: Part
    ends: Ends | None
    file_ends: Sequence[int]
    files: Sequence[str]
    line_ends: Sequence[int]

    @property
    def ids(self) -> Ids:
        """The whole text."""
        return self.pieces.ids

    def place(self, at: int) -> Place:
        """Returns the place of a symbol of the text."""
        file = int(np.searchsorted(self.file_ends, at, side="right")) if self.file_ends else 0
        name = self.files[file] if file < len(self.files) else self.name
        if self.ends is not None:
            return Place(name, int(np.searchsorted(self.ends, at, side="right")) + 1, is_document=True)
        begin = self.file_ends[file - 1] if file else 0
        before = np.asarray(self.ids[begin:at])
        return Place(name, 1 + int(np.isin(before, self.line_ends).sum()))


def open_learned(checkpoint: Checkpoint) -> LearnedText:
    """Opens the text that a checkpoint was trained on last, from its files or else from the cache, and its index.

    Raises:
        CorpusError: the text has changed, or is neither at its path nor in the cache.
    """
    config, vocab = checkpoint.config, checkpoint.vocab
    source, key, ids, split = _split(checkpoint, "to see what is copied from it")
    end = vocab.start_id() if source.ends is not None else None
    pieces = LearnedPieces(ids, split.train_pieces, vocab.symbols, end)
    line_end = next((symbol for symbol in (0x0A, 0x0D) if symbol in vocab.symbols), None)
    return LearnedText(
        name=checkpoint.corpus.name,
        index=open_index(pieces, key),
        pieces=pieces,
        held_out=split.val,
        ends=source.ends,
        file_ends=source.file_ends,
        files=_files(config.data, len(source.file_ends)),
        line_ends=[] if line_end is None else [vocab.symbols.index(line_end)],
    )


def held_out(checkpoint: Checkpoint) -> Part:
    """Returns the held-out part of the text that a checkpoint was trained on last; of a text of which nothing was held
    out, the text that it learned from.

    Raises:
        CorpusError: the text has changed, or is neither at its path nor in the cache.
    """
    *_, split = _split(checkpoint, "or name another text")
    return split.val if len(split.val) else split.train


def _split(checkpoint: Checkpoint, purpose: str) -> tuple[EncodedCopy | Corpus, str, Ids, Split]:
    """Returns the text of a checkpoint, the key of its encoded copy, and its ids and parts in the model's symbols."""
    config, vocab = checkpoint.config, checkpoint.vocab
    data = dataclasses.replace(config.data, val=config.data.val or LAST)  # earlier versions held out the end
    source, key = _read(checkpoint, purpose)
    ids = map_ids(source.ids, source.vocab, vocab)
    tunes = config.model.ngram > 0
    split = Split(ids, source.ends, data, config.training.seed, source.file_ends, vocab.symbols, tunes=tunes)
    return source, key, ids, split


def _read(checkpoint: Checkpoint, purpose: str) -> tuple[EncodedCopy | Corpus, str]:
    """Returns the text of a checkpoint and the key of its encoded copy."""
    info, data = checkpoint.corpus, checkpoint.config.data
    if checkpoint.is_imported:
        raise CorpusError(f"the text that the model learned from is not known: it was {shortened(info.name)}")
    found = open_copy(info.key, info.fingerprint, info.size_bytes)
    if found is not None:
        return found, info.key
    what = f"the text that the model learned from ({shortened(info.name)}, SHA-256 {info.fingerprint[:12]}...)"
    paths = shortened(", ".join(data.paths), 300) or "the bundled text"
    if any(map(_is_gone, data.paths)):
        raise CorpusError(f"{what} is neither at {paths} nor in the cache: put it back, {purpose}")
    read = corpus.read(data.paths, data)
    if (read.fingerprint, read.key) != (info.fingerprint, info.key):
        raise CorpusError(f"{what} has changed: {paths} has SHA-256 {read.fingerprint[:12]}...; put it back, {purpose}")
    return read, read.key


def _is_gone(path: str) -> bool:
    return may_not_end(path) or not (os.path.exists(path) or is_known(path))


def _files(data: DataSettings, count: int) -> list[str]:
    """Returns the names of several files, if they are still there."""
    if not count or any(map(_is_gone, data.paths)):
        return []
    try:
        found = sources.find(data.paths, data.glob, any_bytes=data.bytes).sources
    except CharnetError:
        return []
    return [source.name for source in found] if len(found) == count else []
