"""The engine that needs only NumPy. Without torch, the first character comes a tenth of a second after the start.

Three things make it fast. The input product of the lowest layer is a row of a table over the alphabet, computed once.
Since sigmoid(x) = tanh(x / 2) / 2 + 1 / 2, those weights are halved in advance, and one tanh computes all gates.
Products go into arrays that are allocated already, one set for each thread; only the state, which is a value, is a new
array at each step.

Shape legend: B texts, H units, G = gates x H, C = units below + H, V characters in the alphabet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.engines.base import Weights

Array = npt.NDArray[np.float32]
LayerState = tuple[Array, ...]
State = tuple[LayerState, ...]


@dataclass(frozen=True)
class CellLayout:
    """How this engine computes a cell.

    `order` lists the stored gates in the order of computation, sigmoid gates first, and `sigmoids` is the number of
    those. `states` is the number of arrays in the state. A cell is `additive` if it needs only the sum of the input
    product and the recurrent product.
    """

    order: tuple[int, ...]
    sigmoids: int
    states: int
    additive: bool
    update: Callable[[Array, Array, LayerState], LayerState]

    def in_order(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns a copy of the rows (G, ...) as (gates, H, ...), the gates in the order of computation."""
        return stored.reshape(len(self.order), -1, *stored.shape[1:])[list(self.order)]

    def packed(self, stored: Array) -> Array:
        """Returns the same with the rows of the sigmoid gates halved."""
        blocks = self.in_order(stored)
        blocks[: self.sigmoids] *= 0.5
        return blocks


