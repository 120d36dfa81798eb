"""A checkpoint: one file that is complete in itself.

It holds the weights (`model.*`), in `last` also what training needs to go on (`optimizer.*`, `state.*`, `random.*`),
and one JSON document: settings, alphabet, corpus, progress, history, versions. `tensorfile` keeps the bytes whole; here
every part of the document is checked before it is believed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from charnet import durable
from charnet.config import GATES, Config, ModelSettings, as_dict, from_dict
from charnet.data.vocab import LAST_CODE_POINT, Vocabulary
from charnet.errors import CheckpointError, ConfigError, shortened
from charnet.storage import tensorfile
from charnet.storage.quantize import LARGEST, LARGEST_SCALE, Rows8, quantized, restored
from charnet.storage.tensorfile import DIGEST, Content, Tensors, counts, foreign

FORMAT = 2  # the newest there is; 1 has no weights of 8 bits
SCALE = ".scale"  # after the name of a matrix of 8 bits: what 1 is worth in each of its rows
LONGEST_WORD = 10_000  # characters of a name, a version or a date


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
    """Where a training stands. `position` is passes and windows read; losses are in nats per character. After each of
    the `rollbacks` the learning rate was halved."""

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
    rollbacks: int = 0


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
    def stored_weights(self) -> dict[str, npt.NDArray[Any] | Rows8]:
        """The model's parameters as they are in the file: matrices of 8 bits have not become larger."""
        found = self.part("model")
        whole = {name: tensor for name, tensor in found.items() if not name.endswith(SCALE)}
        return {n: Rows8(t, found[n + SCALE]) if t.dtype == np.int8 else t for n, t in whole.items()}

    @property
    def weights(self) -> Tensors:
        """The model's parameters in single precision."""
        return restored(self.stored_weights)

    @property
    def precision(self) -> str:
        """Of the matrices: `fp32` or `int8`."""
        return "int8" if any(tensor.dtype == np.int8 for tensor in self.part("model").values()) else "fp32"

    def quantized(self, precision: str = "int8") -> Checkpoint:
        """The same model with matrices of 8 bits a number, to write with and not to train on.

        Raises:
            ConfigError: another precision is wanted.
        """
        if precision != "int8":
            raise ConfigError(f'--quantize: expected int8, found "{precision}"')
        if self.precision == "int8":
            return self
        tensors: Tensors = {}
        for name, weight in quantized(self.weights).items():
            if isinstance(weight, Rows8):
                tensors |= {f"model.{name}": weight.values, f"model.{name}{SCALE}": weight.scale}
            else:
                tensors[f"model.{name}"] = weight
        return replace(self, tensors=tensors, sha256="")

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
    shapes |= {"head.weight": (alphabet_size, model.hidden_size), "head.bias": (alphabet_size,)}
    return {prefix + name: shape for prefix in member_prefixes(model) for name, shape in shapes.items()}


def member_prefixes(model: ModelSettings) -> list[str]:
    """What the names of parameters begin with, for each network of a model."""
    return [""] if model.members == 1 else [f"members.{index}." for index in range(model.members)]


def save(path: Path, checkpoint: Checkpoint, *, keep_as: Path | None = None, within: int | None = None) -> None:
    """Writes a checkpoint so that the file is at any instant either the old one or the new one, whole.

    Args:
        keep_as: where the old one is kept.
        within: the handle of the folder, where the caller holds it open.

    Raises:
        StorageError: the disk refused; the old file is as it was.
    """
    content = tensorfile.pack(_document(checkpoint), checkpoint.tensors)
    durable.write(path, content, keep_as=keep_as, within=within)


def _document(checkpoint: Checkpoint) -> dict[str, Any]:
    vocab = checkpoint.vocab
    alphabet: Any = list(vocab.characters) if vocab.of_bytes else "".join(map(chr, vocab.characters))
    return {
        "format": FORMAT if checkpoint.precision == "int8" else 1,
        "created": checkpoint.created,
        "config": as_dict(checkpoint.config),
        "alphabet": alphabet,
        "alphabet_has_rare": vocab.rare_id is not None,
        "alphabet_is_utf8": vocab.is_utf8,
        "corpus": vars(checkpoint.corpus),
        "progress": vars(checkpoint.progress),
        "history": checkpoint.history,
        "versions": checkpoint.versions,
    }


def load(path: Path, *, to_go_on: bool = True) -> Checkpoint:
    """Reads and checks a checkpoint.

    Args:
        to_go_on: with what a training needs to go on; else with the weights alone.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of charnet's; nothing of it was used.
        StorageError: the operating system refused to read it.
    """
    content = tensorfile.read(path, only="" if to_go_on else "model.")
    return _believed(path, content)


