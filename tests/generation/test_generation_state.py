"""A place in a text is a value: kept, gone back to and continued it gives what one long text gives."""

from __future__ import annotations

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
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation, GenerationState, random_generator, start, stream
from charnet.storage.checkpoint import Checkpoint

BYTES = Vocabulary((*range(97, 103), 0xA9, 0xC3, 0xFF), of_bytes=True)


class Hasty(NumpyEngine):
    """An engine with bursts: the plainest loop that keeps what `MultiStepEngine` promises."""

    min_batch = 2

    def generate(self, ids, state, u_T, temperatures_T, bias_V):  # type: ignore[no-untyped-def]
        drawn, nats = [], []
        for u, temperature in zip(u_T, temperatures_T, strict=True):
            for i in ids:
                logits_BV, state = self.advance([i], state)
            chosen = sampling.sample_logits(logits_BV[0] if bias_V is None else logits_BV[0] + bias_V, temperature, u)
            nats.append(sampling.surprisal(logits_BV[0], chosen))
            drawn.append(chosen)
            ids = [chosen]
        return np.array(drawn), np.array(nats), state


def hasty(checkpoint: Checkpoint) -> Hasty:
    model = checkpoint.config.model
    return Hasty(checkpoint.weights, cell=model.cell, activation=model.activation)


def written(
    engine: Engine, position: GenerationState, vocab: Vocabulary = LETTERS, **options: object
) -> tuple[str, Generation]:
    writing = Generation(engine, vocab, position, SamplingOptions(**options))  # type: ignore[arg-type]
    return "".join(piece.text for piece in writing), writing


def in_parts(engine: Engine, prompt: list[int], parts: list[int], **options: object) -> str:
    position, text = start(engine, prompt), ""
    for length in parts:
        part, writing = written(engine, position, length=length, **options)
        position, text = writing.state, text + part
    return text


@every_engine
@every_kind
@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"repetition_penalty": 2.0, "repetition_window": 9}])
def test_a_text_written_in_parts_is_the_one_written_at_once(
    engine: str, cell: str, activation: str, options: dict[str, object]
) -> None:
    opened = open_engine(build(cell, activation), engine)
    whole = in_parts(opened, [0, 1], [80], seed=3, **options)
    assert len(set(whole)) > 3
    assert in_parts(opened, [0, 1], [1, 0, 29, 50], seed=3, **options) == whole
    assert whole == "".join(stream(opened, LETTERS, [0, 1], SamplingOptions(length=80, seed=3, **options)))  # type: ignore[arg-type]


@every_engine
@every_kind
def test_a_place_may_be_gone_back_to_as_often_as_wanted(engine: str, cell: str, activation: str) -> None:
    opened = open_engine(build(cell, activation), engine)
    _, writing = written(opened, start(opened, [0, 1]), length=20)
    place = writing.state
    texts = {written(opened, place, length=50)[0] for _ in range(3)}
    assert len(texts) == 1
    assert texts != {written(opened, start(opened, [0, 1]), length=50)[0]}


@every_engine
@every_kind
def test_a_saved_text_is_continued_as_if_it_had_never_ended(engine: str, cell: str, activation: str) -> None:
    """A text and the count of its drawn characters are all that needs saving: another process reads it and goes on."""
    checkpoint = build(cell, activation)
    text, writing = written(open_engine(checkpoint, engine), start(open_engine(checkpoint, engine), [4]), length=40)
    saved, drawn = "e" + text, writing.state.num_sampled
    anew = open_engine(checkpoint, engine)
    place = GenerationState(anew.start(1), num_sampled=drawn).extend(LETTERS.encode(saved).tolist())
    assert written(anew, place, length=60)[0] == in_parts(anew, [4], [100])[40:]


def test_what_is_given_in_between_is_read_before_more_is_drawn() -> None:
    engine = open_engine(build())
    text, writing = written(engine, start(engine, [0]), length=5)
    given = LETTERS.encode("abc").tolist()
    went_on, _ = written(engine, writing.state.extend(given), length=30)
    place = GenerationState(engine.start(1), num_sampled=5).extend([0, *LETTERS.encode(text).tolist(), *given])
    assert written(engine, place, length=30)[0] == went_on


def test_a_place_before_anything_was_read_is_the_start_of_a_line() -> None:
    engine = open_engine(build())
    at_start, _ = written(engine, start(engine), length=30)
    assert written(engine, start(engine, [LETTERS.start_id()]), length=30)[0] == at_start


@pytest.mark.parametrize("options", [{"stop": ("c", "ab")}, {"stop": ("abc",)}])
def test_going_on_after_an_ending_goes_on_after_what_was_cut_off(options: dict[str, object]) -> None:
    engine = open_engine(build())
    whole = in_parts(engine, [0], [300])
    position, text = start(engine, [0]), ""
    for _ in range(5):
        part, writing = written(engine, position, length=60, **options)
        position, text = writing.state, text + part + writing.withheld
    assert len(text) == position.num_sampled > 10
    assert whole.startswith(text)


