"""What every engine promises: the same logits, to rounding, one character at a time.

Shape legend: B texts side by side, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Engine(Protocol):
    """Advances texts by one character. The state is a value: it may be kept and gone back to."""

    name: str

    def start(self, batch: int) -> Any:
        """The state before the first character of `batch` texts."""
        ...

    def advance(self, ids_B: Sequence[int], state: Any) -> tuple[npt.NDArray[np.float32], Any]:
        """Reads one character of each text: logits (B, V) of the next, and the new state.

        The logits may be overwritten by the next call.
        """
        ...
