"""What a page says about its model."""

from __future__ import annotations

import math
from typing import Any

from charnet.errors import plural
from charnet.storage.checkpoint import Checkpoint

CELLS = {"lstm": "LSTM", "cifg": "CIFG", "gru": "GRU", "rnn": "RNN"}
SHOWN = 16  # digits


def of(model: Checkpoint, sha256: str) -> dict[str, Any]:
    """Returns the texts of the page: a summary, a table of facts, and what the model holds of its training text.

    Args:
        sha256: of the file of the checkpoint, or "".
    """
    rows = [*_rows(model), *([("Checkpoint", f"SHA-256 {sha256[:SHOWN]}...")] if sha256 else [])]
    return {"summary": _summary(model), "facts": [list(row) for row in rows], "holds": _holds(model)}


def _summary(model: Checkpoint) -> str:
    settings = model.config.model
    units = plural(settings.hidden_size, "unit")
    layers = f" in {settings.num_layers} layers" if settings.num_layers > 1 else ""
    networks = f"{settings.members} networks: " if settings.members > 1 else ""
    ngram = f", beside an n-gram of {settings.ngram} characters" if model.ngram_share else ""
    return f"{networks}{CELLS[settings.cell]} of {units}{layers}{ngram}. It writes in this page, without a network."


def _rows(model: Checkpoint) -> list[tuple[str, str]]:
    settings, corpus, vocab = model.config.model, model.corpus, model.vocab
    activation = f" ({settings.activation})" if settings.cell == "rnn" else ""
    parameters = sum(tensor.size for tensor in model.weights.values())
    nats = model.trainer_state.best_nats_per_char
    unit = "byte" if vocab.of_bytes else "character"
    text = f"{corpus.name}, {plural(corpus.characters, unit)}"
    rows = [
        ("Cell", CELLS[settings.cell] + activation),
        ("Units in a layer", f"{settings.hidden_size:,}"),
        ("Layers", f"{settings.num_layers}"),
        ("Networks", f"{settings.members}"),
        ("Parameters", f"{parameters:,}, matrices in 8 bits"),
        ("Alphabet", plural(len(vocab), unit)),
        ("Training text", f"not known: {corpus.name}" if model.is_imported else text),
    ]
    if nats is not None:
        rows.append(("Validation loss", f"{nats:.4f} nats ({nats / math.log(2):.4f} bits) a {unit}"))
    if ngram := model.ngram:
        rows.append(
            ("N-gram", f"{ngram.table.order} characters, {len(ngram.table):,} entries, share {ngram.share:.2f}")
        )
    return rows


def _holds(model: Checkpoint) -> str:
    if not model.ngram_share:
        return ""
    return (
        f"The n-gram in this page holds pieces of the training text, {model.config.model.ngram} characters long, "
        "word for word. Do not publish the page if the text is private."
    )
