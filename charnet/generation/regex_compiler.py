"""Compiles a regular expression to an automaton over an alphabet.

Thompson (1968) gives an automaton with choices; the subset construction (Rabin & Scott 1959) gives one without, over
classes of symbols that no part of the expression tells apart.

Shape legend: S states, C classes of symbols, V symbols in the alphabet.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, quoted
from charnet.generation import regex
from charnet.generation.automaton import DEAD, FAR, Automaton

MOST_STATES = 100_000
MOST_PARTS = 400_000  # of the automaton with choices
MOST_WORK = 1 << 24  # parts that are looked at: a few seconds
MOST_REASONS = 4  # in a message
MOST_CELLS = 1 << 25  # of the table
SURROGATES = range(0xD800, 0xE000)

Transition = tuple[frozenset[int], int]  # the symbols that lead to a state


@lru_cache(8)
def compile_pattern(
    source: str, vocab: Vocabulary, never: frozenset[int] = frozenset(), *, option: str = "--match"
) -> Automaton:
    """Compiles a regular expression.

    Args:
        never: symbols that no text may hold.

    Raises:
        ConfigError: the expression is beyond the subset, no text of the alphabet matches it, or it has too many states.
    """
    builder = _Builder(vocab, never, source, option)
    first, last = builder.add(regex.parse(source, option))
    return builder.determine(first, last)


@dataclass
class _Builder:
    """Builds the automaton with choices: of each state, where it leads without a symbol, and with one."""

    vocab: Vocabulary
    never: frozenset[int]
    source: str
    option: str
    empty: list[list[int]] = field(default_factory=list)
    steps: list[list[Transition]] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    known: dict[tuple[str, int], list[list[frozenset[int]]]] = field(default_factory=dict)
    work: int = 0

    def _state(self) -> int:
        if len(self.empty) >= MOST_PARTS:
            raise ConfigError(f"{self.option}: {quoted(self.source)} repeats too much: more than {MOST_PARTS:,} parts")
        self.empty.append([])
        self.steps.append([])
        return len(self.empty) - 1

    def _spend(self, parts: int) -> None:
        """Counts the parts that were looked at."""
        self.work += parts
        if self.work > MOST_WORK:
            raise ConfigError(f"{self.option}: {quoted(self.source)} is too complicated; repeat fewer optional parts")

    def add(self, node: regex.Node) -> tuple[int, int]:
        """Adds what a part matches; returns its first and its last state."""
        match node:
            case regex.Characters():
                return self._add_characters(node)
            case regex.Sequence(parts):
                first = last = self._state()
                for part in parts:
                    begin, end = self.add(part)
                    self.empty[last].append(begin)
                    last = end
                return first, last
            case regex.Choice(branches):
                first, last = self._state(), self._state()
                for branch in branches:
                    begin, end = self.add(branch)
                    self.empty[first].append(begin)
                    self.empty[end].append(last)
                return first, last
            case regex.Repeated(part, least, most):
                return self._add_repeated(part, least, most)

    def _add_repeated(self, part: regex.Node, least: int, most: int) -> tuple[int, int]:
        first = at = self._state()
        for _ in range(least):
            begin, end = self.add(part)
            self.empty[at].append(begin)
            at = end
        last = self._state()
        self.empty[at].append(last)
        if most == regex.ENDLESS:
            begin, end = self.add(part)
            self.empty[at].append(begin)
            self.empty[end] += [begin, last]
        for _ in range(most - least):
            begin, end = self.add(part)
            self.empty[at].append(begin)
            self.empty[end].append(last)
            at = end
        return first, last

    def _add_characters(self, node: regex.Characters) -> tuple[int, int]:
        first, last = self._state(), self._state()
        key = (node.source, node.flags)
        if key not in self.known:
            self._spend(len(_all_characters()) if self.vocab.of_bytes and not node.literal else len(self.vocab))
            self.known[key] = self._symbols(node, self.never)
            if not self.known[key]:
                known = self._symbols(node, frozenset())
                why = "is never written here" if known else "is not in the alphabet"
                self.notes[f"{_name(node)} {why}: this branch cannot be taken"] = None
        for sequence in self.known[key]:
            at = first
            for symbols in sequence[:-1]:
                following = self._state()
                self.steps[at].append((symbols, following))
                at = following
            self.steps[at].append((sequence[-1], last))
        return first, last

    def _symbols(self, node: regex.Characters, never: frozenset[int]) -> list[list[frozenset[int]]]:
        """Returns the sequences of symbols that stand for one of the characters: sets of ids, one after the other."""
        matches = node.matcher().fullmatch
        if not self.vocab.of_bytes:
            ids = {
                i
                for i, code in enumerate(self.vocab.symbols)
                if i not in never and code <= 0x10FFFF and matches(chr(code))
            }
            return [[frozenset(ids)]] if ids else []
        id_of = {byte: i for i, byte in enumerate(self.vocab.symbols) if i not in never}
        sequences = []
        code = ord(node.literal) if node.literal else 0
        for low, high in [(code, code)] if node.literal else _ranges(node):
            for encoded in _utf8_ranges(low, high):
                sets = [frozenset(id_of[b] for b in range(first, last + 1) if b in id_of) for first, last in encoded]
                if all(sets):
                    sequences.append(sets)
        return sequences

    def determine(self, first: int, last: int) -> Automaton:
        """Builds the automaton without choices."""
        classes, class_V = self._classes()
        closed = self._closures()
        begin = frozenset(closed[first])
        numbers, rows, ends = {begin: 0}, list[dict[int, int]](), list[bool]()
        waiting = deque([begin])
        while waiting:
            states = waiting.popleft()
            ends.append(last in states)
            reached: dict[int, set[int]] = {}
            for state in states:
                for symbols, target in self.steps[state]:
                    self._spend(len(closed[target]) * len(classes[symbols]))
                    for number in classes[symbols]:
                        reached.setdefault(number, set()).update(closed[target])
            row = {}
            for number, targets in reached.items():
                key = frozenset(targets)
                if key not in numbers:
                    if len(numbers) >= MOST_STATES or len(numbers) * (int(class_V.max()) + 1) >= MOST_CELLS:
                        raise ConfigError(
                            f"{self.option}: {quoted(self.source)} has too many states (at most {MOST_STATES:,}, "
                            "fewer of many kinds of characters); make its repetitions shorter"
                        )
                    numbers[key] = len(numbers)
                    waiting.append(key)
                row[number] = numbers[key]
            rows.append(row)
        return self._finish(rows, ends, class_V)

    def _closures(self) -> list[tuple[int, ...]]:
        """Returns the states that each state reaches without a symbol, itself included."""
        closed = []
        for state in range(len(self.empty)):
            seen, waiting = {state}, [state]
            while waiting:
                for following in self.empty[waiting.pop()]:
                    if following not in seen:
                        seen.add(following)
                        waiting.append(following)
            self._spend(len(seen))
            closed.append(tuple(seen))
        return closed

    def _classes(self) -> tuple[dict[frozenset[int], list[int]], npt.NDArray[np.int32]]:
        """Returns the classes of symbols in each set, and the class of each symbol."""
        sets = list(dict.fromkeys(symbols for steps in self.steps for symbols, _ in steps))
        signature: list[list[int]] = [[] for _ in range(len(self.vocab))]
        for number, symbols in enumerate(sets):
            self._spend(len(symbols))
            for symbol in symbols:
                signature[symbol].append(number)
        numbers: dict[tuple[int, ...], int] = {}
        class_V = np.array([numbers.setdefault(tuple(each), len(numbers)) for each in signature], np.int32)
        found: dict[frozenset[int], list[int]] = {symbols: [] for symbols in sets}
        for members, number in numbers.items():
            for member in members:
                found[sets[member]].append(number)
        return found, class_V

    def _finish(self, rows: list[dict[int, int]], ends: list[bool], class_V: npt.NDArray[np.int32]) -> Automaton:
        before: list[list[int]] = [[] for _ in rows]
        for state, row in enumerate(rows):
            for target in row.values():
                before[target].append(state)
        fewest_S = np.where(ends, 0, FAR).astype(np.int32)
        waiting = deque(np.flatnonzero(ends).tolist())
        while waiting:
            state = waiting.popleft()
            for earlier in before[state]:
                if fewest_S[earlier] == FAR:
                    fewest_S[earlier] = fewest_S[state] + 1
                    waiting.append(earlier)
        if fewest_S[0] == FAR:
            reasons = [*self.notes][:MOST_REASONS] or ["nothing is left of it"]
            reasons += [f"and {len(self.notes) - MOST_REASONS:,} more"] * (len(self.notes) > MOST_REASONS)
            typed = f" {quoted(self.source)}" * (self.option == "--match")  # others are made into an expression
            raise ConfigError(f"{self.option}: no text of this model can match{typed}: {'; '.join(reasons)}")
        next_SC = np.full((len(rows), int(class_V.max(initial=0)) + 1), DEAD, np.int32)
        for state, row in enumerate(rows):
            for number, target in row.items():
                if fewest_S[target] < FAR:
                    next_SC[state, number] = target
        return Automaton(next_SC, class_V, fewest_S, tuple(self.notes))


def _name(node: regex.Characters) -> str:
    """Returns how a note names a set of characters."""
    unescaped = re.sub(r"\\(\W)", r"\1", node.source)
    return quoted(unescaped if len(unescaped) == 1 else node.source)


@lru_cache(1)
def _all_characters() -> str:
    return "".join(chr(code) for code in range(0x110000) if code not in SURROGATES)


def _ranges(node: regex.Characters) -> list[tuple[int, int]]:
    """Returns the ranges of code points in a set."""
    codes = np.array([ord(found[0]) for found in node.matcher().finditer(_all_characters())], np.int64)
    gaps = np.flatnonzero(np.diff(codes) > 1) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(codes, gaps) if len(part)]


def _utf8_ranges(low: int, high: int) -> list[list[tuple[int, int]]]:
    """Splits a range of code points into products of ranges of bytes.

    >>> [[(hex(a), hex(b)) for a, b in each] for each in _utf8_ranges(0x7F, 0x80)]
    [[('0x7f', '0x7f')], [('0xc2', '0xc2'), ('0x80', '0x80')]]
    """
    for limit in (0x7F, 0x7FF, 0xFFFF):
        if low <= limit < high:
            return _utf8_ranges(low, limit) + _utf8_ranges(limit + 1, high)
    if high <= 0x7F:
        return [[(low, high)]]
    for shift in (6, 12, 18):
        mask = (1 << shift) - 1
        if low >> shift != high >> shift:
            if low & mask:
                return _utf8_ranges(low, low | mask) + _utf8_ranges((low | mask) + 1, high)
            if high & mask != mask:
                return _utf8_ranges(low, (high & ~mask) - 1) + _utf8_ranges(high & ~mask, high)
    return [list(zip(chr(low).encode(), chr(high).encode(), strict=True))]
