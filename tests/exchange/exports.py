"""Models to export, every weight random, and what charnet's own engine computes for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.config import Config
from charnet.data.vocab import Vocabulary
from charnet.engines.registry import engine_of
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState

V, E, H = 11, 3, 5  # characters, size of the embedding, hidden units
LETTERS = Vocabulary.of_text("\nabcdefghij")
KINDS = [("lstm", ""), ("cifg", ""), ("gru", ""), ("rnn", "tanh"), ("rnn", "relu"), ("rnn", "sigmoid")]
SIZES = [(1, 1), (2, 1), (1, 2), (2, 2)]  # layers, networks

Floats = npt.NDArray[np.float32]


def model(
    cell: str = "lstm",
    activation: str = "",
    layers: int = 1,
    members: int = 1,
    *,
    units: int = H,
    vocab: Vocabulary = LETTERS,
    **settings: Any,
) -> Checkpoint:
    """A checkpoint with random weights, biases too; recurrent ones small enough that relu stays bounded."""
    shape = {"cell": cell, "hidden_size": units, "embedding_size": E, "num_layers": layers, "members": members}
    values = {f"model.{name}": value for name, value in shape.items()}
    config = overlay(Config(), values | ({"model.activation": activation} if activation else {}) | settings)
    random, tensors = np.random.default_rng(1), {}
    for name, sizes in model_shapes(config, len(vocab)).items():
        width = 1.5 / np.sqrt(units) if name.endswith("weight_hh") else 1.0
        tensors[f"model.{name}"] = random.uniform(-width, width, sizes).astype(np.float32)
    return Checkpoint(config, vocab, CorpusInfo("letters", 9, 9, 1, "ab" * 32, "cd" * 32), TrainerState(), tensors)


def some_ids(batch: int, time: int, size: int = V) -> npt.NDArray[np.int64]:
    return np.random.default_rng(2).integers(0, size, (batch, time))


def logits_of(checkpoint: Checkpoint, ids_BT: npt.NDArray[np.int64]) -> Floats:
    """The logits (B, T, V) that the NumPy engine gives for the networks, in single precision."""
    engine = engine_of(checkpoint.config.model, checkpoint.weights, "numpy")
    state, found = engine.start(len(ids_BT)), []
    for ids_B in ids_BT.T:
        logits_BV, state = engine.advance(ids_B.tolist(), state)
        found.append(logits_BV.copy())
    return np.stack(found, axis=1)
