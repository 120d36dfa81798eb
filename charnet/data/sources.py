"""Which files are meant: files, folders, standard input; in a stable order, and with a word about what was left out."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from charnet.data import datasets
from charnet.errors import ConfigError, CorpusError, StorageError, plural, shortened

STANDARD_INPUT = "-"
LOOKED_AT = 1 << 13  # bytes at the start of a file that tell whether it is text
PACKED = {".gz": b"\x1f\x8b", ".xz": b"\xfd7zXZ\0", ".zst": b"\x28\xb5\x2f\xfd"}  # how such files begin
MARKS_OF_WIDE_TEXT = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


@dataclass(frozen=True)
class Source:
    """A file to read. `shown` is its name for people. A stream, as a pipe, can be read only once."""

    shown: str
    path: Path
    is_stream: bool = False


@dataclass(frozen=True)
class Found:
    """The files that were meant, and how many of the folders' files were left out, by the reason."""

    sources: list[Source]
    skipped: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.sources[0].shown if len(self.sources) == 1 else f"{len(self.sources):,} files"

    def notes(self) -> list[str]:
        """What there is to say about the choice, where a folder was searched."""
        left_out = ", ".join(f"{count:,} {why}" for why, count in sorted(self.skipped.items()))
        reading = [f"reading {plural(len(self.sources), 'file')}; left out: {left_out}"] if left_out else []
        return self.remarks + reading


