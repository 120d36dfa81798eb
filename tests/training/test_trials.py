"""Which trials a sweep has, which of them go on, and what it says that it learned."""

from __future__ import annotations

import pytest

from charnet.errors import ConfigError
from charnet.training.trials import (
    DIVERGED,
    DONE,
    NOISE,
    PRUNED,
    Trial,
    best_half,
    combinations,
    cost,
    effect,
    noise,
    parse,
    ranked,
    rungs,
)

RATE, DROPOUT, UNITS = "training.learning_rate", "model.dropout", "model.hidden_size"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["learning_rat=1,2"], 'did you mean "learning_rate"'),
        (["dropout"], "as in dropout=0,0.3"),
        (["dropout=0,2"], "expected a number between 0 and 0.95"),
        (["dropout=0,"], "expected a number"),
        (["dropout=0,0.0"], "dropout has the value 0 twice"),
        (["dropout=0.3"], "at least two values"),
        (["cell=lstm,lsmt"], 'did you mean "lstm"'),
        (["dropout=0,0.3", "model.dropout=0.1,0.2"], "is there twice"),
        (["ngram=0,auto"], "ngram needs numbers"),
        (["steps=10,20"], "cannot be tried"),
        (["lowercase=true,false"], "different texts cannot be compared"),
        (["val_fraction=0.1,0.2"], "different texts cannot be compared"),
        ([], "at least two values"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_a_line(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        parse(given)
    assert "\n" not in str(error.value)


def test_values_have_the_types_of_their_settings_and_all_combinations_are_tried() -> None:
    tried = parse(["learning_rate=1e-2,0.02", "model.hidden_size= 64,128", "dropout=0"])
    assert tried == {RATE: [0.01, 0.02], UNITS: [64, 128], DROPOUT: [0.0]}
    labels = [trial.label for trial in combinations(tried)]
    assert labels[0] == "learning_rate=0.01,hidden_size=64,dropout=0"
    assert len(set(labels)) == 4


def test_too_many_combinations_are_refused_before_they_are_made() -> None:
    with pytest.raises(ConfigError, match="1,000,000,000 combinations, 256 at most"):
        combinations({f"s{i}": range(1000) for i in range(3)})


def in_order(tried: dict[str, list[object]]) -> list[Trial]:
    """All combinations, each a little worse than the one before."""
    found = combinations(tried)
    for place, trial in enumerate(found):
        trial.losses = [2 + place / 100]
    return found


def test_at_a_quarter_only_learning_rates_are_compared_so_that_no_size_and_no_dropout_is_pruned_early() -> None:
    found = in_order({DROPOUT: [0, 0.3], UNITS: [64, 512], RATE: [1, 2, 3, 4]})
    going = best_half(found, 1)
    assert len(going) == 8
    assert all(sum(t.values[DROPOUT] == d and t.values[UNITS] == u for t in going) == 2
               for d in (0, 0.3) for u in (64, 512))  # fmt: skip
    assert best_half(going, 2) == found[:2] + found[4:6]  # at half all are: the worst combination of each is gone


def test_a_setting_that_acts_at_the_end_is_not_judged_before() -> None:
    found = in_order({"training.final_learning_rate": [0.01, 0.1], DROPOUT: [0, 0.3]})
    assert [trial.values[DROPOUT] for trial in best_half(found, 2)] == [0, 0]


def test_at_least_two_trials_go_to_the_end() -> None:
    assert len(best_half(in_order({DROPOUT: [0, 0.3]}), 2)) == 2
    assert len(best_half(in_order({RATE: [1, 2, 3]}), 1)) == 2


def test_the_first_rung_is_at_half_where_nothing_could_be_pruned_at_a_quarter() -> None:
    assert rungs({UNITS: [1, 2, 3, 4]}) == (2, 4)
    assert rungs({RATE: [1, 2]}) == (2, 4)
    assert rungs({RATE: [1, 2], DROPOUT: [0, 0.3]}) == (1, 2, 4)


def test_halving_costs_less_than_training_all_to_the_end() -> None:
    assert cost({UNITS: list(range(8))}) == (8 / 2 + 4 / 2, 12)
    assert cost({RATE: [1, 2]}, again=2) == (4.0, 8)


def trial(loss: list[float], state: str = "", *, again: bool = False, **values: float) -> Trial:
    names = {"rate": RATE, "dropout": DROPOUT}
    return Trial({names[key]: value for key, value in values.items()}, again=again, losses=loss, state=state)


TRIED = {RATE: [1, 2, 3], DROPOUT: [0, 0.3]}


def test_the_effect_of_a_setting_is_measured_with_the_others_the_same() -> None:
    found = [
        trial([2.00, 1.80], rate=1, dropout=0),
        trial([2.10, 1.86], rate=1, dropout=0.3),
        trial([1.90, 1.70, 1.50], DONE, rate=2, dropout=0),
        trial([2.04, 1.72, 1.58], DONE, rate=2, dropout=0.3),
        trial([2.30], rate=3, dropout=0),
        trial([2.40], rate=3, dropout=0.3),
    ]
    dropout = effect(DROPOUT, found, TRIED)
    assert dropout is not None
    assert dropout.rung == 4  # the last place that both values reached, with the same rate
    assert (dropout.best, dropout.spread) == (0, pytest.approx(0.08))
    rate = effect(RATE, found, TRIED)
    assert rate is not None
    assert rate.rung == 1  # further on, one rate is missing
    assert rate.losses == {1: pytest.approx(2.05), 2: pytest.approx(1.97), 3: pytest.approx(2.35)}


def test_a_value_that_always_diverged_is_named_and_the_others_are_compared() -> None:
    found = [trial([2.0], rate=1, dropout=0), trial([1.9], rate=2, dropout=0), trial([], DIVERGED, rate=3, dropout=0)]
    rate = effect(RATE, found, {RATE: [1, 2, 3], DROPOUT: [0]})
    assert rate is not None
    assert rate.diverged == (3,)
    assert rate.spread == pytest.approx(0.1)
    assert effect(DROPOUT, found, {RATE: [1, 2, 3], DROPOUT: [0]}) is None


def test_the_noise_is_what_two_seeds_differ_by_where_both_have_been() -> None:
    first, second = trial([2.0, 1.8, 1.6], DONE, rate=1), trial([2.0, 1.84], again=True, rate=1)
    assert noise([first, second]) == (pytest.approx(0.04), pytest.approx(0.04))
    assert noise([first]) == (NOISE, None)


def test_of_two_seeds_at_the_end_the_mean_decides() -> None:
    found = [
        trial([1.60], DONE, rate=1),
        trial([1.62], DONE, rate=2),
        trial([1.70], DONE, again=True, rate=1),
        trial([1.61], DONE, again=True, rate=2),
    ]
    assert [each.values[RATE] for each in ranked(found)] == [2, 1]
    found[3].state = ""  # not at the end: it does not count
    assert [each.values[RATE] for each in ranked(found)] == [1, 2]


def test_trials_that_may_go_on_are_compared_where_all_of_them_have_been() -> None:
    found = [trial([2.0, 1.8], rate=1), trial([1.9], rate=2), trial([], rate=3), trial([2.1], PRUNED, rate=4)]
    assert [each.values[RATE] for each in ranked(found)] == [2, 1, 4, 3]
    found[1].losses.append(1.85)
    assert [each.values[RATE] for each in ranked(found)] == [1, 2, 4, 3]
    assert ranked([trial([2.0], DIVERGED, rate=1), trial([], DIVERGED, rate=2)])[0].losses == [2.0]
