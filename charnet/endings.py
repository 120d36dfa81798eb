"""Where a text ends before its length: filters on pieces of text as they come, each the text up to some place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

UNTIL = ("sentence", "line", "paragraph")
ENDS_BEFORE_SPACE, ENDS_ANYWHERE = ".!?…", "。！？｡"  # of sentences; scripts without spaces do not wait for one
CLOSERS = "\"'”’»)]」』）】"


def until(unit: str, pieces: Iterable[str]) -> Iterator[str]:
    """The first sentence, line or paragraph of a text; all of it where `unit` is empty."""
    if unit == "sentence":
        return first_sentence(pieces)
    if unit == "line":
        return first_lines(1, pieces)
    return first_paragraph(pieces) if unit == "paragraph" else iter(pieces)


def first_lines(count: int, pieces: Iterable[str]) -> Iterator[str]:
    r"""So many lines, without the end of the last; all of them where `count` is 0.

    >>> "".join(first_lines(2, ["one\n", "two\r\nthr", "ee"]))
    'one\ntwo'
    """
    held = ""
    for character in _characters(pieces):
        if character == "\n":
            count -= 1
            if count == 0:
                return
        if character == "\r":  # the first half of a line end, maybe
            yield held
            held = character
        else:
            yield held + character
            held = ""
    yield held


def first_paragraph(pieces: Iterable[str]) -> Iterator[str]:
    r"""The text before its first empty line; empty lines before the first word do not count.

    >>> "".join(first_paragraph(["\n\none\n", "two\n\nthree"]))
    '\n\none\ntwo'
    """
    held, begun = "", False
    for character in _characters(pieces):
        if character in "\r\n" and begun:
            held += character
            if held.count("\n") == 2:
                return
        else:
            yield held + character
            held, begun = "", begun or not character.isspace()
    yield held


def first_sentence(pieces: Iterable[str]) -> Iterator[str]:
    """The text through its first full stop, question or exclamation mark and the quotes and brackets that it closes.

    In scripts with spaces one must follow, so that 3.14 is not the end of a sentence.

    >>> "".join(first_sentence(['He said: "It is 3.14 ', 'miles." Then']))
    'He said: "It is 3.14 miles."'
    >>> "".join(first_sentence(["他来了？！」她说。"]))
    '他来了？！」'
    """
    mark = ""
    for character in _characters(pieces):
        goes_on = bool(mark) and character in CLOSERS + ENDS_ANYWHERE + ENDS_BEFORE_SPACE
        if mark and not goes_on and (mark in ENDS_ANYWHERE or character.isspace()):
            return
        yield character
        if character in ENDS_BEFORE_SPACE + ENDS_ANYWHERE:
            mark = character
        elif not goes_on:
            mark = ""


def _characters(pieces: Iterable[str]) -> Iterator[str]:
    for piece in pieces:
        yield from piece


def before(stops: Sequence[str], pieces: Iterable[str]) -> Iterator[str]:
    """The text up to the first of some others; what might be the beginning of one is held back.

    >>> "".join(before(["END"], ["the E", "NE", "ND of it"]))
    'the EN'
    """
    held = ""
    for piece in pieces:
        held += piece
        found = [at for stop in stops if (at := held.find(stop)) >= 0]
        if found:
            yield held[: min(found)]
            return
        longest = max((n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0)
        if len(held) > longest:
            yield held[: len(held) - longest]
            held = held[len(held) - longest :]
    yield held
