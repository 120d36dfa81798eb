"""Models of PyTorch: the `state_dict` of an `nn.LSTM`, `nn.GRU` or `nn.RNN` with an embedding and a linear head.

The recurrent weights have PyTorch's own names, with any prefix: `rnn.weight_ih_l0`. Embedding and head are known by
their shapes, and by their names if they have the same shape. The gates are in charnet's order. A layer has two biases,
of which only the sum counts, except in the candidate of the GRU, whose second bias the reset gate multiplies.

Without an embedding the input is one-hot. Without a head the embedding is also the head, if its width fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charnet.errors import CheckpointError, ConfigError, did_you_mean, quoted
from charnet.exchange.imported import Imported, Layer, Matrix, at_least_single, cell_of, one_hot
from charnet.exchange.old_file import unfit

RECURRENT = re.compile(r"(?:(.*)\.)?(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d{1,2})")
REFUSED = {
    re.compile(r".*_l\d+_reverse"): "a bidirectional network, which reads what it is to predict",
    re.compile(r".*weight_hr_l\d+"): "a projection of the state (proj_size)",
    re.compile(r"members\.1\..*"): "an ensemble that charnet exported; its own checkpoint has all of it",
}
EMBEDDING, HEAD, HEAD_BIAS = "embedding.weight", "head.weight", "head.bias"
OURS = re.compile(r"embedding\.weight|head\.weight|head\.bias|rnn\.(?:weight|bias)_(?:ih|hh)_l\d{1,2}")
LIKE_EMBEDDING = re.compile(r"emb|encod|lookup|wte", re.IGNORECASE)
LIKE_HEAD = re.compile(r"head|fc|linear|decod|out|dense|proj|logit|h2o", re.IGNORECASE)
MOST_LAYERS = 64


def convert(
    path: Path,
    tensors: Mapping[str, Matrix],
    read_tokens: Callable[[Collection[int]], Sequence[bytes]],
    names: Mapping[str, str],
    activation: str = "tanh",
) -> Imported:
    """Converts a model.

    Args:
        path: the file, for messages.
        tensors: by their names.
        read_tokens: returns the alphabet, of one of these numbers of symbols.
        names: charnet's names of some of the tensors: `embedding.weight`, `head.weight`, `head.bias`, or
            `rnn.` with PyTorch's own name of a recurrent weight.
        activation: of an `nn.RNN`, which its weights do not tell.

    Raises:
        CheckpointError: a part is missing, or charnet has no form for one.
        ConfigError: `names` names a tensor that does not exist, or one name twice; an LSTM or GRU has no other
            activation than tanh.
    """
    named = _renamed(path, tensors, names)
    recurrent = {match: tensor for name, tensor in named.items() if (match := RECURRENT.fullmatch(name))}
    for name in named:
        if reason := next((reason for pattern, reason in REFUSED.items() if pattern.fullmatch(name)), ""):
            raise unfit(path, f"found {quoted(name)}: {reason}")
    prefixes = {match[1] or "" for match in recurrent}
    if not prefixes:
        raise CheckpointError(
            f"{path}: found no recurrent network; name its tensors, as in --map NAME=rnn.weight_ih_l0"
        )
    if len(prefixes) > 1:
        raise unfit(path, f"expected one recurrent network, found {len(prefixes)}")
    weights = _layers(path, {f"{match[2]}_l{match[3]}": tensor for match, tensor in recurrent.items()})
    cell = cell_of(weights[0].weight_hh, ("lstm", "gru", "rnn"))
    if not cell:
        raise unfit(path, f"found recurrent weights of shape {weights[0].weight_hh.shape}")
    if cell != "rnn" and activation != "tanh":
        raise ConfigError(f"--activation is for an nn.RNN, and {path} has layers of the {cell}; leave it out")
    layers = [layer.joined(cell) for layer in weights]
    others = {name: tensor for name, tensor in named.items() if not RECURRENT.fullmatch(name)}
    width, units = layers[0].weight_ih.shape[1], layers[-1].weight_hh.shape[1]
    counts = {len(tensor) for tensor in others.values() if tensor.ndim == 2 and tensor.shape[1] in (width, units)}
    tokens = read_tokens(counts or {width})
    if len(tokens) == width == units and not names:
        _check_role(path, others)
    embedding, head, bias = _outer(path, others, len(tokens), width, units)
    assumed = [f"activation {activation}, which the file does not say"] if cell == "rnn" else []
    if head is embedding:
        assumed.append("that the embedding is the output matrix too, since the file has no other")
    if embedding is None:
        embedding, weight_ih = one_hot(layers[0].weight_ih)
        layers[0] = Layer(weight_ih, layers[0].weight_hh, layers[0].bias, layers[0].bias_hn)
    return Imported("PyTorch", cell, layers, embedding, head, bias, tokens, activation, assumed=tuple(assumed))


@dataclass(frozen=True)
class _Weights:
    """The weights of a layer as PyTorch has them, zeros for biases that it has not."""

    weight_ih: Matrix
    weight_hh: Matrix
    bias_ih: Matrix
    bias_hh: Matrix

    def joined(self, cell: str) -> Layer:
        """Returns the layer with one bias."""
        if cell != "gru":
            return Layer(self.weight_ih, self.weight_hh, self.bias_ih + self.bias_hh)
        gates = 2 * self.weight_hh.shape[1]
        inner = np.concatenate([self.bias_hh[:gates], np.zeros_like(self.bias_hh[gates:])])
        return Layer(self.weight_ih, self.weight_hh, self.bias_ih + inner, self.bias_hh[gates:])


def _renamed(path: Path, tensors: Mapping[str, Matrix], names: Mapping[str, str]) -> dict[str, Matrix]:
    """Returns the tensors with charnet's names for those that have one."""
    for theirs, ours in names.items():
        if theirs not in tensors:
            raise ConfigError(f"--map: {path} has no tensor {quoted(theirs)}{did_you_mean(theirs, tensors)}")
        if not OURS.fullmatch(ours):
            known = f"{EMBEDDING}, {HEAD}, {HEAD_BIAS} or rnn.weight_ih_l0 and the like"
            raise ConfigError(f"--map: expected {known}, found {quoted(ours)}")
    if len(set(names.values())) < len(names):
        raise ConfigError("--map: expected a different name for each tensor, found one twice")
    return {names.get(name, name): at_least_single(tensor) for name, tensor in tensors.items()}


