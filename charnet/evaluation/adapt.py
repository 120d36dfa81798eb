"""Adapts the model of a checkpoint to texts: it reads each once and learns, as in dynamic evaluation."""

from __future__ import annotations

import copy
import dataclasses
import datetime
from typing import Any

from charnet.config import DYNAMIC_RATE
from charnet.data.encoded_copy import Ids
from charnet.errors import plural, symbol_noun
from charnet.evaluation.dynamic import Learner
from charnet.evaluation.evaluate import evaluate
from charnet.evaluation.evaluate_checkpoint import check_learns, part_of
from charnet.evaluation.losses import DynamicLoss, Evaluation, checked
from charnet.evaluation.mixing import Mixture
from charnet.machine import explain_out_of_memory
from charnet.model.ensemble import from_weights
from charnet.model.ngram import WeightedNgram
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.ngram_tensors import PREFIX


class Adaptation:
    """The model of a checkpoint while it adapts. It is a value: `learn` returns a new one.

    Attributes:
        characters: what it has learned from so far.
        last: the loss on the text that it learned from last.

    Raises:
        ConfigError: the checkpoint has 8-bit weights, or the rate is out of its range.
    """

    def __init__(self, checkpoint: Checkpoint, *, rate: float = DYNAMIC_RATE) -> None:
        check_learns(checkpoint)
        self._trained, self.characters, self.last = checkpoint, 0, DynamicLoss(0.0, 0, 0.0)
        with explain_out_of_memory("close other programs"):
            model = from_weights(checkpoint.config.model, checkpoint.weights)
            self._learner = Learner(model, checkpoint.ngram, rate)

    def learn(self, ids: Ids, *, known: int = 0) -> Adaptation:
        """Returns the model after it has learned from the ids of a text; this one stays as it is.

        Args:
            known: the first characters are only read.

        Raises:
            DivergedError: the loss or a weight is no longer a finite number.
        """
        other = copy.copy(self)
        with explain_out_of_memory("close other programs"):
            other._learner = self._learner.copy()
            part, start_id = part_of(self._trained, ids), self._trained.vocab.start_id()
            other.last = other._learner.read(part, start_id, known=known)
        other.characters += other.last.characters
        return other

    def evaluate(self, ids: Ids) -> Evaluation:
        """Evaluates the model as it is now on the ids of a text."""
        part, start_id = part_of(self._trained, ids), self._trained.vocab.start_id()
        return checked(evaluate(self._learner.model, part, start_id, total=Mixture(self.ngram) if self.ngram else None))

    @property
    def ngram(self) -> WeightedNgram | None:
        """The n-gram beside the networks, with its share now."""
        return self._learner.ngram

    @property
    def checkpoint(self) -> Checkpoint:
        """A checkpoint of the model as it is now, without what training needs to resume; it says that it adapted."""
        tensors = {name: tensor for name, tensor in self._trained.tensors.items() if name.startswith(PREFIX)}
        for name, weight in self._learner.model.state_dict().items():
            tensors[f"model.{name}"] = weight.numpy().copy()
        config = self._trained.config
        learned = plural(self.characters, symbol_noun(self._trained.vocab.of_bytes))
        change = f"step {self._trained.trainer_state.step}: adapted to {learned}"
        changes = (*config.training.resume_changes, change)
        config = dataclasses.replace(config, training=dataclasses.replace(config.training, resume_changes=changes))
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        share = self.ngram.share if self.ngram else 0.0
        more: dict[str, Any] = {"created": now, "sha256": "", "path": None, "ngram_share": share}
        return dataclasses.replace(self._trained, config=config, tensors=tensors, **more)
