"""`resolve.resolve`: nothing is left to choose, and what the user chose stays."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.config import Config
from charnet.errors import ConfigError
from charnet.model.device import choose_precision
from charnet.model.shapes import num_weights
from charnet.overlay import overlay, setting_names
from charnet.training import resolve

CHOOSE_FOR_ME = [
    "model.embedding_size",
    "training.learning_rate",
    "training.eval_every",
    "training.report_every",
    "training.threads",
]


def value(config: Config, name: str) -> object:
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)


@pytest.mark.parametrize("name", CHOOSE_FOR_ME)
def test_every_setting_that_says_choose_for_me_gets_a_value(name: str) -> None:
    assert value(Config(), name) == 0
    assert value(resolve.resolve(Config(), 10_000), name) > 0


@pytest.mark.parametrize("name", CHOOSE_FOR_ME)
def test_a_value_that_the_user_chose_stays(name: str) -> None:
    assert value(resolve.resolve(overlay(Config(), {name: 3}), 10_000), name) == 3


def test_settings_that_say_nothing_of_choosing_stay() -> None:
    resolved = resolve.resolve(Config(), 10_000)
    for name in set(setting_names()) - {*CHOOSE_FOR_ME, "model.ngram"}:
        assert value(resolved, name) == value(Config(), name), name


@given(
    st.integers(0, 10**9),
    st.floats(0, 100),
    st.integers(1, 10**6),
    st.integers(1, 512),
    st.sampled_from(["muon", "adamw", "sgd"]),
)
@settings(deadline=None)
def test_resolving_twice_is_resolving_once(
    characters: int, epochs: float, steps: int, batch_size: int, optimizer: str
) -> None:
    config = overlay(
        Config(),
        {
            "training.epochs": epochs,
            "training.steps": steps,
            "training.batch_size": batch_size,
            "training.optimizer": optimizer,
        },
    )
    try:
        once = resolve.resolve(config, characters)
    except ConfigError:
        return  # more steps than any run may have
    assert resolve.resolve(once, characters) == once
    assert resolve.resolve(once, characters + 12_345) == once


def test_passes_become_steps() -> None:
    config = overlay(
        Config(), {"training.epochs": "2", "training.batch_size": 3, "training.window": 5, "training.steps": 7}
    )
    resolved = resolve.resolve(config, 3 * 5 * 11 + 1)
    assert resolved.training.steps == 22
    assert resolved.training.epochs == 0


@pytest.mark.parametrize("characters", [0, 1, 2, 1025])
def test_a_run_has_at_least_one_step_however_short_the_text(characters: int) -> None:
    config = overlay(Config(), {"training.epochs": "1e-6"})
    assert resolve.resolve(config, characters).training.steps == 1


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_the_help_of_the_learning_rate_says_what_each_optimizer_gets(optimizer: str) -> None:
    from charnet.overlay import limits

    chosen = resolve.resolve(overlay(Config(), {"training.optimizer": optimizer}), 10_000).training.learning_rate
    assert f"{optimizer} {chosen:g}" in limits("training.learning_rate").text


def test_a_short_run_is_evaluated_and_reported_at_every_step() -> None:
    training = resolve.resolve(overlay(Config(), {"training.steps": 3}), 10_000).training
    assert (training.eval_every, training.report_every) == (1, 1)


def test_a_run_is_evaluated_twenty_times_and_reported_a_hundred_times() -> None:
    training = resolve.resolve(overlay(Config(), {"training.steps": 2000}), 10_000).training
    assert (training.eval_every, training.report_every) == (100, 20)


def test_the_embedding_is_as_wide_as_the_hidden_layer() -> None:
    assert resolve.resolve(overlay(Config(), {"model.hidden_size": 37}), 100).model.embedding_size == 37


def test_more_steps_than_a_run_may_have_is_an_error_in_the_settings() -> None:
    with pytest.raises(ConfigError, match="steps"):
        resolve.resolve(overlay(Config(), {"training.epochs": 10**6}), 10**12)


def test_cores_are_counted_as_this_process_may_use_them() -> None:
    assert 1 <= resolve.processor_cores() <= (os.cpu_count() or 1)


def test_cores_are_counted_where_the_system_cannot_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert resolve.processor_cores() == 1


def test_a_run_that_cannot_fit_in_memory_is_refused_before_it_starts() -> None:
    config = overlay(Config(), {"training.batch_size": 4096, "training.window": 4096})
    with pytest.raises(ConfigError, match=r"needs about [\d.]+ GB of memory, 24.0 are free"):
        resolve.check_memory(config, 65, 24 * 10**9)
    resolve.check_memory(Config(), 65, 24 * 10**9)


def test_shards_need_less_memory_for_a_window_and_more_for_gradients() -> None:
    long = overlay(Config(), {"training.batch_size": 64, "training.window": 2048})
    wide = overlay(Config(), {"training.batch_size": 8, "training.window": 1, "model.hidden_size": 1500})
    shards = {"training.shards": 8}
    assert resolve.memory_needed(overlay(long, shards), 65) < resolve.memory_needed(long, 65) / 2
    more = resolve.memory_needed(overlay(wide, shards), 65) - resolve.memory_needed(wide, 65)
    weights = 5 * num_weights(wide, 65)
    assert 3.9 * weights < more < 4 * weights  # the one that is computed, and one of each size that waits
    assert resolve.memory_needed(overlay(wide, shards), 65, 8) < resolve.memory_needed(overlay(wide, shards), 65)
    with pytest.raises(ConfigError, match="of memory"):
        resolve.check_memory(wide, 65, resolve.memory_needed(wide, 65) + weights, 2)
    resolve.check_memory(wide, 65, resolve.memory_needed(wide, 65) + weights)


def test_of_a_large_alphabet_only_what_a_window_can_have_is_counted() -> None:
    small = overlay(Config(), {"training.batch_size": 2, "training.window": 4})
    each = resolve.memory_needed(small, 20_000) - resolve.memory_needed(small, 19_999)  # a row of embedding and of head
    logits = resolve.memory_needed(small, 8_192) - resolve.memory_needed(small, 8_191) - each
    assert logits == 5 * 8 * 3
    window = small.training.batch_size * small.training.window
    assert resolve.memory_needed(small, 8_193) < resolve.memory_needed(small, 8_192) + each - 5 * window * 3 * 7_000


AMX, AVX512 = ["avx2", "avx512_bf16", "amx_bf16"], ["avx2", "avx512_bf16"]


@pytest.mark.parametrize(
    ("cell", "units", "has", "expected"),
    [
        ("lstm", 128, AVX512, "bf16"),
        ("lstm", 127, AMX, "fp32"),
        ("lstm", 512, ["avx2"], "fp32"),
        ("lstm", 1024, AVX512, "bf16"),
        ("gru", 128, AVX512, "bf16"),
        ("gru", 512, ["avx2"], "fp32"),
        ("cifg", 256, AMX, "bf16"),
        ("rnn", 127, AMX, "fp32"),
    ],
)
def test_auto_is_bf16_from_128_units_on_where_the_processor_has_it(
    cell: str, units: int, has: list[str], expected: str
) -> None:
    config = overlay(Config(), {"model.cell": cell, "model.hidden_size": units})
    assert choose_precision(config, has) == expected
    for said in ("fp32", "bf16"):
        assert choose_precision(overlay(config, {"training.precision": said}), has) == said


def test_a_run_with_a_length_of_its_own_has_no_ngram_unless_it_is_asked_for() -> None:
    assert resolve.resolve(Config(), 10_000).model.ngram == 0
    assert resolve.choose_ngram(Config(), 65, 10_000, 0, None).model.ngram == 0
    asked = overlay(Config(), {"model.ngram": "5"})
    assert resolve.resolve(resolve.choose_ngram(asked, 65, 100, 0, None), 100).model.ngram == 5


@pytest.mark.parametrize(
    ("alphabet", "characters", "documents", "order"),
    [(65, 10_000, 0, 7), (256, 10_000, 0, 7), (5000, 10_000, 0, 4), (65, 4000, 0, 0), (65, 10_000, 10, 0)],
)
def test_a_planned_run_has_an_ngram_that_fits_its_text(
    alphabet: int, characters: int, documents: int, order: int
) -> None:
    chosen = resolve.choose_ngram(Config(), alphabet, characters, documents, 1.0)
    assert chosen.model.ngram == order


@pytest.mark.parametrize(("alphabet", "order"), [(65, 1), (65, 10), (5000, 5)])
def test_an_order_that_no_table_can_have_is_refused(alphabet: int, order: int) -> None:
    asked = overlay(Config(), {"model.ngram": order})
    with pytest.raises(ConfigError, match=f"--ngram: expected 0, or a number between 2 and .*, found {order}"):
        resolve.choose_ngram(asked, alphabet, 10_000, 0, 1.0)
