"""Values laid over the settings of `config`: by name, of whatever type they came in, each of them checked.

A value that comes as text (YAML, `--set`) is read by the declared type of its field, never by YAML's own guess: `1e-3`
is a number, `no` in a file name stays a name.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from charnet.config import AUTO, LARGEST_COUNT, Config, SamplingOptions, flags_of
from charnet.errors import ConfigError, did_you_mean, quoted, short_repr, shortened
from charnet.limits import Limits, converted, options_of
from charnet.synonyms import LISTED, meant, setting_here

YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
LARGEST_DYNAMIC_RATE = 10.0
OLD_NAMES = {"training.earlier_plans": "training.length_changes"}  # in files of earlier versions
Pair = tuple[int, int]

DURATION_EXAMPLES = "for example 90s, 5m, 2h, 1h30m, 1d, or 1:30 for a minute and a half"
SECONDS_OF = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
DURATION_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"


def current_name(name: str) -> str:
    """The name that a setting has today, by that or by the one of earlier versions."""
    return OLD_NAMES.get(name, name)


def section_fields(section: str) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """The fields of one section by name, each with its type.

    Raises:
        ConfigError: there is no such section.
    """
    sections = {name: kind for name, (_, kind) in options_of(Config).items()}
    if section not in sections:
        near = did_you_mean(section, sections)
        raise ConfigError(f"there is no section {quoted(section)}{near}: {', '.join(sections)}")
    return options_of(sections[section])


def setting_names() -> Iterator[str]:
    """All settings as `section.field`, in their order."""
    for section in options_of(Config):
        for name in section_fields(section):
            yield f"{section}.{name}"


def qualified_names() -> dict[str, str]:
    """Full names of all settings by the name of their field alone."""
    return {name.partition(".")[2]: name for name in setting_names()}


def named_settings(settings: Mapping[str, Any], beside: Iterable[str] = ()) -> dict[str, Any]:
    """Returns values by full names that were given by the names of fields. Raises ConfigError if one is unknown.

    Args:
        beside: other names that may have been meant.
    """
    known = qualified_names()
    if "paths" in settings:
        raise ConfigError("paths: give the texts as plain arguments, as in charnet.train('a.txt', 'b.txt')")
    for key in settings:
        if key not in known:
            raise ConfigError(f"there is no setting {quoted(key)}{meant(key, [*known, *beside])}")
    return {known[key]: value for key, value in settings.items()}


def limits(name: str) -> Limits:
    """Limits and help text of the setting `section.field`."""
    return typing.cast(Limits, _find(name)[0].metadata["limits"])


def default(name: str) -> Any:
    """Default of the setting `section.field`."""
    return _find(name)[0].default


def list_depth(name: str) -> int:
    """How deep lists may be nested in a value of the setting: 2 for pairs, else 1."""
    return 2 if _find(name)[1] == tuple[Pair, ...] else 1


def _find(name: str) -> tuple[dataclasses.Field[Any], Any]:
    section, dot, key = name.partition(".")
    if not dot:
        known = qualified_names()
        here = setting_here(name, known)
        near = [here] if here else difflib.get_close_matches(shortened(name), known, n=1)
        hint = f' (did you mean "{known[near[0]]}"?)' if near else ""
        raise ConfigError(f"{quoted(name)} is no setting: say section.field{hint or LISTED}")
    return _field(section, key)


def _field(section: str, key: str) -> tuple[dataclasses.Field[Any], Any]:
    fields = section_fields(section)
    if key not in fields:
        raise ConfigError(f'section "{section}" has no setting {quoted(key)}{meant(key, fields)}')
    return fields[key]


def _from_text(name: str, text: str, kind: Any) -> Any:
    """Reads a value by the declared type of its field."""
    if kind is bool:
        if text.lower() not in YES + NO:
            raise ConfigError(f"{name}: expected true or false, found {quoted(text)}")
        return text.lower() in YES
    if kind in (int, float):
        # Python also reads digits of other scripts and 1_000: settings are stricter.
        if limits(name).duration:
            return parse_duration(name, text)
        if limits(name).auto and text == "auto":
            return AUTO
        try:
            if not text.isascii() or "_" in text:
                raise ValueError
            return kind(text)
        except ValueError:
            word = "a whole number" if kind is int else "a number"
            word += " or auto" if limits(name).auto else ""
            raise ConfigError(f"{name}: expected {word}, found {quoted(text)}") from None
    return text if kind is str else (text,)


def _checked(name: str, value: Any) -> Any:
    """The value in the type of its field; ConfigError if it is of another type or out of range."""
    described, kind = _find(name)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}: expected a list, found {short_repr(value)}")
        return tuple(_pair(name, each) if kind == tuple[Pair, ...] else _word(name, each) for each in value)
    value = kind(converted(name, value, kind))
    described.metadata["limits"].check(name, value)
    return value


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name}: expected a list of words, found {short_repr(value)} in it")
    return value


def _pair(name: str, value: Any) -> Pair:
    """Two whole numbers: as a list, as texts, or as earlier versions wrote them, "122:957"."""
    found = value.split(":") if isinstance(value, str) else value
    if isinstance(found, list | tuple) and len(found) == 2:
        texts = [short_repr(number) if type(number) is int else number for number in found]
        if all(isinstance(text, str) and re.fullmatch(r"\d{1,10}", text, re.ASCII) for text in texts):
            return int(texts[0]), int(texts[1])
    raise ConfigError(f"{name}: expected pairs of a step and a length, found {short_repr(value)}")


def overlay(config: Config, values: Mapping[str, Any]) -> Config:
    """Lays values over a config, each named `section.field`. Text is read by the type of its field.

    >>> overlay(Config(), {"training.learning_rate": "1e-3"}).training.learning_rate
    0.001

    Raises:
        ConfigError: an unknown name, a wrong type or a value out of range.
    """
    changes: dict[str, dict[str, Any]] = {}
    for given, value in values.items():
        name = current_name(given)
        _, kind = _find(name)
        if isinstance(value, str) and kind is not str:
            value = _from_text(name, value, kind)
        section, _, key = name.partition(".")
        changes.setdefault(section, {})[key] = _checked(name, value)
    sections = {name: dataclasses.replace(getattr(config, name), **changed) for name, changed in changes.items()}
    return dataclasses.replace(config, **sections)


def assignments(pairs: list[str]) -> dict[str, str]:
    """Reads `--set section.field=value` options.

    >>> assignments(["model.hidden_size=64"])
    {'model.hidden_size': '64'}
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set: expected section.field=value, found {quoted(pair)}")
        _find(name := current_name(name))
        values[name] = value
    return values