# ------------------------------------------------------------------------------------------- bursts


@every_kind
@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.2, "temperature_end": 2.0}, {"ban": "ab", "logit_bias": (("c", 1.0),)}, {"top_k": 4}],
)
def test_an_engine_with_bursts_writes_the_same(cell: str, activation: str, options: dict[str, object]) -> None:
    checkpoint = build(cell, activation)
    expected, plain = written(open_engine(checkpoint), start(open_engine(checkpoint), [0, 1]), length=300, **options)
    engine = hasty(checkpoint)
    text, writing = written(engine, start(engine, [0, 1]), length=300, **options)
    assert text == expected
    assert writing.state.num_sampled == plain.state.num_sampled == 300


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text("abcdefghijk", min_size=1, max_size=2), min_size=1, max_size=3), st.integers(0, 5))
def test_a_text_that_ends_within_a_burst_leaves_the_place_of_one_written_singly(stops: list[str], seed: int) -> None:
    checkpoint = build()
    texts, places = [], []
    for engine in (open_engine(checkpoint), hasty(checkpoint)):
        text, writing = written(engine, start(engine, [0]), length=200, stop=tuple(stops), seed=seed)
        went_on, _ = written(engine, writing.state, length=50, seed=seed)
        texts.append((text, writing.withheld, went_on))
        places.append((writing.state.num_sampled, writing.state.recent))
    assert texts[0] == texts[1]
    assert places[0] == places[1]


def test_bursts_begin_with_one_symbol_so_that_it_is_shown_at_once() -> None:
    engine = hasty(build())
    sizes = [len(piece.text) for piece in Generation(engine, LETTERS, start(engine), SamplingOptions(length=100))]
    assert sizes[0] == 1
    assert max(sizes) > 1


# ------------------------------------------------------------------------------------------- nats


def pieces_of(engine: Engine, vocab: Vocabulary = LETTERS, **options: object) -> list[Chunk]:
    return list(Generation(engine, vocab, start(engine, [0]), SamplingOptions(**options)))  # type: ignore[arg-type]


@every_engine
@pytest.mark.parametrize("options", [{}, {"temperature": 0.1}, {"top_k": 2, "ban": "a"}, {"stop": ("abc",)}])
def test_the_nats_of_a_character_are_minus_the_log_of_its_probability(engine: str, options: dict[str, object]) -> None:
    opened = open_engine(build(), engine)
    pieces = pieces_of(opened, length=80, **options)
    text, nats = "".join(p.text for p in pieces), [n for p in pieces for n in p.nats]
    assert len(nats) == len(text) == 80
    state, ids = opened.start(1), [0, *LETTERS.encode(text).tolist()]
    for before, after, found in zip(ids[:-1], ids[1:], nats, strict=True):
        logits_BV, state = opened.advance([before], state)
        assert found == pytest.approx(-np.log(sampling.softmax(logits_BV[0])[after]), abs=1e-9)


def test_bursts_have_the_nats_of_single_symbols() -> None:
    one, many = pieces_of(open_engine(build()), length=99), pieces_of(hasty(build()), length=99)
    assert [n for p in one for n in p.nats] == pytest.approx([n for p in many for n in p.nats], abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_a_character_of_several_bytes_has_the_nats_of_all_of_them(seed: int) -> None:
    short = NumpyEngine(
        {k: v[:9] if k.startswith(("head", "embedding")) else v for k, v in build().weights.items()}, cell="lstm"
    )
    pieces = pieces_of(short, BYTES, length=60, seed=seed)
    text, nats = "".join(p.text for p in pieces), [n for p in pieces for n in p.nats]
    ids = BYTES.encode(text).tolist()
    singly = list(
        Generation(short, Vocabulary.of_text("abcdefghi"), start(short, [0]), SamplingOptions(length=60, seed=seed))
    )
    each = [n for p in singly for n in p.nats]
    assert len(ids) == len(each) == 60
    assert len(nats) == len(text)
    at = 0
    for character, found in zip(text, nats, strict=True):
        size = len(character.encode("utf-8", "surrogateescape"))
        assert found == pytest.approx(sum(each[at : at + size]), abs=1e-9)
        at += size


def test_nobody_pays_for_nats_that_nobody_asked_for() -> None:
    writing = Generation(
        open_engine(build()), LETTERS, start(open_engine(build())), SamplingOptions(length=9), nats=False
    )
    assert {piece.nats for piece in writing} == {()}


def test_random_numbers_go_on_where_they_stopped() -> None:
    options = SamplingOptions(seed=5)
    at_once = random_generator(options, 2).random(100)
    assert (random_generator(options, 2, num_sampled=37).random(63) == at_once[37:]).all()
