"""Writes with one model and one seed at several temperatures, and measures what changes in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.config import SamplingOptions
from charnet.data.encoded_copy import Ids
from charnet.data.split import Part
from charnet.engines import registry
from charnet.evaluation.evaluate import evaluate
from charnet.evaluation.evaluate_checkpoint import model_of
from charnet.generation.generate import stream
from charnet.storage.checkpoint import Checkpoint

TEMPERATURES = (0.2, 0.5, 0.8, 1.0, 1.5)
LENGTH, SEED = 240, 1  # characters
STRING = 4  # characters: how many such strings are those of the text
MOST_LEARNED = 2_000_000  # characters in which they are looked for


@dataclass(frozen=True)
class Written:
    """A text of a model.

    Attributes:
        nats: per character, of this text to the model itself at temperature 1: how surprising it finds it.
        known: the fraction of the strings of `STRING` characters in it that stand in the text that was learned.
    """

    temperature: float
    text: str
    nats: float
    known: float


def write(checkpoint: Checkpoint, learned: Ids) -> Iterator[Written]:
    """Yields a text for each temperature.

    Args:
        learned: the text that the model learned from.
    """
    vocab = checkpoint.vocab
    engine, model = registry.open_engine(checkpoint, "numpy"), model_of(checkpoint)
    known = np.unique(_strings(np.asarray(learned[:MOST_LEARNED]), len(vocab)))
    for temperature in TEMPERATURES:
        options = SamplingOptions(length=LENGTH, temperature=temperature, seed=SEED)
        text = "".join(stream(engine, vocab, [], options))
        ids = np.asarray(vocab.lookup(vocab.codes(text)))
        ids = ids[ids >= 0].astype("u4")
        nats = evaluate(model, Part(ids), vocab.start_id()).nats_per_char
        found = np.isin(_strings(ids, len(vocab)), known)
        yield Written(temperature, text, nats, float(found.mean()) if len(found) else 0.0)


def _strings(ids: npt.NDArray[np.integer[Any]], alphabet_size: int) -> Ids:
    """Returns a number for each string of `STRING` symbols."""
    keys = np.zeros(max(0, len(ids) - STRING + 1), np.uint64)
    for offset in range(STRING):
        keys = keys * np.uint64(alphabet_size) + ids[offset : offset + len(keys)].astype(np.uint64)
    return keys
