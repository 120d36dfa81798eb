"""Models of torch-rnn (Johnson 2016): `nn.LanguageModel` in a file of Torch 7.

A layer holds weight (D + H, G H) and bias (G H): the gates of `nn.LSTM` are i, f, o, g, `nn.VanillaRNN` has one block.
Batch normalization between layers is an affine map once the training is over, and becomes part of the next weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charnet.errors import CheckpointError, quoted
from charnet.exchange import t7
from charnet.exchange.alphabet import in_order
from charnet.exchange.imported import Imported, Layer, Matrix, at_least_single, reorder
from charnet.exchange.old_file import damaged, unfit

CELLS = {"nn.LSTM": ("lstm", (0, 1, 3, 2)), "nn.VanillaRNN": ("rnn", (0,))}
WITHOUT_WEIGHTS = ("nn.View", "nn.Dropout")


def is_one(content: Any) -> bool:
    """Returns whether the content of a file of Torch 7 is a model of torch-rnn."""
    model = content.get(b"model") if isinstance(content, t7.Table) else None
    return isinstance(model, t7.Instance) and model.name == "nn.LanguageModel"


def convert(path: Path, content: Any) -> Imported:
    """Converts a model.

    Args:
        path: the file, for messages.
        content: of the file, for which `is_one` holds.

    Raises:
        CheckpointError: it is damaged, or has parts that charnet has no form for.
    """
    model = content[b"model"]
    modules = sequence(path, model.get("net"))
    if not modules or modules[0].name != "nn.LookupTable" or modules[-1].name != "nn.Linear":
        raise unfit(path, "found other modules than an embedding, recurrent layers and a linear one")
    check_sizes(path, modules)
    first, *between, last = modules
    layers: list[Layer] = []
    cells, scale, shift = [], np.ones(1), np.zeros(1)
    for module in between:
        if module.name == "nn.BatchNormalization":
            scale, shift = _normalization(path, module)
        elif module.name not in CELLS:
            raise unfit(path, f"found a module {quoted(module.name)}")
        else:
            layers.append(_after(path, _layer(path, module), scale, shift))
            cells.append(CELLS[module.name][0])
            scale, shift = np.ones(1), np.zeros(1)
    if not layers or len(set(cells)) > 1:
        raise unfit(path, "found no recurrent layers, or layers of several kinds")
    weight, bias = tensor(path, last, "weight", 2), tensor(path, last, "bias", 1)
    if scale.size not in (1, weight.shape[1]) or len(bias) != len(weight):
        raise damaged(path, "batch normalization or a bias of other shapes")
    return Imported(
        source="torch-rnn",
        cell=cells[0],
        layers=layers,
        embedding_VD=tensor(path, first, "weight", 2),
        head_weight=_scaled(weight, scale),
        head_bias=bias + _moved(weight, shift),
        tokens=tokens(path, model.get("idx_to_token")),
        dropout=dropout_rate(model.get("dropout")),
        left_out=("gradients", "history of losses"),
    )


def sequence(path: Path, net: Any) -> list[t7.Instance]:
    """Returns the modules of an `nn.Sequential` that compute something."""
    found = net.get("modules") if isinstance(net, t7.Instance) else None
    modules = found.sequence() if isinstance(found, t7.Table) else []
    if not all(isinstance(module, t7.Instance) for module in modules):
        raise damaged(path, "modules that are none")
    return [module for module in modules if module.name not in WITHOUT_WEIGHTS]


def tensor(path: Path, module: t7.Instance, name: str, dimensions: int) -> Matrix:
    """Returns a parameter of a module, a vector in double precision.

    Raises:
        CheckpointError: it is missing, damaged, or has another number of dimensions.
    """
    found = module.get(name)
    try:
        array = found.array() if isinstance(found, t7.Tensor) else None
    except ValueError as error:
        raise damaged(path, f"{error} as {name} of {quoted(module.name)}") from None
    if array is None or array.ndim != dimensions or not array.size:
        raise damaged(path, f"no {name} of {dimensions} dimensions in {quoted(module.name)}")
    return np.asarray(array, np.float64) if dimensions == 1 else at_least_single(array)


def check_sizes(path: Path, modules: Sequence[t7.Instance]) -> None:
    """Checks that the parameters of modules do not overlap: of a small storage they could make a huge model."""
    found = [module.get(name) for module in modules for name in ("weight", "bias")]
    tensors = [tensor for tensor in found if isinstance(tensor, t7.Tensor) and tensor.storage is not None]
    stored = {id(tensor.storage): tensor.storage.size for tensor in tensors if tensor.storage is not None}
    if sum(math.prod(tensor.shape) for tensor in tensors) > sum(stored.values()):
        raise damaged(path, "weights that overlap")


def tokens(path: Path, table: Any) -> list[bytes]:
    """Returns the symbols of a table from ids to tokens."""
    try:
        found = in_order(table) if isinstance(table, t7.Table) else []
    except ValueError as error:
        raise damaged(path, str(error)) from None
    if not found or not all(isinstance(token, bytes) for token in found):
        raise damaged(path, "no alphabet")
    return found


def dropout_rate(value: Any) -> float:
    """Returns a dropout rate of a file, or 0 if it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 0.95 else 0.0


