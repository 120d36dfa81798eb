"""Generating a text. Most tests use `Dictated`, an engine that predicts a given text."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.config import Config, SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine
from charnet.engines.numpy_engine import NumpyEngine
from charnet.errors import CharnetError, ConfigError
from charnet.generation.generate import stream
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay

LETTERS = Vocabulary.of_text("abcdefgh\n ")
BYTES = Vocabulary(tuple(range(256)), of_bytes=True)


class Dictated:
    """Predicts the given ids in turn, one after each character, whatever it reads; records what it has read."""

    name, is_exact = "dictated", False

    def __init__(self, ids: list[int], alphabet_size: int) -> None:
        self.ids, self.size, self.read = ids, alphabet_size, []

    def start(self, batch: int) -> int:
        assert batch == 1
        return 0

    def advance(self, ids_B: list[int], state: int) -> tuple[np.ndarray, int]:
        self.read.extend(ids_B)
        logits_BV = np.zeros((1, self.size), np.float32)
        logits_BV[0, self.ids[state % len(self.ids)]] = 1
        return logits_BV, state + 1


class Even:
    """Predicts the same probability for every character."""

    name, is_exact = "even", False

    def start(self, batch: int) -> None:
        assert batch == 1

    def advance(self, ids_B: list[int], state: None) -> tuple[np.ndarray, None]:  # noqa: ARG002
        return np.zeros((1, len(LETTERS)), np.float32), None


def dictated(text: str | bytes, vocab: Vocabulary = LETTERS) -> Dictated:
    return Dictated(list(text) if isinstance(text, bytes) else vocab.encode(text).tolist(), len(vocab))


def written(text: str, length: int | None = None, *stop: str) -> list[str]:
    """Returns the chunks of a text that the engine predicts, at temperature 0, from a prompt of one character."""
    options = SamplingOptions(length=len(text) if length is None else length, temperature=0, stop=stop)
    return list(stream(dictated(text), LETTERS, [0], options))


def random_engine() -> NumpyEngine:
    config = overlay(Config(), {"model.hidden_size": 5, "model.embedding_size": 3})
    random = np.random.default_rng(1)
    shapes = model_shapes(config, len(LETTERS))
    return NumpyEngine({k: random.normal(0, 1, s).astype(np.float32) for k, s in shapes.items()}, cell="lstm")


def write(engine: Engine, prompt: str = "abc", index: int = 0, **options: float) -> str:
    return "".join(stream(engine, LETTERS, LETTERS.encode(prompt), SamplingOptions(**options), index=index))


def test_the_same_seed_writes_the_same_text():
    assert write(random_engine(), length=500, seed=3) == write(random_engine(), length=500, seed=3)


def test_another_seed_or_another_index_writes_another_text():
    texts = [write(random_engine(), length=50, seed=s, index=i) for s in (0, 1, 2) for i in (0, 1, 2)]
    assert len(set(texts)) == 9


def test_the_first_text_of_several_is_the_one_written_alone():
    assert write(random_engine(), length=50, seed=1) == write(random_engine(), length=50, seed=1, index=0)


def test_texts_written_by_turns_are_those_written_one_after_the_other():
    engine, ids = random_engine(), LETTERS.encode("abc")
    one, two = (stream(engine, LETTERS, ids, SamplingOptions(length=40, seed=1), index=i) for i in (0, 1))
    turns = ["".join(chunks) for chunks in zip(*zip(one, two, strict=True), strict=True)]
    assert turns == [write(random_engine(), length=40, seed=1, index=i) for i in (0, 1)]


def test_a_longer_text_begins_with_the_shorter_one():
    assert write(random_engine(), length=200, seed=3).startswith(write(random_engine(), length=120, seed=3))


def test_temperature_zero_takes_the_likeliest_whatever_the_seed():
    assert {write(dictated("decaf"), "a", length=10, temperature=0, seed=seed) for seed in range(5)} == {"decafdecaf"}


def test_top_k_of_one_takes_the_likeliest_at_any_temperature():
    assert write(dictated("decaf"), "a", length=10, temperature=100, top_k=1) == "decafdecaf"


def test_every_character_comes_as_often_as_it_is_likely():
    count = Counter(write(Even(), length=5000, temperature=1))
    assert set(count) == set("abcdefgh\n ")
    assert all(400 < n < 600 for n in count.values())


def test_filters_that_are_on_but_filter_nothing_write_the_same_text():
    plain = write(random_engine(), length=300, temperature=0.9, seed=2)
    assert write(random_engine(), length=300, temperature=0.9, seed=2, top_k=10) == plain
    assert write(random_engine(), length=300, temperature=0.9, seed=2, min_p=1e-300) == plain


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.7}, {"min_p": 0.2}, {"top_p": 0}])
def test_every_character_is_drawn_from_the_probabilities_of_the_options(options):
    engine = random_engine()
    text = write(engine, length=200, temperature=1.3, seed=4, **options)
    state = engine.start(1)
    for i in LETTERS.encode("abc").tolist():
        logits_BV, state = engine.advance([i], state)
    for i in LETTERS.encode(text).tolist():
        assert sampling.probabilities(logits_BV[0], temperature=1.3, **options)[i] > 0
        logits_BV, state = engine.advance([i], state)


def test_the_engine_reads_the_prompt_and_then_its_own_text():
    engine = dictated("fgh")
    chunks = stream(engine, LETTERS, LETTERS.encode("abcb"), SamplingOptions(length=3, temperature=0))
    text = "".join(chunks)
    assert LETTERS.decode(engine.read) == "abcb" + text[:-1]  # nothing follows the last character: it is not read


def test_the_prompt_is_not_repeated():
    assert write(dictated("fgh"), prompt="abc", length=1, temperature=0) in "fgh"


@pytest.mark.parametrize("empty", [[], (), np.array([], dtype=np.int32)])
def test_no_prompt_stands_for_the_start_of_a_line(empty):
    engine = dictated("fgh")
    assert "".join(stream(engine, LETTERS, empty, SamplingOptions(length=1, temperature=0))) == "f"
    assert LETTERS.decode(engine.read) == "\n"


def test_length_zero_writes_nothing():
    assert "".join(stream(dictated("abc"), LETTERS, [0], SamplingOptions(length=0))) == ""
    assert "".join(stream(dictated(b"abc", BYTES), BYTES, [0], SamplingOptions(length=0, stop=("x",)))) == ""


@pytest.mark.parametrize("length", [1, 2, 77])
def test_length_counts_the_characters_after_the_prompt(length):
    assert len(write(Even(), length=length)) == length


def test_characters_come_one_at_a_time_as_soon_as_they_are_drawn():
    engine = dictated("abc")
    chunks: Iterator[str] = stream(engine, LETTERS, [0], SamplingOptions(length=10**9, temperature=0))
    assert [next(chunks) for _ in range(5)] == ["a", "b", "c", "a", "b"]
    assert len(engine.read) == 5


def test_writing_ends_before_a_stop_text_and_does_not_write_it():
    assert "".join(written("abcdefgh", None, "def")) == "abc"


def test_a_stop_text_that_is_never_completed_is_written():
    assert "".join(written("abcdeab", None, "abd", "deac")) == "abcdeab"


def test_a_stop_text_that_begins_again_within_itself_is_found():
    assert "".join(written("aabaabaaab", None, "aabaaa")) == "aab"
    assert "".join(written("aaaab", None, "aab")) == "aa"


def test_the_stop_text_that_is_complete_first_counts():
    assert "".join(written("abcdefgh", None, "efg", "cd", "h")) == "ab"
    assert "".join(written("abcdefgh", None, "abcdefa", "de")) == "abc"
    assert "".join(written("abcdefgh", None, "bcde", "cd")) == "ab"


def test_of_stop_texts_that_end_together_the_longest_is_left_out():
    assert "".join(written("abcdefgh", None, "e", "de", "cde")) == "ab"


def test_a_stop_text_of_one_character_at_the_very_start_leaves_nothing():
    assert "".join(written("abc", None, "a")) == ""


def test_a_stop_text_in_the_prompt_does_not_count():
    options = SamplingOptions(length=3, temperature=0, stop=("ab",))
    assert "".join(stream(dictated("bbb"), LETTERS, LETTERS.encode("ca"), options)) == "bbb"


def test_what_might_begin_a_stop_text_is_held_back_and_nothing_else():
    chunks = written("ccabcc", None, "abd")
    assert [chunk for chunk in chunks if chunk] == ["c", "c", "abc", "c"]


def test_the_length_counts_also_what_is_held_back():
    assert "".join(written("abcdefgh", 4, "cdef")) == "abcd"
    assert "".join(written("abcdefgh", 5, "cde")) == "ab"


def test_no_engine_runs_on_after_the_stop_text():
    engine = dictated("abcdefgh")
    list(stream(engine, LETTERS, [0], SamplingOptions(length=8, temperature=0, stop=("cd",))))
    assert len(engine.read) == 4


texts = st.text(alphabet="abc", min_size=1, max_size=30)
stops = st.lists(st.text(alphabet="abc", min_size=1, max_size=5), max_size=3)


@settings(deadline=None, max_examples=60)
@given(texts, stops)
def test_stopping_is_cutting_the_whole_text_where_a_stop_text_is_first_complete(text, stops):
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    until = text[: min(ends)] if ends else text
    cut = min((len(until) - len(stop) for stop in stops if until.endswith(stop)), default=len(until))
    assert "".join(written(text, None, *stops)) == (until[:cut] if ends else text)


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=40), st.data())
def test_no_byte_is_ever_lost(raw, data):
    length = data.draw(st.integers(0, len(raw)))
    text = "".join(stream(dictated(raw, BYTES), BYTES, [0], SamplingOptions(length=length, temperature=0)))
    assert text.encode("utf-8", "surrogateescape") == raw[:length]


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=40))
def test_no_byte_is_lost_to_a_stop_text_that_does_not_come(raw):
    options = SamplingOptions(length=len(raw), temperature=0, stop=("never seen", "é✓"))
    text = "".join(stream(dictated(raw, BYTES), BYTES, [0], options))
    if "é✓" not in text:
        assert text.encode("utf-8", "surrogateescape") == raw


def test_a_character_of_several_bytes_comes_whole():
    raw = "aé✓😀".encode()
    chunks = list(stream(dictated(raw, BYTES), BYTES, [0], SamplingOptions(length=len(raw), temperature=0)))
    assert [chunk for chunk in chunks if chunk] == ["a", "é", "✓", "😀"]


def test_length_counts_bytes_for_a_model_of_bytes_even_within_a_character():
    text = "".join(stream(dictated("é✓".encode(), BYTES), BYTES, [0], SamplingOptions(length=4, temperature=0)))
    assert text.encode("utf-8", "surrogateescape") == "é✓".encode()[:4]


def test_a_stop_text_of_several_bytes_is_found():
    raw = "aé✓😀b".encode()
    options = SamplingOptions(length=len(raw), temperature=0, stop=("✓😀",))
    assert "".join(stream(dictated(raw, BYTES), BYTES, [0], options)) == "aé"


@pytest.mark.parametrize(("raw", "stop"), [(b"a\xe2", b"\xe2"), (b"a\xe2\xc3b", b"\xe2"), (b"ab\xff\xc3", b"b\xff")])
def test_a_stop_text_of_broken_bytes_is_found_and_nothing_is_written_after_it(raw, stop):
    options = SamplingOptions(length=len(raw), temperature=0, stop=(stop.decode("utf-8", "surrogateescape"),))
    assert "".join(stream(dictated(raw, BYTES), BYTES, [0], options)) == "a"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"temperature": 0}])
def test_a_model_whose_numbers_overflow_ends_with_an_error(options):
    settings = {"model.cell": "rnn", "model.activation": "relu", "model.hidden_size": 5}
    shapes = model_shapes(overlay(Config(), settings), len(LETTERS))
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    weights["head.weight"][::2] = -1
    with pytest.raises(CharnetError):
        write(NumpyEngine(weights, cell="rnn", activation="relu"), length=200, **options)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"length": -1}, "-n"),
        ({"seed": -1}, "--seed"),
        ({"stop": ("a", "")}, "--stop"),
        ({"temperature": -1}, "--temp"),
        ({"top_k": -1}, "--top-k"),
        ({"top_p": 2}, "--top-p"),
        ({"min_p": 2}, "--min-p"),
    ],
)
def test_an_option_out_of_its_range_is_refused_by_name(options, name):
    with pytest.raises(ConfigError, match=f"^{name}: expected"):
        SamplingOptions(**options)
