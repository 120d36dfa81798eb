"""Files, folders and standard input become ids on disk.

A text is read twice, in chunks: once for its alphabet and its fingerprint, once to write every character as an id of
8, 16 or 32 bits to an encoded copy in the cache folder. Training maps that copy, never the user's own file, so memory
does not grow with the text and nothing happens when the file changes under a running training.
"""

from __future__ import annotations

import codecs
import contextlib
import difflib
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from charnet import durable
from charnet.errors import ConfigError, CorpusError, StorageError, shortened
from charnet.vocab import LAST_CODE_POINT, Vocabulary, code_points

Ids = npt.NDArray[np.unsignedinteger[Any]]

CHUNK_BYTES = 1 << 22
ENCODED_FORM = 1  # changes when the encoded copy of the same text would look different
DIGEST_BYTES = 32
STANDARD_INPUT = "-"
TEMPORARY = "charnet-"  # how names of temporary files begin
LEFT_BEHIND = f"{TEMPORARY}*{durable.PART}"


@dataclass(frozen=True)
class Source:
    """A file to read. `shown` is its name for people; `spool` keeps a temporary file alive."""

    shown: str
    path: Path
    spool: IO[bytes] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Corpus:
    """An encoded text.

    `ids` is a read-only map of the encoded copy, one number a character. `fingerprint` is the SHA-256 of the bytes of
    all files in their order (for one file, what `sha256sum` prints). `key` names the encoded copy in the cache.
    """

    name: str
    ids: Ids
    vocab: Vocabulary
    files: int
    size_bytes: int
    fingerprint: str
    key: str