def as_dict(config: Config) -> dict[str, dict[str, Any]]:
    """All settings as plain numbers, words and lists, for JSON."""
    return {
        section: {key: _plain(value) for key, value in values.items()}
        for section, values in dataclasses.asdict(config).items()
    }


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def from_dict(values: Any) -> Config:
    """The inverse of `as_dict`, every value checked; settings that are missing get their defaults.

    Raises:
        ConfigError: anything that is not a valid set of settings.
    """
    if not isinstance(values, dict) or not all(isinstance(section, dict) for section in values.values()):
        raise ConfigError("settings: expected sections of settings")
    flat: dict[str, Any] = {}
    for section, keys in values.items():
        section_fields(str(section))
        for key, value in keys.items():
            name = current_name(f"{section}.{key}")
            _field(str(section), name.partition(".")[2])
            _checked(name, value)  # typed values only: text is not read as a number here
            flat[name] = value
    return overlay(Config(), flat)


def sampling_options(values: Mapping[str, Any]) -> SamplingOptions:
    """Sampling options by the names of their fields; the others get their defaults.

    Raises:
        ConfigError: an unknown name, or a value out of range.
    """
    known = options_of(SamplingOptions)
    flags = {flag.lstrip("-"): field for field in reversed(known) for flag in flags_of(field)}
    for name in values:
        if name not in known:
            raise ConfigError(f"there is no sampling option {quoted(name)}{meant(flags.get(name, name), known)}")
    return SamplingOptions(**values)


def check_count(name: str, value: Any, *, low: int = 0) -> None:
    """Checks the number of things that are not an option of `config`, such as of texts.

    Raises:
        ConfigError: it is no whole number, below `low` or beyond all that a machine can write.
    """
    Limits("", low, LARGEST_COUNT).check(name, converted(name, value, int))


def check_rate(name: str, value: Any) -> None:
    """Checks the rate at which a model learns while it reads.

    Raises:
        ConfigError: it is no number, or out of its range.
    """
    Limits("", 0, LARGEST_DYNAMIC_RATE).check(name, converted(name, value, float))


def parse_duration(name: str, text: str) -> float:
    """Parses a duration into seconds.

    A number alone is seconds. Two or three numbers with colons are read as on a stopwatch: minutes and seconds, or
    hours, minutes and seconds.

    >>> [parse_duration("--for", text) for text in ("90", "5min", "1h 30m", "0.5h", "1:30", "1:00:05")]
    [90.0, 300.0, 5400.0, 1800.0, 90.0, 3605.0]

    Args:
        name: of the option or setting, for the message.

    Raises:
        ConfigError: it is not a duration.
    """
    given = text.strip(" ").lower()
    if re.fullmatch(r"\d{1,9}(?:\.\d{0,20})?(?:e[+-]?\d{1,3})?", given, re.ASCII):
        return float(given)
    if re.fullmatch(r"\d{1,9}(:[0-5]\d){1,2}", given, re.ASCII):
        seconds = 0
        for number in given.split(":"):
            seconds = 60 * seconds + int(number)
        return float(seconds)
    if re.fullmatch(rf"(?:{DURATION_NUMBER} ?[a-z]+ ?)+", given, re.ASCII):
        parts = re.findall(rf"({DURATION_NUMBER}) ?([a-z]+)", given, re.ASCII)
        if all(unit in SECONDS_OF for _, unit in parts):
            return sum(float(number) * SECONDS_OF[unit] for number, unit in parts)
    raise ConfigError(f"{name}: expected a time, found {quoted(text)}; {DURATION_EXAMPLES}")
