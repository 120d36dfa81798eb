"""Forecasts what twice the training time would give, from a run's curve of validation losses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

RISEN = 0.01  # nats above the best loss: the run overfits
FEWEST_POINTS = 4  # three say little: the first is that of a model that knows nothing
MOST_OF_A_LOSS = 0.5  # the largest gain that is promised, as a share of the loss
LEAST_GAIN = 0.01  # nats: what the two digits of the sentence show
LAST_PART, FLAT = 1 / 3, 0.003  # of a run; nats: if the loss falls by less in this part, nothing is learned any more
# Twice the time gains a share of the nats that the second half of the run gained. It does not gain all of them, because
# part of that came from the decay of the learning rate, which happens only once. The share falls with the passes.
# Runs of 30 s, 60 s and 103 s on tiny-shakespeare: 0.36 after 1.5 passes, about 0.2 after 3.
SHARE_OF_FRESH_TEXT, PASSES_THAT_HALVE_IT = 0.4, 3.0


def forecast(history: Sequence[Mapping[str, float]], reason: str, passes: float, limit: str = "time") -> str:
    """Returns one sentence about what twice the time would give, or nothing if it is little or cannot be known.

    Args:
        history: the metrics of each evaluation, oldest first.
        reason: why the run ended, as in `training.events.Finished`.
        passes: the number of passes over the text.
        limit: the limit of the run in its plan, "time" or "text"; "" without a plan. Then nothing is forecast: an LSTM
            of 128 units gained from 200 to 400 steps 1.6 times of what it had gained from 100 to 200.

    >>> forecast([{"step": s, "val_nats_per_char": 1.3 + 4 / s} for s in (10, 20, 30, 40)], "complete", 0.1)
    'still improving: twice the time should give about 1.36 nats'
    """
    points = _curve(history)
    if len(points) < FEWEST_POINTS or reason != "complete" or limit != "time":
        return ""
    last_step, last = points[-1]
    if last > min(loss for _, loss in points) + RISEN or _last_gain(points) < FLAT:
        return ""
    share = SHARE_OF_FRESH_TEXT / (1 + (passes / PASSES_THAT_HALVE_IT) ** 2)
    gain = min(MOST_OF_A_LOSS * last, share * (_loss_at(points, last_step / 2) - last))
    if gain < LEAST_GAIN:
        return ""
    return f"still improving: twice the time should give about {last - gain:.2f} nats"


def last_gain(history: Sequence[Mapping[str, float]]) -> float | None:
    """Returns by how many nats the loss fell in the last third of a run; None if there are too few evaluations."""
    points = _curve(history)
    return _last_gain(points) if len(points) >= FEWEST_POINTS else None


def _last_gain(points: Sequence[tuple[float, float]]) -> float:
    step, loss = points[-1]
    return _loss_at(points, (1 - LAST_PART) * step) - loss


def _curve(history: Sequence[Mapping[str, float]]) -> list[tuple[float, float]]:
    """Returns steps and validation losses; skips lines without a loss, or whose step does not increase."""
    points: list[tuple[float, float]] = []
    for line in history:
        step, loss = line.get("step", 0), line.get("val_nats_per_char")
        if loss is not None and step > (points[-1][0] if points else 0):
            points.append((step, loss))
    return points


def _loss_at(points: Sequence[tuple[float, float]], step: float) -> float:
    """Returns the loss at a step: linear in log(step) between evaluations, constant before the first."""
    for (before, high), (after, low) in itertools.pairwise(points):
        if before <= step <= after:
            return high + (low - high) * math.log(step / before) / math.log(after / before)
    return points[0][1]
