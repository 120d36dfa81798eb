"""No text copies too much: runs of the learned text stop before they are as long as is said, in every engine.

What was learned is, unless a test says otherwise, what the model itself writes: without the guard all of it is a copy.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from test_engines import LETTERS, build, every_engine, with_ngram

from charnet.config import SamplingOptions
from charnet.data.anchors import AnchorIndex
from charnet.data.copy_index import CopyIndex
from charnet.data.documents import Documents
from charnet.data.suffix_array import SuffixIndex
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.engines.registry import available, open_engine
from charnet.errors import ConfigError
from charnet.generation import batch, guarded
from charnet.generation.copy_guard import CopyGuard, NothingLeftError
from charnet.generation.generate import Generation, GenerationState, start
from charnet.generation.guarded import generation
from charnet.generation.running import Request


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other in sums this small cost seconds on a busy machine; conftest sets them back."""
    torch.set_num_threads(1)


def index_of(text: str, vocab: Vocabulary = LETTERS) -> CopyIndex:
    ids = vocab.encode(text).astype(np.uint8)
    return SuffixIndex(ids, Documents(np.array([0]), np.array([len(ids)])), len(vocab), None)


def write(
    engine: Engine, guard: CopyGuard | None, vocab: Vocabulary = LETTERS, state: GenerationState | None = None,
    *, index: int = 0, **options: object,
) -> str:  # fmt: skip
    chosen = SamplingOptions(max_copy=guard.length if guard else 0, **options)  # type: ignore[arg-type]
    state = state or start(engine, vocab)
    return "".join(chunk.text for chunk in generation(engine, vocab, state, chosen, guard, index=index))


def longest_copy(text: str, learned: str) -> int:
    """By brute force."""
    longest = 0
    for begin in range(len(text)):
        while text[begin : begin + longest + 1] in learned and begin + longest < len(text):
            longest += 1
    return longest


CHECKPOINTS = {
    "plain": build(),
    "of two, with an n-gram": with_ngram(build("gru", members=2)),
    "int8": build().quantize(),
}


@every_engine
@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.covering(1)
def test_a_text_copies_less_than_is_said_and_without_the_guard_all_of_it(kind: str, engine: str) -> None:
    if kind == "int8" and engine == "torch":
        pytest.skip("torch has no 8-bit weights")
    opened = open_engine(CHECKPOINTS[kind], available(engine))
    learned = write(opened, None, length=600)
    assert longest_copy(write(opened, None, length=300), learned) == 300
    for most in (40, 12):
        guard = CopyGuard(index_of(learned), most)
        text = write(opened, guard, length=600)
        assert len(text) == 600
        assert longest_copy(text, learned) == most - 1
        assert guard.num_banned > 0
        assert text[: most - 1] == learned[: most - 1]
        assert text[most - 1] != learned[most - 1]


OPTIONS: list[dict[str, object]] = [
    {},
    {"temperature": 0},
    {"temperature": 0.3, "temperature_end": 1.5},
    {"top_k": 3, "min_p": 0.01},
    {"repetition_penalty": 2.0},
    {"ban": "abc", "logit_bias": (("d", 2.0),)},
    {"match": "([a-f]{5,9}[g-k]){30,60}"},
]


OF_ONE_OPTION = [{"temperature": 0}, {"repetition_penalty": 2.0}, {"ban": "abc", "logit_bias": (("d", 2.0),)}]


@pytest.mark.parametrize(
    "options", [pytest.param(o, marks=pytest.mark.exhaustive) if o in OF_ONE_OPTION else o for o in OPTIONS], ids=str
)
def test_a_guarded_text_is_the_same_in_every_engine_and_in_a_batch(options: dict[str, object]) -> None:
    engines = [open_engine(build(), available(name)) for name in ("numpy", "compiled", "torch")]
    learned = "".join(write(engines[0], None, length=400, seed=seed, **options) for seed in range(3))
    found = []
    for engine in engines:
        guard = CopyGuard(index_of(learned), 9)
        found.append([write(engine, guard, length=400, index=index, **options) for index in range(3)])
        count = guard.num_banned
        guard = CopyGuard(index_of(learned), 9)
        chosen = SamplingOptions(max_copy=9, length=400, **options)  # type: ignore[arg-type]
        texts = batch.texts(engine, LETTERS, [], chosen, 3 if engine is not engines[1] else 70, guard=guard)
        found.append(["".join(chunk.text for chunk in text) for _, text in zip(range(3), texts, strict=False)])
        assert count
        assert guard.num_banned >= count
    assert all(texts == found[0] for texts in found)
    assert all(longest_copy(text, learned) < 9 for text in found[0])


