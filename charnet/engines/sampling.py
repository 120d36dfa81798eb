"""From logits to one character: pure functions on arrays, the last axis running over the alphabet (V).

Probabilities are computed in double precision, so that engines whose logits differ by rounding all but always draw the
same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from charnet.errors import DivergedError

Floats = npt.NDArray[np.floating]
Probabilities = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]

GREEDY_BELOW = 1e-30  # below it a temperature is zero: no difference of logits is so small


def softmax(logits: Floats, temperature: float = 1.0) -> Probabilities:
    """exp(logits / temperature), scaled to sum to one; temperature 0 is all weight on the first largest logit.

    >>> softmax(np.array([0.0, np.log(3)])).round(2).tolist()
    [0.25, 0.75]
    >>> softmax(np.array([1.0, 2.0, 2.0]), temperature=0).tolist()
    [0.0, 1.0, 0.0]
    """
    scores = logits.astype(np.float64)
    check_finite(float(scores.max()))
    if temperature < GREEDY_BELOW:
        p = np.zeros_like(scores)
        np.put_along_axis(p, scores.argmax(-1)[..., None], 1.0, axis=-1)
        return p
    scores -= scores.max(-1, keepdims=True)
    scores /= temperature
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores


def keep_top_k(p: Probabilities, k: int) -> Probabilities:
    """Only the k most likely (Fan et al. 2018); of equals the first in the alphabet. 0 keeps all.

    >>> keep_top_k(np.array([0.5, 0.25, 0.25]), 2).round(3).tolist()
    [0.667, 0.333, 0.0]
    """
    if not 0 < k < p.shape[-1]:
        return p
    order = np.argsort(-p, axis=-1, kind="stable")
    return _only(p, order[..., :k])


def keep_top_p(p: Probabilities, mass: float) -> Probabilities:
    """Only the fewest most likely whose probabilities reach `mass` (nucleus, Holtzman et al. 2019). 1 keeps all.

    >>> keep_top_p(np.array([0.5, 0.25, 0.25]), 0.6).round(3).tolist()
    [0.667, 0.333, 0.0]
    """
    if mass >= 1:
        return p
    return _first_of(p, np.argsort(-p, axis=-1, kind="stable"), mass)


def keep_min_p(p: Probabilities, share: float) -> Probabilities:
    """Only those at least `share` as likely as the most likely (Nguyen et al. 2024). 0 keeps all.

    >>> keep_min_p(np.array([0.6, 0.3, 0.1]), 0.5).round(3).tolist()
    [0.667, 0.333, 0.0]
    """
    if share <= 0:
        return p
    return _scaled(np.where(p >= share * p.max(-1, keepdims=True), p, 0.0))


def keep_typical(p: Probabilities, mass: float) -> Probabilities:
    """Only those whose surprise is nearest to the mean one, as many as reach `mass` (Meister et al. 2023). 1 keeps all.

    >>> keep_typical(np.array([0.6, 0.2, 0.2]), 0.3).round(3).tolist()
    [1.0, 0.0, 0.0]
    >>> keep_typical(np.array([0.7, 0.1, 0.1, 0.1]), 0.5).round(3).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    if mass >= 1:
        return p
    with np.errstate(divide="ignore"):
        surprise = -np.log(p)
    possible = p > 0
    mean = np.where(possible, p * np.where(possible, surprise, 0.0), 0.0).sum(-1, keepdims=True)
    return _first_of(p, np.argsort(np.abs(surprise - mean), axis=-1, kind="stable"), mass)


def penalize_repetition(logits: Floats, recent: Sequence[int], penalty: float) -> Floats:
    """Logits (V) with the probability of each symbol in `recent` divided by `penalty`, before all are scaled again.

    >>> softmax(penalize_repetition(np.zeros(3), [0, 0, 2], 2.0)).round(2).tolist()
    [0.25, 0.5, 0.25]
    """
    changed = logits.astype(np.float64)
    changed[list(set(recent))] -= math.log(penalty)
    return changed


