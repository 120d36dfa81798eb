"""What an option is: a field of a dataclass with its default, its help text and its limits."""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from os import PathLike, fspath
from typing import Any

from charnet.errors import ConfigError, did_you_mean, quoted, short_repr


@dataclass(frozen=True)
class Limits:
    """What an option may be: a closed range, or one of some words.

    `text` is what `--help` says about it. `flags` are its flags on the command line, where they do not follow from the
    name of the field. A `duration` is in seconds, its text may have another unit. With `auto`, "auto" stands for -1.
    """

    text: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    duration: bool = False
    auto: bool = False

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(filter(None, self.choices))
        if self.high == math.inf:
            return f"at least {_plain(self.low)}"
        return f"between {_plain(0 if self.auto else self.low)} and {_plain(self.high)}" + ", or auto" * self.auto

    def check(self, name: str, value: Any) -> None:
        """Raises ConfigError if a value of the right type is outside the limits. `name` is for the message."""
        if self.choices and value not in self.choices:
            near = did_you_mean(str(value), self.choices)
            raise ConfigError(f"{name}: expected {self}, found {quoted(str(value))}{near}")
        if isinstance(value, int | float) and not self.low <= value <= self.high:
            raise ConfigError(f"{name}: expected a number {self}, found {short_repr(value)}")


def _plain(number: float) -> str:
    """A limit as people write it: 1,000,000,000, not 1e+09."""
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def setting(default: Any, text: str, **limits: Any) -> Any:
    """A field with its default, help text and limits."""
    return field(default=default, metadata={"limits": Limits(text, **limits)})


@cache
def options_of(section: type) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """The fields of a dataclass of options by name, each with its type."""
    hints = typing.get_type_hints(section)
    return {f.name: (f, hints[f.name]) for f in dataclasses.fields(section)}


def converted(name: str, value: Any, kind: Any) -> Any:
    """A value as the type that an option declares; numbers of any library are numbers. Raises ConfigError."""
    if kind in (str, bool) and isinstance(value, kind):
        return value
    if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if kind not in (str, bool, int) and isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return -math.inf if value < 0 else math.inf
    expected = {str: "a text", bool: "true or false", int: "a whole number"}.get(kind, "a number")
    raise ConfigError(f"{name}: expected {expected}, found {short_repr(value)}")


def path_text(name: str, value: Any) -> str:
    """Returns a path that a caller has given, as text. Raises ConfigError if it is none, empty, or one of bytes."""
    if isinstance(value, str | PathLike) and (text := fspath(value)) and isinstance(text, str):
        return text
    advice = ": give several as plain arguments, as in charnet.train('a.txt', 'b.txt')" if name == "texts" else ""
    raise ConfigError(f"{name}: expected a path, found {short_repr(value)}{advice}")


_UNTOUCHED = r"\"[^\"]*\"|(?<![\w])'[^']*'|charnet [a-z]+(?: [^\s;,)]+)*"  # what the user gave, and whole commands
_FLAG = r"(?<![\w-])(--[a-z][a-z-]*|-[a-z](?![\w-]))(?:[ =]([a-z0-9.]+))?"
_QUALIFIED = r"(?<![\w./])(?:model|data|training)\.([a-z_]+)\b"
_SPOKEN = re.compile(f"{_UNTOUCHED}|{_FLAG}|{_QUALIFIED}")


def in_words_of(message: str, arguments: Mapping[str, tuple[str, tuple[str, ...]]]) -> str:
    """Returns a message that speaks of arguments where it spoke of flags.

    Args:
        arguments: of each flag the name of the argument and the words that it may be. A flag with a number or such a
            word behind it becomes an assignment.
    """

    def spoken(found: re.Match[str]) -> str:
        flag, value, setting = found.groups()
        if setting and f"--{setting.replace('_', '-')}" in arguments:
            return setting
        if flag not in arguments:
            return found[0]
        name, words = arguments[flag]
        if value is None:
            return name
        if value in words:
            return f'{name}="{value}"'
        return f"{name}={value}" if value[0].isdigit() else name + found[0][len(flag) :]

    return _SPOKEN.sub(spoken, message)
