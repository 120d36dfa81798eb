"""What a model expects: the distribution of the next character at each place, and the places that surprised it most.

Here the whole model speaks, its n-gram included, as it does when it writes.

Shape legend: B texts, T characters, V characters in the alphabet.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from charnet.data.split import Excerpt, Part
from charnet.data.vocab import Vocabulary
from charnet.engines.mixture import NgramEngine
from charnet.evaluation.mixing import Mixture, Targets
from charnet.insight.passages import Passages
from charnet.insight.trace import Observation
from charnet.model.network import CharModel
from charnet.model.ngram import Ngram, WeightedNgram

MOST_LIKELY = 5  # characters of a distribution that are kept
WORST, APART, SAME = 20, 5, 12  # places; characters between two; of two places before which all is the same
AROUND, READ_BEFORE = 40, 150  # places; characters shown before and behind; characters that are read before
VARIATION_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
BEHIND_A_SEAM = 32  # characters: so many surprise because the text before them is another one, not by themselves

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """A place: its character, the loss there in nats, and what was likely: pairs of an id and a probability."""

    id: int
    nats: float
    likely: list[tuple[int, float]]


def read_aloud(
    networks: Sequence[CharModel], ngram: WeightedNgram | None, passages: Passages, start_id: int
) -> list[Expected]:
    """Reads passages one by one, each from an empty memory; returns what was expected at each character."""
    found = []
    for begin, end in zip(passages.begins_S.tolist(), passages.ends_S.tolist(), strict=True):
        ids = np.asarray(passages.ids[begin:end]).astype(np.int64)
        p_TV = distributions(networks, ngram, np.append(start_id, ids[:-1]))
        found += [_expected(p_V, index) for p_V, index in zip(p_TV, ids.tolist(), strict=True)]
    return found


@torch.no_grad()
def distributions(
    networks: Sequence[CharModel], ngram: WeightedNgram | None, ids_T: npt.NDArray[np.integer], last: int = 0
) -> Floats:
    """Returns the distributions (T, V) after each character of a text that begins with an empty memory.

    Args:
        last: return only so many, those after the last characters; 0 = all.
    """
    inputs_1T = torch.from_numpy(ids_T.astype(np.int64))[None]
    p_TV: Any = 0.0
    for network in networks:
        h_1TH, _ = network.read(inputs_1T, network.initial_state(1))
        logits_TV = F.linear(h_1TH[0, -last:], network.head.weight, network.head.bias)
        p_TV = p_TV + logits_TV.double().softmax(dim=-1).numpy() / len(networks)
    if ngram is not None:
        seen = last + ngram.table.order if last else len(ids_T)  # the n-gram knows no more of what came before
        p_TV = (1 - ngram.share) * p_TV + ngram.share * _of_ngram(ngram.table, ids_T[-seen:])[-last:]
    return np.asarray(p_TV)


def _of_ngram(table: Ngram, ids_T: npt.NDArray[np.integer]) -> Floats:
    engine = NgramEngine(table)
    state, found = engine.start(1), []
    for index in ids_T.tolist():
        p_1V, state = engine.probabilities([index], state)
        found.append(p_1V[0])
    return np.array(found, np.float64)


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
    networks: Sequence[CharModel],
    ngram: WeightedNgram | None,
    text: Part,
    passages: Passages,
    seen: Observation,
    nats_N: Floats,
    start_id: int,
) -> list[Surprise]:
    """Returns the places of passages with the largest losses.

    Places close to a worse one are left out, and those where a piece of text follows another one that it does not
    continue, as the held-out ends of several files do.
    """
    at_ST = passages.begins_S[:, None] + np.arange(seen.counted_ST.shape[1])
    at_N = at_ST[seen.counted_ST]
    of_N = np.nonzero(seen.counted_ST)[0]
    chosen, seen_before = list[int](), set[bytes]()
    for number in np.argsort(-nats_N, kind="stable").tolist():
        at = int(at_N[number])
        around = bytes(np.asarray(passages.ids[max(0, at - SAME) : at + 1]))
        is_new = around not in seen_before and all(abs(at - int(at_N[other])) > APART for other in chosen)
        if is_new and not is_behind_a_seam(text, at):
            chosen.append(number)
            seen_before.add(around)
        if len(chosen) == WORST:
            break
    documents = text.documents is not None
    begins = passages.begins_S[of_N] if documents else np.zeros(len(at_N), np.int64)
    ends = passages.ends_S[of_N] if documents else np.full(len(at_N), len(passages.ids))
    found = []
    for number in chosen:
        at, begin, end = int(at_N[number]), int(begins[number]), int(ends[number])
        before = np.asarray(passages.ids[max(begin, at - READ_BEFORE) : at]).astype(np.int64)
        read = before if at - READ_BEFORE > begin else np.append(start_id, before)
        likely = _expected(distributions(networks, ngram, read, last=1)[0], int(passages.ids[at])).likely
        expected = Expected(int(passages.ids[at]), float(nats_N[number]), likely)
        behind = np.asarray(passages.ids[at + 1 : min(end, at + 1 + AROUND // 2)]).tolist()
        found.append(Surprise(at, before[-AROUND:].tolist(), expected, behind))
    return found


def has_seams(text: Part) -> bool:
    """Returns whether a running text is made of pieces that do not continue each other."""
    return isinstance(text.ids, Excerpt) and len(text.ids.begins) > 1


def is_behind_a_seam(text: Part, at: int) -> bool:
    """Returns whether such a piece, not the first, begins close before `at`."""
    if not has_seams(text):
        return False
    piece = int(np.searchsorted(text.ids.begins, at, side="right")) - 1
    return piece > 0 and at - int(text.ids.begins[piece]) < BEHIND_A_SEAM


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
    text = vocab.pieces[index].decode()
    if len(text) == 1 and (unicodedata.category(text) == "Cf" or text in VARIATION_SELECTORS):
        return f"U+{ord(text):04X}"  # no one sees it
    mark_of = "◌" if len(text) == 1 and unicodedata.category(text) in ("Mn", "Me") else ""
    return {"\n": "line end", " ": "space", "\t": "tab"}.get(text, mark_of + text)
