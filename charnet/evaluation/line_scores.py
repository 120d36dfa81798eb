"""Scores each line or document of a text by itself: the loss of every character, predicted from those of its line.

Lines are read block by block, so memory does not grow with the text. In a block those of similar length are read side
by side.

Shape legend: N lines, S of them side by side, T characters in a chunk.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from charnet.config import DataSettings
from charnet.data.documents import NO_TARGET, Documents, read_window
from charnet.data.encoded_copy import Ids
from charnet.data.lines import Lines, blocks_of_lines, texts_for
from charnet.data.split import Part
from charnet.data.vocab import Vocabulary
from charnet.errors import DivergedError
from charnet.evaluation.evaluate import LONG_DOCUMENT, LONGEST_CHUNK, evaluate
from charnet.evaluation.evaluate_checkpoint import changed, limit_threads, model_of
from charnet.evaluation.mixing import Mixture, Targets
from charnet.model.ensemble import Model
from charnet.storage.checkpoint import Checkpoint

SIDE_BY_SIDE = 512  # lines
MOST_LOGITS = 1 << 22  # in memory at once
LINE_END = 0x0A


class LineScore(NamedTuple):
    """The loss of one line, in nats.

    `number` counts the lines of their file from 1; of a model of documents or lines, the documents, of which empty ones
    are left out when the text is read. `characters` are those that were read and predicted,
    the end of the line too if the alphabet has it; `unknown` counts those outside the alphabet, which are left out.
    """

    file: str
    number: int
    nats: float
    characters: int
    unknown: int

    @property
    def nats_per_char(self) -> float | None:
        return self.nats / self.characters if self.characters else None


def score_lines(
    checkpoint: Checkpoint,
    paths: Sequence[str],
    changes: Mapping[str, str] | None = None,
    *,
    threads: int = 0,
    notes: list[str] | None = None,
) -> Iterator[LineScore]:
    """Scores each document of texts, as the model was trained on them; without documents, each line as a text.

    Args:
        changes: settings of `DataSettings` in which the texts are read in another way than the training text.
        threads: CPU threads; 0 = one per core on which no other program computes.
        notes: gets sentences for the user about the texts when all were read.

    Raises:
        ConfigError, CorpusError: as `evaluate_files`, but for texts without a known character. A text that cannot be
            read to its end is refused after the scores of what was read.
        DivergedError: the loss is not finite.
    """
    limit_threads(threads)
    vocab, data = checkpoint.vocab, _composed(checkpoint.vocab, changed(checkpoint.config.data, changes or {}))
    end = ord(data.document_end) if data.document_end else LINE_END
    texts = texts_for(vocab, paths, data, [] if notes is None else notes)
    model, mixture = model_of(checkpoint), Mixture(checkpoint.ngram) if checkpoint.ngram else None
    for file, symbols in texts:
        number = 0
        for lines in blocks_of_lines(symbols, end, vocab):
            nats_N = nats_of_lines(model, lines, vocab.start_id(), mixture)
            columns = (nats_N, Documents.up_to(lines.ends).lengths, lines.unknown)
            for values in zip(*map(np.ndarray.tolist, columns), strict=True):
                number += 1
                yield LineScore(file, number, *values)


def _composed(vocab: Vocabulary, data: DataSettings) -> DataSettings:
    """Returns how a text is read: composed, where the alphabet has only composed letters."""
    if vocab.of_bytes or data.normalize != "none":
        return data
    alphabet = "".join(map(chr, vocab.characters))
    is_composed = unicodedata.normalize("NFC", "\n".join(alphabet)) == "\n".join(alphabet)
    return dataclasses.replace(data, normalize="nfc") if is_composed else data


@torch.no_grad()
def nats_of_lines(model: Model, lines: Lines, start_id: int, mixture: Mixture | None) -> npt.NDArray[np.float64]:
    """Returns the loss of each line, (N), in nats.

    Raises:
        DivergedError: it is not finite.
    """
    model.eval()
    documents = Documents.up_to(lines.ends)
    nats_N, lengths = np.zeros(len(lines.ends)), documents.lengths
    order = np.argsort(lengths, kind="stable")
    order = order[np.searchsorted(lengths[order], 0, side="right") :]  # of an empty line nothing is predicted
    first_long = int(np.searchsorted(lengths[order], LONG_DOCUMENT, side="right"))
    for line in order[first_long:].tolist():
        part = Part(lines.ids[documents.begins[line] : documents.ends[line]])
        nats_N[line] = evaluate(model, part, start_id, total=mixture).nats
    for at in range(0, first_long, SIDE_BY_SIDE):
        chosen = order[at : min(at + SIDE_BY_SIDE, first_long)]
        nats_N[chosen] = _nats_of_group(model, lines.ids, documents.take(chosen), start_id, mixture)
    if not np.isfinite(nats_N).all():
        raise DivergedError("the model has diverged: its loss is not a finite number; use earlier weights")
    return nats_N


def _nats_of_group(
    model: Model, ids: Ids, group: Documents, start_id: int, mixture: Mixture | None
) -> npt.NDArray[np.float64]:
    """Returns the loss of lines that are read side by side, (S)."""
    state, nats_S = model.initial_state(len(group.ends)), np.zeros(len(group.ends))
    chunk = max(1, min(LONGEST_CHUNK // len(model.members), MOST_LOGITS // (len(group.ends) * model.alphabet_size)))
    for offset in range(0, int(group.lengths.max()), chunk):
        x_ST, y_ST = read_window(ids, group, group.begins + offset, chunk, start_id)
        logits_STV, state = model(torch.from_numpy(x_ST), state)
        y = torch.from_numpy(y_ST).flatten()
        nats = F.cross_entropy(logits_STV.flatten(0, 1), y, reduction="none", ignore_index=NO_TARGET)
        nats_ST = nats.double().view(y_ST.shape).numpy()
        if mixture is not None:
            counted_ST = y_ST != NO_TARGET
            targets = Targets(ids, group.begins, group.begins + offset, start_id, counted_ST)
            nats_ST[counted_ST] = mixture.nats(nats_ST, targets)
        nats_S += nats_ST.sum(1)
    return nats_S
