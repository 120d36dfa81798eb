"""Writes tiny models as other programs do, from the definitions of their formats, and computes their losses."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
RANDOM = np.random.default_rng(7)
WIDE = {"Double": np.dtype(np.float64)}
LETTERS = [b"b", b"\xc3\xa9", b" ", b"a", b"\n"]  # of most models here, in an order of their own
TEXT = "a béa\nab é bab"


def random(*shape: int) -> Array:
    return RANDOM.normal(0, 0.6, shape).astype(np.float32)


class LuaObject:
    """An object of a class of Lua; its fields are a dict."""

    def __init__(self, name: str, **fields: Any) -> None:
        self.name, self.fields = name, fields


class LuaFunction:
    """A dumped function with its upvalues."""

    def __init__(self, dumped: bytes, upvalues: Any, kind: int = 8) -> None:
        self.dumped, self.upvalues, self.kind = dumped, upvalues, kind


class LuaTensor:
    """A tensor, of a class such as Float or Cuda."""

    def __init__(self, array: Array, of: str = "Float") -> None:
        self.array, self.of = np.ascontiguousarray(array, WIDE.get(of, array.dtype)), of


def t7(value: Any) -> bytes:
    """Returns a value as the serialization of Torch 7 writes it, each object once."""
    out, seen = bytearray(), dict[int, int]()

    def integer(number: int) -> None:
        out.extend(struct.pack("<i", number))

    def string(text: bytes) -> None:
        integer(len(text))
        out.extend(text)

    def begin(kind: int, item: Any) -> bool:
        integer(kind)
        is_new = id(item) not in seen
        integer(seen.setdefault(id(item), len(seen) + 1))
        return is_new

    def pairs(table: Mapping[Any, Any]) -> None:
        integer(len(table))
        for key, each in table.items():
            write(key)
            write(each)

    def named(name: str) -> None:
        string(b"V 1")
        string(name.encode())

    def tensor(item: LuaTensor) -> None:
        named(f"torch.{item.of}Tensor")
        shape = item.array.shape
        strides = tuple(stride // item.array.itemsize for stride in item.array.strides)
        integer(len(shape))
        out.extend(struct.pack(f"<{2 * len(shape) + 1}q", *shape, *strides, 1))
        integer(4)
        integer(seen.setdefault(id(item.array), len(seen) + 1))
        named(f"torch.{item.of}Storage")
        out.extend(struct.pack("<q", item.array.size) + item.array.tobytes())

    def write(item: Any) -> None:
        item = item.table if isinstance(item, _Key) else item
        if item is None:
            integer(0)
        elif isinstance(item, bool):
            integer(5)
            integer(int(item))
        elif isinstance(item, int | float):
            integer(1)
            out.extend(struct.pack("<d", item))
        elif isinstance(item, bytes | str):
            integer(2)
            string(item if isinstance(item, bytes) else item.encode())
        elif isinstance(item, LuaFunction):
            if item.kind == 6 or begin(item.kind, item):
                if item.kind == 6:
                    integer(6)
                string(item.dumped)
                write(item.upvalues)
        elif isinstance(item, LuaTensor):
            if begin(4, item):
                tensor(item)
        elif isinstance(item, LuaObject):
            if begin(4, item):
                named(item.name)
                kept.append(item.fields)
                write(item.fields)
        elif begin(3, item):
            pairs(item)

    kept: list[Any] = []
    write(value)
    return bytes(out)


def listed(values: Sequence[Any]) -> dict[int, Any]:
    return dict(enumerate(values, 1))


def torch_rnn(
    cell: str = "lstm", layers: int = 2, *, tokens: Sequence[bytes] = LETTERS, normalized: bool = False
) -> dict[str, Any]:
    """Returns a checkpoint of torch-rnn: embeddings of 3, 4 units."""
    width, units, gates = 3, 4, 4 if cell == "lstm" else 1
    modules = [LuaObject("nn.LookupTable", weight=LuaTensor(random(len(tokens), width)))]
    for number in range(layers):
        rows = (units if number else width) + units
        weight, bias = LuaTensor(random(rows, gates * units)), LuaTensor(random(gates * units))
        name = "nn.LSTM" if cell == "lstm" else "nn.VanillaRNN"
        modules.append(LuaObject(name, weight=weight, bias=bias, gradWeight=LuaTensor(random(rows, gates * units))))
        if normalized:
            parts = {n: LuaTensor(random(units)) for n in ("running_mean", "weight", "bias")}
            var = LuaTensor(random(units) ** 2)
            modules += [LuaObject("nn.View"), LuaObject("nn.BatchNormalization", running_var=var, eps=1e-5, **parts)]
        modules.append(LuaObject("nn.Dropout", p=0.25))
    modules += [LuaObject("nn.View"), _linear(units, len(tokens)), LuaObject("nn.View")]
    net = LuaObject("nn.Sequential", modules=listed(modules))
    model = LuaObject("nn.LanguageModel", net=net, idx_to_token=listed(tokens), dropout=0.25, rnns=listed(modules[1:2]))
    return {"opt": {"model_type": cell}, "model": model, "train_loss_history": listed([3.5, 2.25])}


def _linear(inputs: int, outputs: int, of: str = "Float") -> LuaObject:
    return LuaObject("nn.Linear", weight=LuaTensor(random(outputs, inputs), of), bias=LuaTensor(random(outputs), of))


def char_rnn(cell: str = "lstm", layers: int = 2, *, of: str = "Cuda", dropout: float = 0.5) -> dict[str, Any]:
    """Returns a checkpoint of char-rnn, 3 units a layer, with the graph that its source builds."""
    alphabet, units, gates = len(LETTERS), 3, 4 if cell == "lstm" else 1
    nodes: list[LuaObject] = []

    def node(module: LuaObject | None, *parents: LuaObject) -> LuaObject:
        index: dict[Any, Any] = {}
        for number, parent in enumerate(parents, 1):
            index |= {number: parent.fields["data"], _Key(parent.fields["data"]): number}
        data = {"module": module, "mapindex": index, "annotations": {}}
        nodes.append(made := LuaObject("nngraph.Node", data={k: v for k, v in data.items() if v is not None}))
        return made

    split = node(None)
    first, *states = [
        node(LuaObject("nn.Identity"), node(None, split)) for _ in range(1 + layers * (2 if gates > 1 else 1))
    ]
    below, inputs = node(LuaObject("OneHot", outputSize=alphabet), first), alphabet
    for number in range(layers):
        before = states[2 * number + 1 if gates > 1 else number]
        if number and dropout:
            below = node(LuaObject("nn.Dropout", p=dropout), below)
        of_state = node(_linear(units, gates * units, of), before)  # the order of the two is not fixed
        of_input = node(_linear(inputs, gates * units, of), below)
        added = node(LuaObject("nn.CAddTable"), of_input, of_state)
        below = lstm_output(node, added, states[2 * number]) if gates > 1 else node(LuaObject("nn.Tanh"), added)
        inputs = units
    node(LuaObject("nn.LogSoftMax"), node(_linear(units, alphabet, of), below))
    rnn = LuaObject("nn.gModule", forwardnodes=listed(nodes))
    vocab = {token: number for number, token in enumerate(LETTERS, 1)}
    options = {"model": cell, "rnn_size": units, "num_layers": layers, "dropout": dropout}
    return {"protos": {"rnn": rnn}, "opt": options, "vocab": vocab, "val_losses": {1000: 2.0}}


def lstm_output(node: Callable[..., LuaObject], added: LuaObject, c: LuaObject) -> LuaObject:
    """Adds the nodes of char-rnn's LSTM between the sum of its inputs and its output."""
    split = node(None, node(LuaObject("nn.SplitTable"), node(LuaObject("nn.Reshape"), added)))
    i, f, o, g = (node(None, split) for _ in range(4))
    i, f, o = (node(LuaObject("nn.Sigmoid"), each) for each in (i, f, o))
    kept, new = node(LuaObject("nn.CMulTable"), f, c), node(LuaObject("nn.CMulTable"), i, node(LuaObject("nn.Tanh"), g))
    next_c = node(LuaObject("nn.CAddTable"), kept, new)
    return node(LuaObject("nn.CMulTable"), o, node(LuaObject("nn.Tanh"), next_c))