def bundled_text() -> Path:
    """The text that comes with charnet: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).parent
    for folder in (package / "corpora", package.parent / "corpora"):
        if (folder / "ferry-book.txt").is_file():
            return folder / "ferry-book.txt"
    raise CorpusError("the text that comes with charnet is missing from this installation: name a file to train on")


def cache_folder() -> Path:
    """Where encoded copies are kept: `CHARNET_CACHE`, else `charnet` in the user's cache folder."""
    named = os.environ.get("CHARNET_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or os.path.expanduser("~/.cache")) / "charnet"  # noqa: PTH111 - never raises, as Path.home may


def find(paths: Sequence[str], glob: str = "*.txt") -> list[Source]:
    """The files that paths stand for, in the order given, those of a folder sorted by name.

    Raises:
        CorpusError: a path is missing, or a folder holds no file that matches.
    """
    sources: list[Source] = []
    for given in paths:
        path = Path(given)
        is_folder, is_file, exists = os.path.isdir(given), os.path.isfile(given), os.path.exists(given)
        if given == STANDARD_INPUT:
            sources.append(_spooled("standard input", sys.stdin.buffer))
        elif is_folder:
            sources.extend(_in_folder(path, glob))
        elif is_file:
            sources.append(Source(given, path))
        elif exists:  # a pipe, as in `charnet train <(zcat book.gz)`, cannot be read twice
            with _reading(given), path.open("rb") as pipe:
                sources.append(_spooled(given, pipe))
        elif not given:
            raise CorpusError("expected the name of a file or folder, found an empty one")
        else:
            raise CorpusError(f"{shortened(given)}: there is no such file or folder{_files_like(path)}")
    return sources


def _in_folder(folder: Path, glob: str) -> list[Source]:
    try:
        found = sorted(path for path in folder.glob(glob) if path.is_file())
    except (ValueError, NotImplementedError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f'data.glob: "{shortened(glob)}" is not a pattern for files in {folder}: {why}') from None
    if not found:
        others = sorted({path.suffix for path in folder.iterdir() if path.is_file() and path.suffix})
        hint = f"; it holds {', '.join(others[:5])} files: name them with --glob '*{others[0]}'" if others else ""
        raise CorpusError(f'{folder}: no file here matches "{glob}"{hint}')
    return [Source(str(path), path) for path in found]


def _files_like(path: Path) -> str:
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return f"; the folder {shortened(str(path.parent))} does not exist either"
    near = difflib.get_close_matches(path.name, beside, n=3)
    return f" (did you mean {' or '.join(str(path.parent / name) for name in near)}?)" if near else ""


def _spooled(shown: str, stream: IO[bytes]) -> Source:
    with _writing():
        spool = _temporary()
    while True:
        with _reading(shown):
            chunk = stream.read(CHUNK_BYTES)
        with _writing():
            spool.write(chunk)
            if not chunk:
                spool.flush()
                return Source(shown, Path(spool.name), spool)


def _temporary() -> IO[bytes]:
    """A file that goes when it is closed, or when the next charnet finds that its process was killed."""
    folder = _writable_cache()
    while True:
        file = tempfile.NamedTemporaryFile(prefix=TEMPORARY, suffix=durable.PART, dir=folder)  # noqa: SIM115
        if durable.kept(file.fileno(), Path(file.name)):
            return cast(IO[bytes], file)
        with contextlib.suppress(FileNotFoundError):
            file.close()


def _writable_cache() -> Path:
    """The cache folder, or the system's folder for temporary files where that cannot be written."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        durable.make_folders(folder)
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        folder = Path(tempfile.gettempdir())
    durable.clean(folder, LEFT_BEHIND)
    return folder


def check_encoding(encoding: str) -> None:
    """Raises ConfigError unless Python knows the name as an encoding of text."""
    try:
        known = codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)().decode(b"", final=True)
    except (LookupError, ValueError, UnicodeError, TypeError):
        raise ConfigError(f'data.encoding: "{encoding}" is no encoding of text; try utf-8, cp1252 or utf-16') from None
    if not getattr(known, "_is_text_encoding", True) or known.name in ("idna", "punycode"):
        raise ConfigError(f'data.encoding: "{encoding}" does not encode text; try utf-8, cp1252 or utf-16')


def read(paths: Sequence[str], *, encoding: str = "utf-8", as_bytes: bool = False, glob: str = "*.txt") -> Corpus:
    """Reads texts and encodes them, or finds the encoded copy that was made before.

    Raises:
        CorpusError: a text is missing, empty or not in this encoding.
        ConfigError: there is no such encoding.
        StorageError: the encoded copy cannot be written.
    """
    check_encoding(encoding)
    sources = find(paths, glob) if paths else [Source("the bundled text", bundled_text())]
    scan = _scan(sources, None if as_bytes else encoding)
    if scan.characters == 0:
        raise CorpusError(f"{_shown(sources)}: the text is empty")
    vocab = Vocabulary(tuple(np.flatnonzero(scan.present).tolist()), of_bytes=as_bytes)
    form = [ENCODED_FORM, scan.sizes, "bytes" if as_bytes else codecs.lookup(encoding).name]
    key = hashlib.sha256(json.dumps([scan.fingerprint, *form]).encode()).hexdigest()
    durable.clean(cache_folder(), LEFT_BEHIND)
    ids = cached(key, scan.characters, len(vocab))
    if ids is None:
        ids = _encode(sources, None if as_bytes else encoding, vocab, key, scan.fingerprint)
    name = bundled_text().stem if not paths else name_of(paths)
    return Corpus(name, ids, vocab, len(sources), sum(scan.sizes), scan.fingerprint, key)


def name_of(paths: Sequence[str]) -> str:
    """A name for a run on these texts, safe as the name of a folder.

    >>> name_of(["books/War & Peace.txt", "more.txt"])
    'War-Peace'
    """
    path = Path(paths[0])
    if path.parent.name == "fd":  # as in `charnet train <(zcat book.gz)`
        return "pipe"
    stem = "stdin" if paths[0] == STANDARD_INPUT else (path.resolve().name if path.is_dir() else path.stem)
    return re.sub(r"[^\w.]+", "-", stem).strip("-.")[:60] or "run"


def _shown(sources: Sequence[Source]) -> str:
    return sources[0].shown if len(sources) == 1 else f"{len(sources)} files"


@dataclass(frozen=True)
class _Scan:
    present: npt.NDArray[np.bool_]
    characters: int
    sizes: list[int]
    fingerprint: str


def _scan(sources: Sequence[Source], encoding: str | None) -> _Scan:
    """The first reading: which symbols there are, how many characters, and the fingerprint of the bytes."""
    present = np.zeros(LAST_CODE_POINT + 1, dtype=np.bool_)
    digest, characters, sizes = hashlib.sha256(), 0, []
    for source in sources:
        before = 0
        for raw, codes in _chunks(source, encoding):
            digest.update(raw)
            before += len(raw)
            present[codes] = True
            characters += len(codes)
        sizes.append(before)
    return _Scan(present, characters, sizes, digest.hexdigest())


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = cache_folder()
        with contextlib.suppress(OSError):
            folder = _writable_cache()
        raise StorageError(
            f"{folder}: the text cannot be kept here: {error.strerror or error}; "
            "free some space or name another folder in CHARNET_CACHE"
        ) from None


@contextlib.contextmanager
def _reading(shown: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{shown}: cannot be read: {error.strerror}") from None


def _chunks(source: Source, encoding: str | None) -> Iterator[tuple[bytes, npt.NDArray[np.unsignedinteger]]]:
    """The bytes of a file and the symbols that they complete, chunk by chunk. Without an encoding, bytes are symbols.

    A byte order mark at the start is dropped; line ends stay as they are.
    """
    decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
    fed, at_start = 0, True
    with _reading(source.shown), source.path.open("rb") as file:
        while True:
            raw = file.read(CHUNK_BYTES)
            if decoder is None:
                codes: npt.NDArray[np.unsignedinteger] = np.frombuffer(raw, dtype=np.uint8)
            else:
                fed += len(raw)
                try:
                    text = decoder.decode(raw, final=not raw)
                except UnicodeDecodeError as error:
                    offset = fed - len(error.object) + error.start
                    raise _wrong_bytes(source, str(encoding), offset, error) from None
                except UnicodeError as error:  # utf-16 without a mark at its start says so in its own way
                    raise CorpusError(f"{source.shown}: not {encoding}: {error}") from None
                if at_start and text:
                    text, at_start = text.removeprefix("\ufeff"), False
                codes = code_points(text)
                if np.any((codes >= 0xD800) & (codes <= 0xDFFF)):
                    raise CorpusError(f"{source.shown}: in {encoding} it holds halves of characters (surrogates)")
            yield raw, codes
            if not raw:
                return


def _wrong_bytes(source: Source, encoding: str, offset: int, error: UnicodeDecodeError) -> CorpusError:
    """The message about bytes that are not in the encoding named: where they are, what they are, what to do."""
    line, column = _line_and_column(source, encoding, offset)
    found = error.object[error.start : error.end].hex(" ")
    return CorpusError(
        f"{source.shown}, line {line}, column {column}, byte offset {offset}: expected {encoding}, found the bytes "
        f"{found}; {_advice(source, encoding)}"
    )


def _line_and_column(source: Source, encoding: str, offset: int) -> tuple[int, int]:
    """Where the character at a byte offset stands, both counted from 1; all bytes before it are valid."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line, column, left = 1, 1, offset
    with source.path.open("rb") as file:
        while left > 0 and (raw := file.read(min(left, CHUNK_BYTES))):
            left -= len(raw)
            text = decoder.decode(raw)
            if left == offset - len(raw):
                text = text.removeprefix("\ufeff")
            line += text.count("\n")
            column = len(text) - text.rfind("\n") if "\n" in text else column + len(text)
    return line, column


def _advice(source: Source, encoding: str) -> str:
    with source.path.open("rb") as file:
        start = file.read(1 << 16)
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    for mark, name in marks.items():
        if start.startswith(mark) and encoding != name:
            return f"the file begins like {name}: try --encoding {name}"
    if b"\0" in start:
        return "this does not look like text: training with --bytes takes any file as it is"
    if codecs.lookup(encoding).name == "cp1252":
        return "training with --bytes takes any file as it is"
    return "if it comes from Windows try --encoding cp1252, or train with --bytes, which takes any file as it is"


def id_type(symbols: int) -> npt.DTypeLike:
    """The narrowest type that holds the ids of an alphabet of this size."""
    return np.uint8 if symbols <= 1 << 8 else np.uint16 if symbols <= 1 << 16 else np.uint32


def cached(key: str, characters: int, symbols: int) -> Ids | None:
    """The encoded copy of that key, mapped, or None if there is no whole one in the cache."""
    path, dtype = cache_folder() / f"{key}.ids", np.dtype(id_type(symbols))
    with contextlib.suppress(OSError), path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == characters * dtype.itemsize + DIGEST_BYTES:
            ids: Ids = np.memmap(file, dtype=dtype, mode="r", shape=(characters,))
            file.seek(-DIGEST_BYTES, os.SEEK_END)
            if file.read() == _digest(key, ids):
                return ids
    return None


def _digest(key: str, ids: Ids) -> bytes:
    """What the encoded copy ends with: SHA-256 of its key and its ids."""
    digest = hashlib.sha256(key.encode())
    digest.update(ids.data)
    return digest.digest()


def _encode(sources: Sequence[Source], encoding: str | None, vocab: Vocabulary, key: str, fingerprint: str) -> Ids:
    """The second reading: writes the encoded copy beside its place, then moves it there in one step.

    Where the cache cannot be written the copy lives as long as the process that maps it.
    """
    with _writing():
        folder = _writable_cache()
        with durable.writing_aside(folder, TEMPORARY) as (out, part):
            ids, _, read_again = _write_ids(sources, encoding, vocab, out)
            if read_again != fingerprint:
                raise CorpusError(f"{_shown(sources)}: the text changed while it was read; start again")
            if folder == cache_folder():
                out.write(_digest(key, ids))
                out.flush()
                os.fsync(out.fileno())
                part.replace(folder / f"{key}.ids")
                durable.sync_folder(folder)  # the only copy of what came through standard input
    return ids


def _write_ids(
    sources: Sequence[Source], encoding: str | None, vocab: Vocabulary, out: IO[bytes]
) -> tuple[Ids, dict[int, int], str]:
    """Writes the ids of known characters to a file and maps it.

    Returns:
        The ids, how often each unknown symbol came, and the fingerprint of the bytes that were read.
    """
    digest = hashlib.sha256()
    dtype = np.dtype(id_type(len(vocab)))
    unknown: dict[int, int] = {}
    total = 0
    for source in sources:
        for raw, codes in _chunks(source, encoding):
            digest.update(raw)
            ids = vocab.lookup(codes)
            strange = codes[ids < 0]
            if len(strange):
                for symbol, count in zip(*np.unique(strange, return_counts=True), strict=True):
                    unknown[int(symbol)] = unknown.get(int(symbol), 0) + int(count)
                ids = ids[ids >= 0]
            out.write(ids.astype(dtype).tobytes())
            total += len(ids)
    out.flush()
    # An empty file cannot be mapped.
    mapped: Ids = np.memmap(out.name, dtype=dtype, mode="r") if total else np.zeros(0, dtype)
    return mapped, unknown, digest.hexdigest()


def encode_for(
    vocab: Vocabulary, paths: Sequence[str], *, encoding: str = "utf-8", glob: str = "*.txt"
) -> tuple[Ids, dict[int, int]]:
    """Ids of a text in the alphabet of a model that exists already, to be judged by it.

    Returns:
        The ids of all known characters in their order, and how often each unknown symbol came.

    Raises:
        CorpusError: a text is missing, empty or not in this encoding.
    """
    check_encoding(encoding)
    sources = find(paths, glob)
    with _writing(), _temporary() as out:
        ids, unknown, _ = _write_ids(sources, None if vocab.of_bytes else encoding, vocab, out)
    if len(ids) + sum(unknown.values()) == 0:
        raise CorpusError(f"{_shown(sources)}: the text is empty")
    return ids, unknown
