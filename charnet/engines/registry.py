"""The table of engines, all of which compute the same logits, and the choice of the fastest."""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from charnet.config import ModelSettings
from charnet.engines.base import COMPILED_MIN_BATCH, Engine, Weights
from charnet.engines.exact import is_exact
from charnet.engines.exact_engine import ExactEngine
from charnet.engines.mixture import combine
from charnet.errors import ConfigError, did_you_mean, quoted, shortened
from charnet.model.ngram import WeightedNgram
from charnet.model.shapes import member_prefixes
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.quantize import QuantizedMatrix

if TYPE_CHECKING:
    from charnet.engines.compiled_engine import CompiledEngine

# Microseconds per character of one text: a compromise between two Intel cores with AMX (memory at 41 GB/s; the first
# number) and two of Zen 4 (over twice that, alone and beside other work; the second and third). Near the break-even
# length both engines take about the same time. Beside other work NumPy's threads wait for each other.
#
#                  NumPy           compiled        break-even in characters: measured; by these constants
#   LSTM 2x128     77, 42, -       16, 12, -       10,000, 25,000, -; 11,000
#   LSTM 2x512     523, 131, 570   394, 78, 150    5,000, 12,000, 1,500; 3,100
#   the same int8  523, 131, -     60, 43, -       1,500, 7,400, -; 2,000
LOADING = 0.65  # seconds to load numba and the compiled loops from its cache
CALL, LAYER, NUMPY_MEGABYTE = 12e-6, 20e-6, 25e-6  # seconds per character, layer, MB of weights
COMPILED_CALL, COMPILED_MEGABYTE = 4e-6, 12e-6
NUMPY_NGRAM, COMPILED_NGRAM = 27e-6, 2e-6  # seconds per character of one text, with an n-gram
# A batch is one product of matrices. The weights are packed for it, then each text adds its multiplications.
BATCH_MEGABYTE, BATCH_MEGABYTE_A_TEXT = 55e-6, 3.5e-6
COMPILED_SHARE_OF_A_BATCH = 0.75  # both engines leave the products of a batch to NumPy
TABLES = ("embedding.weight", "layers.0.weight_ih")  # precomputed for each character of the alphabet


def _numpy(
    model: ModelSettings,
    networks: Iterable[Weights],
    ngram: WeightedNgram | None,
    threads: int,  # noqa: ARG001
) -> Engine:
    from charnet.engines.numpy_engine import NumpyEngine

    engines = list[Engine]()
    for weights in networks:
        engine_type = ExactEngine if is_exact(weights) else NumpyEngine
        engines.append(engine_type(weights, cell=model.cell, activation=model.activation))
    return combine(engines, ngram, is_exact=engines[0].is_exact)


def _compiled(model: ModelSettings, networks: Iterable[Weights], ngram: WeightedNgram | None, threads: int) -> Engine:
    return _compiled_engine()(*networks, cell=model.cell, activation=model.activation, threads=threads, ngram=ngram)


