"""Finds the files to read: files, files of folders, standard input, datasets; in a stable order."""

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
SNIFFED_BYTES = 1 << 13  # at the start of a file, to see whether it is text
PACKED = {".gz": b"\x1f\x8b", ".xz": b"\xfd7zXZ\0", ".zst": b"\x28\xb5\x2f\xfd"}  # the first bytes of such files
BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


@dataclass(frozen=True)
class Source:
    """A file to read. `name` is for messages. A stream, for instance a pipe, can be read only once."""

    name: str
    path: Path
    is_stream: bool = False


@dataclass(frozen=True)
class Selection:
    """The files to read; how many files of folders were left out, by reason; remarks on the choice."""

    sources: list[Source]
    skipped: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.sources[0].name if len(self.sources) == 1 else f"{len(self.sources):,} files"

    def notes(self) -> list[str]:
        """Returns sentences about the choice: remarks, and how many files of folders were left out."""
        left_out = ", ".join(f"{count:,} {why}" for why, count in sorted(self.skipped.items()))
        reading = [f"reading {plural(len(self.sources), 'file')}; left out: {left_out}"] if left_out else []
        return self.remarks + reading


def bundled_text() -> Path:
    """Returns the text that comes with charnet: inside the installed package, or beside it in a source checkout."""
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
) -> Selection:
    """Finds the files that the paths name, in the order given.

    Args:
        paths: files, folders, names of datasets, or "-" for standard input; the bundled text if there are none.
        glob: which files of a folder are read, sorted by name. Hidden files are left out, and binary files too.
        any_bytes: whether binary files are read as well.
        fetch: returns the file of a dataset; it is called where there is no file of that name.

    Raises:
        CorpusError: a path is missing, or a folder has no file that matches.
        ConfigError: the pattern is not valid.
        StorageError: a folder cannot be listed, and no file was found in the others.
    """
    if not paths:
        return Selection([Source("the bundled text", bundled_text())])
    selection = Selection([])
    for name in paths:
        path = Path(name)
        if name == STANDARD_INPUT:
            selection.sources.append(Source("standard input", path, is_stream=True))
        elif os.path.isdir(name):
            _add_folder(selection, path, glob, any_bytes)
        elif os.path.isfile(name):
            selection.sources.append(Source(name, path))
        elif is_stream(name):  # for instance a pipe: `charnet train <(zcat book.gz)`
            selection.sources.append(Source(name, path, is_stream=True))
        elif not name:
            raise CorpusError("expected the name of a file or folder, found an empty one")
        elif name in datasets.DATASETS and (file := fetch(name)):
            selection.sources.append(Source(name, file))
            selection.remarks.append(f"{name} is {file}, from {datasets.DATASETS[name].url}")
        else:
            raise CorpusError(f"{shortened(name)}: there is no such file or folder{_similar_files(path)}")
    return selection


def is_stream(path: str) -> bool:
    """Returns whether a path leads to a pipe, a socket or a device."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _add_folder(selection: Selection, folder: Path, glob: str, any_bytes: bool) -> None:
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
        selection.remarks.append(f"{unlisted[0]}; left out{others}")
    left_out: Counter[str] = Counter()
    for path in matching:
        why = "hidden" if _is_hidden(path.relative_to(folder)) else "binary" if _is_binary(path, any_bytes) else ""
        if why:
            left_out[why] += 1
        else:
            selection.sources.append(Source(str(path), path))
    selection.skipped.update(left_out)
    if len(matching) == left_out.total():
        raise CorpusError(f'{folder}: no file here matches "{glob}"{_other_files(folder, left_out)}')


def _unlisted(folder: Path, glob: str) -> list[StorageError]:
    """Returns an error for each folder that the pattern looks into and that the system refuses to list."""
    pattern, refused = Path(glob).parts, list[OSError]()
    for at, names, _ in os.walk(folder, onerror=refused.append):
        above = Path(at).relative_to(folder).parts
        names[:] = sorted(name for name in names if _looks_into(pattern, (*above, name)))
    return [StorageError(f"{error.filename}: cannot be read: {error.strerror or error}") for error in refused]


def _looks_into(pattern: Sequence[str], folders: Sequence[str]) -> bool:
    """Returns whether a folder can hold files that match a pattern and are not hidden.

    Args:
        pattern: the parts of the pattern; folders: the names of the folders down to this one.
    """
    for part, name in zip(pattern, folders, strict=False):
        if part == "**":
            return not any(folder.startswith(".") for folder in folders)
        if name.startswith(".") or not fnmatch(name, part):
            return False
    return len(folders) < len(pattern)


def _other_files(folder: Path, left_out: Counter[str]) -> str:
    if left_out:
        reasons = " and ".join(f"{count:,} {why}" for why, count in sorted(left_out.items()))
        return f" but {reasons}, left out: name such files one by one, or read binary files with --bytes"
    with reading(str(folder)):
        others = sorted({path.suffix for path in folder.iterdir() if path.is_file() and path.suffix})
    if not others:
        return "; name another folder, or the files with --glob"
    return f"; it holds {', '.join(others[:5])} files: name them with --glob '*{others[0]}'"


def size_of(source: Source) -> int:
    """Returns the bytes of a file; 0 for a stream, whose size is unknown.

    Raises:
        StorageError: the system refused.
    """
    with reading(source.name):
        return 0 if source.is_stream else source.path.stat().st_size


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_binary(path: Path, any_bytes: bool) -> bool:
    """Returns whether a file has a zero byte at its start, as text never has. Packed files are not examined."""
    if any_bytes or path.suffix in PACKED:
        return False
    with reading(str(path)), path.open("rb") as file:
        start = file.read(SNIFFED_BYTES)
    return b"\0" in start and not start.startswith(BYTE_ORDER_MARKS)


def _similar_files(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return f"; the folder {shortened(str(path.parent))} does not exist either"
    near = difflib.get_close_matches(path.name, names, n=3)
    return f" (did you mean {' or '.join(str(path.parent / name) for name in near)}?)" if near else ""


def name_of(paths: Sequence[str]) -> str:
    """Returns a name for a run on these texts; it is safe as the name of a folder.

    >>> name_of(["books/War & Peace.txt", "more.txt"])
    'War-Peace'
    >>> name_of(["dump.txt.gz"])
    'dump'
    """
    if not paths:
        return bundled_text().stem
    path = Path(paths[0])
    if path.parent.name == "fd":  # a pipe: `charnet train <(zcat book.gz)`
        return "pipe"
    packed = path.suffix in PACKED and not path.is_dir()
    stem = "stdin" if paths[0] == STANDARD_INPUT else (path.resolve().name if path.is_dir() else path.stem)
    return re.sub(r"[^\w.]+", "-", Path(stem).stem if packed else stem).strip("-.")[:60] or "run"


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Names the text if the system refuses to read it.

    Raises:
        StorageError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{name}: cannot be read: {error.strerror or error}") from None
