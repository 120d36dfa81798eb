"""The character model: embedding, layers of one cell, a linear head.

Shape legend: B streams, T characters, E numbers for a character, H units, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charnet.cells import CELLS, Cell, State
from charnet.cells.rnn import RNN
from charnet.config import ModelSettings

ModelState = tuple[State, ...]


class CharModel(nn.Module):
    """Gives, after each character, the logits of the next.

    Args:
        alphabet_size: V.
        cell: a name in `CELLS`.
        activation: of the `rnn` cell.
        embedding_size: E; 0 stands for H.
        dropout: share of outputs silenced after each layer while training.
    """

    def __init__(
        self,
        alphabet_size: int,
        *,
        cell: str = "lstm",
        activation: str = "tanh",
        hidden_size: int = 256,
        num_layers: int = 1,
        embedding_size: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        embedding_size = embedding_size or hidden_size
        self.dropout = dropout
        self.embedding = nn.Embedding(alphabet_size, embedding_size)
        self.layers = nn.ModuleList(
            _cell(cell, activation, hidden_size if layer else embedding_size, hidden_size)
            for layer in range(num_layers)
        )
        self.head = nn.Linear(hidden_size, alphabet_size)
        nn.init.zeros_(self.head.bias)

    def initial_state(self, batch_size: int) -> ModelState:
        """Zeros: what the model remembers before the first character."""
        return tuple(layer.initial_state(batch_size) for layer in self.cells)

    def forward(
        self, ids_BT: Tensor, state: ModelState, *, products_in: torch.dtype | None = None
    ) -> tuple[Tensor, ModelState]:
        """Logits (B, T, V) of the character after each of ids_BT, and the state after the last.

        Args:
            products_in: the number format in which the cells multiply, by default that of the weights.
        """
        h_TBE = self.embedding(ids_BT.t())
        h_BTH = h_TBE.to(products_in or h_TBE.dtype).transpose(0, 1)  # stored time first, as the cells want it
        after = []
        for layer, before in zip(self.cells, state, strict=True):
            h_BTH, layer_state = layer.scan(h_BTH, before)
            h_BTH = F.dropout(h_BTH, self.dropout, self.training)
            after.append(layer_state)
        return self.head(h_BTH.transpose(0, 1).to(self.head.weight.dtype)).transpose(0, 1), tuple(after)

    @property
    def cells(self) -> list[Cell]:
        """The recurrent layers, the lowest first."""
        return list(self.layers)  # type: ignore[arg-type]


def _cell(name: str, activation: str, input_size: int, hidden_size: int) -> Cell:
    if name == "rnn":
        return RNN(input_size, hidden_size, activation)
    return CELLS[name](input_size, hidden_size)


def nats_per_char(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean cross-entropy over all characters: a number, in nats."""
    # Logits are stored time first: in that order they flatten without a copy.
    return F.cross_entropy(logits_BTV.transpose(0, 1).flatten(0, 1), targets_BT.t().flatten())


def from_weights(settings: ModelSettings, weights: Mapping[str, npt.NDArray[np.float32]]) -> CharModel:
    """A model with stored weights, on the processor."""
    model = CharModel(len(weights["head.bias"]), **vars(settings))
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return model


def compute_with(threads: int) -> None:
    """Sets how many threads of the processor compute, and sees to it that they all compute alike.

    MKL's vector functions choose their code at their first call. Where two threads make that call at once, one of them
    may take other code, with other rounding, for that call: one start in twenty gave other weights, to the last digit.
    So the first call is made here, by one thread.
    """
    torch.set_num_threads(threads)
    torch.ones(1).sqrt().exp().log().tanh()


def detached(state: ModelState) -> ModelState:
    """The same numbers, cut from the past: no gradient flows back through them."""
    return tuple(tuple(each.detach() for each in layer) for layer in state)
