"""Sentences about the sources that were read: what was replaced or left out, and what is perhaps not meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from charnet.config import DataSettings
from charnet.data import fields, gutenberg, normalize
from charnet.data.file_kinds import ESCAPES
from charnet.data.refusals import SourceInfo
from charnet.data.segment import LeftOut, leave_out
from charnet.errors import plural

NAMED = {  # one, and several, of the tables that are recognized
    "json": ("JSON", "JSON"), "jsonl": ("JSON lines", "JSON lines"), "csv": ("a table", "tables"),
    "columns": ("a table", "tables"),
}  # fmt: skip


def describe_reading(infos: Sequence[SourceInfo], data: DataSettings, reader: str = "all of it is read,") -> list[str]:
    """Returns sentences on how the files were read: what was replaced, and what is perhaps not as it should be.

    Args:
        reader: who takes markup for text.
    """
    notes = []
    if num_errors := sum(info.num_errors for info in infos):
        verb = {"replace": "replaced", "ignore": "left out"}[data.encoding_errors]
        notes.append(f"invalid {data.encoding} in {plural(num_errors, 'place')}, {verb}")
    left_out: LeftOut = {}
    for info in infos:
        for why, (count, first) in info.left_out.items():
            leave_out(left_out, why, first, count)
    for why, (count, first) in left_out.items():
        what = re.sub(r"\b(row|line|document)s\b", r"\1", why, count=1) if count == 1 else why
        notes.append(f"left out: {count:,} {what}{first and f' (first: {first})'}")
    others = {info.encoding for info in infos} - {data.encoding, ""}
    if others:
        notes.append(f"read as {' and '.join(sorted(others))}, because of the byte order mark at the start")
    notes += gutenberg.note([info.gutenberg for info in infos], take_off=bool(data.strip))
    notes += normalize.note_changed(info.changed for info in infos)
    return [*notes, *_remarks(infos, reader, of_field=bool(data.field))]


def _remarks(infos: Sequence[SourceInfo], reader: str, *, of_field: bool) -> list[str]:
    """Returns sentences on files that were read, but perhaps not as their owner means them."""
    groups: dict[tuple[str, str], list[SourceInfo]] = {}
    for info in infos:
        if info.markup and not info.tables and not (of_field and _is_unescaped(info)):
            groups.setdefault((info.markup, "markup"), []).append(info)
        if info.is_really:
            groups.setdefault((info.is_really, "encoding"), []).append(info)
    return [_remark(kind, found, reader) for (_, kind), found in groups.items()]


def _is_unescaped(info: SourceInfo) -> bool:
    """Returns whether the escapes of a file are gone where one field of it is taken, as they are from JSON."""
    return info.markup == ESCAPES.name and fields.suffix_of(info.name) not in fields.DELIMITERS


def _remark(kind: str, infos: Sequence[SourceInfo], reader: str) -> str:
    """Returns a sentence on files of which the same is to be said. It names the first."""
    first, more = infos[0], f" and {plural(len(infos) - 1, 'more file')}" if len(infos) > 1 else ""
    be, they = ("are", "they are") if more else ("is", "it is")
    if kind == "markup":
        return f"{first.name}{more} {be} {first.markup}: {reader} {first.markup_advice}"
    really = first.is_really
    return f"{first.name}{more}: read as {first.encoding}, but {they} {really}: try --encoding {really}"


def of_tables(infos: Iterable[SourceInfo]) -> list[str]:
    """Returns sentences about files that are tables, of which everything is learned."""
    files: dict[str, list[str]] = {}
    columns: dict[str, list[str]] = {}
    for info in infos:
        for kind, names in info.tables.items():
            files.setdefault(kind, []).append(info.name)
            columns.setdefault(kind, names)
    return [_of_table(kind, names, columns[kind]) for kind, names in files.items()]


def _of_table(kind: str, files: list[str], names: list[str]) -> str:
    kind, _, path = kind.partition(" ")
    more = f" and {plural(len(files) - 1, 'more file')}" if len(files) > 1 else ""
    which = f"{files[0]}{more} {'are' if more else 'is'} {NAMED[kind][bool(more)]}: the model learns all of it"
    if kind == "columns":
        return f"{which}; --field 1 takes the first column"
    if kind == "csv":
        first = f" (first row: {fields.shown(names)})" if names else ""
        return f"{which}, its separators and quotes too; --field takes one column, by its name or number{first}"
    has = f" (it has {fields.shown(names)})" if names else ""
    which = f"{which}, its names, quotes and braces too"
    if kind == "jsonl":
        return f"{which}; --field NAME takes one field{has}"
    if path == "." or not names:
        return f"{which}; jq -r '.. | strings' FILE writes all of its texts"
    return f"{which}; write one object a line, as with jq -c '{path}' FILE, then --field NAME takes one field{has}"
