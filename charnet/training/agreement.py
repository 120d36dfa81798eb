"""What processes that train together tell each other in every step, so that none of them stops or saves alone."""

from __future__ import annotations

from collections.abc import Sequence

from charnet.training.group import Group

STOPS, SAVES, CLOCK = range(3)


class Agreement:
    """What the processes of a group wish, and what they have agreed on. It travels with the gradients of a step.

    Attributes:
        wishes: numbers of this process for the others; () if it is alone.
    """

    def __init__(self, group: Group) -> None:
        self._group, self._agreed = group, (0.0, 0.0, 0.0)
        self.wishes: tuple[float, ...] = ()

    def wish(self, *, stops: object, saves: bool) -> None:
        """Notes whether this process is to stop. The first one also decides when to save, and whose clock counts."""
        first = self._group.is_first
        wishes = (
            float(bool(stops) or self._group.is_abandoned),
            float(first and saves),
            self._group.clock() if first else 0.0,
        )
        if self._group.size == 1:
            self._agreed = wishes
        else:
            self.wishes = wishes

    def agree(self, sums: Sequence[float]) -> None:
        """Takes the sums of the wishes of all processes, of which there are none if this one is alone."""
        if sums:
            self._agreed = (sums[STOPS], sums[SAVES], sums[CLOCK])
            self._group.agreed = sums[CLOCK]

    @property
    def stops(self) -> bool:
        """Whether a process is to stop."""
        return self._agreed[STOPS] > 0

    @property
    def saves(self) -> bool:
        """Whether it is time to save."""
        return self._agreed[SAVES] > 0
