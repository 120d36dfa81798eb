"""Evaluates the model of a checkpoint on texts, read as its training text was or in another way."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
from charnet.engines import registry
from charnet.errors import ConfigError, CorpusError, symbol_noun
from charnet.evaluation.dynamic import Learner
from charnet.evaluation.evaluate import evaluate
from charnet.evaluation.exact_model import ExactModel
from charnet.evaluation.losses import Evaluation, checked
from charnet.evaluation.mixing import EachLoss, Mixture, Total
from charnet.model.device import set_threads
from charnet.model.ensemble import from_weights
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint

Places = list[tuple[int, int]]  # of unknown symbols: how many known ones are before each, and the symbol

MOST_UNKNOWN = 0.5  # of the characters of a text


def evaluate_files(
    checkpoint: Checkpoint,
    paths: Sequence[str],
    changes: Mapping[str, str] | None = None,
    *,
    threads: int = 0,
    dynamic_rate: float | None = None,
) -> Evaluation:
    """Evaluates the model of a checkpoint on texts.

    Args:
        changes: settings of `DataSettings` in which the texts are read in another way than the training text.
        threads: CPU threads; 0 = one per core on which no other program computes.
        dynamic_rate: also evaluates a copy of the model that learns while it reads, at this rate.

    Raises:
        ConfigError: the model knows no documents, or only lines; the rate is out of its range, or 8-bit weights would
            have to learn.
        CorpusError: a text is missing, empty, in another encoding, or most of its characters are unknown to the model.
        DivergedError: the loss is not finite.
    """
    limit_threads(threads)
    data = changed(checkpoint.config.data, changes or {})
    if dynamic_rate is not None:
        check_learns(checkpoint)
    ids, unknown, notes = encode_files(checkpoint.vocab, paths, data)
    check_known(paths, len(ids), sum(unknown.values()), symbol_noun(checkpoint.vocab.of_bytes))
    evaluation = evaluate_checkpoint(checkpoint, ids, unknown, dynamic_rate=dynamic_rate)
    return dataclasses.replace(evaluation, notes=tuple(notes))


def evaluate_each(
    checkpoint: Checkpoint, paths: Sequence[str], changes: Mapping[str, str] | None = None, *, threads: int = 0
) -> tuple[Evaluation, Ids, npt.NDArray[np.float64], Places]:
    """Evaluates the model of a checkpoint on texts, and returns also the ids of what was read and the loss of each.

    Args, Raises: as for `evaluate_files`.

    Returns:
        Also the places of the unknown symbols: how many ids are before each, and the symbol.
    """
    limit_threads(threads)
    data, places = changed(checkpoint.config.data, changes or {}), Places()
    ids, unknown, notes = encode_files(checkpoint.vocab, paths, data, places)
    check_known(paths, len(ids), sum(unknown.values()), symbol_noun(checkpoint.vocab.of_bytes))
    each = EachLoss(len(ids), checkpoint.ngram)
    evaluation = evaluate_checkpoint(checkpoint, ids, unknown, total=each)
    return dataclasses.replace(evaluation, notes=tuple(notes)), ids, each.nats_N, places


def check_known(paths: Sequence[str], known: int, unknown: int, noun: str) -> None:
    """Raises CorpusError if a model does not know most characters of a text: a loss over the others means nothing."""
    if unknown > MOST_UNKNOWN * (known + unknown):
        share = f"{100 * unknown / (known + unknown):.0f} %"
        raise CorpusError(
            f"{paths[0]}: the model does not know {share} of its {noun}s, so a figure over the others would mean "
            "nothing; use a model that was trained on such a text"
        )


def limit_threads(threads: int) -> None:
    """Limits torch to so many threads; 0 = one per core on which no other program computes.

    Raises:
        ConfigError: the number is out of its range.
    """
    threads = overlay(Config(), {"training.threads": threads}).training.threads  # within its limits
    set_threads(threads or machine.threads_beside_others(machine.processor_cores()))


def check_learns(checkpoint: Checkpoint) -> None:
    """Raises ConfigError if a model cannot learn: it has 8-bit weights."""
    if checkpoint.precision == "int8":
        name = checkpoint.path or "the model"
        raise ConfigError(f"{name}: 8-bit weights cannot learn; use the checkpoint that they were made from")


def encode_files(
    vocab: Vocabulary, paths: Sequence[str], data: DataSettings, places: Places | None = None
) -> tuple[Ids, Mapping[int, int], Sequence[str]]:
    """Encodes texts for a model; composes them if its alphabet has composed letters and they have parts of letters.

    Args:
        places: takes those of the unknown symbols.

    Returns:
        The ids of the known characters, at least one, the count of each unknown symbol, and notes for the user.

    Raises:
        CorpusError: a text is missing, empty, in another encoding, or has no character of the alphabet.
    """
    found = _encode(vocab, paths, data, places)
    if len(found[0]) == 0:
        raise CorpusError(f"{paths[0]}: the model knows none of its {symbol_noun(vocab.of_bytes)}s")
    return found


def _encode(
    vocab: Vocabulary, paths: Sequence[str], data: DataSettings, places: Places | None = None
) -> tuple[Ids, Mapping[int, int], Sequence[str]]:
    found = encode_for(vocab, paths, data, places=places)
    unknown = found[1]
    if vocab.of_bytes or data.normalize != "none" or not any(map(_is_composed_otherwise, map(chr, unknown))):
        return found
    if any(map(is_stream, paths)):  # it can be read only once
        return *found[:2], [*found[2], "the text may be decomposed (NFD); as a file it is composed where that helps"]
    composed = Places()
    ids, others, notes = encode_for(vocab, paths, dataclasses.replace(data, normalize="nfc"), places=composed)
    if sum(others.values()) >= sum(unknown.values()):
        return found
    if places is not None:
        places[:] = composed
    return ids, others, [*notes, "the text was composed (NFC), as the alphabet is"]


def _is_composed_otherwise(character: str) -> bool:
    """Returns whether a character is a part of a letter, such as an accent, or is replaced in the form NFC."""
    return not starts_cluster(character) or unicodedata.normalize("NFC", character) != character


def changed(trained: DataSettings, changes: Mapping[str, str]) -> DataSettings:
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


def part_of(checkpoint: Checkpoint, ids: Ids) -> Part:
    """Returns the ids of a text as the model of a checkpoint reads it: whole, or document by document."""
    has_documents = bool(checkpoint.config.data.document_end)
    return Part(ids, Documents.up_to(ends_of_lines(ids, checkpoint.vocab.start_id())) if has_documents else None)


def model_of(checkpoint: Checkpoint) -> Any:
    """Returns the networks of a checkpoint, without its n-gram, as `evaluate` calls a model.

    Those with 8-bit weights are run by the engine that reads many texts at once the fastest.
    """
    model = checkpoint.config.model
    if checkpoint.precision != "int8":
        return from_weights(model, checkpoint.weights)
    engine = registry.engine_of(model, checkpoint.stored_weights, registry.available("compiled"))
    return ExactModel(engine, model.members, len(checkpoint.vocab))


def evaluate_text(checkpoint: Checkpoint, text: str) -> Evaluation:
    """Evaluates the model of a checkpoint on a text, as its training text was read.

    Raises:
        CorpusError: the text is empty, or the alphabet has none of its characters.
    """
    codes = checkpoint.vocab.codes(text)
    ids = checkpoint.vocab.lookup(codes)
    if not (ids >= 0).any():
        raise CorpusError("the text is empty" if not len(ids) else "the model knows none of the text's characters")
    unknown = dict(Counter(codes[ids < 0].tolist()))
    return evaluate_checkpoint(checkpoint, ids[ids >= 0].astype("u4"), unknown)


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    ids: Ids,
    unknown: Mapping[int, int],
    *,
    dynamic_rate: float | None = None,
    total: Total | None = None,
) -> Evaluation:
    """Evaluates the model of a checkpoint on the ids of a text.

    A model that was trained on documents reads each document by itself.

    Args:
        ids: of the characters in the alphabet, at least one.
        unknown: the count of each other symbol.
        dynamic_rate: also evaluates a copy of the model that learns while it reads, at this rate.
        total: adds up the loss of a chunk, with that of the n-gram if the model has one.
    """
    vocab, part = checkpoint.vocab, part_of(checkpoint, ids)
    with machine.explain_out_of_memory("close other programs"):
        ngram, model = checkpoint.ngram, model_of(checkpoint)
        total = total or (Mixture(ngram) if ngram else None)
        evaluation = checked(evaluate(model, part, vocab.start_id(), total=total))
        if dynamic_rate is not None:
            dynamic = Learner(model, ngram, dynamic_rate).read(part, vocab.start_id())
            evaluation = dataclasses.replace(evaluation, dynamic=dynamic)
    return dataclasses.replace(evaluation, unknown={vocab.name(symbol): count for symbol, count in unknown.items()})