def _believed(path: Path, content: Content) -> Checkpoint:
    """Builds the checkpoint from a document whose every part is checked."""
    document = content.document
    if not isinstance(document, dict) or type(document.get("format")) is not int or document["format"] < 1:
        raise foreign(path, "metadata without a format number")
    if document["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: written in format {document['format']}, this charnet reads up to {FORMAT}: install a newer one"
        )
    try:
        config = from_dict(document["config"])
        checkpoint = Checkpoint(
            config=config,
            vocab=_alphabet(
                document["alphabet"],
                _yes_or_no(document.get("alphabet_has_rare", False)),
                _yes_or_no(document.get("alphabet_is_utf8", False)),
            ),
            corpus=_typed(CorpusInfo, document["corpus"]),
            progress=_typed(Progress, document["progress"]),
            tensors=content.tensors,
            history=_history(document["history"]),
            versions=_words(document["versions"]),
            created=_word(document["created"]),
            sha256=content.sha256,
        )
    except ConfigError as error:
        raise foreign(path, f"settings that are not valid ({error})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise foreign(path, f"metadata that is not valid ({error})") from None
    of_8_bits = [name for name, dtype in content.types.items() if dtype == np.int8]
    if of_8_bits and document["format"] < 2:
        raise foreign(path, "numbers of 8 bits in a file of format 1")
    if not all(name.startswith("model.") for name in of_8_bits):
        raise foreign(path, "numbers of 8 bits beside the weights")
    _check_weights(path, checkpoint)
    return checkpoint


def _alphabet(symbols: Any, has_rare: bool, is_utf8: bool) -> Vocabulary:
    if (isinstance(symbols, str) and len(symbols) <= LAST_CODE_POINT) or counts(symbols):
        own = Vocabulary.restored(symbols, rare=has_rare, is_utf8=is_utf8)
        if own.characters and (own.rare_id is not None) == has_rare:
            return own
    raise ValueError("an alphabet of another kind")


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a yes or no of another kind")
    return value


def _typed(kind: type[Any], values: Any) -> Any:
    """A record of names, counts and amounts; a missing one keeps its default, an unknown one is refused."""
    if not isinstance(values, dict):
        raise ValueError(f"no {kind.__name__}")
    known = kind.__dataclass_fields__
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{shortened(repr(name[:200]))} in the {kind.__name__}")
        declared = known[name].type
        fits = {
            "str": _is_word(value) and (name not in ("key", "fingerprint") or bool(DIGEST.fullmatch(value))),
            "int": counts([value]),
            "float": _amount(value),
            "float | None": value is None or _amount(value),
            "tuple[int, int]": counts(value) and len(value) == 2,
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


def _is_word(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= LONGEST_WORD


def _word(value: Any) -> str:
    if not _is_word(value):
        raise ValueError("a word of another kind")
    return value


def _words(table: Any) -> dict[str, str]:
    if not isinstance(table, dict) or not all(_is_word(word) for pair in table.items() for word in pair):
        raise ValueError("versions of another kind")
    return table


def _check_weights(path: Path, checkpoint: Checkpoint) -> None:
    shapes = model_shapes(checkpoint.config, len(checkpoint.vocab))
    found = checkpoint.part("model")
    of_bytes = {name for name, tensor in found.items() if tensor.dtype == np.int8}
    if of_bytes and of_bytes != {name for name, shape in shapes.items() if len(shape) == 2}:
        raise foreign(path, "some matrices of 8 bits and some of 32")
    expected = shapes | {name + SCALE: shapes[name][:1] for name in of_bytes if name in shapes}
    if set(found) != set(expected):
        odd = ", ".join(sorted(set(found) ^ set(expected))[:3])
        raise foreign(path, f"other weights than its settings call for: {odd}")
    for name, shape in expected.items():
        if found[name].shape != shape or found[name].dtype not in (np.float32, np.int8):
            raise foreign(path, f"{name} of shape {found[name].shape} where its settings call for {shape}")
        if not np.isfinite(found[name]).all():
            raise foreign(path, f"numbers in {name} that are not finite")
        if name in of_bytes and found[name].min(initial=0) < -LARGEST:
            raise foreign(path, f"numbers in {name} below {-LARGEST}")
        if name.endswith(SCALE) and not ((found[name] > 0) & (found[name] < LARGEST_SCALE)).all():
            raise foreign(path, f"numbers in {name} that are no scale")