def _activate(a_BG: Array, sigmoids: int) -> Array:
    """Applies tanh to the last gate and sigmoid to the others, whose weights are halved already."""
    np.tanh(a_BG, out=a_BG)
    gates = a_BG[:, : a_BG.shape[1] * sigmoids // (sigmoids + 1)]
    gates *= 0.5
    gates += 0.5
    return a_BG


def _lstm(a_BG: Array, _: Array, state: LayerState) -> LayerState:
    units = state[0].shape[1]
    gates = _activate(a_BG, 3)
    c_BH = gates[:, units : 2 * units] * state[1]
    c_BH += gates[:, :units] * gates[:, 3 * units :]
    h_BH = np.tanh(c_BH)
    h_BH *= gates[:, 2 * units : 3 * units]
    return h_BH, c_BH


def _cifg(a_BG: Array, _: Array, state: LayerState) -> LayerState:
    units = state[0].shape[1]
    gates = _activate(a_BG, 2)
    c_BH = gates[:, 2 * units :] - state[1]
    c_BH *= gates[:, :units]
    c_BH += state[1]
    h_BH = np.tanh(c_BH)
    h_BH *= gates[:, units : 2 * units]
    return h_BH, c_BH


def _gru(a_BG: Array, x_BG: Array, state: LayerState) -> LayerState:
    units = state[0].shape[1]
    rz = a_BG[:, : 2 * units]
    rz += x_BG[:, : 2 * units]
    np.tanh(rz, out=rz)
    rz *= 0.5
    rz += 0.5
    n = a_BG[:, 2 * units :]
    n *= rz[:, :units]
    n += x_BG[:, 2 * units :]
    np.tanh(n, out=n)
    h_BH = state[0] - n
    h_BH *= rz[:, units:]
    h_BH += n
    return (h_BH,)


def _rnn_tanh(a_BG: Array, _: Array, __: LayerState) -> LayerState:
    return (np.tanh(a_BG),)


def _rnn_relu(a_BG: Array, _: Array, __: LayerState) -> LayerState:
    return (np.maximum(a_BG, 0),)


def _rnn_sigmoid(a_BG: Array, _: Array, __: LayerState) -> LayerState:
    h_BH = np.tanh(a_BG)
    h_BH *= 0.5
    h_BH += 0.5
    return (h_BH,)


LAYOUTS = {
    "lstm": CellLayout((0, 1, 3, 2), 3, 2, True, _lstm),
    "cifg": CellLayout((0, 2, 1), 2, 2, True, _cifg),
    "gru": CellLayout((0, 1, 2), 2, 1, False, _gru),
    "rnn-tanh": CellLayout((0,), 0, 1, True, _rnn_tanh),
    "rnn-relu": CellLayout((0,), 0, 1, True, _rnn_relu),
    "rnn-sigmoid": CellLayout((0,), 1, 1, True, _rnn_sigmoid),
}


class Products(NamedTuple):
    """Arrays for the products of a layer: what one step writes, the next one overwrites."""

    recurrent_BG: Array
    input_BG: Array
    joined_BC: Array


class Layer:
    """The weights of one layer in the order of its `CellLayout`.

    An upper layer of an additive cell computes its input product and its recurrent product as one product of the joined
    matrices with the joined vectors. This halves the calls, and the product is large enough for two threads.
    """

    def __init__(self, layout_name: str, weights: Weights, prefix: str, embedding: Array | None) -> None:
        layout = LAYOUTS[layout_name]

        def packed(name: str) -> Array:
            stored = weights.pop(f"{prefix}.{name}")
            return layout.packed(stored).reshape(stored.shape)

        self.layout_name, self.layout, self.bias = layout_name, layout, packed("bias")
        self.table = None if embedding is None else embedding @ packed("weight_ih").T + self.bias
        self.joins = layout.additive and self.table is None
        inputs = [] if self.table is not None else [packed("weight_ih")]
        recurrent = packed("weight_hh")
        self.units = recurrent.shape[1]
        self.inner_bias = weights.pop(f"{prefix}.bias_hn", np.zeros(self.units, np.float32))
        self.hidden_product = (np.concatenate([*inputs, recurrent], axis=1) if self.joins else recurrent).T
        self.input_product = inputs[0].T if inputs and not self.joins else np.zeros((0, 0), np.float32)

    def start(self, batch: int) -> LayerState:
        """Returns the state before the first character of `batch` texts."""
        return tuple(np.zeros((batch, self.units), np.float32) for _ in range(self.layout.states))

    def allocate(self, batch: int) -> Products:
        """Allocates the arrays for the products of `batch` texts."""
        gates, columns = len(self.bias), len(self.hidden_product)
        # Zeros, since a NaN left in memory would warn.
        return Products(*(np.zeros((batch, width), np.float32) for width in (gates, gates, columns)))

    def advance(self, below: Any, state: LayerState, products: Products) -> LayerState:
        """Computes the new state.

        Args:
            below: ids of characters for the lowest layer, hidden states (B, H) of the layer below for the others.
        """
        a_BG, x_BG, joined_BC = products
        if self.joins:
            joined_BC[:, : -self.units] = below
            joined_BC[:, -self.units :] = state[0]
            np.dot(joined_BC, self.hidden_product, out=a_BG)
            return self.update(a_BG, self.bias[None], None, state)
        np.dot(state[0], self.hidden_product, out=a_BG)
        if not self.layout.additive:
            a_BG[:, 2 * self.units :] += self.inner_bias
        if self.table is not None:
            return self.update(a_BG, self.table, below, state)
        np.dot(below, self.input_product, out=x_BG)
        x_BG += self.bias
        return self.update(a_BG, x_BG, None, state)

    def update(self, a_BG: Array, x: Array, rows_B: Sequence[int] | None, state: LayerState) -> LayerState:
        """Computes the new state from the recurrent product and the input product.

        The input products are the rows `rows_B` of `x`; without `rows_B`, all of `x` or its only row for each text.
        """
        if rows_B is not None:
            x = x[rows_B]
        if self.layout.additive:
            a_BG += x
        return self.layout.update(a_BG, x, state)


def depth(weights: Mapping[str, Any]) -> int:
    """Returns how many layers a network has."""
    return sum(name.endswith(".weight_hh") for name in weights)


class _Workspace(threading.local):
    """The arrays that a step overwrites. Each thread has its own, so that several can write with one model."""

    logits_BV: Array = np.empty((0, 0), np.float32)
    products: tuple[Products, ...] = ()


class NumpyEngine:
    """Runs a model of any cell from its stored weights.

    Args:
        weights: parameters by their names in a checkpoint. Each is removed from this table when it has been packed, so
            that memory need not hold it twice.
        cell: the name of the cell.
        activation: of the `rnn` cell.
    """

    name, is_exact = "numpy", False
    layer_type: ClassVar[type[Layer]] = Layer

    def __init__(self, weights: Weights, *, cell: str, activation: str = "tanh") -> None:
        layout_name = f"rnn-{activation}" if cell == "rnn" else cell
        layers = range(depth(weights))
        embedding = weights.pop("embedding.weight")
        self._layers = [self.layer_type(layout_name, weights, f"layers.{i}", None if i else embedding) for i in layers]
        self._head, self._head_bias = weights.pop("head.weight").T, weights.pop("head.bias")
        self._workspace = _Workspace()

    def start(self, batch: int) -> State:
        return tuple(layer.start(batch) for layer in self._layers)

    @np.errstate(over="ignore", invalid="ignore")  # a diverged model is reported where a symbol is sampled
    def advance(self, ids_B: Sequence[int], state: State) -> tuple[Array, State]:
        arrays = self._workspace
        if len(arrays.logits_BV) != len(ids_B):
            arrays.products = tuple(layer.allocate(len(ids_B)) for layer in self._layers)
            arrays.logits_BV = np.zeros((len(ids_B), len(self._head_bias)), np.float32)
        below: Any = ids_B
        after = []
        for layer, before, products in zip(self._layers, state, arrays.products, strict=True):
            layer_state = layer.advance(below, before, products)
            below = layer_state[0]
            after.append(layer_state)
        logits_BV = np.dot(below, self._head, out=arrays.logits_BV)
        logits_BV += self._head_bias
        return logits_BV, tuple(after)
