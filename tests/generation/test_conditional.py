"""Texts that are true to the model, given that they match: `--exact`, templates, lengths of lines and documents.

The truth is counted: every text of a small pattern, with the model's probability that it writes just that text.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from test_engines import LETTERS, build, with_ngram

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines.registry import ENGINES, open_engine
from charnet.errors import ConfigError
from charnet.generation import conditional, template
from charnet.generation.batch import texts
from charnet.generation.generate import Generation, start, stream
from charnet.generation.sampler import Sampler

LINES = Vocabulary(tuple(map(ord, "\nabcdefghij")), has_documents=True)


def write(checkpoint, count: int, engine: str = "numpy", **options) -> list[str]:
    opened = open_engine(checkpoint, engine)
    found = texts(opened, checkpoint.vocab, [], SamplingOptions(**options), count)
    return ["".join(chunk.text for chunk in chunks) for chunks in found]


def truth(checkpoint, **options) -> dict[str, float]:
    """The probability of every text that matches, as a free text: one that ends with the first symbol with which no
    text can match. Which texts there are is asked of Python's own expressions, of short texts one by one."""
    engine, vocab, o = open_engine(checkpoint, "numpy"), checkpoint.vocab, SamplingOptions(**options)
    sampler, end = Sampler(vocab, o), vocab.start_id() if vocab.has_documents else None
    pieces = template.stages(o.template) if o.template else [f"(?s:.){{{o.min_length},{o.max_length}}}"]
    source = o.match or "".join(pieces)
    letters = sorted({chr(c) for c in vocab.symbols} - ({vocab.decode([end])} if end is not None else set()))
    texts_that_match = [t for n in range(min(o.length, LONGEST) + 1) for t in matching(source, "".join(letters), n)]
    beginnings = {text[:n] for text in texts_that_match for n in range(len(text) + 1)}
    found = {}

    def walk(state, last: int, text: str, p: float) -> None:
        logits_1V, after = engine.advance([last], state)
        p_V = sampler.probabilities(sampler.adjusted_rows(logits_1V, 0, [vocab.encode(text).tolist()]), o.temperature)[
            0
        ]
        goes_on = [symbol for symbol in range(len(vocab)) if text + vocab.decode([symbol]) in beginnings]
        if text in set_of_matches:
            ends = p_V[end] if end is not None else p_V.sum() - p_V[goes_on].sum()
            found[text] = p * float(ends)
        for symbol in goes_on:
            walk(after, symbol, text + vocab.decode([symbol]), p * float(p_V[symbol]))

    set_of_matches = set(texts_that_match)
    walk(engine.start(1), vocab.start_id(), "", 1.0)
    return found


LONGEST = 5  # characters of the texts that are counted


@functools.cache
def matching(source: str, letters: str, length: int) -> list[str]:
    """All texts of some length that match."""
    return [text for text in map("".join, itertools.product(letters, repeat=length)) if re.fullmatch(source, text)]


def distance(many: list[str], expected: dict[str, float]) -> tuple[float, float]:
    """The total variation between texts and a distribution, and what chance alone gives."""
    counts, n, total = Counter(many), len(many), sum(expected.values())
    assert set(counts) <= set(expected)
    p = {text: value / total for text, value in expected.items()}
    noise = sum(math.sqrt(2 * q * (1 - q) / (math.pi * n)) for q in p.values()) / 2
    return sum(abs(counts[text] / n - q) for text, q in p.items()) / 2, noise


LIKELY = {"match": "abk|[b-e]a?|fkkk", "length": 9, "temperature": 1.0}
SELDOM = {"match": "(ab|[c-e]d)[fg]{1,2}k", "length": 9, "temperature": 1.0}
FILTERED = {"match": "[a-e]kk|[f-k][ab]", "length": 9, "temperature": 1.3, "top_p": 0.9, "logit_bias": (("b", 1.5),)}


@pytest.mark.parametrize(
    "options",
    [SELDOM, *(pytest.param(each, marks=pytest.mark.exhaustive) for each in (LIKELY, FILTERED))],
    ids=lambda each: each["match"],
)
def test_exact_texts_have_the_distribution_of_the_model_and_masked_ones_have_not(options):
    checkpoint = build()
    expected = truth(checkpoint, **options, exact=True)
    found, noise = distance(write(checkpoint, 3000, exact=True, **options), expected)
    masked, _ = distance(write(checkpoint, 3000, **options), expected)
    assert found < 1.5 * noise < masked / 2


