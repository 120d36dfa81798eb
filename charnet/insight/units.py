"""Which units follow a property of the text: found on one half of the passages, measured on the other.

Among hundreds of units some correlate with anything by chance, so a correlation counts only where the unit was not
chosen. Neighboring places are alike, so a correlation of N places says as much as one of fewer independent ones
(Bartlett 1946; Pyper & Peterman 1998, equation 1).

Shape legend: N places, H units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charnet.insight.properties import Property
from charnet.insight.trace import Place, Values

MOST_KEPT = 10  # units of a property
FEWEST = 20  # places where a flag holds, and where it does not, in each half
LONGEST_LAG = 500
CONFIDENCE = 2.94  # standard errors: among fifteen properties chance exceeds it for one of them once in twenty

Floats = npt.NDArray[np.float32]


class Unit(NamedTuple):
    """A unit of a layer of a network, all counted from 0."""

    place: Place
    number: int

    def name(self, networks: int, layers: int) -> str:
        """Returns its name for people, who count from 1 but know units by their index."""
        network = f"network {self.place.network + 1}, " if networks > 1 else ""
        layer = f"layer {self.place.layer + 1}, " if layers > 1 else ""
        return f"{network}{layer}unit {self.number}"


@dataclass(frozen=True)
class Follower:
    """A unit that follows a property.

    Attributes:
        state: which of its states, `h` or `c`.
        found: the correlation on the half on which the unit was chosen.
        correlation: that on the other half.
        auc: the probability that the unit tells a place where the property holds from one where it does not (for a
            number: where it is above its median from where it is not), on the other half.
        chance: what chance alone exceeds for any of the properties in one text of twenty.
    """

    unit: Unit
    state: str
    found: float
    correlation: float
    auc: float
    chance: float

    @property
    def is_clear(self) -> bool:
        """Whether the unit follows the property on both halves, and more than chance would."""
        return abs(self.correlation) > self.chance and (self.correlation > 0) == (self.found > 0)

    def as_dict(self) -> dict[str, Any]:
        (network, layer), unit = self.unit
        figures = {name: value for name, value in vars(self).items() if name != "unit"}
        return {"network": network, "layer": layer, "unit": unit, **figures}


@dataclass
class StateRecord:
    """Keeps the states of all units while passages are read: `watch` is called by `trace.observe`."""

    counted_ST: npt.NDArray[np.bool_]
    states: dict[tuple[Place, str], Floats] = field(default_factory=dict)

    def watch(self, place: Place, values: Values, span: slice) -> None:
        for name, each_STH in values.states.items():
            whole_STH = self.states.setdefault(
                (place, name), np.zeros((*self.counted_ST.shape, each_STH.shape[2]), np.float32)
            )
            whole_STH[:, span] = each_STH.numpy()

    def of_places(self, key: tuple[Place, str]) -> Floats:
        """Returns the values (N, H) at the places that count."""
        return self.states[key][self.counted_ST]


def halves(counted_ST: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Returns which places (N) belong to the half on which units are chosen: the first passages, or characters."""
    passages, longest = counted_ST.shape
    first_ST = np.zeros_like(counted_ST)
    if passages > 1:
        first_ST[: passages // 2] = True
    else:
        first_ST[:, : longest // 2] = True
    return first_ST[counted_ST]


def followers(record: StateRecord, properties: Sequence[Property]) -> dict[str, list[Follower]]:
    """Returns of each property the units that follow it most, the strongest first; properties that hold nowhere, or
    everywhere, in one of the halves are left out."""
    first_N = halves(record.counted_ST)
    kept = [each for each in properties if _varies(each, first_N) and _varies(each, ~first_N)]
    candidates: dict[str, list[tuple[float, tuple[Place, str], int]]] = {each.name: [] for each in kept}
    for key in record.states:
        states_NH = record.of_places(key)
        found_PH = _correlations(states_NH[first_N], [each.values_N[first_N] for each in kept])
        for each, found_H in zip(kept, found_PH, strict=True):
            best = np.argsort(-np.abs(found_H), kind="stable")[:MOST_KEPT]
            candidates[each.name] += [(float(found_H[unit]), key, int(unit)) for unit in best]
    result = {}
    for each in kept:
        chosen = sorted(candidates[each.name], key=lambda one: -abs(one[0]))[:MOST_KEPT]
        result[each.name] = [_measure(record, each, first_N, *one) for one in chosen]
    return result


def _varies(each: Property, of_N: npt.NDArray[np.bool_]) -> bool:
    values = each.values_N[of_N]
    if each.is_flag:
        return FEWEST <= int(values.sum()) <= len(values) - FEWEST
    return bool(len(values) > FEWEST and values.std() > 0)


def _correlations(states_NH: Floats, values: Sequence[Floats]) -> npt.NDArray[np.float64]:
    """Returns the correlation of each unit with each property, (P, H); 0 for a unit that never changes."""
    centered_NH = states_NH - states_NH.mean(axis=0)
    norm_H = np.sqrt((centered_NH.astype(np.float64) ** 2).sum(axis=0))
    values_PN = np.array([(each - each.mean()) / (np.linalg.norm(each - each.mean()) or 1) for each in values])
    product_PH = values_PN.reshape(len(values), len(states_NH)).astype(np.float32) @ centered_NH
    return np.asarray(np.divide(product_PH, norm_H, out=np.zeros(product_PH.shape), where=norm_H > 1e-6))


def _measure(
    record: StateRecord, each: Property, first_N: npt.NDArray[np.bool_], found: float, key: tuple[Place, str], unit: int
) -> Follower:
    all_N = record.states[key][:, :, unit][record.counted_ST]
    states_N, values_N = all_N[~first_N], each.values_N[~first_N]
    correlation = float(_correlations(states_N[:, None], [values_N])[0, 0])
    positive_N = values_N > 0.5 if each.is_flag else values_N > np.median(each.values_N[first_N])
    auc = area_under_curve(states_N if found >= 0 else -states_N, positive_N)
    effective = effective_places(states_N, values_N)
    return Follower(Unit(key[0], unit), key[1], found, correlation, auc, min(1.0, CONFIDENCE / math.sqrt(effective)))


def area_under_curve(scores_N: Floats, positive_N: npt.NDArray[np.bool_]) -> float:
    """Returns the area under the ROC curve: the probability that a positive place has a higher score (Mann & Whitney
    1947); equal scores count half.

    >>> area_under_curve(np.array([1.0, 2.0, 3.0, 3.0], np.float32), np.array([False, False, True, False]))
    0.8333333333333334
    """
    positives = int(positive_N.sum())
    negatives = len(positive_N) - positives
    if not positives or not negatives:
        return 0.5
    _, inverse, counts = np.unique(scores_N, return_inverse=True, return_counts=True)
    rank_of_value = np.cumsum(counts) - (counts - 1) / 2
    above = float(rank_of_value[inverse][positive_N].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def effective_places(one_N: Floats, other_N: Floats) -> float:
    """Returns how many independent places would tell as much about a correlation."""
    product = _autocorrelation(one_N) * _autocorrelation(other_N)
    negative = np.flatnonzero(product <= 0)
    until = int(negative[0]) if len(negative) else len(product)
    return max(2.0, len(one_N) / (1 + 2 * float(product[1:until].sum())))


def _autocorrelation(values_N: Floats) -> npt.NDArray[np.float64]:
    """Returns the autocorrelation at lags 0 to `LONGEST_LAG`, by the Wiener-Khinchin theorem."""
    centered = values_N.astype(np.float64) - values_N.mean()
    spectrum = np.fft.rfft(centered, 2 * len(centered))
    found = np.fft.irfft(np.abs(spectrum) ** 2)[: min(LONGEST_LAG, len(centered) - 1) + 1]
    return found / found[0] if found[0] > 0 else np.append(1.0, np.zeros(len(found) - 1))
