"""What every engine promises: the same logits, to rounding, one character at a time.

Shape legend: B texts side by side, T characters to write, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

COMPILED_MIN_BATCH = 64  # texts: fewer are written faster one after the other by the compiled engine

Weights = dict[str, Any]  # by their names in a checkpoint: single precision, or matrices of 8 bits as `QuantizedMatrix`


class Engine(Protocol):
    """Advances texts by one character. The state is a value: it may be kept and gone back to. It is an array whose
    first axis runs over the texts, or a tuple of states, so that texts may leave."""

    name: str

    def start(self, batch: int) -> Any:
        """The state before the first character of `batch` texts."""
        ...

    def advance(self, ids_B: Sequence[int], state: Any) -> tuple[npt.NDArray[np.float32], Any]:
        """Reads one character of each text: logits (B, V) of the next, and the new state.

        The logits may be overwritten by the next call.
        """
        ...


@runtime_checkable
class MultiStepEngine(Engine, Protocol):
    """Can also write plain text by itself, many characters a call."""

    @property
    def min_batch(self) -> int:
        """So many plain texts, at least, it writes faster side by side than one after the other."""
        ...

    def generate(
        self,
        ids: Sequence[int],
        state: Any,
        u_T: npt.NDArray[np.float64],
        temperatures_T: npt.NDArray[np.float64],
        bias_V: npt.NDArray[np.float64] | None,
    ) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.floating], Any]:
        """Reads the symbols `ids` of one text, then samples and reads in turn, T times: what `sampling.sample_logits`
        gives for `u` and that temperature from the logits with the bias added.

        Returns the symbols (T), the `sampling.surprise` of each in the logits without bias (T), and the state in which
        all is read but the last symbol.
        """
        ...
