"""`--for`: what a time buys, with clocks and machines made up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnet.config import Config
from charnet.data.batches import check_length
from charnet.errors import ConfigError
from charnet.overlay import as_dict, overlay
from charnet.training import planner, resolve, sizes

ALL = [f"{section}.{key}" for section, fields in as_dict(Config()).items() for key in fields]


def machine(operations_a_second: float) -> Callable[[Config], float]:
    """Seconds a step on a machine where only the size of the products counts."""

    def pace(config: Config) -> float:
        m, t = config.model, config.training
        operations = 24 * m.members * m.hidden_size * (m.hidden_size + m.embedding_size)
        return t.batch_size * t.window * operations / operations_a_second

    return pace


def plan(
    seconds: float, learned: int = 1_000_000, speed: float = 1e11, given: tuple[str, ...] = (), **values: object
) -> planner.Plan:
    config = overlay(Config(), {name.replace("__", "."): value for name, value in values.items()})
    chosen = {name.replace("__", ".") for name in values} | set(given)
    return planner.plan(config, chosen, sizes.Text(learned, learned // 9, 65), seconds, machine(speed))


@pytest.mark.parametrize("text", ["0s", "0.5s", "100000h", "0:00", "31d"])
def test_a_time_to_train_for_that_is_too_short_or_too_long_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match="90s, 5m, 2h"):
        resolve.choose_length({}, {}, text)


def test_a_time_to_train_for_is_a_number_of_seconds_or_a_text() -> None:
    assert resolve.choose_length({}, {}, "1:30")[1] == resolve.choose_length({}, {}, 90)[1] == 90


def test_more_time_buys_one_network_that_is_no_smaller() -> None:
    plans = [plan(seconds, model__members=1) for seconds in (2, 5, 15, 30, 60, 300, 900, 3600)]
    sizes = [p.config.model.hidden_size for p in plans]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_time_for_many_passes_buys_several_networks_that_each_see_the_text_often_enough() -> None:
    for seconds in (300, 900, 3600):
        made = plan(seconds, speed=2e11)
        assert 1 < made.config.model.members <= sizes.MOST_MEMBERS
        assert made.passes > 0.9 * sizes.interpolate(sizes.PASSES_PER_MEMBER, 1_000_000)
    assert plan(60).config.model.members == 1
    assert plan(3600, learned=1_000_000_000).config.model.members == 1


def test_the_shorter_the_text_the_more_often_each_of_several_networks_sees_it() -> None:
    for learned, least in ((150_000, 5.4), (1_000_000, 2.7)):
        plans = [plan(seconds, learned=learned) for seconds in (15, 30, 60, 120, 300, 900)]
        several = [p.passes for p in plans if 1 < p.config.model.members < sizes.MOST_MEMBERS]
        assert several
        assert least < min(several) < 2 * least


def test_an_ensemble_has_less_dropout_than_one_network_with_as_many_passes() -> None:
    one, several = (plan(300, learned=200_000, model__members=members) for members in (1, 2))
    assert several.passes <= one.passes
    assert several.config.model.dropout < sizes.interpolate(planner.DROPOUT, several.passes)


def test_the_number_of_networks_that_the_user_chose_stays() -> None:
    for members in (1, 2, 3):
        assert plan(3600, model__members=members).config.model.members == members


def test_several_networks_that_memory_is_too_small_for_are_not_taken() -> None:
    def pace(config: Config) -> float:
        if config.model.members > 1:
            raise ConfigError("this run needs about 9.9 GB of memory, 1.0 are free")
        return machine(1e11)(config)

    assert planner.plan(Config(), (), sizes.Text(1_000_000, 100_000, 65), 3600, pace).config.model.members == 1


def test_a_faster_machine_gets_one_network_that_is_no_smaller() -> None:
    plans = [plan(30, speed=speed, model__members=1) for speed in (1e9, 1e10, 1e11, 1e12)]
    sizes = [p.config.model.hidden_size for p in plans]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("seconds", [5, 30, 60, 300, 3600, 86400])
@pytest.mark.parametrize("val_chars", [None, 1000])
def test_steps_and_evaluations_fit_the_time(seconds: float, val_chars: int | None) -> None:
    learned = 10**11
    made = plan(seconds, learned=learned, **({} if val_chars is None else {"data__val_chars": val_chars}))
    t, rate = made.config.training, made.chars_per_second
    read = made.config.data.val_chars or learned // 9
    evaluating = (1 + (t.steps - 1) // t.eval_every) * read / (rate * planner.EVALUATION_SPEED)
    evaluating += max(planner.LONGEST_FINAL_EVALUATION, planner.FINAL_EVALUATION_FRACTION * seconds)
    used = t.steps * t.batch_size * t.window / rate + evaluating
    assert 0.9 * seconds < used < seconds + 3


@pytest.mark.parametrize("name", ["model.hidden_size", "model.dropout", "training.batch_size", "training.window"])
def test_what_the_user_chose_stays(name: str) -> None:
    section, key = name.split(".")
    value = 0.33 if key == "dropout" else 48
    made = plan(30, **{f"{section}__{key}": value})
    assert getattr(getattr(made.config, section), key) == value


@pytest.mark.parametrize("given", [{"training__batch_size": 64}, {"training__window": 500}, {}])
@pytest.mark.parametrize("learned", [990, 501, 2000])
def test_what_is_not_given_is_made_to_fit_a_short_text(given: dict[str, int], learned: int) -> None:
    t = plan(10, learned=learned, **given).config.training
    check_length(learned, t.batch_size, t.window)


def test_a_network_that_memory_is_too_small_for_is_not_taken() -> None:
    def pace(config: Config) -> float:
        if config.model.hidden_size > 300:
            raise ConfigError("this run needs about 9.9 GB of memory, 1.0 are free")
        return machine(1e11)(config)

    text = sizes.Text(1_000_000, 100_000, 65)
    assert planner.plan(Config(), (), text, 3600, pace).config.model.hidden_size == 256
    config = overlay(Config(), {"model.hidden_size": 999})
    with pytest.raises(ConfigError, match=r"9\.9 GB"):
        planner.plan(config, {"model.hidden_size"}, text, 3600, pace)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "5m"])
def test_a_time_from_python_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="--for: train for at least one second and at most thirty days"):
        resolve.check_seconds(seconds)


def test_all_settings_given_leave_nothing_to_plan() -> None:
    assert plan(30, given=tuple(ALL)).config == resolve.resolve(Config(), 1_000_000)


def test_a_short_text_limits_the_run_and_the_plan_has_the_limit() -> None:
    made = plan(900, learned=18_000)
    assert made.limit == "text"
    assert made.passes <= planner.MOST_PASSES
    assert plan(60, learned=100_000_000).limit == "time"


def test_a_text_too_short_for_the_usual_window_gets_a_shorter_one_and_a_remark() -> None:
    made = plan(30, learned=300)
    t = made.config.training
    check_length(300, t.batch_size, t.window)
    assert any("the text is short" in remark for remark in made.remarks)


def test_a_time_too_short_to_learn_much_gets_a_remark() -> None:
    assert any("the time is enough" in remark and "little sense" in remark for remark in plan(1, speed=1e9).remarks)
    short = plan(900, learned=6000).remarks
    assert any("the text is enough" in remark and "little sense" in remark for remark in short)
    assert not plan(60).remarks


@pytest.mark.parametrize("learned", [1, 40, 4000])
def test_a_text_far_too_short_gets_one_network_and_no_promise_of_time(learned: int) -> None:
    made = plan(60, learned=learned)
    assert made.config.model.members == 1
    assert made.limit == "text"


def test_each_network_of_an_ensemble_makes_enough_steps() -> None:
    for learned in (6000, 12_000, 30_000, 300_000):
        for seconds in (5, 10, 30, 60):
            made = plan(seconds, learned=learned, speed=1e9)
            assert made.config.model.members == 1 or made.config.training.steps > sizes.STEPS_PER_MEMBER / 2


def test_a_very_long_held_out_text_is_read_in_part() -> None:
    made = plan(30, learned=900_000_000)
    assert 0 < made.config.data.val_chars < 100_000_000
    assert plan(300, learned=100_000).config.data.val_chars == 0


@pytest.mark.parametrize("seconds", [20, 30, 60, 300])
@pytest.mark.parametrize("learned", [140_000, 1_000_000, 50_000_000])
def test_a_short_run_is_evaluated_often_at_little_cost(seconds: float, learned: int) -> None:
    made = plan(seconds, learned=learned)
    t = made.config.training
    often = (t.steps - 1) // t.eval_every
    assert often >= 5
    assert often * made.seconds_per_evaluation <= planner.EVALUATION_FRACTION * seconds


def test_what_an_evaluation_reads_to_choose_the_share_of_an_n_gram_counts_too() -> None:
    texts = (sizes.Text(1_000_000, 111_111, 65, tuning) for tuning in (0, 2000))
    fast, tuned = (planner.plan(Config(), (), text, 60, machine(1e11)) for text in texts)
    assert tuned.config.data.val_chars < fast.config.data.val_chars - 2000
    assert tuned.seconds_per_evaluation == pytest.approx(fast.seconds_per_evaluation, rel=0.01)


@given(st.integers(33, 10**10), st.floats(1, 10**6), st.floats(1e6, 1e15))
def test_any_text_time_and_machine_give_a_run_that_can_be_made(learned: int, seconds: float, speed: float) -> None:
    made = plan(seconds, learned=learned, speed=speed)
    t = made.config.training
    check_length(learned, t.batch_size, t.window)
    assert t.steps >= 1
    assert 1 <= t.eval_every <= 1.15 * t.steps + 1
    assert 0 <= made.config.model.dropout < 1


@pytest.mark.parametrize("table", [planner.DROPOUT, planner.MEMBER_DROPOUT, planner.WEIGHT_DROPOUT])
@given(a=st.floats(0, 1e6), b=st.floats(0, 1e6))
def test_more_passes_need_no_less_dropout(table: tuple[tuple[float, float], ...], a: float, b: float) -> None:
    fewer, more = sorted([a, b])
    assert sizes.interpolate(table, fewer) <= sizes.interpolate(table, more)


def test_a_large_alphabet_needs_more_dropout_and_a_wider_embedding() -> None:
    prose, chinese = (
        planner.plan(Config(), {"model.members"}, sizes.Text(1_000_000, 100_000, size), 30, machine(1e12)).config.model
        for size in (65, 4000)
    )
    assert chinese.dropout > prose.dropout
    assert chinese.embedding_size > prose.embedding_size


def test_a_larger_network_is_not_taken_for_a_text_that_it_would_overfit() -> None:
    assert plan(3600, learned=18_000).config.model.hidden_size < plan(3600).config.model.hidden_size


def test_all_that_a_plan_chooses_and_has_an_option_is_said_to_be_chosen() -> None:
    of_a_length = ("data.val_chars", "model.weight_dropout", "training.eval_every")  # which have no option, or say so
    resolved = as_dict(resolve.resolve(Config(), 1_000_000))
    made = {
        f"{section}.{key}"
        for seconds in (5, 900)
        for section, fields in as_dict(plan(seconds, speed=2e11).config).items()
        for key, value in fields.items()
        if value not in (as_dict(Config())[section][key], resolved[section][key])
    }
    assert "model.members" in made
    assert made - {*of_a_length, "training.report_every"} <= planner.PLANNED


def test_a_step_of_several_networks_is_short_enough_for_who_wants_to_stop_it() -> None:
    for speed in (3e10, 1e11, 1e12):
        for seconds in (300, 3600, 86_400):
            config = plan(seconds, speed=speed).config
            assert config.model.members == 1 or machine(speed)(config) <= sizes.LONGEST_STEP
