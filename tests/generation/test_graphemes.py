"""No text ends within a grapheme cluster: an emoji sequence, a flag, a letter and its marks, an Indic syllable."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines import build, every_engine, one_thread  # noqa: F401 - a fixture for all tests here

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.engines.registry import open_engine
from charnet.errors import ConfigError
from charnet.generation import batch, graphemes
from charnet.generation.generate import Generation, start, stream
from charnet.generation.graphemes import Clusters

CHARACTERS = "a \n👩🚀\u200d🇩🇪e\u0301"
VOCAB = Vocabulary.of_text(CHARACTERS + "न.")
texts = st.text(CHARACTERS + "\r👍🏽नि्कि한가\u0600", min_size=1, max_size=30)


class Dictated:
    """Predicts the given ids in turn, for any number of texts."""

    name, is_exact = "dictated", False

    def __init__(self, ids: list[int], alphabet_size: int) -> None:
        self.ids, self.size = ids, alphabet_size

    def start(self, size: int) -> np.ndarray:
        return np.zeros(size, np.int64)

    def advance(self, ids_B: list[int], state_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits_BV = np.zeros((len(ids_B), self.size), np.float32)
        logits_BV[range(len(ids_B)), np.take(self.ids, state_B, mode="wrap")] = 1
        return logits_BV, state_B + 1


def written(text: str, length: int, **options: object) -> str:
    """What a model that predicts this text writes; the same alone and beside another text."""
    vocab = Vocabulary.of_text(text)
    engine = Dictated(vocab.encode(text).tolist(), len(vocab))
    chosen = SamplingOptions(length=length, temperature=0, **options)  # type: ignore[arg-type]
    alone = "".join(stream(engine, vocab, [0], chosen))
    beside = ["".join(chunk.text for chunk in chunks) for chunks in batch.texts(engine, vocab, [0], chosen, 2)]
    assert beside == [alone, alone]
    return alone


@pytest.mark.parametrize("cluster", ["e\u0301", "🇩🇪", "👩‍🚀", "👍🏽", "❤️", "क्षि", "นำ", "각", "👨🏽‍👩🏽‍👧🏽"])
def test_a_text_goes_on_until_its_last_symbol_is_whole(cluster: str) -> None:
    text = f"ab{cluster}cd\n"
    for length in range(len(text) + 1):
        inside = 2 < length < 2 + len(cluster)
        assert written(text, length) == (text[: 2 + len(cluster)] if inside else text[:length])


@settings(deadline=None, max_examples=40)
@given(texts, st.integers(0, 30))
def test_a_text_of_a_length_ends_with_the_first_whole_symbol_that_reaches_it(text: str, length: int) -> None:
    text += "\n"
    ends = [0]
    for cluster in regex.findall(r"\r|\X", text):
        ends.append(ends[-1] + len(cluster))
    length = min(length, len(text))
    assert written(text, length) == text[: next(end for end in ends if end >= length)]


@pytest.mark.parametrize("options", [{}, {"until": "sentence"}, {"stop": ("a",)}])
def test_a_text_of_no_length_is_empty_in_every_alphabet(options: dict[str, object]) -> None:
    assert written("e\u0301a", 0, **options) == ""


@settings(deadline=None, max_examples=30)
@given(texts, st.sampled_from(["a", "e", "👩", "🇩🇪", "\n"]))
def test_a_text_of_bytes_ends_at_whole_symbols_too(text: str, stop: str) -> None:
    raw = text.encode()
    vocab = Vocabulary(tuple(range(256)), of_bytes=True)
    engine = Dictated(list(raw), len(vocab))
    options = SamplingOptions(length=len(raw), temperature=0, stop=(stop,))
    clusters = regex.findall(r"\r|\X", text)
    expected = clusters[: clusters.index(stop)] if stop in clusters else clusters
    assert "".join(stream(engine, vocab, [0], options)) == "".join(expected)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("length", [3, 4, 9])
def test_a_document_ends_a_text_of_whole_symbols(length: int, size: int) -> None:
    vocab = Vocabulary.of_text("ae\u0301\x1e")
    vocab = Vocabulary(vocab.symbols, document_end=0x1E)
    engine = Dictated(vocab.encode("aae\u0301\x1eaa").tolist(), len(vocab))
    options = SamplingOptions(length=length, temperature=0)
    for chunks in batch.texts(engine, vocab, [0], options, size):
        assert "".join(chunk.text for chunk in chunks) == "aae\u0301"
    generation = Generation(engine, vocab, start(engine, vocab, [0]), options)
    assert "".join(chunk.text for chunk in generation) + generation.withheld == "aae\u0301"
    assert generation.document_ended == (length > 4)


def test_marks_without_end_do_not_keep_a_text_from_ending() -> None:
    assert len(written("a" + "\u0301" * 1000, 5)) <= 5 + graphemes.LONGEST


def test_an_alphabet_whose_characters_stand_alone_needs_no_clusters() -> None:
    alone = "Naïve “quotes” – … ÄÖÜ Жизнь 中文。 ¿Qué? かな ไทย 👩 €"
    assert graphemes.may_join(Vocabulary.of_text(alone.replace("ไทย", ""))) is False
    for joining in ("\u0301", "\u200d", "\ufe0f", "🏽", "🇩", "ि", "ำ", "ᅡ", "ﾞ", "\u0600", "\U000e0067"):
        assert graphemes.may_join(Vocabulary.of_text(alone + joining)), ascii(joining)


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("ab👩‍🚀 c👩 d\n", "👩", "ab👩‍🚀 c"),
        ("cafe\u0301 e\n", "e", "cafe\u0301 "),
        ("🇩🇪🇸🇪 🇪🇸\n", "🇪🇸", "🇩🇪🇸🇪 "),
        ("नि न\n", "न", "नि "),
        ("ab👩‍🚀 c\n", "👩‍🚀", "ab"),
        ("ab👩‍🚀 c\n", "🚀 c", "ab👩‍🚀 c"),
        ("e\u0301\nb\n", "\n", "e\u0301"),
    ],
)
def test_a_stop_text_is_found_among_whole_symbols(text: str, stop: str, shown: str) -> None:
    assert written(text, len(text) - 1, stop=(stop,)) == shown


@pytest.mark.parametrize(
    ("text", "options", "shown"),
    [
        ("e\u0301.\u0301 A\n", {"until": "sentence"}, "e\u0301.\u0301"),
        ("👩‍🚀\nA\n", {"until": "line"}, "👩‍🚀"),
        ("e\u0301\r\n\r\nA\n", {"until": "paragraph"}, "e\u0301"),
        ("e\u0301\na\nA\n", {"max_lines": 2}, "e\u0301\na"),
    ],
)
def test_the_other_ends_of_a_text_are_found_among_whole_symbols(
    text: str, options: dict[str, object], shown: str
) -> None:
    assert written(text, len(text) - 1, **options) == shown


@settings(deadline=None, max_examples=40)
@given(texts, st.integers(1, 9))
def test_clusters_do_not_depend_on_the_pieces_that_a_text_comes_in(text: str, size: int) -> None:
    singly, pieces = Clusters(), Clusters()
    found = [singly.push(character) for character in text]
    fed = "".join(pieces.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert ("".join(found), singly.last) == (fed, pieces.last)
    assert [c for c in [*found, singly.last] if c] == regex.findall(r"\r|\X", text)


# ------------------------------------------------------------------------------------------- with real engines


def parts(engine: Engine, vocab: Vocabulary, count: int, **options: object) -> tuple[list[str], str, int]:
    """Texts that each continue the one before; what they and what was cut off are together; the number of symbols."""
    state, shown, whole = start(engine, vocab, [0]), [], ""
    for _ in range(count):
        generation = Generation(engine, vocab, state, SamplingOptions(**options))  # type: ignore[arg-type]
        shown.append("".join(chunk.text for chunk in generation))
        whole, state = whole + shown[-1] + generation.withheld, generation.state
    return shown, whole, state.num_sampled


@every_engine
@pytest.mark.parametrize(
    "options",
    [
        {"length": 7},
        {"length": 7, "top_k": 8},
        {"length": 7, "repetition_penalty": 1.5, "repetition_window": 3},
        {"length": 90, "until": "sentence"},
        {"length": 90, "until": "sentence", "repetition_penalty": 9.0, "repetition_window": 7},
        {"length": 40, "stop": ("a", "🇩🇪")},
    ],
)
def test_what_was_read_to_see_the_end_is_written_by_the_text_that_continues(
    engine: str, options: dict[str, object]
) -> None:
    opened = open_engine(build(vocab=VOCAB), engine)
    shown, whole, num_sampled = parts(opened, VOCAB, 12, seed=2, **options)
    assert num_sampled == len(whole)
    at_once = SamplingOptions(**{**options, "length": len(whole) + 9, "stop": (), "until": "", "seed": 2})  # type: ignore[arg-type]
    assert "".join(stream(opened, VOCAB, [0], at_once)).startswith(whole)
    if "until" not in options and "stop" not in options:
        assert all(7 <= len(text) <= 7 + graphemes.LONGEST for text in shown)
        ends = ((regex.findall(r"\X", text)[-1], after[0]) for text, after in itertools.pairwise(shown))
        assert not any(regex.fullmatch(r"(?!\r)\X", last + first) for last, first in ends)


@every_engine
def test_texts_of_a_batch_end_as_those_written_alone(engine: str) -> None:
    opened, options = open_engine(build(vocab=VOCAB), engine), SamplingOptions(length=9, seed=5)
    many = batch.texts(opened, VOCAB, [0], options, 66, nats=True)
    for index, chunks in enumerate(many):
        both = list(chunks)
        text = "".join(chunk.text for chunk in both)
        assert len(text) == sum(len(chunk.nats) for chunk in both)
        if index < 10:
            assert text == "".join(stream(opened, VOCAB, [0], options, index=index))


# ------------------------------------------------------------------------------------------- what is never written


@every_engine
@pytest.mark.parametrize("count", [1, 70])
def test_a_banned_sequence_never_comes_and_its_parts_do(engine: str, count: int) -> None:
    opened = open_engine(build(vocab=VOCAB), engine)
    banned = ("e\u0301", "👩‍🚀", "🇩🇪")
    options = SamplingOptions(length=1400 // count, seed=1, temperature=2, ban="".join(banned), repetition_window=0)
    chunks = batch.texts(opened, VOCAB, [0], options, count)
    text = "\n".join("".join(chunk.text for chunk in each) for each in chunks)
    assert not any(sequence in text for sequence in banned)
    assert {*"e\u0301👩\u200d🚀🇩🇪"} <= {*text}


def test_a_long_banned_sequence_never_comes() -> None:
    family = "👨🏽‍👩🏽‍👧🏽"
    shown = written(f"a{family}b\n" * 2, 24, ban=family, repetition_window=0)
    assert len(shown) >= 24
    assert family not in shown
    assert family[:-1] in shown


def test_a_banned_character_is_banned_within_sequences_too() -> None:
    opened = open_engine(build(vocab=VOCAB))
    text = "".join(stream(opened, VOCAB, [0], SamplingOptions(length=500, temperature=2, ban="e🇩🇪🚀")))
    assert not {*"e🚀"} & {*text}
    assert "🇩🇪" not in text


def test_a_ban_that_leaves_nothing_to_follow_is_refused() -> None:
    vocab = Vocabulary.of_text("e\u0301")
    engine = Dictated([0], len(vocab))
    with pytest.raises(ConfigError, match="--ban"):
        list(stream(engine, vocab, [0], SamplingOptions(length=5, ban="ee\u0301")))


@every_engine
@pytest.mark.parametrize("count", [1, 70])
@pytest.mark.parametrize("options", [{}, {"top_p": 0.99}, {"ban": "a"}])
def test_the_replacement_character_is_never_written(engine: str, count: int, options: dict[str, object]) -> None:
    vocab = Vocabulary.of_text("abcdefgh\n \N{REPLACEMENT CHARACTER}")
    opened = open_engine(build(vocab=vocab), engine)
    chosen = SamplingOptions(length=210 // count, temperature=2, **options)  # type: ignore[arg-type]
    prompt = vocab.encode("a\N{REPLACEMENT CHARACTER}").tolist()
    for chunks in batch.texts(opened, vocab, prompt, chosen, count):
        assert "\N{REPLACEMENT CHARACTER}" not in "".join(chunk.text for chunk in chunks)
