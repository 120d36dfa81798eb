"""Makes command-line options. The help, default and limits of a setting come from `config`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import typer

from charnet.config import SamplingOptions, flags_of
from charnet.errors import ConfigError
from charnet.limits import options_of
from charnet.overlay import default, limits, qualified_names
from charnet.training.planner import PLANNED

ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.|$)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "\\": "\\"}
ESCAPES_SHOWN = r"\n \t \r \f \\ \xNN \uNNNN \UNNNNNNNN"
TEXTS = ("documents", "document_separator", "field")  # settings that take text
SEPARATORS = "blank-line|line|file|SEPARATOR|/REGEX/"


def setting(name: str, *flags: str, group: str, metavar: str | None = None, shown_default: str = "") -> Any:
    """Makes an option for the setting `section.field`. If the option is not given, the setting keeps its value.

    Args:
        metavar: what `--help` shows for the value; by default its type, or its choices.
        shown_default: what `--help` shows as the default where the command has one of its own.
    """
    limit, value = limits(name), default(name)
    flags = flags or ("--" + name.partition(".")[2].replace("_", "-"),)
    metavar = "TIME" if limit.duration else "|".join(filter(None, limit.choices)) or metavar
    given = f"{value:g}{'s' * limit.duration}" if isinstance(value, float) else str(value)
    if not shown_default and value is not False and value not in ((), ""):
        shown_default = f"chosen to fit; {given} if --epochs or --steps is given" if name in PLANNED else given
    if name == "training.steps":
        shown_default = "chosen to fit"
    help = f"{limit.text} [default: {shown_default}]" if shown_default else limit.text
    return typer.Option(*flags, help=help, metavar=metavar, show_default=False, rich_help_panel=group)


def sampling(name: str, *, group: str, metavar: str | None = None, default: str | None = None) -> Any:
    """A Typer option of the sampling option of that name; not given, it leaves the default.

    Args:
        metavar: what `--help` shows for the value; by default its type, or its choices.
        default: what `--help` shows as the default where the command has one of its own.
    """
    described = options_of(SamplingOptions)[name][0]
    limits = described.metadata["limits"]
    words = "|".join(filter(None, limits.choices)) or metavar
    usual = described.default if default is None else default
    usual = f"{usual:g}" if isinstance(usual, float) else usual
    shown = limits.text if usual in ("", ()) or usual is False else f"{limits.text} [default: {usual}]"
    return typer.Option(*flags_of(name), help=shown, metavar=words, show_default=False, rich_help_panel=group)


def option(*flags: str, help: str, group: str, **more: Any) -> Any:
    """Makes an option that is not a setting."""
    return typer.Option(*flags, help=help, rich_help_panel=group, **more)


def given_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings among the options of a command, by `section.field`, that have a value or are switched on.

    Args:
        given: the values of all options by the names of their parameters: a setting has that of its field, but for
            `as_bytes`.
    """
    given = {**given, "bytes": given.get("as_bytes")}
    named = ((full, given.get(name)) for name, full in qualified_names().items())
    return {full: value for full, value in named if value is not None and value is not False}  # but 0 is a value


def unescaped(text: str, flag: str, *, any_bytes: bool = False) -> str:
    r"""Replaces the escapes in the text of an option, for characters that are hard to type in a shell.

    Args:
        any_bytes: whether the text may have bytes that are not UTF-8.

    Raises:
        ConfigError: there is an unknown escape, or such a byte.

    >>> unescaped(r"a\nb\\ \u00e9", "--stop")
    'a\nb\\ é'
    """

    def character(found: re.Match[str]) -> str:
        name = found[1]
        if name in ESCAPES:
            return ESCAPES[name]
        code = int(name[1:], 16) if len(name) > 1 else -1
        if code < 0 or code > sys.maxunicode or 0xD800 <= code < 0xE000:
            known, shown = f"expected one of {ESCAPES_SHOWN}", found[0] if found[0].isprintable() else ascii(found[0])
            raise ConfigError(f"{flag}: {known}, found {shown}; write \\\\ for a backslash")
        return chr(code)

    raw = next((c for c in text if "\udc80" <= c <= "\udcff"), None)
    if raw and not any_bytes:
        known = f"found byte {ord(raw) - 0xDC00:#04x}, which is not UTF-8"
        raise ConfigError(f"{flag}: {known}; write the character in UTF-8, or as \\uNNNN")
    return ESCAPE.sub(character, text)


def unescaped_settings(typed: Mapping[str, Any], *, any_bytes: bool = False) -> dict[str, Any]:
    r"""Unescapes the settings that take text, among settings that were typed.

    A regular expression, `--documents /REGEX/`, stays as it is: it has escapes of its own, with the same meaning.

    Args:
        typed: values by the names of their fields, with `data.` before them or without.
        any_bytes: whether a text may have bytes that are not UTF-8.

    >>> unescaped_settings({"data.documents": r"\n\n", "field": r"a\tb", "glob": r"\n"})
    {'data.documents': '\n\n', 'field': 'a\tb', 'glob': '\\n'}
    """
    values = dict(typed)
    for full, value in typed.items():
        name = full.removeprefix("data.")
        if name in TEXTS and isinstance(value, str) and not (name == "documents" and _is_pattern(value)):
            values[full] = unescaped(value, "--" + name.replace("_", "-"), any_bytes=any_bytes)
    return values


def _is_pattern(separator: str) -> bool:
    from charnet.data.segment import is_pattern  # imported here: a command line without it loads less

    return is_pattern(separator)
