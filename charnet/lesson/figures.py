"""The figures of a lesson as SVG, with the names of a language."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from charnet.insight.gradients import GradientReach
from charnet.insight.memory import ContextCurve
from charnet.insight.svg import Line, Panel, same_range, to_svg
from charnet.lesson.results import Lesson, loss
from charnet.lesson.runs import Run
from charnet.lesson.words import CELL_NAMES, Words, horizon, nats, size

SMALLEST_LOSS = 1e-3  # nats that are drawn
SMALLEST = 1e-8  # of a gradient that is drawn

Names = Callable[[Run], str]


def losses(lesson: Lesson, runs: Sequence[Run], words: Words, name: Names) -> str:
    """Draws how the losses of some runs fell."""
    values = words.listed([f"{name(run)} {nats(loss(run))}" for run in runs])
    panel = _losses(lesson, {name(run): run for run in runs}, words)
    return to_svg([panel], words.say("axis.nats"), words.say("figure.losses", values=values), alone=False)


def of_cell(lesson: Lesson, run: Run, number: int, words: Words) -> str:
    """Draws how the loss of one cell fell, and how its state depends on earlier ones, on the scales of all cells."""
    cells = lesson.of_part("cells")
    panel = _losses(lesson, {"": run}, words, color=number, beside=cells)
    drawn = to_svg([panel], words.say("axis.nats"), words.say("figure.losses", values=nats(loss(run))), alone=False)
    if found := lesson.reach.get(run.name):
        lines = [
            _decay(f"d h / d {state}", spread.mean, color=number, dash=dash)
            for dash, (state, spread) in enumerate(found.states.items())
        ]
        drawn += _gradient(words, "panel.state", lines, {"": found})
    return drawn


def memory(curves: Mapping[str, ContextCurve], words: Words) -> str:
    """Draws how much is lost when less than the whole context is seen, by its length, until nothing is."""
    curves = {name: curve for name, curve in curves.items() if not curve.is_unstable}
    if not curves:
        return ""
    lines = [Line(name, curve.lengths, _lost(curve)) for name, curve in curves.items()]
    ends = words.listed([f"{name} {horizon(curve)}" for name, curve in curves.items()])
    panel = Panel(words.say("panel.memory"), words.say("axis.context"), lines, log_x=2, log_y=10)
    return to_svg([panel], words.say("axis.nats"), words.say("figure.memory", values=ends), alone=False)


def _lost(curve: ContextCurve) -> list[float]:
    """Returns how much higher the losses are than that with the longest context; nothing behind the horizon."""
    lost = [each - curve.nats[-1] for each in curve.nats]
    known = [k <= curve.horizon and each >= SMALLEST_LOSS for k, each in zip(curve.lengths, lost, strict=True)]
    return [each if drawn else math.nan for each, drawn in zip(lost, known, strict=True)]


def states(found: Mapping[str, GradientReach], words: Words) -> str:
    """Draws how hidden states depend on earlier hidden states, and on earlier cell states."""
    lines = [
        _decay(f"{name}: d h / d {state}", spread.mean, color=list(CELL_NAMES.values()).index(name), dash=dash)
        for name, reach in found.items()
        for dash, (state, spread) in enumerate(reach.states.items())
    ]
    return _gradient(words, "panel.state", lines, found)


def inputs(found: Mapping[str, GradientReach], words: Words) -> str:
    """Draws how losses depend on earlier inputs."""
    lines = [_decay(name, reach.loss.mean) for name, reach in found.items()]
    return _gradient(words, "panel.input", lines, found)


def explosion(lesson: Lesson, words: Words) -> str:
    """Draws an exploding gradient: by distance, and with its loss step by step, clipped and not."""
    found = lesson.explosion
    if found is None:
        return ""
    names = (words.say("line.free"), words.say("line.clipped", clip=f"{found.clip:g}"))
    both = (found.free, found.clipped)
    norms = [Line(name, list(range(len(each.norms))), each.norms) for name, each in zip(names, both, strict=True)]
    falls = [Line(name, list(range(len(each.nats))), each.nats) for name, each in zip(names, both, strict=True)]
    large = max(y for line in falls for y in line.y if math.isfinite(y)) > 100
    reaches = {
        words.say("line.before"): found.before,
        words.say("line.after", factor=f"{found.factor:g}"): found.after,
    }
    values = words.listed([f"{line.name} {size(max(line.y))}, {size(line.y[-1])}" for line in norms])
    said, step = words.say("figure.explosion", values=values), words.say("axis.step")
    lines = [_decay(name, reach.states["h"].mean) for name, reach in reaches.items()]
    return "".join((
        to_svg([Panel(words.say("panel.norm"), step, norms, log_y=10)], words.say("axis.norm"), said, alone=False),
        to_svg([Panel(words.say("panel.descent"), step, falls, log_y=10 * large)], words.say("axis.nats"), said,
               alone=False),
        _gradient(words, "panel.state", lines, reaches),
    ))  # fmt: skip


def _losses(
    lesson: Lesson, runs: Mapping[str, Run], words: Words, *, color: int | None = None, beside: Sequence[Run] = ()
) -> Panel:
    by_time = lesson.by_time
    over = "seconds" if by_time else "characters"
    held_out = all(len(run.curve["nats"]) > 1 for run in (*runs.values(), *beside))  # a point is no curve

    def line(run: Run, name: str = "") -> Line:
        curve = run.curve if held_out else run.train_curve
        return Line(name, curve[over], curve["nats"], color=color)

    lines = [line(run, name) for name, run in runs.items()]
    every = [line(run) for run in beside]
    shared = same_range([every]) if any(line.y for line in every) else None
    label = words.say("axis.seconds" if by_time else "axis.steps")
    return Panel(words.say("panel.loss" if held_out else "panel.train"), label, lines, range_y=shared)


def _gradient(words: Words, title: str, lines: Sequence[Line], found: Mapping[str, GradientReach]) -> str:
    panel = Panel(words.say(title), words.say("axis.back"), lines, log_x=2, log_y=10)
    k = min(31, *(reach.distances[-1] for reach in found.values()), 31)
    left = [f"{line.name} {words.share(dict(zip(line.x, line.y, strict=True)).get(k, 0.0))}" for line in lines]
    said = words.say("figure.reach", k=k, values=words.listed(left))
    return to_svg([panel], words.say("axis.relative"), said, alone=False)


def _decay(name: str, sizes: Sequence[float], *, color: int | None = None, dash: int = 0) -> Line:
    """Returns a line that ends where nearly nothing is left."""
    end = next((k for k, each in enumerate(sizes) if not each >= SMALLEST), len(sizes))
    return Line(name, list(range(1, end)), list(sizes[1:end]), color=color, dash=dash)