def probabilities(
    logits: Floats,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    typical_p: float = 1.0,
) -> Probabilities:
    """What is drawn from: softmax at a temperature, then top-k, top-p, min-p and typical-p in this order."""
    p = softmax(logits, temperature)
    if top_k:
        p = keep_top_k(p, top_k)
    if top_p < 1:
        p = keep_top_p(p, top_p)
    if min_p > 0:
        p = keep_min_p(p, min_p)
    if typical_p < 1:
        p = keep_typical(p, typical_p)
    return p


def sample(p: Probabilities, u: float) -> int:
    """The symbol at the place `u`, 0 <= u < 1, when the probabilities (V) are laid end to end; they need no scaling.

    >>> sample(np.array([0.25, 0.0, 0.75]), 0.24), sample(np.array([1.0, 0.0, 3.0]), 0.25)
    (0, 2)
    """
    ends = np.add.accumulate(p)
    return int(ends.searchsorted(u * ends[-1], side="right"))


def sample_logits(logits: Floats, temperature: float, u: float) -> int:
    """The same as `draw(softmax(logits, temperature), u)` but for the scaling: the shortest way for one text (V)."""
    scores = logits.astype(np.float64)
    largest = np.maximum.reduce(scores)
    check_finite(largest)
    if temperature < GREEDY_BELOW:
        return int(scores.argmax())
    scores -= largest
    scores *= 1 / temperature
    return sample(np.exp(scores, out=scores), u)


def sample_rows(p: Probabilities, u_B: npt.NDArray[np.float64]) -> Ids:
    """What `draw` gives for each row of probabilities (B, V) at its own place.

    >>> sample_rows(np.array([[0.25, 0.0, 0.75], [1.0, 0.0, 3.0]]), np.array([0.24, 0.25])).tolist()
    [0, 2]
    """
    ends = p.cumsum(-1)
    return np.asarray((ends <= (u_B * ends[:, -1])[:, None]).sum(-1))


def surprisal(logits_V: Floats, drawn: int) -> float:
    """How unexpected a symbol was, in nats: minus the logarithm of its probability at temperature 1.

    >>> round(surprisal(np.array([0.0, np.log(3)]), 0), 4), round(float(np.log(4)), 4)
    (1.3863, 1.3863)
    """
    scores = logits_V.astype(np.float64)
    largest = np.maximum.reduce(scores)
    scores -= largest
    relative = float(scores[drawn])
    return max(0.0, math.log(float(np.add.reduce(np.exp(scores, out=scores)))) - relative)


def surprisal_rows(logits_BV: Floats, drawn_B: Ids) -> npt.NDArray[np.float64]:
    """The `surprise` of one symbol of each row."""
    scores = logits_BV.astype(np.float64)
    scores -= scores.max(-1, keepdims=True)
    relative_B = np.take_along_axis(scores, drawn_B[:, None], -1)[:, 0]
    return np.asarray(np.maximum(0.0, np.log(np.exp(scores, out=scores).sum(-1)) - relative_B))


def check_finite(largest: float) -> None:
    """Raises DivergedError where the largest logit is no number, which is so where any is none."""
    if not math.isfinite(largest):
        raise DivergedError("the numbers of the model have grown beyond all bounds; train it again, or write less")


def _first_of(p: Probabilities, order: Ids, mass: float) -> Probabilities:
    """The fewest in this order whose probabilities reach the mass; the first one at least."""
    ranked = np.take_along_axis(p, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.where(before < mass, ranked, 0.0), axis=-1)
    kept_any = kept.sum(-1, keepdims=True) > 0
    return _scaled(np.where(kept_any, kept, _only(p, order[..., :1])))


def _only(p: Probabilities, where: Ids) -> Probabilities:
    kept = np.zeros_like(p)
    np.put_along_axis(kept, where, np.take_along_axis(p, where, axis=-1), axis=-1)
    return _scaled(kept)


def _scaled(p: Probabilities) -> Probabilities:
    return np.asarray(p / p.sum(-1, keepdims=True))
