"""From what the user said to numbers: every setting that says "choose for me" gets its value here, before training.

After that a run depends on nothing but its settings: the same `config.yaml` on the same machine gives the same weights.
"""

from __future__ import annotations

import os

from charnet.batches import steps_for
from charnet.config import Config, overlay

DEFAULT_LEARNING_RATE = {"muon": 0.04, "adamw": 0.004, "sgd": 0.5}
EVALUATIONS, REPORTS = 20, 100  # in a run, unless the settings say how often


def resolve(config: Config, train_characters: int) -> Config:
    """Fills in the length in steps, the learning rate, and how often to evaluate and report."""
    model, training = config.model, config.training
    steps = training.steps
    if training.epochs:
        steps = steps_for(training.epochs, train_characters, training.batch_size, training.window)
    return overlay(
        config,
        {
            "model.embedding_size": model.embedding_size or model.hidden_size,
            "training.steps": steps,
            "training.epochs": 0.0,
            "training.learning_rate": training.learning_rate or DEFAULT_LEARNING_RATE[training.optimizer],
            "training.eval_every": training.eval_every or max(1, steps // EVALUATIONS),
            "training.report_every": training.report_every or max(1, steps // REPORTS),
            "training.threads": training.threads or processor_cores(),
        },
    )


def processor_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
