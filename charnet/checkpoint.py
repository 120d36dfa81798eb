"""The disk format: safetensors files that are complete in themselves, checked before they are believed.

A checkpoint holds the weights (`model.*`), in `last` also what training needs to go on (`optimizer.*`, `state.*`,
`random.*`), and in its metadata one JSON document: settings, alphabet, corpus, progress, history, versions. The
metadata also carries a SHA-256 over the whole file, its own 64 digits counted as zeros.

Writing is write-aside, fsync, rename, fsync of the folder. Reading checks lengths, names, types, shapes and offsets of
the header, then the checksum, and only then the content; nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.config import GATES, Config, as_dict, from_dict
from charnet.errors import CheckpointError, ConfigError, StorageError, shortened
from charnet.vocab import Vocabulary

FORMAT = 1
LARGEST_HEADER = 1 << 26  # bytes; a document with an alphabet of all of Unicode and a long history is 20 MB
MOST_TENSORS = 10_000
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "U8": np.dtype("u1")}
DIGEST = re.compile("[0-9a-f]{64}")
NO_DIGEST = "0" * 64
NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class CorpusInfo:
    """What a checkpoint says about the text it learned from; the text itself is not in it."""

    name: str
    characters: int
    size_bytes: int
    files: int
    fingerprint: str
    key: str


@dataclass(frozen=True)
class Progress:
    """Where a training stands. `position` is passes and windows read; losses are in nats per character."""

    step: int = 0
    chars_seen: int = 0
    seconds: float = 0.0
    position: tuple[int, int] = (0, 0)
    best_step: int = 0
    best_nats_per_char: float | None = None
    evaluations_without_improvement: int = 0
    reported_step: int = 0
    nats_since_report: float = 0.0
    grad_norm_since_report: float = 0.0
    seconds_at_report: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint: settings, alphabet, tensors and where it came from."""

    config: Config
    vocab: Vocabulary
    corpus: CorpusInfo
    progress: Progress
    tensors: Tensors
    history: list[dict[str, float]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    sha256: str = ""

    def part(self, prefix: str) -> Tensors:
        """The tensors whose names begin with `prefix.`, without it."""
        return {name[len(prefix) + 1 :]: t for name, t in self.tensors.items() if name.startswith(prefix + ".")}

    @property
    def weights(self) -> Tensors:
        """The model's parameters."""
        return self.part("model")

    def weights_sha256(self) -> str:
        """SHA-256 of the model's parameters in the order of their names: equal for equal models."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.weights.items()):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(tensor).tobytes())
        return digest.hexdigest()


def model_shapes(config: Config, alphabet_size: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters that a model with these settings has."""
    model, rows = config.model, GATES[config.model.cell] * config.model.hidden_size
    width = model.embedding_size or model.hidden_size
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (alphabet_size, width)}
    for layer in range(model.num_layers):
        shapes[f"layers.{layer}.weight_ih"] = (rows, model.hidden_size if layer else width)
        shapes[f"layers.{layer}.weight_hh"] = (rows, model.hidden_size)
        shapes[f"layers.{layer}.bias"] = (rows,)
        if model.cell == "gru":
            shapes[f"layers.{layer}.bias_hn"] = (model.hidden_size,)
    return shapes | {"head.weight": (alphabet_size, model.hidden_size), "head.bias": (alphabet_size,)}


# ---------------------------------------------------------------------------------------------------- writing


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint so that the file is at any instant either the old one or the new one, whole.

    Raises:
        StorageError: the disk refused; the old file is as it was.
    """
    import safetensors.numpy

    document = json.dumps(_document(checkpoint), allow_nan=False)
    metadata = {"format": "charnet", "charnet": document, "sha256": NO_DIGEST}
    # safetensors writes memory as it lies: a transposed view would come back scrambled.
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in checkpoint.tensors.items()}
    raw = bytearray(safetensors.numpy.save(tensors, metadata))
    at = _digest_at(raw, NO_DIGEST)
    digest = hashlib.sha256(raw).hexdigest()
    raw[at : at + len(digest)] = digest.encode()
    write_durably(path, raw)


def write_durably(path: Path, content: bytes | bytearray) -> None:
    """Write aside, fsync, rename, fsync the folder.

    Raises:
        StorageError: the disk refused; the old file is as it was.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}; free some space or write elsewhere") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "nt":  # Windows has no handle on a folder to sync
        sync(folder)


