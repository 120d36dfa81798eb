"""Texts that match a regular expression: what the automaton accepts, and what is written with it."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines import LETTERS, build, with_ngram

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.registry import ENGINES, open_engine
from charnet.errors import ConfigError
from charnet.generation import regex_compiler
from charnet.generation.automaton import DEAD, Automaton
from charnet.generation.batch import texts
from charnet.generation.generate import Generation, start, stream
from charnet.generation.regex_compiler import compile_pattern
from charnet.generation.samplers import Samplers

PRINTABLE = Vocabulary.of_text("".join(map(chr, range(32, 127))) + "\né")
PATTERNS = (
    r"[A-Z][a-z]{4,7}",
    r"(?i)rom(e|é)o|ju*li?et+",
    r"\d{1,3}(\.\d{1,3}){3}",
    r"(a|b)*abb",
    r"[^a-y]+?",
    r"^x(?P<n>y|z){2,}$",
    r"\w+\s\S",
    r"[]a]b[^]]",
    r"a{,3}|b{2}|c{2,}",
    r"x{}|y{,}z",
    r"(?s:.{2})(?i:aB)\n?",
    r".*é",
    r"(?:a(?#remark)|)\x41\u00e9\.\\\101*",
    r"(|a|ab)(c|)\Z",
    r"a(?#c)*(?#d)b(?#e){2}",
    "a{\u0663}b?|x",
    r"(?#c)(?i)^abc$(?#d)",
)


def accepts(automaton: Automaton, vocab: Vocabulary, text: str) -> bool:
    state = 0
    for symbol in vocab.lookup(vocab.codes(text)).tolist():
        state = automaton.after(state, symbol)
        if state == DEAD:
            return False
    return automaton.may_end(state)


@st.composite
def texts_near(draw, automaton: Automaton, vocab: Vocabulary) -> str:
    """Walks along the automaton, and now and then anywhere."""
    state, ids = 0, []
    for _ in range(draw(st.integers(0, 15))):
        possible = np.flatnonzero(automaton.next_SC[state][automaton.class_V] != DEAD).tolist()
        if draw(st.integers(0, 9)) == 0 or not possible:
            possible = list(range(len(vocab)))
        ids.append(draw(st.sampled_from(possible)))
        state = max(0, automaton.after(state, ids[-1]))
    return vocab.decode(ids)


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_the_automaton_accepts_what_python_matches(pattern, data):
    automaton = compile_pattern(pattern, PRINTABLE)
    text = data.draw(texts_near(automaton, PRINTABLE))
    assert accepts(automaton, PRINTABLE, text) == bool(re.fullmatch(pattern, text))


ATOMS = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\w", "c"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(EXPRESSIONS, st.lists(st.text("abcd\n", max_size=7), min_size=1, max_size=8))
def test_the_automaton_of_any_expression_accepts_what_python_matches(pattern, candidates):
    vocab = Vocabulary.of_text("abcd\n")
    automaton = compile_pattern(pattern, vocab)
    for text in candidates:
        assert accepts(automaton, vocab, text) == bool(re.fullmatch(pattern, text))


@pytest.mark.parametrize("pattern", ["é+x", "[à-ü]{2}", "[^a]{1,2}", r"\w{2}", "(?i)É", ".", "[€-\U0001f600]"])
@settings(deadline=None, max_examples=15)
@given(text=st.text(st.sampled_from("aéèxÉü€中\U0001f600\n"), max_size=3))
def test_a_model_of_bytes_accepts_the_utf8_of_what_python_matches(pattern, text):
    vocab = bytes_vocab()
    automaton = compile_pattern(pattern, vocab)
    assert accepts(automaton, vocab, text) == bool(re.fullmatch(pattern, text))


def bytes_vocab() -> Vocabulary:
    return Vocabulary(tuple(range(256)), of_bytes=True)


def test_a_sonnet_has_few_states():
    assert len(compile_pattern(r"([^\n]{30,50}\n){14}", PRINTABLE).fewest_S) == 715


def test_each_state_knows_the_fewest_symbols_to_an_end():
    automaton = compile_pattern("ab(cd|e)?f*gg", LETTERS)
    assert automaton.fewest_S[0] == 4
    assert automaton.fewest_S[automaton.after(automaton.after(0, 0), 1)] == 2


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(a)\1", 'a back reference at character 4 of "(a)\\\\1"'),
        ("(?P<x>a)(?P=x)", "a back reference at character 9"),
        ("a(?=b)", "lookahead at character 2"),
        ("(?<!a)b", "lookbehind at character 1"),
        ("(a)?(?(1)b|c)", "a condition at character 5"),
        ("a++", "a possessive repetition at character 2"),
        ("(?>a)", "an atomic group at character 1"),
        (r"\bfoo", "a word boundary at character 1"),
        ("a$b", "an anchor inside the pattern at character 2"),
        ("(^a)", "an anchor inside the pattern at character 2"),
        ("(?m)a", "the flag m at character 1"),
        ("[a", 'unterminated character set at character 1 of "[a"'),
        ("z", '"z" is not in the alphabet'),
        ("[x-z]a", r'"\[x-z\]" is not in the alphabet'),
        ("(?a)(?u)x", "flags are incompatible"),
        ("(" * 101 + "a" + ")" * 101, "groups inside each other"),
        ("a" * 50_001, "a pattern of 50,001 characters"),
    ],
)
def test_what_is_beyond_the_subset_or_the_alphabet_is_refused_with_its_place(pattern, message):
    with pytest.raises(ConfigError, match=message if "\\[" in message else re.escape(message)):
        compile_pattern(pattern, LETTERS)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a{99}){99}", "repeats too much: more than 4,000 parts"),
        ("((a|b)*a(a|b){20})", r"too many states \(at most 500"),
        ("(a?){500}", "is too complicated; repeat fewer optional parts"),
    ],
)
def test_a_pattern_that_would_take_long_or_much_memory_is_refused(pattern, message, monkeypatch):
    limits = {"MOST_PARTS": 4000, "MOST_STATES": 500, "MOST_WORK": 1 << 16}
    for name, limit in limits.items():
        monkeypatch.setattr(regex_compiler, name, limit)
    with pytest.raises(ConfigError, match=message):
        compile_pattern.__wrapped__(pattern, LETTERS)


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("ab[]()|*+?{}#0129,^$\\.-:<>=!iPwdxu\nk"), max_size=14))
def test_any_text_is_a_pattern_or_refused_in_one_line(pattern):
    try:
        automaton = compile_pattern(pattern, LETTERS)
    except ConfigError as refusal:
        automaton, lines = None, str(refusal).splitlines()
        assert len(lines) == 1
    for text in ("", "a", "b", "ab", "ka", "kb") if automaton else ():
        assert accepts(automaton, LETTERS, text) == bool(re.fullmatch(pattern, text))


def test_a_branch_that_the_alphabet_lacks_is_noted():
    automaton = compile_pattern("a|é|[0-9]b", LETTERS)
    lacks = "is not in the alphabet: this branch cannot be taken"
    assert automaton.notes == (f'"é" {lacks}', f'"[0-9]" {lacks}')


def write(checkpoint, engine: str, count: int, **options) -> list[str]:
    opened = open_engine(checkpoint, engine)
    found = texts(opened, LETTERS, [0], SamplingOptions(**options), count)
    return ["".join(chunk.text for chunk in chunks) for chunks in found]


CONTROLLED = (
    {"match": "(ab|c)*d{2,4}[e-k]?", "length": 12},
    {"match": "[a-k]*k", "length": 9, "temperature": 1.5},
    {"match": "a+b*", "length": 30, "temperature": 0.0},
    {"match": "(abc|[d-f]{3}){1,5}", "length": 40, "top_k": 2},
    {"match": "[^a]{3,}a", "length": 20, "top_p": 0.3, "repetition_penalty": 1.4, "ban": "e"},
)


@pytest.mark.parametrize("options", CONTROLLED, ids=lambda each: each["match"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_text_matches_within_its_length_and_is_the_same_alone_and_in_every_engine(options, engine):
    checkpoint = build()
    many = write(checkpoint, engine, 70, **options)
    assert all(re.fullmatch(options["match"], text) and len(text) <= options["length"] for text in many)
    assert "e" not in "".join(many) or not options.get("ban")
    expected = open_engine(checkpoint, "numpy")
    for index in range(3):
        assert many[index] == "".join(stream(expected, LETTERS, [0], SamplingOptions(**options), index=index))


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("members", [1, 2])
def test_8_bit_models_with_an_ngram_match_too(engine, members):
    checkpoint = with_ngram(build("gru", members=members)).quantize()
    many = write(checkpoint, engine, 20, match="(ab|[c-f])+k", length=25)
    assert all(re.fullmatch("(ab|[c-f])+k", text) for text in many)
    assert many == write(checkpoint, "numpy", 20, match="(ab|[c-f])+k", length=25)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_where_a_text_may_end_it_ends_with_the_mass_that_the_pattern_does_not_allow(engine):
    """Of two texts, "a" and "ab": the model's own probability that another symbol than b comes after "a"."""
    checkpoint = build()
    many = Counter(write(checkpoint, engine, 2000, match="ab?", temperature=1.0))
    opened = open_engine(checkpoint, "numpy")
    state = opened.start(1)
    for i in (0, 0):  # the prompt, and the only first symbol that is allowed
        logits_1V, state = opened.advance([i], state)
    p = sampling.softmax(logits_1V)[0][1]
    assert set(many) == {"a", "ab"}
    assert many["ab"] / 2000 == pytest.approx(p, abs=4 * (p * (1 - p) / 2000) ** 0.5)


