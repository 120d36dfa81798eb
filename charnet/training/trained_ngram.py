"""The n-gram of a run: counted in the text to train on, its share chosen on the part to tune on.

Neither the networks nor the n-gram learn from that part, and no held-out character is looked at: the share that is best
there is used on the held-out text.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charnet.data.documents import Documents
from charnet.data.split import MOST_TUNING, Part
from charnet.evaluation.evaluate import evaluate
from charnet.evaluation.mixing import ShareFit
from charnet.machine import explain_out_of_memory
from charnet.model.ensemble import Model
from charnet.model.ngram import Ngram, WeightedNgram
from charnet.model.ngram_counts import Counts, count, smooth
from charnet.storage.ngram_tensors import PREFIX, from_tensors, to_tensors
from charnet.storage.tensorfile import Tensors
from charnet.training.division import Division
from charnet.training.group import Group
from charnet.training.train_state import MEMORY_ADVICE

MOST_COUNTED = 8_000_000  # characters, in pieces spread evenly over a longer text: reading a text must stay quick
LONGEST_PIECE = 1 << 16
FIRST_SHARE = 0.5  # before the first evaluation


class TrainedNgram:
    """An n-gram beside networks in training.

    Attributes:
        share: its weight in the mean of the probabilities; each evaluation chooses it anew.
        tensors: the table by the names of its tensors in a checkpoint.
    """

    def __init__(self, table: Ngram, tensors: Tensors, share: float) -> None:
        self.share, self.tensors, self._table = share, tensors, table

    @classmethod
    @explain_out_of_memory(MEMORY_ADVICE)
    def of_counts(cls, counts: Counts, most_bytes: float, share: float = FIRST_SHARE) -> TrainedNgram:
        """Returns the n-gram of counted strings, of at most that size on disk."""
        stored = smooth(counts, most_bytes)
        return cls(Ngram.from_stored(len(counts.levels), stored), to_tensors(stored), share)

    @classmethod
    def shared(cls, group: Group, order: int, make: Callable[[], TrainedNgram]) -> TrainedNgram:
        """Makes an n-gram in the first process, for all of them."""
        made: list[TrainedNgram] = []

        def tensors_made() -> Tensors:
            made.append(make())
            return made[0].tensors

        tensors, share = group.share_tensors(tensors_made), group.share(lambda: made[0].share)
        stored = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        return made[0] if made else cls(Ngram.from_stored(order, from_tensors(stored)), tensors, share)

    @property
    def weighted(self) -> WeightedNgram:
        """The n-gram with its share now."""
        return WeightedNgram(self._table, self.share)

    def fit_share(
        self, model: Model, tune: Part, start_id: int, stop: Callable[[], object], division: Division
    ) -> None:
        """Chooses the share with the lowest loss on a text that neither the networks nor the n-gram have learned."""
        if len(tune):
            fit = ShareFit(self._table)
            evaluate(
                model, tune, start_id, most=MOST_TUNING, stop=stop, total=fit, pieces=division.pieces,
                add_up=division.add_up,
            )  # fmt: skip
            self.share = fit.share(division.join(fit.found()))


@explain_out_of_memory(MEMORY_ADVICE)
def count_part(part: Part, alphabet: int, start_id: int, order: int) -> Counts:
    """Counts the strings of a text; of a long one those of pieces that are spread evenly over it."""
    documents = part.documents
    if documents is None:
        pieces = max(1, -(-len(part) // LONGEST_PIECE)) if len(part) > MOST_COUNTED else 1
        documents = Documents.up_to(np.arange(1, pieces + 1) * len(part) // pieces)
    if (total := int(documents.lengths.sum())) > MOST_COUNTED:
        chosen = np.arange(0, len(documents.ends), total / MOST_COUNTED).astype(np.int64)
        documents = documents.take(chosen).head(MOST_COUNTED)
    return count(part.ids, *documents, alphabet=alphabet, start_id=start_id, order=order)
