"""The table of engines: ways to compute the same logits. `open_engine` is the only place that chooses."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from typing import Any

from charnet.checkpoint import Checkpoint
from charnet.config import ModelSettings
from charnet.engines.base import Engine, WritingEngine
from charnet.errors import ConfigError, did_you_mean
from charnet.quantize import restored

WORTH_COMPILING = 20_000  # characters: below, the NumPy engine has ended before numba is loaded


Build = Callable[[ModelSettings, "dict[str, Any]", int], Engine]


def _numpy() -> Build:
    from charnet.engines.numpy_engine import NumpyEngine

    return lambda model, weights, _: NumpyEngine(weights, cell=model.cell, activation=model.activation)


def _compiled() -> Build:
    try:
        from charnet.engines.compiled_engine import CompiledEngine
    except ImportError as error:
        raise ConfigError(
            f"engine: expected numba for the compiled engine, found none that works ({error}): "
            "pip install -U 'charnet[fast]'"
        ) from None
    return lambda model, weights, threads: CompiledEngine(
        weights, cell=model.cell, activation=model.activation, threads=threads
    )


def _torch() -> Build:
    import torch

    from charnet.engines.torch_engine import TorchEngine
    from charnet.model import from_weights

    def build(model: ModelSettings, weights: dict[str, Any], threads: int) -> Engine:
        if threads:
            torch.set_num_threads(threads)
        return TorchEngine(from_weights(model, restored(weights)))

    return build


ENGINES: dict[str, Callable[[], Build]] = {"numpy": _numpy, "compiled": _compiled, "torch": _torch}


def has_numba() -> bool:
    """Whether the compiled engine could be opened."""
    return importlib.util.find_spec("numba") is not None


def worth_compiling(characters: int, *, plain: bool) -> bool:
    """Whether so many characters come sooner from the compiled engine, its own loading counted.

    Args:
        plain: whether symbols are drawn by temperature, bans and biases alone; other controls need Python for each.
    """
    return plain and characters >= WORTH_COMPILING


def fastest(characters: int, *, plain: bool) -> str:
    """The name of the engine that writes so many characters soonest; see `worth_compiling`."""
    if worth_compiling(characters, plain=plain):
        with contextlib.suppress(ConfigError):  # no numba, or one that does not fit the rest: slower, and it works
            _compiled()
            return "compiled"
    return "numpy"


def open_engine(checkpoint: Checkpoint, name: str = "numpy", *, threads: int = 0, uses_up: bool = False) -> Engine:
    """An engine that runs the model of a checkpoint. Each one imports what it needs only when it is opened.

    Args:
        threads: of the processor; 0 for what is fastest. The NumPy engine takes them from its library.
        uses_up: the engine takes the tensors from the checkpoint, which keeps settings and alphabet: memory need not
            hold a model twice that is only written with.

    Raises:
        ConfigError: there is no such engine, or what it needs is not installed.
    """
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise ConfigError(f'engine: expected one of {known}, found "{name}"{did_you_mean(name, ENGINES)}')
    build, weights = ENGINES[name](), checkpoint.stored_weights
    if uses_up:
        checkpoint.tensors.clear()
    return build(checkpoint.config.model, weights, threads)


__all__ = ["ENGINES", "Engine", "WritingEngine", "fastest", "has_numba", "open_engine", "worth_compiling"]
