"""Samples the next symbols of texts that take the same step, each a row of the logits.

Shape legend: B texts, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from charnet.engines import sampling
from charnet.errors import CharnetError
from charnet.generation.sampler import Sampler


class Row(Protocol):
    """A text of a batch, as far as its next symbol depends on it: its last symbols, and the state of its pattern."""

    @property
    def recent(self) -> Sequence[int]: ...
    @property
    def matched(self) -> int: ...
    def fail(self, error: CharnetError) -> int: ...
    def keep_from_copying(self, symbol: int, logits_V: sampling.Floats, position: int, u: float) -> int: ...
    def follow(self, symbol: int) -> None: ...


class Alternatives(NamedTuple):
    """What could have come in place of a symbol: symbols and the logarithms of their probabilities at temperature 1,
    without filters and biases, the most likely first; the last pair is the symbol that came."""

    ids: tuple[int, ...]
    log_p: tuple[float, ...]


def sample_rows(
    sampler: Sampler,
    texts: Sequence[Row],
    logits_BV: npt.NDArray[np.float32],
    positions_B: npt.NDArray[np.int64],
    u_B: npt.NDArray[np.float64],
) -> Sequence[int] | npt.NDArray[np.intp]:
    """Samples the next symbols of texts with one sampler. A text that has none is refused, and no other with it."""
    recent, matched = [text.recent for text in texts], [text.matched for text in texts]
    ids_B: Sequence[int] | npt.NDArray[np.intp]
    try:
        ids_B = sampler.sample_rows(logits_BV, positions_B, u_B, recent, matched)
    except CharnetError as error:
        if len(texts) == 1:
            return [texts[0].fail(error)]
        ids_B = [
            int(sample_rows(sampler, [text], logits_BV[[row]], positions_B[[row]], u_B[[row]])[0])
            for row, text in enumerate(texts)
        ]
        return ids_B
    if sampler.limits_copies:
        rows = zip(texts, ids_B.tolist(), logits_BV, positions_B.tolist(), u_B.tolist(), strict=True)
        ids_B = np.array([text.keep_from_copying(*row) for text, *row in rows])
    if sampler.pattern or sampler.uses_history:
        for text, i in zip(texts, ids_B.tolist(), strict=True):
            text.follow(i)
    return ids_B


def alternatives(logits_V: sampling.Floats, symbol: int, count: int) -> Alternatives:
    """Returns the `count` likeliest symbols, and the one that came."""
    log_p_V = np.log(np.maximum(sampling.softmax(logits_V), np.finfo(np.float64).tiny))
    ids = [*np.argsort(-log_p_V, kind="stable")[:count].tolist(), symbol]
    return Alternatives(tuple(ids), tuple(float(log_p_V[i]) for i in ids))
