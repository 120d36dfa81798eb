"""Chooses the best of several texts that were written for one that was asked for.

A score is a number of a whole text: the lowest wins, of equal ones the first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from charnet.errors import ConfigError, quoted
from charnet.generation.detokenizer import Chunk
from charnet.limits import Limits, converted

WAYS = ("nats", "length:K")  # as `--best-by` takes them


class Candidate(NamedTuple):
    """A text that is complete, and the nats of each of its characters."""

    text: str
    nats: tuple[float, ...]


Score = Callable[[Candidate], float]


def nats_per_char(candidate: Candidate) -> float:
    """Returns how unexpected a text is to the model, on average; a text without a character never wins."""
    return sum(candidate.nats) / len(candidate.nats) if candidate.nats else math.inf


def score_of(way: str) -> Score:
    """Returns the score for a way to choose: `nats` a character, or the distance to a `length:K` in characters.

    >>> score_of("length:5")(Candidate("abc", ()))
    2

    Raises:
        ConfigError: there is no such way.
    """
    name, _, argument = way.partition(":")
    if way == "nats":
        return nats_per_char
    if name == "length" and argument.isascii() and argument.isdigit():
        length = int(argument)
        return lambda candidate: abs(len(candidate.text) - length)
    raise ConfigError(f"--best-by: expected {' or '.join(WAYS)}, K a number of characters, found {quoted(way)}")


def best_of(texts: Iterable[Iterable[Chunk]], count: int, way: str) -> Iterator[list[Chunk]]:
    """Yields the best of each `count` texts that follow each other. Its facts have the scores of all.

    Args:
        texts: with the nats of their characters.
        way: as `score_of` takes it.
    """
    score = score_of(way)
    Limits("", low=1).check("--best-of", converted("--best-of", count, int))
    remaining = iter(texts)
    for first in itertools.count(0, count):
        complete = [list(chunks) for chunks in itertools.islice(remaining, count)]
        if not complete:
            return
        scores = [score(_candidate(chunks)) for chunks in complete]
        best = min(range(len(scores)), key=scores.__getitem__)
        shown = [value if math.isfinite(value) else None for value in scores]
        fact = {"by": way, "index": first + best, "first": first, "scores": shown}
        yield [*complete[best], Chunk("", facts=(("best_of", fact),))]


def _candidate(chunks: Iterable[Chunk]) -> Candidate:
    complete = list(chunks)
    return Candidate("".join(chunk.text for chunk in complete), tuple(n for chunk in complete for n in chunk.nats))
