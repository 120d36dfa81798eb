"""The events of a made-up training, for what follows trainings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from charnet.config import Config
from charnet.overlay import overlay
from charnet.storage.document import CorpusInfo
from charnet.training.events import Evaluated, Event, Finished, Metrics, Started


def started(run: Path, step: int = 0, *, name: str = "pets", steps: int = 40) -> Started:
    config = overlay(Config(), {"data.paths": ["/home/me/secret.txt"], "training.steps": steps})
    history = tuple(metrics(each).as_dict() for each in range(10, step + 1, 10))
    corpus = CorpusInfo(name, 5000, 5000, 1, "0" * 64, "")
    return Started(run, config, corpus, 27, 12345, "cpu", "fp32", 1, step, history, held_out=500)


def metrics(step: int) -> Metrics:
    val = 2 + 5 / step if step % 10 == 0 else None
    return Metrics(step, step * 1024, step / 4, 2.5 + 5 / step, val, 0.01, 0.5, 4096.0)


def events(
    run: Path, first: int = 0, last: int = 40, *, name: str = "pets", sample: str = "the cat"
) -> Iterator[Event]:
    """Yields a training in steps of 5, evaluated after each 10."""
    yield started(run, first, name=name)
    for step in range(first + 5, last + 1, 5):
        yield metrics(step)
        if step % 10 == 0:
            yield Evaluated(step, True, step, 2 + 5 / step, sample)
    yield Finished(run, "complete", last, last, 2 + 5 / last, test_nats_per_char=2.25)