def sync(path: Path) -> None:
    """Has the disk take what was written to a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _document(checkpoint: Checkpoint) -> dict[str, Any]:
    vocab = checkpoint.vocab
    alphabet: Any = list(vocab.symbols) if vocab.of_bytes else "".join(map(chr, vocab.symbols))
    return {
        "format": FORMAT,
        "created": checkpoint.created,
        "config": as_dict(checkpoint.config),
        "alphabet": alphabet,
        "corpus": vars(checkpoint.corpus),
        "progress": vars(checkpoint.progress),
        "history": checkpoint.history,
        "versions": checkpoint.versions,
    }


# ---------------------------------------------------------------------------------------------------- reading


def load(path: Path) -> Checkpoint:
    """Reads and checks a checkpoint.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of charnet's; nothing of it was used.
        StorageError: the operating system refused to read it.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header, length = _read_header(path, file.read(8), file, size)
            entries = _check_entries(path, header, size - 8 - length)
            file.seek(0)
            raw = bytearray(file.read())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such checkpoint") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) != size:
        raise CheckpointError(f"{path}: the file changed while it was read; try again")
    document, digest = _check_metadata(path, header, raw)
    tensors: Tensors = {}
    for name, (dtype, shape, begin) in entries.items():
        count = int(np.prod(shape, dtype=np.int64))
        tensors[name] = np.frombuffer(raw, dtype, count, 8 + length + begin).reshape(shape)
    return _believed(path, document, tensors, digest)


def _refuse(path: Path, found: str) -> CheckpointError:
    return CheckpointError(f"{path}: expected a whole checkpoint of charnet, found {found}; it is damaged or foreign")


def _read_header(path: Path, prefix: bytes, file: Any, size: int) -> tuple[dict[str, Any], int]:
    if len(prefix) < 8:
        raise _refuse(path, f"a file of {size} bytes")
    (length,) = struct.unpack("<Q", prefix)
    if not 2 <= length <= min(size - 8, LARGEST_HEADER):
        raise _refuse(path, f"a header of {length:,} bytes in a file of {size:,}")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _refuse(path, "a header that is not strict JSON") from None
    if not isinstance(header, dict):
        raise _refuse(path, "a header that is no table")
    return header, length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name stands twice")
    return table


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


Entry = tuple[np.dtype[Any], tuple[int, ...], int]


def _check_entries(path: Path, header: dict[str, Any], data_size: int) -> dict[str, Entry]:
    """Type, shape and first byte of each tensor; together they cover the data without a gap or an overlap."""
    if len(header) > MOST_TENSORS:
        raise _refuse(path, f"{len(header):,} tensors")
    entries, spans = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not NAME.fullmatch(name) or len(name) > 200:
            raise _refuse(path, f"a tensor named {name[:40]!r}")
        dtype, shape, (begin, end) = _check_entry(path, name, entry)
        if end - begin != dtype.itemsize * _product(shape) or any(side > data_size for side in shape):
            raise _refuse(path, f"a length that does not fit the shape of {name}")
        entries[name] = (dtype, shape, begin)
        spans.append((begin, end))
    spans.sort()
    covered = 0
    for begin, end in spans:
        if begin != covered:
            raise _refuse(path, f"tensors that overlap or leave gaps at byte {begin}")
        covered = end
    if covered != data_size:
        raise _refuse(path, f"{data_size:,} bytes of data where its header names {covered:,}")
    return entries


