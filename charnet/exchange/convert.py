"""Which program a file is from, by its content, and its model as a checkpoint."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from charnet.data.file_kinds import PICKLE, TORCH, kind_of
from charnet.errors import CheckpointError, ConfigError, quoted
from charnet.exchange import alphabet, char_rnn, keras, keras_file, old_file, state_dict, t7, torch_rnn, weights_file
from charnet.exchange.imported import Imported
from charnet.exchange.old_file import OldFile, unfit
from charnet.storage.checkpoint import Checkpoint

AUTO, TORCH_RNN, CHAR_RNN, TORCH_STATE, KERAS = SOURCES = ("auto", "torch-rnn", "char-rnn", "torch", "keras")
MOST_NAMED = 8  # tensors in a message
TO_SAFETENSORS = (
    "a pickle can run any program when it is loaded; in its own environment: import torch, safetensors.torch as s; "
    'w = torch.load("{name}", weights_only=True); s.save_file({{k: t.contiguous().clone() for k, t in '
    'w.get("state_dict", w).items()}}, "model.safetensors")'
)


@dataclass(frozen=True)
class Given:
    """What the user says of an old model.

    Attributes:
        source: the program, one of `SOURCES`.
        alphabet: the file of its alphabet, if its own file has none.
        names: charnet's names of tensors of PyTorch.
        activation: of an `nn.RNN` of PyTorch.
    """

    source: str = AUTO
    alphabet: Path | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    activation: str = "tanh"


def convert(path: Path, given: Given) -> tuple[Imported, Checkpoint]:
    """Reads a model of another program.

    Returns:
        The model in charnet's terms, and as a checkpoint.

    Raises:
        CheckpointError: the file or the alphabet is missing or damaged, or charnet has no form for the model.
        ConfigError: the alphabet is missing, or given where the file has one; `h5py` is missing; see `state_dict`.
        StorageError: the operating system refused to read a file.
    """
    file = old_file.read(path)
    source = _source(file)
    if given.source not in (AUTO, source) and not (source == TORCH_RNN and given.source == CHAR_RNN):
        raise CheckpointError(f"{path}: expected a file of {given.source}, found one of {source}; leave out --from")
    of_torch_7 = source == TORCH_RNN
    if of_torch_7 and given.alphabet is not None:
        raise ConfigError("--alphabet: a file of torch-rnn or char-rnn has its own; leave it out")
    if source != TORCH_STATE and (given.names or given.activation != "tanh"):
        raise ConfigError("--map and --activation are for weights of PyTorch alone; leave them out")
    with np.errstate(all="ignore"):  # what is not finite at the end is refused
        model = _of_torch_7(file, given.source) if of_torch_7 else _with_alphabet(file, source, given)
        return model, model.checkpoint(file)


def _source(file: OldFile) -> str:
    """Returns the program that a file is from, `torch-rnn` for all of Torch 7.

    Raises:
        CheckpointError: it is none of them.
    """
    if keras_file.looks_like_one(file.raw):
        return KERAS
    if weights_file.looks_like_one(file.raw):  # before pickles, which the length of its header can look like
        return TORCH_STATE
    if t7.looks_like_one(file.raw):
        return TORCH_RNN
    if (kind := kind_of(file.raw)) in (PICKLE, TORCH):
        raise CheckpointError(f"{file.path}: {TO_SAFETENSORS.format(name=file.path.name)}")
    found = kind.name if kind else f"a file of {len(file.raw):,} bytes of another kind"
    raise CheckpointError(
        f"{file.path}: expected a model of torch-rnn or char-rnn (.t7), PyTorch (.safetensors) or Keras (.keras, .h5), "
        f"found {found}"
    )


def _of_torch_7(file: OldFile, wanted: str) -> Imported:
    content = t7.parse(file.path, file.raw)
    if torch_rnn.is_one(content) and wanted != CHAR_RNN:
        return torch_rnn.convert(file.path, content)
    if char_rnn.is_one(content) and wanted != TORCH_RNN:
        return char_rnn.convert(file.path, content)
    raise torch_rnn.unknown(file.path, content)


def _with_alphabet(file: OldFile, source: str, given: Given) -> Imported:
    if source == KERAS:
        read_tokens = _tokens(file, given, "Keras")
        return keras.convert(file.path, keras_file.read(file), lambda count: read_tokens([count]))
    tensors, metadata = weights_file.parse(file)
    if metadata.get("format") == "charnet":
        raise unfit(file.path, "found a checkpoint of charnet, which every command reads as it is")
    said = metadata.get("activation") if "charnet_format" in metadata else None  # by `charnet export`
    if said == "sigmoid":
        raise unfit(file.path, "found an rnn of sigmoids in PyTorch's form, whose state begins at -1")
    activation = "relu" if said == "relu" else given.activation
    floats = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    read_tokens = _tokens(file, given, "PyTorch", metadata)
    model = state_dict.convert(file.path, floats, read_tokens, given.names, activation)
    assumed = tuple(each for each in model.assumed if said is None or not each.startswith("activation"))
    return replace(model, left_out=_named([name for name in tensors if name not in floats]), assumed=assumed)


def _tokens(
    file: OldFile, given: Given, program: str, metadata: Mapping[str, object] | None = None
) -> Callable[[Collection[int]], list[bytes]]:
    """Returns what reads the alphabet: from its own file, or from the header of weights that charnet exported."""
    if given.alphabet is not None:
        return functools.partial(alphabet.read, given.alphabet)
    if metadata and "charnet_format" in metadata:
        exported = alphabet.exported(file.path, metadata)
        return lambda _: exported
    raise ConfigError(
        f"{file.path}: a model of {program} has no alphabet in its file; "
        "give its characters in the order of their ids: --alphabet alphabet.txt"
    )


def _named(names: list[str]) -> tuple[str, ...]:
    """Names tensors that are empty or hold no floats, such as masks and counters; many of them by their number."""
    shown, more = names[:MOST_NAMED], len(names) - MOST_NAMED
    return (*map(quoted, shown), *([f"{more:,} more without floats"] if more > 0 else []))
