"""Many prompts side by side: each answer is the text that its prompt, options and seed give alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from test_engines import LETTERS, build, every_engine

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.engines.registry import open_engine
from charnet.errors import CharnetError, ConfigError, DivergedError
from charnet.generation import scheduler
from charnet.generation.batch import answers
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation, read, start
from charnet.generation.running import Batch, Request, RunningText
from charnet.generation.sampler import Sampler
from charnet.generation.samplers import Samplers

DIFFERENT = [
    {},
    {"temperature": 0},
    {"temperature": 0.2, "temperature_end": 3.0},
    {"top_k": 4, "top_p": 0.9},
    {"repetition_penalty": 3.0, "repetition_window": 5},
    {"ban": "abc", "logit_bias": (("d", 2.0),)},
    {"stop": ("ab", "cde")},
    {"match": "(a|b){3,40}"},
    {"length": 0},
]


def requests(engine: Engine, vocab: Vocabulary = LETTERS, count: int = 30, **more: object) -> list[Request]:
    """Prompts of 0 to 12 symbols, lengths of 0 to 40 symbols, every kind of options."""
    found = []
    for i in range(count):
        options = {"length": 7 * i % 41, "seed": i, **DIFFERENT[i % len(DIFFERENT)], **more}
        if options.get("match") and options["length"] < 3:
            del options["match"]
        state = start(engine, vocab, [(i + j) % len(vocab) for j in range(5 * i % 13)])
        found.append(Request(state, SamplingOptions(**options)))  # type: ignore[arg-type]
    return found


def alone(engine: Engine, request: Request, vocab: Vocabulary = LETTERS) -> list[Chunk]:
    return list(Generation(engine, vocab, request.state, request.options, index=request.number))


def text(chunks: Iterator[Chunk] | list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@every_engine
@pytest.mark.parametrize("members", [1, 2])
def test_each_answer_is_the_text_of_its_prompt_options_and_seed_alone(engine: str, members: int) -> None:
    opened = open_engine(build(layers=2, members=members), engine)
    asked = requests(opened)
    assert [text(each) for each in answers(opened, LETTERS, asked)] == [text(alone(opened, one)) for one in asked]


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("top_k", [0, 11])  # 11: of all, which the compiled loops leave to a batch
def test_with_8_bit_weights_every_answer_is_the_same_and_has_the_same_nats(engine: str, top_k: int) -> None:
    opened = open_engine(build().quantize(), engine)
    asked = requests(opened, top_k=top_k)
    for one, chunks in zip(asked, answers(opened, LETTERS, asked, nats=True), strict=True):
        found, expected = list(chunks), alone(opened, one)
        assert text(found) == text(expected)
        nats = [n for chunk in expected for n in chunk.nats]
        assert [n for chunk in found for n in chunk.nats] == pytest.approx(nats, abs=1e-12)


def test_texts_that_wait_take_the_places_of_those_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, batches = open_engine(build()), []
    asked = requests(engine)
    expected = [text(alone(engine, one)) for one in asked]
    monkeypatch.setattr(scheduler, "MAX_BATCH", 4)
    advance = engine.advance
    engine.advance = lambda ids, state: batches.append(len(ids)) or advance(ids, state)  # type: ignore[method-assign,func-returns-value]
    assert [text(each) for each in answers(engine, LETTERS, asked)] == expected
    steps = sum(max(1, len(one.state.pending)) - 1 + len(each) for one, each in zip(asked, expected, strict=True))
    assert max(batches) == 4
    assert batches[: -len(batches) // 4] == [4] * (len(batches) - len(batches) // 4)  # only the end is less than full
    assert sum(batches) < 1.3 * steps + 64


def test_requests_are_taken_only_as_there_is_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, taken = open_engine(build()), []
    monkeypatch.setattr(scheduler, "MAX_BATCH", 4)
    monkeypatch.setattr("charnet.generation.batch.MAX_BATCH", 4)
    monkeypatch.setattr(scheduler, "MOST_WAITING", 8)
    begun = start(engine, LETTERS)
    long, short = SamplingOptions(length=10**4), SamplingOptions(length=1)
    endless = (taken.append(i) or Request(begun, short if i else long) for i in itertools.count())  # type: ignore[func-returns-value]
    found = answers(engine, LETTERS, endless)
    assert len(text(next(found))) == 10**4
    assert len(taken) <= 13  # 4 in the batch, 8 that wait, 1 that is read


def test_a_request_that_does_not_fit_is_refused_where_it_is_read_and_no_other_with_it() -> None:
    engine = open_engine(build())
    begun = start(engine, LETTERS, [0])
    good = SamplingOptions(length=9)
    options = [good, SamplingOptions(ban="abcdefghijk"), good, SamplingOptions(match="(["), good]
    found = list(answers(engine, LETTERS, [Request(begun, each) for each in options]))
    assert [text(found[i]) for i in (0, 2, 4)] == [text(alone(engine, Request(begun, good)))] * 3
    for i in (1, 3):
        with pytest.raises(ConfigError):
            text(found[i])


@pytest.mark.parametrize("error", [ConfigError, DivergedError])
def test_a_text_that_cannot_go_on_is_refused_there_and_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, error: type[CharnetError]
) -> None:
    engine = open_engine(build())
    asked = requests(engine, count=12, length=4, repetition_penalty=1.5)
    expected = [text(alone(engine, one)) for one in asked]
    sample_rows = Sampler.sample_rows

    def refuse_after_d(self: Sampler, *arguments: Any) -> Any:
        if any(recent and recent[-1] == 3 for recent in arguments[3]):
            raise error("nothing can come next")
        return sample_rows(self, *arguments)

    monkeypatch.setattr(Sampler, "sample_rows", refuse_after_d)
    refused = []
    for one, chunks, whole in zip(asked, answers(engine, LETTERS, asked), expected, strict=True):
        refused.append("d" in "d" * (one.state.recent[-1:] == (3,)) + whole[:-1])
        if refused[-1]:
            with pytest.raises(error, match="nothing can come next"):
                text(chunks)
        else:
            assert text(chunks) == whole
    assert set(refused) == {True, False}


@every_engine
def test_what_was_read_ahead_changes_no_text(engine: str) -> None:
    opened = open_engine(build(layers=2), engine)
    state = start(opened, LETTERS, [i * i % 11 for i in range(200)])
    ahead = read(opened, state)
    assert len(ahead.pending) == 1
    options = SamplingOptions(length=60)
    assert text(alone(opened, Request(ahead, options))) == text(alone(opened, Request(state, options)))
    assert replace(ahead, state=None, pending=()) == replace(state, state=None, pending=())


@every_engine
def test_steps_that_are_cut_short_and_moves_between_batches_change_no_text(engine: str) -> None:
    built = open_engine(build(layers=2), engine)
    asked = [each for each in requests(built) if each.options.length]
    samplers = Samplers(LETTERS, is_exact=built.is_exact)
    batches = [Batch(built, LETTERS, nats=True) for _ in range(2)]
    texts = [RunningText(LETTERS, each, samplers.of(each.options), is_exact=built.is_exact) for each in asked]
    batches[0].join([(text, each) for text, each in zip(texts, asked, strict=True) if not text.ended])
    chance = random.Random(1)
    while any(batch.running for batch in batches):
        for batch, other in (batches, batches[::-1]):
            batch.move([row for row in range(len(batch.running)) if chance.random() < 0.3], other)
            if batch.running:
                batch.advance(1.0, stops=lambda: chance.random() < 0.4)
    for found, each in zip(texts, asked, strict=True):
        assert text(iter(found.take, None)) == text(alone(built, each)), each.options