@pytest.mark.parametrize("options", [SELDOM, FILTERED], ids=lambda each: each["match"])
def test_particles_come_near_the_distribution_of_the_model(options, monkeypatch):
    monkeypatch.setattr(conditional, "ENOUGH", 10**6)
    checkpoint = build()
    found, noise = distance(
        write(checkpoint, 1000, exact=True, **options)[1:], truth(checkpoint, **options, exact=True)
    )
    masked, _ = distance(write(checkpoint, 1000, **options), truth(checkpoint, **options))
    assert found < 2 * noise < masked / 2


@pytest.mark.parametrize("way", ["all that match", "particles"])
@pytest.mark.exhaustive
def test_the_share_of_texts_that_would_match_by_themselves_is_known(way, monkeypatch):
    monkeypatch.setattr(conditional, "ENOUGH", 10**6)
    monkeypatch.setattr(conditional, "MOST_WEIGHED", 256 if way == "all that match" else 0)
    checkpoint, options = build(), SamplingOptions(exact=True, **SELDOM)
    engine = open_engine(checkpoint, "numpy")
    sampler = Sampler(LETTERS, options)
    writer = conditional.Conditional(engine, sampler, options, engine.start(1), LETTERS.start_id())
    *_, last = writer.texts(range(300))
    assert last.way == way
    assert last.share == pytest.approx(sum(truth(checkpoint, exact=True, **SELDOM).values()), rel=0.15)


AMBIGUOUS = {"template": "{[ab]{1,2}}a{[ab]}k", "logit_bias": (("a", 6.0), ("b", 3.0), ("k", 4.0)), "temperature": 1.0}
SKEWED = {"match": "[bc]{1,3}c[ae]", "logit_bias": (("c", -6.0), ("e", 2.0)), "length": 5}


@pytest.mark.parametrize("few", [256, pytest.param(0, marks=pytest.mark.exhaustive)])
def test_a_hole_that_could_swallow_the_text_behind_it_changes_no_distribution(few, monkeypatch):
    monkeypatch.setattr(conditional, "MOST_WEIGHED", few)
    monkeypatch.setattr(conditional, "ENOUGH", 10**6)
    checkpoint = build()
    found, noise = distance(write(checkpoint, 1000, **AMBIGUOUS)[1:], truth(checkpoint, **AMBIGUOUS))
    assert found < 2 * noise


@pytest.mark.exhaustive
def test_few_texts_are_weighed_so_that_a_rare_beginning_is_drawn_as_often_as_it_should():
    checkpoint = build()
    found, noise = distance(write(checkpoint, 2000, exact=True, **SKEWED), truth(checkpoint, exact=True, **SKEWED))
    assert found < 2 * noise


def test_a_text_that_just_fits_is_written():
    for text in write(build(vocab=LINES), 3, template="{a}b{c}", length=3):
        assert text == "abc"
    for text in write(
        build(vocab=replace(LINES, has_documents=False)), 3, min_length=3, max_length=3, max_lines=2, length=7
    ):
        assert [len(line) for line in text.split("\n")] == [3, 3]


TEMPLATE = "{a|[bc]k?}kj{[cd]}"


@pytest.mark.exhaustive
def test_a_hole_is_filled_with_regard_to_the_fixed_text_behind_it(monkeypatch):
    monkeypatch.setattr(conditional, "MOST_WEIGHED", 0)
    checkpoint = build()
    options = {"template": TEMPLATE, "temperature": 1.0, "length": 20}
    expected = truth(checkpoint, **options)
    found, noise = distance(write(checkpoint, 1000, **options), expected)
    masked, _ = distance(write(checkpoint, 1000, match="(a|[bc]k?)kj[cd]", temperature=1.0), expected)
    assert found < 2 * noise < masked / 2


