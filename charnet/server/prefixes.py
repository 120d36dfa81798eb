"""Keeps the states after prompts: a prompt that begins like an earlier one is read from there on."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.generation.generate import GenerationState

MOST_BYTES = 1 << 26
BYTES_OF_AN_ID = 16  # in the tuples of a state


class Prefixes:
    """The states after prompts, the least recently used dropped first. A state is a value, so each may be used at any
    time, by any number of texts.

    Args:
        most_bytes: of all states together.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[bytes, tuple[GenerationState, int]] = OrderedDict()
        self._lengths: dict[int, int] = {}  # of prompts in bytes, and how many have each

    def __len__(self) -> int:
        return len(self._kept)

    def longest(self, ids: npt.NDArray[np.int32]) -> tuple[int, GenerationState | None]:
        """Returns how many of the ids are the longest prompt that is kept, and the state after it."""
        raw = ids.tobytes()
        for length in sorted((each for each in self._lengths if each <= len(raw)), reverse=True):
            if (found := self._kept.get(raw[:length])) is not None:
                self._kept.move_to_end(raw[:length])
                return length // ids.itemsize, found[0]
        return 0, None

    def keep(self, ids: npt.NDArray[np.int32], state: GenerationState) -> None:
        """Keeps the state after a prompt, unless it alone is larger than all may be."""
        raw, size = ids.tobytes(), _size(state.state) + (len(state.recent) + len(state.pending)) * BYTES_OF_AN_ID
        size += ids.nbytes
        if raw in self._kept or size > self._most:
            return
        self._kept[raw] = state, size
        self._bytes += size
        self._lengths[len(raw)] = self._lengths.get(len(raw), 0) + 1
        while self._bytes > self._most:
            dropped, (_, its_size) = self._kept.popitem(last=False)
            self._bytes -= its_size
            self._lengths[len(dropped)] -= 1
            if not self._lengths[len(dropped)]:
                del self._lengths[len(dropped)]


def _size(state: Any) -> int:
    return sum(map(_size, state)) if isinstance(state, tuple) else int(state.nbytes)
