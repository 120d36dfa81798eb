"""`/set` in a session: sampling options by the name of their field or flag, read from text."""

from __future__ import annotations

import typing
from typing import Any

from charnet.cli import sample_options
from charnet.cli.options import unescaped
from charnet.cli.typed import number_of
from charnet.config import SamplingOptions, flags_of
from charnet.errors import ConfigError, did_you_mean, quoted
from charnet.limits import options_of
from charnet.overlay import NO, YES

DEFAULT = "default"  # as a value: what it is without the option
OTHER_DEFAULTS = {"length": 200}  # in a session: sample.TURN_LENGTH


def name_of(typed: str) -> str:
    """Returns the field of an option that was typed.

    >>> name_of("temp"), name_of("top-p"), name_of("n")
    ('temperature', 'top_p', 'length')

    Raises:
        ConfigError: there is no such option.
    """
    known = {name: name for name in options_of(SamplingOptions)}
    for name in reversed(list(known)):
        known |= {flag.lstrip("-").replace("-", "_"): name for flag in flags_of(name)}
    found = number_of(typed).lstrip("-").replace("-", "_")
    if found not in known:
        raise ConfigError(f"there is no sampling option {quoted(typed)}{did_you_mean(found, known)}; /set lists them")
    return known[found]


def changes(name: str, text: str) -> dict[str, Any]:
    """Returns the fields that a value of an option changes. Escapes in texts are those of the command line.

    >>> changes("temperature", "0.5:1.2"), changes("top_k", "\uff15"), changes("stop", r"\\n")
    ({'temperature': 0.5, 'temperature_end': 1.2}, {'top_k': 5}, {'stop': ('\\n',)})

    Raises:
        ConfigError: it is no value of the option.
    """
    described, kind = options_of(SamplingOptions)[name]
    if text == DEFAULT:
        more = {"temperature_end": None} if name == "temperature" else {}
        return {name: OTHER_DEFAULTS.get(name, described.default), **more}
    if name == "temperature":
        first, last = sample_options.parse_temperature(number_of(text))
        return {"temperature": first, "temperature_end": last}
    if name == "template":
        return {name: sample_options.parse_template(text)}
    if name == "logit_bias":
        return {name: tuple(map(sample_options.parse_logit_bias, text.split()))}
    if typing.get_origin(kind) is tuple:
        return {name: (unescaped(text, f"/set {name}"),)}
    if kind is str:
        return {name: text if name == "match" else unescaped(text, f"/set {name}")}
    return {name: _number(name, number_of(text), kind)}


def described(options: SamplingOptions, name: str = "") -> list[str]:
    """Returns a line for each option that differs from its default, or for one option with its help."""
    known = options_of(SamplingOptions)
    if name:
        return [f"{name} {_shown(getattr(options, name))}: {known[name][0].metadata['limits'].text}"]
    default = SamplingOptions(length=OTHER_DEFAULTS["length"])
    set_ = [each for each in known if getattr(options, each) != getattr(default, each)]
    lines = [f"{each} {_shown(getattr(options, each))}" for each in set_]
    others = ", ".join(each for each in known if each not in set_)
    return [*lines, f"as they are by default: {others}"]


def _shown(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _number(name: str, text: str, kind: Any) -> Any:
    """Reads a whole number, another number, or yes or no."""
    if kind is bool:
        if text.lower() not in YES + NO:
            raise ConfigError(f"{name}: expected true or false, found {quoted(text)}")
        return text.lower() in YES
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        word = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name}: expected {word}, found {quoted(text)}") from None
