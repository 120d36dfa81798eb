"""The last part of a sweep fits the pace that was measured."""

from __future__ import annotations

import pytest

from charnet.config import Config
from charnet.overlay import as_dict
from charnet.training import sweep_pace, trials
from charnet.training.sweep_file import Record

EACH = 12.0  # seconds of a whole training, as planned


def record(seconds: list[float], steps: list[int], **more: bool | float) -> Record:
    """Returns a sweep at half, in which trainings took so long."""
    settings = {f"{part}.{key}": value for part, keys in as_dict(Config()).items() for key, value in keys.items()}
    tried = {"model.hidden_size": list(range(1, len(seconds) + 1))}
    made = trials.combinations(tried)
    for trial, each, count in zip(made, seconds, steps, strict=True):
        trial.changes = trial.values | {"training.steps": count}
        trial.seconds, trial.losses = each, [2.0]
    return Record(settings, tried, [], "", made, 45.0, EACH, **({"longest": 10.0} | more))  # type: ignore[arg-type]


def parts(found: Record, left: float) -> list[float]:
    sweep_pace.fit_last_part(found, found.trials, found.trials, left)
    return [trial.last_part for trial in found.trials]


def whole_seconds(found: Record) -> list[float]:
    return [trial.seconds * (1 + trial.last_part) for trial in found.trials]


def test_trainings_of_unequal_pace_end_after_equal_seconds_and_use_the_time() -> None:
    found = record([2.6, 3.9], [400, 600], repeats=False)
    assert parts(found, 12.0)[0] > parts(found, 12.0)[1]
    first, second = whole_seconds(found)
    assert first == pytest.approx(second)
    assert first + second - 2.6 - 3.9 == pytest.approx(0.95 * 12)


def test_trainings_of_equal_steps_keep_equal_steps() -> None:
    found = record([5.0, 7.0], [400, 400], repeats=False)
    assert len(set(parts(found, 20.0))) == 1


def test_time_for_a_second_seed_comes_before_longer_trainings() -> None:
    found = record([3.0, 3.0], [400, 400], reserved=False)
    one, _ = parts(found, 19.3)
    assert one == 1.0  # 6 for the two, 12 for the two again
    one, _ = parts(found, 32.0)
    assert 6 * one + 2 * (3 + 3 * one) == pytest.approx(0.95 * 32)


def test_where_no_second_seed_fits_the_trainings_take_the_time() -> None:
    found = record([3.0, 3.0], [400, 400], reserved=False)
    one, _ = parts(found, 12.0)
    assert 6 * one == pytest.approx(0.95 * 12)


@pytest.mark.parametrize(("longest", "most"), [(1.0, 1.0), (1.5, 2.0), (9.0, 3.0)])
def test_a_training_becomes_no_longer_than_the_text_is_worth(longest: float, most: float) -> None:
    found = record([3.0, 3.0], [400, 400], repeats=False, longest=longest)
    assert parts(found, 1000.0) == [most, most]


def test_with_no_time_left_a_quarter_of_the_rest_is_still_trained() -> None:
    assert parts(record([6.0, 6.0], [400, 400]), -1.0) == [0.25, 0.25]


def test_a_small_change_of_the_length_is_not_made() -> None:
    assert parts(record([6.0, 6.0], [400, 400], repeats=False), 12.2) == [1.0, 1.0]


def test_the_pace_is_compared_with_the_plan() -> None:
    found = record([3.0, 9.0], [400, 400])
    assert sweep_pace.slower(found, found.trials, 2) == 1.0
    assert sweep_pace.slower(found, found.trials[1:], 2) == 1.5
