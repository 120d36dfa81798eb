"""Reads models of Keras: a `.keras` archive, a `.weights.h5` file alone, or an `.h5` file of Keras 2.

An archive is a zip with `config.json`, which lists the layers, and `model.weights.h5`. There the variables of a layer
are `layers/NAME/vars/0` and on, those of a recurrent one `layers/NAME/cell/vars/0` (kernel, recurrent kernel, bias);
NAME is the class in snake case, with `_1`, `_2` and on where it occurs again. A weights file alone has only the names.

A file of Keras 2 has its config as an attribute, and the variables of a layer in `model_weights/NAME` by names of their
own, which an attribute lists; NAME is the name of the layer.

Sizes are compared with those of the file before anything is unpacked, and links to other files are not followed.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from charnet.errors import CheckpointError, ConfigError, quoted
from charnet.exchange.imported import Matrix, at_least_single
from charnet.exchange.old_file import OldFile, damaged, unfit
from charnet.storage.strict_json import strict_json

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
LARGEST_CONFIG = 4 << 20  # bytes
MOST_MEMBERS = 1000
MOST_LAYERS = 200
MOST_VARIABLES = 10  # of a layer
LARGEST_RATIO = 20  # of unpacked to packed weights; floats hardly shrink
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
PASSED = ("InputLayer", "Dropout", "SpatialDropout1D", "Activation", "Softmax")
HDF5 = b"\x89HDF\r\n\x1a\n"
OF_CLASS = {"embedding": "Embedding", "lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN", "dense": "Dense",
            "time_distributed": "TimeDistributed"}  # fmt: skip
PASSED_NAMES = ("input_layer", "dropout", "spatial_dropout1d", "activation", "softmax")
# Of the library of HDF5, for a damaged file.
ERRORS = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
          EOFError)  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A layer of Keras: its class, the group of its variables, its settings if they are known, and the variables.

    `name` is the one that the user gave the layer, or the program.
    """

    kind: str
    group: str
    settings: dict[str, Any]
    name: str = ""
    variables: Sequence[Matrix] = ()


def is_archive(raw: bytes) -> bool:
    """Returns whether a file is a zip archive of Keras."""
    return raw.startswith(b"PK\x03\x04") and CONFIG.encode() in raw and WEIGHTS.encode() in raw


def looks_like_one(raw: bytes) -> bool:
    """Returns whether a file is a zip archive of Keras, or any file of HDF5."""
    return raw.startswith(HDF5) or is_archive(raw)


def read(file: OldFile) -> list[Part]:
    """Reads the layers of a model that have variables, in their order.

    Raises:
        CheckpointError: the file is damaged, or has layers of other classes.
        ConfigError: the package `h5py` is missing.
    """
    raw, parts = _open_archive(file) if is_archive(file.raw) else (file.raw, None)
    with _opened(file.path, raw) as h5:
        if parts is None:
            config = _read(file.path, lambda: h5.attrs.get("model_config"))  # of Keras 2
            parts = _parts_of_names(file.path, h5) if config is None else _parts_of_keras_2(file.path, config)
        return _read(file.path, lambda: _with_variables(file.path, h5, parts, LARGEST_RATIO * len(raw)))


def _with_variables(path: Path, h5: Any, parts: Sequence[Part], most_bytes: int) -> list[Part]:
    """Returns layers with their variables, which take so many bytes at most."""
    found = []
    for part in parts:
        names = _names(_find(path, h5, part.group))
        if len(names) > MOST_VARIABLES:
            raise damaged(path, f"{len(names):,} variables in {quoted(part.group)}")
        datasets = [_dataset(path, h5, f"{part.group}/{name}") for name in names]
        most_bytes -= sum(math.prod(each.shape) * each.dtype.itemsize for each in datasets)
        if most_bytes < 0:
            raise damaged(path, "more numbers than it has room for")
        found.append(replace(part, variables=[at_least_single(each[()]) for each in datasets]))
    return found


def _names(group: Any) -> list[str]:
    """Returns the names of the variables in a group, in their order. Keras 2 lists them, Keras 3 numbers them."""
    listed = group.attrs.get("weight_names")
    if listed is None:
        return [str(number) for number in range(len(group))]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in listed]


def _open_archive(file: OldFile) -> tuple[bytes, list[Part]]:
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
    return weights, _parts_of_config(file.path, _json(file.path, config))