def _compiled_engine() -> type[CompiledEngine]:
    """Imports numba, which raises errors of several kinds, or only warns, about environment variables of its own."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Environment variable", RuntimeWarning)
            from charnet.engines.compiled_engine import CompiledEngine
    except MemoryError:
        raise
    except Exception as error:
        reason = shortened(str(error).partition("\n")[0])
        variables = "".join(f", or unset {name}" for name in sorted(os.environ) if name.startswith("NUMBA_"))
        raise ConfigError(
            f"engine: the compiled engine needs numba, which is missing or does not work ({reason}): "
            f"pip install -U 'charnet[fast]'{variables}"
        ) from None
    return CompiledEngine


def _torch(model: ModelSettings, networks: Iterable[Weights], ngram: WeightedNgram | None, threads: int) -> Engine:
    weights_of_each = list(networks)
    if is_exact(weights_of_each[0]):
        raise ConfigError("engine torch: 8-bit weights are computed by the engines numpy and compiled; choose another")
    from charnet.engines.torch_engine import TorchEngine
    from charnet.model.device import set_threads
    from charnet.model.ensemble import from_weights

    if threads:
        set_threads(threads)
    one = replace(model, members=1)
    opened = (TorchEngine(from_weights(one, weights).members[0]) for weights in weights_of_each)
    return combine(opened, ngram)


ENGINES: dict[str, Callable[[ModelSettings, Iterable[Weights], WeightedNgram | None, int], Engine]] = {
    "numpy": _numpy,
    "compiled": _compiled,
    "torch": _torch,
}


def has_numba() -> bool:
    """Returns whether numba is installed; the compiled engine needs it."""
    return importlib.util.find_spec("numba") is not None


def available(name: str) -> str:
    """Returns the name, or "numpy" for "compiled" if numba is missing or does not work."""
    return "numpy" if name == "compiled" and not _compiles() else name


@functools.cache
def _compiles() -> bool:
    try:
        _compiled_engine()
    except ConfigError:
        return False
    return True


def fastest(
    model: ModelSettings, weights: Mapping[str, Any], length: int, *, texts: int = 1, temperature_only: bool = True
) -> str:
    """Returns the name of the engine that would finish first, loading included: "numpy" or "compiled".

    The first use after an installation also compiles the loops, once, in some eight seconds; that is not counted.

    Args:
        weights: as in `Checkpoint.stored_weights`.
        length: characters in each text.
        texts: the number of texts.
        temperature_only: whether sampling uses only temperature, bans and biases; other options run Python code for
            each symbol.
    """
    if not temperature_only:
        return "numpy"
    read_weights = [w for name, w in weights.items() if not name.endswith(TABLES)]
    megabytes = sum(w.values.size if isinstance(w, QuantizedMatrix) else w.size for w in read_weights) * 4e-6
    is_int8 = is_exact(weights)
    layers = model.members * model.num_layers * LAYER
    has_ngram = model.ngram > 0
    single = CALL + layers + NUMPY_MEGABYTE * megabytes + NUMPY_NGRAM * has_ngram
    batch = CALL + layers + megabytes * (BATCH_MEGABYTE + BATCH_MEGABYTE_A_TEXT * texts)
    of_one = COMPILED_CALL + COMPILED_MEGABYTE * megabytes / (4 if is_int8 else 1) + COMPILED_NGRAM * has_ngram
    one_by_one = texts * of_one
    compiled = one_by_one if is_int8 or texts < COMPILED_MIN_BATCH else COMPILED_SHARE_OF_A_BATCH * batch
    return "compiled" if LOADING + length * compiled < length * (single if texts == 1 else batch) else "numpy"


def open_engine(checkpoint: Checkpoint, name: str = "numpy", *, threads: int = 0) -> Engine:
    """Opens an engine that runs the model of a checkpoint; see `engine_of`."""
    model, weights = checkpoint.config.model, checkpoint.stored_weights
    return engine_of(model, weights, name, threads=threads, ngram=checkpoint.ngram)


def engine_of(
    model: ModelSettings, weights: Weights, name: str, *, threads: int = 0, ngram: WeightedNgram | None = None
) -> Engine:
    """Opens an engine that runs a model. Each engine imports its libraries only when it is opened.

    Args:
        weights: as in `Checkpoint.stored_weights`. The NumPy engine, and any engine of an ensemble, removes them from
            this table as it packs them, so that they are not in memory twice.
        threads: CPU threads; 0 for the fastest number. The NumPy engine leaves them to its library.
        ngram: beside the networks.

    Raises:
        ConfigError: there is no such engine, or a library that it needs is not installed.
    """
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise ConfigError(
            f"engine: expected one of {known}, found {quoted(str(name))}{did_you_mean(str(name), ENGINES)}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model is reported where a symbol is sampled
        return ENGINES[name](model, _networks(model, weights), ngram, threads)


def _networks(model: ModelSettings, weights: Weights) -> Iterator[Weights]:
    """Yields the weights of each network, removed from the table of an ensemble; for one network the table itself."""
    if model.members == 1:
        yield weights
        return
    for prefix in member_prefixes(model):
        yield {name[len(prefix) :]: weights.pop(name) for name in list(weights) if name.startswith(prefix)}
