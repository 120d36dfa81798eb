"""Weights laid out as the compiled loops read them; `kernels` says why.

Shape legend: g gates, n rows of each, R = g x n rows and C columns of a matrix; U is n rounded up to whole blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.engines import kernels
from charnet.engines.kernels import COLUMNS_AT_ONCE, LANES
from charnet.engines.numpy_engine import LAYOUTS, CellLayout, depth
from charnet.storage.quantize import QuantizedMatrix

CELLS = {
    "lstm": kernels.LSTM,
    "cifg": kernels.CIFG,
    "gru": kernels.GRU,
    "rnn-tanh": kernels.RNN_TANH,
    "rnn-relu": kernels.RNN_RELU,
    "rnn-sigmoid": kernels.RNN_SIGMOID,
}
VECTORS = 4  # of a block whose rows are all of one kind; else one of each gate

Values = npt.NDArray[Any]  # float32 or int8
Floats = npt.NDArray[np.float32]
Weights = Mapping[str, Floats | QuantizedMatrix]


def pack(networks: Sequence[Weights], form_name: str) -> kernels.Model:
    """A model for the loops.

    Args:
        networks: parameters of each by their names; all matrices in single precision, or all of 8 bits.
        form_name: which of `numpy_engine.FORMS`.
    """
    form, head = LAYOUTS[form_name], networks[0]["head.weight"]
    units = _rounded(width(head), len(form.order))
    products = _Products(of_bytes=isinstance(head, QuantizedMatrix))
    for weights in networks:
        _add(products, weights, form, units)
    tables = np.stack([_table(weights, form, units) for weights in networks])
    return products.model(CELLS[form_name], depth(networks[0]), units, len(_parts(head)[0]), tables)


def _add(products: _Products, weights: Weights, form: CellLayout, units: int) -> None:
    """The products of one network."""
    for layer in range(depth(weights)):
        name = f"layers.{layer}"
        if layer:
            bias = form.packed(np.asarray(weights[f"{name}.bias"]))
            products.add(*_ordered(weights[f"{name}.weight_ih"], form), bias, units)
        else:
            products.add_nothing()
        inner = np.zeros((len(form.order), width(weights["head.weight"])), np.float32)
        inner[-1] = np.asarray(weights.get(f"{name}.bias_hn", 0))
        products.add(*_ordered(weights[f"{name}.weight_hh"], form), inner, units)
    values, scale = _parts(weights["head.weight"])
    products.add(values[None], scale[None], np.asarray(weights["head.bias"])[None], units)


def _rounded(rows: int, gates: int) -> int:
    """Rows of one gate, rounded up to whole blocks."""
    block = LANES if gates > 1 else LANES * VECTORS
    return -(-rows // block) * block


def width(matrix: Floats | QuantizedMatrix) -> int:
    """How many columns it has."""
    return int(_parts(matrix)[0].shape[1])


def _parts(matrix: Floats | QuantizedMatrix) -> tuple[Values, Floats]:
    """Values (R, C) and what one of them is worth in each row (R)."""
    if isinstance(matrix, QuantizedMatrix):
        return matrix.values, matrix.scale
    return matrix, np.ones(len(matrix), np.float32)


def _ordered(matrix: Floats | QuantizedMatrix, form: CellLayout) -> tuple[Values, Floats]:
    """Values (g, n, C) and scale (g, n), the gates in the order of computation, those of sigmoids halved."""
    values, scale = _parts(matrix)
    if isinstance(matrix, QuantizedMatrix):
        return form.in_order(values), form.packed(scale)
    return form.packed(values), form.in_order(scale)


def _table(weights: Weights, form: CellLayout, units: int) -> Floats:
    """What each character adds to the gates of the lowest layer: (V, g x U)."""
    values, scale = _ordered(weights["layers.0.weight_ih"], form)
    matrix = values * scale[..., None] if values.dtype == np.int8 else values
    embedding, worth = _parts(weights["embedding.weight"])
    rows = np.einsum("vc,gnc->vgn", embedding * worth[:, None], matrix, optimize=True)
    rows += form.packed(np.asarray(weights["layers.0.bias"]))
    return np.pad(rows, ((0, 0), (0, 0), (0, units - rows.shape[2]))).reshape(len(rows), -1)


class _Products:
    """Collects the products of a model, then lays them end to end."""

    def __init__(self, *, of_bytes: bool) -> None:
        self.of_bytes = of_bytes
        self._shapes: list[tuple[int, int, int, int]] = []
        self._blocks: list[Values] = []
        self._rows: list[tuple[Floats, npt.NDArray[np.int32], Floats]] = []

    def add_nothing(self) -> None:
        """The input product of the lowest layer, which is a table instead."""
        nothing = np.zeros(0, np.float32)
        self._shapes.append((0, 0, VECTORS, LANES))
        self._blocks.append(nothing)
        self._rows.append((nothing, nothing.astype(np.int32), nothing))

    def add(self, values: Values, scale: Floats, bias: Floats, columns: int) -> None:
        """`values` (g, n, C), `scale` and `bias` (g, n); the input has `columns` numbers, those after C being zero."""
        gates, rows, narrow = values.shape
        units = _rounded(rows, gates)
        values = np.pad(values, ((0, 0), (0, units - rows), (0, columns - narrow)))
        if gates > 1:
            blocks = np.moveaxis(values.reshape(gates, -1, LANES, columns), 0, 1)
        else:
            blocks = values.reshape(-1, VECTORS, LANES, columns)
        if self.of_bytes:
            blocks = blocks.reshape(*blocks.shape[:3], -1, COLUMNS_AT_ONCE)
        self._blocks.append(np.ascontiguousarray(np.moveaxis(blocks, 3, 1)).reshape(-1))
        self._shapes.append((len(blocks), columns, blocks.shape[1], units if gates > 1 else LANES))
        begin = -128 * values.sum(-1, dtype=np.int32) if self.of_bytes else np.zeros((gates, units), np.int32)
        wide = ((0, 0), (0, units - rows))
        self._rows.append((np.pad(scale, wide), begin, np.pad(bias, wide)))

    def model(self, cell: int, layers: int, units: int, alphabet: int, table_MVG: Floats) -> kernels.Model:
        blocks, columns, vectors, stride = np.array(self._shapes, np.int64).T.copy()
        scale, zero, bias = (np.concatenate([rows[i].reshape(-1) for rows in self._rows]) for i in range(3))
        raw = [block.view(np.uint8) for block in self._blocks]
        return kernels.Model(
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
            weights_at_P=_begins([block.size for block in raw]),
            rows_at_P=_begins([rows[0].size for rows in self._rows]),
            weights=np.concatenate(raw),
            scale=scale,
            zero=zero,
            bias=bias,
            table_MVG=table_MVG,
        )


def _begins(sizes: list[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *sizes[:-1]], dtype=np.int64)
