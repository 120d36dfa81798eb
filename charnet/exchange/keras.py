"""Models of Keras 3: a `.keras` archive, or a `.weights.h5` file alone, with LSTM, GRU or SimpleRNN layers.

An archive is a zip with `config.json`, which lists the layers, and `model.weights.h5`. There the variables of a layer
are `layers/NAME/vars/0` and on, those of a recurrent one `layers/NAME/cell/vars/0` (kernel, recurrent kernel, bias);
NAME is the class in snake case, with `_1`, `_2` and on where it occurs again. A weights file alone has only the names.

Kernels are (D, G H), with the gates i, f, c, o of an LSTM and z, r, h of a GRU. With `reset_after`, which is the
default, the bias of a GRU is (2, 3 H): of the input and of the state. Without it the reset gate is applied before the
recurrent product, and charnet has no such cell.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charnet.errors import CheckpointError, ConfigError, quoted
from charnet.exchange.imported import Imported, Layer, Matrix, one_hot, reorder
from charnet.exchange.old_file import OldFile, damaged, unfit
from charnet.storage.strict_json import strict_json

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
LARGEST_CONFIG = 4 << 20  # bytes
MOST_MEMBERS = 1000
MOST_LAYERS = 200
LARGEST_RATIO = 20  # of unpacked to packed weights; floats hardly shrink
CELLS = {"LSTM": ("lstm", (0, 1, 2, 3)), "GRU": ("gru", (1, 0, 2)), "SimpleRNN": ("rnn", (0,))}
PASSED = ("InputLayer", "Dropout", "SpatialDropout1D", "Activation", "Softmax")
HDF5 = b"\x89HDF\r\n\x1a\n"
OF_CLASS = {"embedding": "Embedding", "lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN", "dense": "Dense",
            "time_distributed": "TimeDistributed", "bidirectional": "Bidirectional"}  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """A layer of Keras that has variables: its class, the group of its variables, and its settings if they are known."""

    kind: str
    group: str
    settings: dict[str, Any]


def is_archive(raw: bytes) -> bool:
    """Returns whether a file is a zip archive of Keras."""
    return raw.startswith(b"PK\x03\x04") and CONFIG.encode() in raw and WEIGHTS.encode() in raw


def convert(file: OldFile, read_tokens: Any) -> Imported:
    """Converts a model.

    Args:
        read_tokens: returns the alphabet for a number of symbols.

    Raises:
        CheckpointError: the file is damaged, or charnet has no form for a part of the model.
        ConfigError: the package `h5py` is missing.
    """
    raw, parts = _open_archive(file) if is_archive(file.raw) else (file.raw, None)
    with _opened(file.path, raw) as h5:
        parts = _parts_of_names(file.path, h5) if parts is None else parts
        variables = [_variables(file.path, h5, part.group) for part in parts]
    _check_order(file.path, parts)
    return _convert(file.path, parts, variables, read_tokens)


def _convert(path: Path, parts: Sequence[_Part], variables: Sequence[list[Matrix]], read_tokens: Any) -> Imported:
    pairs = list(zip(parts, variables, strict=True))
    recurrent = [(part, found) for part, found in pairs if part.kind in CELLS]
    cells = {part.kind for part, _ in recurrent}
    if len(cells) != 1:
        raise unfit(path, "expected LSTM, GRU or SimpleRNN layers of one kind, found none or several")
    cell, activation = CELLS[cells.pop()][0], _activation(path, recurrent)
    layers = [_layer(path, part, found) for part, found in recurrent]
    head, *bias = _shaped(path, variables[-1], parts[-1], (2,), (1,))
    alphabet = head.shape[1]
    if pairs[0][0].kind == "Embedding":
        (embedding,) = _shaped(path, variables[0], parts[0], (2,))
    else:
        embedding, weight_ih = one_hot(layers[0].weight_ih)
        layers[0] = Layer(weight_ih, layers[0].weight_hh, layers[0].bias, layers[0].bias_hn)
    if len(embedding) != alphabet:
        raise unfit(path, f"found {len(embedding):,} symbols that are read and {alphabet:,} that are written")
    known = any(part.settings for part in parts)
    assumed = () if known else ("the usual activations and reset_after, which a file of weights does not say",)
    settings = recurrent[-1][0].settings
    if known and not settings.get("return_sequences", False):
        assumed = ("what it learned to predict behind whole windows only holds for every character",)
    return Imported(
        "Keras", cell, layers, embedding, head.T, bias[0] if bias else np.zeros(alphabet), read_tokens(alphabet),
        activation, left_out=("optimizer",) if known else (), assumed=assumed,
    )  # fmt: skip


def _layer(path: Path, part: _Part, found: list[Matrix]) -> Layer:
    cell, blocks = CELLS[part.kind]
    kernel, recurrent, *bias = _shaped(path, found, part, (2,), (2,), (1, 2))
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


def _shaped(path: Path, found: list[Matrix], part: _Part, *dimensions: tuple[int, ...]) -> list[Matrix]:
    """Returns variables after a check of the number of their dimensions; the last may be missing, if there are more
    than one."""
    least = max(1, len(dimensions) - 1)
    fits = least <= len(found) <= len(dimensions)
    if not fits or any(each.ndim not in known for each, known in zip(found, dimensions, strict=False)):
        shapes = ", ".join(str(each.shape) for each in found) or "none"
        raise unfit(path, f"found variables of shapes {shapes} in {quoted(part.group)}")
    return found


def _activation(path: Path, recurrent: Sequence[tuple[_Part, Any]]) -> str:
    """Returns the activation of recurrent layers, after a check that charnet has their settings."""
    wanted: dict[str, Any] = {"recurrent_activation": "sigmoid", "go_backwards": False, "reset_after": True}
    for part, _ in recurrent:
        for name, value in wanted.items():
            if part.settings.get(name, value) != value:
                raise unfit(path, f"found {name} {quoted(str(part.settings[name]))} in {quoted(part.group)}")
    found = {str(part.settings.get("activation", "tanh")) for part, _ in recurrent}
    known = ("tanh", "relu", "sigmoid") if recurrent[0][0].kind == "SimpleRNN" else ("tanh",)
    if len(found) > 1 or not found <= set(known):
        raise unfit(path, f"found the activation {quoted(', '.join(sorted(found)))}")
    return found.pop()


def _check_order(path: Path, parts: Sequence[_Part]) -> None:
    kinds = [part.kind for part in parts]
    middle = kinds[1:-1] if kinds and kinds[0] == "Embedding" else kinds[:-1]
    if not middle or kinds[-1] != "Dense" or not set(middle) <= set(CELLS):
        shown = ", ".join(kinds[:8]) or "none"
        raise unfit(path, f"expected recurrent layers between an embedding and a dense layer, found {shown}")


def _open_archive(file: OldFile) -> tuple[bytes, list[_Part]]:
    """Returns the weights of an archive, and its layers in their order."""
    try:
        with zipfile.ZipFile(io.BytesIO(file.raw)) as archive:
            if len(archive.infolist()) > MOST_MEMBERS:
                raise damaged(file.path, f"{len(archive.infolist()):,} members")
            config = _member(file, archive, CONFIG, LARGEST_CONFIG)
            weights = _member(file, archive, WEIGHTS, LARGEST_RATIO * len(file.raw))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise damaged(file.path, f"a zip archive that cannot be read ({quoted(str(error))})") from None
    except Exception as error:
        if type(error).__name__ not in ("error", "LZMAError"):  # of zlib and lzma
            raise
        raise damaged(file.path, "a zip archive that cannot be unpacked") from None
    try:
        return weights, _parts_of_config(file.path, strict_json(config.decode()))
    except (ValueError, RecursionError):
        raise damaged(file.path, f"a {CONFIG} that is not strict JSON") from None


def _member(file: OldFile, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    if (size := archive.getinfo(name).file_size) > most:
        raise damaged(file.path, f"a {name} of {size:,} bytes in a file of {len(file.raw):,}")
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > size:
        raise damaged(file.path, f"a {name} longer than it says")
    return content


def _parts_of_config(path: Path, config: Any) -> list[_Part]:
    """Returns the layers with variables that a config lists."""
    listed = config.get("config", {}).get("layers") if isinstance(config, dict) and _is_dict(config, "config") else None
    if config is None or not isinstance(listed, list) or len(listed) > MOST_LAYERS:
        raise damaged(path, f"a {CONFIG} without a list of layers")
    if config.get("class_name") not in ("Sequential", "Functional"):
        raise unfit(path, f"found a model of the class {quoted(str(config.get('class_name')))}")
    parts, used, before = [], dict[str, int](), ""
    for entry in listed:
        if not isinstance(entry, dict) or not _is_dict(entry, "config"):
            raise damaged(path, f"a {CONFIG} with an invalid layer")
        kind, settings = str(entry.get("class_name")), entry["config"]
        _check_chain(path, entry, before)
        before = str(settings.get("name", ""))
        group = _unique(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower(), used)
        if kind == "TimeDistributed" and _is_dict(settings, "layer"):
            inner = settings["layer"]
            kind, settings, group = str(inner.get("class_name")), inner.get("config") or {}, f"{group}/layer"
        if kind in CELLS:
            parts.append(_Part(kind, f"layers/{group}/cell/vars", settings))
        elif kind in ("Embedding", "Dense"):
            parts.append(_Part(kind, f"layers/{group}/vars", settings))
        elif kind not in PASSED:
            raise unfit(path, f"found a layer of the class {quoted(kind)}")
        allowed = ("softmax", "linear", None)
        if kind in ("Dense", "Activation") and settings.get("activation") not in allowed:
            raise unfit(path, f"found the activation {quoted(str(settings.get('activation')))} of the class {kind}")
    return parts


def _is_dict(table: dict[str, Any], name: str) -> bool:
    return isinstance(table.get(name), dict)


def _check_chain(path: Path, entry: dict[str, Any], before: str) -> None:
    """Checks that a layer of a functional model reads the layer before it, and nothing else."""
    read = list(_histories(entry.get("inbound_nodes")))
    if entry.get("inbound_nodes") and read != [before]:
        raise unfit(path, "found layers that are not a chain")


def _histories(value: Any, depth: int = 0) -> Iterator[str]:
    """Yields the names of the layers whose outputs a value of a config refers to."""
    if isinstance(value, dict) and isinstance(value.get("keras_history"), list):
        yield str(value["keras_history"][:1])[2:-2]
    elif isinstance(value, dict | list) and depth < 20:
        for each in value.values() if isinstance(value, dict) else value:
            yield from _histories(each, depth + 1)


def _unique(name: str, used: dict[str, int]) -> str:
    used[name] = used.get(name, -1) + 1
    return f"{name}_{used[name]}" if used[name] else name


def _opened(path: Path, raw: bytes) -> Any:
    try:
        import h5py
    except ImportError:
        raise ConfigError(f'{path}: a file of Keras needs the package h5py: pip install "charnet[keras]"') from None
    if not raw.startswith(HDF5):
        raise damaged(path, "weights that are not HDF5")
    try:
        return h5py.File(io.BytesIO(raw), "r")
    except (OSError, RuntimeError, ValueError, KeyError):
        raise damaged(path, "an HDF5 file that cannot be opened") from None


def _parts_of_names(path: Path, h5: Any) -> list[_Part]:
    """Returns the layers with variables of a file without a config: embedding, recurrent ones by number, dense ones."""
    names = list(_read(path, lambda: list(h5["layers"])[: MOST_LAYERS + 1]))
    parts = []
    for name in names:
        base, _, number = re.sub(r"_(\d{1,3})$", r"|\1", str(name)).partition("|")
        if (kind := OF_CLASS.get(base)) is None:
            continue
        group = f"layers/{name}" + ("/cell/vars" if kind in CELLS else "/vars")
        if kind == "TimeDistributed":
            kind, group = "Dense", f"layers/{name}/layer/vars"
        if kind == "Bidirectional":
            raise unfit(path, 'found a layer of the class "Bidirectional"')
        parts.append((list(OF_CLASS.values()).index(kind), int(number or 0), _Part(kind, group, {})))
    if len(names) > MOST_LAYERS:
        raise damaged(path, f"more than {MOST_LAYERS} layers")
    return [part for *_, part in sorted(parts, key=lambda each: each[:2])]


def _variables(path: Path, h5: Any, group: str) -> list[Matrix]:
    """Returns the variables of a group in their order."""
    return list(_read(path, lambda: [_array(path, h5, f"{group}/{n}") for n in range(len(_group(path, h5, group)))]))


def _group(path: Path, h5: Any, group: str) -> Any:
    """Returns a group, reached by hard links alone: others lead to other files."""
    import h5py

    found = h5
    for name in group.split("/"):
        if not isinstance(found, h5py.Group) or name not in found:
            raise damaged(path, f"no {quoted(group)}")
        if not isinstance(found.get(name, getlink=True), h5py.HardLink):
            raise damaged(path, f"a link to elsewhere in {quoted(group)}")
        found = found[name]
    return found


def _array(path: Path, h5: Any, name: str) -> Matrix:
    import h5py

    found = _group(path, h5, name)
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external or found.dtype.kind != "f":
        raise damaged(path, f"no numbers of its own in {quoted(name)}")
    stored, declared = found.id.get_storage_size(), math.prod(found.shape) * found.dtype.itemsize
    if declared > LARGEST_RATIO * max(stored, 1):
        raise damaged(path, f"{declared:,} bytes in {quoted(name)} where {stored:,} are stored")
    return np.asarray(found[()], np.float64)


def _read(path: Path, action: Any) -> Any:
    """Calls a function that reads HDF5, whose library raises many kinds of errors for a damaged file."""
    try:
        return action()
    except CheckpointError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
        raise damaged(path, "an HDF5 file that cannot be read") from None
