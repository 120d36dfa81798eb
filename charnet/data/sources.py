"""Finds the files to read: files, files of folders, standard input, datasets; in a stable order."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from charnet import regular_file
from charnet.data import bundled, datasets
from charnet.data.file_kinds import HEAD_BYTES, Kind, kind_of
from charnet.data.globs import merged, natural_order
from charnet.data.streams import STANDARD_INPUT, is_device, is_standard_input
from charnet.errors import ConfigError, CorpusError, StorageError, plural, shortened

HIDDEN, BINARY = "hidden", "binary"
KINDS_SHOWN = 6  # of what is left out
PACKED = (".gz", ".bz2", ".xz", ".zst")  # the suffixes of files that are unpacked
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
        known = [_counted(kind, self.skipped[kind]) for kind in kinds]
        others = f" and {plural(len(known) - KINDS_SHOWN, 'other kind')}" if len(known) > KINDS_SHOWN else ""
        left_out = ", ".join(known[:KINDS_SHOWN]) + others
        return [*self.remarks, f"reading {plural(len(self.sources), 'file')}; left out: {left_out}"]


def _counted(kind: str, count: int) -> str:
    noun, without, what = kind.partition(" without ")
    return f"{count:,} {kind}" if kind in (HIDDEN, BINARY) else f"{plural(count, noun)}{without}{what}"


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
            matching = sorted((path for path in folder.glob(merged(glob)) if _is_file(path)), key=natural_order)
    except RecursionError:
        raise StorageError(f"{folder}: cannot be read: its folders are nested too deeply; name one of them") from None
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f'data.glob: "{shortened(glob)}" is not a pattern for files in {folder}: {error}') from None
    unlisted, passed = _pass_over(folder, glob, matching)
    if unlisted and not matching:
        raise unlisted[0]
    if unlisted:
        more = f", and {plural(len(unlisted) - 1, 'folder')} more" if len(unlisted) > 1 else ""
        selection.remarks.append(f"{unlisted[0]}; left out{more}")
    left_out: Counter[str] = Counter()
    for path in matching:
        why = HIDDEN if _is_hidden(path.relative_to(folder)) else BINARY if _is_binary(path, any_bytes) else ""
        if why:
            left_out[why] += 1
        else:
            selection.sources.append(Source(str(path), path))
    selection.skipped.update(left_out + Counter({kind: len(paths) for kind, paths in passed.items()}))
    if len(matching) == left_out.total():
        advice = "" if any_bytes else _turned_into_text(matching, passed)
        advice = advice or _other_files(left_out, passed, glob)
        raise CorpusError(f'{folder}: no file here matches "{glob}"{advice}')


def _is_file(path: Path) -> bool:
    return path.is_file() and not regular_file.is_of_system(path)


def _pass_over(folder: Path, glob: str, matching: Sequence[Path]) -> tuple[list[StorageError], dict[str, list[Path]]]:
    """Looks for what is not read in the folders that a pattern looks into. Hidden names that do not match do not count.

    Returns:
        An error for each folder that the system refuses to list, and what does not match, by its kind.
    """
    pattern, refused, others = Path(glob).parts, list[OSError](), dict[str, list[Path]]()
    entered = {above for path in matching for above in path.parents}
    for at, folders, names in os.walk(folder, onerror=refused.append):
        above = Path(at).relative_to(folder).parts
        into = sorted(name for name in folders if _looks_into(pattern, (*above, name)))
        for path in (Path(at, name) for name in folders if not name.startswith(".")):
            if path.is_symlink() and path not in entered:
                others.setdefault("linked folder", []).append(path)
            elif path.name not in into:
                others.setdefault("sub-folder", []).append(path)
        folders[:] = into
        for path in {Path(at, name) for name in names if not name.startswith(".")}.difference(matching):
            others.setdefault(_kind_of(path), []).append(path)
    return [StorageError(f"{error.filename}: cannot be read: {error.strerror or error}") for error in refused], others


def _kind_of(path: Path) -> str:
    """Returns a name for what lies at a path: a file by its suffix, or something that is none."""
    if path.is_symlink() and not os.path.exists(path):
        return "dangling link"
    if not _is_file(path):
        return "special file"
    return f"{path.suffix} file" if path.suffix else "file without a suffix"


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


def _turned_into_text(matching: Sequence[Path], passed: Mapping[str, Sequence[Path]]) -> str:
    """Returns what to do about the files of a folder if they are documents, pictures and the like, and no texts; or
    ""."""
    first = [min(paths, key=natural_order) for kind, paths in sorted(passed.items()) if kind.startswith(".")]
    found = [path for path in matching if not _is_hidden(path)] or first
    kinds = [kind for path in found if (kind := _no_text(path))]
    if not found or len(kinds) < len(found):
        return ""
    shown = ", ".join(sorted({path.suffix for path in found})[:5])
    return f"; it holds {shown} files: {found[0].name} is {kinds[0].name}; {kinds[0].advice(str(found[0]))}"


def _no_text(path: Path) -> Kind | None:
    """Returns of which kind a file is that is no text; None if it may be read as one."""
    if path.suffix in PACKED:
        return None
    try:
        with regular_file.open_regular(path) as file:
            kind = kind_of(file.read(HEAD_BYTES))
    except (OSError, StorageError):
        return None
    return None if kind is None or kind.is_text else kind


def _other_files(left_out: Counter[str], others: Mapping[str, Sequence[Path]], glob: str) -> str:
    if left_out:
        reasons = " and ".join(f"{count:,} {why}" for why, count in sorted(left_out.items()))
        return f" but {reasons}, left out: name such files one by one; charnet train --bytes reads binary files too"
    suffixes = sorted(kind.removesuffix(" file") for kind in others if kind.startswith("."))
    if suffixes:
        text = next((each for each in suffixes if not _no_text(others[f"{each} file"][0])), suffixes[0])
        return f"; it holds {', '.join(suffixes[:5])} files: name them with --glob '*{text}'"
    if others:
        within = f": --glob '**/{glob}' reads sub-folders too" if "sub-folder" in others else ""
        return f"; it holds {' and '.join(_counted(kind, len(others[kind])) for kind in sorted(others))}{within}"
    return "; name another folder, or the files with --glob"


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
    near = [name for name in difflib.get_close_matches(path.name, names, n=3) if os.path.exists(path.parent / name)]
    return f" (did you mean {' or '.join(str(path.parent / name) for name in near)}?)" if near else ""


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
