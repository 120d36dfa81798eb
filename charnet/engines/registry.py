"""The table of engines: ways to compute the same logits, and the choice of the one that finishes first."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from charnet.config import ModelSettings
from charnet.engines.base import COMPILED_MIN_BATCH, Engine, Weights
from charnet.engines.ensemble import combine
from charnet.errors import ConfigError, did_you_mean
from charnet.model.shapes import member_prefixes
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.quantize import QuantizedMatrix, dequantize_all

# The cost of writing, as a compromise between two cores of Intel with AMX (memory at 41 GB/s; the first figure) and two
# of Zen 4 (twice that and more; the second): microseconds per character of one text. On either the choice is right to
# about a factor of two in length, and near the break-even both engines take about the same time.
#
#                  NumPy           compiled        compiled from ... characters on: measured, and by these figures
#   LSTM 2x128     77, 42          16, 12          10,000, 25,000; 12,000
#   LSTM 2x512     523, 131        394, 78         5,000, 12,000; 5,200
#   the same int8  523, 131        60, 43          1,500, 7,400; 2,500
LOADING = 0.65  # seconds: numba, and the compiled loops from its cache
CALL, LAYER, NUMPY_MEGABYTE = 12e-6, 20e-6, 20e-6  # seconds of Python a character, of a layer, of reading weights
COMPILED_CALL, COMPILED_MEGABYTE = 4e-6, 14e-6
# Several texts in one product of matrices: the weights are packed for it, then each text adds its multiplications.
BATCH_MEGABYTE, BATCH_MEGABYTE_A_TEXT = 55e-6, 3.5e-6
COMPILED_SHARE_OF_A_BATCH = 0.75  # the products are NumPy's there too


TABLES = ("embedding.weight", "layers.0.weight_ih")  # computed for each character of the alphabet before the first


def _numpy(model: ModelSettings, networks: Iterable[Weights], threads: int) -> Engine:  # noqa: ARG001
    from charnet.engines.numpy_engine import NumpyEngine

    return combine(NumpyEngine(weights, cell=model.cell, activation=model.activation) for weights in networks)


def _compiled(model: ModelSettings, networks: Iterable[Weights], threads: int) -> Engine:
    try:
        from charnet.engines.compiled_engine import CompiledEngine
    except ImportError as error:
        raise ConfigError(
            f"engine: the compiled engine needs numba, and none that works is installed ({error}): "
            "pip install -U 'charnet[fast]'"
        ) from None
    return CompiledEngine(*networks, cell=model.cell, activation=model.activation, threads=threads)


def _torch(model: ModelSettings, networks: Iterable[Weights], threads: int) -> Engine:
    import torch

    from charnet.engines.torch_engine import TorchEngine
    from charnet.model.ensemble import from_weights

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
    """Whether numba, which the compiled engine needs, is installed."""
    return importlib.util.find_spec("numba") is not None


def available(name: str) -> str:
    """The engine of that name, or "numpy" where numba is missing or does not fit the rest: slower, and it works."""
    if name == "compiled":
        try:
            from charnet.engines.compiled_engine import CompiledEngine  # noqa: F401
        except ImportError:
            return "numpy"
    return name


def fastest(
    model: ModelSettings, weights: Mapping[str, Any], length: int, *, texts: int = 1, temperature_only: bool = True
) -> str:
    """The name of the engine that would finish first, loading included: "numpy" or "compiled".

    Args:
        weights: as `Checkpoint.stored_weights` gives them.
        length: characters of each text.
        temperature_only: whether symbols are sampled by temperature, bans and biases alone; other options need Python
            for each symbol.
    """
    if not temperature_only:
        return "numpy"
    read = [w for name, w in weights.items() if not name.endswith(TABLES)]
    megabytes = sum(w.values.size if isinstance(w, QuantizedMatrix) else w.size for w in read) * 4e-6
    is_int8 = any(isinstance(w, QuantizedMatrix) for w in read)
    layers = model.members * model.num_layers * LAYER
    single = CALL + layers + NUMPY_MEGABYTE * megabytes
    batch = CALL + layers + megabytes * (BATCH_MEGABYTE + BATCH_MEGABYTE_A_TEXT * texts)
    one_by_one = texts * (COMPILED_CALL + COMPILED_MEGABYTE * megabytes / (4 if is_int8 else 1))
    compiled = one_by_one if is_int8 or texts < COMPILED_MIN_BATCH else COMPILED_SHARE_OF_A_BATCH * batch
    return "compiled" if LOADING + length * compiled < length * (single if texts == 1 else batch) else "numpy"


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
