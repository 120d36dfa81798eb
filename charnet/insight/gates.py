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
        sums = self._sums.setdefault(place, _Sums(type(values.cell).__name__.lower(), h_NH.shape[1]))
        sums.places += len(h_NH)
        sums.h_H += h_NH.sum(axis=0)
        sums.square_H += (h_NH.astype(np.float64) ** 2).sum(axis=0)
        keeps = values.cell.forget_gate(values.gates)
        if keeps is not None:
            sums.has_forget_gate = True
            sums.decay_H -= np.log(np.maximum(keeps.numpy()[counted], 1e-30)).sum(axis=0)
        for name, gate in zip(values.cell.gates, values.gates, strict=True):
            if name in SIGMOIDS or name == "h":
                size_NH = np.abs(gate.numpy()[counted])
                shut, is_open = sums.saturated.get(name, (0.0, 0.0))
                sums.saturated[name] = (shut + float((size_NH < SHUT).mean(axis=1).sum()),
                                        is_open + float((size_NH > OPEN).mean(axis=1).sum()))  # fmt: skip

    def layers(self) -> list[LayerGates]:
        """Returns what was seen of each layer of each network."""
        return [sums.result(place) for place, sums in sorted(self._sums.items())]


class _Sums:
    """Sums over places, (H): of h, of its square, and of -ln of the forget gate."""

    def __init__(self, cell: str, units: int) -> None:
        self.cell, self.places, self.has_forget_gate = cell, 0, False
        self.h_H, self.square_H, self.decay_H = np.zeros(units), np.zeros(units), np.zeros(units)
        self.saturated: dict[str, tuple[float, float]] = {}

    def result(self, place: Place) -> LayerGates:
        places = max(1, self.places)
        deviation_H = np.sqrt(np.maximum(self.square_H / places - (self.h_H / places) ** 2, 0))
        half_lives = np.minimum(LONGEST_HALF_LIFE, math.log(2) / np.maximum(self.decay_H / places, 1e-12))
        return LayerGates(
            place=place,
            cell=self.cell,
            half_lives=half_lives.tolist() if self.has_forget_gate else [],
            shut={name: shut / places for name, (shut, _) in self.saturated.items()},
            open={name: is_open / places for name, (_, is_open) in self.saturated.items()},
            dead=np.flatnonzero(deviation_H < DEAD).tolist(),
            units=len(self.h_H),
        )
