"""The protocols of an engine. All engines give the same logits, to rounding, one character at a time.

Shape legend: B texts side by side, T characters to sample, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

COMPILED_MIN_BATCH = 64  # texts: fewer are written faster one after the other by the compiled engine

Weights = dict[str, Any]  # by their names in a checkpoint: single precision, or matrices of 8 bits as `QuantizedMatrix`


class Pattern(NamedTuple):
    """What a text has to match: tables as in `generation.automaton`, with S states and C classes of symbols.

    `matched` is the state after the text so far, and `left` how many more symbols it may have.
    """

    next_SC: npt.NDArray[np.int32]
    class_V: npt.NDArray[np.int32]
    fewest_S: npt.NDArray[np.int32]
    matched: int
    left: int


class Engine(Protocol):
    """Computes the logits of the next character of each text, one character at a time.

    The state is a value: a caller may store it and continue from it several times, also in another thread; threads may
    use one engine at once. It is a NumPy array whose first axis is the text, or a tuple of states, so that rows can be
    selected from it.

    The logits of an engine that `is_exact` are the same on every machine, to the last bit, for one text or for many.
    """

    name: str

    @property
    def is_exact(self) -> bool: ...

    def start(self, batch: int) -> Any:
        """Returns the state before the first character of `batch` texts."""
        ...

    def advance(self, ids_B: Sequence[int], state: Any) -> tuple[npt.NDArray[np.float32], Any]:
        """Reads one character of each text.

        Returns:
            The logits (B, V) of the next character, which the next call in this thread may overwrite, and the new
            state.
        """
        ...


@runtime_checkable
class MultiStepEngine(Engine, Protocol):
    """An engine that can also sample many characters in one call, by temperature and bias alone."""

    @property
    def min_batch(self) -> int:
        """The number of texts from which on a batch is faster than `generate` for one text after the other."""
        ...

    def generate(
        self,
        ids: Sequence[int],
        state: Any,
        u_T: npt.NDArray[np.float64],
        temperatures_T: npt.NDArray[np.float64],
        bias_V: npt.NDArray[np.float64] | None,
        pattern: Pattern | None = None,
    ) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.floating], Any]:
        """Reads the symbols `ids` of one text, then samples and reads one symbol in turn, T times.

        Each symbol is the one that `sampling.sample_logits` gives for its temperature and its `u`, from the logits with
        the bias added. A pattern may end the text earlier, as `Sampler.sample` says.

        Returns:
            The symbols (T), the `sampling.surprisal` of each under the logits without bias (T), and the state after all
            symbols but the last. If a pattern ended the text there are fewer symbols, and the state means nothing.
        """
        ...


def select_rows(state: Any, rows: Sequence[int]) -> Any:
    """Returns the state of some of the texts: arrays whose first axis is the text, or tuples of such."""
    return tuple(select_rows(part, rows) for part in state) if isinstance(state, tuple) else state[rows]


def put_rows(state: Any, rows: Sequence[int], other: Any) -> Any:
    """Returns the state with that of some of the texts replaced by another one; arrays are copied."""
    if isinstance(state, tuple):
        return tuple(put_rows(part, rows, new) for part, new in zip(state, other, strict=True))
    replaced = state[list(range(len(state)))]
    replaced[rows] = other
    return replaced
