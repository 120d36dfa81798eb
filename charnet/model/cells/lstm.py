"""Long short-term memory: Hochreiter & Schmidhuber (1997), Neural Computation 9(8), with the forget gate of Gers,
Schmidhuber & Cummins (2000).

    i = sigmoid(W_i x_t + b_i + U_i h_{t-1})        input gate
    f = sigmoid(W_f x_t + b_f + U_f h_{t-1})        forget gate
    g = tanh   (W_g x_t + b_g + U_g h_{t-1})        cell candidate
    o = sigmoid(W_o x_t + b_o + U_o h_{t-1})        output gate
    c_t = f * c_{t-1} + i * g
    h_t = o * tanh(c_t)

Gate order: i, f, g, o. Parameters: 4 H (E + H + 1). Saved for backward: 6H numbers per character and stream (the four
gates, c_t and h_t); `fused_scan` saves H + E more (tanh c_t and x_t).

The forget bias starts at zero: with a good optimizer and short runs, that measured better than one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from charnet.model.cells import fused_scan
from charnet.model.cells.base import Cell, State, ignore_cudnn_repacking
from charnet.model.cells.fused_scan import (
    Activations,
    Saved,
    output_gate,
    output_gate_backward,
    sigmoid_backward,
    tanh_backward,
)

# From 1,024 units on, oneDNN's backward pass of a bf16 LSTM is wrong on CPUs with AMX: the error in the gradient of the
# input is as large as the gradient (torch 2.13; outputs and smaller layers are right). Such layers use `fused_scan`,
# which on Zen 4 is 10 % faster at that size.
MAX_ONEDNN_BF16_UNITS = 1023


class LSTM(Cell):
    """An LSTM with a forget gate; see the top of this file.

    The scan is the library's (oneDNN, cuDNN or Metal), except for large bf16 layers on a CPU.
    """

    gates: ClassVar = ("i", "f", "g", "o")
    state_names: ClassVar = ("h", "c")

    def gate_values(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(h, self.weight_hh)).chunk(4, dim=-1)
        return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()

    def update(self, values: tuple[Tensor, ...], state: State) -> State:
        (i, f, g, o), (_, c_BH) = values, state
        c_BH = f * c_BH + i * g
        return o * c_BH.tanh(), c_BH

    def forget_gate(self, values: tuple[Tensor, ...]) -> Tensor:
        return values[1]

    def scan(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        if (x_BTE.device.type, x_BTE.dtype) == ("cpu", torch.bfloat16) and self.hidden_size > MAX_ONEDNN_BF16_UNITS:
            return fused_scan.scan(self, _LSTMPointwise(), x_BTE, state)
        weights = [w.to(x_BTE.dtype) for w in (self.weight_ih, self.weight_hh, self.bias)]
        weights.append(torch.zeros_like(weights[-1]))
        before = [each[None].to(x_BTE.dtype) for each in state]
        x_TBE = x_BTE.transpose(0, 1)
        with ignore_cudnn_repacking() if x_BTE.is_cuda else contextlib.nullcontext():
            h_TBH, h_1BH, c_1BH = torch.lstm(
                x_TBE, before, weights, True, 1, 0.0, torch.is_grad_enabled(), False, False
            )
        return h_TBH.transpose(0, 1), (h_1BH[0].to(state[0].dtype), c_1BH[0].to(state[1].dtype))


class _LSTMPointwise:
    order: ClassVar[tuple[int, ...]] = (0, 1, 3, 2)
    activations: ClassVar[Activations] = (("sigmoid", 3), ("tanh", 1))

    def forward(self, gates: list[Tensor], before: State, after: State) -> Saved:
        (ifo_B3H, g), (_, before_c), (h, c) = gates, before, after
        i, f, o = ifo_B3H.chunk(3, dim=1)
        torch.mul(f, before_c, out=c).addcmul_(i, g)
        tanh_c = output_gate(c, o, h)
        return i, f, o, g, tanh_c

    def backward(
        self,
        d_h: Tensor,
        d_rest: State,
        before: State,
        after: State,  # noqa: ARG002
        saved: Saved,
        d_gates: Sequence[Tensor],
    ) -> None:
        (d_c,), (_, before_c), (i, f, o, g, tanh_c), (d_i, d_f, d_o, d_g) = d_rest, before, saved, d_gates
        output_gate_backward(d_h, o, tanh_c, d_c, d_o)
        sigmoid_backward(torch.mul(d_c, before_c, out=d_f), f, d_f)
        sigmoid_backward(torch.mul(d_c, g, out=d_i), i, d_i)
        tanh_backward(torch.mul(d_c, i, out=d_g), g, d_g)
        d_c.mul_(f)
