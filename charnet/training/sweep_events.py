"""The events of a sweep: Planned, (events of a training..., Paused)..., Halved, and so on, then SweepFinished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charnet.training import trials
from charnet.training.events import Event
from charnet.training.sweep_file import Record
from charnet.training.trials import DONE, Effect, Trial


@dataclass(frozen=True)
class Planned:
    """The sweep before its first step, or where it was resumed."""

    folder: Path
    record: Record


@dataclass(frozen=True)
class Paused:
    """A trial has come to a rung, counted in quarters of its schedule, or has diverged on the way."""

    trial: Trial
    rung: int


@dataclass(frozen=True)
class Halved:
    """At a rung, some trials were pruned, and the schedules of the others fitted to the time.

    `slower` is how many times as long as planned the trainings took so far.
    """

    rung: int
    going: tuple[Trial, ...]
    pruned: tuple[Trial, ...]
    slower: float = 1.0


@dataclass(frozen=True)
class SweepFinished:
    """The end of a sweep.

    Attributes:
        reason: "complete", "interrupted", or "time" if the time was over before the last rung.
        ranked: the trials of the first seed, the best first.
        best: the folder of the best run, if there is one.
        effects: what each setting did, the strongest first.
        noise: nats per character; smaller differences say nothing.
        seeds_differ: the largest difference between two seeds that was measured.
    """

    folder: Path
    record: Record
    reason: str
    ranked: tuple[Trial, ...]
    best: Path | None
    effects: tuple[Effect, ...]
    noise: float
    seeds_differ: float | None


SweepEvent = Planned | Paused | Halved | SweepFinished | Event


def finished(folder: Path, record: Record, reason: str) -> SweepFinished:
    """Returns what a sweep has found so far."""
    ranked, limit = trials.ranked(record.trials), trials.noise(record.trials)
    best = ranked[0] if ranked and ranked[0].losses else None
    twin = trials.twin_of(best, record.trials) if best else None
    if best and twin and twin.state == DONE and twin.losses[-1] < best.losses[-1]:
        best = twin
    effects = [trials.effect(name, record.trials, record.tried) for name in record.tried]
    return SweepFinished(
        folder=folder,
        record=record,
        reason=reason,
        ranked=tuple(ranked),
        best=folder / best.label if best else None,
        effects=tuple(sorted((e for e in effects if e), key=lambda effect: -effect.spread)),
        noise=limit[0],
        seeds_differ=limit[1],
    )
