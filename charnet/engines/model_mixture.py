"""Several models as one engine: the weighted mean of their probabilities, character by character.

The alphabet of the mixture is the union of theirs. A model does not read a character that it does not know: its state
stays as it is, it predicts again what it predicted before, and it gives the character no probability. A model that
has a symbol for rare characters reads that one instead. Jelinek and Mercer (1980) interpolate models in this way.

Shape legend: B texts, V characters in the alphabet of a model, U in the union.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.data.vocab import Vocabulary
from charnet.engines import exact, registry
from charnet.engines.base import Engine, put_rows, select_rows
from charnet.engines.mixture import log_probabilities
from charnet.errors import ConfigError, plural, symbol_noun
from charnet.storage.checkpoint import Checkpoint

MOST_NAMED = 3  # characters


class Alignment:
    """The alphabet of one model within the union of several.

    Attributes:
        id_of_U: the model's id of each symbol, which it reads; -1 for none.
        place_V: where each of its own symbols is in the union.
    """

    def __init__(self, vocab: Vocabulary, union: Vocabulary) -> None:
        self.vocab = vocab
        self.id_of_U = vocab.lookup(np.array(union.symbols, np.uint32))
        self.place_V = np.searchsorted(union.symbols, vocab.symbols)

    @property
    def knows_all(self) -> bool:
        """Whether the model reads every symbol of the union."""
        return bool((self.id_of_U >= 0).all())


def union_of(vocabs: Sequence[Vocabulary], names: Sequence[str]) -> Vocabulary:
    """Returns the alphabet of a mixture.

    Args:
        names: of the models, for messages.

    Raises:
        ConfigError: they are of bytes and of characters, or not all of the same kind of documents.
    """
    first = vocabs[0]
    for vocab, name in zip(vocabs, names, strict=True):
        if vocab.of_bytes != first.of_bytes:
            kinds = ("characters", "bytes")
            found = f"{names[0]} knows {kinds[first.of_bytes]}, {name} {kinds[vocab.of_bytes]}"
            raise ConfigError(f"--mix: {found}; mix models of one kind")
        if (vocab.has_documents, vocab.document_end) != (first.has_documents, first.document_end):
            raise ConfigError(
                f"--mix: {names[0]} was trained on {_kind(first)}, {name} on {_kind(vocab)}; mix models of one kind"
            )
    union = functools.reduce(Vocabulary.union, vocabs)
    return replace(union, has_documents=first.has_documents)


def _kind(vocab: Vocabulary) -> str:
    if not vocab.has_documents:
        return "running text"
    return "lines" if vocab.document_end is None else "documents"


def unknown_notes(vocabs: Sequence[Vocabulary], names: Sequence[str], union: Vocabulary) -> list[str]:
    """Returns a sentence about each model that lacks characters of the others, with a few of them."""
    notes = []
    for vocab, name in zip(vocabs, names, strict=True):
        missing = [symbol for symbol in union.characters if symbol not in set(vocab.symbols)]
        if missing:
            few = ", ".join(map(vocab.name, missing[:MOST_NAMED])) + ", ..." * (len(missing) > MOST_NAMED)
            reads = "does not read" if vocab.rare_id is None else "reads as rare"
            them = "it" if len(missing) == 1 else "them"
            noun = symbol_noun(vocab.of_bytes)
            notes.append(f"{name} {reads} {plural(len(missing), noun)} of the others and never writes {them}: {few}")
    return notes


def normalized(weights: Iterable[float]) -> tuple[float, ...]:
    """Divides weights by their sum.

    >>> normalized([7, 3])
    (0.7, 0.3)
    """
    total = math.fsum(each := list(weights))
    return tuple(weight / total for weight in each)


@dataclass(frozen=True)
class Part:
    """A model of a mixture: its engine, its alphabet within the union, and its weight."""

    engine: Engine
    alignment: Alignment
    weight: float

    @functools.cached_property
    def _at_start(self) -> npt.NDArray[np.floating]:
        """What it predicts at the start of a text (1, V)."""
        logits_1V, _ = self.engine.advance([self.alignment.vocab.start_id()], self.engine.start(1))
        return self._prediction(logits_1V)

    def start(self, batch: int) -> tuple[Any, ...]:
        """Returns the engine's state and, of a model that does not know all symbols, what it predicts (B, V)."""
        state = self.engine.start(batch)
        return (state,) if self.alignment.knows_all else (state, self._at_start.repeat(batch, axis=0))

    def advance(self, ids_B: npt.NDArray[np.intp], state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """Reads the symbols that the model knows; returns what it predicts, (B, V), and the new state."""
        own_B = self.alignment.id_of_U[ids_B]
        known_B = own_B >= 0
        if known_B.all():
            logits_BV, after = self.engine.advance(own_B.tolist(), state[0])
            predicted_BV = self._prediction(logits_BV)
            return predicted_BV, (after,) if len(state) == 1 else (after, predicted_BV)
        rows = np.flatnonzero(known_B).tolist()
        before, predicted_BV = state
        if not rows:
            return predicted_BV, state
        logits_BV, after = self.engine.advance(own_B[rows].tolist(), select_rows(before, rows))
        predicted_BV = predicted_BV.copy()
        predicted_BV[rows] = self._prediction(logits_BV)
        return predicted_BV, (put_rows(before, rows, after), predicted_BV)

    def _prediction(self, logits_BV: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        """Computes probabilities by the arithmetic of an exact engine, else their logarithms, in a new array."""
        return exact.probabilities(logits_BV) if self.engine.is_exact else log_probabilities(logits_BV)


class ModelMixture:
    """Runs several models. It is exact if all of them are.

    Args:
        parts: their weights sum to 1.
        union: the alphabet, as `union_of` returns it.
    """

    def __init__(self, parts: Sequence[Part], union: Vocabulary) -> None:
        self._parts, self._size = parts, len(union)
        self.is_exact, self.name = all(part.engine.is_exact for part in parts), parts[0].engine.name

    def start(self, batch: int) -> tuple[Any, ...]:
        return tuple(part.start(batch) for part in self._parts)

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a diverged model is reported by the sampler
    def advance(self, ids_B: Sequence[int], state: tuple[Any, ...]) -> tuple[npt.NDArray[np.float32], tuple[Any, ...]]:
        """Returns the logarithms of the mean probabilities (B, U), which are logits too, and the states of all."""
        ids, after = np.asarray(ids_B, np.intp), []
        mean_BU: Any = None
        for part, before in zip(self._parts, state, strict=True):
            predicted_BV, part_state = part.advance(ids, before)
            after.append(part_state)
            weighted_BU = self._weighted(part, predicted_BV)
            if mean_BU is None:
                mean_BU = weighted_BU
            elif self.is_exact:
                mean_BU += weighted_BU
            else:
                np.logaddexp(mean_BU, weighted_BU, out=mean_BU)
        return exact.log(mean_BU) if self.is_exact else mean_BU, tuple(after)

    def _weighted(self, part: Part, predicted_BV: Any) -> Any:
        """Returns probabilities times the weight of a model, or their logarithms, in the places of the union."""
        shape = (len(predicted_BV), self._size)
        if self.is_exact:
            p_BU = np.zeros(shape)
            p_BU[:, part.alignment.place_V] = predicted_BV * part.weight
            return p_BU
        if part.engine.is_exact:
            predicted_BV = np.log(predicted_BV)
        log_p_BU = np.full(shape, -np.inf, np.float32)
        log_p_BU[:, part.alignment.place_V] = predicted_BV + np.float32(math.log(part.weight))
        return log_p_BU


def open_mixture(
    checkpoints: Sequence[Checkpoint], weights: Sequence[float], union: Vocabulary, name: str, *, threads: int = 0
) -> ModelMixture:
    """Opens an engine for each of several models, all of the same name, and joins them.

    Args:
        weights: of the models; they are divided by their sum.
        union: the alphabet, as `union_of` returns it.
        threads: as for `registry.engine_of`.

    Raises:
        ConfigError: there is no such engine, or a library that it needs is not installed.
    """
    parts = [
        Part(registry.open_engine(checkpoint, name, threads=threads), Alignment(checkpoint.vocab, union), weight)
        for checkpoint, weight in zip(checkpoints, normalized(weights), strict=True)
    ]
    return ModelMixture(parts, union)