def _check_entry(path: Path, name: str, entry: Any) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _refuse(path, f"an incomplete description of {name}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _refuse(path, f"an unknown type of numbers in {name}")
    if not _counts(shape) or len(shape) > 4:
        raise _refuse(path, f"an impossible shape of {name}")
    if not _counts(offsets) or len(offsets) != 2:
        raise _refuse(path, f"impossible offsets of {name}")
    return DTYPES[dtype], tuple(shape), (offsets[0], offsets[1])


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _digest_at(raw: bytes | bytearray, digest: str) -> int:
    """Where the checksum stands in the header of a file; -1 unless it stands there once."""
    marked = b'"sha256":"' + digest.encode() + b'"'
    end = 8 + int.from_bytes(raw[:8], "little")
    at = raw.find(marked, 8, end)
    return -1 if at < 0 or raw.find(marked, at + 1, end) >= 0 else at + len(b'"sha256":"')


def _check_metadata(path: Path, header: dict[str, Any], raw: bytearray) -> tuple[Any, str]:
    """Verifies the checksum over the whole file; returns the document, still unbelieved, and the checksum."""
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != "charnet":
        raise _refuse(path, "a safetensors file that charnet did not write")
    digest = metadata.get("sha256")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise _refuse(path, "no checksum")
    at = _digest_at(raw, digest)
    if at < 0:
        raise _refuse(path, "no checksum in its place")
    raw[at : at + 64] = NO_DIGEST.encode()
    if hashlib.sha256(raw).hexdigest() != digest:
        raise _refuse(path, "a checksum that does not fit its content")
    try:
        return json.loads(metadata["charnet"], object_pairs_hook=_unique, parse_constant=_no_constant), digest
    except (KeyError, TypeError, ValueError, RecursionError):
        raise _refuse(path, "metadata that is not strict JSON") from None


def _believed(path: Path, document: Any, tensors: Tensors, digest: str) -> Checkpoint:
    """Builds the checkpoint from a document whose every part is checked."""
    if not isinstance(document, dict) or type(document.get("format")) is not int or document["format"] < 1:
        raise _refuse(path, "metadata without a format number")
    if document["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: written in format {document['format']}, this charnet reads up to {FORMAT}: install a newer one"
        )
    try:
        config = from_dict(document["config"])
        alphabet = document["alphabet"]
        if isinstance(alphabet, str):
            vocab = Vocabulary(tuple(map(ord, alphabet)))
        elif _counts(alphabet):
            vocab = Vocabulary(tuple(alphabet), of_bytes=True)
        else:
            raise ValueError("an alphabet of another kind")
        checkpoint = Checkpoint(
            config=config,
            vocab=vocab,
            corpus=_typed(CorpusInfo, document["corpus"]),
            progress=_typed(Progress, document["progress"]),
            tensors=tensors,
            history=_history(document["history"]),
            versions=_words(document["versions"]),
            created=_word(document["created"]),
            sha256=digest,
        )
    except ConfigError as error:
        raise _refuse(path, f"settings that are not valid ({error})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise _refuse(path, f"metadata that is not valid ({error})") from None
    _check_weights(path, checkpoint)
    return checkpoint


def _typed(kind: type[Any], values: Any) -> Any:
    """A record of names, counts and amounts; a missing one keeps its default, an unknown one is refused."""
    if not isinstance(values, dict):
        raise ValueError(f"no {kind.__name__}")
    known = kind.__dataclass_fields__
    for name, value in values.items():
        declared = known[name].type
        fits = {
            "str": isinstance(value, str) and (name not in ("key", "fingerprint") or bool(DIGEST.fullmatch(value))),
            "int": _counts([value]),
            "float": _amount(value),
            "float | None": value is None or _amount(value),
            "tuple[int, int]": _counts(value) and len(value) == 2,
        }
        if not fits[declared]:
            raise ValueError(f"{name} of another kind")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _history(lines: Any) -> list[dict[str, float]]:
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise ValueError("history of another kind")
    for line in lines:
        if not all(_amount(value) for value in line.values()):
            raise ValueError("history of another kind")
    return lines


def _amount(value: Any) -> bool:
    """Whether this is a number that a computer can count with."""
    return type(value) in (int, float) and -1e300 < value < 1e300


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a word of another kind")
    return value


def _words(table: Any) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ValueError("versions of another kind")
    return table


def _check_weights(path: Path, checkpoint: Checkpoint) -> None:
    expected = model_shapes(checkpoint.config, len(checkpoint.vocab))
    found = checkpoint.weights
    if set(found) != set(expected):
        odd = ", ".join(sorted(set(found) ^ set(expected))[:3])
        raise _refuse(path, f"other weights than its settings call for: {odd}")
    for name, shape in expected.items():
        if found[name].shape != shape or found[name].dtype != np.float32:
            raise _refuse(path, f"{name} of shape {found[name].shape} where its settings call for {shape}")
        if not np.isfinite(found[name]).all():
            raise _refuse(path, f"numbers in {name} that are not finite")


# ---------------------------------------------------------------------------------------------------- runs

BEST, LAST, SETTINGS, METRICS = "best.safetensors", "last.safetensors", "config.yaml", "metrics.jsonl"


def new_run(out: Path, name: str) -> Path:
    """Makes the folder of a new run; where the name is taken a number is appended.

    Raises:
        StorageError: the folder cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            run = out / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):  # also when another start has just taken it
                run.mkdir()
                break
    except OSError as error:
        why = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise StorageError(f"{out}: no run can be made here: {why}; name another place with --out") from None
    return run


def find(given: Path | None, runs: Path = Path("checkpoints"), *, prefer: str = BEST) -> Path:
    """The checkpoint file that a user means: a file, a run's folder, or nothing for the newest run.

    Raises:
        CheckpointError: there is none.
    """
    if given is None:
        files = [path for name in (BEST, LAST) for path in runs.glob(f"*/{name}")]
        if not files:
            raise CheckpointError(f"{runs}/: no run here yet; make one with `charnet train`, or name a checkpoint")
        given = max(files, key=lambda path: path.stat().st_mtime_ns).parent
    exists, is_folder = os.path.exists, os.path.isdir  # unlike Path's these never raise, whatever the name
    if not exists(given) and is_folder(runs / given):
        given = runs / given
    if is_folder(given):
        files = [given / name for name in dict.fromkeys((prefer, BEST, LAST)) if (given / name).is_file()]
        if not files:
            raise CheckpointError(f"{given}: expected the folder of a run, found no {BEST} or {LAST} in it")
        return files[0]
    if not exists(given):
        beside = f"; runs in {runs}/: {', '.join(names[:5])}" if (names := known_runs(runs)) else ""
        raise CheckpointError(f"{shortened(str(given))}: there is no such checkpoint{beside}")
    return given


def known_runs(runs: Path) -> list[str]:
    """Names of the runs in a folder, newest first."""
    files = [path for name in (BEST, LAST) for path in runs.glob(f"*/{name}")]
    return list(dict.fromkeys(p.parent.name for p in sorted(files, key=lambda p: -p.stat().st_mtime_ns)))
