"""Patterns for the files of a folder, and the order in which these are read."""

from __future__ import annotations

import re
from pathlib import Path

MOST_RECURSIVE = 4  # parts `**` of a pattern: each multiplies the folders to look into


def merged(glob: str) -> str:
    """Returns the same pattern with one `**` in place of several in a row.

    >>> merged("**/**/a/**/*.txt"), merged("*.txt")
    ('**/a/**/*.txt', '*.txt')

    Raises:
        ValueError: it has too many.
    """
    parts = Path(glob).parts
    kept = [part for part, before in zip(parts, ("", *parts), strict=False) if (part, before) != ("**", "**")]
    if kept.count("**") > MOST_RECURSIVE:
        raise ValueError(f"it has more than {MOST_RECURSIVE} parts **")
    return str(Path(*kept)) if len(kept) < len(parts) else glob


def natural_order(path: Path) -> tuple[list[list[str | int]], Path]:
    """Returns a key that sorts numbers in names by their value.

    >>> sorted(map(Path, ["chapter10", "chapter2"]), key=natural_order)[0].name
    'chapter2'
    """
    names = [re.split(r"(\d+)", name) for name in path.parts]  # text, number, text, ...
    return [[int(part) if index % 2 else part for index, part in enumerate(parts)] for parts in names], path
