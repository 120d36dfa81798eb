"""Which runs a lesson has: equal where it says so, and as many as its time allows."""

from __future__ import annotations

import pytest

from charnet.config import Config
from charnet.errors import ConfigError
from charnet.lesson.plan import (
    BESIDES,
    PARTS,
    START,
    Experiment,
    check_time,
    experiments,
    measured_seconds,
    plan,
)
from charnet.model.shapes import num_weights
from charnet.overlay import as_dict, overlay


def settings(experiment: Experiment) -> dict[str, object]:
    found = as_dict(overlay(Config(), experiment.values))
    return {f"{section}.{key}": value for section, values in found.items() for key, value in values.items()}


@pytest.mark.parametrize("alphabet", [2, 65, 5000])
def test_cells_and_layers_are_compared_at_equal_numbers_of_parameters(alphabet: int) -> None:
    counts = {
        each.name: num_weights(overlay(Config(), each.values), alphabet)
        for each in experiments(alphabet, 10**6)
        if each.part in ("cells", "layers")
    }
    assert len(counts) == 6
    assert max(counts.values()) < 1.02 * min(counts.values()), counts


def test_every_other_run_differs_from_the_lstm_in_what_it_is_about() -> None:
    every = experiments(65, 10**6)
    lstm = next(each for each in every if each.name == "lstm")
    about = {
        "noise": {"training.seed"},
        "units": {"model.hidden_size", "model.embedding_size"},
        "windows": {"training.window", "training.batch_size"},
        "layers": {"model.num_layers", "model.hidden_size", "model.embedding_size"},
        "optimizers": {"training.optimizer"},
    }
    for each in every:
        different = {key for key, value in settings(each).items() if value != settings(lstm)[key]}
        if each.part != "cells":
            assert different == about[each.part], each.name


def test_windows_are_compared_with_steps_of_equally_many_characters() -> None:
    runs = [each.values for each in experiments(65, 10**6) if each.part == "windows" or each.name == "lstm"]
    assert len({values["training.window"] * values["training.batch_size"] for values in runs}) == 1
    assert {values["training.window"] for values in runs} == {8, 32, 128}


@pytest.mark.parametrize("seconds", [20.0, 25.0, 40.0, 60.0, 180.0, 3600.0])
def test_the_runs_fit_the_time_and_what_does_not_is_named(seconds: float) -> None:
    found = plan(65, 10**6, seconds)
    assert found.seconds is not None
    takes = START + measured_seconds(seconds) + len(found.experiments) * (found.seconds + BESIDES)
    assert takes == pytest.approx(seconds)
    parts = dict.fromkeys(each.part for each in found.experiments)
    assert (*parts, *found.left_out) == PARTS


def test_more_time_leaves_fewer_parts_out() -> None:
    left_out = [len(plan(65, 10**6, seconds).left_out) for seconds in (20.0, 45.0, 60.0, 180.0)]
    assert left_out == sorted(left_out, reverse=True)
    assert (left_out[0], left_out[-1]) == (5, 0)


def test_a_time_too_short_for_a_lesson_is_refused() -> None:
    with pytest.raises(ConfigError, match="20 seconds at least, found 19"):
        check_time(19.0)
    check_time(20.0)


@pytest.mark.parametrize("characters", [900, 2000, 5000, 10**6])
def test_a_short_text_is_long_enough_for_every_run(characters: int) -> None:
    for each in experiments(65, characters):
        assert each.values["training.batch_size"] * each.values["training.window"] < characters, each.name
