"""Checkpoints for tests: a tiny whole one and one of any size, files forged from them, and how a file is refused."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charnet.config import Config
from charnet.data.vocab import Vocabulary
from charnet.errors import CheckpointError
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay
from charnet.storage import tensorfile
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState

ALPHABET = "\n abé😀"
Forge = Callable[[bytes], bytes]  # makes a forged file from a whole one


def tiny(cell: str = "lstm", vocab: Vocabulary | None = None, **values: Any) -> Checkpoint:
    """A whole checkpoint of a few hundred numbers, every part of it filled."""
    config = overlay(
        Config(),
        {"model.cell": cell, "model.hidden_size": 3, "model.embedding_size": 2, "model.num_layers": 2} | values,
    )
    vocab = vocab or Vocabulary.of_text(ALPHABET)
    random = np.random.default_rng(7)
    tensors: tensorfile.Tensors = {
        f"model.{name}": random.standard_normal(shape).astype(np.float32)
        for name, shape in model_shapes(config, len(vocab)).items()
    }
    tensors["optimizer.m.head.bias"] = random.standard_normal(len(vocab)).astype(np.float32)
    tensors["random.torch"] = np.arange(16, dtype=np.uint8)
    tensors["state.0"] = np.zeros((1, 2, 3), dtype=np.float32)
    return Checkpoint(
        config=config,
        vocab=vocab,
        corpus=CorpusInfo("pets", 1000, 1234, 1, "ab" * 32, "cd" * 32),
        trainer_state=TrainerState(40, 5000, 1.5, (2, 3), 30, 1.25, 1, 39, 0.5, 0.25, 1.375),
        tensors=tensors,
        history=[{"step": 20, "val_nats_per_char": 2.5}, {"step": 40, "val_nats_per_char": 1.25}],
        versions={"charnet": "0.1.0", "torch": "2.13.0"},
        created="2025-01-02T03:04:05+00:00",
    )


def of_size(hidden_size: int, seed: int = 0) -> Checkpoint:
    """A checkpoint with weights by chance."""
    like = tiny(**{"model.hidden_size": hidden_size, "model.num_layers": 1})
    chance = np.random.default_rng(seed)
    shapes = model_shapes(like.config, len(like.vocab))
    tensors = {f"model.{name}": chance.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    return replace(like, tensors=tensors)


def packed(checkpoint: Checkpoint) -> bytes:
    """The bytes of a checkpoint, as `save` writes them."""
    return bytes(tensorfile.pack(checkpoint.document.to_json(), checkpoint.tensors))


def assert_same(found: Checkpoint, saved: Checkpoint) -> None:
    assert found.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype, name
        assert found.tensors[name].shape == tensor.shape, name
        assert found.tensors[name].tobytes() == np.ascontiguousarray(tensor).tobytes(), name
    assert replace(found, tensors={}, sha256="") == replace(saved, tensors={}, sha256="")


# ------------------------------------------------------------------------------------------------- forged files


def parts(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a file."""
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def built(header: Any, data: bytes = b"") -> bytes:
    """A file of header and data without any care for the checksum."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def signed_text(header: bytes, data: bytes = b"") -> bytes:
    """A file of any header; its first checksum of zeros becomes the right one."""
    raw = struct.pack("<Q", len(header)) + header + data
    digest = hashlib.sha256(raw).hexdigest()
    zeros = tensorfile.NO_DIGEST
    return raw.replace(f'"sha256":"{zeros}"'.encode(), f'"sha256":"{digest}"'.encode(), 1)


def header_text(header: Any) -> bytes:
    """A header as charnet writes it: characters as they are, the checksum as zeros."""
    if isinstance(header.get("__metadata__"), dict):
        header = header | {"__metadata__": header["__metadata__"] | {"sha256": tensorfile.NO_DIGEST}}
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def signed(header: dict[str, Any], data: bytes) -> bytes:
    """A file whose checksum is right, so that what is inside decides; its header is ASCII."""
    header = header | {"__metadata__": header["__metadata__"] | {"sha256": tensorfile.NO_DIGEST}}
    return signed_text(json.dumps(header, separators=(",", ":")).encode(), data)


def with_header(whole: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with a changed header and a right checksum."""
    header, data = parts(whole)
    change(header)
    return signed(header, data)


def with_text(whole: bytes, document: str) -> bytes:
    """The file with another document, its checksum right."""
    before, after, data, _ = _around_the_document(whole)
    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return signed_text(before + text + after, data)


def document_of(whole: bytes) -> Any:
    return json.loads(_around_the_document(whole)[3])


def with_document(whole: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with a changed document and a right checksum. The change may return a document as text."""
    document = document_of(whole)
    text = change(document)
    return with_text(whole, text if isinstance(text, str) else json.dumps(document))


@functools.lru_cache(maxsize=4)
def _around_the_document(whole: bytes) -> tuple[bytes, bytes, bytes, str]:
    """What stands before the document and after it in the header, the data, and the document."""
    header, data = parts(whole)
    document, header["__metadata__"]["charnet"] = header["__metadata__"]["charnet"], "HERE"
    before, after = header_text(header).split(b'"HERE"')
    return before, after, data, document


def put(table: Any, keys: str, value: Any) -> None:
    """Sets `a/b/c` in nested tables and lists."""
    *path, last = keys.split("/")
    for key in path:
        table = table[int(key)] if isinstance(table, list) else table[key]
    table[int(last) if isinstance(table, list) else last] = value


def drop(table: Any, keys: str) -> None:
    *path, last = keys.split("/")
    for key in path:
        table = table[key]
    del table[last]


def sparse(path: Path, size: int) -> None:
    """A file of a size without a content; its header fits it."""
    document = tiny().document.to_json()
    shape = [(size - (1 << 16)) // 4]
    table = {"state.x": entry(shape=shape, offsets=[0, 4 * shape[0]])}
    table["__metadata__"] = {"format": "charnet", "charnet": json.dumps(document), "sha256": "0" * 64}
    text = json.dumps(table, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + 4 * shape[0])


# ------------------------------------------------------------------------------------------------- refusals


MOST_SECONDS = 5  # of the processor: a refusal takes milliseconds, an attack on the time that it takes has no end


@dataclass
class Refusals:
    """Loads files and holds each refusal to its form; keeps the slowest, in seconds of the processor."""

    path: Path
    slowest: float = 0.0
    which: str = ""
    count: int = 0

    def of_bytes(self, raw: bytes | bytearray, what: object = "") -> str:
        self.path.write_bytes(raw)
        return self.of_file(what)

    def of_file(self, what: object = "", *, weights_only: bool = False) -> str:
        """The message with which the file is refused."""
        begun = time.thread_time()
        with pytest.raises(CheckpointError) as caught:
            Checkpoint.load(self.path, weights_only=weights_only)
        seconds, message = time.thread_time() - begun, str(caught.value)
        if seconds > self.slowest:
            self.slowest, self.which = seconds, str(what)
        self.count += 1
        assert seconds < MOST_SECONDS, what
        assert message.startswith(f"{self.path}: "), what
        assert message.isprintable(), what
        assert len(message) < 1000, what
        return message