def _layer(path: Path, module: t7.Instance) -> Layer:
    weight, bias = tensor(path, module, "weight", 2).T, tensor(path, module, "bias", 1)
    _, blocks = CELLS[module.name]
    rows, columns = weight.shape
    units, remainder = divmod(rows, len(blocks))
    if remainder or columns <= units or bias.shape != (rows,):
        raise damaged(path, f"weights of shape {weight.T.shape} in {quoted(module.name)}")
    weight = reorder(weight, blocks)
    return Layer(weight[:, :-units], weight[:, -units:], reorder(bias, blocks))


def _after(path: Path, layer: Layer, scale: Matrix, shift: Matrix) -> Layer:
    """Returns a layer that reads x as the given one reads scale * x + shift."""
    if scale.size not in (1, layer.weight_ih.shape[1]):
        raise damaged(path, "batch normalization of other shapes")
    return Layer(_scaled(layer.weight_ih, scale), layer.weight_hh, layer.bias + _moved(layer.weight_ih, shift))


def _scaled(weight: Matrix, scale: Matrix) -> Matrix:
    """Returns a weight that reads scale * x; itself where there is no batch normalization."""
    return weight if scale.size == 1 and scale[0] == 1 else weight * scale


def _moved(weight: Matrix, shift: Matrix) -> Matrix:
    """Returns what a shift of its input adds to the output of a weight."""
    return weight @ np.broadcast_to(shift, weight.shape[1:]) if shift.any() else np.zeros(len(weight))


def _normalization(path: Path, module: t7.Instance) -> tuple[Matrix, Matrix]:
    """Returns scale and shift of batch normalization after training."""
    parts: Sequence[Matrix] = [tensor(path, module, n, 1) for n in ("running_mean", "running_var", "weight", "bias")]
    mean, var, weight, bias = parts
    eps = module.get("eps")
    eps = eps if isinstance(eps, int | float) else -1
    if len({part.shape for part in parts}) > 1 or not 0 < eps < 1 or not (var >= 0).all():
        raise damaged(path, "batch normalization of other shapes")
    scale = weight / np.sqrt(var + eps)
    return scale, bias - mean * scale


def unknown(path: Path, content: Any) -> CheckpointError:
    """Returns the error to raise for a file of Torch 7 that holds no known model."""
    found = f"an object {quoted(content.name)}" if isinstance(content, t7.Instance) else "other data"
    return CheckpointError(f"{path}: expected a checkpoint of torch-rnn or char-rnn, found {found}")
