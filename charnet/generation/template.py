"""A template: fixed text with holes that the model fills, as in `ROMEO:\\n{.{20,60}[.!?]}\\nJULIET:\\n{...}`.

A hole is a regular expression in braces; `{...}` stands for a line of any text. `{{` and `}}` are braces of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from charnet.errors import ConfigError, did_you_mean, quoted
from charnet.generation import regex

ANY_LINE, ELLIPSIS = r"[^\n]+", "..."
OPTION = "--template"

_VOWELS = "aeiouyAEIOUY"
_GROUPS = rf"[^{_VOWELS}\n]{{0,5}}[{_VOWELS}]{{1,2}}(?:[^{_VOWELS}\n]{{1,6}}[{_VOWELS}]{{1,2}})%s[^{_VOWELS}\n]{{0,4}}"
_STRING = r'"[^"\\\n]{1,20}"'


def _lines(*ranges: tuple[int, int]) -> str:
    return "".join(f"{{[^\\n]{{{low},{high}}}}}\n" for low, high in ranges)


def _json(depth: int) -> str:
    """Returns the expression of a value of JSON with arrays and objects inside each other to a depth."""
    value = rf"(?:{_STRING}|-?(?:0|[1-9][0-9]{{0,5}})(?:\.[0-9]{{1,3}})?|true|false|null)"
    for level in range(depth):
        pair = f"{_STRING}: {value}"
        table = rf"\{{(?:{pair}(?:, {pair})*)?\}}"
        value = table if level == depth - 1 else rf"(?:{table}|\[(?:{value}(?:, {value})*)?\]|{value})"
    return value


def _acrostic(word: str) -> str:
    return "".join(f"{_fixed(letter)}{{[^\\n]{{15,50}}}}\n" for letter in word if not letter.isspace())


def _dialogue(names: str) -> str:
    """Returns lines that end a sentence, below the names of their speakers; wide names have a wide colon."""
    speakers = [_fixed(name.strip()) for name in re.split("[,，、]", names) if name.strip()]
    colon = "：" if re.search("[\u3040-\u30ff\u3400-\u9fff]", names) else ":"
    return "\n".join(f"{name}{colon}\n{{[^\\n]{{10,80}}[.!?。！？]}}\n" for name in speakers)


def _fixed(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


NAMED: dict[str, tuple[str, str]] = {
    "sonnet": ("fourteen lines of 30 to 50 characters", _lines(*[(30, 50)] * 14)),
    "haiku": (
        "three lines with 5, 7 and 5 groups of vowels",
        "".join("{" + _GROUPS % f"{{{count - 1}}}" + "}\n" for count in (5, 7, 5)),
    ),
    "limerick": (
        "five lines, the third and the fourth short",
        _lines((28, 40), (28, 40), (15, 26), (15, 26), (28, 40)),
    ),
    "name": ("a capital and three to nine small letters", "{[A-Z][a-z]{3,9}}"),
    "password": ("16 letters and digits", "{[A-Za-z0-9]{16}}"),
    "markdown-list": ("five points of one line", "".join("- {[^\\n]{10,60}}\n" for _ in range(5))),
    "json-object": ("an object of JSON, four deep", f"{{{_json(4)}}}"),
}
WITH_ARGUMENT: dict[str, tuple[str, str, Callable[[str], str]]] = {
    "acrostic": ("acrostic:ROSE", "a line for each letter, which begins with it", _acrostic),
    "dialogue": ("dialogue:ROMEO,JULIET", "a line for each speaker, in turn", _dialogue),
}


def named(text: str) -> str:
    """Returns the template of a name, such as `sonnet` or `acrostic:ROSE`; any other text as it is.

    Raises:
        ConfigError: a name of a template lacks what it is for.
    """
    if text in NAMED:
        return NAMED[text][1]
    name, colon, argument = text.partition(":")
    if name in WITH_ARGUMENT and (colon or text == name):
        example, _, make = WITH_ARGUMENT[name]
        if not (made := make(argument)):
            raise ConfigError(f"{OPTION}: {name} needs more to write, as in {example}")
        return made
    return text


def parse(text: str) -> list[tuple[str, bool]]:
    """Returns the parts of a template: fixed texts, and the expressions of holes, for which the second is true.

    Raises:
        ConfigError: a brace is left open or closed, or there is no hole.

    >>> parse("To {[a-z]{2,5}}, {{sir}}{...}")
    [('To ', False), ('[a-z]{2,5}', True), (', {sir}', False), ('[^\\\\n]+', True)]
    """
    parts, fixed, at = list[tuple[str, bool]](), "", 0
    while at < len(text):
        if text[at : at + 2] in ("{{", "}}"):
            fixed += text[at]
            at += 2
        elif text[at] == "{":
            end = _end_of_hole(text, at)
            parts += [(fixed, False)] * bool(fixed)
            hole = text[at + 1 : end]
            parts.append((ANY_LINE if hole == ELLIPSIS else hole, True))
            fixed, at = "", end + 1
        elif text[at] == "}":
            raise ConfigError(
                f"{OPTION}: a brace at character {at + 1} closes no hole; write }}}} for a brace of the text"
            )
        else:
            fixed += text[at]
            at += 1
    parts += [(fixed, False)] * bool(fixed)
    if not any(is_hole for _, is_hole in parts):
        known = f"one of {', '.join([*NAMED, *(example for example, _, _ in WITH_ARGUMENT.values())])}"
        near = did_you_mean(text, [*NAMED, *WITH_ARGUMENT])
        raise ConfigError(f"{OPTION}: expected text with holes in braces, or {known}, found {quoted(text)}{near}")
    return parts


def _end_of_hole(text: str, begin: int) -> int:
    """Returns where the brace that opens a hole is closed; braces in sets and behind a backslash do not count."""
    depth, at = 0, begin
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif character == "[":
            at += 1 + text.startswith("^", at + 1)
            at += text.startswith("]", at)
            while at < len(text) and text[at] != "]":
                at += 2 if text[at] == "\\" else 1
        depth += (character == "{") - (character == "}")
        if not depth:
            return at
        at += 1
    raise ConfigError(f"{OPTION}: the hole that begins at character {begin + 1} is not closed; end it with }}")


def stages(text: str) -> list[str]:
    """Returns the expressions of a template's pieces, each a hole with the fixed text behind it.

    Raises:
        ConfigError: a hole is no regular expression, or beyond the subset.

    >>> stages("To {a+}{b}, {c}.")
    ['To\\\\ ', '(?:a+)(?:b),\\\\ ', '(?:c)\\\\.']
    """
    found = [""]
    was_hole = True
    for part, is_hole in parse(named(text)):
        if is_hole and not was_hole:
            found.append("")
        if is_hole:  # by itself, so that an error shows the hole, and no hole ends the group around it
            regex.parse(part, OPTION)
        found[-1] += f"(?:{part})" if is_hole else re.escape(part)
        was_hole = is_hole
    return [stage for stage in found if stage]


def with_fixed(text: str, change: Callable[[str], str]) -> str:
    """Returns a template with its fixed texts changed, or those that a name is given; the name stays as it is."""
    name, colon, argument = text.partition(":")
    if text in NAMED or name in WITH_ARGUMENT:
        return name + colon + change(argument)
    holes = {ANY_LINE: ELLIPSIS}
    return "".join(f"{{{holes.get(part, part)}}}" if is_hole else _fixed(change(part)) for part, is_hole in parse(text))
