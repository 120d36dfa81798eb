"""Whether this machine computes models with 8-bit weights as all others do: digests of the logits of reference models.

The reference models and the text that they read come from Philox 4x64 and from single operations of IEEE 754, so that
they are the same everywhere.

Shape legend: B texts, T characters of each, V characters in the alphabet.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.config import ACTIVATIONS, Config, ModelSettings
from charnet.engines.base import Engine
from charnet.engines.registry import available, engine_of
from charnet.errors import plural
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay
from charnet.storage.quantize import LARGEST, QuantizedMatrix

TEXTS, LENGTH, ALPHABET, UNITS = 12, 250, 65, 136
DIGESTS: dict[str, str] = {
    "lstm-tanh": "b844234c02b0f960becf5a982dfa4eabe4585486b2fc304fcbe3a794a268a34f",
    "gru-tanh": "0283681171a094547a853d02f40448123e6e4dd0048edda9b0ac0e2773fb37d3",
    "cifg-tanh": "7436a1ffe2c4fa4af46e9a8c052822880daf4e0077934fb4f80f93d6274d4327",
    "rnn-tanh": "78aaf0ef386cb0b3d1a9ef4edbea18398623114be04305e794570595a5304107",
    "rnn-relu": "2eeefd6640a5c049f68ed7e8530efd6d83d0924ba5268a8de45666ffbc7da4b0",
    "rnn-sigmoid": "cefdc276f50183d18185e7c82b69d6269b2941ccc27ebdd065ab880b199ab496",
}
SECONDS = 1.0  # of computing: no further cell is begun after so long


def reference(cell: str, activation: str = "tanh") -> tuple[ModelSettings, dict[str, Any]]:
    """Builds a reference model of two layers: its settings and its weights of 8 bits."""
    values = {"cell": cell, "activation": activation, "num_layers": 2, "hidden_size": UNITS, "embedding_size": 24}
    config = overlay(Config(), {f"model.{name}": value for name, value in values.items()})
    random = np.random.Philox(key=np.array([17, 0], np.uint64))
    weights: dict[str, Any] = {}
    for name, shape in model_shapes(config, ALPHABET).items():
        numbers = random.random_raw(int(np.prod(shape))).reshape(shape) >> np.uint64(40)
        integers = (numbers % (2 * LARGEST + 1)).astype(np.int64) - LARGEST
        if len(shape) == 1:
            weights[name] = (integers / 256).astype(np.float32)
        else:
            # Rows of about length 1, so that neither all gates are open or closed nor a relu network explodes.
            scale = (1 + np.arange(shape[0]) % 3 / 4) * 2.0**-6 / np.sqrt(np.float64(shape[1]))
            weights[name] = QuantizedMatrix(integers.astype(np.int8), scale.astype(np.float32))
    return config.model, weights


def digest(engine: Engine, batch: int = TEXTS) -> str:
    """Computes the SHA-256 of the logits of a reference model after 3,000 characters.

    Args:
        batch: how many of the 12 texts are read side by side; the digest does not depend on it.
    """
    ids_BT = (np.random.Philox(key=np.array([18, 0], np.uint64)).random_raw(TEXTS * LENGTH) >> np.uint64(40)) % ALPHABET
    logits = np.empty((TEXTS, LENGTH, ALPHABET), "<f4")
    for first in range(0, TEXTS, batch):
        rows = slice(first, first + batch)
        logits[rows] = _read(engine, ids_BT.reshape(TEXTS, LENGTH)[rows].astype(np.int64))
    return hashlib.sha256(logits.tobytes()).hexdigest()


def _read(engine: Engine, ids_BT: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Returns the logits (B, T, V) after each character."""
    state, logits = engine.start(len(ids_BT)), []
    for ids_B in ids_BT.T:
        logits_BV, state = engine.advance(ids_B.tolist(), state)
        logits.append(logits_BV.copy())
    return np.stack(logits, axis=1)


def kinds() -> list[tuple[str, str]]:
    """Returns all cells with their activations."""
    return [("lstm", "tanh"), ("gru", "tanh"), ("cifg", "tanh"), *(("rnn", activation) for activation in ACTIVATIONS)]


def check(engines: Sequence[str] = ("numpy", "compiled")) -> str:
    """Compares the digests of this machine with those of all others; says so in a sentence.

    Takes about a second, and at the first use the time to compile the loops.
    """
    seconds, compared, others = 0.0, 0, []
    for cell, activation in kinds():
        for name in dict.fromkeys(map(available, engines)):
            if seconds > SECONDS:
                continue
            engine = engine_of(*reference(cell, activation), name)
            began = time.perf_counter()
            batch = TEXTS if name == "numpy" else 1  # the loops of one text
            if digest(engine, batch) != DIGESTS[f"{cell}-{activation}"]:
                others.append(f"{cell} ({activation}), engine {name}")
            seconds += time.perf_counter() - began
            compared += 1
    if others:
        return f"not as on other machines: {'; '.join(others)}; please report this"
    return f"computed to the last bit as on other machines ({plural(compared, 'comparison')})"
