"""Recognizes tables among texts that are read as they are: people who export one rarely mean its separators.

The suffix says what a table is, or its start does: it is JSON, or all of its first rows have as many cells.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from charnet.data.fields import DELIMITERS, JSON_SUFFIXES, SPACED_SUFFIXES, csv_rows, suffix_of
from charnet.data.sources import Source
from charnet.errors import CorpusError

START = 1 << 13  # characters, to see whether it is a table
FEWEST_ROWS = 10
FEWEST_CELLS = {"\t": 2, ";": 3, ",": 3}  # in each of them, where no suffix says that it is a table
JSON_NAME = re.compile(r'"([^"\\]{1,60})"\s*:')
JSON_START = re.compile(r'\s*(?:\[\s*)?\{\s*"[^"\\]{1,60}"\s*:\s*(?:["\[{\d-]|true\b|false\b|null\b)')
JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?:\s*:\s*\[(?=\s*\{))?|[\[\]{}]')
ENTITY = re.compile(r"&#?\w{1,8};")  # of HTML
IS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def watched(texts: Iterable[str], name: str, found: dict[str, list[str]]) -> Iterator[str]:
    """Passes on a text that is read as it is.

    Args:
        found: gets the kind of table that the text is, and the names of its fields. The kind is csv, columns, jsonl, or
            json and the path by which jq finds its objects.
    """
    texts, first, start = iter(texts), [], ""
    for text in texts:
        first.append(text)
        start += text
        if len(start) >= START:
            break
    if kind := kind_of_table(start := start[: 2 * START], name):
        found[kind] = _names(start, kind)
    yield from first
    yield from texts


def are_named(sources: Iterable[Source]) -> bool:
    """Returns whether a file has a name by which it is a table."""
    named = {*DELIMITERS, *JSON_SUFFIXES, *SPACED_SUFFIXES, ".json"}
    return any(suffix_of(source.name) in named for source in sources)


def kind_of_table(start: str, name: str) -> str:
    """Returns the kind of table that a text is, by its start and its name; "" if it is none.

    >>> kind_of_table('{"chat": [{"text": "One"},', "a.json"), kind_of_table("One, two.", "a.txt")
    ('json .chat[]', '')
    """
    first, suffix = start.partition("\n")[0].rstrip("\r"), suffix_of(name)
    if suffix in JSON_SUFFIXES or (first.startswith("{") and first.endswith("}") and _is_object(first)):
        return "jsonl"
    if suffix == ".json" or JSON_START.match(start):
        return "" if '"cell_type":' in start else f"json {_path(start)}"
    if suffix in SPACED_SUFFIXES:
        return "columns" if len(first.split()) > 1 else ""
    if suffix in DELIMITERS:
        return "csv" if any(delimiter in first for delimiter in DELIMITERS[suffix]) else ""
    return "csv" if any(_is_regular(start, delimiter) for delimiter in FEWEST_CELLS) else ""


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _path(start: str) -> str:
    """Returns the path by which jq finds the objects of a text: those of a list, or of the longest one in an object."""
    if not start.lstrip().startswith("{"):
        return ".[]"
    depth, inside, opened, lengths = 0, "", 0, Counter[str]()
    for token in JSON_TOKEN.finditer(start):
        if depth == 1 and token[0].startswith('"') and token[0].endswith("["):
            inside, opened = token[0][1 : token[0].rindex('"')], token.end()
        depth += (token[0][-1] in "[{") - (token[0][-1] in "]}")
        if inside and depth == 1:
            lengths[inside], inside = token.end() - opened, ""
    if inside:
        lengths[inside] = len(start) - opened
    longest = max(lengths, key=lambda each: lengths[each], default="")
    return f".{longest}[]" if IS_NAME.fullmatch(longest) else "."


def _is_regular(start: str, delimiter: str) -> bool:
    """Returns whether all rows, but for the last, which may be cut, have as many cells as a table has."""
    count = start.count(delimiter)
    if count < FEWEST_ROWS * (FEWEST_CELLS[delimiter] - 1):
        return False  # most texts: no row is parsed
    if delimiter != "\t" and 2 * start.count(f"{delimiter} ") > count:
        return False  # it is punctuation
    rows = _rows(re.sub(ENTITY, "&", start), delimiter)[:-1]
    if len(rows) < FEWEST_ROWS or len(rows[0]) < FEWEST_CELLS[delimiter]:
        return False
    return all(len(row) == len(rows[0]) for row in rows) and all(cell.strip() for cell in rows[0])


def _rows(start: str, delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(re.split(r"(?<=\n)", start), delimiter=delimiter) if row]
    except csv.Error:
        return []


def _names(start: str, kind: str) -> list[str]:
    first = start.partition("\n")[0]
    if kind == "csv":
        lines = [f"{line}\n" for line in start.split("\n")[:2]]
        try:
            return [cell.strip() for cell in next(csv_rows(first, iter(lines), "", "\t,;|"), (1, [], ""))[1]]
        except CorpusError:  # a quote is left open: that is no fault of a text that is read as it is
            return []
    inside = kind.partition(".")[2].removesuffix("[]")
    within = start if not inside else start[start.index(f'"{inside}"') + len(inside) + 2 :].lstrip(" \t\r\n:")
    return list(dict.fromkeys(JSON_NAME.findall(first if kind == "jsonl" else within)))