def bundled_text() -> Path:
    """The text that comes with charnet: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "corpora", package.parent / "corpora"):
        if (folder / "ferry-book.txt").is_file():
            return folder / "ferry-book.txt"
    raise CorpusError("the text that comes with charnet is missing from this installation: name a file to train on")


def find(
    paths: Sequence[str],
    glob: str = "*.txt",
    *,
    any_bytes: bool = False,
    fetch: Callable[[str], Path | None] = datasets.cached,
) -> Found:
    """The files that paths stand for, in the order given, those of a folder sorted by name; none is the bundled text.

    Of a folder hidden files are left out, and those that are no text unless `any_bytes`. Where there is no file of a
    name, it may be that of a known text, which `fetch` gives.

    Raises:
        CorpusError: a path is missing, or a folder holds no file that matches.
        ConfigError: the pattern is none.
        StorageError: a folder may not be listed, and nothing else was found.
    """
    if not paths:
        return Found([Source("the bundled text", bundled_text())])
    found = Found([])
    for given in paths:
        path = Path(given)
        is_folder, is_file, exists = os.path.isdir(given), os.path.isfile(given), os.path.exists(given)
        if given == STANDARD_INPUT:
            found.sources.append(Source("standard input", path, is_stream=True))
        elif is_folder:
            _add_folder(found, path, glob, any_bytes)
        elif is_file:
            found.sources.append(Source(given, path))
        elif exists:  # as in `charnet train <(zcat book.gz)`
            found.sources.append(Source(given, path, is_stream=True))
        elif not given:
            raise CorpusError("expected the name of a file or folder, found an empty one")
        elif given in datasets.DATASETS and (fetched := fetch(given)):
            found.sources.append(Source(given, fetched))
            found.remarks.append(f"{given} is {fetched}, from {datasets.DATASETS[given].url}")
        else:
            raise CorpusError(f"{shortened(given)}: there is no such file or folder{_files_like(path)}")
    return found


def _add_folder(found: Found, folder: Path, glob: str, any_bytes: bool) -> None:
    try:
        with reading(str(folder)):
            matching = sorted(path for path in folder.glob(glob) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f'data.glob: "{shortened(glob)}" is not a pattern for files in {folder}: {error}') from None
    unlisted = _unlisted(folder, glob)
    if unlisted and not matching:
        raise unlisted[0]
    if unlisted:
        others = f", and {plural(len(unlisted) - 1, 'folder')} more" if len(unlisted) > 1 else ""
        found.remarks.append(f"{unlisted[0]}; left out{others}")
    left_out: Counter[str] = Counter()
    for path in matching:
        why = "hidden" if _is_hidden(path.relative_to(folder)) else "binary" if _is_binary(path, any_bytes) else ""
        if why:
            left_out[why] += 1
        else:
            found.sources.append(Source(str(path), path))
    found.skipped.update(left_out)
    if len(matching) == left_out.total():
        raise CorpusError(f'{folder}: no file here matches "{glob}"{_other_files(folder, left_out)}')


def _unlisted(folder: Path, glob: str) -> list[StorageError]:
    """What there is to say of each folder that a pattern looks into and the system refuses to list."""
    pattern, refused = Path(glob).parts, list[OSError]()
    for at, names, _ in os.walk(folder, onerror=refused.append):
        above = Path(at).relative_to(folder).parts
        names[:] = sorted(name for name in names if _looks_into(pattern, (*above, name)))
    return [StorageError(f"{error.filename}: cannot be read: {error.strerror or error}") for error in refused]


def _looks_into(pattern: Sequence[str], folders: Sequence[str]) -> bool:
    """Whether files that match a pattern could lie in a folder, given as the names on the way to it; hidden ones do not
    count."""
    for part, name in zip(pattern, folders, strict=False):
        if part == "**":
            return not any(each.startswith(".") for each in folders)
        if name.startswith(".") or not fnmatch(name, part):
            return False
    return len(folders) < len(pattern)


def _other_files(folder: Path, left_out: Counter[str]) -> str:
    if left_out:
        said = " and ".join(f"{count:,} {why}" for why, count in sorted(left_out.items()))
        return f" but {said}, left out: name such files one by one, or binary ones with --bytes"
    with reading(str(folder)):
        others = sorted({path.suffix for path in folder.iterdir() if path.is_file() and path.suffix})
    if not others:
        return "; name another folder, or the files with --glob"
    return f"; it holds {', '.join(others[:5])} files: name them with --glob '*{others[0]}'"


def size_of(source: Source) -> int:
    """Bytes of a file; 0 for what only reading can tell.

    Raises:
        StorageError: the system refused.
    """
    with reading(source.shown):
        return 0 if source.is_stream else source.path.stat().st_size


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_binary(path: Path, any_bytes: bool) -> bool:
    """Whether a file holds a zero byte where text never does; what is packed is for its reader to judge."""
    if any_bytes or path.suffix in PACKED:
        return False
    with reading(str(path)), path.open("rb") as file:
        start = file.read(LOOKED_AT)
    return b"\0" in start and not start.startswith(MARKS_OF_WIDE_TEXT)


def _files_like(path: Path) -> str:
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return f"; the folder {shortened(str(path.parent))} does not exist either"
    near = difflib.get_close_matches(path.name, beside, n=3)
    return f" (did you mean {' or '.join(str(path.parent / name) for name in near)}?)" if near else ""


def name_of(paths: Sequence[str]) -> str:
    """A name for a run on these texts, safe as the name of a folder.

    >>> name_of(["books/War & Peace.txt", "more.txt"])
    'War-Peace'
    >>> name_of(["dump.txt.gz"])
    'dump'
    """
    if not paths:
        return bundled_text().stem
    path = Path(paths[0])
    if path.parent.name == "fd":  # as in `charnet train <(zcat book.gz)`
        return "pipe"
    packed = path.suffix in PACKED and not path.is_dir()
    stem = "stdin" if paths[0] == STANDARD_INPUT else (path.resolve().name if path.is_dir() else path.stem)
    return re.sub(r"[^\w.]+", "-", Path(stem).stem if packed else stem).strip("-.")[:60] or "run"


@contextlib.contextmanager
def reading(shown: str) -> Iterator[None]:
    """Says of which text the system refused to read.

    Raises:
        StorageError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{shown}: cannot be read: {error.strerror or error}") from None
