"""Receipts for tests: a right one, changed ones whose checksum is right, and small checkpoints that write."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from checkpoint_files import put
from test_engines import LETTERS, build, with_ngram
from test_quantize import sealed

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.receipt import CHECKSUM, Receipt, TextDigest, sha256

OF_DOCUMENTS = {
    "lines": {"data.lines": True},
    "documents": {"data.documents": "blank-line"},
    "bytes": {"data.bytes": True},
}
ALPHABETS = {
    "lines": Vocabulary.of_text("abcdefghij\n"),
    "documents": Vocabulary.of_text("abcdefgh\n\x1e"),
    "bytes": Vocabulary((0x61, 0x62, 0x63, 0x80, 0xA9, 0xC3, 0xE9, 0xFF), of_bytes=True),
}


def small(kind: str = "lstm") -> Checkpoint:
    """A checkpoint in single precision, as a file may hold it: of a cell, or of one of the kinds above."""
    if kind == "mixture":  # an ensemble beside an n-gram
        return sealed(with_ngram(build("gru", members=2)))
    if kind not in OF_DOCUMENTS:
        return sealed(build(kind))
    made = build(vocab=ALPHABETS[kind])
    return sealed(replace(made, config=overlay(made.config, OF_DOCUMENTS[kind])))


def right(**changes: Any) -> Receipt:
    """A receipt of a text, with other values of some fields."""
    usual: dict[str, Any] = {
        **{"charnet": "0.1.0", "arithmetic": 1, "exact": True, "precision": "int8", "unicode": "15.0", "machine": {}},
        **{"checkpoint": "runs/best.safetensors", "checkpoint_sha256": "ab" * 32},
        **{"prompt": "ab", "prompt_sha256": sha256("ab"), "echo": True, "unknown": "error", "lines": False},
        **{"samples": 3, "index": 1, "texts": (TextDigest("cd" * 32, 7),) * 2},
        "options": SamplingOptions(stop=("a\x1b",), logit_bias=(("é", -2.5),), seed=2**70),
    }
    return Receipt(**usual | changes)


def signed(fields: dict[str, Any]) -> str:
    """The text of a receipt with a checksum that fits."""
    rest = {name: value for name, value in fields.items() if name != CHECKSUM}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**rest, CHECKSUM: hashlib.sha256(text).hexdigest()})


def with_part(text: str, key: str, value: Any) -> str:
    """A receipt in which one value is another one, as in "options/seed"; the checksum fits."""
    fields = json.loads(text)
    put(fields, key, value)
    return signed(fields)


def change(path: Path, key: str, value: Any) -> None:
    """Changes one value of a receipt on the disk; the checksum fits."""
    path.write_text(with_part(path.read_text(), key, value))


__all__ = ["LETTERS", "change", "right", "signed", "small", "with_part"]