@pytest.mark.exhaustive
def test_each_of_many_answers_has_its_own_guard() -> None:
    for name in ("numpy", "compiled", "torch"):
        engine = open_engine(build(), available(name))
        guards = {most: CopyGuard(index_of(write(engine, None, length=400)), most) for most in (5, 9, 20)}
        asked = []
        for i, most in enumerate((5, 9, 0, 20, 9, 5)):
            options = {**OPTIONS[i], "length": 90 - 7 * i, "max_copy": most, "stop": ("aa",) * (i % 2)}
            state = start(engine, LETTERS, range(i))
            asked.append(Request(state, SamplingOptions(**options), i, guards.get(most)))  # type: ignore[arg-type]
        found = [list(each) for each in batch.answers(engine, LETTERS, asked)]
        total = sum(guard.num_banned for guard in guards.values())
        assert total == sum(dict(chunks[-1].facts).get("runs_avoided", 0) for chunks in found)
        assert total > 0
        for (state, options, index, guard, *_), chunks in zip(asked, found, strict=True):
            alone = list(generation(engine, LETTERS, state, options, guard, index=index))
            assert "".join(chunk.text for chunk in chunks) == "".join(chunk.text for chunk in alone)
            assert chunks[-1].facts == alone[-1].facts


def test_an_answer_that_cannot_go_on_is_refused_and_no_other_with_it() -> None:
    engine = open_engine(build())
    guard, begun = CopyGuard(index_of("abcdef"), 3), start(engine, LETTERS)
    good, bad = (SamplingOptions(length=10, max_copy=3, match=match) for match in ("(a|f){10}", "abcdef"))
    asked = [Request(begun, options, 0, guard) for options in (good, bad, good)]
    one, two, three, four = batch.answers(engine, LETTERS, [*asked, Request(begun, SamplingOptions(max_copy=3))])
    assert "".join(chunk.text for chunk in one) == "".join(chunk.text for chunk in three)
    with pytest.raises(NothingLeftError, match="--max-copy 3"):
        list(two)
    with pytest.raises(ConfigError, match="needs the text that the model learned from"):
        list(four)


def test_where_a_text_has_ended_it_need_not_go_on() -> None:
    """Of "a" and "b" all runs of 4 were learned: a third symbol cannot come, and two of them end the text."""
    engine = open_engine(build())
    guard = CopyGuard(index_of("aaaabaabbababbbbaaa"), 4)
    options = SamplingOptions(length=10, max_copy=4, ban="cdefghijk", stop=("aa", "ab", "ba", "bb"))
    texts = batch.texts(engine, LETTERS, [], options, 3, guard=guard)
    assert ["".join(chunk.text for chunk in text) for text in texts] == [""] * 3
    endless = dataclasses.replace(options, stop=())
    with pytest.raises(NothingLeftError):
        list(map(list, batch.texts(engine, LETTERS, [], endless, 3, guard=guard)))


def test_a_text_that_is_continued_is_the_same_as_one_that_never_stopped() -> None:
    for name in ("numpy", "compiled"):
        engine = open_engine(build(), available(name))
        learned = write(engine, None, length=400)
        guard = CopyGuard(index_of(learned), 15)
        whole, state, parts = write(engine, guard, length=300), start(engine, LETTERS), ""
        for length in (1, 13, 1, 1, 84, 200):
            part = generation(engine, LETTERS, state, SamplingOptions(length=length, max_copy=15), guard)
            parts += "".join(chunk.text for chunk in part)
            state = part.state.extend([])
        assert parts == whole


def test_a_prompt_is_part_of_no_run() -> None:
    engine = open_engine(build())
    learned = write(engine, None, length=400)
    guard = CopyGuard(index_of(learned), 30)
    before = LETTERS.encode(learned[:100]).tolist()
    state = start(engine, LETTERS, before)
    unguarded = write(engine, None, state=state, length=29, temperature=0)
    assert write(engine, guard, state=state, length=29, temperature=0) == unguarded
    text = write(engine, guard, state=state, length=200)
    assert longest_copy(text, learned) < 30
    assert longest_copy(learned[:100] + text, learned) >= 100


def test_the_index_of_long_texts_guards_as_that_of_short_ones() -> None:
    engine = open_engine(build())
    learned = write(engine, None, length=700)
    ids = LETTERS.encode(learned).astype(np.uint8)
    long = AnchorIndex(ids, Documents(np.array([0]), np.array([700])), None)
    texts = [write(engine, CopyGuard(index, 40), length=500) for index in (index_of(learned), long)]
    assert texts[0] == texts[1]
    with pytest.raises(ConfigError, match="expected at least 32, found 31: in so long a text"):
        CopyGuard(long, 31)


