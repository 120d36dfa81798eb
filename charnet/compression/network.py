"""What a model predicts, in several streams side by side: pieces of a block that lie one behind the other.

Each stream begins as a text does, so a block is decoded as it was encoded: all streams at once.

Shape legend: B streams, A characters in the model's alphabet, V in the n-gram.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.compression.counts import Int64s, weights_of_logits, weights_of_probabilities
from charnet.compression.symbols import NOTHING
from charnet.engines import registry
from charnet.engines.mixture import NgramEngine
from charnet.storage.checkpoint import Checkpoint

FEW_CHARACTERS = 2000  # are read before numba is loaded


class Predictor:
    """A model with 8-bit weights.

    Args:
        checkpoint: of any weights; those of 32 bits are quantized.
        separate: give the predictions of the networks and those of the n-gram, not their mixture.
    """

    def __init__(self, checkpoint: Checkpoint, *, separate: bool = False) -> None:
        self.checkpoint = checkpoint.quantize()
        self.vocab = checkpoint.vocab
        self._separate = separate and self.checkpoint.ngram is not None
        self._engines: dict[str, list[Any]] = {}

    def fingerprint(self) -> bytes:
        """Returns a digest of all that predictions depend on: equal for a checkpoint and its copy with 8 bits."""
        checkpoint, vocab = self.checkpoint, self.vocab
        model = checkpoint.config.model
        facts = [checkpoint.weights_sha256(), vocab.symbols, vocab.of_bytes, vocab.has_documents, vocab.start_id()]
        facts += [model.cell, model.activation, model.members, model.ngram, checkpoint.ngram_share]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for name, tensor in sorted(checkpoint.part("ngram").items()):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(tensor).tobytes())
        return digest.digest()

    def inputs(self) -> int:
        """Returns how many predictions there are."""
        return 1 + self._separate

    def open(self, length: int) -> list[Any]:
        """Returns the engines for a text of this length."""
        name = (
            "numpy" if length < FEW_CHARACTERS and "compiled" not in self._engines else registry.available("compiled")
        )
        if name not in self._engines:
            checkpoint = self.checkpoint
            ngram = checkpoint.ngram
            networks = registry.engine_of(
                checkpoint.config.model, checkpoint.stored_weights, name, ngram=None if self._separate else ngram
            )
            self._engines[name] = [networks, NgramEngine(ngram.table)] if self._separate and ngram else [networks]
        return self._engines[name]


class Reader:
    """Reads a block in B streams.

    Args:
        read_as: the ids that the network reads in place of symbols beyond the alphabet.
    """

    def __init__(self, predictor: Predictor, batch: int, length: int, read_as: list[int]) -> None:
        vocab = predictor.vocab
        self._engines = predictor.open(length)
        self._end = vocab.start_id() if vocab.has_documents else NOTHING
        self._read_as = np.array([*range(len(vocab)), *read_as], np.int64)
        first = [vocab.start_id()] * batch
        self._first = [_advance(engine, first, engine.start(batch)) for engine in self._engines]
        self._now = self._first

    def weights(self) -> list[Int64s]:
        """Returns integers (B, A) in proportion to the probabilities of the next character, of each prediction."""
        found = [weights_of_logits(self._now[0][0])]
        return found + [weights_of_probabilities(p_BV) for p_BV, _ in self._now[1:]]

    def read(self, ids_B: Int64s) -> None:
        """Reads a symbol of each stream. After the end of a document a stream is as it was at first."""
        read_B = self._read_as[ids_B]
        is_read_B, is_end_B = read_B != NOTHING, ids_B == self._end
        fed = np.where(is_read_B, read_B, 0).tolist()
        after = []
        for engine, first, before in zip(self._engines, self._first, self._now, strict=True):
            now = _advance(engine, fed, before[1])
            if not is_read_B.all():
                now = _chosen(is_read_B, now, before)
            if is_end_B.any():
                now = _chosen(is_end_B, first, now)
            after.append(now)
        self._now = after


def _advance(engine: Any, ids: list[int], state: Any) -> tuple[npt.NDArray[np.float32], Any]:
    """Returns the logits of networks, or the probabilities of an n-gram, and the state."""
    if isinstance(engine, NgramEngine):
        return engine.probabilities(ids, state)
    logits_BV, after = engine.advance(ids, state)
    return logits_BV.copy(), after  # the next call may overwrite them


def _chosen(mask_B: npt.NDArray[np.bool_], there: Any, elsewhere: Any) -> Any:
    """Returns a state whose rows come from one state where a mask is set, and from another elsewhere."""
    if isinstance(there, tuple):
        return tuple(_chosen(mask_B, *pair) for pair in zip(there, elsewhere, strict=True))
    return np.where(mask_B.reshape(-1, *[1] * (there.ndim - 1)), there, elsewhere)
