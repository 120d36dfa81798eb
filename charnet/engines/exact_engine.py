"""The engine of models with 8-bit weights, in NumPy: the same logits on every machine, for one text or for many.

`charnet.engines.exact` says why. The state of a layer holds integers h, which the products read, and beside them c, or
the h of a gru before it was rounded.

Shape legend: B texts, H units, G = gates x H, C units below, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.engines import exact
from charnet.engines.exact import TANH, TANH_OF_H, Product, TwoDigitProduct, look_up, on_grid
from charnet.engines.numpy_engine import LAYOUTS, CellLayout, depth
from charnet.storage.quantize import LARGEST, QuantizedMatrix

Array = npt.NDArray[np.float32]
LayerState = tuple[Array, ...]
State = tuple[LayerState, ...]

HALF, WHOLE, STEPS = np.float32(0.5), np.float32(LARGEST), np.float32(exact.STEPS)


def _sigmoid(index: Array) -> Array:
    """Looks up sigmoid: the factors of its argument are halved already."""
    values = look_up(TANH, index)
    values *= HALF
    values += HALF
    return values


def _output(o_BH: Array, c_BH: Array) -> Array:
    """Computes h = o tanh(c) in integers."""
    index = c_BH * STEPS
    index += exact.INDEX_OF_ZERO
    h_BH = look_up(TANH_OF_H, index)
    h_BH *= o_BH
    return np.rint(h_BH, out=h_BH)


def _lstm(a_BG: Array, _: Array, state: LayerState) -> LayerState:
    units = state[0].shape[1]
    gates = look_up(TANH, a_BG)
    ifo = gates[:, : 3 * units]
    ifo *= HALF
    ifo += HALF
    c_BH = ifo[:, units : 2 * units] * state[1]
    c_BH += ifo[:, :units] * gates[:, 3 * units :]
    return _output(ifo[:, 2 * units :], on_grid(c_BH)), c_BH


def _cifg(a_BG: Array, _: Array, state: LayerState) -> LayerState:
    units = state[0].shape[1]
    gates = look_up(TANH, a_BG)
    io = gates[:, : 2 * units]
    io *= HALF
    io += HALF
    c_BH = gates[:, 2 * units :] - state[1]
    c_BH *= io[:, :units]
    c_BH += state[1]
    return _output(io[:, units:], on_grid(c_BH)), c_BH


def _gru(a_BG: Array, x_BG: Array, state: LayerState) -> LayerState:
    units = state[0].shape[1]
    rz = _sigmoid(a_BG[:, : 2 * units] + x_BG[:, : 2 * units])
    n = a_BG[:, 2 * units :] * rz[:, :units]
    n += x_BG[:, 2 * units :]
    n = look_up(TANH, n)
    unrounded_BH = state[1] - n
    unrounded_BH *= rz[:, units:]
    unrounded_BH += n
    on_grid(unrounded_BH)
    return np.rint(unrounded_BH * WHOLE), unrounded_BH


def _rnn_tanh(a_BG: Array, _: Array, __: LayerState) -> LayerState:
    return (look_up(exact.H_TANH, a_BG),)


def _rnn_sigmoid(a_BG: Array, _: Array, __: LayerState) -> LayerState:
    return (look_up(exact.H_SIGMOID, a_BG),)


def _rnn_relu(a_BG: Array, _: Array, __: LayerState) -> LayerState:
    np.rint(a_BG, out=a_BG)
    np.maximum(a_BG, 0, out=a_BG)
    return (np.minimum(a_BG, exact.RELU_LARGEST, out=a_BG),)


class ExactCell(NamedTuple):
    """How a cell is computed.

    Its state has `states` arrays. A unit of a gate, and one of h, have so many steps; `zero` is added for gates.
    """

    update: Callable[[Array, Array, LayerState], LayerState]
    states: int
    gate_steps: int = exact.STEPS
    zero: float = float(exact.INDEX_OF_ZERO)
    h_steps: int = LARGEST
    product: type[Product] = Product


EXACT_CELLS = {
    "lstm": ExactCell(_lstm, 2),
    "cifg": ExactCell(_cifg, 2),
    "gru": ExactCell(_gru, 2),
    "rnn-tanh": ExactCell(_rnn_tanh, 1),
    "rnn-relu": ExactCell(_rnn_relu, 1, exact.RELU_STEPS, 0.0, exact.RELU_STEPS, TwoDigitProduct),
    "rnn-sigmoid": ExactCell(_rnn_sigmoid, 1),
}


class ExactParts(NamedTuple):
    """The weights of a layer as all engines use them, gates in the order of computation.

    Factors turn sums of integers into steps; biases are in steps too. The lowest layer has
    a table (V, G) in place of an input product.
    """

    recurrent: QuantizedMatrix
    recurrent_factor_G: Array
    inner_bias_G: Array
    inputs: QuantizedMatrix | None
    input_factor_G: Array
    bias_G: Array
    table_VG: Array | None


def parts_of(layout_name: str, weights: Mapping[str, Any], layer: int) -> ExactParts:
    """Prepares the weights of a layer; they stay in the table of weights."""
    layout, cell, name = LAYOUTS[layout_name], EXACT_CELLS[layout_name], f"layers.{layer}"
    recurrent, inputs = (_in_order(layout, weights[f"{name}.{each}"]) for each in ("weight_hh", "weight_ih"))
    units = len(recurrent.scale) // len(layout.order)
    is_sigmoid = np.arange(len(layout.order)) < layout.sigmoids
    unit_G = np.repeat(np.where(is_sigmoid, cell.gate_steps / 2, cell.gate_steps), units)
    bias_G = layout.in_order(np.asarray(weights[f"{name}.bias"], np.float64)).reshape(-1)
    inner_G = np.zeros(len(unit_G))
    inner_G[-units:] = weights.get(f"{name}.bias_hn", 0)
    a_step = unit_G / cell.h_steps
    return ExactParts(
        recurrent,
        exact.factor(recurrent.scale * a_step),
        exact.factor(inner_G * unit_G),
        inputs if layer else None,
        exact.factor(inputs.scale * a_step),
        exact.factor(bias_G * unit_G + cell.zero),
        None if layer else exact.input_table(weights["embedding.weight"], inputs, bias_G, unit_G, cell.zero),
    )


def _in_order(layout: CellLayout, matrix: QuantizedMatrix) -> QuantizedMatrix:
    """Returns the matrix with its gates in the order of computation."""
    values, scale = layout.in_order(matrix.values), layout.in_order(matrix.scale)
    return QuantizedMatrix(values.reshape(-1, values.shape[-1]), scale.reshape(-1))


class ExactLayer:
    """One layer of many texts."""

    def __init__(self, layout_name: str, weights: Mapping[str, Any], layer: int) -> None:
        parts = parts_of(layout_name, weights, layer)
        self.layout_name, self.cell = layout_name, EXACT_CELLS[layout_name]
        self._adds = LAYOUTS[layout_name].additive
        self._table_VG, self._bias_G, self.inner_bias_G = parts.table_VG, parts.bias_G, parts.inner_bias_G
        self.units = parts.recurrent.values.shape[1]
        product = self.cell.product
        self._recurrent = product(parts.recurrent.values, parts.recurrent_factor_G)
        self._inputs = product(parts.inputs.values, parts.input_factor_G) if parts.inputs else None

    def start(self, batch: int) -> LayerState:
        """Returns the state before the first character of `batch` texts."""
        return tuple(np.zeros((batch, self.units), np.float32) for _ in range(self.cell.states))

    def advance(self, below: Any, state: LayerState) -> LayerState:
        """Computes the new state.

        Args:
            below: ids of characters for the lowest layer, integers h (B, C) of the layer below for the others.
        """
        a_BG = self._recurrent(state[0])
        if self._inputs is None:
            assert self._table_VG is not None
            x_BG = self._table_VG[below]
        else:
            x_BG = self._inputs(below)
            x_BG += self._bias_G
        return self.update(a_BG, x_BG, state)

    def update(self, a_BG: Array, x_BG: Array, state: LayerState) -> LayerState:
        """Computes the new state from the recurrent product and the input product."""
        if self._adds:
            a_BG += x_BG
        else:
            a_BG += self.inner_bias_G
        return self.cell.update(a_BG, x_BG, state)


class ExactEngine:
    """Runs a model of any cell from its weights of 8 bits.

    Args:
        weights: parameters by their names in a checkpoint, their matrices of 8 bits.
        cell: the name of the cell.
        activation: of the `rnn` cell.
    """

    name, is_exact = "numpy", True
    layer_type: ClassVar[type[ExactLayer]] = ExactLayer

    def __init__(self, weights: Mapping[str, Any], *, cell: str, activation: str = "tanh") -> None:
        layout_name = f"rnn-{activation}" if cell == "rnn" else cell
        self._layers = [self.layer_type(layout_name, weights, i) for i in range(depth(weights))]
        values, factor_V, self._bias_V = head_of(layout_name, weights)
        self._head = EXACT_CELLS[layout_name].product(values, factor_V)

    def start(self, batch: int) -> State:
        return tuple(layer.start(batch) for layer in self._layers)

    @np.errstate(invalid="ignore")  # libraries of linear algebra may say so of products of finite numbers
    def advance(self, ids_B: Sequence[int], state: State) -> tuple[Array, State]:
        below: Any = ids_B
        after = []
        for layer, before in zip(self._layers, state, strict=True):
            layer_state = layer.advance(below, before)
            below = layer_state[0]
            after.append(layer_state)
        logits_BV = self._head(below)
        logits_BV += self._bias_V
        return logits_BV, tuple(after)


def head_of(layout_name: str, weights: Mapping[str, Any]) -> tuple[npt.NDArray[np.int8], Array, Array]:
    """Returns integers (V, H), factors (V) and bias (V) of the head."""
    head = weights["head.weight"]
    factor_V = exact.factor(head.scale / np.float64(EXACT_CELLS[layout_name].h_steps))
    return head.values, factor_V, exact.factor(weights["head.bias"])
