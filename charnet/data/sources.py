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
from pathlib import Path

from charnet import regular_file
from charnet.data import bundled, datasets, passed_over
from charnet.data.file_kinds import HEAD_BYTES, PACKED
from charnet.data.globs import merged, natural_order
from charnet.data.passed_over import BINARY, HIDDEN, counted, is_file, is_hidden
from charnet.data.streams import STANDARD_INPUT, is_device, is_standard_input
from charnet.errors import ConfigError, CorpusError, StorageError, plural, shortened

KINDS_SHOWN = 6  # of what is left out
BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


@dataclass(frozen=True)
class Source:
    """A file to read. `name` is for messages. A stream, for instance a pipe, can be read only once."""

    name: str
    path: Path
    is_stream: bool = False


@dataclass(frozen=True)
class Selection:
    """The files to read; what was left out of folders, each kind with its number; remarks on the choice."""

    sources: list[Source]
    skipped: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.sources[0].name if len(self.sources) == 1 else f"{len(self.sources):,} files"

    def notes(self) -> list[str]:
        """Returns sentences about the choice: remarks, and what was left out of folders."""
        if not self.skipped:
            return self.remarks
        kinds = sorted(self.skipped, key=lambda kind: (kind.startswith("."), kind))  # suffixes last
        known = [counted(kind, self.skipped[kind]) for kind in kinds]
        others = f" and {plural(len(known) - KINDS_SHOWN, 'other kind')}" if len(known) > KINDS_SHOWN else ""
        left_out = ", ".join(known[:KINDS_SHOWN]) + others
        return [*self.remarks, f"reading {plural(len(self.sources), 'file')}; left out: {left_out}"]


def find(
    paths: Sequence[str],
    glob: str = "*.txt",
    *,
    any_bytes: bool = False,
    fetch: Callable[[str], Path | None] = datasets.cached,
) -> Selection:
    """Finds the files that the paths name, in the order given.

    Args:
        paths: files, folders, names of known texts, or "-" for standard input; the bundled text if there are none.
        glob: which files of a folder are read, in natural order: chapter 2 before chapter 10. Hidden files are left
            out, and binary files too.
        any_bytes: whether binary files are read as well.
        fetch: returns the file of a known text; it is called where there is no file of that name.

    Raises:
        CorpusError: a path is missing or no text, or a folder has no file that matches.
        ConfigError: the pattern is not valid.
        StorageError: a folder cannot be listed, and no file was found in the others.
    """
    if not paths:
        return Selection([Source("the bundled text", bundled.path_of())])
    selection = Selection([])
    for name in paths:
        path = Path(name)
        if is_standard_input(name):
            standard_input = Source("standard input", Path(STANDARD_INPUT), is_stream=True)
            if standard_input in selection.sources:
                raise CorpusError(f"{name}: standard input is named twice, and it can be read only once")
            selection.sources.append(standard_input)
        elif os.path.isdir(name):
            _add_folder(selection, path, glob, any_bytes)
        elif os.path.isfile(name):
            selection.sources.append(Source(name, path))
        elif is_device(name):
            raise CorpusError(f"{shortened(name)}: a device, not a text: name a file or folder")
        elif os.path.exists(name):  # for instance a pipe: `charnet train <(zcat book.gz)`
            selection.sources.append(Source(name, path, is_stream=True))
        elif not name:
            raise CorpusError("expected the name of a file or folder, found an empty one")
        elif datasets.is_known(name) and (file := fetch(name)):
            selection.sources.append(Source(name, file))
            if name in datasets.DATASETS:
                selection.remarks.append(f"{name} is {file}, from {datasets.DATASETS[name].url}")
        else:
            raise CorpusError(f"{shortened(name)}: {_why_missing(path, name)}")
    return selection


def _why_missing(path: Path, name: str) -> str:
    if os.path.lexists(name):
        return f"a link that leads nowhere, to {shortened(str(path.readlink()))}"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        return "an address, not a file: save it first, or pipe it, as in curl -L ADDRESS | charnet train -"
    try:
        path.lstat()
    except PermissionError as error:
        raise StorageError(f"{shortened(name)}: cannot be read: {error.strerror}") from None
    except (OSError, ValueError):
        pass
    return f"there is no such file or folder{_similar_files(path)}"


def _add_folder(selection: Selection, folder: Path, glob: str, any_bytes: bool) -> None:
    try:
        with reading(str(folder)):
            matching = sorted((path for path in folder.glob(merged(glob)) if is_file(path)), key=natural_order)
    except RecursionError:
        raise StorageError(f"{folder}: cannot be read: its folders are nested too deeply; name one of them") from None
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f'data.glob: "{shortened(glob)}" is not a pattern for files in {folder}: {error}') from None
    passed = passed_over.look(folder, glob, matching)
    if passed.unlisted and not matching:
        raise passed.unlisted[0]
    if passed.unlisted:
        more = f", and {plural(len(passed.unlisted) - 1, 'folder')} more" if len(passed.unlisted) > 1 else ""
        selection.remarks.append(f"{passed.unlisted[0]}; left out{more}")
    left_out: Counter[str] = Counter()
    for path in matching:
        why = HIDDEN if is_hidden(path, folder) else BINARY if _is_binary(path, any_bytes) else ""
        if why:
            left_out[why] += 1
        else:
            selection.sources.append(Source(str(path), path))
    selection.skipped.update(left_out + passed.counts)
    if len(matching) == left_out.total():
        visible = [path for path in matching if not is_hidden(path, folder)]
        advice = "" if any_bytes else passed_over.as_text(visible, passed)
        advice = advice or passed_over.others(left_out, passed, glob)
        raise CorpusError(f'{folder}: no file here matches "{glob}"{advice}')


def size_of(source: Source) -> int:
    """Returns the bytes of a file; 0 for a stream, whose size is unknown.

    Raises:
        StorageError: the system refused.
    """
    with reading(source.name):
        return 0 if source.is_stream else source.path.stat().st_size


def _is_binary(path: Path, any_bytes: bool) -> bool:
    """Returns whether a file has a zero byte at its start, as text never has. Packed files are not examined."""
    if any_bytes or path.suffix in PACKED:
        return False
    with reading(str(path)), regular_file.open_regular(path) as file:
        start = file.read(HEAD_BYTES)
    return b"\0" in start and not start.startswith(BYTE_ORDER_MARKS)


def _similar_files(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except PermissionError:
        return ""
    except (OSError, ValueError):
        return f"; the folder {shortened(str(path.parent))} does not exist either"
    near = [str(path.parent / name) for name in _near(path.name, names) if os.path.exists(path.parent / name)]
    if not near and path.parent == Path() and (known := _near(path.stem, datasets.names())):
        near = [f"the known text {' or '.join(known)}"]
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _near(name: str, names: list[str]) -> list[str]:
    return difflib.get_close_matches(name, names, n=3)


def name_of(paths: Sequence[str]) -> str:
    """Returns a name for a run on these texts; it is safe as the name of a folder.

    >>> name_of(["books/War & Peace.txt", "more.txt"])
    'War-Peace'
    >>> name_of(["dump.txt.gz"])
    'dump'
    """
    if not paths:
        return bundled.DEFAULT
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
