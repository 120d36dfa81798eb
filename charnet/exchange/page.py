"""A page in which a model writes: one file with its weights in 8 bits, for any browser, without a network.

The scripts in `browser` compute what `charnet.engines.exact` defines, so a seed gives the text of
`charnet sample --quantize int8`, character for character.

Shape legend: V characters in the alphabet, G = gates x H rows of a layer's matrices.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet import durable
from charnet.config import SamplingOptions
from charnet.engines import exact
from charnet.engines.exact_engine import EXACT_CELLS, head_of, parts_of
from charnet.engines.numpy_engine import LAYOUTS
from charnet.exchange import page_facts, page_language, page_text, wasm
from charnet.generation import graphemes
from charnet.generation.sampler import Sampler
from charnet.insight import html, surprises
from charnet.model.ngram import PROBABILITIES
from charnet.model.shapes import member_prefixes
from charnet.storage.checkpoint import Checkpoint
from charnet.version import __version__

FOLDER = Path(__file__).with_name("browser")
SCRIPTS = (
    *("bytes", "arithmetic", "product", "cells", "ngram", "network", "philox", "alphabet", "ending", "sampling"),
    *("generate", "receipts", "interface", "typing", "writing"),
)
RESTORING = ("rans", "restoring")
NGRAM = ("symbols", "codes", "followers", "base")  # tensors, in the order in which `ngram.js` takes them


@dataclass(frozen=True)
class Written:
    """The sizes of a page in bytes: of the whole file, and of what it holds in base64; the characters of its text."""

    size: int
    networks: int
    ngram: int
    compressed: int
    characters: int


def write(
    checkpoint: Checkpoint,
    target: Path,
    *,
    name: str = "",
    stored_name: str = "model",
    options: SamplingOptions | None = None,
    compressed: Path | None = None,
) -> Written:
    """Writes a page.

    Args:
        checkpoint: with weights of any precision; those of 32 bits are quantized.
        name: of the model, for the reader.
        stored_name: of the file of the checkpoint, for receipts.
        options: the settings that the page begins with.
        compressed: a text that was compressed with this model; the page restores it.

    Raises:
        DivergedError: the weights are no finite numbers.
        CompressedFileError: the compressed text is damaged, of another model, or of a kind that no page restores.
        StorageError: the system refused to read or write.
    """
    model = checkpoint.quantize()
    text = None if compressed is None else page_text.read(compressed, model)
    language = page_language.language_of(checkpoint.vocab)
    networks, ngram = b"".join(_networks(model)), b"".join(_ngram(model))
    alphabet = _seven_bits(np.diff(checkpoint.vocab.symbols, prepend=0).tolist())
    data = {
        "name": name,
        **page_facts.of(model, checkpoint.sha256, page_language.of_words(language)),
        **_shape(model),
        "alphabet": _alphabet(checkpoint),
        "ngram": _ngram_shape(model),
        "receipt": _receipt(checkpoint, stored_name, options or SamplingOptions()),
        "tables": tables_digest(),
        "wasm": _base64(wasm.module()),
        "weights": _base64(alphabet + networks + ngram),
        **({"compressed": _base64(text.raw), "textName": text.name} if text else {}),
    }
    page = _page(f"{name} - charnet", data, language, restores=bool(text)).encode()
    durable.write(target, page)
    return Written(len(page), len(networks), len(ngram), len(text.raw) if text else 0, text.characters if text else 0)


def _page(title: str, data: dict[str, Any], language: str, *, restores: bool) -> str:
    """Returns the page.

    Args:
        language: of the text, or "".
    """
    own = page_language.of_words(language)
    scripts = [_compact(FOLDER / f"{name}.js") for name in (*SCRIPTS, *(RESTORING if restores else ()))]
    script = '"use strict";\n' + surprises.script() + html.asset("saving.js") + "".join(scripts)
    words = page_language.SCRIPTS | (page_language.RESTORING if restores else {})
    body = page_language.in_language((FOLDER / "page.html").read_text(encoding="utf-8"), page_language.BODY, own)
    body = body.replace("TEXT-LANGUAGE", language).replace("SURPRISE-KEY", page_language.legend(own))
    return html.page(
        title,
        body,
        style=surprises.style() + _compact(FOLDER / "page.css"),
        script=page_language.in_language(script, words, own),
        data=data,
        language=own,
        compiles=True,
    )


def _receipt(checkpoint: Checkpoint, stored_name: str, options: SamplingOptions) -> dict[str, Any]:
    """Returns what the receipts of the page hold, whatever the text."""
    joins = graphemes.may_join(checkpoint.vocab)
    return {
        "charnet": __version__,
        "arithmetic": exact.VERSION,
        "checkpoint": stored_name,
        "checkpoint_sha256": checkpoint.sha256,
        "unicode": "the tables of a browser" if joins else unicodedata.unidata_version,
        "options": vars(options),
    }


def _networks(model: Checkpoint) -> Iterator[bytes]:
    """Yields the arrays of all networks in the order in which `network.js` takes them."""
    settings, stored = model.config.model, model.stored_weights
    layout = layout_of(model)
    for prefix in member_prefixes(settings):
        weights: dict[str, Any] = {
            key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)
        }
        embedding = weights["embedding.weight"]
        yield from (_bytes(embedding.values), _floats(embedding.scale))
        for layer in range(settings.num_layers):
            yield from _layer(layout, weights, layer)
        values, factor_V, bias_V = head_of(layout, weights)
        yield from (_bytes(values), _floats(factor_V), _floats(bias_V))


def _layer(layout: str, weights: dict[str, Any], layer: int) -> Iterator[bytes]:
    """Yields the arrays of a layer. Those of the input product of the lowest one are as they are stored: the page
    computes a row of its table where a character comes for the first time."""
    parts = parts_of(layout, weights, layer)
    in_order, name = LAYOUTS[layout].in_order, f"layers.{layer}"
    stored = weights[f"{name}.weight_ih"]
    yield _bytes(in_order(stored.values))
    yield _floats(parts.input_factor_G if layer else in_order(stored.scale))
    yield _floats(parts.bias_G if layer else in_order(np.asarray(weights[f"{name}.bias"])))
    yield from (_bytes(parts.recurrent.values), _floats(parts.recurrent_factor_G))
    if not LAYOUTS[layout].additive:
        yield _floats(parts.inner_bias_G)


def layout_of(model: Checkpoint) -> str:
    """Returns the name of the cell, for `rnn` with its activation."""
    settings = model.config.model
    return f"rnn-{settings.activation}" if settings.cell == "rnn" else settings.cell


def _shape(model: Checkpoint) -> dict[str, Any]:
    settings, layout = model.config.model, layout_of(model)
    cell, gates = EXACT_CELLS[layout], len(LAYOUTS[layout].order)
    units, embedding = settings.hidden_size, settings.embedding_size or settings.hidden_size
    sigmoids = LAYOUTS[layout].sigmoids
    return {
        "shape": {
            "cell": layout,
            "members": settings.members,
            "layers": settings.num_layers,
            "units": units,
            "embedding": embedding,
            "unit": [cell.gate_steps / 2 if gate < sigmoids else cell.gate_steps for gate in range(gates)],
            "zero": cell.zero,
        },
        "rows": max(gates * units, len(model.vocab)) + wasm.ROWS,
        "columns": max(units, embedding) + wasm.COLUMNS,
    }


def _alphabet(checkpoint: Checkpoint) -> dict[str, Any]:
    vocab, data = checkpoint.vocab, checkpoint.config.data
    bias_V = Sampler(vocab, SamplingOptions(), is_exact=True).bias_V
    return {
        "size": len(vocab),
        "ofBytes": vocab.of_bytes,
        "isUtf8": vocab.is_utf8,
        "documentEnd": vocab.document_end,
        "hasDocuments": vocab.has_documents,
        "startId": vocab.start_id(),
        "joins": graphemes.may_join(vocab),
        "never": [] if bias_V is None else np.flatnonzero(np.isneginf(bias_V)).tolist(),
        "reading": {
            "newlines": data.newlines,
            "normalize": data.normalize,
            "lowercase": data.lowercase,
            "documents": bool(data.document_end),
        },
    }


def _ngram(model: Checkpoint) -> Iterator[bytes]:
    """Yields the arrays of the n-gram as they are stored."""
    tensors = model.part("ngram")
    yield from (np.ascontiguousarray(tensors[name]).tobytes() for name in NGRAM if tensors)


def _ngram_shape(model: Checkpoint) -> dict[str, Any] | None:
    tensors = model.part("ngram")
    if not tensors:
        return None
    followers = int((tensors["followers"] < 128).sum())
    return {"share": model.ngram_share, "symbols": len(tensors["codes"]), "followers": followers}


def tables_digest() -> str:
    """Returns the SHA-256 of the tables that the page computes itself."""
    tables = (exact.TANH.astype(np.float64) * 2**15, exact.POWERS, exact.LOG2, PROBABILITIES)
    return hashlib.sha256(np.concatenate(tables).astype("<f8").tobytes()).hexdigest()


def _compact(path: Path) -> str:
    """Returns a script or a style sheet without comments of whole lines and without indentation."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


def _bytes(values: npt.NDArray[np.int8]) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def _floats(values: npt.NDArray[Any]) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _seven_bits(numbers: list[int]) -> bytes:
    """Packs numbers in seven bits a byte, the lowest first."""
    packed = bytearray()
    for number in numbers:
        while number > 0x7F:
            packed.append(number & 0x7F | 0x80)
            number >>= 7
        packed.append(number)
    return bytes(packed)
