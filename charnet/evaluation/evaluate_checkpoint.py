"""Evaluates the model of a checkpoint on texts, read as its training text was or in another way."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence

from charnet import machine
from charnet.config import DOCUMENT_END, Config, DataSettings
from charnet.data.corpus import encode_for
from charnet.data.documents import Documents, ends_of_lines
from charnet.data.encoded_copy import Ids
from charnet.data.normalize import starts_cluster
from charnet.data.segment import separator
from charnet.data.split import Part
from charnet.data.streams import is_stream
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, CorpusError
from charnet.evaluation.evaluate import Evaluation, checked, evaluate
from charnet.evaluation.mixing import total_of_mixture
from charnet.model.device import set_threads
from charnet.model.ensemble import from_weights
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint


def evaluate_files(
    checkpoint: Checkpoint, paths: Sequence[str], changes: Mapping[str, str] | None = None, *, threads: int = 0
) -> Evaluation:
    """Evaluates the model of a checkpoint on texts.

    Args:
        changes: settings of `DataSettings` in which the texts are read in another way than the training text.
        threads: CPU threads; 0 = one per core on which no other program computes.

    Raises:
        ConfigError: the model knows no documents, or only lines.
        CorpusError: a text is missing, empty, in another encoding, or has no character of the model's alphabet.
        DivergedError: the loss is not finite.
    """
    threads = overlay(Config(), {"training.threads": threads}).training.threads  # within its limits
    data = _changed(checkpoint.config.data, changes or {})
    ids, unknown, notes = _encode(checkpoint.vocab, paths, data)
    if len(ids) == 0:
        raise CorpusError(f"{paths[0]}: the model knows none of its characters")
    set_threads(threads or machine.threads_beside_others(machine.processor_cores()))
    return dataclasses.replace(evaluate_checkpoint(checkpoint, ids, unknown), notes=tuple(notes))


def _encode(
    vocab: Vocabulary, paths: Sequence[str], data: DataSettings
) -> tuple[Ids, Mapping[int, int], Sequence[str]]:
    """Encodes texts; composes them if the alphabet has composed letters and the texts have parts of letters."""
    found = encode_for(vocab, paths, data)
    unknown = found[1]
    if vocab.of_bytes or data.normalize != "none" or not any(map(_is_composed_otherwise, map(chr, unknown))):
        return found
    if any(map(is_stream, paths)):  # it can be read only once
        return *found[:2], [*found[2], "the text may be decomposed (NFD); as a file it is composed where that helps"]
    ids, others, notes = encode_for(vocab, paths, dataclasses.replace(data, normalize="nfc"))
    if sum(others.values()) >= sum(unknown.values()):
        return found
    return ids, others, [*notes, "the text was composed (NFC), as the alphabet is"]


def _is_composed_otherwise(character: str) -> bool:
    """Returns whether a character is a part of a letter, such as an accent, or is replaced in the form NFC."""
    return not starts_cluster(character) or unicodedata.normalize("NFC", character) != character


def _changed(trained: DataSettings, changes: Mapping[str, str]) -> DataSettings:
    """Returns how texts are read; a field is given in place of a separator, and the other way round."""
    documents, field = changes.get("documents"), changes.get("field")
    if documents is not None or field is not None:
        if trained.document_end != DOCUMENT_END:
            raise ConfigError("--documents, --field: the model was not trained with one of them; leave them out")
        if documents and field:
            raise ConfigError("--documents and --field: two ways to separate documents; leave one out")
        documents = "\n" if documents == "line" else documents or ("" if field else "file")
        changes = {**changes, "documents": documents, "field": field or ""}
    data = overlay(Config(data=trained), {f"data.{name}": value for name, value in changes.items()}).data
    if data.documents:
        separator(data)
    return data


def evaluate_checkpoint(checkpoint: Checkpoint, ids: Ids, unknown: Mapping[int, int]) -> Evaluation:
    """Evaluates the model of a checkpoint on the ids of a text.

    A model that was trained on documents reads each document by itself.

    Args:
        ids: of the characters in the alphabet, at least one.
        unknown: the count of each other symbol.
    """
    vocab = checkpoint.vocab
    has_documents = bool(checkpoint.config.data.document_end)
    documents = Documents.up_to(ends_of_lines(ids, vocab.start_id())) if has_documents else None
    with machine.explain_out_of_memory("close other programs"):
        model = from_weights(checkpoint.config.model, checkpoint.weights)
        total = total_of_mixture(checkpoint.ngram) if checkpoint.ngram else None
        evaluation = checked(evaluate(model, Part(ids, documents), vocab.start_id(), total=total))
    return dataclasses.replace(evaluation, unknown={vocab.name(symbol): count for symbol, count in unknown.items()})
