"""The simple recurrent network of Elman (1990), "Finding structure in time", Cognitive Science 14(2).

    h_t = f(W_ih x_t + b + W_hh h_{t-1})        f = tanh, relu or sigmoid

Gate order: one block, `h`. Parameters: H (E + H + 1). Saved for backward: H + E numbers per character and stream
(h_t and x_t, joined).

The recurrent matrix starts orthogonal, so that neither the state nor the gradient explodes or vanishes at first. With
relu it starts as half the identity: the identity (Le, Jaitly and Hinton 2015, "A simple way to initialize recurrent
networks of rectified linear units") adds up the inputs for as long as the state is carried, and three such layers
overflow. The derivative of a sigmoid is at most 1/4, so the matrix starts four times as large, and the bias is such
that units at 0.5 stay there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charnet.model.cells import fused_scan
from charnet.model.cells.base import Cell, State, ignore_cudnn_repacking
from charnet.model.cells.fused_scan import Activations, Saved, sigmoid_backward, tanh_backward

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}


class RNN(Cell):
    """Elman's network with tanh, relu or sigmoid; see the top of this file."""

    gates: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(
        self, input_size: int, hidden_size: int, activation: str = "tanh", generator: torch.Generator | None = None
    ) -> None:
        self.activation = activation
        super().__init__(input_size, hidden_size, generator)

    def reset_parameters(self, generator: torch.Generator | None) -> None:
        super().reset_parameters(generator)
        if self.activation == "relu":
            nn.init.eye_(self.weight_hh)
            with torch.no_grad():
                self.weight_hh.mul_(0.5)
        elif self.activation == "tanh":
            nn.init.orthogonal_(self.weight_hh, generator=generator)
        else:
            nn.init.orthogonal_(self.weight_hh, gain=4, generator=generator)
            with torch.no_grad():
                self.bias.sub_(0.5 * self.weight_hh.sum(1))

    def gate_values(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        f = ACTIVATIONS[self.activation]
        return (f(F.linear(x, self.weight_ih, self.bias) + F.linear(h, self.weight_hh)),)

    def update(self, values: tuple[Tensor, ...], state: State) -> State:  # noqa: ARG002
        return values

    def scan(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        if x_BTE.is_cuda and self.activation != "sigmoid":
            fused = torch.rnn_tanh if self.activation == "tanh" else torch.rnn_relu
            weights = [w.to(x_BTE.dtype) for w in (self.weight_ih, self.weight_hh, self.bias)]
            weights.append(torch.zeros_like(weights[-1]))
            train, before = torch.is_grad_enabled(), state[0][None].to(x_BTE.dtype)
            with ignore_cudnn_repacking():
                h_BTH, h_1BH = fused(x_BTE, before, weights, True, 1, 0.0, train, False, True)
            return h_BTH, (h_1BH[0].to(state[0].dtype),)
        return fused_scan.scan(self, _RNNPointwise(self.activation), x_BTE, state)


@dataclass(frozen=True)
class _RNNPointwise:
    activation: str
    order: ClassVar[tuple[int, ...]] = (0,)

    @property
    def activations(self) -> Activations:
        return ((self.activation, 1),)

    def forward(self, gates: list[Tensor], before: State, after: State) -> Saved:  # noqa: ARG002
        after[0].copy_(gates[0])
        return ()

    def backward(
        self,
        d_h: Tensor,
        d_rest: State,  # noqa: ARG002
        before: State,  # noqa: ARG002
        after: State,
        saved: Saved,  # noqa: ARG002
        d_gates: Sequence[Tensor],
    ) -> None:
        if self.activation == "relu":
            torch.ops.aten.threshold_backward.grad_input(d_h, after[0], 0, grad_input=d_gates[0])
        else:
            {"tanh": tanh_backward, "sigmoid": sigmoid_backward}[self.activation](d_h, after[0], d_gates[0])
