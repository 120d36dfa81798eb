"""What can be said of each place of a text: its column in the line, whether it is inside quotes, or inside a match of a
pattern of the user's.

A place is described as it is after its character was read, since that is when a unit's value is looked at.

Shape legend: N characters of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import regex

from charnet.data.encoded_copy import Ids
from charnet.data.vocab import Vocabulary, code_points
from charnet.errors import ConfigError, quoted
from charnet.insight.passages import Passages

BEFORE, BEHIND, FURTHEST = 1000, 600, 1 << 20  # characters around a passage; in which its line begins
SECONDS = 2.0  # for a pattern in one passage
OPENING, CLOSING = "([{（【《〔「『", ")]}）】》〕」』"
SENTENCE_ENDS = ".!?。！？…"
VOWELS = frozenset("aeiouyàáâäæãåèéêëìíîïòóôöøœõùúûüýÿаеёиоуыэюяαεηιουω")
QUOTED = regex.compile(
    r'"(?:[^"\n]|\n(?![^\S\n]*\n)){0,600}"|“[^”]{0,600}”|„[^“”]{0,600}[“”]|«[^»]{0,600}»|「[^」]{0,600}」|『[^』]{0,600}』'
)
SPEAKER = regex.compile(r"^[^\S\n]*\p{Lu}[\p{L}\p{M}'’.\- ]{0,40}:|^\p{Han}{1,6}[：:]", regex.MULTILINE)

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Property:
    """A property of each place; `is_flag` if it holds or does not, else it is a number."""

    name: str
    is_flag: bool
    values_N: Values


def compile_patterns(patterns: Sequence[str]) -> list[regex.Pattern[str]]:
    """Compiles patterns of the user.

    Raises:
        ConfigError: one of them is empty or not a regular expression.
    """
    found = []
    for pattern in patterns:
        if not pattern:
            raise ConfigError("--find '': nothing to find; give a regular expression")
        try:
            found.append(regex.compile(pattern, regex.MULTILINE))
        except (regex.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"--find {quoted(pattern)}: not a regular expression: {error}") from None
    return found


def of_passages(passages: Passages, vocab: Vocabulary, patterns: Sequence[regex.Pattern[str]]) -> list[Property]:
    """Returns all properties of all places of some passages, one passage behind the other.

    Raises:
        ConfigError: a pattern takes too long.
    """
    parts: dict[str, tuple[bool, list[Values]]] = {}
    is_running_text = bool(passages.warm_S.any()) or len(passages.begins_S) == 1
    line_end = vocab.symbols.index(0x0A) if 0x0A in vocab.symbols else None
    for begin, end in zip(passages.begins_S.tolist(), passages.ends_S.tolist(), strict=True):
        first = max(0, begin - BEFORE) if is_running_text else begin
        behind = min(len(passages.ids), end + BEHIND) if is_running_text else end
        text, character_N = decoded(vocab, np.asarray(passages.ids[first:behind]))
        in_line = _characters_in_line(passages.ids, first, line_end) if is_running_text else 0
        for found in _properties(text, patterns, in_line):
            values = found.values_N[character_N][begin - first : end - first]
            parts.setdefault(found.name, (found.is_flag, []))[1].append(values)
    return [Property(name, is_flag, np.concatenate(values)) for name, (is_flag, values) in parts.items()]


def _characters_in_line(ids: Ids, at: int, line_end: int | None) -> int:
    """Returns how many symbols of a line come before a place."""
    if line_end is not None and at:
        first = max(0, at - FURTHEST)
        found = np.flatnonzero(np.asarray(ids[first:at]) == line_end)
        return at - first - 1 - int(found[-1]) if len(found) else at - first
    return 0


def decoded(vocab: Vocabulary, ids_N: npt.NDArray[np.integer]) -> tuple[str, npt.NDArray[np.int64]]:
    """Returns a text, and of each id the index of its character: a character may take several bytes."""
    text = vocab.decode(ids_N.tolist())
    if not vocab.of_bytes:
        return text, np.arange(len(ids_N))
    sizes = [len(character.encode("utf-8", "surrogateescape")) for character in text]
    return text, np.repeat(np.arange(len(text)), sizes)[: len(ids_N)]


def _properties(text: str, patterns: Sequence[regex.Pattern[str]], in_line: int) -> Iterator[Property]:
    codes_N = code_points(text)
    kinds, kind_N = np.unique(codes_N, return_inverse=True)

    def where(holds: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
        found = np.array([holds(chr(code)) for code in kinds.tolist()], bool)
        return found[kind_N] if len(kinds) else np.zeros(0, bool)

    def number(name: str, values: npt.NDArray[np.generic]) -> Property:
        return Property(name, False, values.astype(np.float32))

    def flag(name: str, values: npt.NDArray[np.bool_]) -> Property:
        return Property(name, True, values.astype(np.float32))

    line_end, is_word, is_space = where(lambda c: c in "\n\r\u2028"), where(str.isalnum), where(str.isspace)
    is_han = where(lambda c: "\u3400" <= c <= "\u9fff" or "\U00020000" <= c <= "\U0003ffff")
    column = _since(line_end, in_line)
    is_word &= ~is_han  # Chinese has no spaces between its words
    yield number("column in the line", column)
    yield number("closeness to the last line end", np.where(line_end.any(), 1 / (1 + column), 0))
    yield number("place in the word", np.where(is_word, _since(~is_word), 0))
    yield number("place in the sentence", _since(where(lambda c: c in SENTENCE_ENDS)))
    yield number("indentation", _indentation(line_end, is_space & ~line_end))
    depth = _depth(where(lambda c: c in OPENING), where(lambda c: c in CLOSING))
    yield number("depth of brackets", depth)
    yield flag("inside brackets", depth > 0)
    yield flag("inside quotes", _inside(text, QUOTED, without_end=True))
    yield flag("inside a speaker's name", _inside(text, SPEAKER))
    yield flag("upper case", where(str.isupper))
    yield flag("vowel", where(lambda c: c.casefold() in VOWELS))
    yield flag("digit", where(str.isdigit))
    yield flag("space", is_space)
    yield flag("punctuation", ~(is_word | is_space | is_han))
    yield flag("Chinese character", is_han)
    for pattern in patterns:
        yield flag(f"inside a match of {pattern.pattern}", _inside(text, pattern))


def _since(at_N: npt.NDArray[np.bool_], before: int = 0) -> npt.NDArray[np.int64]:
    """Returns the number of characters since the last place where something held, 0 there; 0 if it never held.

    Args:
        before: how many characters ago it held before the first one.

    >>> _since(np.array([False, True, False, False])).tolist(), _since(np.array([False, False])).tolist()
    ([1, 0, 1, 2], [0, 0])
    """
    if not (at_N.any() or before):
        return np.zeros(len(at_N), np.int64)
    index_N = np.arange(len(at_N))
    return index_N - np.maximum.accumulate(np.where(at_N, index_N, -1 - before))


def _indentation(line_end_N: npt.NDArray[np.bool_], space_N: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Returns the spaces at the start of the line so far.

    >>> _indentation(np.array([False, False, False, True]), np.array([True, False, True, False])).tolist()
    [1, 1, 1, 0]
    """
    index_N = np.arange(len(line_end_N))
    begins_N = np.maximum.accumulate(np.where(np.append(True, line_end_N)[: len(index_N)], index_N, 0))

    def in_line(flag_N: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        total_N = np.append(0, np.cumsum(flag_N))
        return np.asarray(total_N[index_N + 1] - total_N[begins_N])

    leads_N = space_N & (in_line(~space_N & ~line_end_N) == 0)
    return np.where(line_end_N, 0, in_line(leads_N))


def _depth(opens_N: npt.NDArray[np.bool_], closes_N: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Returns how many brackets are open; one that was never opened closes nothing.

    >>> _depth(np.array([False, True, True, False]), np.array([True, False, False, True])).tolist()
    [0, 1, 2, 1]
    """
    sum_N = np.cumsum(opens_N.astype(np.int64) - closes_N)
    return sum_N - np.minimum(np.minimum.accumulate(sum_N), 0) if len(sum_N) else sum_N


def _inside(text: str, pattern: regex.Pattern[str], *, without_end: bool = False) -> npt.NDArray[np.bool_]:
    """Returns which places are inside a match; `without_end`: not its last character, after which it has ended."""
    inside_N = np.zeros(len(text), bool)
    try:
        for found in pattern.finditer(text, timeout=SECONDS):
            inside_N[found.start() : found.end() - without_end] = True
    except TimeoutError:
        raise ConfigError(
            f"--find {quoted(pattern.pattern)}: the pattern takes too long on this text; write it in a simpler way"
        ) from None
    return inside_N
