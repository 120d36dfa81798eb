"""How far a model remembers: its loss on the same characters when it has seen 1, 2, 4 ... characters before them.

A network that begins with an empty memory k characters before a target has seen k characters of context. For long
contexts several neighboring targets share one reading: those of a reading have seen between k and 1 + 1/8 times k
characters, so each length costs about as much as any other.

Shape legend: B readings, T characters, K neighboring targets of a reading, N targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from charnet.data.encoded_copy import Ids
from charnet.data.split import Part
from charnet.errors import CorpusError
from charnet.insight.passages import Ints, as_part
from charnet.insight.passages import places as places_of
from charnet.insight.trace import log_p
from charnet.model.network import CharModel

LONGEST = 1024  # characters of context
BLOCK, SHORT = 32, 64  # neighboring targets; a context in a document up to which targets have no neighbors
SHARED = 8  # the targets of a reading of k characters are k / 8 neighbors
FEWEST_BLOCKS = 4
AT_ONCE = 1 << 15  # characters in memory at once
SMALLEST_GAIN = 0.005  # nats per character; less is no gain
MUCH_WORSE, HOPELESS = 1.0, 30.0  # nats per character; no alphabet makes a blind guess cost as much as the second


@dataclass(frozen=True)
class ContextCurve:
    """The loss by the length of the context.

    Attributes:
        lengths: characters of context, ascending.
        nats: per character, the mean over the same targets for every length.
        errors: the standard error of the difference to the longest context, from the differences of `blocks`.
        horizon: the shortest length beyond which no gain can be measured.
        places, blocks: targets, and the stretches of the text in which they lie.
    """

    lengths: list[int]
    nats: list[float]
    errors: list[float]
    horizon: int
    places: int
    blocks: int

    @property
    def is_open(self) -> bool:
        """Whether more context still helped at the longest length: the horizon lies beyond it."""
        return self.horizon >= self.lengths[-1] and len(self.lengths) > 1

    @property
    def is_unstable(self) -> bool:
        """Whether the loss shoots up with some context, and no memory can be read from it: the state explodes."""
        worst = max(self.nats)
        return worst > self.nats[0] + MUCH_WORSE and (worst > self.nats[-1] + MUCH_WORSE or worst > HOPELESS)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "is_open": self.is_open, "is_unstable": self.is_unstable}


def context_losses(networks: Sequence[CharModel], ids: Part | Ids, *, places: int = 1024) -> ContextCurve:
    """Measures how the loss of networks falls with the length of the context.

    Args:
        networks: those of a model, as `trace.networks_of` gives them; an n-gram is left out.
        ids: a text that the model did not learn from; documents keep their own contexts.
        places: the number of targets.

    Raises:
        CorpusError: the text, or every document of it, is too short.
    """
    text = as_part(ids)
    blocks_N, block, longest = _blocks(text, max(FEWEST_BLOCKS, places))
    found: dict[int, npt.NDArray[np.float64]] = {}

    def loss(length: int) -> npt.NDArray[np.float64]:
        if length not in found:
            found[length] = _losses(networks, text.ids, blocks_N, block, length)
        return found[length]

    def gains_nothing(length: int) -> bool:
        mean, error = _difference(loss(length), loss(longest))
        return mean <= max(2 * error, SMALLEST_GAIN)

    lengths = [1 << power for power in range(longest.bit_length())]
    horizon = longest
    for length in reversed(lengths[:-1]):
        if not gains_nothing(length):
            break
        horizon = length
    low, high = horizon // 2, horizon  # more context than `low` helps, more than `high` does not
    while high - low > max(1, high // SHARED) and high < longest:
        middle = (low + high) // 2
        low, high = (low, middle) if gains_nothing(middle) else (middle, high)
    horizon = high
    for length in lengths:
        loss(length)
    known = sorted(found)
    return ContextCurve(
        lengths=known,
        nats=[float(found[length].mean()) for length in known],
        errors=[_difference(found[length], found[longest])[1] for length in known],
        horizon=horizon,
        places=found[longest].size,
        blocks=len(blocks_N),
    )


def _difference(one_NK: npt.NDArray[np.float64], other_NK: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Returns the mean difference and its standard error, from the means of the blocks: neighbors are alike."""
    of_blocks_N = (one_NK - other_NK).mean(axis=1)
    spread = float(of_blocks_N.std(ddof=1)) if len(of_blocks_N) > 1 else math.inf
    return float(of_blocks_N.mean()), spread / math.sqrt(len(of_blocks_N))


def _blocks(text: Part, most: int) -> tuple[Ints, int, int]:
    """Returns where blocks of targets begin, spread over the text, how many targets each has, and the longest context
    that all of them have in their text or document."""
    longest = LONGEST
    while longest:
        block = min(BLOCK, longest) if text.documents is None else 1 if longest <= SHORT else BLOCK
        wanted = max(FEWEST_BLOCKS, most // block)
        found_N = places_of(text, wanted, longest, block, 2 * FEWEST_BLOCKS)
        if found_N is not None:
            return found_N, block, longest
        longest //= 2
    raise CorpusError("the text is too short to see how far the model remembers: give a longer one")


@torch.no_grad()
def _losses(
    networks: Sequence[CharModel], ids: Any, blocks_N: Ints, block: int, length: int
) -> npt.NDArray[np.float64]:
    """Returns the loss of each target after `length` characters of context, (blocks, targets of a block)."""
    shared = max(1, min(block, 1 << (max(1, length // SHARED)).bit_length() - 1))
    first_B = (blocks_N[:, None] + np.arange(0, block, shared)).ravel()
    rows = max(1, AT_ONCE // (length + shared))
    parts = []
    for begin in range(0, len(first_B), rows):
        at_BT = first_B[begin : begin + rows, None] + np.arange(-length, shared)
        ids_BT = torch.from_numpy(ids[at_BT].astype(np.int64))
        log_p_BK = torch.full((len(ids_BT), shared), -math.inf)
        for network in networks:
            h_BTH, _ = network.read(ids_BT[:, :-1], network.initial_state(len(ids_BT)))
            log_p_BK = torch.logaddexp(log_p_BK, log_p(network, h_BTH[:, length - 1 :], ids_BT[:, length:]))
        parts.append(math.log(len(networks)) - log_p_BK.double().numpy())
    return np.concatenate(parts).reshape(len(blocks_N), block)
