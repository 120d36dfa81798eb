"""Several models as one engine: their alphabets are joined, their probabilities averaged with weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checkpoint_files import tiny
from test_engines import build, with_ngram

from charnet.config import SamplingOptions
from charnet.data.vocab import RARE, Vocabulary
from charnet.engines import registry, sampling
from charnet.engines.base import Engine
from charnet.engines.model_mixture import Alignment, normalized, open_mixture, union_of, unknown_notes
from charnet.errors import ConfigError
from charnet.generation import batch
from charnet.generation.generate import stream
from charnet.storage.checkpoint import Checkpoint

FIRST, SECOND = Vocabulary.of_text("\n abcé"), Vocabulary.of_text("\n bcdß")
WEIGHTS = (3.0, 1.0)


def models(*vocabs: Vocabulary, int8: bool = False) -> list[Checkpoint]:
    """A model of each alphabet, with weights of its own."""
    cells = ("lstm", "gru", "cifg")
    found = [tiny(cell, vocab) for cell, vocab in zip(cells, vocabs, strict=False)]
    return [model.quantize() if int8 else model for model in found]


def mix(checkpoints: list[Checkpoint], name: str = "numpy") -> tuple[Engine, Vocabulary]:
    union = union_of([each.vocab for each in checkpoints], ["a", "b", "c"][: len(checkpoints)])
    return open_mixture(checkpoints, WEIGHTS, union, name), union


def read(engine: Engine, ids: list[int]) -> np.ndarray:
    """What is predicted after each symbol (T, V)."""
    state, p = engine.start(1), []
    for i in ids:
        logits, state = engine.advance([i], state)
        p.append(sampling.softmax(logits[0]))
    return np.array(p)


def predictions_by_hand(checkpoints: list[Checkpoint], union: Vocabulary, text: str) -> np.ndarray:
    """The mean by its definition: each model reads the text without the characters that it does not know."""
    weights, p_TU = normalized(WEIGHTS), np.zeros((len(text), len(union)))
    for checkpoint, weight in zip(checkpoints, weights, strict=True):
        engine, vocab = registry.open_engine(checkpoint), checkpoint.vocab
        place = [union.symbols.index(symbol) for symbol in vocab.symbols]
        for t in range(len(text)):
            known = [c for c in text[: t + 1] if ord(c) in vocab.symbols] or ["\n"]  # as at the start of a text
            p_TU[t, place] += weight * read(engine, vocab.encode("".join(known)).tolist())[-1]
    return p_TU


@pytest.mark.parametrize("name", ["numpy", "compiled", "torch"])
@pytest.mark.parametrize("text", ["ab cb\nc", "éaßdb", "d\né"])
def test_a_mixture_predicts_the_weighted_mean_and_a_model_skips_what_it_does_not_know(name: str, text: str) -> None:
    checkpoints = models(FIRST, SECOND)
    engine, union = mix(checkpoints, registry.available(name))
    expected = predictions_by_hand(checkpoints, union, text)
    np.testing.assert_allclose(read(engine, union.encode(text).tolist()), expected, atol=1e-5)
    assert (expected > 0).all()


@pytest.mark.parametrize("int8", [False, True])
def test_texts_side_by_side_are_those_alone_though_each_has_its_own_unknown_characters(int8: bool) -> None:
    engine, union = mix(models(FIRST, SECOND, int8=int8))
    assert engine.is_exact == int8
    ids_BT = np.array([union.encode(text) for text in ("aébd", "dbéa", "ddßc", "ab c")])
    state, together = engine.start(len(ids_BT)), []
    for ids_B in ids_BT.T:
        logits_BV, state = engine.advance(ids_B.tolist(), state)
        together.append(sampling.softmax(logits_BV))
    for row, ids in enumerate(ids_BT.tolist()):
        alone = read(engine, ids)
        found = np.array([p_BV[row] for p_BV in together])
        np.testing.assert_allclose(found, alone, atol=0 if int8 else 1e-5)


@pytest.mark.parametrize("name", ["numpy", "compiled"])
def test_a_mixture_of_8_bit_models_writes_the_same_text_in_every_engine_and_in_every_batch(name: str) -> None:
    engine, union = mix(models(FIRST, SECOND, int8=True), registry.available(name))
    options = SamplingOptions(length=60, seed=4, top_p=0.95)
    alone = ["".join(stream(engine, union, [], options, index=i)) for i in range(3)]
    side_by_side = ["".join(chunk.text for chunk in text) for text in batch.texts(engine, union, [], options, 3)]
    reference, _ = mix(models(FIRST, SECOND, int8=True))
    assert side_by_side == alone
    assert alone[0] == "".join(stream(reference, union, [], options))


def test_a_state_of_a_mixture_can_be_continued_twice() -> None:
    engine, union = mix(models(FIRST, SECOND))
    _, state = engine.advance([union.encode("é")[0]], engine.start(1))
    first = engine.advance([union.encode("d")[0]], state)[0].copy()
    engine.advance([union.encode("a")[0]], state)
    assert (engine.advance([union.encode("d")[0]], state)[0] == first).all()


def test_a_mixture_of_8_bit_and_other_models_is_not_exact() -> None:
    one, other = models(FIRST, SECOND)
    engine, union = mix([one.quantize(), other])
    assert not engine.is_exact
    expected = predictions_by_hand([one.quantize(), other], union, "abéd")
    np.testing.assert_allclose(read(engine, union.encode("abéd").tolist()), expected, atol=1e-4)  # steps of 8 bits


def test_a_symbol_for_rare_characters_is_read_in_place_of_a_character_that_is_missing() -> None:
    rare = Vocabulary((*FIRST.symbols, RARE))
    union = union_of([rare, SECOND], ["a", "b"])
    of_first, of_second = Alignment(rare, union), Alignment(SECOND, union)
    assert of_first.id_of_U[union.symbols.index(ord("d"))] == rare.rare_id
    assert of_second.id_of_U[union.rare_id] == -1
    assert of_first.knows_all
    assert not of_second.knows_all


def test_characters_that_a_model_lacks_are_named_a_few_of_them() -> None:
    first, second = Vocabulary.of_text("\n ab"), Vocabulary.of_text("\n abcdefé\x1b")
    notes = unknown_notes([first, second], ["a", "b"], union_of([first, second], ["a", "b"]))
    assert len(notes) == 1
    assert notes[0].startswith("a does not read 6 characters of the others and never writes them: ")
    assert notes[0].endswith("'c' (U+0063 LATIN SMALL LETTER C), 'd' (U+0064 LATIN SMALL LETTER D), ...")
    assert "\x1b" not in notes[0]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (Vocabulary((10, 97), of_bytes=True), "a knows characters, b bytes"),
        (replace(FIRST, has_documents=True), "a was trained on running text, b on lines"),
        (Vocabulary((10, 0x1E, 97), document_end=0x1E, has_documents=True), "a was trained on running text, b on doc"),
    ],
)
def test_models_of_different_kinds_are_refused(other: Vocabulary, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        union_of([FIRST, other], ["a", "b"])


def test_a_mixture_of_documents_starts_each_text_as_a_document() -> None:
    lines = replace(FIRST, has_documents=True)
    union = union_of([lines, replace(SECOND, has_documents=True)], ["a", "b"])
    assert union.has_documents
    assert union.start_id() == union.symbols.index(0x0A)


def test_models_of_bytes_write_together_and_their_text_is_utf8_only_if_both_texts_were() -> None:
    first, second = (Vocabulary(symbols, True, is_utf8=True) for symbols in ((10, 97, 0xA9, 0xC3), (10, 98)))
    engine, union = mix([tiny("lstm", first), tiny("gru", second)])
    text = "".join(stream(engine, union, [], SamplingOptions(length=200, seed=1, temperature=2.0)))
    assert set(text) == set("\nabé")  # never half of a character
    assert not union_of([first, replace(second, is_utf8=False)], ["a", "b"]).is_utf8


@pytest.mark.parametrize("name", ["numpy", "compiled"])
def test_ensembles_and_n_grams_are_mixed_as_whole_models(name: str) -> None:
    checkpoints = [with_ngram(build("lstm", members=3)), build("gru", vocab=Vocabulary.of_text("abcxyz"))]
    engine, union = mix(checkpoints, registry.available(name))
    text = "abxzkc"
    expected = predictions_by_hand(checkpoints, union, text)
    np.testing.assert_allclose(read(engine, union.encode(text).tolist()), expected, atol=1e-5)
    ids_BT = np.array([union.encode(each) for each in (text, text[::-1])])
    state = engine.start(2)
    for t, ids_B in enumerate(ids_BT.T):
        logits_BV, state = engine.advance(ids_B.tolist(), state)
        np.testing.assert_allclose(sampling.softmax(logits_BV)[0], expected[t], atol=1e-5)
