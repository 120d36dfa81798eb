"""Many texts in a batch: each is the text that is generated alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from test_engines import LETTERS, build, every_engine, every_kind

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.engines.registry import open_engine
from charnet.errors import ConfigError
from charnet.generation import batch
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation, start, stream


def alone(engine: Engine, index: int, **options: object) -> str:
    return "".join(stream(engine, LETTERS, [0, 1, 2], SamplingOptions(**options), index=index))  # type: ignore[arg-type]


def batched(engine: Engine, count: int, **options: object) -> list[str]:
    chunks = batch.texts(engine, LETTERS, [0, 1, 2], SamplingOptions(**options), count)  # type: ignore[arg-type]
    return ["".join(chunk.text for chunk in each) for each in chunks]


@every_engine
@every_kind
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.covering(1)
def test_a_text_is_the_same_however_many_are_in_its_batch(
    engine: str, cell: str, activation: str, members: int
) -> None:
    opened = open_engine(build(cell, activation, layers=2, members=members), engine)
    ten = batched(opened, 10, length=50, seed=3)
    assert len(set(ten)) == 10
    assert [len(text) for text in ten] == [50] * 10
    for count in (1, 2, 5):
        assert batched(opened, count, length=50, seed=3) == ten[:count]
    assert [alone(opened, index, length=50, seed=3) for index in range(10)] == ten


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": 0.2, "temperature_end": 3.0},
        {"top_k": 4, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.95},
        {"repetition_penalty": 3.0, "repetition_window": 5},
        {"ban": "abc", "logit_bias": (("d", 2.0),)},
        {"stop": ("ab", "cde")},
        {"until": "sentence", "max_lines": 3},
    ],
)
def test_every_option_has_the_same_effect_on_each_text_of_a_batch_as_on_one(options: dict[str, object]) -> None:
    engine = open_engine(build())
    many = batched(engine, 7, length=200, seed=1, **options)
    assert many == [alone(engine, index, length=200, seed=1, **options) for index in range(7)]


def test_more_texts_than_are_computed_at_once_are_computed_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(build())
    expected = batched(engine, 7, length=50)
    monkeypatch.setattr(batch, "MAX_BATCH", 3)
    assert batched(engine, 7, length=50) == expected


def test_texts_that_have_ended_are_no_longer_computed() -> None:
    engine, batches = open_engine(build()), []
    advance = engine.advance
    engine.advance = lambda ids, state: batches.append(len(ids)) or advance(ids, state)  # type: ignore[method-assign,func-returns-value]
    batched(engine, 20, length=2000, seed=2, stop=("ab", "ba", "cd"))
    assert batches == sorted(batches[:3]) + sorted(batches[3:], reverse=True)
    assert batches[3] == 20
    assert sum(batches) < 20 * 2000 / 2


def test_the_first_text_is_yielded_while_the_others_are_generated() -> None:
    engine, read = open_engine(build()), []
    advance = engine.advance
    engine.advance = lambda ids, state: read.append(len(ids)) or advance(ids, state)  # type: ignore[method-assign,func-returns-value]
    texts = batch.texts(engine, LETTERS, [0], SamplingOptions(length=10**9), 3)
    assert next(next(texts)).text
    assert read == [3]


def test_chunks_may_be_read_in_any_order() -> None:
    engine = open_engine(build())
    expected = batched(engine, 3, length=90)
    texts = list(batch.texts(engine, LETTERS, [0, 1, 2], SamplingOptions(length=90), 3))
    found = ["".join(chunk.text for chunk in each) for each in reversed(texts)]
    assert found[::-1] == expected


def test_each_text_of_a_batch_has_the_nats_of_the_one_generated_alone() -> None:
    engine = open_engine(build())

    def nats(chunks: list[Chunk]) -> list[float]:
        return [n for chunk in chunks for n in chunk.nats]

    for index, chunks in enumerate(
        batch.texts(engine, LETTERS, [0], SamplingOptions(length=60, stop=("ab",)), 4, nats=True)
    ):
        single = Generation(
            engine, LETTERS, start(engine, LETTERS, [0]), SamplingOptions(length=60, stop=("ab",)), index=index
        )
        both = list(chunks)
        assert nats(both) == pytest.approx(nats(list(single)), abs=1e-5)
        assert len(nats(both)) == len("".join(chunk.text for chunk in both))


@every_engine
@pytest.mark.parametrize("length", [1, 2, 3, 4, 99])
def test_a_model_of_bytes_trained_on_utf8_generates_it_in_one_text_and_in_a_batch(engine: str, length: int) -> None:
    vocab = Vocabulary(tuple(range(256)), of_bytes=True, is_utf8=True)
    opened, options = open_engine(build(vocab=vocab), engine), SamplingOptions(length=length, seed=4)
    one = "".join(stream(opened, vocab, [10], options))
    many = ["".join(chunk.text for chunk in each) for each in batch.texts(opened, vocab, [10], options, 20)]
    assert {len(text.encode()) for text in [one, *many]} == {length}  # raises for what is not UTF-8


def test_no_length_and_no_prompt_are_texts_too() -> None:
    engine = open_engine(build())
    assert batched(engine, 3, length=0) == ["", "", ""]
    empty = batch.texts(engine, LETTERS, [], SamplingOptions(length=30), 2)
    assert ["".join(p.text for p in each) for each in empty] == [
        "".join(stream(engine, LETTERS, [], SamplingOptions(length=30), index=index)) for index in (0, 1)
    ]


def test_options_that_do_not_fit_the_model_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="--ban"):
        batch.texts(open_engine(build()), LETTERS, [0], SamplingOptions(ban="abcdefghijk"), 5)


@pytest.mark.slow
@every_kind
def test_a_hundred_long_texts_are_those_generated_alone(cell: str, activation: str) -> None:
    """Of a million samples, a few may fall between two cumulative sums that differ by rounding."""
    engine = open_engine(build(cell, activation))
    hundred = batched(engine, 100, length=2000, seed=9)
    same = [text == alone(engine, index, length=2000, seed=9) for index, text in enumerate(hundred)]
    assert sum(same) >= 95
    assert all(len(set(pair)) == 2 for pair in itertools.pairwise(hundred))
    assert np.unique(hundred).size == 100
