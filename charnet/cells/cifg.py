"""The LSTM with coupled input and forget gates: Greff et al. (2015), "LSTM: A search space odyssey", variant CIFG.

    i = sigmoid(W_i x_t + b_i + U_i h_{t-1})        what is let in; the rest, 1 - i, is kept
    g = tanh   (W_g x_t + b_g + U_g h_{t-1})        what is new
    o = sigmoid(W_o x_t + b_o + U_o h_{t-1})        what is shown
    c_t = i * g + (1 - i) * c_{t-1}
    h_t = o * tanh(c_t)

Gate order: i, g, o. Parameters: 3 H (E + H + 1), three quarters of an LSTM's. Kept for the way back: 6H + E numbers
a character and stream (the three gates, c_{t-1}, tanh c_t, h_t and x_t).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from charnet.cells import recurrence
from charnet.cells.base import Cell, State
from charnet.cells.recurrence import Activations, tanh_, through_sigmoid, through_tanh


class CIFG(Cell):
    """LSTM whose forget gate is one minus its input gate; see the top of this file."""

    gates: ClassVar = ("i", "g", "o")
    state_names: ClassVar = ("h", "c")

    def step(self, x_BE: Tensor, state: State) -> tuple[Tensor, State]:
        h_BH, c_BH = state
        i, g, o = (F.linear(x_BE, self.weight_ih, self.bias) + F.linear(h_BH, self.weight_hh)).chunk(3, dim=1)
        i = i.sigmoid()
        c_BH = i * g.tanh() + (1 - i) * c_BH
        h_BH = o.sigmoid() * c_BH.tanh()
        return h_BH, (h_BH, c_BH)

    def scan(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        return recurrence.scan(self, _Coupled(), x_BTE, state)


class _Coupled:
    order: ClassVar[tuple[int, ...]] = (0, 2, 1)
    activations: ClassVar[Activations] = (("sigmoid", 2), ("tanh", 1))

    def forward(self, gates: list[Tensor], state: State) -> tuple[State, tuple[Tensor, ...]]:
        (io_B2H, g), (_, before_c) = gates, state
        i, o = io_B2H.chunk(2, dim=1)
        c_BH = torch.lerp(before_c, g.to(before_c.dtype), i.to(before_c.dtype))
        tanh_c = tanh_(c_BH.to(g.dtype, copy=True))
        return (o * tanh_c, c_BH), (io_B2H, g, before_c, tanh_c)

    def backward(
        self,
        d_state: State,
        kept: tuple[Tensor, ...],
        d_a_BG: Tensor,
        d_x_BH: Tensor,  # noqa: ARG002
    ) -> tuple[Tensor | None, State]:
        (d_h, d_c), (io_B2H, g, before_c, tanh_c) = d_state, kept
        (i, o), (d_i, d_o, d_g) = io_B2H.chunk(2, dim=1), d_a_BG.chunk(3, dim=1)
        d_c = d_c + through_tanh(d_h * o, tanh_c, torch.empty_like(d_h))
        through_sigmoid(d_h * tanh_c, o, d_o)
        d_new = d_c.to(g.dtype)
        let_in = d_new * i
        through_tanh(let_in, g, d_g)
        through_sigmoid(d_new * (g - before_c.to(g.dtype)), i, d_i)
        return None, (d_c.sub_(let_in),)
