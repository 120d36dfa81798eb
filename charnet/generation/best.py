"""Chooses the best of several texts that were written for one that was asked for.

A score is a number of a whole text: the lowest wins, of equal ones the first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from charnet.config import LARGEST_COUNT
from charnet.data.copy_index import CopyIndex
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, quoted
from charnet.generation.detokenizer import Chunk
from charnet.limits import Limits, converted

MOST_DIGITS = len(str(LARGEST_COUNT)) + 1  # of a length: a number with more is too large as well
WAYS = ("nats", "copies", "length:K")  # as `--best-by` takes them


class Candidate(NamedTuple):
    """A text that is complete, and the nats of each of its characters."""

    text: str
    nats: tuple[float, ...]


Score = Callable[[Candidate], float]


def nats_per_char(candidate: Candidate) -> float:
    """Returns how unexpected a text is to the model, on average; a text without a character never wins."""
    return sum(candidate.nats) / len(candidate.nats) if candidate.nats else math.inf


def longest_copy(index: CopyIndex, vocab: Vocabulary) -> Score:
    """Returns the score that is the longest run of symbols of a text that stands in the learned one. A run that the
    index does not find counts as 0, and a text without a character never wins."""

    def score(candidate: Candidate) -> float:
        ids = vocab.encode_known(candidate.text)[0]
        return int(index.runs(ids)[0].max()) if len(ids) else math.inf

    return score


def _no_index(_: Candidate) -> float:
    raise ConfigError("--best-by copies: needs the text that the model learned from")


def score_of(way: str, copied: Score = _no_index) -> Score:
    """Returns the score for a way to choose: `nats` a character, how much of it is `copied`, or the distance to a
    `length:K` in characters.

    Args:
        copied: the score for `copies`.

    >>> score_of("length:5")(Candidate("abc", ()))
    2

    Raises:
        ConfigError: there is no such way.
    """
    name, _, argument = way.partition(":")
    if way == "nats":
        return nats_per_char
    if way == "copies":
        return copied
    if name == "length" and argument.isascii() and argument.isdigit():
        length = int(argument.lstrip("0")[:MOST_DIGITS] or "0")
        if length > LARGEST_COUNT:
            raise ConfigError(f"--best-by length: expected at most {LARGEST_COUNT}, found {quoted(argument)}")
        return lambda candidate: abs(len(candidate.text) - length)
    raise ConfigError(f"--best-by: expected one of {', '.join(WAYS)}, K a number of characters, found {quoted(way)}")


def best_of(
    texts: Iterable[Iterable[Chunk]], count: int, way: str, *, first: int = 0, copied: Score = _no_index
) -> Iterator[list[Chunk]]:
    """Yields the best of each `count` texts that follow each other. Its facts have the scores of all.

    Args:
        texts: with the nats of their characters.
        way, copied: as `score_of` takes them.
        first: the index of the first text.
    """
    score = score_of(way, copied)
    Limits("", low=1).check("--best-of", converted("--best-of", count, int))
    remaining = iter(texts)
    for begin in itertools.count(first, count):
        complete = [list(chunks) for chunks in itertools.islice(remaining, count)]
        if not complete:
            return
        scores = [score(_candidate(chunks)) for chunks in complete]
        best = min(range(len(scores)), key=scores.__getitem__)
        shown = [value if math.isfinite(value) else None for value in scores]
        fact = {"by": way, "index": begin + best, "first": begin, "scores": shown}
        yield [*complete[best], Chunk("", facts=(("best_of", fact),))]


def _candidate(chunks: Iterable[Chunk]) -> Candidate:
    complete = list(chunks)
    return Candidate("".join(chunk.text for chunk in complete), tuple(n for chunk in complete for n in chunk.nats))
