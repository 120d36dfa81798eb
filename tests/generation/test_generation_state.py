"""A generation state is a value: a text that is stored and continued is the same as one long text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines import LETTERS, build, every_engine, every_kind

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine
from charnet.engines.numpy_engine import NumpyEngine
from charnet.engines.registry import open_engine
from charnet.generation import batch
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation, GenerationState, random_generator, start, stream
from charnet.storage.checkpoint import Checkpoint

BYTES = Vocabulary((*range(97, 103), 0xA9, 0xC3, 0xFF), of_bytes=True)


class MultiStep(NumpyEngine):
    """A multi-step engine: the simplest loop that does what `MultiStepEngine` promises."""

    min_batch = 2

    def generate(self, ids, state, u_T, temperatures_T, bias_V, pattern=None):  # type: ignore[no-untyped-def]
        assert pattern is None
        symbols, nats = [], []
        for u, temperature in zip(u_T, temperatures_T, strict=True):
            for i in ids:
                logits_BV, state = self.advance([i], state)
            symbol = sampling.sample_logits(logits_BV[0] if bias_V is None else logits_BV[0] + bias_V, temperature, u)
            nats.append(sampling.surprisal(logits_BV[0], symbol))
            symbols.append(symbol)
            ids = [symbol]
        return np.array(symbols), np.array(nats), state


def multi_step(checkpoint: Checkpoint) -> MultiStep:
    model = checkpoint.config.model
    return MultiStep(checkpoint.weights, cell=model.cell, activation=model.activation)


def generate(
    engine: Engine, state: GenerationState, vocab: Vocabulary = LETTERS, **options: object
) -> tuple[str, Generation]:
    generation = Generation(engine, vocab, state, SamplingOptions(**options))  # type: ignore[arg-type]
    return "".join(chunk.text for chunk in generation), generation


def in_parts(engine: Engine, prompt: list[int], parts: list[int], **options: object) -> str:
    state, text = start(engine, LETTERS, prompt), ""
    for length in parts:
        part, generation = generate(engine, state, length=length, **options)
        state, text = generation.state, text + part
    return text


@every_engine
@every_kind
@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"repetition_penalty": 2.0, "repetition_window": 9}])
@pytest.mark.covering(1)
def test_a_text_generated_in_parts_is_the_one_generated_at_once(
    engine: str, cell: str, activation: str, options: dict[str, object]
) -> None:
    opened = open_engine(build(cell, activation), engine)
    whole = in_parts(opened, [0, 1], [80], seed=3, **options)
    assert len(set(whole)) > 3
    assert in_parts(opened, [0, 1], [1, 0, 29, 50], seed=3, **options) == whole
    assert whole == "".join(stream(opened, LETTERS, [0, 1], SamplingOptions(length=80, seed=3, **options)))  # type: ignore[arg-type]


@every_engine
@every_kind
def test_a_state_may_be_continued_from_as_often_as_wanted(engine: str, cell: str, activation: str) -> None:
    opened = open_engine(build(cell, activation), engine)
    _, generation = generate(opened, start(opened, LETTERS, [0, 1]), length=20)
    state = generation.state
    texts = {generate(opened, state, length=50)[0] for _ in range(3)}
    assert len(texts) == 1
    assert texts != {generate(opened, start(opened, LETTERS, [0, 1]), length=50)[0]}


@every_engine
@every_kind
def test_a_saved_text_is_continued_as_if_it_had_never_ended(engine: str, cell: str, activation: str) -> None:
    """Only the text and the number of its sampled characters need saving: another process reads it and continues."""
    checkpoint = build(cell, activation)
    text, generation = generate(
        open_engine(checkpoint, engine), start(open_engine(checkpoint, engine), LETTERS, [4]), length=40
    )
    saved, num_sampled = "e" + text, generation.state.num_sampled
    anew = open_engine(checkpoint, engine)
    state = GenerationState(anew.start(1), num_sampled=num_sampled).extend(LETTERS.encode(saved).tolist())
    assert generate(anew, state, length=60)[0] == in_parts(anew, [4], [100])[40:]


def test_text_given_in_between_is_read_before_more_is_sampled() -> None:
    engine = open_engine(build())
    text, generation = generate(engine, start(engine, LETTERS, [0]), length=5)
    given = LETTERS.encode("abc").tolist()
    continued, _ = generate(engine, generation.state.extend(given), length=30)
    state = GenerationState(engine.start(1), num_sampled=5).extend([0, *LETTERS.encode(text).tolist(), *given])
    assert generate(engine, state, length=30)[0] == continued


def test_the_state_without_a_prompt_is_the_start_of_a_line() -> None:
    engine = open_engine(build())
    at_start, _ = generate(engine, start(engine, LETTERS), length=30)
    assert generate(engine, start(engine, LETTERS, [LETTERS.start_id()]), length=30)[0] == at_start


@every_engine
@pytest.mark.parametrize("prompt", [[1], [1, 2]])
def test_a_model_of_documents_reads_their_start_once(engine: str, prompt: list[int]) -> None:
    opened, names = open_engine(build(), engine), replace(LETTERS, has_documents=True)
    begun = [names.start_id(), *prompt]
    texts = {
        generate(opened, state, names, length=30)[0]
        for state in (
            start(opened, names, prompt),
            start(opened, names, begun),
            start(opened, names).extend(begun),
            start(opened, LETTERS, begun),
        )
    }
    assert len(texts) == 1
    options = SamplingOptions(length=30)
    many = batch.texts(NumpyEngine(build().weights, cell="lstm", activation="tanh"), names, begun, options, 2)
    assert "".join(chunk.text for chunk in next(iter(many))) in texts


@pytest.mark.parametrize("options", [{"stop": ("c", "ab")}, {"stop": ("abc",)}])
def test_a_text_continued_after_a_stop_criterion_continues_after_what_was_cut_off(options: dict[str, object]) -> None:
    engine = open_engine(build())
    whole = in_parts(engine, [0], [300])
    state, text = start(engine, LETTERS, [0]), ""
    for _ in range(5):
        part, generation = generate(engine, state, length=60, **options)
        state, text = generation.state, text + part + generation.withheld
    assert len(text) == state.num_sampled > 10
    assert whole.startswith(text)


# ------------------------------------------------------------------------------------------- several steps in one call


@every_kind
@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.2, "temperature_end": 2.0}, {"ban": "ab", "logit_bias": (("c", 1.0),)}, {"top_k": 4}],
)
@pytest.mark.covering(1)
def test_a_multi_step_engine_generates_the_same_text(cell: str, activation: str, options: dict[str, object]) -> None:
    checkpoint = build(cell, activation)
    expected, plain = generate(
        open_engine(checkpoint), start(open_engine(checkpoint), LETTERS, [0, 1]), length=300, **options
    )
    engine = multi_step(checkpoint)
    text, generation = generate(engine, start(engine, LETTERS, [0, 1]), length=300, **options)
    assert text == expected
    assert generation.state.num_sampled == plain.state.num_sampled == 300


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text("abcdefghijk", min_size=1, max_size=2), min_size=1, max_size=3), st.integers(0, 5))
@pytest.mark.exhaustive
def test_a_text_that_ends_within_a_call_leaves_the_same_state_as_single_steps(stops: list[str], seed: int) -> None:
    checkpoint = build()
    texts, states = [], []
    for engine in (open_engine(checkpoint), multi_step(checkpoint)):
        text, generation = generate(engine, start(engine, LETTERS, [0]), length=200, stop=tuple(stops), seed=seed)
        continued, _ = generate(engine, generation.state, length=50, seed=seed)
        texts.append((text, generation.withheld, continued))
        states.append((generation.state.num_sampled, generation.state.recent))
    assert texts[0] == texts[1]
    assert states[0] == states[1]


def test_the_first_call_samples_one_symbol_so_that_it_is_shown_at_once() -> None:
    engine = multi_step(build())
    sizes = [
        len(chunk.text) for chunk in Generation(engine, LETTERS, start(engine, LETTERS), SamplingOptions(length=100))
    ]
    assert sizes[0] == 1
    assert max(sizes) > 1


# ------------------------------------------------------------------------------------------- nats


def chunks_of(engine: Engine, vocab: Vocabulary = LETTERS, **options: object) -> list[Chunk]:
    return list(Generation(engine, vocab, start(engine, LETTERS, [0]), SamplingOptions(**options)))  # type: ignore[arg-type]


@every_engine
@pytest.mark.parametrize("options", [{}, {"temperature": 0.1}, {"top_k": 2, "ban": "a"}, {"stop": ("abc",)}])
def test_the_nats_of_a_character_are_minus_the_log_of_its_probability(engine: str, options: dict[str, object]) -> None:
    opened = open_engine(build(), engine)
    chunks = chunks_of(opened, length=80, **options)
    text, nats = "".join(c.text for c in chunks), [n for c in chunks for n in c.nats]
    assert len(nats) == len(text) == 80
    state, ids = opened.start(1), [0, *LETTERS.encode(text).tolist()]
    for before, after, found in zip(ids[:-1], ids[1:], nats, strict=True):
        logits_BV, state = opened.advance([before], state)
        assert found == pytest.approx(-np.log(sampling.softmax(logits_BV[0])[after]), abs=1e-9)


def test_several_steps_in_a_call_have_the_nats_of_single_steps() -> None:
    one, many = chunks_of(open_engine(build()), length=99), chunks_of(multi_step(build()), length=99)
    assert [n for c in one for n in c.nats] == pytest.approx([n for c in many for n in c.nats], abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_a_character_of_several_bytes_has_the_nats_of_all_of_them(seed: int) -> None:
    short = NumpyEngine(
        {k: v[:9] if k.startswith(("head", "embedding")) else v for k, v in build().weights.items()}, cell="lstm"
    )
    chunks = chunks_of(short, BYTES, length=60, seed=seed)
    text, nats = "".join(c.text for c in chunks), [n for c in chunks for n in c.nats]
    ids = BYTES.encode(text).tolist()
    singly = list(
        Generation(
            short, Vocabulary.of_text("abcdefghi"), start(short, LETTERS, [0]), SamplingOptions(length=60, seed=seed)
        )
    )
    each = [n for c in singly for n in c.nats]
    assert len(ids) == len(each) == 60
    assert len(nats) == len(text)
    at = 0
    for character, found in zip(text, nats, strict=True):
        size = len(character.encode("utf-8", "surrogateescape"))
        assert found == pytest.approx(sum(each[at : at + size]), abs=1e-9)
        at += size


def test_nats_are_not_computed_unless_they_are_asked_for() -> None:
    generation = Generation(
        open_engine(build()), LETTERS, start(open_engine(build()), LETTERS), SamplingOptions(length=9), nats=False
    )
    assert {chunk.nats for chunk in generation} == {()}


def test_random_numbers_continue_where_they_stopped() -> None:
    options = SamplingOptions(seed=5)
    at_once = random_generator(options, 2).random(100)
    assert (random_generator(options, 2, num_sampled=37).random(63) == at_once[37:]).all()
