"""Finds the head and foot that Project Gutenberg puts around a book: a description, and a license of many pages.

The lines that mark them have changed since 1990. A head or foot is one only if it is short; so a book that quotes such
a line stays whole, and memory is bounded.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from charnet.errors import plural

LONGEST = 1 << 16  # characters of a head or a foot, or of a foot with the head of the next book behind it
LONGEST_MARK = 100  # characters
NAMES = ("PROJECT GUTENBERG", "Project Gutenberg")

START = r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)[^*]{0,400}\*\*\*"
SMALL_PRINT = r"\*END\*? ?THE SMALL PRINT![^\r\n]*"  # the last line of the head until 2003
HEAD = re.compile(rf"(?<![^\r\n])(?:{START}|{SMALL_PRINT})[^\S\r\n]*[\r\n]*", re.IGNORECASE)
NEXT_HEAD = re.compile(rf"(?<![^\r\n]){START}[^\S\r\n]*[\r\n]*", re.IGNORECASE)
FOOT = re.compile(
    r"(?<=[\r\n])(?:\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)"
    r"|END OF (?:THE |THIS )?PROJECT GUTENBERG)",
    re.IGNORECASE,
)
LINE = re.compile(r"[^\r\n]*[\r\n]*")

Part = tuple[str, str]  # a text, and its kind: head, book or foot


def strip(pieces: Iterable[str], found: dict[str, int], *, take_off: bool = True) -> Iterator[str]:
    """Passes on a text that comes in pieces, without heads and feet. The result does not depend on where it is cut.

    Args:
        found: gets the number of characters in a "head" and in a "foot".
        take_off: whether they are left out, or only counted.

    >>> found = {}
    >>> book = "*** START OF THE PROJECT GUTENBERG EBOOK X ***\\nOnce.\\n*** END OF THE PROJECT GUTENBERG EBOOK X ***"
    >>> list(strip([book], found)), found
    (['Once.\\n'], {'head': 47, 'foot': 44})
    """
    text, kind = "", "head"
    for piece, is_last in _mark_last(pieces):
        parts, text, kind = _split(text + piece, kind, is_last=is_last)
        for part, what in parts:
            if what != "book":
                found[what] = found.get(what, 0) + len(part)
            if part and (what == "book" or not take_off):
                yield part


def _mark_last(pieces: Iterable[str]) -> Iterator[tuple[str, bool]]:
    yield from itertools.chain(((piece, False) for piece in pieces), [("", True)])


def _split(text: str, kind: str, *, is_last: bool) -> tuple[list[Part], str, str]:
    """Splits a text that begins with a part of some kind; for a head this kind is a guess.

    Returns:
        The parts whose kind is certain, the rest of the text, and the kind of that.
    """
    parts: list[Part] = []
    while text:
        if kind == "book":
            foot = FOOT.search(text) if _may_mark(text) else None
            cut = foot.start() if foot else len(text) if is_last else _last_line_end(text)
            parts.append((text[:cut], "book"))
            text = text[cut:]
            if not foot:
                break
            kind = "foot"
        if len(text) <= LONGEST and not is_last:
            break
        if end := _end_of_head(text[:LONGEST], kind):
            parts.append((text[:end], kind))
            text = text[end:]
        elif kind == "foot" and len(text) <= LONGEST:
            parts.append((text, kind))
            text = ""
        elif line := LINE.match(text) if kind == "foot" else None:  # a line that the book quotes
            parts.append((text[: line.end()], "book"))
            text = text[line.end() :]
        kind = "book" if text else kind
    return parts, text, kind


def _may_mark(text: str) -> bool:
    """Returns whether a text can hold a mark: this takes a hundredth of the time of the patterns."""
    return any(name in text for name in NAMES)


def _end_of_head(text: str, kind: str) -> int:
    """Returns the end of the head at the start of a text, or of the foot and the head of the next book; 0 if none."""
    if not _may_mark(text) and "SMALL PRINT" not in text:
        return 0
    if kind == "foot":
        head = NEXT_HEAD.search(text)
        return head.end() if head else 0
    foot = FOOT.search(text)
    return max((head.end() for head in HEAD.finditer(text, 0, foot.start() if foot else len(text))), default=0)


def _last_line_end(text: str) -> int:
    """Returns where the last line end begins, if the last line is short enough to be the start of a mark."""
    at = max(text.rfind("\n"), text.rfind("\r"))
    return at if at >= 0 and len(text) - at <= LONGEST_MARK else len(text)


def note(found: Sequence[Mapping[str, int]], *, take_off: bool) -> list[str]:
    """Returns a sentence about the heads and feet in some files."""
    kinds = {kind: sum(each.get(kind, 0) for each in found) for kind in ("head", "foot")}
    what = " and ".join(f"{kind} ({plural(count, 'character')})" for kind, count in kinds.items() if count)
    if not what:
        return ["--strip gutenberg: no head or foot of Project Gutenberg was found"] * take_off
    where = f" in {sum(map(bool, found)):,} of {plural(len(found), 'file')}" if len(found) > 1 else ""
    if take_off:
        return [f"taken off: Project Gutenberg's {what}{where}"]
    return [f"Project Gutenberg's {what}{where}: --strip gutenberg takes them off"]
