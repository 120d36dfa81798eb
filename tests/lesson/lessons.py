"""Lessons to test: one that was really given, with small networks and few steps, and some whose numbers are chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from charnet.config import Config
from charnet.insight.gradients import GradientReach, Spread
from charnet.insight.memory import ContextCurve
from charnet.lesson import explosion, plan, teach
from charnet.lesson.explosion import Descent, Explosion
from charnet.lesson.plan import Plan
from charnet.lesson.results import Lesson, Text
from charnet.lesson.runs import Run
from charnet.lesson.temperatures import Written
from charnet.overlay import overlay

STEPS = 3


def give(text: Path, out: Path, **more: Any) -> Lesson:
    """Gives a lesson with networks of a few units."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "UNITS", 12)
        patch.setattr(plan, "OTHER_UNITS", (4, 16))
        patch.setitem(plan.BASE, "model.hidden_size", 12)
        patch.setattr(teach, "PLACES", 8)
        patch.setattr(explosion, "PLACES", 8)
        patch.setattr(explosion, "STEPS", 4)
        length = {"seconds": None, "steps": STEPS} | more
        return teach.teach([str(text)], {"training.threads": 1}, out=out, **length)


def run(name: str, part: str, nats: float | None, *, characters: int = 1000, **values: Any) -> Run:
    """A run with this loss."""
    config = overlay(Config(), plan.BASE | {key.replace("__", "."): value for key, value in values.items()})
    curve = {"seconds": [1.0, 2.0], "characters": [500.0, 1000.0], "nats": [(nats or 0) + 1, nats or 0.0]}
    return Run(name, part, Path("checkpoints/lesson") / name, config, 1234, 10, characters, 2.0, nats, curve)


def cells(tanh: float = 1.9, relu: float = 1.8, lstm: float = 1.5, cifg: float = 1.6, gru: float = 1.7) -> list[Run]:
    """One run for each cell."""
    return [
        run("rnn-tanh", "cells", tanh, model__cell="rnn"),
        run("rnn-relu", "cells", relu, model__cell="rnn", model__activation="relu"),
        run("lstm", "cells", lstm),
        run("cifg", "cells", cifg, model__cell="cifg"),
        run("gru", "cells", gru, model__cell="gru"),
    ]


def curve(horizon: int, longest: int = 1024) -> ContextCurve:
    """A memory that ends there."""
    lengths = [1 << power for power in range(longest.bit_length())]
    return ContextCurve(lengths, [1.0] * len(lengths), [0.01] * len(lengths), horizon, 64, 8)


def reach(**factors: float) -> GradientReach:
    """Gradients that shrink by a factor with each character, by state."""
    states = {name: _spread(factor) for name, factor in factors.items()}
    return GradientReach(list(range(64)), _spread(factors["h"]), states, 8, 1)


def _spread(factor: float) -> Spread:
    sizes = [factor**k for k in range(64)]
    return Spread(sizes, sizes, sizes)


def explosion_of(free: Descent, clipped: Descent) -> Explosion:
    return Explosion("rnn-tanh", 2.0, 1.0, 0.8, free, clipped, reach(h=0.5), reach(h=1.3))


def lesson(*runs: Run, seconds: float | None = 180.0, text: str = "pets", **more: Any) -> Lesson:
    """A lesson with these runs."""
    found = Lesson(Text(text, 1000, 100, 20), Plan((), 10.0 if seconds else None, 0 if seconds else 5), seconds)
    found.runs = list(runs)
    for name, value in more.items():
        setattr(found, name, value)
    return found


def full(**more: Any) -> Lesson:
    """A lesson with every part."""
    others = [
        run("lstm-other-seed", "noise", 1.52, training__seed=1),
        run("lstm-16-units", "units", 2.0, model__hidden_size=16),
        run("lstm-256-units", "units", 1.6, characters=300, model__hidden_size=256),
        run("lstm-window-8", "windows", 1.7, training__window=8),
        run("lstm-window-128", "windows", 1.8, training__window=128),
        run("lstm-2-layers", "layers", 1.6, model__num_layers=2),
        run("lstm-sgd", "optimizers", 1.9, training__optimizer="sgd"),
    ]
    memory = {name: curve(n) for name, n in (("rnn-tanh", 7), ("lstm", 32), ("lstm-window-8", 8))}
    reaches = {"rnn-tanh": reach(h=0.5), "lstm": reach(h=0.7, c=0.9)}
    exploded = explosion_of(Descent([500.0, 2.0], [2.0, 4.0]), Descent([500.0, 400.0], [2.0, 2.1]))
    written = [Written(0.2, "the the", 0.5, 1.0), Written(1.5, "xq z", 3.0, 0.25)]
    found = {"memory": memory, "reach": reaches, "explosion": exploded, "written": written}
    return lesson(*cells(), *others, **(found | more))


def renamed(given: Run, **values: Any) -> Run:
    return replace(given, **values)
