"""Networks with 8-bit weights as `evaluate` calls a model: what an exact engine computes, in tensors.

Shape legend: S streams, T characters in a chunk, V characters in the alphabet.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from charnet.engines.base import Engine

State = tuple[Any, ...]  # the layers of the first network, then those of the second, and so on


class ExactModel:
    """Calls an engine character by character.

    Args:
        engine: of the networks alone, without an n-gram.
        members: how many networks it runs.
    """

    training = False

    def __init__(self, engine: Engine, members: int, alphabet_size: int) -> None:
        self._engine, self.members, self.alphabet_size = engine, range(members), alphabet_size

    def eval(self) -> ExactModel:
        return self

    def train(self, mode: bool = True) -> ExactModel:  # noqa: ARG002 - as torch has it
        return self

    def parameters(self) -> Iterator[torch.Tensor]:
        yield torch.empty(0)  # says on which device the inputs have to be

    def initial_state(self, batch_size: int) -> State:
        state: State = self._engine.start(batch_size)
        return state if len(self.members) == 1 else tuple(itertools.chain.from_iterable(state))

    def __call__(self, ids_ST: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Returns the logits (S, T, V) after each character, and the state after the last."""
        ids = ids_ST.numpy()
        layers = len(state) // len(self.members)
        nested = tuple(state[at : at + layers] for at in range(0, len(state), layers))
        now: Any = nested[0] if len(self.members) == 1 else nested
        logits_STV = np.empty((*ids.shape, self.alphabet_size), np.float32)
        for t in range(ids.shape[1]):
            logits_STV[:, t], now = self._engine.advance(ids[:, t].tolist(), now)
        after: State = now if len(self.members) == 1 else tuple(itertools.chain.from_iterable(now))
        return torch.from_numpy(logits_STV), after
