"""Packs weights in the order in which the compiled loops read them; `kernels_layer` says why.

Shape legend: g gates, n rows of each, R = g x n rows and C columns of a matrix; U is n rounded up to whole blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.engines import kernels_layer
from charnet.engines.exact import is_exact
from charnet.engines.exact_engine import head_of, parts_of
from charnet.engines.kernels_llvm import COLUMNS_AT_ONCE, LANES
from charnet.engines.numpy_engine import LAYOUTS, depth
from charnet.storage.quantize import QuantizedMatrix

CELLS = {
    "lstm": kernels_layer.LSTM,
    "cifg": kernels_layer.CIFG,
    "gru": kernels_layer.GRU,
    "rnn-tanh": kernels_layer.RNN_TANH,
    "rnn-relu": kernels_layer.RNN_RELU,
    "rnn-sigmoid": kernels_layer.RNN_SIGMOID,
}
VECTORS = 4  # in a block of a matrix without gates; with gates, a block has one vector of each

Values = npt.NDArray[Any]  # float32 or int8
Floats = npt.NDArray[np.float32]
Weights = Mapping[str, Floats | QuantizedMatrix]


def pack(networks: Sequence[Weights], layout_name: str) -> kernels_layer.Model:
    """Packs the weights of a model for the loops.

    Args:
        networks: the parameters of each network by their names; all matrices in single precision, or all of 8 bits.
        layout_name: a key of `numpy_engine.LAYOUTS`.
    """
    gates, layers = len(LAYOUTS[layout_name].order), depth(networks[0])
    units = _round_up(width(networks[0]["head.weight"]), gates)
    products = _Products(of_bytes=is_exact(networks[0]))
    add_network = _add_exact_network if products.of_bytes else _add_network
    tables = np.stack([add_network(products, weights, layout_name, units) for weights in networks])
    tables = tables.reshape(*tables.shape[:2], gates, -1)
    padded = np.pad(tables, ((0, 0), (0, 0), (0, 0), (0, units - tables.shape[3])))
    alphabet = len(np.asarray(networks[0]["head.bias"]))
    return products.pack(CELLS[layout_name], layers, units, alphabet, padded.reshape(*tables.shape[:2], -1))


def _add_network(products: _Products, weights: Weights, layout_name: str, units: int) -> Floats:
    """Adds the products of one network; returns the input products of its lowest layer (V, G)."""
    layout = LAYOUTS[layout_name]
    for layer in range(depth(weights)):
        name = f"layers.{layer}"
        if layer:
            bias = layout.packed(np.asarray(weights[f"{name}.bias"]))
            products.add(layout.packed(np.asarray(weights[f"{name}.weight_ih"])), np.ones_like(bias), bias, units)
        else:
            products.add_empty()
        inner = np.zeros((len(layout.order), width(weights["head.weight"])), np.float32)
        inner[-1] = np.asarray(weights.get(f"{name}.bias_hn", 0))
        products.add(layout.packed(np.asarray(weights[f"{name}.weight_hh"])), np.ones_like(inner), inner, units)
    head, bias = np.asarray(weights["head.weight"]), np.asarray(weights["head.bias"])
    products.add(head[None], np.ones_like(bias)[None], bias[None], units)
    embedding = np.asarray(weights["embedding.weight"])
    matrix = layout.packed(np.asarray(weights["layers.0.weight_ih"])).reshape(-1, embedding.shape[1])
    return np.asarray(embedding @ matrix.T + layout.packed(np.asarray(weights["layers.0.bias"])).reshape(-1))


def _add_exact_network(products: _Products, weights: Weights, layout_name: str, units: int) -> Floats:
    """Adds the products of one network of 8 bits; returns the input products of its lowest layer (V, G)."""
    gates, tables = len(LAYOUTS[layout_name].order), []
    for layer in range(depth(weights)):
        parts = parts_of(layout_name, weights, layer)
        for matrix, factor_G, bias_G in (
            (parts.inputs, parts.input_factor_G, parts.bias_G),
            (parts.recurrent, parts.recurrent_factor_G, parts.inner_bias_G),
        ):
            if matrix is None:
                products.add_empty()
            else:
                values = matrix.values.reshape(gates, -1, matrix.values.shape[1])
                products.add(values, factor_G.reshape(gates, -1), bias_G.reshape(gates, -1), units)
        tables.append(parts.table_VG)
    values, factor_V, bias_V = head_of(layout_name, weights)
    products.add(values[None], factor_V[None], bias_V[None], units)
    return np.asarray(tables[0])


def _round_up(rows: int, gates: int) -> int:
    """Rounds the rows of one gate up to whole blocks."""
    block = LANES if gates > 1 else LANES * VECTORS
    return -(-rows // block) * block


def width(matrix: Floats | QuantizedMatrix) -> int:
    """Returns how many columns a matrix has."""
    return int((matrix.values if isinstance(matrix, QuantizedMatrix) else matrix).shape[1])


class _Products:
    """Collects the products of a model, then packs them end to end."""

    def __init__(self, *, of_bytes: bool) -> None:
        self.of_bytes = of_bytes
        self._shapes: list[tuple[int, int, int, int]] = []
        self._blocks: list[Values] = []
        self._rows: list[tuple[Floats, npt.NDArray[np.int32], Floats]] = []

    def add_empty(self) -> None:
        """Adds a placeholder for the input product of the lowest layer, which a table replaces."""
        empty = np.zeros(0, np.float32)
        self._shapes.append((0, 0, VECTORS, LANES))
        self._blocks.append(empty)
        self._rows.append((empty, empty.astype(np.int32), empty))

    def add(self, values: Values, scale: Floats, bias: Floats, columns: int) -> None:
        """Adds a product.

        Args:
            values: (g, n, C); scale, bias: (g, n).
            columns: numbers in the input; those after the first C are zero.
        """
        gates, rows, own_columns = values.shape
        units = _round_up(rows, gates)
        values = np.pad(values, ((0, 0), (0, units - rows), (0, columns - own_columns)))
        if gates > 1:
            blocks = np.moveaxis(values.reshape(gates, -1, LANES, columns), 0, 1)
        else:
            blocks = values.reshape(-1, VECTORS, LANES, columns)
        if self.of_bytes:
            blocks = blocks.reshape(*blocks.shape[:3], -1, COLUMNS_AT_ONCE)
        self._blocks.append(np.ascontiguousarray(np.moveaxis(blocks, 3, 1)).reshape(-1))
        self._shapes.append((len(blocks), columns, blocks.shape[1], units if gates > 1 else LANES))
        zero = -128 * values.sum(-1, dtype=np.int32) if self.of_bytes else np.zeros((gates, units), np.int32)
        padding = ((0, 0), (0, units - rows))
        self._rows.append((np.pad(scale, padding), zero, np.pad(bias, padding)))

    def pack(self, cell: int, layers: int, units: int, alphabet: int, table_MVG: Floats) -> kernels_layer.Model:
        """Packs the products that were added."""
        blocks, columns, vectors, stride = np.array(self._shapes, np.int64).T.copy()
        scale, zero, bias = (np.concatenate([rows[i].reshape(-1) for rows in self._rows]) for i in range(3))
        raw = [block.view(np.uint8) for block in self._blocks]
        return kernels_layer.Model(
            cell=cell,
            members=len(table_MVG),
            layers=layers,
            units=units,
            alphabet=alphabet,
            blocks_P=blocks,
            columns_P=columns,
            vectors_P=vectors,
            stride_P=stride,
            weights_at_P=_offsets([block.size for block in raw]),
            rows_at_P=_offsets([rows[0].size for rows in self._rows]),
            weights=np.concatenate(raw),
            scale=scale,
            zero=zero,
            bias=bias,
            table_MVG=table_MVG,
        )


def _offsets(sizes: list[int]) -> npt.NDArray[np.int64]:
    """Returns where each of some arrays of these sizes begins when they lie end to end."""
    return np.cumsum([0, *sizes[:-1]], dtype=np.int64)
