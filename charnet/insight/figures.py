"""The figures of one model or of several: memory, gradients, gates. Each is a few panels with a sentence for those who
cannot see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charnet.insight import verdicts
from charnet.insight.study import Study
from charnet.insight.svg import Line, Panel

HALF_LIFE_STEPS = 4  # bars from a half-life to twice that
SMALLEST = 1e-6  # of a gradient that is drawn


@dataclass(frozen=True)
class Figure:
    """Panels, the name of their vertical axis, and what they show."""

    name: str
    title: str
    y_label: str
    panels: list[Panel]
    description: str


def figures(studies: Sequence[Study]) -> list[Figure]:
    """Returns all figures that the models have numbers for."""
    found = [_memory(studies), _gradient(studies), _states(studies), _half_lives(studies), _saturation(studies)]
    return [figure for figure in found if figure is not None]


def _memory(studies: Sequence[Study]) -> Figure | None:
    curves, symbol = [(each.name, each.memory) for each in studies if each.memory is not None], studies[0].symbol
    if not curves:
        return None
    lines = [
        Line(name, curve.lengths, curve.nats, *_around(curve.nats, curve.errors, both=len(curve.errors) > 0))
        for name, curve in curves
    ]
    ends = "; ".join(f"{name}: {verdicts.horizon(curve)} {symbol}s" for name, curve in curves)
    panel = Panel(f"loss by {symbol}s of context", f"{symbol}s of context seen", lines, log_x=2)
    return Figure("memory", "How far it remembers", f"nats per {symbol}", [panel], f"memory ends at: {ends}")


def _around(values: list[float], errors: list[float], *, both: bool) -> tuple[list[float], list[float]]:
    if not both:
        return [], []
    finite = [error if math.isfinite(error) else 0.0 for error in errors]
    return ([v - 2 * e for v, e in zip(values, finite, strict=True)],
            [v + 2 * e for v, e in zip(values, finite, strict=True)])  # fmt: skip


def _gradient(studies: Sequence[Study]) -> Figure | None:
    lines = []
    for each in studies:
        if each.reach is not None:
            loss, alone = each.reach.loss, len(studies) == 1
            distances = [k + 1 for k in each.reach.distances]
            low, high = (_floor(loss.low), _floor(loss.high)) if alone else ((), ())
            lines.append(Line(each.name, distances, _floor(loss.mean), low, high))
    if not lines:
        return None
    halves = "; ".join(f"{s.name}: {s.reach.half + 1} {s.symbol}s" for s in studies if s.reach is not None)
    panel = Panel("d loss / d input", f"{studies[0].symbol}s back", lines, log_x=2, log_y=10)
    said = f"half of it lies within: {halves}"
    return Figure("gradient", "How far the gradient reaches", "relative size", [panel], said)


def _states(studies: Sequence[Study]) -> Figure | None:
    lines = []
    for number, each in enumerate(studies):
        if each.reach is not None:
            for order, (state, spread) in enumerate(each.reach.states.items()):
                alone = len(studies) == 1
                name = f"d h / d {state}" if alone else f"{each.name}: d h / d {state}"
                shade, dash = (None, 0) if alone else (number, order)
                lines.append(Line(name, each.reach.distances[1:], _floor(spread.mean[1:]), color=shade, dash=dash))
    if not lines:
        return None
    panel = Panel("d h(t) / d state(t - k)", f"{studies[0].symbol}s back", lines, log_x=2, log_y=10)
    last = "; ".join(f"{line.name}: {line.y[-1]:.2g} after {line.x[-1]:.0f}" for line in lines)
    return Figure("states", "How a state depends on earlier ones", "relative size", [panel], last)


def _floor(sizes: Sequence[float]) -> list[float]:
    return [max(size, SMALLEST) if math.isfinite(size) else size for size in sizes]


def _half_lives(studies: Sequence[Study]) -> Figure | None:
    values = {
        each.name: np.log2([life for layer in each.gates for life in layer.half_lives])
        for each in studies
        if any(layer.half_lives for layer in each.gates)
    }
    if not values:
        return None
    every = np.concatenate(list(values.values()))
    low, high = (round(float(edge) * HALF_LIFE_STEPS) for edge in (every.min(), every.max()))
    steps = np.arange(low, high + 1)
    lines, symbol = [], studies[0].symbol
    numbers = {each.name: number for number, each in enumerate(studies)}
    for name, logs in values.items():
        counts = np.bincount(np.rint(logs * HALF_LIFE_STEPS).astype(int) - low, minlength=len(steps))
        lines.append(
            Line(name, (2.0 ** (steps / HALF_LIFE_STEPS)).tolist(), counts.astype(float).tolist(), color=numbers[name])
        )
    medians = "; ".join(
        f"{name}: {verdicts.symbols(2 ** float(np.median(logs)), symbol)}" for name, logs in values.items()
    )
    panel = Panel("units by half-life", f"half-life in {symbol}s", lines, bars=True, log_x=2)
    return Figure("half-lives", "How long units keep what they hold", "units", [panel], f"half of the units: {medians}")


def _saturation(studies: Sequence[Study]) -> Figure | None:
    panels = []
    for each in studies:
        for layer in each.gates:
            names = list(layer.shut)
            network = f", network {layer.place.network + 1}" if each.checkpoint.config.model.members > 1 else ""
            title = f"{each.name}{network}, layer {layer.place.layer + 1}"
            at = [float(i + 1) for i in range(len(names))]
            lines = [
                Line("below 0.1", at, [100 * layer.shut[name] for name in names]),
                Line("above 0.9", at, [100 * layer.open[name] for name in names]),
            ]
            panels.append(Panel(title, "gate", lines, bars=True, range_y=(0, 100), names=tuple(names)))
    if not panels:
        return None
    said = "; ".join(
        f"{panel.title}: " + ", ".join(
            f"{name} {low:.0f} % shut, {high:.0f} % open"
            for name, low, high in zip(panel.names, panel.lines[0].y, panel.lines[1].y, strict=True)
        )
        for panel in panels
    )  # fmt: skip
    return Figure("gates", "How often gates are shut or open", "percent of all values", panels, said)
