"""Packs weights in the order in which the compiled loops read them; `kernels_layer` says why.

Shape legend: g gates, n rows of each, R = g x n rows and C columns of a matrix; U is n rounded up to whole blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.engines import kernels_layer
from charnet.engines.kernels_llvm import COLUMNS_AT_ONCE, LANES
from charnet.engines.numpy_engine import LAYOUTS, CellLayout, depth
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
    layout, head = LAYOUTS[layout_name], networks[0]["head.weight"]
    units = _round_up(width(head), len(layout.order))
    products = _Products(of_bytes=isinstance(head, QuantizedMatrix))
    for weights in networks:
        _add_network(products, weights, layout, units)
    tables = np.stack([_table(weights, layout, units) for weights in networks])
    return products.pack(CELLS[layout_name], depth(networks[0]), units, len(_values_and_scale(head)[0]), tables)


def _add_network(products: _Products, weights: Weights, layout: CellLayout, units: int) -> None:
    """Adds the products of one network."""
    for layer in range(depth(weights)):
        name = f"layers.{layer}"
        if layer:
            bias = layout.packed(np.asarray(weights[f"{name}.bias"]))
            products.add(*_ordered(weights[f"{name}.weight_ih"], layout), bias, units)
        else:
            products.add_empty()
        inner = np.zeros((len(layout.order), width(weights["head.weight"])), np.float32)
        inner[-1] = np.asarray(weights.get(f"{name}.bias_hn", 0))
        products.add(*_ordered(weights[f"{name}.weight_hh"], layout), inner, units)
    values, scale = _values_and_scale(weights["head.weight"])
    products.add(values[None], scale[None], np.asarray(weights["head.bias"])[None], units)


def _round_up(rows: int, gates: int) -> int:
    """Rounds the rows of one gate up to whole blocks."""
    block = LANES if gates > 1 else LANES * VECTORS
    return -(-rows // block) * block


def width(matrix: Floats | QuantizedMatrix) -> int:
    """Returns how many columns a matrix has."""
    return int(_values_and_scale(matrix)[0].shape[1])


def _values_and_scale(matrix: Floats | QuantizedMatrix) -> tuple[Values, Floats]:
    """Returns the values (R, C) of a matrix and the scale of each row (R)."""
    if isinstance(matrix, QuantizedMatrix):
        return matrix.values, matrix.scale
    return matrix, np.ones(len(matrix), np.float32)


def _ordered(matrix: Floats | QuantizedMatrix, layout: CellLayout) -> tuple[Values, Floats]:
    """Returns values (g, n, C) and scale (g, n), the gates in the order of computation, those of sigmoids halved."""
    values, scale = _values_and_scale(matrix)
    if isinstance(matrix, QuantizedMatrix):
        return layout.in_order(values), layout.packed(scale)
    return layout.packed(values), layout.in_order(scale)


def _table(weights: Weights, layout: CellLayout, units: int) -> Floats:
    """Computes the input product of the lowest layer for each character: (V, g x U)."""
    values, scale = _ordered(weights["layers.0.weight_ih"], layout)
    matrix = values * scale[..., None] if values.dtype == np.int8 else values
    embedding, embedding_scale = _values_and_scale(weights["embedding.weight"])
    rows = np.einsum("vc,gnc->vgn", embedding * embedding_scale[:, None], matrix, optimize=True)
    rows += layout.packed(np.asarray(weights["layers.0.bias"]))
    return np.pad(rows, ((0, 0), (0, 0), (0, units - rows.shape[2]))).reshape(len(rows), -1)


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
            of_bytes=self.of_bytes,
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
