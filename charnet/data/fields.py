"""Takes one field of each row of a table: CSV, TSV, JSON lines, or columns with spaces between them (.smi).

The suffix says which; where it says nothing, the first line does. Rows that cannot be read are left out and counted.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

from charnet.config import DataSettings
from charnet.data.file_kinds import PACKED
from charnet.data.normalize import normalize_stream
from charnet.data.segment import LONGEST_DOCUMENT, LeftOut, leave_out
from charnet.errors import CorpusError, did_you_mean, quoted

DELIMITERS = {".csv": ",;\t|", ".tsv": "\t", ".tab": "\t"}  # of the first, the one that the first line has most of
JSON_SUFFIXES, SPACED_SUFFIXES = (".jsonl", ".ndjson"), (".smi", ".smiles")
NAMED_DELIMITER = r"(?i)sep=([,;\t|])\s*$"  # a first line for Excel
NULL = r"\N"  # in tables of MySQL and PostgreSQL
SURROGATES = re.compile("[\ud800-\udfff]")
JSON_LIST = re.compile(r'\[\s*(?:[\[\]{"]|$)')  # a line of a chat may begin with a time in brackets
JSON_OPENS = re.compile(r'\{\s*(?:"[^"]*"\s*:.*[,\[{]\s*)?$')  # an object that does not end in its line
NAMES_SHOWN = 10
AT_ONCE = 1 << 16  # characters that are passed on together


class _Row(NamedTuple):
    """The place of a row and its value, or the reason why it has none."""

    line: int
    value: str | None
    why: str = ""


def suffix_of(name: str) -> str:
    """Returns the suffix that says what kind of table a file is.

    >>> suffix_of("data/Titles.CSV.gz")
    '.csv'
    """
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes[-2:]]
    return next((suffix for suffix in reversed(suffixes) if suffix not in PACKED), "")


def documents(texts: Iterable[str], name: str, data: DataSettings, left_out: LeftOut) -> Iterator[str]:
    """Yields one field of each row as a document, with its end behind it.

    If documents are lines, a line end inside a value becomes a space.

    Args:
        texts: the table, in pieces.
        name: the name of the file, for its suffix and for messages.
        left_out: gets the number of rows that are left out.

    Raises:
        CorpusError: there is no such field, no row has it, or a quote never closes.
    """
    lines = _lines(normalize_stream(texts, DataSettings(newlines="lf")), name)
    first = next(lines, "")
    if JSON_LIST.match(first):
        raise CorpusError(f"{name}: expected one JSON object a line, found a JSON list; jq -c '.[]' FILE makes lines")
    if JSON_OPENS.match(first):
        raise CorpusError(
            f"{name}: expected one JSON object a line, found one over several lines; jq -c . FILE makes a line of each "
            "object, jq -c '.NAME[]' FILE of each value in its list NAME"
        )
    rows = _rows(first, itertools.chain([first], lines), name, data.field)
    end, buffered, size, found = data.document_end, [], 0, False
    for line, value, why in rows:
        if value is not None and not value.strip():
            value, why = None, f"rows whose {quoted(data.field)} is empty"
        if value is None:
            leave_out(left_out, why, f"{name}, line {line:,}")
            continue
        found = True
        buffered.append((re.sub(r"\r\n|\r|\n", " ", value) if end == "\n" else value) + end)
        size += len(value)
        if size >= AT_ONCE:
            yield "".join(buffered)
            buffered, size = [], 0
    if not found:
        reasons = "; ".join(f"{count:,} {why}" for why, (count, _) in left_out.items())
        raise CorpusError(f"{name}: no row has a value for --field {quoted(data.field)}" + (reasons and f": {reasons}"))
    yield "".join(buffered)


def _lines(texts: Iterable[str], name: str) -> Iterator[str]:
    """Yields lines with their ends, of a text that comes in pieces."""
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from (line + "\n" for line in whole)
        if len(rest) > LONGEST_DOCUMENT:
            raise CorpusError(f"{name}: a line has more than {LONGEST_DOCUMENT:,} characters: is this a table?")
    if rest:
        yield rest


def _rows(first: str, lines: Iterator[str], name: str, field: str) -> Iterator[_Row]:
    suffix = suffix_of(name)
    if suffix in JSON_SUFFIXES or (suffix not in DELIMITERS and first.startswith("{")):
        return _json_rows(lines, name, field)
    if suffix in SPACED_SUFFIXES:
        return _columns(((number, line.split(), "") for number, line in enumerate(lines, 1)), name, field)
    return _columns(csv_rows(first, lines, name, DELIMITERS.get(suffix, "\t,;|")), name, field)


def _json_rows(lines: Iterable[str], name: str, field: str) -> Iterator[_Row]:
    names: dict[str, bool] = {}  # and whether each is a list of objects
    seen = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            yield _Row(number, None, "lines without valid JSON")
            continue
        value = row.get(field) if isinstance(row, dict) else None
        if isinstance(row, dict) and field in row:
            seen = True
        elif isinstance(row, dict) and len(names) < 1000:
            names.update({key: isinstance(row[key], list) and isinstance((row[key] or [0])[0], dict) for key in row})
        if isinstance(value, str) and SURROGATES.search(value):
            yield _Row(number, None, "rows with half a character (a lone surrogate)")
        elif isinstance(value, str):
            yield _Row(number, value.replace("\r\n", "\n").replace("\r", "\n"))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield _Row(number, json.dumps(value))
        else:
            yield _Row(number, None, f"rows without a text in {quoted(field)}")
    if not seen and names:
        whole = next((key for key, has_rows in names.items() if has_rows and key.isidentifier()), "")
        advice = f"; jq -c '.{whole}[]' FILE makes a line of each object in {quoted(whole)}" if whole else ""
        raise _no_such_field(name, field, list(names), advice)


def csv_rows(first: str, lines: Iterator[str], name: str, delimiters: str) -> Iterator[tuple[int, list[str], str]]:
    """Yields the line number of each row and its fields, or the reason why it cannot be read."""
    counted, before = re.sub(r'"[^"]*"', "", first), 0
    delimiter = max(delimiters, key=counted.count) if any(map(counted.count, delimiters)) else ","
    if "\t" in counted and delimiters[0] == "\t":
        delimiter = "\t"  # commas may be in the text
    if named := re.match(NAMED_DELIMITER, first):
        delimiter, before = named[1], 1
        next(lines)
    csv.field_size_limit(LONGEST_DOCUMENT)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t")
    while True:
        number = before + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "limit" in str(error):
                raise CorpusError(
                    f"{name}, line {number:,}: a quote opens in this row and never closes: mend the row"
                ) from None
            for _ in range(before + reader.line_num - number + 1):
                yield number, [], "lines with a quote in the wrong place"
            continue
        if row:
            yield number, row, ""


def _columns(rows: Iterator[tuple[int, list[str], str]], name: str, field: str) -> Iterator[_Row]:
    """Takes one column: by its name in the first row, or by its number, which makes the first row one like others."""
    first = next(((number, row, why) for number, row, why in rows if row or why), (1, [], ""))
    header = [cell.strip() for cell in first[1]]
    if field.isascii() and field.isdecimal() and 1 <= int(field[:9]) <= len(header):
        column, width, rows = int(field) - 1, 0, itertools.chain([first], rows)
    elif field in header:
        column, width = header.index(field), len(header)
    else:
        advice = f"; a number from 1 to {len(header)} takes a column of a file without a header" if header else ""
        raise _no_such_field(name, field, header, advice)
    for number, row, why in rows:
        if why:
            yield _Row(number, None, why)
        elif width and any(row[width:]):
            yield _Row(number, None, "rows with more fields than the header")
        elif len(row) > column and row[column] == NULL:
            yield _Row(number, None, f"rows whose {quoted(field)} is {NULL}, no value")
        elif len(row) > column:
            yield _Row(number, row[column])
        else:
            yield _Row(number, None, f"rows without {quoted(field)}")


def _no_such_field(name: str, field: str, names: list[str], advice: str) -> CorpusError:
    return CorpusError(
        f"{name}: there is no field {quoted(field)}{did_you_mean(field, names)}; it has {shown(names)}{advice}"
    )


def shown(names: list[str]) -> str:
    """Lists the first of some names of fields for a message."""
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(quoted(each) for each in names[:NAMES_SHOWN]) or "none") + more
