"""Models with 8-bit weights are the same on every machine, to the last bit. Shape legend as in `engines.base`."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from distributions import probabilities
from hypothesis import given
from hypothesis import strategies as st
from test_engines import KINDS, LETTERS, build, read, texts, with_ngram

from charnet.config import SamplingOptions
from charnet.engines import agreement, exact, sampling
from charnet.engines.registry import engine_of, open_engine
from charnet.errors import ConfigError
from charnet.generation.batch import texts as texts_of
from charnet.generation.generate import Generation, random_generator, start, stream
from charnet.storage.quantize import QuantizedMatrix

EXACT = ("numpy", "compiled")
DIFFERENT = [("lstm", "tanh"), ("rnn", "relu")]  # one for each way to multiply
every_kind = pytest.mark.parametrize(("cell", "activation"), KINDS)


@pytest.mark.parametrize(
    ("engine", "cell", "activation"),
    [
        *(("numpy", *kind) for kind in KINDS),
        *(("compiled", *kind) for kind in DIFFERENT),  # the others are compared with the numpy engine below
        *(pytest.param("compiled", *kind, marks=pytest.mark.exhaustive) for kind in KINDS if kind not in DIFFERENT),
    ],
)
def test_the_logits_of_each_cell_have_the_digest_that_they_have_on_every_machine(cell, activation, engine):
    opened = engine_of(*agreement.reference(cell, activation), engine)
    assert agreement.digest(opened, batch=12) == agreement.DIGESTS[f"{cell}-{activation}"]


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform == "darwin", reason="the kernels are those of x86")
@pytest.mark.parametrize(
    ("kernel", "threads"),
    [
        ("Nehalem", "2"),  # without fused multiplications, as the kernels of this machine are likely not to be
        *(
            pytest.param(kernel, threads, marks=pytest.mark.exhaustive)
            for kernel in ("Haswell", "SkylakeX", "Nehalem", "Sandybridge")
            for threads in "12"
            if (kernel, threads) != ("Nehalem", "2")
        ),
    ],
)
@pytest.mark.exhaustive
def test_kernels_and_threads_of_the_library_for_products_do_not_change_the_digests(kernel, threads):
    code = (
        "from charnet.engines import agreement, rounding; agreement.SECONDS = 60; "
        f"agreement.kinds = lambda: {DIFFERENT}; print(agreement.check(['numpy'])); "
        "print(rounding.kind_of_machine('numpy')['blas'])"
    )
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": threads}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    verdict, blas = run.stdout.splitlines()
    assert verdict == "computed to the last bit as on other machines (2 comparisons)"
    assert kernel.lower() in blas.lower() or "openblas" not in blas.lower()


def test_other_digests_are_another_version_of_the_arithmetic():
    first = {1: "1c09b5b818232518f1446c2a93684be0af33e5010e4d16e33766c876af26ae8e"}
    assert hashlib.sha256(repr(sorted(agreement.DIGESTS.items())).encode()).hexdigest() == first[exact.VERSION]


def test_another_digest_is_reported_with_the_cell_and_the_engine(monkeypatch):
    monkeypatch.setitem(agreement.DIGESTS, "gru-tanh", "0" * 64)
    monkeypatch.setattr(agreement, "SECONDS", 60.0)
    monkeypatch.setattr(agreement, "kinds", lambda: [("rnn", "tanh"), ("gru", "tanh")])
    assert agreement.check(["numpy"]) == "not as on other machines: gru (tanh), engine numpy; please report this"


def test_a_flag_that_a_library_raises_for_finite_numbers_is_no_warning(monkeypatch):
    """As OpenBLAS may, from what lies in memory beside the numbers."""
    sums, zero = exact.Product.sums, np.zeros(1, np.float32)

    def raising(self, h_BC):
        assert np.isnan(zero / zero).all()
        return sums(self, h_BC)

    engine = open_engine(build().quantize(), "numpy")
    monkeypatch.setattr(exact.Product, "sums", raising)
    assert np.isfinite(read(engine, texts(2, 5))).all()  # a warning is an error in tests


@every_kind
@pytest.mark.parametrize(("layers", "members", "ngram"), [(1, 1, False), (3, 1, False), (2, 3, False), (2, 3, True)])
@pytest.mark.covering(1)
def test_a_text_alone_has_the_logits_that_it_has_among_others_in_both_engines(cell, activation, layers, members, ngram):
    whole = build(cell, activation, layers, members=members)
    checkpoint = (with_ngram(whole) if ngram else whole).quantize()
    ids_BT = texts(64, 12)
    together = read(open_engine(checkpoint, "numpy"), ids_BT)
    for engine in EXACT:
        opened = open_engine(checkpoint, engine)
        for batch in (1, 2, 3, 7, 64):
            assert (read(opened, ids_BT[:batch]) == together[:batch]).all()


@every_kind
@pytest.mark.parametrize("layers", [1, 3])
def test_the_logits_are_near_those_of_the_weights_that_were_rounded(cell, activation, layers):
    checkpoint = build(cell, activation, layers)
    expected = read(open_engine(checkpoint, "numpy"), texts(3, 40))
    found = read(open_engine(checkpoint.quantize(), "numpy"), texts(3, 40))
    assert 0 < np.abs(found - expected).max() < 0.06  # of five units; the noise of more units averages out


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("members", [1, 3])
def test_with_an_ngram_the_logits_are_those_of_the_mean_of_the_probabilities(batch, members):
    alone, ids_BT = build(members=members), texts(batch, 40)
    both = with_ngram(alone).quantize()
    p_BTV = sampling.softmax(read(open_engine(alone.quantize(), "numpy"), ids_BT))
    nodes = np.zeros(batch, np.int64)
    for t, ids_B in enumerate(ids_BT.T):
        nodes = both.ngram.table.step(nodes, ids_B)
        p_BTV[:, t] = 0.6 * p_BTV[:, t] + 0.4 * probabilities(both.ngram.table, nodes)
    for engine in EXACT:
        np.testing.assert_allclose(read(open_engine(both, engine), ids_BT), np.log(p_BTV), rtol=0, atol=6e-4)


@pytest.mark.parametrize("units", [1, 15, 16, 17, 63, 65])
@pytest.mark.parametrize(("cell", "activation"), [("lstm", "tanh"), ("gru", "tanh"), ("rnn", "tanh"), ("rnn", "relu")])
def test_layers_that_do_not_fill_the_blocks_of_the_loops_are_exact_too(cell, activation, units, monkeypatch):
    monkeypatch.setattr("test_engines.H", units)
    checkpoint = build(cell, activation, layers=2).quantize()
    found, expected = (read(open_engine(checkpoint, engine), texts(1, 30)) for engine in EXACT)
    assert (found == expected).all()


@pytest.mark.parametrize(("cell", "activation"), [("lstm", "tanh"), ("rnn", "relu")])
@pytest.mark.exhaustive
def test_sums_beyond_the_integers_of_single_precision_are_the_same_in_both_engines(cell, activation, monkeypatch):
    monkeypatch.setattr(agreement, "UNITS", 1100)
    model, weights = agreement.reference(cell, activation)
    head = weights["head.weight"]
    weights["head.weight"] = QuantizedMatrix(np.full_like(head.values, 127), head.scale)
    weights["layers.1.bias"] += 100  # all gates open: each h is as large as it can be
    ids_BT = texts(1, 8)
    found, expected = (agreement._read(engine_of(model, dict(weights), engine), ids_BT) for engine in EXACT)
    assert (found == expected).all()


@pytest.mark.parametrize("ngram", [False, True])
def test_the_number_of_threads_of_the_loops_does_not_change_the_text(ngram):
    whole = build(layers=3, members=3)
    checkpoint = (with_ngram(whole) if ngram else whole).quantize()
    options = SamplingOptions(length=2000, seed=8)
    written = ["".join(stream(open_engine(checkpoint, "compiled", threads=n), LETTERS, [0], options)) for n in (1, 2)]
    assert written[0] == written[1] == "".join(stream(open_engine(checkpoint, "numpy"), LETTERS, [0], options))


@pytest.mark.slow
def test_instructions_that_every_processor_has_give_the_same_digests():
    code = "from charnet.engines import agreement; agreement.SECONDS = 60; print(agreement.check(['compiled']))"
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "computed to the last bit as on other machines (6 comparisons)\n"


OPTIONS = (
    SamplingOptions(length=80, seed=3),
    SamplingOptions(length=80, seed=2**70 + 3, temperature=1.3, temperature_end=0.2, logit_bias=(("c", 2.5),), ban="d"),
    SamplingOptions(length=80, top_k=7, top_p=0.9, min_p=0.02),
    SamplingOptions(length=80, typical_p=0.7, repetition_penalty=1.3, repetition_window=20),
    SamplingOptions(length=50, temperature=0.0),
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("members", "ngram"),
    [(1, False), (2, True), *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in ((3, False), (1, True)))],
)
def test_a_seed_gives_one_text_with_both_engines_alone_and_among_64(options, members, ngram):
    whole = build("gru", members=members)
    checkpoint = (with_ngram(whole) if ngram else whole).quantize()
    alone = []
    for engine in EXACT:
        opened = open_engine(checkpoint, engine)
        alone.append(["".join(stream(opened, LETTERS, [0], options, index=index)) for index in range(5)])
        many = texts_of(opened, LETTERS, [0], options, 64)
        assert ["".join(chunk.text for chunk in chunks) for chunks in many][:5] == alone[-1]
    assert alone[0] == alone[1]
    assert len(set(alone[0])) == (1 if options.temperature == 0 else 5)


def test_a_text_that_was_interrupted_goes_on_with_its_own_random_numbers():
    engine, whole = open_engine(build().quantize(), "numpy"), SamplingOptions(length=31, seed=4)
    expected = "".join(stream(engine, LETTERS, [0], whole))
    state, parts = start(engine, LETTERS, [0]), []
    for length in (1, 2, 3, 5, 7, 13):
        generation = Generation(engine, LETTERS, state, SamplingOptions(length=length, seed=4))
        parts.append("".join(chunk.text for chunk in generation))
        state = generation.state
    assert "".join(parts) == expected


def test_the_random_numbers_are_those_of_philox():
    """The first ones of the key (5, 2), computed by the ten rounds of the paper."""
    found = random_generator(SamplingOptions(seed=5), 2, is_exact=True).random(8)
    numbers = [number for counter in (1, 2) for number in philox_4x64([counter, 0, 0, 0], [5, 2])]
    assert found.tolist() == [(number >> 11) / 2**53 for number in numbers]
    later = random_generator(SamplingOptions(seed=5), 2, 6, is_exact=True).random(2)
    assert later.tolist() == found[6:].tolist()


def philox_4x64(counter: list[int], key: list[int]) -> list[int]:
    """Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", with the constants of Random123."""
    mask = 2**64 - 1
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = [b >> 64 ^ counter[1] ^ key[0], b & mask, a >> 64 ^ counter[3] ^ key[1], a & mask]
        key = [key[0] + 0x9E3779B97F4A7C15 & mask, key[1] + 0xBB67AE8584CAA73B & mask]
    return counter


