"""The nodes of an ONNX graph: matrices in single precision or of 8 bits, and a recurrent layer by one operator.

ONNX has the LSTM, the GRU and the RNN of all activations; the forget gate of a CIFG becomes one of an LSTM, as in
`charnet.exchange.plain`. (The operator's `input_forget` would say the same, but not every runtime knows it.)

Shape legend: T characters in a window, B texts, H hidden units, G = gates x H, E inputs of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from charnet.config import GATES
from charnet.exchange.plain import Matrix, recurrent_bias, stacked
from charnet.storage.quantize import QuantizedMatrix

OPERATORS = {"lstm": "LSTM", "cifg": "LSTM", "gru": "GRU", "rnn": "RNN"}
# The gates of ONNX in its order, as in `plain.ORDERS`: i o f g of an LSTM, z r n of a GRU.
ORDERS = {"lstm": (1, 4, 2, 3), "cifg": (1, 3, -1, 2), "gru": (2, 1, 3), "rnn": (1,)}
ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}
STATES = {"lstm": ("h", "c"), "cifg": ("h", "c"), "gru": ("h",), "rnn": ("h",)}


class Nodes:
    """Collects the nodes and constants of a graph. What it returns are names of values."""

    def __init__(self) -> None:
        self.nodes = list[NodeProto]()
        self.constants = dict[str, TensorProto]()

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def add(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        name = next(filter(None, outputs))
        self.nodes.append(helper.make_node(operator, inputs, outputs, name, **attributes))

    def compute(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds a node with one output."""
        self.add(operator, inputs, [output], **attributes)
        return output

    def matrix(self, name: str, value: Matrix, axis: int = 0) -> str:
        """Adds a matrix (R, C), each of whose rows may have 8 bits and a scale, in three dimensions where `axis` is 1.

        A runtime multiplies rows and scales once, when it loads the file.
        """
        before = (None,) * axis
        if not isinstance(value, QuantizedMatrix):
            return self.constant(name, value[before])
        rows = self.constant(f"{name}.int8", value.values[before])
        scale = self.constant(f"{name}.scale", value.scale[(*before, slice(None), None)])
        whole = self.compute("Cast", [rows], f"{name}.rows", to=TensorProto.FLOAT)
        return self.compute("Mul", [whole, scale], name)


def add_layer(
    nodes: Nodes,
    network: Mapping[str, Any],
    layer: int,
    *,
    prefix: str,
    cell: str,
    activation: str,
    x: str,
    state: Sequence[str],
) -> tuple[str, list[str]]:
    """Adds a recurrent layer.

    Args:
        network: its parameters by their names in a checkpoint, matrices perhaps of 8 bits.
        prefix: of the names in the graph.
        x: the input (T, B, E).
        state: h, and c of an LSTM, (1, B, H) each.

    Returns:
        The hidden states (T, B, H), and the state after the last character.
    """
    order, ours, name = ORDERS[cell], f"layers.{layer}.", f"{prefix}layer{layer}."
    w = nodes.matrix(f"{name}W", stacked(network[f"{ours}weight_ih"], order), 1)
    r = nodes.matrix(f"{name}R", stacked(network[f"{ours}weight_hh"], order), 1)
    biases = (network[f"{ours}bias"], recurrent_bias(network, layer, cell))
    b = nodes.constant(f"{name}B", np.concatenate([stacked(each, order) for each in biases])[None])
    after = [f"{name}{each}" for each in STATES[cell]]
    more: dict[str, Any] = {"hidden_size": biases[0].size // GATES[cell]}
    if cell == "gru":
        more["linear_before_reset"] = 1  # as cuDNN and charnet compute it
    if cell == "rnn":
        more["activations"] = [ACTIVATIONS[activation]]
    nodes.add(OPERATORS[cell], [x, w, r, b, "", *state], [f"{name}Y", *after], **more)
    axis = nodes.constant("axis_of_directions", np.array([1], np.int64))
    return nodes.compute("Squeeze", [f"{name}Y", axis], f"{name}out"), after
