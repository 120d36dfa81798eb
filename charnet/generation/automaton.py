"""The texts that match an expression, as a table: which symbols may come next, and how near the end is.

Shape legend: S states, C classes of symbols, V symbols in the alphabet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_KEPT = 1 << 22  # numbers in masks
DEAD = -1
FAR = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Automaton:
    """The texts that match an expression, over an alphabet. State 0 is the first.

    Attributes:
        next_SC: the state after a symbol of a class; `DEAD` where no text goes on.
        class_V: the class of each symbol.
        fewest_S: the fewest symbols from each state to an end: 0 where the text may end.
        end: the symbol that ends the text and is no part of it, or None; then a text may end anywhere where it matches.
        notes: sentences about characters that the alphabet lacks.
    """

    next_SC: npt.NDArray[np.int32]
    class_V: npt.NDArray[np.int32]
    fewest_S: npt.NDArray[np.int32]
    notes: tuple[str, ...] = ()
    end: int | None = None
    forbidden: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict, compare=False)  # kept by `mask`

    def ended_by(self, symbol: int) -> Automaton:
        """Returns the automaton of the same texts, each with a symbol behind it, which they do not hold themselves."""
        last = len(self.fewest_S)
        next_SC = np.full((last + 1, self.next_SC.shape[1] + 1), DEAD, np.int32)
        next_SC[:last, :-1] = self.next_SC
        next_SC[:last, -1] = np.where(self.fewest_S == 0, last, self.next_SC[:, self.class_V[symbol]])
        class_V = self.class_V.copy()
        class_V[symbol] = self.next_SC.shape[1]
        fewest_S = np.append(np.where(self.fewest_S < FAR, self.fewest_S + 1, FAR), 0).astype(np.int32)
        return Automaton(next_SC, class_V, fewest_S, self.notes, symbol)

    def has_ended(self, state: Any) -> Any:
        """Returns whether the symbol that ends texts has led to a state, or of many states, to each."""
        return (self.end is not None) & (state == len(self.fewest_S) - 1)

    @property
    def shortest(self) -> int:
        """The fewest characters of a text."""
        return int(self.fewest_S[0]) - (self.end is not None)

    @cached_property
    def farthest(self) -> int:
        """The largest number of symbols that any state needs to an end."""
        return int(self.fewest_S[self.fewest_S < FAR].max())

    def mask(self, state: int, left: int) -> npt.NDArray[np.float64]:
        """Returns what to add to logits (V): 0 for the symbols that are `allowed`, minus infinity for the others.

        Where the length does not matter, it is kept: texts come back to the same states.
        """
        if left <= self.farthest:
            return np.where(self.allowed(state, left), 0.0, -np.inf)
        if (kept_V := self.forbidden.get(state)) is None:
            if len(self.forbidden) * len(self.class_V) > MOST_KEPT:
                self.forbidden.clear()
            kept_V = self.forbidden[state] = np.where(self.allowed(state, left), 0.0, -np.inf)
        return kept_V

    def after(self, state: int, symbol: int) -> int:
        """Returns the state after one more symbol, or `DEAD`."""
        return int(self.next_SC[state, self.class_V[symbol]])

    def may_end(self, state: int) -> bool:
        """Returns whether the text so far matches."""
        return not self.fewest_S[state]

    def allowed(
        self, state: int | npt.NDArray[np.integer], left: int | npt.NDArray[np.integer]
    ) -> npt.NDArray[np.bool_]:
        """Returns a mask (V) of the symbols with which a text can still end within `left` symbols, this included.

        For the states of several texts (B) it is a mask (B, V); `left` is then for all of them, or (B, 1).
        """
        next_C = self.next_SC[state]
        reaches_C = (next_C != DEAD) & (self.fewest_S[next_C] < left)
        return np.asarray(reaches_C.take(self.class_V, axis=-1))
