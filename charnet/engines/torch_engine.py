"""The reference engine, which runs the `step` of each cell in torch.

Shape legend: B texts, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from charnet.model.network import CharModel, ModelState


class TorchEngine:
    """Runs a model step by step, by the equations of its cells."""

    name, is_exact = "torch", False

    def __init__(self, model: CharModel) -> None:
        self._model = model.eval()

    def start(self, batch: int) -> ModelState:
        return self._model.initial_state(batch)

    @torch.no_grad()
    def advance(self, ids_B: Sequence[int], state: ModelState) -> tuple[npt.NDArray[np.float32], ModelState]:
        h_BH = self._model.embedding(torch.as_tensor(ids_B, device=self._model.head.weight.device))
        after = []
        for layer, before in zip(self._model.cells, state, strict=True):
            h_BH, layer_state = layer.step(h_BH, before)
            after.append(layer_state)
        logits: npt.NDArray[np.float32] = self._model.head(h_BH).cpu().numpy()
        return logits, tuple(after)
