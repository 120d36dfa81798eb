"""The forecast: one sentence about what would improve a model."""

from __future__ import annotations

from charnet.evaluation.forecast import forecast


def curve(*losses: float) -> list[dict[str, float]]:
    return [{"step": 100.0 * (i + 1), "val_nats_per_char": loss} for i, loss in enumerate(losses)]


def test_a_falling_curve_promises_more() -> None:
    assert forecast(curve(2.5, 2.0, 1.8, 1.7), "complete", 0.5).startswith(
        "still improving: twice the time should give"
    )


def test_a_level_curve_promises_nothing() -> None:
    assert forecast(curve(2.5, 1.7, 1.7, 1.7), "complete", 0.5).startswith("no longer improving")


def test_a_curve_that_rises_again_is_called_overfitting() -> None:
    assert "began to overfit" in forecast(curve(2.5, 1.7, 1.8, 1.9), "complete", 0.5)


def test_a_run_that_stopped_early_asks_for_more_text() -> None:
    assert forecast(curve(2.5, 1.7, 1.8), "stopped early", 0.5).startswith("stopped early: more of the same text")


def test_a_run_without_a_curve_gets_no_forecast() -> None:
    assert forecast([], "complete", 0.5) == ""
    assert forecast(curve(2.5, 2.0), "complete", 0.5) == ""
    assert forecast(curve(2.5, 2.0, 1.8, 1.7), "interrupted", 0.5) == ""


def test_a_run_limited_by_its_text_promises_nothing_for_more_time() -> None:
    sentence = forecast(curve(2.5, 2.0, 1.8, 1.7), "complete", 12.5, "text")
    assert "more of the same text would help, more time would not" in sentence


def test_no_loss_below_zero_is_promised() -> None:
    sentence = forecast(
        [{"step": s, "val_nats_per_char": v} for s, v in ((5, 3.0), (10, 1.5), (20, 0.2))], "complete", 0.1
    )
    assert float(sentence.split()[-2]) > 0


def test_invalid_lines_of_a_history_are_skipped() -> None:
    invalid = [{"val_nats_per_char": 2.0}, {"step": 0, "val_nats_per_char": 2.0}, {"step": 7}]
    assert forecast(
        [*invalid, *curve(2.5, 2.0, 1.8, 1.7), {"step": 100, "val_nats_per_char": 1.0}], "complete", 0.5
    ) == forecast(curve(2.5, 2.0, 1.8, 1.7), "complete", 0.5)
    assert forecast(invalid, "stopped early", 0.5) == ""


def test_more_passes_over_the_text_promise_less() -> None:
    losses = [float(forecast(curve(2.5, 2.0, 1.8, 1.7), "complete", n).split()[-2]) for n in (0.1, 3, 6)]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]
