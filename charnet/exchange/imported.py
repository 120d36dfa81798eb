"""A model of another program, in charnet's terms, and the checkpoint that it becomes."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.config import GATES, Config
from charnet.data.printable import shown
from charnet.errors import ConfigError
from charnet.exchange.alphabet import vocabulary
from charnet.exchange.old_file import OldFile, unfit
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.version import __version__

LONGEST_NAME = 200  # characters of a file's name in a checkpoint
Matrix = npt.NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """A recurrent layer, with its gates (G blocks of H rows) in charnet's order.

    Shapes: `weight_ih` (GH, D), `weight_hh` (GH, H), `bias` (GH), and of a GRU `bias_hn` (H).
    """

    weight_ih: Matrix
    weight_hh: Matrix
    bias: Matrix
    bias_hn: Matrix | None = None


@dataclass(frozen=True)
class Imported:
    """A model of V symbols, embeddings of D numbers and H units, in the order of its own ids.

    Attributes:
        source: the program it is from.
        head_weight: (V, H); `head_bias` (V).
        tokens: the symbols, in UTF-8 or single bytes.
        left_out: what the file holds and a checkpoint does not.
        assumed: what the file does not say.
    """

    source: str
    cell: str
    layers: Sequence[Layer]
    embedding_VD: Matrix
    head_weight: Matrix
    head_bias: Matrix
    tokens: Sequence[bytes]
    activation: str = "tanh"
    dropout: float = 0.0
    left_out: Sequence[str] = field(default=())
    assumed: Sequence[str] = field(default=())

    def checkpoint(self, file: OldFile) -> Checkpoint:
        """Returns the model as a checkpoint: without optimizer, text and losses, of which nothing is known.

        Args:
            file: it came from.

        Raises:
            CheckpointError: the shapes do not fit each other, a number is not finite, the alphabet is not one of
                characters, or the model is larger than charnet's.
        """
        try:
            vocab, order = vocabulary(self.tokens)
            values = {f"model.{name}": value for name, value in self._shape().items()}
            config = overlay(Config(), values | {"data.bytes": vocab.of_bytes})
        except (ValueError, ConfigError) as error:
            raise unfit(file.path, f"found {error}") from None
        weights = self._weights(order)
        for name, shape in model_shapes(config, len(vocab)).items():
            if name not in weights or weights[name].shape != shape:
                found = weights[name].shape if name in weights else "none"
                raise unfit(file.path, f"found {name} of shape {found} where the others call for {shape}")
            if not np.isfinite(weights[name]).all():
                raise unfit(file.path, f"found numbers in {name} that are not finite")
        name = f"imported from {self.source}: {shown(file.path.name)[:LONGEST_NAME]}"
        return Checkpoint(
            config=config,
            vocab=vocab,
            corpus=CorpusInfo(name, 0, 0, 0, file.sha256, file.sha256),
            trainer_state=TrainerState(),
            tensors={f"model.{name}": weight for name, weight in weights.items()},
            versions={"charnet": __version__, "numpy": np.__version__},
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def _shape(self) -> dict[str, Any]:
        """Returns the settings of the model."""
        return {
            "cell": self.cell,
            "activation": self.activation,
            "hidden_size": self.layers[0].weight_hh.shape[1],
            "num_layers": len(self.layers),
            "embedding_size": self.embedding_VD.shape[1],
            "dropout": self.dropout,
            "ngram": 0,
        }

    def _weights(self, order: list[int]) -> dict[str, npt.NDArray[np.float32]]:
        """Returns the parameters by charnet's names, with the rows of symbols in the order of the alphabet."""
        found = {"embedding.weight": self.embedding_VD, "head.weight": self.head_weight, "head.bias": self.head_bias}
        weights = {name: weight[order] if len(weight) == len(order) else weight for name, weight in found.items()}
        for number, layer in enumerate(self.layers):
            named = {name: value for name, value in vars(layer).items() if value is not None}
            weights |= {f"layers.{number}.{name}": value for name, value in named.items()}
        return {name: np.ascontiguousarray(weight, np.float32) for name, weight in weights.items()}


def at_least_single(numbers: npt.NDArray[Any]) -> Matrix:
    """Returns numbers in single precision, or as they are if they have more: a copy only of those in half precision.

    What a checkpoint holds is in single precision. Two numbers of that have the same sum in it as in double precision
    rounded to it, so a whole model need not be twice its size in memory.
    """
    return np.asarray(numbers, np.float32 if numbers.dtype.itemsize <= 4 else np.float64)


def reorder(weight: Matrix, blocks: Sequence[int]) -> Matrix:
    """Returns a weight with its gates in another order.

    Args:
        weight: as many equal blocks of rows as there are gates.
        blocks: of each new block the number of the old one.

    >>> reorder(np.arange(8), (0, 1, 3, 2)).tolist()
    [0, 1, 2, 3, 6, 7, 4, 5]
    """
    parts = np.split(weight, len(blocks))
    return np.concatenate([parts[block] for block in blocks])


def one_hot(weight_ih: Matrix) -> tuple[Matrix, Matrix]:
    """Returns an embedding (V, D) and input weights (GH, D) for a first layer that reads one-hot vectors.

    The embedding is the identity. If the alphabet is larger than the gates, it is the weights, which takes less space.
    """
    rows, alphabet = weight_ih.shape
    if alphabet <= rows:
        return np.eye(alphabet, dtype=np.float32), weight_ih
    return weight_ih.T, np.eye(rows, dtype=np.float32)


def cell_of(weight_hh: Matrix, cells: Sequence[str]) -> str:
    """Returns the cell whose number of gates fits recurrent weights (GH, H), or "" if there is none."""
    rows, units = weight_hh.shape
    return next((cell for cell in cells if rows == GATES[cell] * units), "")
