"""Files, folders and standard input become ids on disk.

    finding -> opening -> decoding -> shaping -> numbering -> storing

A text is read in chunks: unpacked, decoded, put into shape, counted, then numbered and kept in the cache folder as an
id of 8, 16 or 32 bits for every character. Training maps that copy, never the user's own file, so memory does not grow
with the text and nothing happens when the file changes under a running training. What was read before is found again
without reading it (`remembering`), several files are read by several processes (`working`).
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from charnet import durable
from charnet.config import DataSettings
from charnet.data import datasets, encoded_copy, fingerprints
from charnet.data.cache import TEMPORARY, cache_folder, clean, writable_cache, writing
from charnet.data.decoding import check_encoding
from charnet.data.encode import SourceInfo, SymbolCounts, id_type, symbols_of, write_ids
from charnet.data.encoded_copy import Copy, Ends, Ids, open_copy
from charnet.data.readers import Contents
from charnet.data.sources import Found, find, name_of, size_of
from charnet.data.vocab import RARE, RARE_BYTE, Vocabulary
from charnet.data.workers import count_all
from charnet.errors import CorpusError, plural

ENCODED_FORM = 2  # changes when the encoded copy of the same text would look different
FORM = ("encoding", "encoding_errors", "bytes", "newlines", "normalize", "lowercase", "lines", "document_separator",
        "min_count", "max_alphabet")  # fmt: skip

AS_IT_IS = DataSettings()

OnRead = Callable[[int, int], object]


@dataclass(frozen=True)
class Corpus:
    """An encoded text.

    `ids` is a read-only map of the encoded copy, one number a character; `ends` are the places behind each document,
    where lines are documents. `fingerprint` is the SHA-256 of the file, as `sha256sum` prints it; of several files that
    of their fingerprints one after the other. `key` names the encoded copy in the cache. `notes` are sentences about
    what was read.
    """

    name: str
    ids: Ids
    vocab: Vocabulary
    files: int
    size_bytes: int
    fingerprint: str
    key: str
    ends: Ends | None = None
    notes: tuple[str, ...] = ()


def read(paths: Sequence[str], data: DataSettings = AS_IT_IS, *, progress: OnRead = lambda *_: None) -> Corpus:
    """Reads texts and encodes them, or finds the encoded copy that was made before.

    Args:
        paths: files, folders, or "-" for standard input; none is the text that comes with charnet.
        data: how they are read; its own `paths` do not count.
        progress: told now and then how many bytes are read, and of how many; of 0 where nobody knows.

    Raises:
        CorpusError: a text is missing, empty or not in this encoding.
        ConfigError: a setting is wrong.
        StorageError: a text cannot be read, or the encoded copy not be written.
    """
    check_encoding(data.encoding)
    encoded_copy.limit()  # raises now, not after hours of reading
    found = find(paths, data.glob, any_bytes=data.bytes, fetch=lambda name: datasets.fetch(name, progress))
    clean(cache_folder())
    contents = fingerprints.look_up(found.sources)
    copy = open_copy(_key(contents, data)) if contents and any(each.size for each in contents) else None
    if copy is None:
        copy = _encoded(found, data, name_of(paths), progress)
    about = copy.about
    notes = (*found.notes(), *about["notes"])
    return Corpus(
        name_of(paths), copy.ids, copy.vocab, len(found.sources), about["size_bytes"], about["fingerprint"],
        about["key"], copy.ends, notes,
    )  # fmt: skip


def _key(contents: Sequence[Contents], data: DataSettings) -> str:
    """The name of an encoded copy: what the files hold, and all that decides what becomes of it."""
    form = {key: getattr(data, key) for key in FORM} | {"encoding": codecs.lookup(data.encoding).name}
    files = [(each.size, each.sha256) for each in contents]
    return hashlib.sha256(json.dumps([ENCODED_FORM, files, form]).encode()).hexdigest()


def fingerprint_of(contents: Sequence[Contents]) -> str:
    """One fingerprint for all files."""
    if len(contents) == 1:
        return contents[0].sha256
    return hashlib.sha256("".join(each.sha256 for each in contents).encode()).hexdigest()


def _encoded(found: Found, data: DataSettings, name: str, progress: OnRead) -> Copy:
    """Reads the texts and writes the encoded copy beside its place, then moves it there in one step.

    Where the cache cannot be written the copy lives as long as the process that maps it.
    """
    with writing(), contextlib.ExitStack() as stack:
        folder = writable_cache()
        files: dict[Path, IO[bytes]] = {}

        def new_file() -> Path:
            file, path = stack.enter_context(durable.writing_aside(folder, TEMPORARY))
            files[path] = file
            return path

        sizes = [size_of(source) for source in found.sources]
        total = sum(sizes) if all(sizes) else 0
        tallies, kept = count_all(
            found.sources, _separators(found, data), data, new_file, lambda read: progress(read, total)
        )
        texts = [text for tally in tallies for text in tally.texts]
        length = sum(tally.length for tally in tallies)
        if length == 0:
            raise CorpusError(f"{found}: the text is empty")
        vocab, folded = _alphabet(tallies, data, is_utf8=data.bytes and all(text.is_utf8 for text in texts))
        aside = write_ids(vocab, tallies, kept, new_file)
        file = files[aside]
        contents = [text.contents for text in texts]
        key = _key(contents, data)
        about = {
            "key": key,
            "name": name,
            "size_bytes": sum(each.size for each in contents),
            "fingerprint": fingerprint_of(contents),
            "notes": [*_notes(texts, data), *folded],
        }
        encoded_copy.write_footer(file, length, vocab, by_lines=data.lines, about=about)
        if folder == cache_folder():
            encoded_copy.keep(file, aside, key)
            fingerprints.remember(found.sources, contents)
        return encoded_copy.map_copy(file)


def _separators(found: Found, data: DataSettings) -> list[str]:
    """What stands behind each source."""
    return [data.document_separator] * (len(found.sources) - 1) + [""]


def _alphabet(tallies: Sequence[SymbolCounts], data: DataSettings, *, is_utf8: bool) -> tuple[Vocabulary, list[str]]:
    """The alphabet of all tallies, and what there is to say about it; what is too rare is folded into one symbol."""
    whole = SymbolCounts()
    for tally in tallies:
        whole.add_counts(tally.counts)
    counts = whole.counts
    present = np.flatnonzero(counts)
    kept = present[counts[present] >= data.min_count]
    if data.max_alphabet and len(kept) > data.max_alphabet:
        kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")][: data.max_alphabet])
    if data.lines and 0x0A not in kept:  # where documents end
        kept = np.union1d(kept, [0x0A])
    rare = [] if len(kept) == len(present) else [RARE_BYTE if data.bytes else RARE]
    lost = int(counts.sum() - counts[kept].sum())
    vocab = Vocabulary((*kept.tolist(), *rare), data.bytes, is_utf8)
    if not rare:
        return vocab, []
    share = f"{lost / int(counts.sum()):.2g} of the text"
    return vocab, [f"{plural(len(present) - len(kept), 'rare character')} folded into one, {share}"]


def _notes(texts: Sequence[SourceInfo], data: DataSettings) -> list[str]:
    notes = []
    if wrong := sum(text.wrong for text in texts):
        done = {"replace": "replaced", "ignore": "left out"}[data.encoding_errors]
        notes.append(f"{plural(wrong, 'place')} not in {data.encoding} {done}")
    others = {text.encoding for text in texts} - {data.encoding, ""}
    if others:
        notes.append(f"read as {' and '.join(sorted(others))}, by the mark at the start")
    return notes


def encode_for(vocab: Vocabulary, paths: Sequence[str], data: DataSettings = AS_IT_IS) -> tuple[Ids, dict[int, int]]:
    """Ids of a text in the alphabet of a model that exists already, to be judged by it. One process reads them all: to
    judge takes far longer.

    Returns:
        The ids of all known characters in their order, and how often each unknown symbol came.

    Raises:
        CorpusError: a text is missing, empty or not in this encoding.
    """
    check_encoding(data.encoding)
    data = dataclasses.replace(data, bytes=vocab.of_bytes)
    found = find(paths, data.glob, any_bytes=data.bytes, fetch=datasets.fetch)
    dtype, unknown, total = id_type(len(vocab)), SymbolCounts(), 0
    with writing(), durable.writing_aside(writable_cache(), TEMPORARY) as (out, _):
        for symbols in symbols_of(found.sources, _separators(found, data), data, [], lambda _: None):
            ids = vocab.lookup(symbols)
            if len(lost := symbols[ids < 0]):
                unknown.add(lost)
                ids = ids[ids >= 0]
            out.write(ids.astype(dtype).data)
            total += len(ids)
        if total + unknown.length == 0:
            raise CorpusError(f"{found}: the text is empty")
        out.flush()
        # An empty file cannot be mapped.
        mapped: Ids = np.memmap(out.name, dtype=dtype, mode="r") if total else np.zeros(0, dtype)
    return mapped, {symbol: int(unknown.counts[symbol]) for symbol in np.flatnonzero(unknown.counts).tolist()}
