"""Reads a regular expression: the subset of Python's syntax that describes a set of texts.

Python's own compiler checks the syntax first. What is left is to take the expression apart, and to refuse what looks
beyond the text that was read: lookaround, back references, word boundaries.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from charnet.errors import ConfigError, quoted

LONGEST = 50_000  # characters of an expression
DEEPEST = 100  # groups inside each other
FLAGS = {"i": re.IGNORECASE, "s": re.DOTALL, "a": re.ASCII, "u": re.NOFLAG}
ENDLESS = -1
REFUSED_GROUPS = {
    "?=": "lookahead",
    "?!": "lookahead",
    "?<=": "lookbehind",
    "?<!": "lookbehind",
    "?P=": "a back reference",
    "?(": "a condition",
    "?>": "an atomic group",
}
REFUSED_ESCAPES = {"b": "a word boundary", "B": "a word boundary"}
QUANTIFIERS = {"*": (0, ENDLESS), "+": (1, ENDLESS), "?": (0, 1)}
OCTAL = re.compile(r"0[0-7]{0,2}|[0-3][0-7]{2}")
COUNTED = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")
COMMENT = re.compile(r"\(\?#[^)]*\)")


@dataclass(frozen=True)
class Characters:
    """A set of single characters: an expression for one, as Python understands it."""

    source: str
    flags: int
    place: int  # in the whole expression

    @property
    def literal(self) -> str:
        """The only character of the set, if it stands for itself."""
        character = self.source.removeprefix("\\")
        is_itself = len(character) == 1 and self.source != "." and (character == self.source or not character.isalnum())
        return character if is_itself and not self.flags & re.IGNORECASE else ""

    def matcher(self) -> re.Pattern[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of sets that may mean another thing in future
            return re.compile(self.source, self.flags)


@dataclass(frozen=True)
class Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    branches: tuple[Node, ...]


@dataclass(frozen=True)
class Repeated:
    """A part that is repeated at least `least` times, and at most `most` times or without an end."""

    part: Node
    least: int
    most: int


Node = Characters | Sequence | Choice | Repeated


def parse(source: str, option: str = "--match") -> Node:
    """Takes a regular expression apart.

    Args:
        option: the name of the option, for errors.

    Raises:
        ConfigError: it is no regular expression, or beyond the subset; the place is named.
    """
    if len(source) > LONGEST:
        raise ConfigError(f"{option}: a pattern of {len(source):,} characters; the longest has {LONGEST:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(source)
    except re.error as error:
        what = repr(error.msg)[1:-1]  # it may show characters of the pattern
        raise ConfigError(f"{option}: {what} at character {(error.pos or 0) + 1} of {quoted(source)}") from None
    except ValueError as error:  # flags that contradict each other
        raise ConfigError(f"{option}: {error}: {quoted(source)}") from None
    except (RecursionError, OverflowError, MemoryError):
        raise ConfigError(f"{option}: the pattern is nested too deeply, or repeats too often") from None
    return _Parser(source, option).parse()


class _Parser:
    """Reads an expression that Python accepts, from left to right."""

    def __init__(self, source: str, option: str) -> None:
        self._source, self._option, self._at, self._depth = source, option, 0, 0
        self._has_begun = False  # whether an atom was read

    def parse(self) -> Node:
        return self._choice(re.NOFLAG)

    def _refuse(self, what: str, at: int) -> ConfigError:
        return ConfigError(
            f"{self._option}: {what} at character {at + 1} of {quoted(self._source)}; it cannot be used here"
        )

    def _looks_at(self, text: str) -> bool:
        return self._source.startswith(text, self._at)

    def _choice(self, flags: int) -> Node:
        branches, parts = [], list[Node]()
        while self._at < len(self._source) and not self._looks_at(")"):
            if self._looks_at("|"):
                self._at += 1
                branches.append(Sequence(tuple(parts)))
                parts = []
                continue
            if (changed := self._global_flags(flags)) is not None:
                flags = changed
                continue
            if comment := COMMENT.match(self._source, self._at):
                self._at = comment.end()
                continue
            if (part := self._atom(flags)) is not None:
                parts.append(self._quantified(part))
        branches.append(Sequence(tuple(parts)))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _global_flags(self, flags: int) -> int | None:
        """Reads flags for the whole expression, which stand at its start, as in `(?i)`."""
        if found := re.compile(r"\(\?([a-zA-Z]+)\)").match(self._source, self._at):
            self._at = found.end()
            return self._with_flags(flags, found[1], found.start())
        return None

    def _with_flags(self, flags: int, letters: str, at: int) -> int:
        for letter in letters:
            if letter not in FLAGS:
                raise self._refuse(f"the flag {letter}", at)
            flags |= FLAGS[letter]
        return flags

    def _atom(self, flags: int) -> Node | None:
        """Reads a group, a set, an escape or a character; returns None for an anchor that changes nothing."""
        begin, character = self._at, self._source[self._at]
        if character == "(":
            return self._group(flags)
        if character in "^$":
            self._check_anchor(at_start=character == "^", length=1)
            return None
        if character == "\\":
            following = self._source[begin + 1]
            if following in "AZ":
                self._check_anchor(at_start=following == "A", length=2)
                return None
            if following in REFUSED_ESCAPES:
                raise self._refuse(REFUSED_ESCAPES[following], begin)
            if following in "123456789" and not OCTAL.match(self._source, begin + 1):
                raise self._refuse("a back reference", begin)
            self._at = self._end_of_escape(begin)
        elif character == "[":
            self._at = self._end_of_set(begin)
        else:
            self._at += 1
            if character != ".":
                return Characters(re.escape(character), flags, begin)
        return Characters(self._source[begin : self._at], flags, begin)

    def _check_anchor(self, *, at_start: bool, length: int) -> None:
        """Reads an anchor: the whole text has to match, so that one at the ends of the expression says nothing new."""
        begin = self._at
        self._at += length
        is_inside = self._has_begun if at_start else COMMENT.sub("", self._source[self._at :])
        if self._depth or is_inside:
            raise self._refuse("an anchor inside the pattern", begin)

    def _group(self, flags: int) -> Node | None:
        begin = self._at
        self._at += 1
        for opening, what in REFUSED_GROUPS.items():
            if self._looks_at(opening):
                raise self._refuse(what, begin)
        if self._looks_at("?P<"):
            self._at = self._source.index(">", self._at) + 1
        elif self._looks_at("?"):
            end = self._source.index(":", self._at)
            flags = self._with_flags(flags, self._source[self._at + 1 : end], begin)
            self._at = end + 1
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._refuse(f"more than {DEEPEST} groups inside each other", begin)
        part = self._choice(flags)
        self._depth -= 1
        self._at += 1  # the closing parenthesis
        return part

    def _end_of_escape(self, begin: int) -> int:
        """Returns where an escape ends: \\n, \\x41, \\u00e9, \\U0001f600, \\N{DIGIT ONE}, \\012."""
        letter = self._source[begin + 1]
        if letter == "N":
            return self._source.index("}", begin) + 1
        if octal := OCTAL.match(self._source, begin + 1):
            return octal.end()
        return begin + 2 + {"x": 2, "u": 4, "U": 8}.get(letter, 0)

    def _end_of_set(self, begin: int) -> int:
        """Returns where a set in brackets ends; a bracket that closes may be the first of its characters."""
        at = begin + 1
        at += self._source.startswith("^", at)
        at += self._source.startswith("]", at)
        while self._source[at] != "]":
            at += 2 if self._source[at] == "\\" else 1
        return at + 1

    def _quantified(self, part: Node) -> Node:
        """Reads what says how often a part is repeated; whether as often or as seldom as possible, is the same."""
        self._has_begun = True
        while comment := COMMENT.match(self._source, self._at):
            self._at = comment.end()
        begin = self._at
        if begin < len(self._source) and self._source[begin] in QUANTIFIERS:
            least, most = QUANTIFIERS[self._source[begin]]
            self._at += 1
        elif (found := COUNTED.match(self._source, begin)) and (found[1] or found[2]):
            least = int(found[1] or 0)
            most = least if not found[2] else int(found[3]) if found[3] else ENDLESS
            self._at = found.end()
        else:
            return part
        if self._looks_at("+"):
            raise self._refuse("a possessive repetition", begin)
        self._at += self._looks_at("?")
        return Repeated(part, least, most)