def _layers(path: Path, found: dict[str, Matrix]) -> list[_Weights]:
    """Returns the layers, after a check that they are whole and of one size."""
    count = 1 + max(int(name.rpartition("_l")[2]) for name in found)
    if count > MOST_LAYERS:
        raise unfit(path, f"found {count} layers")
    layers = []
    for number in range(count):
        ih, hh = found.get(f"weight_ih_l{number}"), found.get(f"weight_hh_l{number}")
        if ih is None or hh is None or ih.ndim != 2 or hh.ndim != 2 or len(ih) != len(hh):
            raise unfit(path, f"found no whole layer {number}: weight_ih_l{number} and weight_hh_l{number}")
        biases = [found.get(f"bias_{part}_l{number}", np.zeros(len(ih))) for part in ("ih", "hh")]
        if any(bias.shape != (len(ih),) for bias in biases):
            raise unfit(path, f"found a bias of layer {number} of another size")
        layers.append(_Weights(ih, hh, *biases))
    if len({layer.weight_hh.shape for layer in layers}) > 1:
        sizes = ", ".join(str(layer.weight_hh.shape[1]) for layer in layers)
        raise unfit(path, f"found layers of different sizes ({sizes})")
    return layers


def _check_role(path: Path, others: Mapping[str, Matrix]) -> None:
    """Checks that the role of a lone matrix is clear, where input, units and alphabet have the same size.

    Raises:
        CheckpointError: without a bias and the name of an embedding it may be that, and the output too, or the output
            of a network with one-hot input.
    """
    matrices = [name for name, tensor in others.items() if tensor.ndim == 2]
    if len(matrices) == 1 == len(others) and not LIKE_EMBEDDING.search(name := matrices[0]):
        shape = others[name].shape
        raise CheckpointError(
            f"{path}: found {quoted(name)} of shape {shape} alone: an embedding that is the output too, or the output "
            f"of a network with one-hot input; say which with --map NAME={EMBEDDING} or --map NAME={HEAD}"
        )


def _outer(
    path: Path, others: dict[str, Matrix], alphabet: int, width: int, units: int
) -> tuple[Matrix | None, Matrix, Matrix]:
    """Returns embedding (V, D), None for one-hot input, and weight (V, H) and bias (V) of the head."""
    left = dict(others)
    embedding, head, bias = left.pop(EMBEDDING, None), left.pop(HEAD, None), left.pop(HEAD_BIAS, None)
    if head is None:
        candidates = {name: bool(LIKE_HEAD.search(name)) for name, t in left.items() if t.shape == (alphabet, units)}
        with_bias = {name for name in candidates if left.get(_bias_of(name), np.empty(0)).shape == (alphabet,)}
        chosen = _only(with_bias) or _only({name for name, is_like in candidates.items() if is_like})
        chosen = chosen or (_only(set(candidates)) if embedding is not None or width != units else None)
        if chosen:
            head = left.pop(chosen)
            bias = left.pop(_bias_of(chosen), None) if bias is None else bias
    if embedding is None:
        fitting = {name for name, tensor in left.items() if tensor.shape == (alphabet, width)}
        embedding = left.pop(chosen) if (chosen := _only(fitting)) else None
    if embedding is None and width != alphabet:
        raise unfit(path, f"found no embedding of shape ({alphabet}, {width}){_but(left)}; try --map")
    if head is None and embedding is not None and embedding.shape == (alphabet, units):
        head = embedding
    if head is None:
        raise unfit(path, f"found no head of shape ({alphabet}, {units}){_but(left)}; try --map")
    if bias is None and len(only := [name for name, tensor in left.items() if tensor.shape == (alphabet,)]) == 1:
        bias = left.pop(only[0])
    if left:
        raise unfit(path, f"found tensors that charnet has no place for: {_shapes(left)}")
    return embedding, head, np.zeros(alphabet) if bias is None else bias


def _bias_of(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def _only(names: set[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def _shapes(tensors: Mapping[str, Matrix]) -> str:
    """Names a few tensors with their shapes, for a message."""
    return ", ".join(f"{quoted(name)} {tensor.shape}" for name, tensor in list(tensors.items())[:4])


def _but(tensors: Mapping[str, Matrix]) -> str:
    return f", but {_shapes(tensors)}" if tensors else ""
