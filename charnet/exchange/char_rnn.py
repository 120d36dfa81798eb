"""Models of char-rnn (Karpathy 2015): a graph of nngraph, `protos.rnn`, in a file of Torch 7.

Each layer adds two linear modules, of its input and of its state before. The gates of the LSTM are i, f, o, g. A module
is known by its place in the graph: what is added to what, and where its input comes from. The input of the first layer
is one-hot.

The GRU applies its reset gate before the recurrent product, as in Chung et al. (2014), that of charnet behind it, as
cuDNN does; no weights of one give the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from charnet.errors import CheckpointError, quoted
from charnet.exchange import t7
from charnet.exchange.imported import Imported, Layer, Matrix, cell_of, one_hot, reorder
from charnet.exchange.old_file import damaged, unfit
from charnet.exchange.torch_rnn import check_sizes, dropout_rate, tensor, tokens

PASSED = ("nn.Dropout", "nn.Identity")  # modules that leave their input as it is, once the training is over
BLOCKS = {"lstm": (0, 1, 3, 2), "rnn": (0,)}
MOST_NODES = 10_000
LONGEST_CHAIN = 20  # of such modules


def is_one(content: Any) -> bool:
    """Returns whether the content of a file of Torch 7 is a model of char-rnn."""
    protos = content.get(b"protos") if isinstance(content, t7.Table) else None
    return isinstance(protos, t7.Table) and isinstance(protos.get(b"rnn"), t7.Instance)


def convert(path: Path, content: Any) -> Imported:
    """Converts a model.

    Args:
        path: the file, for messages.
        content: of the file, for which `is_one` holds.

    Raises:
        CheckpointError: it is damaged, a GRU, or has parts that charnet has no form for.
    """
    options = content.get(b"opt")
    options = options if isinstance(options, t7.Table) else t7.Table()
    if options.get(b"model") == b"gru":
        raise _gru(path)
    nodes = _nodes(path, content[b"protos"][b"rnn"])
    pairs, decoder = _linear_pairs(path, nodes)
    check_sizes(path, [_module(node) for pair in (*pairs, (decoder,)) for node in pair])
    layers = [_layer(path, *pair) for pair in pairs]
    cells = {cell_of(layer.weight_hh, tuple(BLOCKS)) for layer in layers}
    if len(cells) != 1 or not (cell := cells.pop()):
        raise unfit(path, "found layers that are neither of an LSTM nor of an RNN")
    layers = [_reordered(layer, cell) for layer in layers]
    source = _source(pairs[0][0])
    embedding = tensor(path, source, "weight", 2) if source and source.name == "nn.LookupTable" else None
    if embedding is None:
        embedding, weight_ih = one_hot(layers[0].weight_ih)
        layers[0] = Layer(weight_ih, layers[0].weight_hh, layers[0].bias)
    return Imported(
        source="char-rnn",
        cell=cell,
        layers=layers,
        embedding_VD=embedding,
        head_weight=tensor(path, _module(decoder), "weight", 2),
        head_bias=tensor(path, _module(decoder), "bias", 1),
        tokens=tokens(path, _inverted(path, content.get(b"vocab"))),
        dropout=dropout_rate(options.get(b"dropout")),
        left_out=("gradients", "history of losses"),
    )


def _gru(path: Path) -> CheckpointError:
    return unfit(path, "found a GRU of char-rnn, whose reset gate is applied before the recurrent product")


def _nodes(path: Path, graph: t7.Instance) -> list[t7.Table]:
    """Returns the data of the graph's nodes in the order in which they are computed."""
    listed = graph.get("forwardnodes")
    nodes = listed.sequence() if isinstance(listed, t7.Table) else []
    data = [node.get("data") for node in nodes if isinstance(node, t7.Instance)]
    found = [each for each in data if isinstance(each, t7.Table)]
    if not found or len(found) > MOST_NODES:
        raise damaged(path, f"a graph {quoted(graph.name)} of {len(found):,} nodes")
    return found


def _linear_pairs(path: Path, nodes: list[t7.Table]) -> tuple[list[tuple[t7.Table, t7.Table]], t7.Table]:
    """Returns of each layer the linear nodes of input and state, and the one before the softmax."""
    linear = [node for node in nodes if _name(node) == "nn.Linear"]
    pairs = []
    for node in nodes:
        parents = _parents(node)
        if _name(node) != "nn.CAddTable" or len(parents) != 2 or {_name(each) for each in parents} != {"nn.Linear"}:
            continue
        pairs.append(tuple(sorted(parents, key=lambda each: _source(each) is None)))
    paired = {id(node) for pair in pairs for node in pair}
    rest = [node for node in linear if id(node) not in paired]
    if not pairs or len(paired) != 2 * len(pairs) or len(rest) != 1:
        raise unfit(path, f"found {len(linear):,} linear modules, {len(pairs):,} pairs of which make a layer")
    for of_input, of_state in pairs:
        if _source(of_input) is None or _source(of_state) is not None:
            raise unfit(path, "found a layer without an input, or without a state")
    return [(of_input, of_state) for of_input, of_state in pairs], rest[0]


def _module(node: t7.Table) -> t7.Instance:
    module = node.get(b"module")
    return module if isinstance(module, t7.Instance) else t7.Instance("")


def _name(node: t7.Table) -> str:
    return _module(node).name


def _parents(node: t7.Table) -> list[t7.Table]:
    """Returns the data of the nodes that a node reads."""
    listed = node.get(b"mapindex")
    parents = listed.sequence() if isinstance(listed, t7.Table) else []
    return [parent for parent in parents if isinstance(parent, t7.Table)]


def _source(node: t7.Table) -> t7.Instance | None:
    """Returns the module that computes what a node reads, or None if it reads an input of the graph."""
    for _ in range(LONGEST_CHAIN):
        if len(parents := _parents(node)) != 1:
            return None
        node = parents[0]
        if _name(node) not in PASSED:
            return _module(node) if _name(node) else None
    return None


def _layer(path: Path, of_input: t7.Table, of_state: t7.Table) -> Layer:
    weight_ih, weight_hh = (tensor(path, _module(node), "weight", 2) for node in (of_input, of_state))
    biases = [tensor(path, _module(node), "bias", 1) for node in (of_input, of_state)]
    if {len(weight_ih), len(weight_hh)} != {len(biases[0])} or len(biases[1]) != len(biases[0]):
        raise damaged(path, "linear modules of a layer that do not fit each other")
    return Layer(weight_ih, weight_hh, biases[0] + biases[1])


def _reordered(layer: Layer, cell: str) -> Layer:
    parts: list[Matrix] = [layer.weight_ih, layer.weight_hh, layer.bias]
    return Layer(*(reorder(part, BLOCKS[cell]) for part in parts))


def _inverted(path: Path, vocab: Any) -> t7.Table:
    """Returns the table from ids to tokens of one from tokens to ids."""
    table = t7.Table()
    for token, number in vocab.items() if isinstance(vocab, t7.Table) else ():
        if not isinstance(number, int) or isinstance(number, bool) or number in table:
            raise damaged(path, "an alphabet with an invalid id")
        table[number] = token
    return table
