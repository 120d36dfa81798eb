"""Reads files, folders and standard input, and encodes them as ids on disk.

    sources -> readers -> decoding -> fields -> normalize -> segment -> encode -> encoded_copy, cache

A text is read in chunks: unpacked, decoded, normalized, counted, then encoded and stored in the cache folder, with an
id of 8, 16 or 32 bits for every character. Training maps that copy, never the user's own file. So memory does not grow
with the text, and a file that changes during a training does no harm. A text that was encoded before is not encoded
again (`fingerprints`). Several files are read by several processes (`workers`).
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from charnet import durable
from charnet.config import DOCUMENT_END, DataSettings
from charnet.data import cache, datasets, encoded_copy, fields, fingerprints, refusals, tables
from charnet.data.cache import TEMPORARY, cache_folder, writable_cache, writing
from charnet.data.decoding import check_encoding
from charnet.data.encode import SymbolCounts, symbols_of, write_ids
from charnet.data.encoded_copy import EncodedCopy, Ends, Ids
from charnet.data.readers import FileDigest
from charnet.data.refusals import SourceInfo
from charnet.data.source_notes import describe_reading, of_tables
from charnet.data.sources import Selection, find, name_of, size_of
from charnet.data.vocab import RARE, RARE_BYTE, Vocabulary, id_dtype
from charnet.data.workers import count_all
from charnet.errors import ConfigError, CorpusError, did_you_mean, plural, quoted

ENCODING_VERSION = 2  # changes when the encoded copy of the same text changes
CHECKS_VERSION = 4  # changes when more is checked or noted: the text is read again, and the same copy comes of it
CASING_VERSION = 2  # changes when the encoded copy of the same text in lower case changes
ROWS_VERSION = 2  # changes when other rows of a table are left out
TWO_CHARACTERS = "line ends are two characters each (\\r\\n): charnet train --newlines lf makes them one"
KEY_SETTINGS = (
    *("encoding", "encoding_errors", "bytes", "newlines", "normalize", "lowercase"),
    *("lines", "document_separator", "min_count", "max_alphabet"),
)
LATER_KEY_SETTINGS = (
    "documents",
    "field",
    "strip",
)  # in a key only where they are used

DEFAULT = DataSettings()

OnRead = Callable[[int, int], object]  # called with the bytes that are read and their total, 0 if that is unknown


@dataclass(frozen=True)
class Corpus:
    """An encoded text.

    `ids` is a read-only map of the encoded copy, one id per character; `ends` are the indices behind the documents, if
    there are any, and `file_ends` those behind several files. `fingerprint` is the SHA-256 of the file, as `sha256sum`
    prints it; for several files it is the SHA-256 of their fingerprints, joined. `key` names the encoded copy in the
    cache. `notes` are sentences for the user about the text.
    """

    name: str
    ids: Ids
    vocab: Vocabulary
    files: int
    size_bytes: int
    fingerprint: str
    key: str
    ends: Ends | None = None
    file_ends: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def read(paths: Sequence[str], data: DataSettings = DEFAULT, *, progress: OnRead = lambda *_: None) -> Corpus:
    """Reads texts and encodes them, or opens the encoded copy that was made before.

    Args:
        paths: files, folders, names of known texts, or "-" for standard input; the bundled text if there are none.
        data: how they are read; its own `paths` do not matter.
        progress: called now and then with the bytes that are read, and with their total (0 if it is unknown).

    Raises:
        CorpusError: a text is missing, empty or not in this encoding.
        ConfigError: a setting is not valid.
        StorageError: a text cannot be read, or its encoded copy cannot be written.
    """
    check_encoding(data.encoding)
    cache.size_limit()  # raises now, not after hours of reading
    selection = find(paths, data.glob, any_bytes=data.bytes, fetch=lambda name: datasets.fetch(name, progress))
    cache.clean(cache_folder())
    digests = fingerprints.load(selection.sources)
    copy, size = None, sum(digest.size for digest in digests or [])
    if digests and size:
        copy = cache.open_copy(_key(digests, selection, data), fingerprint_of(digests), size)
    if copy is None or copy.footer.checks != CHECKS_VERSION or not _is_noted(copy, selection, data):
        copy = _encode(selection, data, name_of(paths), progress)
    if data.documents and copy.ends is not None and len(copy.ends) < 2:
        near = did_you_mean(data.documents, ("blank-line", "line", "file"))
        why = "--documents file needs two files or more" if data.documents == "file" else ""
        why = why or f"{quoted(data.documents)} separates nothing in it{near}"
        raise CorpusError(f"{selection}: only one document: {why}")
    footer = copy.footer
    return Corpus(
        name_of(paths), copy.ids, copy.vocab, len(selection.sources), footer.size_bytes, footer.fingerprint, footer.key,
        copy.ends, copy.file_ends, (*selection.notes(), *footer.notes),
    )  # fmt: skip


def _is_noted(copy: EncodedCopy, selection: Selection, data: DataSettings) -> bool:
    """Returns whether the notes of a copy are those of these files: it may be of the same text under another name."""
    if copy.footer.paths == fingerprints.of_paths(selection.sources):
        return True
    return not copy.footer.notes and (bool(data.field) or not tables.are_named(selection.sources))


def _key(digests: Sequence[FileDigest], selection: Selection, data: DataSettings) -> str:
    """Returns the name of an encoded copy: a hash of the files and of all settings that change the copy."""
    settings = {key: getattr(data, key) for key in KEY_SETTINGS} | {"encoding": codecs.lookup(data.encoding).name}
    settings |= {key: value for key in LATER_KEY_SETTINGS if (value := getattr(data, key))}
    if data.lowercase:
        settings["casing"] = CASING_VERSION
    if data.field:
        settings["rows"] = ROWS_VERSION
        settings["formats"] = [fields.suffix_of(source.name) for source in selection.sources]
    files = [(digest.size, digest.sha256) for digest in digests]
    return hashlib.sha256(json.dumps([ENCODING_VERSION, files, settings]).encode()).hexdigest()


def fingerprint_of(digests: Sequence[FileDigest]) -> str:
    """Returns one fingerprint for all files."""
    if len(digests) == 1:
        return digests[0].sha256
    return hashlib.sha256("".join(digest.sha256 for digest in digests).encode()).hexdigest()


def _encode(selection: Selection, data: DataSettings, name: str, progress: OnRead) -> EncodedCopy:
    """Reads the texts, writes the encoded copy aside, then moves it into the cache in one step.

    If the cache is not writable, the copy is a temporary file that lasts as long as this process maps it.
    """
    folder = writable_cache()
    with writing(folder), contextlib.ExitStack() as stack:
        files: dict[Path, IO[bytes]] = {}

        def new_file() -> Path:
            file, path = stack.enter_context(durable.writing_aside(folder, TEMPORARY))
            files[path] = file
            return path

        sizes = [size_of(source) for source in selection.sources]
        total = sum(sizes) if all(sizes) else 0
        parts, paths = count_all(
            selection.sources, _separators(selection, data), data, new_file, lambda read: progress(read, total)
        )
        infos = [info for part in parts for info in part.sources]
        refusals.check(infos, data.encoding)
        length = sum(part.length for part in parts)
        if length == 0:
            raise CorpusError(f"{selection}: the text is empty")
        vocab, vocab_notes = _alphabet(parts, data, is_utf8=data.bytes and all(info.is_utf8 for info in infos))
        aside = write_ids(vocab, parts, paths, new_file)
        file = files[aside]
        digests = [info.digest for info in infos]
        key = _key(digests, selection, data)
        notes = [*describe_reading(infos, data, "the model learns"), *of_tables(infos)]
        metadata = {
            "key": key,
            "name": name,
            "size_bytes": sum(digest.size for digest in digests),
            "fingerprint": fingerprint_of(digests),
            "notes": [*notes, *vocab_notes, *cache.note_unwritable(folder)],
            "checks": CHECKS_VERSION,
            "paths": fingerprints.of_paths(selection.sources),
        }
        if len(infos) > 1:
            metadata["file_ends"] = list(itertools.accumulate(info.length for info in infos))
        encoded_copy.write_footer(file, length, vocab, by_documents=bool(data.document_end), metadata=metadata)
        if folder == cache_folder():
            cache.add_copy(file, aside, key)
            fingerprints.save(selection.sources, digests)
        return encoded_copy.map_new(file)


def _separators(selection: Selection, data: DataSettings) -> list[str]:
    """Returns the text behind each source."""
    return [data.document_separator] * (len(selection.sources) - 1) + [""]


def _alphabet(parts: Sequence[SymbolCounts], data: DataSettings, *, is_utf8: bool) -> tuple[Vocabulary, list[str]]:
    """Returns the alphabet of all parts, with rare characters folded into one symbol, and notes on it."""
    whole = SymbolCounts()
    for part in parts:
        whole.add_counts(part.counts)
    counts = whole.counts
    present = np.flatnonzero(counts)
    symbols = present[counts[present] >= data.min_count]
    if not len(symbols):
        raise ConfigError(f"data.min_count: no character occurs {data.min_count:,} times; choose a smaller number")
    if data.max_alphabet and len(symbols) > data.max_alphabet:
        symbols = np.sort(symbols[np.argsort(-counts[symbols], kind="stable")][: data.max_alphabet])
    if data.document_end:
        symbols = np.union1d(symbols, [ord(data.document_end)])
    rare = [] if len(symbols) == len(present) else [RARE_BYTE if data.bytes else RARE]
    folded = int(counts.sum() - counts[symbols].sum())
    end = ord(DOCUMENT_END) if data.document_end == DOCUMENT_END else None
    vocab = Vocabulary((*symbols.tolist(), *rare), data.bytes, is_utf8, end)
    notes = [TWO_CHARACTERS] if not data.bytes and ord("\r") in symbols else []
    if rare:
        share = f"{folded / int(counts.sum()):.2g} of the text"
        notes.append(f"{plural(len(present) - len(symbols), 'rare character')} folded into one, {share}")
    return vocab, notes


def encode_for(
    vocab: Vocabulary,
    paths: Sequence[str],
    data: DataSettings = DEFAULT,
    *,
    places: list[tuple[int, int]] | None = None,
) -> tuple[Ids, dict[int, int], list[str]]:
    """Encodes a text in the alphabet of an existing model, which is to be evaluated on it.

    One process reads all files, because the evaluation takes far longer.

    Args:
        places: takes for each unknown symbol how many known ones are before it, and the symbol.

    Returns:
        The ids of the known characters in their order, the count of each unknown symbol, and notes for the user.

    Raises:
        CorpusError: a text is missing, empty or not in this encoding.
    """
    check_encoding(data.encoding)
    data = dataclasses.replace(data, bytes=vocab.of_bytes)
    selection = find(paths, data.glob, any_bytes=data.bytes, fetch=datasets.fetch)
    dtype, unknown, total, infos = id_dtype(len(vocab)), SymbolCounts(), 0, list[SourceInfo]()
    folder = writable_cache()
    with writing(folder), durable.writing_aside(folder, TEMPORARY) as (out, _):
        for symbols in symbols_of(selection.sources, _separators(selection, data), data, infos, lambda _: None):
            ids = vocab.lookup(symbols)
            if len(missing := symbols[ids < 0]):
                unknown.add(missing)
                if places is not None:
                    known_before = total + np.cumsum(ids >= 0)[ids < 0]
                    places += zip(known_before.tolist(), missing.tolist(), strict=True)
                ids = ids[ids >= 0]
            out.write(ids.astype(dtype).data)
            total += len(ids)
        refusals.check(infos, data.encoding)
        if total + unknown.length == 0:
            raise CorpusError(f"{selection}: the text is empty")
        out.flush()
        # An empty file cannot be mapped.
        mapped: Ids = np.memmap(out.name, dtype=dtype, mode="r") if total else np.zeros(0, dtype)
    counts = {symbol: int(unknown.counts[symbol]) for symbol in np.flatnonzero(unknown.counts).tolist()}
    return mapped, counts, [*selection.notes(), *describe_reading(infos, data)]
