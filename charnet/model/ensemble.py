"""A model: one network or an ensemble of several. Builds it and splits its state.

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
    """Networks of one shape, trained independently on the same text.

    Their prediction is the mean of their probabilities (Hansen & Salamon 1990, "Neural network ensembles").

    After many passes over a text each network overfits in its own way, and the mean cancels that out: on a million
    characters, three networks are 0.03 to 0.04 nats per character better than one.
    """

    def __init__(self, networks: Iterable[CharModel]) -> None:
        super().__init__()
        self.members: Sequence[CharModel] = nn.ModuleList(networks)  # type: ignore[assignment]

    @property
    def alphabet_size(self) -> int:
        return self.members[0].alphabet_size

    def initial_state(self, batch_size: int) -> ModelState:
        """Returns zeros for the layers of the first network, then for those of the second, and so on."""
        return tuple(layer for network in self.members for layer in network.initial_state(batch_size))

    def forward(self, ids_BT: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """Returns the logarithms of the mean probabilities (B, T, V), which are logits, and the state after the last.

        Training calls each network by itself: see `charnet.model.loss.forward_backward`.
        """
        sum_BTV, after = self.members[0].head.weight.new_full((), -math.inf), []
        for network, before in split_state(self, state):
            logits_BTV, network_state = network(ids_BT, before)
            sum_BTV = torch.logaddexp(sum_BTV, logits_BTV.log_softmax(dim=-1))
            after += network_state
        return sum_BTV - math.log(len(self.members)), tuple(after)


Model = CharModel | Ensemble


def build(alphabet_size: int, settings: ModelSettings, generator: torch.Generator | None = None) -> Model:
    """Builds a model with these settings and freshly initialized weights.

    Args:
        generator: of the weights; by default torch's own.
    """
    of_one = ("cell", "activation", "hidden_size", "num_layers", "embedding_size", "dropout", "weight_dropout")
    shape = {name: getattr(settings, name) for name in of_one}
    networks = [CharModel(alphabet_size, **shape, generator=generator) for _ in range(settings.members)]
    return networks[0] if settings.members == 1 else Ensemble(networks)


def from_weights(settings: ModelSettings, weights: Mapping[str, npt.NDArray[np.float32]]) -> Model:
    """Builds a model with stored weights, on the CPU."""
    alphabet_size = next(len(value) for name, value in weights.items() if name.endswith("head.bias"))
    model = build(alphabet_size, settings, torch.Generator())  # the caller's random numbers stay as they are
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return model


def split_state(model: Model, state: ModelState) -> Iterable[tuple[CharModel, ModelState]]:
    """Yields each network of a model with its own part of the state."""
    begin = 0
    for network in model.members:
        end = begin + len(network.cells)
        yield network, state[begin:end]
        begin = end
