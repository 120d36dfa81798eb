"""A text that is to be written, and the reasons why it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from charnet.config import SamplingOptions
from charnet.errors import CharnetError, ServerError
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import GenerationState
from charnet.generation.rows import Alternatives
from charnet.generation.sampler import Sampler

MOST_AHEAD = 1024  # characters


class BusyError(Exception):
    """As many texts as may wait are waiting already."""


class StoppedError(ServerError):
    """The server is stopping."""


class BrokenError(ServerError):
    """A text was lost by a bug."""


@dataclass(eq=False)
class Job:
    """A text that is to be written.

    Args:
        ids: of the prompt.
        number: of the text among those of the same seed.
        likely: how many alternatives of each symbol are kept.
        scores_prompt: keep those of the symbols of the prompt too, which is then read a symbol at a time.
        deliver: called in the thread of the room with each piece, and with None at the end; with the error, if one
            ended the text.
        delivered, taken: characters, counted by the room and by what sends them.
    """

    ids: npt.NDArray[np.int32]
    options: SamplingOptions
    deliver: Callable[[Chunk | None, list[Alternatives], CharnetError | None], object]
    number: int = 0
    likely: int | None = None
    scores_prompt: bool = False
    delivered: int = 0
    taken: int = 0
    is_cancelled: bool = False
    state: GenerationState | None = field(default=None, repr=False)
    sampler: Sampler | None = field(default=None, repr=False)

    @property
    def is_ahead(self) -> bool:
        """Whether the text is so far ahead of a client who reads slowly that it waits for that client."""
        return self.delivered - self.taken >= MOST_AHEAD
