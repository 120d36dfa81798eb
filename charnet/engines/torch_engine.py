"""The reference engine, which runs the `step` of each cell in torch.

Shape legend: B texts, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from charnet.engines.numpy_engine import State
from charnet.model.network import CharModel


class TorchEngine:
    """Runs a model step by step, by the equations of its cells."""

    name, is_exact = "torch", False

    def __init__(self, model: CharModel) -> None:
        self._model = model.eval()

    def start(self, batch: int) -> State:
        return tuple(tuple(part.cpu().numpy() for part in layer) for layer in self._model.initial_state(batch))

    @torch.no_grad()
    def advance(self, ids_B: Sequence[int], state: State) -> tuple[npt.NDArray[np.float32], State]:
        device = self._model.head.weight.device
        h_BH = self._model.embedding(torch.as_tensor(ids_B, device=device))
        after = []
        for layer, before in zip(self._model.cells, state, strict=True):
            h_BH, layer_state = layer.step(h_BH, tuple(torch.as_tensor(part, device=device) for part in before))
            after.append(tuple(part.cpu().numpy() for part in layer_state))
        logits: npt.NDArray[np.float32] = self._model.head(h_BH).cpu().numpy()
        return logits, tuple(after)
