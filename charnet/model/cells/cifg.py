"""The LSTM with coupled input and forget gates: Greff et al. (2015), "LSTM: A search space odyssey", variant CIFG.

    i = sigmoid(W_i x_t + b_i + U_i h_{t-1})        input gate; the forget gate is 1 - i
    g = tanh   (W_g x_t + b_g + U_g h_{t-1})        cell candidate
    o = sigmoid(W_o x_t + b_o + U_o h_{t-1})        output gate
    c_t = i * g + (1 - i) * c_{t-1}
    h_t = o * tanh(c_t)

Gate order: i, g, o. Parameters: 3 H (E + H + 1), three quarters of an LSTM's. Saved for backward: 6H + E numbers per
character and stream (the three gates, c_t, tanh c_t, h_t and x_t).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from charnet.model.cells import fused_scan
from charnet.model.cells.base import Cell, State
from charnet.model.cells.fused_scan import (
    Activations,
    Saved,
    output_gate,
    output_gate_backward,
    sigmoid_backward,
    tanh_backward,
)


class CIFG(Cell):
    """An LSTM whose forget gate is one minus its input gate; see the top of this file."""

    gates: ClassVar = ("i", "g", "o")
    state_names: ClassVar = ("h", "c")

    def gate_values(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        i, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(h, self.weight_hh)).chunk(3, dim=-1)
        return i.sigmoid(), g.tanh(), o.sigmoid()

    def update(self, values: tuple[Tensor, ...], state: State) -> State:
        (i, g, o), (_, c_BH) = values, state
        c_BH = i * g + (1 - i) * c_BH
        return o * c_BH.tanh(), c_BH

    def forget_gate(self, values: tuple[Tensor, ...]) -> Tensor:
        return 1 - values[0]

    def scan(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        return fused_scan.scan(self, _CIFGPointwise(), x_BTE, state)


class _CIFGPointwise:
    order: ClassVar[tuple[int, ...]] = (0, 2, 1)
    activations: ClassVar[Activations] = (("sigmoid", 2), ("tanh", 1))

    def forward(self, gates: list[Tensor], before: State, after: State) -> Saved:
        (io_B2H, g), (_, before_c), (h, c) = gates, before, after
        i, o = io_B2H.chunk(2, dim=1)
        torch.lerp(before_c, g, i, out=c)
        tanh_c = output_gate(c, o, h)
        return i, o, g, tanh_c

    def backward(
        self,
        d_h: Tensor,
        d_rest: State,
        before: State,
        after: State,  # noqa: ARG002
        saved: Saved,
        d_gates: Sequence[Tensor],
    ) -> None:
        (d_c,), (_, before_c), (i, o, g, tanh_c), (d_i, d_o, d_g) = d_rest, before, saved, d_gates
        output_gate_backward(d_h, o, tanh_c, d_c, d_o)
        sigmoid_backward(torch.sub(g, before_c, out=d_i).mul_(d_c), i, d_i)
        d_c_i = torch.mul(d_c, i, out=d_g)
        d_c.sub_(d_c_i)
        tanh_backward(d_c_i, g, d_g)
