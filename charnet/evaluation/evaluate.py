"""Evaluates a model on a text: the mean loss in nats per character over every character.

The text is cut into streams that are read side by side. To warm up its state, each stream first reads the characters
before its own, which do not count; the first stream begins with a zero state. Memory fades within the warm-up: for
trained models the result differed from that of a single stream by less than 0.000001. Only a network that never
forgets, a relu network with an eigenvalue near one, gives another result.

Shape legend: S streams, T characters in a chunk, V characters in the alphabet.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from charnet.data.documents import NO_TARGET, Documents, read_window
from charnet.data.encoded_copy import Ids
from charnet.data.split import Part
from charnet.evaluation.losses import Evaluation
from charnet.evaluation.mixing import Targets, Total
from charnet.model.ensemble import Model

WARM_UP = 256  # characters before its own that a stream reads
SHORTEST_STREAM = 4 * WARM_UP
MOST_STREAMS = 64
LARGEST_CHUNK = 1 << 22  # logits in memory at once
LONGEST_CHUNK = 256  # characters
DOCUMENTS_SORTED = 1 << 14  # at once, by length: documents of similar length are read together
LONG_DOCUMENT = 8 * SHORTEST_STREAM  # characters; it is read in streams, as a running text is


Work = Callable[[], float]  # returns the loss of a piece of a text, in nats
AddUp = Callable[[Iterable[Work]], float]


def add_up(works: Iterable[Work]) -> float:
    """Returns the sum over all pieces of a text, rounded once: their order does not matter."""
    return math.fsum(work() for work in works)


class Stopped(Exception):  # noqa: N818 - a signal between two functions, not an error
    """The evaluation was asked to stop before its end."""


def evaluate(
    model: Model,
    text: Part,
    start_id: int,
    *,
    most: int = 0,
    streams: int | None = None,
    stop: Callable[[], object] = lambda: False,
    total: Total | None = None,
    pieces: int = 1,
    add_up: AddUp = add_up,
) -> Evaluation:
    """Evaluates a model on a text: predicts each character from all before it, the first from `start_id`.

    Args:
        text: at least one character. Documents are read one by one, each from a zero state.
        most: the approximate number of characters to read, 0 for all: the first characters of each stream, or the
            first documents.
        streams: the number of streams; by default chosen by the length of the text. 1 reads it in one piece.
        stop: called before every chunk.
        total: adds up the loss of a chunk; by default that of the model alone.
        pieces: of the streams of a running text; documents are many pieces anyway.
        add_up: computes the pieces, perhaps some of them elsewhere, and adds them up.

    Raises:
        Stopped: `stop` returned true.
    """
    was_training = model.training
    model.eval()
    try:
        if text.documents is None:
            streams = streams or _num_streams(len(text.ids))
            return _evaluate_text(model, text.ids, start_id, most, streams, stop, total, pieces, add_up)
        documents = text.documents.head(most) if most else text.documents
        works = _works_of_documents(model, text.ids, start_id, documents, stop, total, pieces)
        return Evaluation(add_up(works), int(documents.lengths.sum()))
    finally:
        model.train(was_training)


def _evaluate_text(
    model: Model,
    ids: Ids,
    start_id: int,
    most: int,
    streams: int,
    stop: Callable[[], object],
    total: Total | None,
    pieces: int,
    add_up: AddUp,
) -> Evaluation:
    length = -(-len(ids) // streams)
    read_length = min(length, -(-most // streams)) if most else length
    counted = sum(min(read_length, max(0, len(ids) - stream * length)) for stream in range(streams))
    works = _works_of_streams(model, ids, start_id, streams, read_length, stop, total, pieces=pieces)
    return Evaluation(add_up(works), counted)


def _num_streams(length: int) -> int:
    return max(1, min(MOST_STREAMS, length // SHORTEST_STREAM))


def _works_of_streams(
    model: Model,
    ids: Ids,
    start_id: int,
    streams: int,
    read_length: int,
    stop: Callable[[], object],
    total: Total | None,
    offset: int = 0,
    pieces: int = 1,
) -> Iterator[Work]:
    """Yields the works of a text in streams, of which each reads so many characters."""
    length = -(-len(ids) // streams)
    nats = functools.partial(_nats_of_streams, model, ids, start_id, length, read_length, stop, total, offset)
    for starts_S in np.array_split(np.arange(streams) * length, min(pieces, streams)):
        yield functools.partial(nats, starts_S)


@torch.no_grad()
def _nats_of_streams(
    model: Model,
    ids: Ids,
    start_id: int,
    length: int,
    read_length: int,
    stop: Callable[[], object],
    total: Total | None,
    offset: int,
    starts_S: npt.NDArray[np.int64],
) -> float:
    """Returns the loss on the first characters of the streams that begin at `starts_S`; each has this length."""
    device, streams = next(model.parameters()).device, len(starts_S)
    chunk = _chunk_length(model, streams)
    warm_up = WARM_UP if length < len(ids) else 0
    sum_nats, begins_S = 0.0, np.zeros(streams, np.int64)
    state = model.initial_state(streams)
    for begin, end in [*_spans(-warm_up, 0, chunk), *_spans(0, read_length, chunk)]:
        if stop():
            raise Stopped
        x_ST, y_ST, counted_ST = _columns(ids, start_id, starts_S, begin, end)
        logits_STV, state = model(torch.from_numpy(x_ST).to(device), state)
        if begin >= 0:
            targets = Targets(ids, begins_S, starts_S + begin, start_id, counted_ST, offset)
            sum_nats += _sum(logits_STV, y_ST, targets, total)
        elif end == 0 and starts_S[0] == 0:
            for each in (each for layer in state for each in layer):
                each[0] = 0  # nothing comes before the first stream
    return sum_nats


def _sum(logits_STV: torch.Tensor, y_ST: npt.NDArray[np.int64], targets: Targets, total: Total | None) -> float:
    """Returns the sum of the losses that count, in nats."""
    y = torch.from_numpy(y_ST).to(logits_STV.device).flatten()
    nats = F.cross_entropy(logits_STV.flatten(0, 1), y, reduction="none").cpu().double()
    if total is None:
        return float(nats[torch.from_numpy(targets.counted_ST).flatten()].sum())
    return total(nats.view(y_ST.shape).numpy(), targets)


def _works_of_documents(
    model: Model,
    ids: Ids,
    start_id: int,
    documents: Documents,
    stop: Callable[[], object],
    total: Total | None,
    pieces: int,
) -> Iterator[Work]:
    """Reads each document from a zero state; documents of similar length are read side by side."""
    is_long = documents.lengths > LONG_DOCUMENT
    for begin, end in zip(*map(np.ndarray.tolist, documents.take(np.flatnonzero(is_long))), strict=True):
        part, streams = ids[begin:end], _num_streams(end - begin)
        length = -(-len(part) // streams)
        yield from _works_of_streams(model, part, start_id, streams, length, stop, total, begin, pieces)
    documents = documents.take(np.flatnonzero(~is_long))
    for first in range(0, len(documents.ends), DOCUMENTS_SORTED):
        block = documents.take(slice(first, first + DOCUMENTS_SORTED))
        block = block.take(np.argsort(block.lengths, kind="stable"))
        for at in range(0, len(block.ends), MOST_STREAMS):
            group = block.take(slice(at, at + MOST_STREAMS))
            yield functools.partial(_nats_of_group, model, ids, start_id, group, stop, total)


@torch.no_grad()
def _nats_of_group(
    model: Model, ids: Ids, start_id: int, group: Documents, stop: Callable[[], object], total: Total | None
) -> float:
    device, chunk = next(model.parameters()).device, _chunk_length(model, MOST_STREAMS)
    sum_nats, state = 0.0, model.initial_state(len(group.ends))
    for offset in range(0, int(group.lengths.max()), chunk):
        if stop():
            raise Stopped
        x_ST, y_ST = read_window(ids, group, group.begins + offset, chunk, start_id)
        logits_STV, state = model(torch.from_numpy(x_ST).to(device), state)
        targets = Targets(ids, group.begins, group.begins + offset, start_id, y_ST != NO_TARGET)
        sum_nats += _sum(logits_STV, y_ST, targets, total)
    return sum_nats


def _chunk_length(model: Model, streams: int) -> int:
    """Returns the characters of each stream that are read at once: short for an ensemble, so that a stop is quick."""
    return max(1, min(LONGEST_CHUNK // len(model.members), LARGEST_CHUNK // (streams * model.alphabet_size)))


def _spans(begin: int, end: int, chunk: int) -> list[tuple[int, int]]:
    return [(at, min(at + chunk, end)) for at in range(begin, end, chunk)]


def _columns(
    ids: Ids, start_id: int, starts_S: npt.NDArray[np.int64], begin: int, end: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Returns inputs, targets and a mask of the targets inside the text, each (S, T).

    They are at positions `begin` to `end` of every stream.
    """
    at_ST = starts_S[:, None] + np.arange(begin, end)[None, :]
    counted_ST = at_ST < len(ids)
    y_ST = ids[np.clip(at_ST, 0, len(ids) - 1)].astype(np.int64)
    x_ST = ids[np.clip(at_ST - 1, 0, len(ids) - 1)].astype(np.int64)
    x_ST[at_ST <= 0] = start_id
    return x_ST, y_ST, counted_ST
