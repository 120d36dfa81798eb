"""Describes a checkpoint as a value: everything that `charnet inspect` shows. Needs no torch and prints nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charnet.config import Config
from charnet.data.vocab import Vocabulary
from charnet.errors import plural
from charnet.model.shapes import member_prefixes
from charnet.overlay import as_dict, default
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState

ALPHABET_SHOWN = 400  # characters


@dataclass(frozen=True)
class Description:
    """The content of a checkpoint, for people and programs. Losses are in nats per character.

    `ngram` has order, share, number of entries and bytes on disk of the n-gram; it is empty without one.
    """

    path: str
    size_bytes: int
    sha256: str
    weights_sha256: str
    created: str
    config: Config
    precision: str
    alphabet_size: int
    of_bytes: bool
    alphabet_shown: str
    parameters: int
    parameters_by_part: dict[str, int]
    ngram: dict[str, float]
    corpus: CorpusInfo
    progress: TrainerState
    history: list[dict[str, float]]
    versions: dict[str, str]

    @property
    def short_model_line(self) -> str:
        """The model in a few words: cell, networks, layers, units."""
        model = self.config.model
        cell = f"{model.cell} ({model.activation})" if model.cell == "rnn" else model.cell
        layers = plural(model.num_layers, "layer")
        networks = f"{model.members} networks of " if model.members > 1 else ""
        return f"{cell}, {networks}{layers} of {model.hidden_size} units"

    @property
    def model_line(self) -> str:
        """The model in a line: cell, sizes, dropout, precision."""
        model = self.config.model
        width = model.embedding_size or model.hidden_size
        weight_dropout = f", weight dropout {model.weight_dropout:g}" if model.weight_dropout else ""
        quantized = ", 8-bit weights" if self.precision == "int8" else ""
        return f"{self.short_model_line}, embedding {width}, dropout {model.dropout:g}{weight_dropout}{quantized}"

    @property
    def passes(self) -> float:
        """How often the training text was read (epochs)."""
        data, characters = self.config.data, self.corpus.characters
        trained = characters - data.num_held_out(characters) - int(characters * data.test_fraction)
        return self.progress.chars_seen / max(1, trained)

    @property
    def curve(self) -> list[float]:
        """The loss of each evaluation: validation, or training if no text is held out."""
        losses = [line.get("val_nats_per_char", line.get("train_nats_per_char")) for line in self.history]
        return [loss for loss in losses if loss is not None]

    @property
    def last_nats_per_char(self) -> float | None:
        """The loss of the last evaluation."""
        return self.curve[-1] if self.curve else None

    @property
    def settings_line(self) -> str:
        """The settings of data and training that differ from their defaults."""
        changes = len(self.config.training.length_changes)
        shown = [
            f"{key} {value}"
            for section in ("data", "training")
            for key, value in as_dict(self.config)[section].items()
            if value not in (default(f"{section}.{key}"), [])
            and key not in ("paths", "val", "length_changes", "resume_changes")
        ]
        return ", ".join([*shown, f"length changed {plural(changes, 'time')} to end on time"] if changes else shown)

    def as_dict(self) -> dict[str, Any]:
        """Returns everything, ready for JSON."""
        best, last = self.progress.best_nats_per_char, self.last_nats_per_char
        return vars(self) | {
            "config": as_dict(self.config),
            "corpus": vars(self.corpus),
            "progress": vars(self.progress),
            "best_nats_per_char": best,
            "best_bits_per_char": None if best is None else best / math.log(2),
            "last_nats_per_char": last,
            "last_bits_per_char": None if last is None else last / math.log(2),
            "passes": self.passes,
            "checksum_verified": True,
        }


def describe(path: Path) -> Description:
    """Reads, checks and describes a checkpoint.

    Raises:
        CheckpointError: it is missing, damaged or not a checkpoint of charnet.
    """
    checkpoint = Checkpoint.load(path)
    prefixes = member_prefixes(checkpoint.config.model)
    parts: dict[str, int] = {}
    for name, tensor in checkpoint.weights.items():
        own = name.removeprefix(next(filter(name.startswith, prefixes)))
        part = ".".join(own.split(".")[:-1]).replace("layers.", "layer ")
        parts[part] = parts.get(part, 0) + tensor.size
    return Description(
        path=str(path),
        size_bytes=checkpoint.size_bytes,
        sha256=checkpoint.sha256,
        weights_sha256=checkpoint.weights_sha256(),
        created=checkpoint.created,
        config=checkpoint.config,
        precision=checkpoint.precision,
        alphabet_size=len(checkpoint.vocab),
        of_bytes=checkpoint.vocab.of_bytes,
        alphabet_shown=printable(checkpoint.vocab),
        parameters=sum(parts.values()),
        parameters_by_part={part: parts[part] for part in sorted(parts, key=_place)},
        ngram=_ngram(checkpoint),
        corpus=checkpoint.corpus,
        progress=checkpoint.trainer_state,
        history=checkpoint.history,
        versions=checkpoint.versions,
    )


def _ngram(checkpoint: Checkpoint) -> dict[str, float]:
    """Describes the n-gram."""
    if (ngram := checkpoint.ngram) is None:
        return {}
    size = sum(tensor.nbytes for tensor in checkpoint.part("ngram").values())
    return {"order": ngram.table.order, "share": ngram.share, "entries": len(ngram.table), "size_bytes": size}


def _place(part: str) -> tuple[int, int]:
    """Sorts the parts: the embedding, the layers by number, the head."""
    if part.startswith("layer "):
        return 1, int(part.removeprefix("layer "))
    return (0, 0) if part == "embedding" else (2, 0)


def printable(vocab: Vocabulary) -> str:
    """Formats an alphabet as a line, with escapes for characters that cannot be printed, shortened if it is long.

    >>> printable(Vocabulary.of_text("b\\na"))
    '\\\\n a b'
    """
    first = vocab.characters[:ALPHABET_SHOWN]
    if vocab.of_bytes:
        shown = " ".join(f"{symbol:02x}" for symbol in first)
    else:
        shown = " ".join(_printable(chr(symbol)) for symbol in first)
    return shown + (" ..." if len(vocab) > len(first) else "")


def _printable(character: str) -> str:
    if character == " ":
        return "space"
    return character if character.isprintable() else repr(character)[1:-1]
