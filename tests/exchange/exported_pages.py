"""Models of all kinds, and pages of them, for the tests in a browser."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkpoint_files import tiny
from test_engines import KINDS, build, with_ngram

from charnet.config import SamplingOptions
from charnet.data import prompts
from charnet.data.vocab import Vocabulary
from charnet.exchange import page
from charnet.generation.generate import stream
from charnet.storage.checkpoint import Checkpoint

JOINING = Vocabulary.of_text("e\u0301 \u0939\u093f\u0928\u094d\n\r👩\u200d🚀🇩🇪。é")
UTF8 = Vocabulary((10, 32, 97, *range(0x80, 0xC0), 0xC3, 0xE0, 0xED, 0xF0, 0xF4), of_bytes=True, is_utf8=True)
LINES = dataclasses.replace(Vocabulary.of_text("\n abcdefgh"), has_documents=True)
TALES = dataclasses.replace(Vocabulary.of_text("\n abcd\x1e"), has_documents=True, document_end=0x1E)
MODELS: dict[str, Callable[[], Checkpoint]] = {
    **{f"{cell} {f}": lambda cell=cell, f=f: build(cell, f, layers=1) for cell, f in KINDS},  # type: ignore[misc]
    "three layers": lambda: build(layers=3),
    "three layers of a gru": lambda: build("gru", layers=3),
    "three layers of relu": lambda: build("rnn", "relu", layers=3),
    "two networks": lambda: build("cifg", members=2),
    "three networks": lambda: build(members=3),
    "an n-gram": lambda: with_ngram(build()),
    "three networks and an n-gram": lambda: with_ngram(build("gru", members=3), share=0.7, order=3),
    "of lines": lambda: tiny(vocab=LINES, **{"data.lines": True}),
    "of tales": lambda: tiny("gru", TALES, **{"data.documents": "file"}),
    "of bytes": lambda: tiny(vocab=UTF8, **{"data.bytes": True}),
    "of any bytes": lambda: tiny(vocab=dataclasses.replace(UTF8, is_utf8=False), **{"data.bytes": True}),
    "of joining characters": lambda: tiny(vocab=JOINING),
    "with a rare character": lambda: tiny(vocab=Vocabulary((10, 97, 98, 0xFFFD, 0x110000))),
}


def file_of(checkpoint: Checkpoint, folder: Path, **more: Any) -> Path:
    """Writes the page of a model; one that was in no file gets the SHA-256 of one."""
    known = dataclasses.replace(checkpoint, sha256=checkpoint.sha256 or "ab" * 32)
    page.write(known, folder / "page.html", name="a model", stored_name="a/best.safetensors", **more)
    return folder / "page.html"


def text_of_the_command(checkpoint: Checkpoint, engine: Any, prompt: str, **options: Any) -> str:
    """What `charnet sample --quantize int8` writes, prompt included."""
    text, ids, _ = prompts.read(prompt, checkpoint.vocab, checkpoint.config.data, skip_unknown=False)
    return text + "".join(stream(engine, checkpoint.vocab, ids.tolist(), SamplingOptions(**options)))
