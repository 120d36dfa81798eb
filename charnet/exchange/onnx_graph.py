"""A model as an ONNX graph: a window of any length, a single character among them, with the state in and out.

    ids (B, T)                  int64: the characters of B texts
    h, c (N, B, H)              float: the state before the first of them, zeros at the start of a text. N = members x
                                layers, the layers of the first network first. Only LSTMs have a c.
    logits (B, T, V)            float: of the character after each of them
    new_h, new_c (N, B, H)      float: the state after the last of them

The logits of an ensemble are the logarithms of the mean probabilities. What the model is stands in the metadata; see
`charnet.exchange.about`.

Shape legend: B texts, T characters in a window, N layers of all networks, H hidden units, V characters in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, ValueInfoProto, helper

from charnet.errors import ConfigError
from charnet.exchange import about
from charnet.exchange.onnx_cells import STATES, Nodes, add_layer
from charnet.exchange.plain import networks
from charnet.storage.quantize import QuantizedMatrix
from charnet.version import __version__

if TYPE_CHECKING:
    from charnet.config import ModelSettings
    from charnet.storage.checkpoint import Checkpoint

OPSET, IR_VERSION = 17, 9
LARGEST = 2_000_000_000  # bytes of weights: Protocol Buffers end at 2 GiB


def build(model: Checkpoint, *, int8: bool = False) -> bytes:
    """Returns the file of a model.

    Args:
        int8: stores matrices of 8 bits with a scale for each row: those of the checkpoint, or as `quantize` rounds.

    Raises:
        ConfigError: the model is too large for the format.
        DivergedError: a weight is too large for 8 bits.
    """
    model = model.quantize() if int8 else model
    weights: Mapping[str, Any] = model.stored_weights if int8 else model.weights
    if (size := sum(map(_size, weights.values()))) > LARGEST:
        advice = "use --safetensors" if int8 else "use --int8, or --safetensors"
        raise ConfigError(f"--onnx: expected at most {LARGEST:,} bytes of weights, found {size:,}; {advice}")
    graph = _graph(model, weights)
    opset = [helper.make_opsetid("", OPSET)]
    whole = helper.make_model(
        graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="charnet", producer_version=__version__
    )
    facts = about.metadata(model) | {"precision": "int8" if int8 else "fp32"}
    helper.set_model_props(whole, facts)
    onnx.checker.check_model(whole, full_check=True)
    return bytes(whole.SerializeToString(deterministic=True))


def _size(weight: Any) -> int:
    return int(weight.values.nbytes if isinstance(weight, QuantizedMatrix) else weight.nbytes)


def _graph(model: Checkpoint, weights: Mapping[str, Any]) -> onnx.GraphProto:
    shape, nodes = model.config.model, Nodes()
    kinds = STATES[shape.cell]
    count = shape.members * shape.num_layers
    before = {kind: _split(nodes, kind, count) for kind in kinds}
    after: dict[str, list[str]] = {kind: [] for kind in kinds}
    logits = []
    for index, (_, network) in enumerate(networks(model, weights)):
        part = slice(index * shape.num_layers, (index + 1) * shape.num_layers)
        state = list(zip(*(before[kind][part] for kind in kinds), strict=True))
        prefix = f"member{index}." if shape.members > 1 else ""
        logits_TBV, states = _add_network(nodes, network, shape, prefix, state)
        logits.append(logits_TBV)
        for kind, values in zip(kinds, zip(*states, strict=True), strict=True):
            after[kind] += values
    mean_TBV = logits[0] if len(logits) == 1 else _add_mean(nodes, logits)
    nodes.compute("Transpose", [mean_TBV], "logits", perm=[1, 0, 2])
    for kind in kinds:
        nodes.compute("Concat", after[kind], f"new_{kind}", axis=0)
    of_state: list[str | int] = [count, "batch", shape.hidden_size]
    inputs = [_value("ids", TensorProto.INT64, ["batch", "time"]), *(_float(kind, of_state) for kind in kinds)]
    outputs = [_float("logits", ["batch", "time", len(model.vocab)]), *(_float(f"new_{k}", of_state) for k in kinds)]
    return helper.make_graph(nodes.nodes, "charnet", inputs, outputs, list(nodes.constants.values()))


def _value(name: str, kind: int, shape: Sequence[str | int]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _float(name: str, shape: Sequence[str | int]) -> ValueInfoProto:
    return _value(name, TensorProto.FLOAT, shape)


def _split(nodes: Nodes, name: str, count: int) -> list[str]:
    """Splits a state (N, B, H) into one (1, B, H) for each layer."""
    if count == 1:
        return [name]
    parts = [f"{name}{index}" for index in range(count)]
    nodes.add("Split", [name], parts, axis=0)
    return parts


def _add_network(
    nodes: Nodes, network: Mapping[str, Any], shape: ModelSettings, prefix: str, state: Sequence[Sequence[str]]
) -> tuple[str, list[list[str]]]:
    """Adds a network; returns its logits (T, B, V) and the states of its layers after the last character."""
    table = nodes.matrix(f"{prefix}embedding", network["embedding.weight"])
    ids_TB = nodes.compute("Transpose", ["ids"], f"{prefix}ids.columns", perm=[1, 0])
    x = nodes.compute("Gather", [table, ids_TB], f"{prefix}x")
    after = []
    for layer, before in enumerate(state):
        x, states = add_layer(
            nodes, network, layer, prefix=prefix, cell=shape.cell, activation=shape.activation, x=x, state=before
        )
        after.append(states)
    rows = nodes.matrix(f"{prefix}head", network["head.weight"])
    columns = nodes.compute("Transpose", [rows], f"{prefix}head.columns", perm=[1, 0])
    product = nodes.compute("MatMul", [x, columns], f"{prefix}product")
    bias = nodes.constant(f"{prefix}head.bias", network["head.bias"])
    return nodes.compute("Add", [product, bias], f"{prefix}logits_of_time"), after


def _add_mean(nodes: Nodes, logits: Sequence[str]) -> str:
    """Adds the logarithm of the mean of probabilities: the largest logarithm is taken out, so that none underflows."""
    logs = [nodes.compute("LogSoftmax", [each], f"{each}.log", axis=-1) for each in logits]
    largest = nodes.compute("Max", logs, "largest")
    shifted = [nodes.compute("Sub", [each, largest], f"{each}.shifted") for each in logs]
    shares = [nodes.compute("Exp", [each], f"{each}.exp") for each in shifted]
    total = nodes.compute("Sum", shares, "total")
    log = nodes.compute("Log", [total], "total.log")
    number = nodes.constant("log_of_members", np.array(math.log(len(logits)), np.float32))
    return nodes.compute("Sub", [nodes.compute("Add", [log, largest], "sum"), number], "mean")
