"""The weights of a model with the names and layouts of PyTorch, in single precision.

    embedding.weight     (V, E)
    rnn.weight_ih_l0     (G, E), from the second layer on (G, H); rnn.weight_hh_l0 (G, H)
    rnn.bias_ih_l0       (G); rnn.bias_hh_l0 (G): zeros, but for the recurrent bias of a GRU's candidate
    head.weight          (V, H); head.bias (V)

The network `members.0.` of an ensemble, and each other one, has all of these. The layers are those of `torch.nn.LSTM`,
`GRU` or `RNN`, gates in PyTorch's order. Two cells that PyTorch lacks become ones that it has, exactly:

    cifg            an LSTM. Its forget gate 1 - sigmoid(a) is sigmoid(-a), so its weights are those of the input gate
                    with the other sign.
    rnn, sigmoid    an RNN with tanh. sigmoid(a) is (1 + tanh(a / 2)) / 2, so with t = 2 h - 1 in the place of h the
                    weights are halved for each of the two factors, and half the sums of their rows go into the
                    bias. Its state begins at -1 where that of others begins at 0.

Shape legend: V characters in the alphabet, E size of the embedding, H hidden units, G = gates x H.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from charnet.config import GATES
from charnet.exchange import about
from charnet.model.shapes import member_prefixes
from charnet.storage.quantize import QuantizedMatrix

if TYPE_CHECKING:
    from charnet.storage.checkpoint import Checkpoint

Array = npt.NDArray[np.float32]
Matrix = Array | QuantizedMatrix
# The gates of PyTorch in its order: the number of a gate in the checkpoint, from 1; its weights negated if below 0.
CLASSES = {"lstm": "LSTM", "cifg": "LSTM", "gru": "GRU", "rnn": "RNN"}
ORDERS = {"lstm": (1, 2, 3, 4), "cifg": (1, -1, 2, 3), "gru": (1, 2, 3), "rnn": (1,)}


def networks(model: Checkpoint, weights: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the prefix of each network of a model, and its parameters without it."""
    for prefix in member_prefixes(model.config.model):
        yield prefix, {name[len(prefix) :]: each for name, each in weights.items() if name.startswith(prefix)}


def stack(rows: npt.NDArray[Any], order: tuple[int, ...]) -> npt.NDArray[Any]:
    """Returns the rows of gates in another order.

    Args:
        rows: (gates x H, ...).
        order: numbers of gates from 1; a negative one has its sign changed.

    >>> stack(np.array([1, 2, 3, 4]), (2, -1)).tolist()
    [3, 4, -1, -2]
    """
    gates = rows.reshape(max(map(abs, order)), -1, *rows.shape[1:])
    return np.concatenate([gates[each - 1] if each > 0 else -gates[-each - 1] for each in order])


def stacked(matrix: Matrix, order: tuple[int, ...]) -> Matrix:
    """Does the same for a matrix that may have rows of 8 bits."""
    if not isinstance(matrix, QuantizedMatrix):
        return stack(matrix, order)
    return QuantizedMatrix(stack(matrix.values, order), stack(matrix.scale, tuple(map(abs, order))))


def recurrent_bias(network: Mapping[str, Array], layer: int, cell: str) -> Array:
    """Returns the bias of the recurrent product, (G) in the order of the checkpoint: zeros, but for a GRU."""
    rows = np.zeros_like(network[f"layers.{layer}.bias"])
    if cell == "gru":
        inner = network[f"layers.{layer}.bias_hn"]
        rows[-len(inner) :] = inner
    return rows


def tensors(model: Checkpoint) -> dict[str, Array]:
    """Returns the weights by the names at the top of this module."""
    shape = model.config.model
    found = {}
    for prefix, network in networks(model, model.weights):
        if has_shifted_state(model):
            network = _as_tanh(network, shape.num_layers)
        for name, tensor in _of_network(network, shape.cell, shape.num_layers):
            found[prefix + name] = np.ascontiguousarray(tensor, np.float32)
    return found


def has_shifted_state(model: Checkpoint) -> bool:
    """Returns whether the state of the exported layers begins at -1."""
    return (model.config.model.cell, model.config.model.activation) == ("rnn", "sigmoid")


def remarks(model: Checkpoint, *, as_torch: bool, int8: bool) -> list[str]:
    """Returns how an exported file differs from its checkpoint.

    Args:
        as_torch: the file holds these tensors.
        int8: it has 8-bit weights.
    """
    found = []
    if as_torch and has_shifted_state(model):
        found.append("the rnn with sigmoid as one with tanh, whose state begins at -1")
    if as_torch and model.config.model.cell == "cifg":
        found.append("the cifg as an LSTM")
    if model.precision == "int8" and not int8:
        found.append("8-bit weights as numbers of 32 bits")
    if left_out := about.left_out(model):
        found.append(f"without the {left_out}: the logits are those of the networks alone")
    return found


def _of_network(network: Mapping[str, Array], cell: str, layers: int) -> Iterator[tuple[str, Array]]:
    order = ORDERS[cell]
    assert max(order) == GATES[cell]
    yield "embedding.weight", network["embedding.weight"]
    for layer in range(layers):
        for ours, theirs in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias", "bias_ih")):
            yield f"rnn.{theirs}_l{layer}", stack(network[f"layers.{layer}.{ours}"], order)
        yield f"rnn.bias_hh_l{layer}", stack(recurrent_bias(network, layer, cell), order)
    yield "head.weight", network["head.weight"]
    yield "head.bias", network["head.bias"]


def _as_tanh(network: Mapping[str, Array], layers: int) -> dict[str, Array]:
    """Returns the weights of a network with tanh whose states are 2 h - 1, where h are those of one with sigmoid."""
    changed = dict(network)
    for layer in range(layers):
        name = f"layers.{layer}."
        below = 0.5 if layer else 1.0  # the embedding stays as it is
        w_ih, w_hh = network[name + "weight_ih"], network[name + "weight_hh"]
        bias = network[name + "bias"] + 0.5 * w_hh.sum(axis=1, dtype=np.float64)
        if layer:
            bias += 0.5 * w_ih.sum(axis=1, dtype=np.float64)
        changed[name + "weight_ih"], changed[name + "weight_hh"] = 0.5 * below * w_ih, 0.25 * w_hh
        changed[name + "bias"] = 0.5 * bias
    head = network["head.weight"]
    changed["head.weight"] = 0.5 * head
    changed["head.bias"] = network["head.bias"] + 0.5 * head.sum(axis=1, dtype=np.float64)
    return changed
