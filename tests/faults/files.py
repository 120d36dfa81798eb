"""What the tests of hostile files share: checkpoints to spoil, what a refusal is, how long and how often."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from test_checkpoint import parts, tiny

from charnet.errors import CheckpointError
from charnet.model.shapes import model_shapes
from charnet.storage import tensorfile
from charnet.storage.checkpoint import Checkpoint

LONG = os.environ.get("CHARNET_FAULTS") == "long"


def of_size(hidden_size: int, seed: int = 0) -> Checkpoint:
    """A checkpoint with weights by chance."""
    like = tiny(**{"model.hidden_size": hidden_size, "model.num_layers": 1})
    chance = np.random.default_rng(seed)
    shapes = model_shapes(like.config, len(like.vocab))
    tensors = {f"model.{name}": chance.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    return replace(like, tensors=tensors)


def packed(checkpoint: Checkpoint, folder: Path) -> bytes:
    """The bytes of a checkpoint, as `save` writes them."""
    checkpoint.save(folder / "packed.safetensors")
    return (folder / "packed.safetensors").read_bytes()


@dataclass
class Refusals:
    """Loads files and holds each refusal to its form; keeps the slowest, in seconds of the processor.

    What seems slow, and slower than all before, is tried again where there are several `tries`, and the quickest
    counts: a machine with much else to do has pauses.
    """

    path: Path
    tries: int = 1
    slowest: float = 0.0
    which: str = ""
    count: int = 0

    def of_bytes(self, raw: bytes | bytearray, what: object = "") -> str:
        self.path.write_bytes(raw)
        return self.of_file(what)

    def of_file(self, what: object = "") -> str:
        """The message with which the file is refused."""
        message, seconds = self._refusal(what)
        for _ in range(self.tries - 1):
            if seconds > max(self.slowest, 0.01):
                seconds = min(seconds, self._refusal(what)[1])
        if seconds > self.slowest:
            self.slowest, self.which = seconds, str(what)
        self.count += 1
        assert message.startswith(f"{self.path}: "), what
        assert message.isprintable(), what
        assert len(message) < 1000, what
        return message

    def _refusal(self, what: object) -> tuple[str, float]:
        begun = time.thread_time()
        try:
            Checkpoint.load(self.path)
        except CheckpointError as error:
            return str(error), time.thread_time() - begun
        raise AssertionError(f"{what}: was believed")

    def assert_within(self, seconds: float) -> None:
        assert self.slowest < seconds, f"{self.which}: {self.slowest * 1000:.1f} ms, the slowest of {self.count}"


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends what hangs: many times what it takes."""

    def stop(*_: object) -> None:
        raise AssertionError(f"hangs: more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """The path of a file that no disk has to write, to be another one a hundred thousand times."""
    if not hasattr(os, "memfd_create"):
        yield folder / "file"
        return
    handle = os.memfd_create("file")
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


# ------------------------------------------------------------------------------------------- files built by hand


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


def with_text(whole: bytes, document: str) -> bytes:
    """The file with another document, its checksum right."""
    before, after, data, _ = _around_the_document(whole)
    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return signed_text(before + text + after, data)


def document_of(whole: bytes) -> Any:
    return json.loads(_around_the_document(whole)[3])


@functools.lru_cache(maxsize=4)
def _around_the_document(whole: bytes) -> tuple[bytes, bytes, bytes, str]:
    """What stands before the document and after it in the header, the data, and the document."""
    header, data = parts(whole)
    document, header["__metadata__"]["charnet"] = header["__metadata__"]["charnet"], "HERE"
    before, after = header_text(header).split(b'"HERE"')
    return before, after, data, document


# ------------------------------------------------------------------------------------------------ mutations

NUMBERS = ["0", "-0", "1", "-1", "255", "256", "1.5", "1e400", "NaN", "Infinity", *map(str, (2**32, 2**63 - 1, 2**64))]
WORDS = ["null", "true", "{}", "[]", '""', '"\\ud800"', "\\u0000", "\x1b", "\x00", "\n", "\t", "é", "😀", "\ufeff"]
MARKS = list("{}[]\",:.-+_#&*!|>'%@`?~ \\/")


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Bytes with one to four changes of the kinds that upset parsers."""
    new = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(new) + 1)
        end = min(len(new), at + int(chance.expovariate(0.2)) + 1)
        insert: Callable[[], bytes] = chance.choice(
            [
                lambda: bytes([chance.randrange(256)]),
                lambda: chance.choice(NUMBERS).encode(),
                lambda: chance.choice(WORDS).encode(),
                lambda: chance.choice(MARKS).encode() * chance.choice((1, 1, 1, 2, 40)),
                lambda: b"",
                lambda new=new: bytes(new[chance.randrange(len(new) + 1) :][: chance.randint(1, 30)]),
            ]
        )
        new[at : chance.choice((at, end))] = insert()
    return bytes(new)
