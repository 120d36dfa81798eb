"""What an exported file says about its model: alphabet, sizes, what was left out.

    charnet_format      1: the version of this list
    charnet_version     of the program that wrote the file
    alphabet            JSON: a number for each id, a code point or a byte; U+FFFD for the rare character
    alphabet_unit       code points, or bytes
    start_id            the id to read before a text without a prompt
    rare_id             the id of the rare character, which is never to be written, or empty
    document_end_id     the id that ends a document and is never to be written, or empty
    cell, activation    lstm, cifg, gru or rnn; tanh, relu or sigmoid of the rnn
    layers, units, embedding, members    the sizes of the model
    text                JSON: how the text was made alike before training: lowercase, newlines, normalize
    precision           fp32, or int8: how precise the matrices are
    left_out            what the checkpoint has and the file has not, or empty

All values are texts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from charnet.version import __version__

if TYPE_CHECKING:
    from charnet.data.vocab import Vocabulary
    from charnet.storage.checkpoint import Checkpoint

FORMAT = 1
RARE = 0xFFFD  # REPLACEMENT CHARACTER: the rare character of an alphabet has no code point
OF_TEXT = ("lowercase", "newlines", "normalize")  # settings of the data


def symbols(vocab: Vocabulary) -> list[int]:
    """Returns a number for each id: a code point or a byte, and `RARE` for the rare character."""
    return [*vocab.characters, *([] if vocab.rare_id is None else [RARE])]


def embedding_size(model: Checkpoint) -> int:
    return model.config.model.embedding_size or model.config.model.hidden_size


def left_out(model: Checkpoint) -> str:
    """Returns what no exported file holds of this checkpoint, or ""."""
    return f"n-gram with a share of {model.ngram_share:.4g}" if model.ngram_share else ""


def metadata(model: Checkpoint) -> dict[str, str]:
    """Returns what a file says about its model, as at the top of this module."""
    vocab, shape = model.vocab, model.config.model
    end = vocab.document_end
    facts = {
        "charnet_format": FORMAT,
        "charnet_version": __version__,
        "alphabet": json.dumps(symbols(vocab)),
        "alphabet_unit": "bytes" if vocab.of_bytes else "code points",
        "start_id": vocab.start_id(),
        "rare_id": "" if vocab.rare_id is None else vocab.rare_id,
        "document_end_id": "" if end is None else vocab.symbols.index(end),
        "cell": shape.cell,
        "activation": shape.activation if shape.cell == "rnn" else "tanh",
        "layers": shape.num_layers,
        "units": shape.hidden_size,
        "embedding": embedding_size(model),
        "members": shape.members,
        "text": json.dumps({name: getattr(model.config.data, name) for name in OF_TEXT}),
        "precision": model.precision,
        "left_out": left_out(model),
    }
    return {name: str(fact) for name, fact in facts.items()}