@given(st.lists(st.floats(-40, 0), min_size=1, max_size=50))
def test_the_integers_of_a_softmax_are_in_proportion_to_the_exponentials(scores):
    integers = exact.weights_of(np.array([0.0, *scores]))
    assert (integers == np.floor(integers)).all()
    np.testing.assert_allclose(integers / 2**32, np.exp([0.0, *scores]), rtol=1e-4, atol=2**-32)


@given(st.floats(2**-59, 1))
def test_a_logarithm_from_the_table_is_near_the_true_one(p):
    assert exact.log(np.array([p]))[0] == pytest.approx(np.log(p), abs=4e-4)


@given(st.floats(-12, 12))
def test_a_tangent_from_the_table_is_near_the_true_one(x):
    index = np.array([x * exact.STEPS + exact.INDEX_OF_ZERO], np.float32)
    assert exact.look_up(exact.TANH, index)[0] == pytest.approx(np.tanh(x), abs=1.1e-3)


@pytest.mark.parametrize("columns", [1040, 1041, 2500])
@pytest.mark.parametrize("product", [exact.Product, exact.TwoDigitProduct])
def test_a_sum_of_integers_is_rounded_once_however_long_it_is(columns, product):
    random, most = np.random.default_rng(0), 127 if product is exact.Product else exact.RELU_LARGEST
    values = random.integers(90, 128, (3, columns)).astype(np.int8)
    h_BC = random.integers(most // 2, most + 1, (2, columns))
    low, high = h_BC % exact.RELU_BASE, h_BC // exact.RELU_BASE
    rounded = [(digit @ values.T.astype(np.int64)).astype(np.float32) for digit in (high, low)]
    expected = rounded[0] * np.float32(128) + rounded[1] if product is not exact.Product else None
    expected = (h_BC @ values.T.astype(np.int64)).astype(np.float32) if expected is None else expected
    assert (product(values, np.ones(3)).sums(h_BC.astype(np.float32)) == expected).all()


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1e35])
@every_kind
@pytest.mark.covering(1)
def test_no_scale_of_a_forged_file_leads_to_logits_that_are_not_finite(cell, activation, scale):
    model, weights = agreement.reference(cell, activation)
    for name, weight in weights.items():
        if isinstance(weight, QuantizedMatrix):
            weights[name] = QuantizedMatrix(weight.values, np.full_like(weight.scale, scale))
    results = [agreement._read(engine_of(model, dict(weights), engine), texts(2, 20)) for engine in EXACT]
    assert np.isfinite(results[0]).all()
    assert (results[0] == results[1]).all()
    assert np.isfinite(sampling.softmax(results[0][0, -1], is_exact=True)).all()


def test_the_torch_engine_leaves_8_bit_weights_to_the_others():
    with pytest.raises(ConfigError, match="engines numpy and compiled"):
        open_engine(build().quantize(), "torch")
