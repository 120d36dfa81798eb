"""A checkpoint: one file that is complete in itself.

It holds the weights (`model.*`) and the n-gram if there is one (`ngram.*`), in `last` also what training needs to
resume (`optimizer.*`, `state.*`, `random.*`), and one JSON document: settings, alphabet, corpus, progress, history,
versions. `tensorfile` keeps the bytes whole, `document` checks the document, and here the weights are checked against
the settings.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet import durable
from charnet.config import Config
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, DivergedError, quoted
from charnet.limits import path_text
from charnet.model.ngram import Ngram, WeightedNgram
from charnet.model.shapes import model_shapes
from charnet.storage import ngram_tensors, tensorfile
from charnet.storage.document import FORMAT, CorpusInfo, Document, TrainerState, parse
from charnet.storage.quantize import LARGEST, LARGEST_SCALE, QuantizedMatrix, dequantize_all, quantize_all
from charnet.storage.tensorfile import Tensors, invalid

SCALE = ".scale"  # after the name of an 8-bit matrix: what 1 stands for in each of its rows


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint: settings, alphabet, tensors and where it came from."""

    config: Config
    vocab: Vocabulary
    corpus: CorpusInfo
    trainer_state: TrainerState
    tensors: Tensors
    history: list[dict[str, float]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    sha256: str = ""
    ngram_share: float = 0.0
    path: Path | None = field(default=None, compare=False)
    size_bytes: int = field(default=0, compare=False)  # of the file that was read

    @property
    def document(self) -> Document:
        """All but the tensors."""
        parts = {name: getattr(self, name) for name in Document.__dataclass_fields__ if name != "format"}
        return Document(**parts, format=FORMAT if self.ngram_share else 2 if self.precision == "int8" else 1)

    @property
    def is_imported(self) -> bool:
        """Whether the model is of another program. Nothing is known of its text and its training."""
        return self.corpus.is_unknown

    def part(self, prefix: str) -> Tensors:
        """The tensors whose names begin with `prefix.`, without it."""
        return {name[len(prefix) + 1 :]: t for name, t in self.tensors.items() if name.startswith(prefix + ".")}

    @property
    def stored_weights(self) -> dict[str, npt.NDArray[Any] | QuantizedMatrix]:
        """The model's parameters as they are in the file: matrices of 8 bits have not become larger."""
        found = self.part("model")
        whole = {name: tensor for name, tensor in found.items() if not name.endswith(SCALE)}
        return {n: QuantizedMatrix(t, found[n + SCALE]) if t.dtype == np.int8 else t for n, t in whole.items()}

    @functools.cached_property
    def ngram(self) -> WeightedNgram | None:
        """The n-gram beside the networks, if there is one.

        Raises:
            CheckpointError: its tensors are not those of an n-gram.
        """
        if not self.ngram_share:
            return None
        order, alphabet = self.config.model.ngram, len(self.vocab)
        try:
            table = Ngram.from_stored(order, ngram_tensors.from_tensors(self.part("ngram")))
            if len(table.base_V) != alphabet:
                raise ValueError("an n-gram of another alphabet")
        except ValueError as error:
            raise invalid(self.path or Path("checkpoint"), str(error)) from None
        return WeightedNgram(table, self.ngram_share)

    @property
    def weights(self) -> Tensors:
        """The model's parameters in single precision."""
        return dequantize_all(self.stored_weights)

    @property
    def precision(self) -> str:
        """Of the matrices: `fp32` or `int8`."""
        return "int8" if any(tensor.dtype == np.int8 for tensor in self.part("model").values()) else "fp32"

    def quantize(self, precision: str = "int8") -> Checkpoint:
        """The same model with matrices of 8 bits a number, to write with and not to train on.

        Raises:
            ConfigError: another precision is wanted.
            DivergedError: a weight is too large for a row of 8-bit numbers and their scale.
        """
        if precision != "int8":
            raise ConfigError(f"--quantize: expected int8, found {quoted(precision)}")
        if self.precision == "int8":
            return self
        tensors = {name: tensor for name, tensor in self.tensors.items() if name.startswith(ngram_tensors.PREFIX)}
        weights = self.weights
        if not all(np.isfinite(weight).all() for weight in weights.values()):
            raise DivergedError("the model has diverged: it holds numbers that are not finite; use earlier weights")
        for name, weight in quantize_all(weights).items():
            if isinstance(weight, QuantizedMatrix):
                if not (weight.scale < LARGEST_SCALE).all():
                    largest = np.abs(weights[name]).max()
                    raise DivergedError(
                        f"the model has diverged: {name} holds {largest:.1e}, too large for 8 bits; "
                        "train it again with a smaller learning rate"
                    )
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

    def pack(self) -> bytearray:
        """Returns the bytes of the checkpoint's file.

        Raises:
            CheckpointError: the settings are too large to be read again.
        """
        return tensorfile.pack(self.document.to_json(), self.tensors)

    def save(self, path: str | PathLike[str]) -> int:
        """Writes the checkpoint so that the file is at any instant the complete old version or the complete new one.
        Returns its bytes.

        Raises:
            CheckpointError: the settings are too large to be read again.
            StorageError: the system refused to write; the old file is unchanged.
        """
        durable.write(Path(path_text("path", path)), packed := self.pack())
        return len(packed)

    @classmethod
    def load(cls, path: Path, *, weights_only: bool = False) -> Checkpoint:
        """Reads and checks a checkpoint.

        Args:
            weights_only: leave out what only training needs: optimizer, carried state, random numbers.

        Raises:
            CheckpointError: the file is missing, damaged, or not one of charnet's; nothing of it was used.
            StorageError: the operating system refused to read it.
        """
        content = tensorfile.read(path, only=("model.", ngram_tensors.PREFIX) if weights_only else ("",))
        document = parse(path, content.document)
        int8 = [name for name, dtype in content.types.items() if dtype == np.int8]
        if int8 and document.format < 2:
            raise invalid(path, "8-bit weights in a file of format 1")
        has_ngram = any(name.startswith(ngram_tensors.PREFIX) for name in content.types)
        if has_ngram != bool(document.ngram_share) or (has_ngram and document.format < 3):
            raise invalid(path, "an n-gram without its share, or the other way round")
        if not all(name.startswith("model.") for name in int8):
            raise invalid(path, "8-bit numbers outside the weights")
        parts = {name: value for name, value in vars(document).items() if name != "format"}
        checkpoint = cls(
            **parts, tensors=content.tensors, sha256=content.sha256, path=path, size_bytes=content.size_bytes
        )
        _check_weights(path, checkpoint)
        _ = checkpoint.ngram  # refused now, and not where it is used
        return checkpoint


def _check_weights(path: Path, checkpoint: Checkpoint) -> None:
    shapes = model_shapes(checkpoint.config, len(checkpoint.vocab))
    found = checkpoint.part("model")
    of_bytes = {name for name, tensor in found.items() if tensor.dtype == np.int8}
    if of_bytes and of_bytes != {name for name, shape in shapes.items() if len(shape) == 2}:
        raise invalid(path, "some matrices of 8 bits and some of 32")
    expected = shapes | {name + SCALE: shapes[name][:1] for name in of_bytes if name in shapes}
    if set(found) != set(expected):
        odd = ", ".join(sorted(set(found) ^ set(expected))[:3])
        raise invalid(path, f"other weights than its settings call for: {odd}")
    for name, shape in expected.items():
        if found[name].shape != shape or found[name].dtype not in (np.float32, np.int8):
            raise invalid(path, f"{name} of shape {found[name].shape} where its settings call for {shape}")
        if not np.isfinite(found[name]).all():
            raise invalid(path, f"numbers in {name} that are not finite")
        if name in of_bytes and found[name].min(initial=0) < -LARGEST:
            raise invalid(path, f"numbers in {name} below {-LARGEST}")
        if name.endswith(SCALE) and not ((found[name] > 0) & (found[name] < LARGEST_SCALE)).all():
            raise invalid(path, f"numbers in {name} that are no scale")
