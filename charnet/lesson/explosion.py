"""Provokes an exploding gradient, and clips it.

A trained RNN whose recurrent matrix is made larger goes on training by plain gradient descent twice from the same
weights, on the same text: once each gradient is used as it is, once it is clipped (Pascanu, Mikolov & Bengio 2013,
"On the difficulty of training recurrent neural networks").

Shape legend: B streams, T characters in a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from charnet.config import GATES
from charnet.data.encoded_copy import Ids
from charnet.insight.gradients import GradientReach, gradient_reach
from charnet.insight.trace import networks_of
from charnet.model.ensemble import from_weights
from charnet.model.loss import forward_backward
from charnet.storage.checkpoint import Checkpoint
from charnet.training.optim import Optimizer

FACTORS = (1.5, 2.0, 2.5, 3.0, 4.0)  # of the recurrent matrix: the first that is enough
LARGE = 100.0  # a gradient is said to explode from this norm on
CLIP, LEARNING_RATE, STEPS, LAST_STEPS = 1.0, 0.01, 60, 10
STREAMS, WINDOW = 16, 32
PLACES, REACH = 64, 64  # of the gradients by distance


@dataclass(frozen=True)
class Descent:
    """A training by gradient descent: the norm of the gradient before it is clipped, and the loss, of each step."""

    norms: list[float]
    nats: list[float]

    @property
    def broke_down(self) -> bool:
        """Whether numbers were no longer finite: then the last of them are not."""
        return not (math.isfinite(self.norms[-1]) and math.isfinite(self.nats[-1]))

    @property
    def end(self) -> float:
        """The mean loss of the last steps."""
        return float(np.mean(self.nats[-LAST_STEPS:]))


@dataclass(frozen=True)
class Explosion:
    """What happened when the recurrent matrix of a run was multiplied by `factor`.

    Attributes:
        usual: the norm of the gradient before that.
        before, after: how gradients reach back through the network as it was, and as it is then.
    """

    run: str
    factor: float
    clip: float
    usual: float
    free: Descent
    clipped: Descent
    before: GradientReach
    after: GradientReach

    @property
    def exploded(self) -> bool:
        return not self.free.norms[0] < LARGE

    def as_dict(self) -> dict[str, Any]:
        reach = {"before": self.before.as_dict(), "after": self.after.as_dict()}
        descents = {"free": vars(self.free), "clipped": vars(self.clipped)}
        return {**vars(self), **descents, **reach, "exploded": self.exploded}


def explode(checkpoint: Checkpoint, run: str, train: Ids, held_out: Ids, *, steps: int = STEPS) -> Explosion:
    """Makes the recurrent matrix of a network larger until its gradient explodes, and trains on from there.

    Args:
        run: its name.
        train: the text to train on.

    Raises:
        CorpusError: the held-out text is too short.
    """
    usual = _descend(checkpoint, train, math.inf, 1).norms[0]
    for factor in FACTORS:
        larger = _scaled(checkpoint, factor)
        if not _descend(larger, train, math.inf, 1).norms[0] < LARGE:
            break
    reach = {"places": PLACES, "reach": REACH}
    return Explosion(
        run=run,
        factor=factor,
        clip=CLIP,
        usual=usual,
        free=_descend(larger, train, math.inf, steps),
        clipped=_descend(larger, train, CLIP, steps),
        before=gradient_reach(networks_of(checkpoint), held_out, **reach),
        after=gradient_reach(networks_of(larger), held_out, **reach),
    )


def _scaled(checkpoint: Checkpoint, factor: float) -> Checkpoint:
    scaled = {
        name: tensor * np.float32(factor) if name.endswith("weight_hh") else tensor
        for name, tensor in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=scaled)


def _descend(checkpoint: Checkpoint, ids: Ids, clip: float, steps: int) -> Descent:
    """Trains a network of these weights for some steps."""
    settings = checkpoint.config.model
    model = from_weights(settings, checkpoint.weights)
    optimizer = Optimizer(model, "sgd", blocks=GATES[settings.cell])
    streams = max(1, min(STREAMS, (len(ids) - 1) // WINDOW))
    length = (len(ids) - 1) // streams
    window, state = min(WINDOW, length), model.initial_state(streams)
    found = Descent([], [])
    for step in range(steps):
        at_BT = np.arange(streams)[:, None] * length + step * window % (length - window + 1) + np.arange(window)
        x_BT, y_BT = (torch.from_numpy(ids[at_BT + ahead].astype(np.int64)) for ahead in (0, 1))
        loss, norm, state = forward_backward(model, x_BT, y_BT, state, clip=clip)
        found.norms.append(float(norm))
        found.nats.append(float(loss))
        if found.broke_down:
            break
        optimizer.step(step, LEARNING_RATE)
    return found