class _Key(dict[Any, Any]):
    """A table that is a key, written as a reference to the table that it stands for."""

    def __init__(self, table: dict[Any, Any]) -> None:
        self.table = table

    def __hash__(self) -> int:
        return id(self.table)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


Step = Callable[[Array, Any], tuple[Array, Any]]


def loss(embed: Callable[[int], Array], steps: Sequence[Step], head: Callable[[Array], Array], ids: Sequence[int],
         before: int) -> float:  # fmt: skip
    """Returns the mean loss in nats of the ids, each predicted from all before it.

    Args:
        before: the id that comes before the first.
    """
    states: list[Any] = [None] * len(steps)
    total = 0.0
    for read, target in zip([before, *ids], ids, strict=False):
        x = embed(read)
        for number, step in enumerate(steps):
            x, states[number] = step(x, states[number])
        logits = head(x)
        total += math.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[target]
    return float(total / len(ids))


def lstm_step(kernel: Array, recurrent: Array, bias: Array, order: str) -> Step:
    """Returns a step of an LSTM with kernels (D, 4H), whose gates are in an order such as ifog."""

    def step(x: Array, state: Any) -> tuple[Array, Any]:
        h, c = state or (np.zeros(len(recurrent)), np.zeros(len(recurrent)))
        gates = dict(zip(order, np.split(x @ kernel + h @ recurrent + bias, 4), strict=True))
        c = sigmoid(gates["f"]) * c + sigmoid(gates["i"]) * np.tanh(gates["g"])
        h = sigmoid(gates["o"]) * np.tanh(c)
        return h, (h, c)

    return step


