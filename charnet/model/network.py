"""One network: embedding, layers of one cell, a linear head.

Shape legend: B streams, T characters in a window, E size of the embedding, H hidden units, G = gates x H, V characters
in the alphabet, C candidates among them, U = V rounded up to a multiple of `ALIGNMENT`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from charnet.model.cells import CELLS
from charnet.model.cells.base import Cell, State
from charnet.model.cells.rnn import RNN

ModelState = tuple[State, ...]
DROPOUT_LEVELS = 256  # values of a random byte
ALIGNMENT = 8  # elements: the width of a row is a multiple of it, for the tensor cores of a GPU


class CharModel(nn.Module):
    """Predicts, after each character, the logits of the next.

    Args:
        alphabet_size: V.
        cell: a name in `CELLS`.
        activation: of the `rnn` cell.
        embedding_size: E; 0 stands for H.
        dropout: dropout rate after every layer, in training.
        weight_dropout: dropout rate of the recurrent weights in training, with a new mask for each window (Merity,
            Keskar & Socher 2018, "Regularizing and optimizing LSTM language models").
        generator: of the initial weights; by default torch's own, which all of the process shares.
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
        weight_dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        embedding_size = embedding_size or hidden_size
        self.dropout, self.weight_dropout = dropout, weight_dropout
        self.embedding = _Embedding(alphabet_size, embedding_size)
        nn.init.normal_(self.embedding.weight, generator=generator)
        self.layers = nn.ModuleList(
            _build_cell(cell, activation, hidden_size if layer else embedding_size, hidden_size, generator)
            for layer in range(num_layers)
        )
        self.head = _Head(hidden_size, alphabet_size)
        nn.init.kaiming_uniform_(self.head.weight, a=math.sqrt(5), generator=generator)  # both as `nn.Linear` does,
        nn.init.uniform_(self.head.bias, generator=generator)  # so that a seed still gives the same numbers after them
        nn.init.zeros_(self.head.bias)

    def initial_state(self, batch_size: int) -> ModelState:
        """Returns zeros: the state before the first character."""
        return tuple(layer.initial_state(batch_size) for layer in self.cells)

    def forward(
        self,
        ids_BT: Tensor,
        state: ModelState,
        *,
        compute_dtype: torch.dtype | None = None,
        candidates_C: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, ModelState]:
        """Returns the logits (B, T, V) of the character after each of ids_BT, and the state after the last.

        Args:
            compute_dtype: the dtype in which cells and head multiply; by default that of the weights.
            candidates_C: the characters whose logits are returned, (B, T, C); by default all.
            generator: of the dropout masks; by default torch's own.
        """
        h_BTH, after = self.read(ids_BT, state, compute_dtype=compute_dtype, generator=generator)
        head = (p if candidates_C is None else p.index_select(0, candidates_C) for p in self.head.parameters())
        weight, bias = (p.to(h_BTH.dtype) for p in head)
        logits_TBV = F.linear(h_BTH.transpose(0, 1), weight, bias).to(self.head.weight.dtype)
        return logits_TBV.transpose(0, 1), after

    def read(
        self,
        ids_BT: Tensor,
        state: ModelState,
        *,
        compute_dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, ModelState]:
        """Returns the hidden states (B, T, H) of the highest layer, and the state after the last character; the
        arguments are those of `forward`."""
        h_BTH, table = self._lowest_input(ids_BT, compute_dtype or self.embedding.weight.dtype)
        after = []
        for layer, before in zip(self.cells, state, strict=True):
            h_BTH, layer_state = self._scan(layer, h_BTH, before, table, generator)
            table = None
            if self.training and self.dropout:
                h_BTH = dropout(h_BTH.transpose(0, 1), self.dropout, generator).transpose(0, 1)
            after.append(layer_state)
        return h_BTH, tuple(after)

    def _lowest_input(self, ids_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Returns the input of the lowest cell, stored time first, and the input weights that replace its own, if any.

        For a small alphabet the input is the one-hot character (B, T, U), and the input weights are a table (G, U):
        the product of the cell's input weights with each embedding. The result is the same up to rounding. Each
        character takes U multiplications instead of E, but the table has to be computed once per window.
        """
        ids_TB, weight_VE = ids_BT.t(), self.embedding.weight
        alphabet_size, size = weight_VE.shape
        width = -(-alphabet_size // ALIGNMENT) * ALIGNMENT
        if width * (ids_BT.numel() + size) >= size * ids_BT.numel():
            return self.embedding(ids_TB).to(dtype).transpose(0, 1), None
        one_hot_VU = torch.eye(alphabet_size, width, dtype=dtype, device=weight_VE.device)
        padded_UE = F.pad(weight_VE, (0, 0, 0, width - alphabet_size)).to(dtype)
        return one_hot_VU[ids_TB].transpose(0, 1), self.cells[0].weight_ih.to(dtype) @ padded_UE.t()

    def _scan(
        self, cell: Cell, x_BTE: Tensor, state: State, table_GU: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, State]:
        replaced = {} if table_GU is None else {"weight_ih": table_GU}
        if self.training and self.weight_dropout:
            replaced["weight_hh"] = dropout(cell.weight_hh, self.weight_dropout, generator)
        return functional_call(cell, replaced, (x_BTE, state)) if replaced else cell.scan(x_BTE, state)

    @property
    def cells(self) -> list[Cell]:
        """The recurrent layers, from the lowest up."""
        return list(self.layers)  # type: ignore[arg-type]

    @property
    def alphabet_size(self) -> int:
        return self.head.out_features

    @property
    def members(self) -> Sequence[CharModel]:
        """The networks of the model: this one alone."""
        return [self]


class _Embedding(nn.Embedding):
    """An embedding that leaves it to `CharModel` to initialize it: torch's takes no generator."""

    def reset_parameters(self) -> None:
        pass


class _Head(nn.Linear):
    """A linear layer that does the same."""

    def reset_parameters(self) -> None:
        pass


def dropout(x: Tensor, rate: float, generator: torch.Generator | None = None) -> Tensor:
    """Applies dropout (Srivastava et al. 2014): zeroes elements at random and scales the others to preserve the mean.

    On the CPU each 64-bit random number decides for eight elements, so the rate is rounded to a multiple of 1/256.
    torch's own dropout draws a random number for each element, which took a fifth of the training time, and takes no
    generator.
    """
    keep_levels = round((1 - rate) * DROPOUT_LEVELS)
    if x.device.type != "cpu" or not 0 < keep_levels < DROPOUT_LEVELS:
        return x * torch.empty_like(x).bernoulli_(1 - rate, generator=generator).div_(1 - rate)
    random_bits = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    mask = (random_bits.view(torch.uint8)[: x.numel()] < keep_levels).view(x.shape)
    return x * mask.to(x.dtype) * (DROPOUT_LEVELS / keep_levels)


def _build_cell(
    name: str, activation: str, input_size: int, hidden_size: int, generator: torch.Generator | None
) -> Cell:
    if name == "rnn":
        return RNN(input_size, hidden_size, activation, generator)
    return CELLS[name](input_size, hidden_size, generator)
