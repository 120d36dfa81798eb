"""From logits to one symbol: pure functions on arrays whose last axis is the alphabet.

Probabilities are computed in double precision, so that engines whose logits differ by rounding almost always sample the
same symbol. Those of an exact engine are integers in place of exponentials, so that their sums do not depend on the
order, and the symbol not on the machine.

Shape legend: B texts, V characters in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from charnet.engines import exact
from charnet.errors import DivergedError

Floats = npt.NDArray[np.floating]
Probabilities = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]

LOG_STEPS = 1 << 30  # in a nat: the libraries of two machines may differ in the last bit of a logarithm
GREEDY_BELOW = 1e-30  # a lower temperature counts as zero: no difference of logits is so small


def softmax(logits: Floats, temperature: float = 1.0, *, is_exact: bool = False) -> Probabilities:
    """Computes exp(logits / temperature), normalized; temperature 0 puts all weight on the first of the largest logits.

    Args:
        is_exact: computes integers in the same proportion, not normalized.

    >>> softmax(np.array([0.0, np.log(3)])).round(2).tolist()
    [0.25, 0.75]
    >>> softmax(np.array([1.0, 2.0, 2.0]), temperature=0).tolist()
    [0.0, 1.0, 0.0]
    """
    scores = logits.astype(np.float64)
    largest = scores.max(-1, keepdims=True)
    check_finite(float(np.abs(largest).max()))  # of each row: that of one is -inf if all of its logits are
    if temperature < GREEDY_BELOW:
        p = np.zeros_like(scores)
        np.put_along_axis(p, scores.argmax(-1)[..., None], 1.0, axis=-1)
        return p
    scores -= largest
    if is_exact:
        scores *= 1 / temperature
        return exact.weights_of(scores)
    scores /= temperature
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores


def keep_top_k(p: Probabilities, k: int) -> Probabilities:
    """Keeps only the k most likely (Fan et al. 2018); of equals the first in the alphabet. 0 keeps all.

    >>> keep_top_k(np.array([0.5, 0.25, 0.25]), 2).tolist()
    [0.5, 0.25, 0.0]
    """
    if not 0 < k < p.shape[-1]:
        return p
    order = np.argsort(-p, axis=-1, kind="stable")
    return _keep_only(p, order[..., :k])


def keep_top_p(p: Probabilities, mass: float) -> Probabilities:
    """Keeps only the fewest most likely whose sum reaches `mass` (nucleus, Holtzman et al. 2019). 1 keeps all.

    >>> keep_top_p(np.array([0.5, 0.25, 0.25]), 0.6).tolist()
    [0.5, 0.25, 0.0]
    """
    if mass >= 1:
        return p
    return _keep_first(p, np.argsort(-p, axis=-1, kind="stable"), mass)


def keep_min_p(p: Probabilities, share: float) -> Probabilities:
    """Keeps only those at least `share` times as likely as the most likely (Nguyen et al. 2024). 0 keeps all.

    >>> keep_min_p(np.array([0.6, 0.3, 0.1]), 0.5).tolist()
    [0.6, 0.3, 0.0]
    """
    if share <= 0:
        return p
    return np.where(p >= share * p.max(-1, keepdims=True), p, 0.0)


def keep_typical(p: Probabilities, mass: float, *, is_exact: bool = False) -> Probabilities:
    """Keeps only the fewest with surprisal nearest to the mean that reach `mass` (Meister et al. 2023). 1 keeps all.

    >>> keep_typical(np.array([0.6, 0.2, 0.2]), 0.3).tolist()
    [0.6, 0.0, 0.0]
    >>> keep_typical(np.array([0.7, 0.1, 0.1, 0.1]), 0.5).tolist()
    [0.7, 0.0, 0.0, 0.0]
    """
    if mass >= 1:
        return p
    share = p / _total(p)
    possible = share > 0
    known = np.where(possible, share, 1.0)
    surprisals = np.where(possible, -(exact.log(known).astype(np.float64) if is_exact else np.log(known)), np.inf)
    mean = _total(share * np.where(possible, surprisals, 0.0))
    return _keep_first(p, np.argsort(np.abs(surprisals - mean), axis=-1, kind="stable"), mass)


def penalize_repetition(logits: Floats, recent: Sequence[int], penalty: float) -> Floats:
    """Divides the probability of each symbol in `recent` by `penalty`, before normalization; returns new logits (V).

    >>> softmax(penalize_repetition(np.zeros(3), [0, 0, 2], 2.0)).round(2).tolist()
    [0.25, 0.5, 0.25]
    """
    penalized = logits.astype(np.float64)
    penalized[list(set(recent))] -= round(math.log(penalty) * LOG_STEPS) / LOG_STEPS
    return penalized


def probabilities(
    logits: Floats,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    typical_p: float = 1.0,
    is_exact: bool = False,
) -> Probabilities:
    """Computes the probabilities to sample from: softmax, then top-k, top-p, min-p and typical-p in this order.

    Args:
        is_exact: computes integers in the same proportion, not normalized.
    """
    p = whole = softmax(logits, temperature, is_exact=is_exact)
    if top_k:
        p = keep_top_k(p, top_k)
    if top_p < 1:
        p = keep_top_p(p, top_p)
    if min_p > 0:
        p = keep_min_p(p, min_p)
    if typical_p < 1:
        p = keep_typical(p, typical_p, is_exact=is_exact)
    return p if is_exact or p is whole else p / p.sum(-1, keepdims=True)


def sample(p: Probabilities, u: float) -> int:
    """Samples from probabilities (V) by inverting their cumulative sum at `u`, 0 <= u < 1; they need not sum to one.

    >>> sample(np.array([0.25, 0.0, 0.75]), 0.24), sample(np.array([1.0, 0.0, 3.0]), 0.25)
    (0, 2)
    """
    ends = np.add.accumulate(p)
    return int(ends.searchsorted(u * ends[-1], side="right"))


def sample_logits(logits: Floats, temperature: float, u: float, *, is_exact: bool = False) -> int:
    """Samples as `sample(softmax(logits, temperature), u)` without normalizing: the fastest way for one text (V)."""
    scores = logits.astype(np.float64)
    largest = np.maximum.reduce(scores)
    check_finite(largest)
    if temperature < GREEDY_BELOW:
        return int(scores.argmax())
    scores -= largest
    scores *= 1 / temperature
    return sample(exact.weights_of(scores) if is_exact else np.exp(scores, out=scores), u)


def sample_rows(p: Probabilities, u_B: npt.NDArray[np.float64]) -> Ids:
    """Samples from each row of probabilities (B, V) with its own `u`, as `sample` does.

    >>> sample_rows(np.array([[0.25, 0.0, 0.75], [1.0, 0.0, 3.0]]), np.array([0.24, 0.25])).tolist()
    [0, 2]
    """
    ends = p.cumsum(-1)
    return np.asarray((ends <= (u_B * ends[:, -1])[:, None]).sum(-1))


def surprisal(logits_V: Floats, symbol: int) -> float:
    """Computes the surprisal of a symbol in nats (Tribus 1961): minus the log of its probability at temperature 1.

    >>> round(surprisal(np.array([0.0, np.log(3)]), 0), 4), round(float(np.log(4)), 4)
    (1.3863, 1.3863)
    """
    scores = logits_V.astype(np.float64)
    largest = np.maximum.reduce(scores)
    scores -= largest
    relative = float(scores[symbol])
    return max(0.0, math.log(float(np.add.reduce(np.exp(scores, out=scores)))) - relative)


@np.errstate(invalid="ignore")  # of a model that has diverged, which is reported where a symbol is sampled
def surprisal_rows(logits_BV: Floats, symbols_B: Ids) -> npt.NDArray[np.float64]:
    """Computes the surprisal of one symbol of each row."""
    scores = logits_BV.astype(np.float64)
    scores -= scores.max(-1, keepdims=True)
    relative_B = np.take_along_axis(scores, symbols_B[:, None], -1)[:, 0]
    return np.asarray(np.maximum(0.0, np.log(np.exp(scores, out=scores).sum(-1)) - relative_B))


def check_finite(largest: float) -> None:
    """Raises DivergedError if the largest logit is not finite. It is NaN if any logit is."""
    if not math.isfinite(largest):
        raise DivergedError(
            "the model has diverged: its logits are no longer finite; train it again, or generate less text"
        )


def _keep_first(p: Probabilities, order: Ids, mass: float) -> Probabilities:
    """Keeps the fewest in this order whose share reaches the mass, at least the first one."""
    ranked = np.take_along_axis(p, order, axis=-1)
    ends = np.cumsum(ranked, axis=-1)
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.where(ends - ranked < mass * ends[..., -1:], ranked, 0.0), axis=-1)
    kept_any = (kept > 0).any(-1, keepdims=True)
    return np.where(kept_any, kept, _keep_only(p, order[..., :1]))


def _keep_only(p: Probabilities, where: Ids) -> Probabilities:
    """Keeps the symbols in `where`."""
    kept = np.zeros_like(p)
    np.put_along_axis(kept, where, np.take_along_axis(p, where, axis=-1), axis=-1)
    return kept


def _total(p: Probabilities) -> Probabilities:
    """Returns the sum of each row, added up in the order of the alphabet."""
    return np.asarray(np.cumsum(p, axis=-1)[..., -1:])
