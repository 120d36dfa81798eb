"""Evaluates a mixture of models on a text, and finds its best weights.

Each model reads the text once, without the characters that it does not know, and its probability of every character is
kept: 0 for one that it does not know. All weights follow from these.

Shape legend: N characters, K models, U characters in the alphabet of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet import machine
from charnet.engines.model_mixture import Alignment, normalized, union_of, unknown_notes
from charnet.errors import CorpusError, symbol_noun
from charnet.evaluation.evaluate import evaluate
from charnet.evaluation.evaluate_checkpoint import changed, check_known, encode_files, limit_threads, model_of, part_of
from charnet.evaluation.losses import Evaluation, checked
from charnet.evaluation.mixing import EachLoss, fit_weights
from charnet.storage.checkpoint import Checkpoint

STRETCH = 1000  # characters: every other stretch finds the weights
DIGITS = 3  # of a weight that was found

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MixtureEvaluation:
    """The loss of a mixture, and that of each model on the characters that it knows.

    Attributes:
        weights: they sum to 1; one that was found may be 0.
        parts: of the models, in the order of the weights; None for one that knows none of the characters.
        fitted: the number of characters on which the weights were found; the losses are those of the others.
    """

    mixture: Evaluation
    weights: tuple[float, ...]
    parts: tuple[Evaluation | None, ...]
    fitted: int = 0


def evaluate_mixture(
    checkpoints: Sequence[Checkpoint],
    names: Sequence[str],
    weights: Sequence[float] | None,
    paths: Sequence[str],
    changes: Mapping[str, str] | None = None,
    *,
    threads: int = 0,
) -> MixtureEvaluation:
    """Evaluates several models together on texts, which are read as the training text of the first one was.

    Args:
        names: of the models, for messages.
        weights: of the models, above 0; None finds the best ones on every other stretch of 1,000 characters, and
            evaluates on the stretches between.
        changes: settings of `DataSettings` in which the texts are read in another way.
        threads: CPU threads; 0 = one per core on which no other program computes.

    Raises:
        ConfigError: the models cannot be mixed, or read the texts in no such way.
        CorpusError: a text is missing, empty, in another encoding, without a character that a model knows, or too short
            to find weights on a part of it.
        DivergedError: the loss of a model is not finite.
    """
    limit_threads(threads)
    vocabs = [checkpoint.vocab for checkpoint in checkpoints]
    union = union_of(vocabs, names)
    data = changed(checkpoints[0].config.data, changes or {})
    ids_N, unknown, notes = encode_files(union, paths, data)
    check_known(paths, len(ids_N), sum(unknown.values()), symbol_noun(union.of_bytes))
    if weights is None and len(ids_N) < 2:
        raise CorpusError(f"{paths[0]}: one character is too little to find weights; give a longer text")
    counted_NK = [_probabilities(checkpoint, Alignment(checkpoint.vocab, union), ids_N) for checkpoint in checkpoints]
    p_NK = np.stack([p_N for p_N, _ in counted_NK], axis=1)
    is_known_NK = np.stack([is_known_N for _, is_known_N in counted_NK], axis=1)
    fits_N = np.zeros(len(ids_N), np.bool_)
    if weights is None:
        stretch = min(STRETCH, math.ceil(len(ids_N) / 2))
        fits_N = np.arange(len(ids_N)) // stretch % 2 == 0
        weights = rounded(fit_weights(p_NK[fits_N]).tolist())
    weights = normalized(weights)
    with np.errstate(divide="ignore"):
        nats_N = -np.log(p_NK[~fits_N] @ np.array(weights))
        parts = [
            Evaluation(float(-np.log(p_N[known_N]).sum()), int(known_N.sum())) if known_N.any() else None
            for p_N, known_N in zip(p_NK[~fits_N].T, is_known_NK[~fits_N].T, strict=True)
        ]
    mixture = checked(Evaluation(float(nats_N.sum()), len(nats_N)))
    named = {union.name(symbol): count for symbol, count in unknown.items()}
    mixture = replace(mixture, unknown=named, notes=(*notes, *unknown_notes(vocabs, names, union)))
    return MixtureEvaluation(mixture, weights, tuple(parts), int(fits_N.sum()))


def rounded(weights: Sequence[float]) -> list[float]:
    """Rounds weights that sum to 1, so that they still do and can be copied.

    >>> rounded([0.66666, 0.33329, 0.00005])
    [0.667, 0.333, 0.0]
    """
    short = [round(weight, DIGITS) for weight in weights]
    largest = short.index(max(short))
    short[largest] = round(short[largest] + 1 - math.fsum(short), DIGITS)
    return short


def _probabilities(checkpoint: Checkpoint, alignment: Alignment, ids_N: Any) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Returns the probability that a model gives each character, and which of them are in its alphabet."""
    own_N = alignment.id_of_U[ids_N]
    is_read_N = own_N >= 0
    is_own_U = np.zeros(len(alignment.id_of_U), np.bool_)
    is_own_U[alignment.place_V] = True
    is_known_N = is_own_U[ids_N]
    p_N = np.zeros(len(ids_N))
    if is_read_N.any():
        read_ids = own_N[is_read_N]
        with machine.explain_out_of_memory("close other programs"):
            each = EachLoss(len(read_ids), checkpoint.ngram)
            start_id = checkpoint.vocab.start_id()
            checked(evaluate(model_of(checkpoint), part_of(checkpoint, read_ids), start_id, total=each))
        p_N[is_read_N] = np.exp(-each.nats_N)
    p_N[~is_known_N] = 0.0
    return p_N, is_known_N
