"""The compiled form of what a text has to match. Shape legend: S states, C classes of symbols, V symbols."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

DEAD = -1


class Pattern(NamedTuple):
    """What a text has to match, as `generation.automaton` compiles it. Without states it is nothing."""

    next_SC: npt.NDArray[np.int32]
    class_V: npt.NDArray[np.int32]
    fewest_S: npt.NDArray[np.int32]


@njit(nogil=True, error_model="numpy")
def following(pattern: Pattern, matched: int, left: int, symbol: int) -> int:
    """Returns the state after one more symbol; `DEAD` if the text could then not end within what is left."""
    state = pattern.next_SC[matched, pattern.class_V[symbol]]
    return int(state) if state != DEAD and pattern.fewest_S[state] < left else DEAD