@pytest.mark.parametrize("options", [SELDOM, {"template": TEMPLATE}, {"match": "[a-k]{0,5}", "length": 3}], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_exact_text_is_the_same_alone_and_in_every_engine(options, engine):
    checkpoint = build()
    options = {"exact": True, **options} if "match" in options else options
    many = write(checkpoint, 5, engine, **options)
    opened = open_engine(checkpoint, "numpy")
    alone = ["".join(stream(opened, LETTERS, [], SamplingOptions(**options), index=index)) for index in range(5)]
    assert many == alone
    assert len(set(many)) > 1


@pytest.mark.parametrize("options", [{"match": "(ab|[c-f])+k{1,2}", "exact": True}, {"template": TEMPLATE}], ids=str)
@pytest.mark.exhaustive
def test_exact_texts_of_8_bit_models_are_the_same_alone_and_in_both_engines(options):
    checkpoint = with_ngram(build("gru")).quantize()
    many = write(checkpoint, 6, "compiled", **options)
    opened = open_engine(checkpoint, "numpy")
    assert many == ["".join(stream(opened, LETTERS, [], SamplingOptions(**options), index=i)) for i in range(6)]


def test_where_filters_rule_out_every_match_texts_match_all_the_same():
    for index, text in enumerate(write(build(), 20, match="[a-k]?kkk", exact=True, top_k=1)):
        assert re.fullmatch("[a-k]?kkk", text), index


def test_a_text_that_nearly_never_matches_is_written_by_particles():
    (text,) = write(build(), 1, match="k{12}[a-c]{3}", exact=True, length=40)
    assert re.fullmatch("k{12}[a-c]{3}", text)


def test_a_greedy_exact_text_is_the_masked_one_if_the_model_would_write_it_anyway():
    checkpoint = build()
    likely = "".join(stream(open_engine(checkpoint, "numpy"), LETTERS, [], SamplingOptions(length=6, temperature=0)))
    assert write(checkpoint, 2, match="[a-k]{6}", length=6, temperature=0, exact=True) == [likely] * 2


@pytest.mark.exhaustive
def test_documents_have_the_lengths_that_were_asked_for_and_the_distribution_of_the_model():
    checkpoint = build(vocab=LINES)
    options = {"min_length": 2, "max_length": 3, "temperature": 1.0, "logit_bias": (("\n", 2.0), ("a", 1.0))}
    many = write(checkpoint, 2000, **options)
    found, noise = distance(many, truth(checkpoint, **options))
    assert {len(text) for text in many} == {2, 3}
    assert found < 1.3 * noise


def test_every_line_has_the_length_that_was_asked_for():
    checkpoint = build(vocab=replace(LINES, has_documents=False))
    for text in write(checkpoint, 5, min_length=3, max_length=6, max_lines=4):
        assert len(text.split("\n")) == 4
        assert {len(line) for line in text.split("\n")} <= {3, 4, 5, 6}
    for text in write(checkpoint, 5, min_length=3, max_length=6, length=60):
        assert {len(line) for line in text.split("\n")} <= {0, 3, 4, 5, 6}
        assert text.endswith("\n")
        assert 50 < len(text) <= 60


@pytest.mark.exhaustive
def test_a_document_is_followed_by_its_end_with_a_pattern_too():
    """The model itself says whether a document goes on: not the mass of all that the pattern rules out."""
    checkpoint = build(vocab=LINES)
    for exact in (False, True):
        options = {"match": "a[bc]?", "temperature": 1.0, "exact": exact}
        for engine in ("numpy", "compiled"):
            many = Counter(write(checkpoint, 1500, engine, **options))
            opened = open_engine(checkpoint, "numpy")
            state, ends = opened.start(1), 0.0
            for symbol in (0, 1):
                logits_1V, state = opened.advance([symbol], state)
            p_V = np.exp(logits_1V[0].astype(float))
            expected = p_V[0] / p_V[[0, 2, 3]].sum()
            if exact:  # "ab" and "ac" have to end too
                shares = []
                for symbol in (2, 3):
                    after_1V, _ = opened.advance([symbol], state)
                    p_after_V = np.exp(after_1V[0].astype(float))
                    shares.append(p_V[symbol] * p_after_V[0] / p_after_V.sum())
                ends = p_V[0] / (p_V[0] + sum(shares))
                expected = ends
            assert many["a"] / 1500 == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 1500) ** 0.5)


def test_the_state_after_an_exact_text_continues_it():
    checkpoint = build()
    opened = open_engine(checkpoint, "numpy")
    first = Generation(opened, LETTERS, start(opened, LETTERS, [0]), SamplingOptions(exact=True, match="[a-f]{3}[g-k]"))
    text = "".join(chunk.text for chunk in first)
    more = SamplingOptions(length=50, temperature=0)
    again = "".join(c.text for c in Generation(opened, LETTERS, first.state, more))
    assert again == "".join(stream(opened, LETTERS, [0, *LETTERS.encode(text).tolist()], more))


