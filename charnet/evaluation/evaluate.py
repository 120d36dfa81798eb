"""Evaluates a model on a text: the mean loss in nats per character over every character.

The text is cut into streams that are read side by side. To warm up its state, each stream first reads the characters
before its own, which do not count; the first stream begins with a zero state. Memory fades within the warm-up: for
trained models the result differed from that of a single stream by less than 0.000001. Only a network that never
forgets, a relu network with an eigenvalue near one, gives another result.

Shape legend: S streams, T characters in a chunk, V characters in the alphabet.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from charnet.config import Config
from charnet.data.batches import StreamPosition
from charnet.data.corpus import describe_reading, encode_for
from charnet.data.documents import DocumentStreams, ends_of_lines
from charnet.data.encoded_copy import Ends, Ids
from charnet.data.refusals import SourceInfo
from charnet.errors import CorpusError
from charnet.machine import explain_out_of_memory
from charnet.model.device import set_threads
from charnet.model.ensemble import Model, from_weights
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint

WARM_UP = 256  # characters before its own that a stream reads
SHORTEST_STREAM = 4 * WARM_UP
MOST_STREAMS = 64
LARGEST_CHUNK = 1 << 22  # logits in memory at once
LONGEST_CHUNK = 256  # characters
DOCUMENTS_SORTED = 1 << 14  # at once, by length: documents of similar length are read together


class Stopped(Exception):  # noqa: N818 - a signal between two functions, not an error
    """The evaluation was asked to stop before its end."""


@dataclass(frozen=True)
class Evaluation:
    """The total loss on a text, in nats, and the number of characters it is summed over.

    `unknown` counts, by name, the characters outside the model's alphabet. They are neither read nor predicted. `notes`
    are sentences for the user about the text.
    """

    nats: float
    characters: int
    unknown: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def nats_per_char(self) -> float:
        return self.nats / self.characters

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """The number of equally likely characters that would be as hard to predict."""
        return math.exp(self.nats_per_char) if self.nats_per_char < 700 else math.inf

    def as_dict(self) -> dict[str, Any]:
        """Returns all numbers, for JSON."""
        return {
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.bits_per_char,
            "perplexity": self.perplexity if math.isfinite(self.perplexity) else None,
            "characters": self.characters,
            "unknown_characters": sum(self.unknown.values()),
            "unknown": self.unknown,
            "notes": list(self.notes),
        }


def evaluate_files(
    checkpoint: Checkpoint,
    paths: Sequence[str],
    *,
    encoding: str | None = None,
    encoding_errors: str | None = None,
    glob: str = "*.txt",
    threads: int = 0,
) -> Evaluation:
    """Evaluates the model of a checkpoint on texts.

    Args:
        encoding: of the texts; by default that of the training text. So for `encoding_errors`.
        threads: CPU threads; 0 = one per core.

    Raises:
        CorpusError: a text is missing, empty, in another encoding, or has no character of the model's alphabet.
    """
    threads = overlay(Config(), {"training.threads": threads}).training.threads  # within its limits
    given = {"data.encoding": encoding, "data.encoding_errors": encoding_errors, "data.glob": glob}
    data = overlay(checkpoint.config, {name: value for name, value in given.items() if value is not None}).data
    infos: list[SourceInfo] = []
    ids, unknown = encode_for(checkpoint.vocab, paths, data, infos)
    if len(ids) == 0:
        raise CorpusError(f"{paths[0]}: the model knows none of its characters")
    set_threads(threads)
    notes = tuple(describe_reading(infos, data))
    return dataclasses.replace(evaluate_checkpoint(checkpoint, ids, unknown), notes=notes)


def evaluate_checkpoint(checkpoint: Checkpoint, ids: Ids, unknown: Mapping[int, int]) -> Evaluation:
    """Evaluates the model of a checkpoint on the ids of a text.

    A model that was trained on lines reads every line by itself.

    Args:
        ids: of the characters in the alphabet, at least one.
        unknown: the count of each other symbol.
    """
    vocab = checkpoint.vocab
    ends = ends_of_lines(ids, vocab.start_id()) if checkpoint.config.data.lines else None
    with explain_out_of_memory("close other programs"):
        model = from_weights(checkpoint.config.model, checkpoint.weights)
        evaluation = evaluate(model, ids, vocab.start_id(), ends)
    return dataclasses.replace(evaluation, unknown={vocab.name(symbol): count for symbol, count in unknown.items()})


def evaluate(
    model: Model,
    ids: Ids,
    start_id: int,
    ends: Ends | None = None,
    *,
    most: int = 0,
    streams: int | None = None,
    stop: Callable[[], object] = lambda: False,
) -> Evaluation:
    """Evaluates a model on a text: predicts each character from all before it, the first from `start_id`.

    Args:
        ids: the text, at least one character.
        ends: the end of each document, if each is read by itself.
        most: the approximate number of characters to read, 0 for all: the first characters of each stream, or the
            first documents.
        streams: the number of streams; by default chosen by the length of the text. 1 reads it in one piece.
        stop: called before every chunk.

    Raises:
        Stopped: `stop` returned true.
    """
    if ends is not None and most:
        ends = ends[: max(1, int(np.searchsorted(ends, most, side="right")))]
        ids = ids[: int(ends[-1])]
    streams = streams or max(1, min(MOST_STREAMS, len(ids) // SHORTEST_STREAM))
    was_training = model.training
    model.eval()
    length = -(-len(ids) // streams)
    read_length = min(length, -(-most // streams)) if most else length
    counted = sum(min(read_length, max(0, len(ids) - stream * length)) for stream in range(streams))
    try:
        if ends is not None:
            return Evaluation(_nats_of_documents(model, ids, start_id, ends, stop), len(ids))
        return Evaluation(_total_nats(model, ids, start_id, streams, read_length, stop), counted)
    finally:
        model.train(was_training)


@torch.no_grad()
def _total_nats(
    model: Model, ids: Ids, start_id: int, streams: int, read_length: int, stop: Callable[[], object]
) -> float:
    device = next(model.parameters()).device
    length = -(-len(ids) // streams)
    chunk = _chunk_length(model, streams)
    warm_up = WARM_UP if streams > 1 else 0
    total = 0.0
    state = model.initial_state(streams)
    for begin, end in [*_spans(-warm_up, 0, chunk), *_spans(0, read_length, chunk)]:
        if stop():
            raise Stopped
        x_ST, y_ST, counted_ST = _columns(ids, start_id, streams, length, begin, end)
        logits_STV, state = model(torch.from_numpy(x_ST).to(device), state)
        if begin >= 0:
            y = torch.from_numpy(y_ST).to(device).flatten()
            nats = F.cross_entropy(logits_STV.flatten(0, 1), y, reduction="none").cpu().double()
            total += float(nats[torch.from_numpy(counted_ST).flatten()].sum())
        elif end == 0:
            for each in (each for layer in state for each in layer):
                each[0] = 0  # nothing comes before the first stream
    return total


@torch.no_grad()
def _nats_of_documents(model: Model, ids: Ids, start_id: int, ends: Ends, stop: Callable[[], object]) -> float:
    """Reads each document from a zero state; documents of similar length are read side by side."""
    device = next(model.parameters()).device
    chunk = _chunk_length(model, MOST_STREAMS)
    total = 0.0
    for first in range(0, len(ends), DOCUMENTS_SORTED):
        block_ends = ends[first : first + DOCUMENTS_SORTED].astype(np.int64)
        begins = np.concatenate([[int(ends[first - 1]) if first else 0], block_ends[:-1]])
        order = np.argsort(block_ends - begins, kind="stable")
        for at in range(0, len(order), MOST_STREAMS):
            group = order[at : at + MOST_STREAMS]
            streams = DocumentStreams(ids, block_ends[group], start_id, len(group), chunk, begins[group])
            position, state = StreamPosition(), model.initial_state(len(group))
            while position.passes == 0:
                if stop():
                    raise Stopped
                x_ST, y_ST = (torch.from_numpy(each).to(device) for each in streams.read(position))
                logits_STV, state = model(x_ST, state)
                nats = F.cross_entropy(logits_STV.flatten(0, 1), y_ST.flatten(), reduction="none")
                total += float(nats.cpu().double().sum())
                position = streams.after(position)
    return total


def _chunk_length(model: Model, streams: int) -> int:
    """Returns the characters of each stream that are read at once: short for an ensemble, so that a stop is quick."""
    return max(1, min(LONGEST_CHUNK // len(model.members), LARGEST_CHUNK // (streams * model.alphabet_size)))


def _spans(begin: int, end: int, chunk: int) -> list[tuple[int, int]]:
    return [(at, min(at + chunk, end)) for at in range(begin, end, chunk)]


def _columns(
    ids: Ids, start_id: int, streams: int, length: int, begin: int, end: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Returns inputs, targets and a mask of the targets inside the text, each (S, T).

    They are at positions `begin` to `end` of every stream.
    """
    at_ST = np.arange(streams)[:, None] * length + np.arange(begin, end)[None, :]
    counted_ST = at_ST < len(ids)
    y_ST = ids[np.clip(at_ST, 0, len(ids) - 1)].astype(np.int64)
    x_ST = ids[np.clip(at_ST - 1, 0, len(ids) - 1)].astype(np.int64)
    x_ST[at_ST <= 0] = start_id
    return x_ST, y_ST, counted_ST