def rnn_step(kernel: Array, recurrent: Array, bias: Array) -> Step:
    def step(x: Array, state: Any) -> tuple[Array, Any]:
        h = np.zeros(len(recurrent)) if state is None else state
        h = np.tanh(x @ kernel + h @ recurrent + bias)
        return h, h

    return step


def affine_step(scale: Array, shift: Array) -> Step:
    return lambda x, state: (x * scale + shift, state)


def torch_rnn_loss(model: dict[str, Any], ids: Sequence[int], before: int) -> float:
    """Returns the loss of a checkpoint of torch-rnn, computed as its Lua does."""
    steps: list[Step] = []
    first, *_ = modules = list(model["model"].fields["net"].fields["modules"].values())
    for module in modules:
        f = {name: each.array.astype(np.float64) for name, each in module.fields.items() if isinstance(each, LuaTensor)}
        if module.name in ("nn.LSTM", "nn.VanillaRNN"):
            units = f["weight"].shape[1] // (4 if module.name == "nn.LSTM" else 1)
            kernels = f["weight"][:-units], f["weight"][-units:], f["bias"]
            steps.append(lstm_step(*kernels, "ifog") if module.name == "nn.LSTM" else rnn_step(*kernels))
        elif module.name == "nn.BatchNormalization":
            scale = f["weight"] / np.sqrt(f["running_var"] + module.fields["eps"])
            steps.append(affine_step(scale, f["bias"] - f["running_mean"] * scale))
        elif module.name == "nn.Linear":
            last = f
    embedding = first.fields["weight"].array
    return loss(embedding.__getitem__, steps, lambda h: last["weight"] @ h + last["bias"], ids, before)


def char_rnn_loss(model: dict[str, Any], ids: Sequence[int], before: int) -> float:
    """Returns the loss of a checkpoint of char-rnn: the linear modules are of state and input of each layer in turn."""
    nodes = model["protos"]["rnn"].fields["forwardnodes"].values()
    found = [n.fields["data"].get("module") for n in nodes]
    linear = [(m.fields["weight"].array, m.fields["bias"].array) for m in found if m and m.name == "nn.Linear"]
    *inner, (weight, bias) = linear
    steps: list[Step] = []
    for (w_hh, b_hh), (w_ih, b_ih) in zip(inner[::2], inner[1::2], strict=True):
        kernels = w_ih.T, w_hh.T, b_ih + b_hh
        steps.append(lstm_step(*kernels, "ifog") if len(w_hh) > w_hh.shape[1] else rnn_step(*kernels))
    return loss(np.eye(len(LETTERS)).__getitem__, steps, lambda h: weight @ h + bias, ids, before)


def keras_variables(layers: Mapping[str, Sequence[Array]]) -> bytes:
    """Returns the weights file of Keras 3 with the variables of layers, by their groups."""
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as h5:
        for group, variables in layers.items():
            made = h5.create_group(f"layers/{group}/vars")
            for number, variable in enumerate(variables):
                made[str(number)] = variable
    return out.getvalue()


def keras_2_file(config: dict[str, Any], layers: Mapping[str, Sequence[Array]]) -> bytes:
    """Returns the file of Keras 2, of layers that have the names of their groups in Keras 3."""
    import h5py

    out, names = io.BytesIO(), ("kernel:0", "recurrent_kernel:0", "bias:0")
    with h5py.File(out, "w") as h5:
        h5.attrs["model_config"] = json.dumps(config)
        for group, variables in layers.items():
            name = group.removesuffix("/cell")
            made = h5.create_group(f"model_weights/{name}")
            listed_names = [f"{name}/{each}" for each in (names if len(variables) == 3 else names[::2])][
                : len(variables)
            ]
            made.attrs["weight_names"] = [each.encode() for each in listed_names]
            for each, variable in zip(listed_names, variables, strict=True):
                made[each] = variable
    return out.getvalue()


def keras_archive(config: Any, weights: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    return out.getvalue()


def keras_layer(kind: str, **settings: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": {"name": kind.lower(), **settings}}


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "sequential", "layers": list(layers)}}


def write_text(folder: Path, text: str = TEXT) -> Path:
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return path