def _json(path: Path, config: bytes | str) -> Any:
    try:
        return strict_json(config if isinstance(config, str) else config.decode())
    except (ValueError, RecursionError):
        raise damaged(path, f"a {CONFIG} that is not strict JSON") from None


def _parts_of_keras_2(path: Path, config: Any) -> list[Part]:
    """Returns the layers with variables of a file of Keras 2, where a group has the name of its layer."""
    parsed = _json(path, config if isinstance(config, bytes | str) else "")
    parts = [replace(each, group=f"model_weights/{each.name}") for each in _parts_of_config(path, parsed)]
    before_reset_after = {"GRU": {"reset_after": False}}
    return [replace(each, settings=before_reset_after.get(each.kind, {}) | each.settings) for each in parts]


def _member(file: OldFile, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    if (size := archive.getinfo(name).file_size) > most:
        raise damaged(file.path, f"a {name} of {size:,} bytes in a file of {len(file.raw):,}")
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > size:
        raise damaged(file.path, f"a {name} longer than it says")
    return content


def _parts_of_config(path: Path, config: Any) -> list[Part]:
    """Returns the layers with variables that a config lists."""
    listed = config.get("config", {}).get("layers") if isinstance(config, dict) and _is_dict(config, "config") else None
    if config is None or not isinstance(listed, list) or len(listed) > MOST_LAYERS:
        raise damaged(path, f"a {CONFIG} without a list of layers")
    if config.get("class_name") not in ("Sequential", "Functional", "Model"):
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
            if not _is_dict(inner, "config"):
                raise damaged(path, f"a {CONFIG} with an invalid layer")
            kind, settings, group = str(inner.get("class_name")), inner["config"], f"{group}/layer"
        if kind in (*RECURRENT, "Embedding", "Dense"):
            group = f"layers/{group}" + ("/cell/vars" if kind in RECURRENT else "/vars")
            parts.append(Part(kind, group, settings, before))
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
    elif isinstance(value, list) and value and isinstance(value[0], str):  # of Keras 2
        yield value[0]
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
    except ERRORS:
        raise damaged(path, "an HDF5 file that cannot be opened") from None


def _parts_of_names(path: Path, h5: Any) -> list[Part]:
    """Returns the layers with variables of a file without a config: embedding, recurrent ones by number, dense ones."""
    names = _read(path, lambda: list(h5["layers"])[: MOST_LAYERS + 1] if "layers" in h5 else None)
    if names is None:
        raise unfit(path, "found HDF5 without layers; load it in Keras, and save the model as model.keras")
    parts = []
    for name in names:
        base, _, number = re.sub(r"_(\d{1,3})$", r"|\1", str(name)).partition("|")
        if base in PASSED_NAMES:
            continue
        if (kind := OF_CLASS.get(base)) is None:
            raise unfit(path, f"found a layer {quoted(str(name))}")
        group = f"layers/{name}" + ("/cell/vars" if kind in RECURRENT else "/vars")
        if kind == "TimeDistributed":
            kind, group = "Dense", f"layers/{name}/layer/vars"
        parts.append((list(OF_CLASS.values()).index(kind), int(number or 0), Part(kind, group, {})))
    if len(names) > MOST_LAYERS:
        raise damaged(path, f"more than {MOST_LAYERS} layers")
    return [part for *_, part in sorted(parts, key=lambda each: each[:2])]


def _find(path: Path, h5: Any, group: str) -> Any:
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


def _dataset(path: Path, h5: Any, name: str) -> Any:
    """Returns a dataset of floats that the file holds itself, in no more bytes than it stores."""
    import h5py

    found = _find(path, h5, name)
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external or found.dtype.kind != "f":
        raise damaged(path, f"no numbers of its own in {quoted(name)}")
    stored, declared = found.id.get_storage_size(), math.prod(found.shape) * found.dtype.itemsize
    if declared > LARGEST_RATIO * max(stored, 1):
        raise damaged(path, f"{declared:,} bytes in {quoted(name)} where {stored:,} are stored")
    return found


def _read(path: Path, action: Callable[[], T]) -> T:
    """Calls a function that reads HDF5, whose library raises many kinds of errors for a damaged file."""
    try:
        return action()
    except CheckpointError:
        raise
    except ERRORS:
        raise damaged(path, "an HDF5 file that cannot be read") from None