def test_the_state_after_a_text_that_its_pattern_ended_continues_it():
    checkpoint = build()
    for engine in ("numpy", "compiled"):
        opened = open_engine(checkpoint, engine)
        first = Generation(
            opened, LETTERS, start(opened, LETTERS, [0]), SamplingOptions(match="[a-f]{3}[g-k]", length=9)
        )
        text = "".join(chunk.text for chunk in first)
        again = "".join(
            c.text for c in Generation(opened, LETTERS, first.state, SamplingOptions(length=50, temperature=0))
        )
        ids = [0, *LETTERS.encode(text).tolist()]
        assert again == "".join(stream(opened, LETTERS, ids, SamplingOptions(length=50, temperature=0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"match": "a{20}", "length": 10}, "the shortest text that matches has 20 characters; -n 10 is too short"),
        ({"match": "a", "stop": ("b",)}, "--match and --stop"),
        ({"match": "a", "max_lines": 1}, "--match and --max-lines"),
        ({"match": "a", "until": "line"}, "--match and --until"),
        ({"match": "a", "ban": "a"}, "no text of this model can match"),
    ],
)
def test_options_that_contradict_a_pattern_are_refused(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        write(build(), "numpy", 1, **options)


TWELVE = (
    *("(ab|c)*d{2,4}[e-k]?", "[a-k]{3,9}", "(a|b)+c(d|e)*", "[^a]+a", "(abc){2,}", "k?j?i?h?"),
    *(
        "(?i)A[B-D]{,5}|e+f",
        r"\w{10}(k\w)*",
        "((a|b)(c|d)?){3,7}",
        ".{0,4}kk.{0,4}",
        "(aa)*|(bbb)+",
        "[a-c][^c]*c[^a]a",
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", TWELVE)
@pytest.mark.parametrize("exact", [False, True])
def test_ten_thousand_texts_all_match(pattern, exact):
    many = write(build(), "compiled", 2000 if exact else 10_000, match=pattern, length=60, exact=exact)
    assert all(re.fullmatch(pattern, text) for text in many)


def test_the_patterns_that_are_kept_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    vocab = Vocabulary.of_text("ab")
    samplers = Samplers(vocab, is_exact=True)
    size = samplers.of(SamplingOptions(match="[ab]{9}")).pattern.next_SC.nbytes
    monkeypatch.setattr("charnet.generation.samplers.MOST_BYTES", 3 * size)
    options = [SamplingOptions(match=f"[ab]{{8}}{end}") for end in ("a", "b", "[ab]", "a?b", "b?a", "(ab)?")]
    for each in options:
        samplers.of(each)
    kept = sum(each.pattern.next_SC.nbytes for each in samplers._kept.values())
    assert 0 < kept <= 3 * size
    assert samplers.of(options[-1]) is samplers.of(options[-1])
