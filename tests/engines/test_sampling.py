"""From logits to one symbol."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from charnet.engines.sampling import (
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    penalize_repetition,
    probabilities,
    sample,
    sample_logits,
    sample_rows,
    softmax,
    surprisal,
    surprisal_rows,
)

LAST_U = 1 - 2**-53  # the largest number that a generator gives

logits = hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(-50, 50, width=32))
temperatures = st.sampled_from([1e-6, 0.01, 0.3, 0.8, 1.0, 1.7, 100.0])
masses = st.sampled_from([0.0, 1e-9, 0.1, 0.5, 0.9, 0.999999, 1.0])
shares = st.sampled_from([0.0, 1e-9, 0.05, 0.5, 1.0])
uniforms = st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, LAST_U]))


def is_distribution(p: np.ndarray) -> bool:
    return bool((p >= 0).all() and np.isclose(p.sum(-1), 1, rtol=0, atol=1e-12).all())


def test_softmax_gives_exact_probabilities():
    p = softmax(np.log(np.array([1.0, 2.0, 5.0])))
    assert p == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=1e-15)


def test_temperature_is_a_power_of_the_probabilities():
    p = softmax(np.log(np.array([1.0, 2.0, 5.0])), temperature=0.5)
    assert p == pytest.approx([1 / 30, 4 / 30, 25 / 30], abs=1e-15)


def test_single_precision_logits_give_double_precision_probabilities():
    p = softmax(np.array([0.1, 0.2], dtype=np.float32))
    assert p.dtype == np.float64
    assert p[0] == pytest.approx(1 / (1 + math.exp(float(np.float32(0.2)) - float(np.float32(0.1)))), abs=1e-15)


def test_the_logits_are_not_changed():
    for dtype in (np.float32, np.float64):
        given_logits = np.array([1.0, 3.0, 2.0], dtype=dtype)
        for temperature in (0, 0.5):
            probabilities(given_logits, temperature=temperature, top_k=2, top_p=0.9, min_p=0.1)
            sample_logits(given_logits, temperature, 0.5)
        assert given_logits.tolist() == [1, 3, 2]


def test_every_function_works_row_by_row():
    rows = np.random.default_rng(1).normal(size=(2, 3, 7))
    options = {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "min_p": 0.1}
    together = probabilities(rows, **options)
    for i, j in np.ndindex(2, 3):
        assert together[i, j] == pytest.approx(probabilities(rows[i, j], **options), abs=1e-15)
    assert softmax(rows, 0).sum(-1).tolist() == [[1, 1, 1], [1, 1, 1]]


@settings(deadline=None, max_examples=60)
@given(logits, temperatures, st.integers(0, 40), masses, shares)
def test_probabilities_sum_to_one_and_the_likeliest_is_always_kept(x, temperature, top_k, top_p, min_p):
    p = probabilities(x, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    assert p.shape == x.shape
    assert is_distribution(p)
    assert p[softmax(x, temperature).argmax()] == p.max() > 0


@settings(deadline=None, max_examples=60)
@given(logits, st.integers(0, 40), masses, shares)
def test_filters_keep_the_ratios_of_what_they_keep(x, top_k, top_p, min_p):
    whole, p = softmax(x), probabilities(x, top_k=top_k, top_p=top_p, min_p=min_p)
    kept = p > 0
    assert np.allclose(p[kept], whole[kept] / whole[kept].sum(), rtol=1e-9, atol=0)


@settings(deadline=None, max_examples=60)
@given(logits, st.integers(1, 40))
def test_top_k_keeps_the_k_most_likely_of_equals_the_first(x, k):
    whole = softmax(x)
    expected = sorted(range(len(x)), key=lambda i: (-whole[i], i))[:k]
    assert np.flatnonzero(keep_top_k(whole, k)).tolist() == sorted(expected)


@settings(deadline=None, max_examples=60)
@given(logits, st.floats(0.001, 0.999))
def test_top_p_keeps_the_fewest_most_likely_that_reach_the_mass(x, mass):
    whole = softmax(x)
    kept = keep_top_p(whole, mass) > 0
    assert whole[kept].sum() >= mass - 1e-12
    assert whole[kept].sum() - whole[kept].min() < mass + 1e-12
    if not kept.all():
        assert whole[kept].min() >= whole[~kept].max()


@pytest.mark.parametrize("mass", [0.0, 1e-9])
def test_the_smallest_mass_keeps_exactly_one(mass):
    assert keep_top_p(np.array([0.25, 0.5, 0.25]), mass).tolist() == [0, 0.5, 0]
    assert keep_top_p(np.array([0.25, 0.25, 0.25, 0.25]), mass).tolist() == [0.25, 0, 0, 0]


def test_a_mass_that_is_reached_exactly_keeps_no_more():
    assert keep_top_p(np.array([0.25, 0.5, 0.125, 0.125]), 0.75).tolist() == [0.25, 0.5, 0, 0]


@settings(deadline=None, max_examples=60)
@given(logits, st.floats(0.001, 1))
def test_min_p_keeps_those_at_least_that_share_as_likely_as_the_likeliest(x, share):
    whole = softmax(x)
    assert ((keep_min_p(whole, share) > 0) == (whole >= share * whole.max())).all()


@settings(deadline=None, max_examples=60)
@given(logits)
def test_filters_that_are_off_change_nothing(x):
    assert (probabilities(x, top_k=0, top_p=1.0, min_p=0.0) == softmax(x)).all()
    assert (probabilities(x, top_k=len(x)) == softmax(x)).all()


def test_filters_act_in_order_each_on_what_the_one_before_left():
    x = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
    assert probabilities(x, top_k=2, top_p=0.5) == pytest.approx([1, 0, 0, 0])  # 0.4 of 0.7 is more than a half
    assert probabilities(x, top_k=3, top_p=0.7, min_p=0.7) == pytest.approx([4 / 7, 3 / 7, 0, 0])


@settings(deadline=None, max_examples=60)
@given(logits)
def test_temperature_zero_is_all_weight_on_the_first_largest(x):
    p = softmax(x, 0)
    assert p.max() == p.sum() == 1
    assert p.argmax() == x.argmax()


def test_an_extremely_cold_temperature_takes_the_largest_and_shares_between_equals():
    assert softmax(np.array([1.0, 3.0, 2.0]), 1e-6).tolist() == [0, 1, 0]
    assert softmax(np.array([3.0, 3.0, 2.0]), 1e-6).tolist() == [0.5, 0.5, 0]


def test_the_hottest_temperature_is_nearly_even():
    p = softmax(np.array([-3.0, 0.0, 3.0]), 100)
    assert p == pytest.approx([1 / 3] * 3, abs=0.011)
    assert p[0] < p[1] < p[2]


@pytest.mark.parametrize("size", [1, 20_000])
@pytest.mark.parametrize("temperature", [0, 1e-6, 0.8, 100])
def test_any_size_of_alphabet_works(size, temperature):
    x = np.random.default_rng(1).normal(0, 3, size).astype(np.float32)
    p = probabilities(x, temperature=temperature, top_k=5000, top_p=0.999, min_p=1e-6)
    assert is_distribution(p)
    for u in (0.0, 0.5, LAST_U):
        assert p[sample(p, u)] > 0
        assert 0 <= sample_logits(x, temperature, u) < size


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([0.0, 1e-300, 0.1, 0.3, 1.0, 1e6])), uniforms
)
def test_what_is_impossible_is_never_sampled(p, u):
    if p.sum() > 0:
        assert p[sample(p, u)] > 0


@settings(deadline=None, max_examples=60)
@given(logits, st.sampled_from([0.0, 1e-6, 0.3, 1.0, 100.0]), uniforms)
def test_sample_logits_gives_what_sample_gives_for_the_softmax(x, temperature, u):
    p = softmax(x, temperature)
    ends = p.cumsum()
    if np.abs(ends - u).min() > 1e-12:  # at a border between two symbols rounding decides
        assert sample_logits(x, temperature, u) == sample(p, u)


def test_sample_gives_each_symbol_as_often_as_its_interval_is_long():
    p = np.array([0.1, 0.0, 0.25, 0.05, 0.6])
    sampled = [sample(p, (k + 0.5) / 1000) for k in range(1000)]
    assert np.bincount(sampled, minlength=5).tolist() == [100, 0, 250, 50, 600]
    assert sampled == sorted(sampled)


def test_sample_gives_the_symbol_whose_interval_begins_at_u():
    p = np.array([0.25, 0.25, 0.5])
    assert [sample(p, u) for u in (0.0, 0.25 - 2**-54, 0.25, 0.5, LAST_U)] == [0, 0, 1, 2, 2]


def test_sample_needs_no_normalized_probabilities():
    p = np.array([1.0, 3.0, 4.0])
    assert [sample(p * scale, 0.4) for scale in (1e-200, 1 / 8, 1e200)] == [1, 1, 1]


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-300])
def test_a_temperature_next_to_nothing_takes_the_largest_like_zero(temperature):
    x = np.array([1.0, 3.0, 2.0], dtype=np.float32)
    for u in (0.0, 0.5, LAST_U):
        assert sample_logits(x, temperature, u) == sample(softmax(x, temperature), u) == 1


def test_typical_keeps_what_is_as_surprising_as_usual():
    p = np.array([0.5, 0.2, 0.2, 0.1])
    # the mean surprisal is 1.221 nats; those of the four are 0.693, 1.609, 1.609, 2.303
    assert keep_typical(p, 0.1) == pytest.approx([0, 0.2, 0, 0], abs=1e-15)
    assert keep_typical(p, 0.3) == pytest.approx([0, 0.2, 0.2, 0], abs=1e-15)
    assert keep_typical(p, 0.5) == pytest.approx([0.5, 0.2, 0.2, 0], abs=1e-15)
    assert keep_typical(p, 1.0) is p


@settings(deadline=None, max_examples=60)
@given(logits, temperatures, masses)
def test_typical_keeps_the_fewest_that_reach_the_mass(x, temperature, mass):
    p = softmax(x, temperature)
    kept = keep_typical(p, mass)
    inside = kept > 0
    assert p[inside].sum() >= min(mass, 1) - 1e-9
    if mass < 1:
        surprisals = np.log(p, out=np.full_like(p, -np.inf), where=p > 0)
        mean = -(p * np.where(p > 0, surprisals, 0)).sum()
        farthest = np.abs(-surprisals - mean)[inside].argmax()
        assert p[inside].sum() - p[inside][farthest] < max(mass, 1e-12) + 1e-9
    assert (kept[inside] == p[inside]).all()


@settings(deadline=None, max_examples=60)
@given(logits, st.floats(0.01, 100), st.data())
def test_a_penalty_divides_the_chance_of_what_was_written(x, penalty, data):
    recent = data.draw(st.lists(st.integers(0, len(x) - 1), max_size=5))
    before, after = softmax(x), softmax(penalize_repetition(x, recent, penalty))
    expected = before.copy()
    expected[list(set(recent))] /= penalty
    assert after == pytest.approx(expected / expected.sum(), abs=1e-9)


def test_what_is_banned_is_never_sampled_at_any_temperature():
    x = np.array([5.0, 1.0, -np.inf, 2.0])
    for temperature in (0, 1e-6, 1, 100):
        assert softmax(x, temperature)[2] == 0
        assert all(sample_logits(x, temperature, u) != 2 for u in np.linspace(0, LAST_U, 101))


def test_an_alphabet_of_twenty_thousand_is_sampled_from_exactly():
    x = np.random.default_rng(1).normal(size=20_000)
    for options in ({"top_p": 1e-9}, {"top_k": 1}, {"typical_p": 1e-9}, {"min_p": 1.0}):
        p = probabilities(x, temperature=1e-6, **options)
        assert is_distribution(p)
        assert np.count_nonzero(p) == 1
    assert is_distribution(probabilities(x, temperature=100.0, top_p=0.999))


extremes = {
    "temperature": st.sampled_from([1e-6, 100.0]),
    "top_k": st.sampled_from([0, 1, 7]),
    "top_p": st.sampled_from([1e-9, 1.0]),
    "min_p": st.sampled_from([0.0, 1e-9, 1.0]),
    "typical_p": st.sampled_from([1e-9, 1.0]),
}
sizes = st.sampled_from([1, 2, 65, 20_000])


@settings(deadline=None, max_examples=80)
@given(sizes, st.integers(0, 999), st.sampled_from([1e-30, 1.0, 1e4]), st.fixed_dictionaries(extremes), uniforms)
def test_extreme_options_leave_a_distribution_whose_samples_are_possible(size, seed, spread, options, u):
    x = (np.random.default_rng(seed).normal(size=size) * spread).astype(np.float32)
    p = probabilities(x, **options)
    assert is_distribution(p)
    assert p.argmax() == softmax(x, options["temperature"]).argmax() or options["typical_p"] < 1
    assert p[sample(p, u)] > 0
    if options["top_k"]:
        assert np.count_nonzero(p) <= options["top_k"]
    if options["top_p"] < 1:
        assert np.count_nonzero(p) == 1


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(0, 999), uniforms)
def test_a_hot_temperature_is_the_exact_power_and_a_cold_one_the_largest(size, seed, u):
    x = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    hot = np.exp(x.astype(np.longdouble) / 100)
    np.testing.assert_allclose(softmax(x, 100), (hot / hot.sum()).astype(float), rtol=1e-12)
    if size == 1 or np.diff(np.sort(x))[-1] > 1e-4:
        assert softmax(x, 1e-6)[x.argmax()] == pytest.approx(1)
        assert sample_logits(x, 1e-6, u) == x.argmax()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), sizes, st.integers(0, 999), st.fixed_dictionaries(extremes), st.data())
def test_rows_are_sampled_and_evaluated_like_single_texts(batch, size, seed, options, data):
    x_BV = np.random.default_rng(seed).normal(0, 3, (batch, size)).astype(np.float32)
    u_B = np.array(data.draw(st.lists(uniforms, min_size=batch, max_size=batch)))
    p_BV = probabilities(x_BV, **options)
    sampled = sample_rows(p_BV, u_B)
    for b in range(batch):
        assert p_BV[b, sampled[b]] > 0
        assert sampled[b] == sample(p_BV[b], u_B[b])
    singly = [surprisal(x, int(i)) for x, i in zip(x_BV, sampled, strict=True)]
    assert surprisal_rows(x_BV, sampled) == pytest.approx(singly, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(logits, st.data())
def test_surprisal_is_minus_the_log_of_the_probability(x, data):
    sampled = data.draw(st.integers(0, len(x) - 1))
    assert surprisal(x, sampled) == pytest.approx(-np.log(softmax(x)[sampled]), abs=1e-9)
    assert surprisal(x, sampled) >= 0


def test_the_surprisal_of_what_is_almost_impossible_is_finite():
    x = np.array([0.0, -3000.0], dtype=np.float32)
    assert surprisal(x, 1) == pytest.approx(3000)
    assert surprisal_rows(x[None], np.array([1])) == pytest.approx([3000])
    assert surprisal(np.array([5.0]), 0) == 0
