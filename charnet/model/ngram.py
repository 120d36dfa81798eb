"""An n-gram model of characters: probabilities by the last n - 1 characters, from counts in a text. Needs no torch.

It is interpolated: the distribution after a context is that after the context without its oldest character, times the
weight of backing off, plus what the counts after the whole context add. So an entry of the table is a string of 2 to n
characters with the probability that it adds; the weight of a context is what its entries leave of one. Entries form a
trie: those that begin with the same string lie together behind it. Each knows the entry of its string without the
oldest character (the suffix link of Aho & Corasick 1975), so that the state of a text is one number: the entry of the
longest string of at most n - 1 characters that is in the table and ends the text.

Shape legend: V characters in the alphabet, E entries (the root, then V single characters, then strings of 2 to n
characters by length), M entries of fewer than n characters, B texts, T characters of each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROOT, NOTHING = 0, -1  # the entry of the empty string; in place of an id before the start of a text
LONGEST = 16  # characters
BITS_OF_KEY = 64
LEVELS, LEVELS_PER_HALVING = 256, 16  # a probability is stored as the number of sixteenths of a halving; 255 is zero
LARGEST_SUM = np.float32(1 - 2**-10)  # of the entries after a context: something is always left for shorter ones

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


class WeightedNgram(NamedTuple):
    """An n-gram beside networks: in the mean of their probabilities its weight is `share`, 0 < share < 1."""

    table: Ngram
    share: float


class Stored(NamedTuple):
    """An n-gram as it is stored; see `Ngram.from_stored`."""

    symbols: Ints
    codes: Bytes
    followers: Ints
    base_V: Floats


class Ngram:
    """The table. All its arrays are read only by convention, and may be used by several threads.

    Attributes:
        order: n.
        first: (M + 1): where the entries begin that continue an entry by one character.
        symbols: (E): the last character of each entry.
        added: (E): the probability that an entry adds to that of shorter contexts.
        link: (E): the entry without its oldest character.
        backoff: (M): what is left for shorter contexts.
        base_V: the distribution without context.
    """

    def __init__(self, order: int, first: Ints, symbols: Ints, added: Floats, link: Ints, base_V: Floats) -> None:
        self.order, self.first, self.symbols, self.added, self.link = order, first, symbols, added, link
        self.base_V = base_V
        sums = _sums(added, first)
        self.backoff = (1 - sums).astype(np.float32)
        self._keys = _keys(first, symbols, len(base_V))

    def __len__(self) -> int:
        """The number of entries, single characters included."""
        return len(self.symbols) - 1

    @classmethod
    def from_stored(cls, order: int, stored: Stored) -> Ngram:
        """Builds the table from what is stored.

        Args:
            stored: `symbols` are the last characters of all entries of two characters and more, `codes` their
                probabilities, `followers` how many entries continue each entry of fewer than n characters (without the
                root), `base_V` the distribution without context.

        Raises:
            ValueError: it is no n-gram of this order.
        """
        base_V, alphabet = stored.base_V, len(stored.base_V)
        if not 2 <= order <= LONGEST or not alphabet or len(stored.symbols) != len(stored.codes):
            raise ValueError("an n-gram of an odd shape")
        if not (np.isfinite(base_V).all() and base_V.min() > 0 and abs(float(base_V.sum()) - 1) < 0.001):
            raise ValueError("an n-gram whose base is no distribution")
        total = 1 + alphabet + len(stored.symbols)
        followers = np.append(np.int64(alphabet), stored.followers.astype(np.int64))
        if followers.min() < 0 or followers.sum() != total - 1 or not _has_levels(order, stored.followers, alphabet):
            raise ValueError("an n-gram with gaps")
        first = np.append(np.int64(1), 1 + np.cumsum(followers)).astype(np.int32)
        symbols = np.concatenate([np.zeros(1, np.int32), np.arange(alphabet, dtype=np.int32), stored.symbols])
        if symbols.min() < 0 or symbols.max() >= alphabet or not _are_sorted(symbols, first):
            raise ValueError("an n-gram with symbols out of order")
        added = np.concatenate([np.zeros(1 + alphabet, np.float32), PROBABILITIES[stored.codes]])
        sums = _sums(added, first)
        scale = np.where(sums > LARGEST_SUM, LARGEST_SUM / np.maximum(sums, LARGEST_SUM), 1).astype(np.float32)
        added[1:] *= np.repeat(scale, np.diff(first))
        return cls(order, first, symbols, added, _links(first, symbols, alphabet), base_V)

    def find(self, nodes: npt.NDArray[np.integer], symbols: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Returns the entries that continue entries by a character each; `NOTHING` where there is none."""
        wanted = np.where((nodes >= 0) & (nodes < len(self.backoff)), nodes.astype(np.int64), NOTHING)
        keys = wanted * len(self.base_V) + symbols
        at = np.searchsorted(self._keys, keys)
        found = self._keys[np.minimum(at, len(self._keys) - 1)] == keys
        return np.where(found & (wanted >= 0) & (symbols >= 0), at + 1, NOTHING)

    def step(self, nodes_B: npt.NDArray[np.integer], symbols_B: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Returns the states of texts after one more character of each."""
        nodes_B = nodes_B.astype(np.int64)
        found_B = self.find(nodes_B, symbols_B)
        while (missing := np.flatnonzero(found_B < 0)).size:
            nodes_B[missing] = self.link[nodes_B[missing]]
            found_B[missing] = self.find(nodes_B[missing], symbols_B[missing])
        leaves = len(self.backoff)  # an entry of n characters is no context; without its oldest one it is
        return np.where(found_B < leaves, found_B, self.link[found_B])

    def distribution(self, node: int, shorter_V: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the distribution (V) after a state, from that after its link. After the root it is `base_V`."""
        p_V: npt.NDArray[Any] = self.backoff[node] * shorter_V
        begin, end = self.first[node], self.first[node + 1]
        p_V[self.symbols[begin:end]] += self.added[begin:end]
        return p_V

    def score(self, ids_BT: npt.NDArray[np.integer]) -> Doubles:
        """Returns the probability of each character given those before it in its row, (B, T).

        Args:
            ids_BT: `NOTHING` where there is no character; its probability means nothing.
        """
        ids_BT = ids_BT.astype(np.int64)
        p_BT = self.base_V[np.maximum(ids_BT, 0)].astype(np.float64)
        ended_BT = np.where(ids_BT >= 0, 1 + ids_BT, NOTHING)  # the entry of the last k characters, at first of one
        for _ in range(self.order - 1):
            context_BT = np.full_like(ids_BT, NOTHING)
            context_BT[:, 1:] = ended_BT[:, :-1]
            ended_BT = self.find(context_BT, ids_BT)
            known = context_BT >= 0
            backoff_BT = np.where(known, self.backoff[np.where(known, context_BT, 0)], 1)
            p_BT = np.where(ended_BT >= 0, self.added[np.maximum(ended_BT, 0)], 0) + backoff_BT * p_BT
        return np.asarray(p_BT)


PROBABILITIES = np.append(2.0 ** (-np.arange(LEVELS - 1) / LEVELS_PER_HALVING), 0).astype(np.float32)


def encode_probabilities(added: npt.NDArray[np.floating]) -> Bytes:
    """Rounds probabilities to the nearest of the 256 that are stored.

    >>> PROBABILITIES[encode_probabilities(np.array([1.0, 0.5, 0.3, 0.0]))].round(2).tolist()
    [1.0, 0.5, 0.30000001192092896, 0.0]
    """
    with np.errstate(divide="ignore"):
        halvings = -np.log2(added)
    return np.asarray(np.minimum(np.rint(halvings * LEVELS_PER_HALVING), LEVELS - 1).astype(np.uint8))


def longest_order(alphabet: int) -> int:
    """Returns the largest n of which the characters fit into a key of 64 bits, at most `LONGEST`.

    >>> longest_order(65), longest_order(5000)
    (9, 4)
    """
    return min(LONGEST, BITS_OF_KEY // alphabet.bit_length())


def _sums(added: Floats, first: Ints) -> Doubles:
    """Returns the sum of what the entries after each context add."""
    running = np.append(0.0, np.cumsum(added, dtype=np.float64))
    return np.asarray(running[first[1:]] - running[first[:-1]])


def _has_levels(order: int, followers: Ints, alphabet: int) -> bool:
    """Checks that the strings of fewer than n characters are as many as there are followers."""
    begin, count = 0, alphabet
    for _ in range(order - 1):
        end = begin + count
        if end > len(followers):
            return False
        begin, count = end, int(followers[begin:end].sum())
    return begin == len(followers)


def _are_sorted(symbols: Ints, first: Ints) -> bool:
    """Checks that the entries after each context have ascending symbols."""
    ascends = np.append(np.diff(symbols) > 0, True)
    ascends[first[1:] - 1] = True  # the last of its context
    ascends[0] = True
    return bool(ascends.all())


def _keys(first: Ints, symbols: Ints, alphabet: int) -> npt.NDArray[np.int64]:
    """Returns ascending keys of all entries but the root: of the entry before their last character, and of that."""
    return np.repeat(np.arange(len(first) - 1, dtype=np.int64), np.diff(first)) * alphabet + symbols[1:]


def _links(first: Ints, symbols: Ints, alphabet: int) -> Ints:
    """Returns the entry without its oldest character of each entry.

    Raises:
        ValueError: it is not in the table.
    """
    keys = _keys(first, symbols, alphabet)
    link = np.zeros(len(symbols), np.int32)
    begin, end = 1 + alphabet, int(first[min(1 + alphabet, len(first) - 1)])
    while begin < end:
        parents = keys[begin - 1 : end - 1] // alphabet
        wanted = link[parents].astype(np.int64) * alphabet + symbols[begin:end]
        at = np.searchsorted(keys[: begin - 1], wanted)
        if (keys[np.minimum(at, begin - 2)] != wanted).any():
            raise ValueError("an n-gram that lacks the end of an entry")
        link[begin:end] = at + 1
        begin, end = end, int(first[end]) if end < len(first) else end
    return link
