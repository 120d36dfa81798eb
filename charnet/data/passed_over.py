"""What lies in a folder beside the texts that are read, and what to do if there are none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from charnet import regular_file
from charnet.data.file_kinds import HEAD_BYTES, PACKED, Kind, kind_of
from charnet.errors import StorageError, plural

HIDDEN, BINARY = "hidden", "binary"


@dataclass
class PassedOver:
    """What does not match a pattern: the number of each kind and its first path, and an error for each folder that the
    system refuses to list."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, Path] = field(default_factory=dict)
    unlisted: list[StorageError] = field(default_factory=list)

    def add(self, kind: str, path: Path) -> None:
        self.counts[kind] += 1
        self.first[kind] = min(self.first.get(kind, path), path)


def counted(kind: str, count: int) -> str:
    noun, without, what = kind.partition(" without ")
    return f"{count:,} {kind}" if kind in (HIDDEN, BINARY) else f"{plural(count, noun)}{without}{what}"


def is_file(path: Path) -> bool:
    return path.is_file() and not regular_file.is_of_system(path)


def is_hidden(path: Path, folder: Path) -> bool:
    """Returns whether a path in a folder, or a folder on the way to it, has a hidden name."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def look(folder: Path, glob: str, matching: Sequence[Path]) -> PassedOver:
    """Looks for what is not read in the folders that a pattern looks into, hidden names apart."""
    pattern, refused, passed = Path(glob).parts, list[OSError](), PassedOver()
    entered = {above for path in matching for above in path.parents}
    for at, folders, names in os.walk(folder, onerror=refused.append):
        above = Path(at).relative_to(folder).parts
        into = sorted(name for name in folders if _looks_into(pattern, (*above, name)))
        for path in (Path(at, name) for name in folders if not name.startswith(".")):
            if path.is_symlink() and path not in entered:
                passed.add("linked folder", path)
            elif path.name not in into:
                passed.add("sub-folder", path)
        folders[:] = into
        for path in {Path(at, name) for name in names if not name.startswith(".")}.difference(matching):
            passed.add(_kind_of(path), path)
    reasons = (f"{error.filename}: cannot be read: {error.strerror or error}" for error in refused)
    passed.unlisted += map(StorageError, reasons)
    return passed


def _kind_of(path: Path) -> str:
    """Returns a name for what lies at a path: a file by its suffix, or something that is none."""
    if path.is_symlink() and not os.path.exists(path):
        return "dangling link"
    if not is_file(path):
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


def as_text(visible: Sequence[Path], passed: PassedOver) -> str:
    """Returns what to do about the files of a folder if they are documents, pictures and the like, and no texts; or
    "".

    Args:
        visible: the files that match the pattern and are not hidden.
    """
    found = visible or [path for kind, path in sorted(passed.first.items()) if kind.startswith(".")]
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
    return None if kind is None or kind.learned else kind


def others(left_out: Counter[str], passed: PassedOver, glob: str) -> str:
    """Returns what else is in a folder without a text, and how to read it.

    Args:
        left_out: the number of files that match the pattern and are hidden or binary.
    """
    if left_out:
        reasons = " and ".join(f"{count:,} {why}" for why, count in sorted(left_out.items()))
        return f" but {reasons}, left out: name such files one by one; charnet train --bytes reads binary files too"
    suffixes = sorted(kind.removesuffix(" file") for kind in passed.counts if kind.startswith("."))
    if suffixes:
        text = next((each for each in suffixes if not _no_text(passed.first[f"{each} file"])), suffixes[0])
        return f"; it holds {', '.join(suffixes[:5])} files: name them with --glob '*{text}'"
    if passed.counts:
        within = f": --glob '**/{glob}' reads sub-folders too" if "sub-folder" in passed.counts else ""
        return (
            f"; it holds {' and '.join(counted(kind, passed.counts[kind]) for kind in sorted(passed.counts))}{within}"
        )
    return "; name another folder, or the files with --glob"
