"""A model: one network, or an ensemble of several; how it is built, and whose the state is.

Shape legend: B streams, T characters in a window, V characters in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from charnet.config import ModelSettings
from charnet.model.network import CharModel, ModelState


class Ensemble(nn.Module):
    """Networks of one shape that read the same text and learn it each by itself; what they say is the mean of their
    probabilities (Hansen & Salamon 1990, "Neural network ensembles").

    Where a text is read so often that a network learns it by heart, each learns something else by heart, and the mean
    forgets it: three on a million characters are worth 0.03 to 0.04 nats a character over one.
    """

    def __init__(self, networks: Iterable[CharModel]) -> None:
        super().__init__()
        self.members: Sequence[CharModel] = nn.ModuleList(networks)  # type: ignore[assignment]

    @property
    def alphabet_size(self) -> int:
        return self.members[0].alphabet_size

    def initial_state(self, batch_size: int) -> ModelState:
        """Zeros, for the layers of the first network, then those of the second, and so on."""
        return tuple(layer for network in self.members for layer in network.initial_state(batch_size))

    def forward(self, ids_BT: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """Logarithms of the mean probabilities (B, T, V), which are logits too, and the state after the last. To learn,
        each network is asked by itself (`learn`)."""
        sum_BTV, after = self.members[0].head.weight.new_full((), -math.inf), []
        for network, before in split_state(self, state):
            logits_BTV, own = network(ids_BT, before)
            sum_BTV = torch.logaddexp(sum_BTV, logits_BTV.log_softmax(dim=-1))
            after += own
        return sum_BTV - math.log(len(self.members)), tuple(after)


Model = CharModel | Ensemble


def build(alphabet_size: int, settings: ModelSettings) -> Model:
    """A model as settings say, with weights that nothing was learned into."""
    shape = {name: value for name, value in vars(settings).items() if name != "members"}
    networks = [CharModel(alphabet_size, **shape) for _ in range(settings.members)]
    return networks[0] if settings.members == 1 else Ensemble(networks)


def from_weights(settings: ModelSettings, weights: Mapping[str, npt.NDArray[np.float32]]) -> Model:
    """A model with stored weights, on the processor."""
    alphabet_size = next(len(value) for name, value in weights.items() if name.endswith("head.bias"))
    model = build(alphabet_size, settings)
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return model


def split_state(model: Model, state: ModelState) -> Iterable[tuple[CharModel, ModelState]]:
    """Each network of a model, with its own part of the state."""
    begin = 0
    for network in model.members:
        end = begin + len(network.cells)
        yield network, state[begin:end]
        begin = end
