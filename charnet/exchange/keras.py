"""Models of Keras 3 with LSTM, GRU or SimpleRNN layers between an embedding, or one-hot input, and a dense layer.

Kernels are (D, G H), with the gates i, f, c, o of an LSTM and z, r, h of a GRU. With `reset_after`, which is the
default, the bias of a GRU is (2, 3 H): of the input and of the state. Without it the reset gate is applied before the
recurrent product, and charnet has no such cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charnet.errors import quoted
from charnet.exchange.imported import Imported, Layer, Matrix, one_hot, reorder
from charnet.exchange.keras_file import Part
from charnet.exchange.old_file import damaged, unfit

CELLS = {"LSTM": ("lstm", (0, 1, 2, 3)), "GRU": ("gru", (1, 0, 2)), "SimpleRNN": ("rnn", (0,))}


def convert(path: Path, parts: Sequence[Part], read_tokens: Callable[[int], Sequence[bytes]]) -> Imported:
    """Converts a model.

    Args:
        path: the file, for messages.
        parts: its layers, as `keras_file.read` returns them.
        read_tokens: returns the alphabet of so many symbols, which is not in the file.

    Raises:
        CheckpointError: charnet has no form for a part of the model.
    """
    _check_order(path, parts)
    recurrent = [part for part in parts if part.kind in CELLS]
    activation = _activation(path, recurrent)
    layers = [_layer(path, part) for part in recurrent]
    head, *bias = _shaped(path, parts[-1], (2,), (1,))
    alphabet = head.shape[1]
    if parts[0].kind == "Embedding":
        (embedding,) = _shaped(path, parts[0], (2,))
    else:
        embedding, weight_ih = one_hot(layers[0].weight_ih)
        layers[0] = Layer(weight_ih, layers[0].weight_hh, layers[0].bias, layers[0].bias_hn)
    if len(embedding) != alphabet:
        raise unfit(path, f"found {len(embedding):,} symbols that are read and {alphabet:,} that are written")
    return Imported(
        source="Keras",
        cell=CELLS[recurrent[0].kind][0],
        layers=layers,
        embedding_VD=embedding,
        head_weight=head.T,
        head_bias=bias[0] if bias else np.zeros(alphabet),
        tokens=read_tokens(alphabet),
        activation=activation,
        left_out=("optimizer",),
        assumed=(*_assumed(recurrent[-1].settings), *_padding(parts[0])),
    )


def _assumed(last: dict[str, Any]) -> tuple[str, ...]:
    """Says what a file does not tell, by the settings of its last recurrent layer."""
    if not last:
        return ("the usual activations of Keras, which a file of weights does not name",)
    if not last.get("return_sequences", False):
        return ("that it predicts after every character, as it learned to after whole windows",)
    return ()


def _padding(first: Part) -> tuple[str, ...]:
    """Says what it means that an embedding has `mask_zero`: Keras skips the id 0, and no character stands for it."""
    if not first.settings.get("mask_zero", False):
        return ()
    return ("that no text holds the symbol of id 0: it is padding, which Keras skips and charnet reads as any other",)


def _layer(path: Path, part: Part) -> Layer:
    cell, blocks = CELLS[part.kind]
    kernel, recurrent, *bias = _shaped(path, part, (2,), (2,), (1, 2))
    rows = len(blocks) * recurrent.shape[0]
    if kernel.shape[1] != rows or recurrent.shape[1] != rows or (bias and bias[0].shape[-1] != rows):
        raise damaged(path, f"kernels of shapes {kernel.shape} and {recurrent.shape} in {quoted(part.group)}")
    weight_ih, weight_hh = reorder(kernel.T, blocks), reorder(recurrent.T, blocks)
    if cell != "gru":
        if bias and bias[0].ndim != 1:
            raise damaged(path, f"a bias of shape {bias[0].shape} in {quoted(part.group)}")
        return Layer(weight_ih, weight_hh, reorder(bias[0], blocks) if bias else np.zeros(rows))
    of_both = bias[0] if bias else np.zeros((2, rows))
    if of_both.shape != (2, rows):
        raise unfit(path, "found a GRU without reset_after, whose reset gate is applied before the recurrent product")
    of_input, of_state = (reorder(each, blocks) for each in of_both)
    gates = rows - rows // 3
    of_input = of_input + np.concatenate([of_state[:gates], np.zeros(rows - gates)])
    return Layer(weight_ih, weight_hh, of_input, of_state[gates:])


def _shaped(path: Path, part: Part, *dimensions: tuple[int, ...]) -> Sequence[Matrix]:
    """Returns the variables of a layer after a check of the number of their dimensions. The last is a bias, and may be
    missing, if there are several."""
    found = part.variables
    least = max(1, len(dimensions) - 1)
    fits = least <= len(found) <= len(dimensions)
    if not fits or any(each.ndim not in known for each, known in zip(found, dimensions, strict=False)):
        shapes = ", ".join(str(each.shape) for each in found) or "none"
        raise unfit(path, f"found variables of shapes {shapes} in {quoted(part.group)}")
    return found


def _activation(path: Path, recurrent: Sequence[Part]) -> str:
    """Returns the activation of recurrent layers, after a check that charnet has their settings."""
    wanted: dict[str, Any] = {"recurrent_activation": "sigmoid", "go_backwards": False, "reset_after": True}
    for part in recurrent:
        for name, value in wanted.items():
            if part.settings.get(name, value) != value:
                raise unfit(path, f"found {name} {quoted(str(part.settings[name]))} in {quoted(part.group)}")
    found = {str(part.settings.get("activation", "tanh")) for part in recurrent}
    known = ("tanh", "relu", "sigmoid") if recurrent[0].kind == "SimpleRNN" else ("tanh",)
    if len(found) > 1 or not found <= set(known):
        raise unfit(path, f"found the activation {quoted(', '.join(sorted(found)))}")
    return found.pop()


def _check_order(path: Path, parts: Sequence[Part]) -> None:
    kinds = [part.kind for part in parts]
    middle = kinds[1:-1] if kinds and kinds[0] == "Embedding" else kinds[:-1]
    if len(set(middle)) != 1 or kinds[-1] != "Dense" or not set(middle) <= set(CELLS):
        shown = ", ".join(kinds[:8]) or "none"
        raise unfit(
            path, f"expected LSTM, GRU or SimpleRNN layers between an embedding and a dense layer, found {shown}"
        )
