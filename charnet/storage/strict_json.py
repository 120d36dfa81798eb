"""Parses JSON of files of unknown origin: strictly, and to a limit."""

from __future__ import annotations

import json
import math
from typing import Any

MOST_VALUES = 100_000  # in a header, lists and objects included; counted before they are created
MOST_CHARACTERS = 2_000_000  # in a header; Unicode has 1.1 million
MOST_DIGITS = 200  # of an integer; Python takes a millisecond to convert ten thousand


def strict_json(raw: bytearray | str) -> Any:
    """Parses JSON, but refuses duplicate names, NaN and infinity, and too many values.

    Raises:
        ValueError, RecursionError: the text is refused.
    """
    text = raw if isinstance(raw, str) else raw.decode("utf-8")
    if is_too_large(text):
        raise ValueError("too many characters or values")
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer)


def is_too_large(text: str) -> bool:
    """Returns whether a text is refused for its length, or for the number of its values."""
    return len(text) > MOST_CHARACTERS or sum(text.count(mark) for mark in ",[{") > MOST_VALUES


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("duplicate name")
    return table


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError("a number with too many digits")
    return int(digits)


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def finite(value: Any) -> Any:
    """Returns a value with None in place of numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
