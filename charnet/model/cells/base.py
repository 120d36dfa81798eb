"""What every cell promises.

Shape legend: B streams side by side, T characters in a window, E numbers in, H units, G = gates x H.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


@contextlib.contextmanager
def ignore_cudnn_repacking() -> Iterator[None]:
    """Around calls of cuDNN: it wants its weights in one block and warns that it copies ours there.

    The copy is a few megabytes a window, some microseconds beside the milliseconds of the window itself.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        yield


class Cell(nn.Module, ABC):
    """One recurrent layer. Its state is a value that goes in and comes out, never an attribute.

    `step` is the definition: one character, in plain equations. `scan` is the fast form over a window; both give the
    same numbers to rounding, a window cut anywhere gives what it gives whole, and gradients agree. `scan` computes in
    the number format of its input; weights, and the state that goes in and comes out, are fp32 whatever that is.

    The weights of all gates stand on top of each other in the order of `gates`:
    `weight_ih` (G, E) for the input, `weight_hh` (G, H) for the hidden state, `bias` (G).
    """

    gates: ClassVar[tuple[str, ...]]
    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        rows = len(self.gates) * hidden_size
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias = nn.Parameter(torch.empty(rows))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights uniform within 1/sqrt(H), biases zero."""
        bound = 1 / math.sqrt(self.hidden_size)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        nn.init.uniform_(self.weight_hh, -bound, bound)
        nn.init.zeros_(self.bias)

    def initial_state(self, batch_size: int) -> State:
        """Zeros, one (B, H) for each of `state_names`."""
        return tuple(self.weight_hh.new_zeros(batch_size, self.hidden_size) for _ in self.state_names)

    @abstractmethod
    def step(self, x_BE: Tensor, state: State) -> tuple[Tensor, State]:
        """One character: the new hidden state h_BH, which is the output, and the new state."""

    @abstractmethod
    def scan(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        """A window: the hidden states h_BTH and the state after the last character."""

    def forward(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        """`scan`, by the name under which torch calls a module."""
        return self.scan(x_BTE, state)
