"""The interface of all cells.

Shape legend: B streams side by side, T characters in a window, E input features, H hidden units, G = gates x H.
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
    """Ignores cuDNN's warning that it copies the weights into one contiguous block.

    The copy is a few megabytes per window: some microseconds, while the window itself takes milliseconds.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        yield


class Cell(nn.Module, ABC):
    """One recurrent layer. Its state is a value that goes in and comes out, never an attribute.

    `gate_values` and `update` are the definition, in plain equations; `step` reads one character with them. `scan` is
    the fast form over a window. Both give the same results and the same gradients, up to rounding, and a window cut in
    two gives the same results as the whole.
    `scan` computes in the dtype of its input. Weights and states are always fp32.

    The weights of all gates are stacked in the order of `gates`:
    `weight_ih` (G, E) for the input, `weight_hh` (G, H) for the hidden state, `bias` (G).
    """

    gates: ClassVar[tuple[str, ...]]
    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, input_size: int, hidden_size: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        rows = len(self.gates) * hidden_size
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias = nn.Parameter(torch.empty(rows))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        """Draws the weights uniformly from +-1/sqrt(H) and sets the biases to zero."""
        bound = 1 / math.sqrt(self.hidden_size)
        nn.init.uniform_(self.weight_ih, -bound, bound, generator)
        nn.init.uniform_(self.weight_hh, -bound, bound, generator)
        nn.init.zeros_(self.bias)

    def initial_state(self, batch_size: int) -> State:
        """Returns zeros: one (B, H) for each of `state_names`."""
        return tuple(self.weight_hh.new_zeros(batch_size, self.hidden_size) for _ in self.state_names)

    @abstractmethod
    def gate_values(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """Returns the activations of `gates`, each (..., H), at inputs x (..., E) after hidden states h (..., H)."""

    @abstractmethod
    def update(self, values: tuple[Tensor, ...], state: State) -> State:
        """Returns the new state, (B, H) each, from the activations of the gates and the state before."""

    def forget_gate(self, values: tuple[Tensor, ...]) -> Tensor | None:  # noqa: ARG002
        """Returns the share of the old state that the new one keeps, (..., H), for a cell that has such a gate."""
        return None

    def step(self, x_BE: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads one character; returns the new hidden state h_BH, which is the output, and the new state."""
        state = self.update(self.gate_values(x_BE, state[0]), state)
        return state[0], state

    @abstractmethod
    def scan(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads a window; returns the hidden states h_BTH and the state after the last character."""

    def forward(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        """Calls `scan`: torch calls a module by this name."""
        return self.scan(x_BTE, state)
