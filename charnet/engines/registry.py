"""The table of engines: ways to compute the same logits. `open_engine` is the only place that chooses."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from charnet.config import ModelSettings
from charnet.engines.base import Engine, MultiStepEngine, Weights
from charnet.engines.ensemble import combine
from charnet.errors import ConfigError, did_you_mean
from charnet.model.shapes import member_prefixes
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.quantize import dequantize_all

WORTH_COMPILING = 20_000  # characters: below, the NumPy engine has ended before numba is loaded


def _numpy(model: ModelSettings, networks: Iterable[Weights], threads: int) -> Engine:  # noqa: ARG001
    from charnet.engines.numpy_engine import NumpyEngine

    return combine(NumpyEngine(weights, cell=model.cell, activation=model.activation) for weights in networks)


def _compiled(model: ModelSettings, networks: Iterable[Weights], threads: int) -> Engine:
    try:
        from charnet.engines.compiled_engine import CompiledEngine
    except ImportError as error:
        raise ConfigError(
            f"engine: expected numba for the compiled engine, found none that works ({error}): "
            "pip install -U 'charnet[fast]'"
        ) from None
    return CompiledEngine(*networks, cell=model.cell, activation=model.activation, threads=threads)


def _torch(model: ModelSettings, networks: Iterable[Weights], threads: int) -> Engine:
    import torch

    from charnet.engines.torch_engine import TorchEngine
    from charnet.model.network import from_weights

    if threads:
        torch.set_num_threads(threads)
    one = replace(model, members=1)
    return combine(TorchEngine(from_weights(one, dequantize_all(weights)).members[0]) for weights in networks)


ENGINES: dict[str, Callable[[ModelSettings, Iterable[Weights], int], Engine]] = {
    "numpy": _numpy,
    "compiled": _compiled,
    "torch": _torch,
}


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
        with contextlib.suppress(ImportError):  # no numba, or one that does not fit the rest: slower, and it works
            from charnet.engines.compiled_engine import CompiledEngine  # noqa: F401

            return "compiled"
    return "numpy"


def open_engine(checkpoint: Checkpoint, name: str = "numpy", *, threads: int = 0) -> Engine:
    """An engine that runs the model of a checkpoint; see `engine_of`."""
    return engine_of(checkpoint.config.model, checkpoint.stored_weights, name, threads=threads)


def engine_of(model: ModelSettings, weights: Weights, name: str, *, threads: int = 0) -> Engine:
    """An engine that runs a model. Each one imports what it needs only when it is opened.

    Args:
        weights: as `Checkpoint.stored_weights` gives them. The NumPy engine takes them out of this table as it lays
            them out, so that memory does not hold them twice where nobody else keeps them; so does an ensemble of any.
        threads: of the processor; 0 for what is fastest. The NumPy engine takes them from its library.

    Raises:
        ConfigError: there is no such engine, or what it needs is not installed.
    """
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise ConfigError(f'engine: expected one of {known}, found "{name}"{did_you_mean(name, ENGINES)}')
    return ENGINES[name](model, _networks(model, weights), threads)


def _networks(model: ModelSettings, weights: Weights) -> Iterator[Weights]:
    """The parameters of each network of an ensemble, taken out of the table of all; of one network the table itself."""
    if model.members == 1:
        yield weights
        return
    for prefix in member_prefixes(model):
        yield {name[len(prefix) :]: weights.pop(name) for name in list(weights) if name.startswith(prefix)}


__all__ = [
    "ENGINES",
    "Engine",
    "MultiStepEngine",
    "engine_of",
    "fastest",
    "has_numba",
    "open_engine",
    "worth_compiling",
]
