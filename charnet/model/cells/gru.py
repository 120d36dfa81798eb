"""The gated recurrent unit of Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder", in the
form that cuDNN computes: the reset gate is applied after the recurrent product, which has its own bias.

    r = sigmoid(W_r x_t + b_r + U_r h_{t-1})            reset gate
    z = sigmoid(W_z x_t + b_z + U_z h_{t-1})            update gate: 1 keeps the old state
    n = tanh   (W_n x_t + b_n + r * (U_n h_{t-1} + b_hn))   candidate
    h_t = (1 - z) * n + z * h_{t-1}

Gate order: r, z, n. Parameters: 3 H (E + H + 1) + H. Saved for backward: 5H + E numbers per character and stream
(the three gates, the recurrent part of n, h_t and x_t).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charnet.model.cells import fused_scan
from charnet.model.cells.base import Cell, State, ignore_cudnn_repacking
from charnet.model.cells.fused_scan import Activations, Saved, sigmoid_backward, tanh, tanh_backward


class GRU(Cell):
    """A GRU in cuDNN's form; see the top of this file. The reset gate also multiplies the bias `bias_hn` (H)."""

    gates: ClassVar = ("r", "z", "n")

    def __init__(self, input_size: int, hidden_size: int, generator: torch.Generator | None = None) -> None:
        super().__init__(input_size, hidden_size, generator)
        self.bias_hn = nn.Parameter(torch.zeros(hidden_size))

    def gate_values(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        x_r, x_z, x_n = F.linear(x, self.weight_ih, self.bias).chunk(3, dim=-1)
        h_r, h_z, h_n = F.linear(h, self.weight_hh).chunk(3, dim=-1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        return r, z, (x_n + r * (h_n + self.bias_hn)).tanh()

    def update(self, values: tuple[Tensor, ...], state: State) -> State:
        (_, z, n), (h_BH,) = values, state
        return ((1 - z) * n + z * h_BH,)

    def forget_gate(self, values: tuple[Tensor, ...]) -> Tensor:
        return values[1]

    def scan(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        if x_BTE.is_cuda:
            bias_hh = F.pad(self.bias_hn, (2 * self.hidden_size, 0))
            weights = [w.to(x_BTE.dtype) for w in (self.weight_ih, self.weight_hh, self.bias, bias_hh)]
            train = torch.is_grad_enabled()
            with ignore_cudnn_repacking():
                before = state[0][None].to(x_BTE.dtype)
                h_BTH, h_1BH = torch.gru(x_BTE, before, weights, True, 1, 0.0, train, False, True)
            return h_BTH, (h_1BH[0].to(state[0].dtype),)
        return fused_scan.scan(self, _GRUPointwise(), x_BTE, state, self.bias_hn)


class _GRUPointwise:
    order: ClassVar[tuple[int, ...]] = (0, 1, 2)
    activations: ClassVar[Activations] = (("sigmoid", 2),)

    def forward(self, gates: list[Tensor], before: State, after: State) -> Saved:
        rz_B2H, x_n, h_n = gates
        r, z = rz_B2H.chunk(2, dim=1)
        n = torch.addcmul(x_n, r, h_n)
        n = tanh(n, out=n)
        torch.lerp(n, before[0], z, out=after[0])
        return r, z, h_n, n

    def backward(
        self,
        d_h: Tensor,
        d_rest: State,  # noqa: ARG002
        before: State,
        after: State,  # noqa: ARG002
        saved: Saved,
        d_gates: Sequence[Tensor],
    ) -> Tensor:
        (before_h,), (r, z, h_n, n), (d_r, d_z, d_hn, d_n) = before, saved, d_gates
        d_before = torch.mul(d_h, z)
        tanh_backward(torch.sub(d_h, d_before, out=d_n), n, d_n)
        sigmoid_backward(torch.mul(d_n, h_n, out=d_r), r, d_r)
        sigmoid_backward(torch.sub(before_h, n, out=d_z).mul_(d_h), z, d_z)
        torch.mul(d_n, r, out=d_hn)
        return d_before
