"""The forecast: one sentence about what twice the time would give."""

from __future__ import annotations

import pytest

from charnet.evaluation.forecast import FLAT, forecast, last_gain


def curve(*losses: float) -> list[dict[str, float]]:
    return [{"step": 100.0 * (i + 1), "val_nats_per_char": loss} for i, loss in enumerate(losses)]


def test_a_falling_curve_promises_more() -> None:
    assert forecast(curve(2.5, 2.0, 1.8, 1.7), "complete", 0.5).startswith(
        "still improving: twice the time should give"
    )


@pytest.mark.parametrize("losses", [(2.5, 1.7, 1.7, 1.7), (2.5, 1.7, 1.8, 1.9), (2.5, 2.0, 1.8), ()])
def test_a_level_a_rising_and_a_short_curve_promise_nothing(losses: tuple[float, ...]) -> None:
    assert forecast(curve(*losses), "complete", 0.5) == ""


def test_a_gain_that_two_digits_do_not_show_is_not_promised() -> None:
    assert forecast(curve(1.5, 1.45, 1.42, 1.4), "complete", 0.5) != ""
    assert forecast(curve(1.5, 1.45, 1.42, 1.4), "complete", 8.0) == ""


@pytest.mark.parametrize(
    ("reason", "limit"), [("stopped early", "time"), ("interrupted", "time"), ("complete", "text"), ("complete", "")]
)
def test_a_run_that_no_time_ended_promises_nothing_for_more_time(reason: str, limit: str) -> None:
    assert forecast(curve(2.5, 2.0, 1.8, 1.7), reason, 0.5, limit) == ""


def test_no_loss_below_zero_is_promised() -> None:
    sentence = forecast(
        [{"step": s, "val_nats_per_char": v} for s, v in ((3, 4.0), (5, 3.0), (10, 1.5), (20, 0.2))], "complete", 0.1
    )
    assert float(sentence.split()[-2]) > 0


def test_invalid_lines_of_a_history_are_skipped() -> None:
    invalid = [{"val_nats_per_char": 2.0}, {"step": 0, "val_nats_per_char": 2.0}, {"step": 7}]
    assert forecast(
        [*invalid, *curve(2.5, 2.0, 1.8, 1.7), {"step": 100, "val_nats_per_char": 1.0}], "complete", 0.5
    ) == forecast(curve(2.5, 2.0, 1.8, 1.7), "complete", 0.5)
    assert forecast(invalid, "complete", 0.5) == ""


def test_more_passes_over_the_text_promise_less() -> None:
    losses = [float(forecast(curve(2.5, 2.0, 1.8, 1.7), "complete", n).split()[-2]) for n in (0.1, 3, 6)]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


def test_what_no_longer_falls_at_the_end_promises_nothing_however_much_it_fell_before() -> None:
    level = curve(2.5, 2.1, 1.9, 1.7, 1.7, 1.7)
    gain = last_gain(level)
    assert gain is not None
    assert abs(gain) < FLAT
    assert forecast(level, "complete", 0.1) == ""
    assert forecast(curve(2.5, 2.1, 1.9, 1.7, 1.66, 1.62), "complete", 0.1) != ""


def test_the_last_third_is_that_of_the_steps() -> None:
    assert last_gain(curve(2.5, 2.1, 1.9, 1.7, 1.66, 1.62)) == pytest.approx(0.08)
    assert last_gain(curve(2.5, 2.0, 1.9)) is None
