"""What the gates of a layer do: how long units keep what they hold, how many gates are open or shut, which are dead.

Shape legend: S passages, T characters, H units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.insight.trace import Place, Values

SHUT, OPEN = 0.1, 0.9  # a gate below or above is saturated (Karpathy, Johnson & Fei-Fei 2015)
LONGEST_HALF_LIFE = 10_000.0  # characters
DEAD = 1e-4  # the standard deviation of a unit that never changes
SIGMOIDS = ("i", "f", "o", "r", "z")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerGates:
    """The gates of a layer.

    Attributes:
        half_lives: of each unit, in characters: ln 2 / mean of -ln f, where f is the forget gate (LSTM), one minus the
            input gate (CIFG) or the update gate (GRU). Empty for a cell without one.
        shut, open: of each gate by name, the share of all its values below 0.1 and above 0.9; for a simple recurrent
            network those of `h`, by its size.
        dead: the units that never change.
    """

    place: Place
    cell: str
    half_lives: list[float]
    shut: dict[str, float]
    open: dict[str, float]
    dead: list[int]
    units: int

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "place": self.place._asdict()}


@dataclass
class GateRecord:
    """Adds up what the gates do while passages are read: `watch` is called by `trace.observe`."""

    counted_ST: npt.NDArray[np.bool_]
    _sums: dict[Place, _Sums] = field(default_factory=dict)

    def watch(self, place: Place, values: Values, span: slice) -> None:
        counted = self.counted_ST[:, span]
        h_NH = values.states["h"].numpy()[counted]
        sums = self._sums.setdefault(place, _Sums(type(values.cell).__name__.lower(), np.zeros((3, h_NH.shape[1]))))
        sums.places += len(h_NH)
        sums.moments += [h_NH.sum(axis=0), (h_NH.astype(np.float64) ** 2).sum(axis=0), np.zeros(h_NH.shape[1])]
        keeps = values.cell.forget_gate(values.gates)
        if keeps is not None:
            sums.has_forget_gate = True
            sums.moments[2] -= np.log(np.maximum(keeps.numpy()[counted], 1e-30)).sum(axis=0)
        for name, gate in zip(values.cell.gates, values.gates, strict=True):
            if name in SIGMOIDS or name == "h":
                size_NH = np.abs(gate.numpy()[counted])
                shut, is_open = sums.saturated.get(name, (0.0, 0.0))
                sums.saturated[name] = (shut + float((size_NH < SHUT).mean(axis=1).sum()),
                                        is_open + float((size_NH > OPEN).mean(axis=1).sum()))  # fmt: skip

    def layers(self) -> list[LayerGates]:
        """Returns what was seen of each layer of each network."""
        return [sums.result(place) for place, sums in sorted(self._sums.items())]


@dataclass
class _Sums:
    """Sums over places: `moments` (3, H) of h, of its square and of -ln of the forget gate."""

    cell: str
    moments: Floats
    places: int = 0
    has_forget_gate: bool = False
    saturated: dict[str, tuple[float, float]] = field(default_factory=dict)

    def result(self, place: Place) -> LayerGates:
        mean_H, square_H, decay_H = self.moments / max(1, self.places)
        deviation_H = np.sqrt(np.maximum(square_H - mean_H**2, 0))
        half_lives = np.minimum(LONGEST_HALF_LIFE, math.log(2) / np.maximum(decay_H, 1e-12))
        return LayerGates(
            place=place,
            cell=self.cell,
            half_lives=half_lives.tolist() if self.has_forget_gate else [],
            shut={name: shut / self.places for name, (shut, _) in self.saturated.items()},
            open={name: is_open / self.places for name, (_, is_open) in self.saturated.items()},
            dead=np.flatnonzero(deviation_H < DEAD).tolist(),
            units=len(mean_H),
        )
