"""The table of engines: ways to compute the same logits. `open_engine` is the only place that chooses."""

from __future__ import annotations

from collections.abc import Callable

from charnet.checkpoint import Checkpoint
from charnet.engines.base import Engine, WritingEngine
from charnet.errors import ConfigError, did_you_mean


def _numpy(checkpoint: Checkpoint) -> Engine:
    from charnet.engines.numpy_engine import NumpyEngine

    model = checkpoint.config.model
    return NumpyEngine(checkpoint.weights, cell=model.cell, activation=model.activation)


def _compiled(checkpoint: Checkpoint) -> Engine:
    from charnet.engines.compiled_engine import CompiledEngine

    model = checkpoint.config.model
    return CompiledEngine(checkpoint.weights, cell=model.cell, activation=model.activation)


def _torch(checkpoint: Checkpoint) -> Engine:
    from charnet.engines.torch_engine import TorchEngine
    from charnet.model import from_weights

    return TorchEngine(from_weights(checkpoint.config.model, checkpoint.weights))


ENGINES: dict[str, Callable[[Checkpoint], Engine]] = {"numpy": _numpy, "compiled": _compiled, "torch": _torch}


def open_engine(checkpoint: Checkpoint, name: str = "numpy") -> Engine:
    """An engine that runs the model of a checkpoint. Each one imports what it needs only when it is opened.

    Raises:
        ConfigError: there is no such engine.
    """
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise ConfigError(f'engine: expected one of {known}, found "{name}"{did_you_mean(name, ENGINES)}')
    return ENGINES[name](checkpoint)


__all__ = ["ENGINES", "Engine", "WritingEngine", "open_engine"]