def test_where_nothing_is_left_the_text_goes_back() -> None:
    """After "ab" only "c" may come, by the pattern, and "abc" was learned: "b" is not written after "a"."""
    for name in ("numpy", "compiled"):
        engine = open_engine(build(), available(name))
        guard = CopyGuard(index_of("abc"), 3)
        text = write(engine, guard, length=60, match="((abc|ad)k){20}")
        assert text == "adk" * 20
        chosen = SamplingOptions(max_copy=3, length=60, match="((abc|ad)k){20}")
        texts = list(batch.texts(engine, LETTERS, [], chosen, 80, guard=guard))
        assert {"".join(chunk.text for chunk in text) for text in texts} == {"adk" * 20}


def test_a_text_that_cannot_go_on_says_so_in_a_line() -> None:
    engine = open_engine(build())
    guard = CopyGuard(index_of("abcdef"), 3)
    with pytest.raises(NothingLeftError, match="--max-copy 3: all that could come next"):
        write(engine, guard, length=10, match="abcdef")
    chosen = SamplingOptions(max_copy=3, length=10, match="abcdef")
    with pytest.raises(NothingLeftError, match="--max-copy 3"):
        list(map(list, batch.texts(engine, LETTERS, [], chosen, 2, guard=guard)))


def test_what_is_given_back_is_no_part_of_a_run() -> None:
    vocab = Vocabulary.of_text(" .abcdefgA\n")
    engine = open_engine(build(vocab=vocab))
    learned = write(engine, None, vocab, length=500)
    guard, state = CopyGuard(index_of(learned, vocab), 12), start(engine, vocab)
    whole = write(engine, guard, vocab, length=300)
    parts = ""
    while len(parts) < 300:
        options = SamplingOptions(length=300 - len(parts), until="sentence", max_copy=12)
        part = generation(engine, vocab, state, options, guard)
        parts, state = parts + "".join(chunk.text for chunk in part) + part.withheld, part.state
    assert parts == whole


def test_a_guard_is_needed_and_sampling_by_particles_has_none() -> None:
    engine, options = open_engine(build()), SamplingOptions(max_copy=5)
    for call in (lambda: list(batch.texts(engine, LETTERS, [], options, 2)),
                 lambda: generation(engine, LETTERS, start(engine, LETTERS), options, None)):  # fmt: skip
        with pytest.raises(ConfigError, match="needs the text that the model learned from"):
            call()
    exact = dataclasses.replace(options, match="a{5}", exact=True)
    with pytest.raises(ConfigError, match="--max-copy: leave out --exact"):
        batch.texts(engine, LETTERS, [], exact, 2, guard=CopyGuard(index_of("abc"), 5))
    with pytest.raises(ConfigError, match="expected at least 2, found 1"):
        CopyGuard(index_of("abc"), 1)


def test_without_the_option_there_is_no_guard() -> None:
    engine = open_engine(build())
    assert type(generation(engine, LETTERS, start(engine, LETTERS), SamplingOptions(), None)) is Generation
    options, guard = SamplingOptions(max_copy=3), CopyGuard(index_of("abc"), 3)
    assert type(generation(engine, LETTERS, start(engine, LETTERS), options, guard)) is guarded.GuardedGeneration


def test_bytes_are_guarded_and_stay_utf8() -> None:
    vocab = Vocabulary(tuple(sorted({*"né€ \n".encode()})), of_bytes=True, is_utf8=True)
    engine = open_engine(build(vocab=vocab))
    learned = write(engine, None, vocab, length=400).encode()
    ids = vocab.lookup(np.frombuffer(learned, np.uint8)).astype(np.uint8)
    guard = CopyGuard(SuffixIndex(ids, Documents(np.array([0]), np.array([len(ids)])), len(vocab), None), 10)
    text = write(engine, guard, vocab, length=300).encode()
    assert len(text) == 300
    assert not any(text[begin : begin + 10] in learned for begin in range(len(text) - 9))
    assert guard.num_banned
    chosen = SamplingOptions(max_copy=10, length=300)
    (first, _) = batch.texts(engine, vocab, [], chosen, 2, guard=guard)
    assert "".join(chunk.text for chunk in first).encode() == text


def test_a_checkpoint_with_documents_starts_a_run_anew_in_each() -> None:
    ids = LETTERS.encode("abkcdkab").astype(np.uint8)
    index = SuffixIndex(ids, Documents.up_to(np.array([3, 6, 8], np.uint64)), len(LETTERS), 10)
    text = LETTERS.encode("abkcdka")
    assert index.runs(text)[0].tolist() == [1, 2, 0, 1, 2, 0, 1]
    assert index.first(text.tolist(), 3) is None
