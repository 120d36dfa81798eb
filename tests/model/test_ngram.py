"""The n-gram: its probabilities are those of the counts, its states those of the text, its table never too large."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from distributions import probabilities

from charnet.model.ngram import (
    NOTHING,
    PROBABILITIES,
    ROOT,
    Ngram,
    Stored,
    encode_probabilities,
    longest_order,
)
from charnet.model.ngram_counts import count, smooth

V, START = 5, 4


def text(length: int, seed: int = 1) -> np.ndarray:
    """Characters of which each depends on the one before it, so that longer strings say more."""
    random = np.random.default_rng(seed)
    likely = random.dirichlet(np.full(V, 0.3), size=V)
    ids = [0]
    for _ in range(length - 1):
        ids.append(int(random.choice(V, p=likely[ids[-1]])))
    return np.array(ids, np.uint8)


def stored(ids: np.ndarray, order: int = 4, most_bytes: float = 1e9, ends: list[int] | None = None) -> Stored:
    behind = np.array(ends or [len(ids)])
    begins = np.append(0, behind[:-1])
    return smooth(count(ids, begins, behind, alphabet=V, start_id=START, order=order), most_bytes)


def build(ids: np.ndarray, order: int = 4, **more: object) -> Ngram:
    return Ngram.from_stored(order, stored(ids, order, **more))


def states(ngram: Ngram, ids: np.ndarray) -> list[int]:
    """The state before each character and after the last."""
    node, found = np.array([ROOT]), [ROOT]
    for i in ids.tolist():
        node = ngram.step(node, np.array([i]))
        found.append(int(node[0]))
    return found


class ByDefinition:
    """Interpolated modified Kneser-Ney smoothing, string by string (Chen & Goodman 1999, section 2.8 and 3)."""

    def __init__(self, ids: list[int], order: int) -> None:
        text = [START, *ids]
        raw = [
            Counter(tuple(text[i : i + length]) for i in range(len(text) - length + 1))
            for length in range(1, order + 1)
        ]
        self.counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        self.counts[-1] = raw[-1]
        for length in range(1, order):
            for longer in raw[length]:
                self.counts[length - 1][longer[1:]] += 1
            self.counts[length - 1][tuple(text[:length])] += 1
        self.discounts = [self._discounts(counts) for counts in self.counts]

    @staticmethod
    def _discounts(counts: Counter[tuple[int, ...]]) -> list[float]:
        n = [sum(1 for c in counts.values() if c == times) for times in range(5)]
        if not (n[1] and n[2]):
            return [0, 0.5, 0.5, 0.5]
        y = n[1] / (n[1] + 2 * n[2])
        if not (n[3] and n[4]):
            return [0, y, y, y]
        found = [0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
        return [0, *(min(max(d, 0.1), most) for d, most in zip(found[1:], (1, 2, 3), strict=True))]

    def probability(self, context: tuple[int, ...], symbol: int) -> float:
        shorter = self.probability(context[1:], symbol) if context else 1 / V
        counts, discounts = self.counts[len(context)], self.discounts[len(context)]
        after = {v: counts[(*context, v)] for v in range(V)}
        total = sum(after.values())
        if not total:
            return shorter
        added = {v: max(c - discounts[min(c, 3)], 0) / total for v, c in after.items()}
        return added[symbol] + (1 - sum(added.values())) * shorter


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_probabilities_are_those_of_modified_kneser_ney_smoothing(order: int) -> None:
    learned, read = text(300), text(60, seed=2)
    ngram, expected = build(learned, order), ByDefinition(learned.tolist(), order)
    nodes = states(ngram, read)
    for at in range(len(read)):
        context = tuple(read[max(0, at - order + 1) : at].tolist())
        found = probabilities(ngram, np.array([nodes[at]]))[0]
        # what a string adds is stored to a fortieth, and the rest is left for shorter strings
        assert found == pytest.approx([expected.probability(context, v) for v in range(V)], rel=0.025, abs=0.01)


def test_probabilities_sum_to_one_in_every_state() -> None:
    ngram = build(text(2000), 6)
    p_MV = probabilities(ngram, np.arange(len(ngram.backoff)))
    assert p_MV.min() > 0
    assert p_MV.sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("most_bytes", [1e9, 500])
def test_a_whole_text_gets_the_probabilities_of_its_characters_one_by_one(most_bytes: float) -> None:
    ngram, read = build(text(1000), 5, most_bytes=most_bytes), text(200, seed=3)
    p_TV = probabilities(ngram, np.array(states(ngram, read)[:-1]))
    assert ngram.score(read[None])[0] == pytest.approx(p_TV[np.arange(len(read)), read], rel=1e-6)


def test_rows_are_scored_alone_and_nothing_before_a_text_is_no_context() -> None:
    ngram, rows = build(text(1000), 4), np.stack([text(50, seed=4), text(50, seed=5)])
    padded = np.concatenate([np.full((2, 3), NOTHING), rows], axis=1)
    for found in (ngram.score(rows), ngram.score(padded)[:, 3:]):
        assert found == pytest.approx(np.concatenate([ngram.score(row[None]) for row in rows]))


def test_a_state_is_the_longest_string_of_the_table_that_ends_the_text() -> None:
    ngram, read = build(text(400), 4), text(100, seed=6)
    strings: dict[int, tuple[int, ...]] = {ROOT: ()}
    for node in range(len(ngram.backoff)):
        for entry in range(ngram.first[node], ngram.first[node + 1]):
            strings[entry] = (*strings[node], int(ngram.symbols[entry]))
    contexts = {strings[node] for node in range(len(ngram.backoff))}
    for at, node in enumerate(states(ngram, read)):
        ended = [tuple(read[max(0, at - n) : at].tolist()) for n in range(min(3, at), -1, -1)]
        assert strings[node] == next(string for string in ended if string in contexts)


def test_no_string_reaches_from_one_document_into_the_next() -> None:
    ids = np.array([0, 1, START, 2, 3, START] * 20, np.uint8)
    ngram = build(ids, 4, ends=list(range(3, 121, 3)))
    after = probabilities(ngram, np.array([states(ngram, np.array([0, 1, START]))[-1]]))[0]
    begun = probabilities(ngram, np.array([states(ngram, np.array([START]))[-1]]))[0]
    assert after == pytest.approx(begun)
    assert begun[[0, 2]].min() > 0.4


def test_a_document_counts_whole_though_nothing_comes_before_it() -> None:
    ids = np.array([0, START] * 30 + [1, START] * 10, np.uint8)
    ngram = build(ids, 3, ends=list(range(2, 81, 2)))
    begun = probabilities(ngram, np.array([states(ngram, np.array([START]))[-1]]))[0]
    assert begun[0] == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("most_bytes", [20, 100, 400])
def test_the_table_is_never_larger_than_asked_for_and_keeps_the_most_frequent(most_bytes: int) -> None:
    from charnet.storage.ngram_tensors import to_tensors

    ids = text(3000)
    found = stored(ids, 5, most_bytes)
    tensors = to_tensors(found)
    assert sum(tensor.nbytes for name, tensor in tensors.items() if name != "ngram.base") <= most_bytes + V
    ngram = Ngram.from_stored(5, found)
    if len(ngram) > V:
        pairs = Counter(itertools.pairwise(ids.tolist()))
        (first, second), _ = pairs.most_common(1)[0]
        assert ngram.find(np.array([1 + first]), np.array([second]))[0] != NOTHING


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_text_shorter_than_its_strings_is_counted(length: int) -> None:
    ngram = build(text(length), 6)
    assert probabilities(ngram, np.array([ROOT])).sum() == pytest.approx(1)


def test_probabilities_are_stored_to_a_fortieth() -> None:
    p = np.geomspace(1, 2e-5, 1000)
    assert PROBABILITIES[encode_probabilities(p)] == pytest.approx(p, rel=0.025)


def test_the_longest_strings_fit_into_keys_of_64_bits() -> None:
    for alphabet in (1, 2, 65, 255, 256, 5000, 70_000, 1_114_112):
        assert (alphabet + 1) ** longest_order(alphabet) <= 2**64
        assert longest_order(alphabet) >= 3


def test_a_large_alphabet_is_counted_too() -> None:
    ids = np.arange(2000).repeat(3)
    order = longest_order(2000)
    found = smooth(count(ids, np.array([0]), np.array([6000]), alphabet=2000, start_id=0, order=order), 1e9)
    p = Ngram.from_stored(order, found).score(ids[None])[0]
    assert p[6:].min() > 0.1


ODD: dict[str, dict[str, object]] = {
    "no entry": {"symbols": np.zeros(0, np.int32)},
    "a symbol outside": {"symbols": "outside"},
    "symbols out of order": {"symbols": "reversed"},
    "too many followers": {"followers": "more"},
    "too few levels": {"followers": "none"},
    "a base of another size": {"base_V": np.zeros(0, np.float32)},
    "a base that is none": {"base_V": np.full(V, np.nan, np.float32)},
    "a base of zeros": {"base_V": np.array([1, 0, 0, 0, 0], np.float32)},
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_ngram_is_refused(kind: str) -> None:
    good = stored(text(300), 3)
    changed = {
        "outside": np.where(np.arange(len(good.symbols)) == 7, V, good.symbols),
        "reversed": good.symbols[::-1].copy(),
        "more": good.followers + 1,
        "none": np.zeros_like(good.followers),
    }
    values = {name: changed[value] if isinstance(value, str) else value for name, value in ODD[kind].items()}
    Ngram.from_stored(3, good)
    with pytest.raises(ValueError, match="an n-gram"):
        Ngram.from_stored(3, good._replace(**values))


def test_an_entry_without_its_end_is_refused() -> None:
    base_V = np.full(2, 0.5, np.float32)
    followers = np.array([1, 0, 1], np.int32)  # the strings aa and aab, but no ab
    with pytest.raises(ValueError, match="lacks the end"):
        Ngram.from_stored(3, Stored(np.array([0, 1], np.int32), np.zeros(2, np.uint8), followers, base_V))


@pytest.mark.parametrize("order", [0, 1, 17, -3])
def test_an_order_out_of_range_is_refused(order: int) -> None:
    with pytest.raises(ValueError, match="odd shape"):
        Ngram.from_stored(order, stored(text(300), 3))