def test_each_symbol_has_its_surprisal():
    checkpoint, options = build(), SamplingOptions(template="a{[a-k]{3}}", temperature=0.9)
    opened = open_engine(checkpoint, "numpy")
    generation = Generation(opened, LETTERS, start(opened, LETTERS, []), options)
    chunks = list(generation)
    text, nats = "".join(c.text for c in chunks), [n for c in chunks for n in c.nats]
    state, last, expected = opened.start(1), LETTERS.start_id(), []
    for symbol in LETTERS.encode(text).tolist():
        logits_1V, state = opened.advance([last], state)
        expected.append(float(np.logaddexp.reduce(logits_1V[0].astype(float)) - logits_1V[0, symbol]))
        last = symbol
    assert nats == pytest.approx(expected, abs=1e-4)


def test_a_penalty_on_repetition_and_bans_hold_in_each_particle():
    options = {"match": "[a-k]{8}", "exact": True, "repetition_penalty": 50.0, "repetition_window": 8, "ban": "c"}
    for text in write(build(), 10, **options):
        assert len(set(text)) >= 6
        assert "c" not in text


@pytest.mark.parametrize("options", [{"match": "a+"}, {"match": "a+", "exact": True}, {"max_length": 4}], ids=str)
def test_a_document_whose_end_is_banned_is_refused(options):
    with pytest.raises(ConfigError, match="and --ban: the end of a line or document is banned"):
        write(build(vocab=LINES), 1, ban="\n", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exact": True}, "--exact: expected --match beside it"),
        ({"match": "a", "template": "a{b}"}, "--match and --template: both say what to write"),
        ({"template": "a{b}", "max_length": 5}, "--template and --max-length: both say what to write"),
        ({"min_length": 6, "max_length": 5}, "--min-length and --max-length: expected a range, found 6 and 5"),
        (
            {"min_length": 6, "max_length": 6, "length": 5},
            "--min-length: the shortest text that matches has 6 characters; -n 5 is too short",
        ),
        ({"template": "a{b}", "stop": ("b",)}, "--template and --stop"),
        ({"max_length": 5, "until": "line"}, "--max-length and --until"),
        ({"max_length": 5}, "the model knows no line end"),
        ({"match": "a", "exact": True, "temperature_end": 1.0}, "--exact: expected one temperature, found 0.8:1"),
        ({"template": "{a{20}}{b}", "length": 20}, "--template: the shortest text that matches has 21 characters"),
        ({"template": "a{(}b"}, '--template: missing ), unterminated subpattern at character 1 of "("'),
        ({"template": "a{b)|(?:c}"}, '--template: unbalanced parenthesis at character 2 of "b)|(?:c"'),
        ({"template": "a{z}"}, '--template: no text of this model can match: "z" is not in the alphabet'),
        (
            {"template": "{[uvwxyz][UVWXYZ](1|2|3)}"},
            '--template: no text of this model can match: "[uvwxyz]" is not in the alphabet: this branch cannot be '
            'taken; "[UVWXYZ]" is not in the alphabet: this branch cannot be taken; "1" is not in the alphabet: this '
            'branch cannot be taken; "2" is not in the alphabet: this branch cannot be taken; and 1 more',
        ),
        ({"template": "a{[b}"}, "--template: the hole that begins at character 2 is not closed"),
        ({"template": "a}b{c}"}, "--template: a brace at character 2 closes no hole; write }} for a brace of the text"),
        ({"template": "sonet"}, "expected text with holes in braces, or one of sonnet, haiku"),
        ({"template": "acrostic"}, "--template: acrostic needs more to write, as in acrostic:ROSE"),
        ({"template": "{a(}"}, "--template: "),
    ],
)
def test_options_that_contradict_each_other_are_refused_in_one_line(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as refusal:
        write(build(), 1, **options)
    assert "\n" not in str(refusal.value)


@pytest.mark.exhaustive
def test_a_text_without_a_limit_of_particles_keeps_its_weights_finite():
    """Thousands of symbols of which each costs something: the product of all shares is below what a float holds."""
    (text,) = write(build(), 1, match="(a|b){1500}", exact=True, length=1500)
    assert len(text) == 1500
