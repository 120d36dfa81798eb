"""What a model expects: the distribution of the next character at each place, and the places that surprised it most.

Here the whole model speaks, its n-gram included, as it does when it writes.

Shape legend: B texts, T characters, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.data.split import Part
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.engines.sampling import softmax
from charnet.evaluation.mixing import Mixture, Targets
from charnet.insight.passages import Passages
from charnet.insight.trace import Observation
from charnet.model.ngram import WeightedNgram

MOST_LIKELY = 5  # characters of a distribution that are kept
WORST, AROUND, READ_BEFORE = 20, 40, 300  # places; characters shown before and behind; characters that are read before

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """A place: its character, the loss there in nats, and what was likely: pairs of an id and a probability."""

    id: int
    nats: float
    likely: list[tuple[int, float]]


def read_aloud(engine: Engine, passages: Passages, start_id: int) -> list[Expected]:
    """Reads passages one by one, each from an empty memory; returns what was expected at each character."""
    found = []
    for begin, end in zip(passages.begins_S.tolist(), passages.ends_S.tolist(), strict=True):
        state, last = engine.start(1), start_id
        for index in np.asarray(passages.ids[begin:end]).tolist():
            logits_BV, state = engine.advance([last], state)
            found.append(_expected(softmax(logits_BV[0]), index))
            last = index
    return found


def _expected(p_V: Floats, index: int) -> Expected:
    likely = np.argsort(-p_V, kind="stable")[:MOST_LIKELY]
    nats = -float(np.log(max(p_V[index], np.finfo(np.float64).tiny)))
    return Expected(index, nats, [(int(each), float(p_V[each])) for each in likely])


@dataclass(frozen=True)
class Surprise:
    """One of the places that surprised a model most; `at` is its index in the text. Texts are lists of ids."""

    at: int
    before: list[int]
    expected: Expected
    behind: list[int]


def with_ngram(seen: Observation, passages: Passages, ngram: WeightedNgram | None, start_id: int) -> Floats:
    """Returns the loss of networks and n-gram together at each place that counts, (N)."""
    if ngram is None:
        return seen.nats_ST[seen.counted_ST]
    first_S = passages.begins_S - passages.warm_S
    targets = Targets(passages.ids, first_S, passages.begins_S, start_id, seen.counted_ST)
    return Mixture(ngram).nats(seen.nats_ST, targets)


def worst(
    engine: Engine, text: Part, passages: Passages, seen: Observation, nats_N: Floats, start_id: int
) -> list[Surprise]:
    """Returns the places of passages with the largest losses; places close to a worse one are left out."""
    at_ST = passages.begins_S[:, None] + np.arange(seen.counted_ST.shape[1])
    at_N = at_ST[seen.counted_ST]
    of_N = np.nonzero(seen.counted_ST)[0]
    chosen: list[int] = []
    for number in np.argsort(-nats_N, kind="stable").tolist():
        if all(abs(int(at_N[number]) - int(at_N[other])) > MOST_LIKELY for other in chosen):
            chosen.append(number)
        if len(chosen) == WORST:
            break
    documents = text.documents is not None
    begins = passages.begins_S[of_N] if documents else np.zeros(len(at_N), np.int64)
    ends = passages.ends_S[of_N] if documents else np.full(len(at_N), len(passages.ids))
    return [_surprise(engine, passages.ids, int(at_N[n]), int(begins[n]), int(ends[n]), start_id) for n in chosen]


def _surprise(engine: Engine, ids: Any, at: int, begin: int, end: int, start_id: int) -> Surprise:
    first = max(begin, at - READ_BEFORE)
    before = np.asarray(ids[first:at]).tolist()
    state = engine.start(1)
    logits_BV, state = engine.advance([start_id], state) if first == begin else (None, state)
    for index in before:
        logits_BV, state = engine.advance([index], state)
    assert logits_BV is not None
    expected = _expected(softmax(logits_BV[0]), int(ids[at]))
    return Surprise(at, before[-AROUND:], expected, np.asarray(ids[at + 1 : min(end, at + 1 + AROUND // 2)]).tolist())


def shown(vocab: Vocabulary, ids: Sequence[int], *, more: str = "·") -> list[str]:
    """Returns a text of each id for readers. Of a character of several bytes the first one shows it, and the others are
    `more`; the end of a document is that of a line.

    >>> shown(Vocabulary((0x61, 0xA9, 0xC3), of_bytes=True), [2, 1, 0, 1])
    ['é', '·', 'a', '<A9>']
    """
    if not vocab.of_bytes:
        return [_character(vocab, index) for index in ids]
    raw = bytes(min(vocab.symbols[index], 0xFF) for index in ids)
    found: list[str] = []
    for character in raw.decode("utf-8", "surrogateescape"):
        is_raw = "\udc80" <= character <= "\udcff"
        found.append(f"<{ord(character) - 0xDC00:02X}>" if is_raw else character)
        found += [more] * (0 if is_raw else len(character.encode()) - 1)
    return found


def _character(vocab: Vocabulary, index: int) -> str:
    symbol = vocab.symbols[index]
    return "\n" if symbol == vocab.document_end else vocab.pieces[index].decode()


def label(vocab: Vocabulary, index: int) -> str:
    """Returns the name of a symbol under a bar."""
    symbol = vocab.symbols[index]
    if symbol == vocab.document_end:
        return "end"
    if vocab.of_bytes and symbol >= 0x80:
        return f"{symbol:02X}"
    return {"\n": "line end", " ": "space", "\t": "tab"}.get(text := vocab.pieces[index].decode(), text)
