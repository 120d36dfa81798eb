"""The fast form of cells that no library computes well: a scan over time with its own backward pass.

A cell has a linear part, which is the same for all cells, and a pointwise part of its own (`Pointwise`). Each step
multiplies the concatenated weights by the concatenated input and hidden state: one product for each activation, which
the library fuses into the product. A gate that needs the sums of input and hidden state separately takes the input's
from one product over the whole window. The backward pass takes one product per step, and the gradients of all weights
are one product over the whole window. Saved for backward: the states, the tensors that `Pointwise` returns, and a copy
of the input. All of this is in the dtype of the input. Within a window that includes the cell state, as in oneDNN's
LSTM.

Shape legend: B streams, T characters, E input features, H hidden units, G = gates x H, K = E + H. Time comes first, so
that a step is contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charnet.model.cells.base import Cell, State
from charnet.model.cells.packed_linear import PackedLinear

Activations = tuple[tuple[str, int], ...]
Saved = tuple[Tensor, ...]


class Pointwise(Protocol):
    """The elementwise part of a cell, on tensors (B, H) unless stated otherwise.

    `order` is a permutation of the cell's gates: the order that this part works in. `activations` are pairs of a name
    and the number of gates, in that order, that it applies to. If the last gate has no activation there, it gets the
    sums of input and hidden state separately.
    """

    order: ClassVar[tuple[int, ...]]

    @property
    def activations(self) -> Activations: ...

    def forward(self, gates: list[Tensor], before: State, after: State) -> Saved:
        """Writes the new state to `after`, h first; returns the tensors that `backward` needs besides the states.

        `gates`: for each activation a tensor (B, number of gates x H); then, for a gate without activation, its two
        sums: of the input, of the hidden state.
        """
        ...

    def backward(
        self, d_h: Tensor, d_rest: State, before: State, after: State, saved: Saved, d_gates: Sequence[Tensor]
    ) -> Tensor | None:
        """Writes the gradients of the gates' sums to `d_gates`, in order.

        A gate without activation has two: of the hidden state's sum, then of the input's.
        `d_rest` is the gradient of the new state without h; it is overwritten with the gradient of the old one.
        Returns the part of the old h's gradient that does not flow through the products; None stands for zero.
        """
        ...


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pointwise: Pointwise,
        x_TBE: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        hidden_bias_H: Tensor | None,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        (length, streams, width), units, dtype = x_TBE.shape, weight_hh.shape[1], x_TBE.dtype
        weight_GK = _rows(torch.cat([weight_ih.to(dtype), weight_hh.to(dtype)], dim=1), pointwise.order)
        bias_G = _rows(bias.to(dtype), pointwise.order)
        products, joined = [], 0
        for activation, gates in pointwise.activations:
            rows = slice(joined, joined := joined + gates * units)
            products.append(PackedLinear(weight_GK[rows], streams, bias_G[rows], activation))
        if hidden_bias_H is not None:  # for the gate without activation
            x_TBH = PackedLinear(weight_GK[joined:, :width], length * streams, bias_G[joined:])(x_TBE)
            hidden = PackedLinear(weight_GK[joined:, width:], streams, hidden_bias_H.to(dtype))
        xh_TBK = x_TBE.new_empty(length + 1, streams, width + units)
        xh_TBK[:length, :, :width] = x_TBE
        rest = [x_TBE.new_empty(length + 1, streams, units) for _ in state[1:]]
        states_TBH = [xh_TBK[..., width:], *rest]
        for each_TBH, first in zip(states_TBH, state, strict=True):
            each_TBH[0] = first
        states, saved = list(zip(*(each_TBH.unbind() for each_TBH in states_TBH), strict=True)), []
        for t in range(length):
            sums = [product(xh_TBK[t]) for product in products]
            if hidden_bias_H is not None:
                sums += [x_TBH[t], hidden(states[t][0])]
            saved.append(pointwise.forward(sums, states[t], states[t + 1]))
        ctx.pointwise, ctx.weight_GK, ctx.joined = pointwise, weight_GK, joined
        ctx.xh_TBK, ctx.states, ctx.saved = xh_TBK, states, saved
        h_TBH = states_TBH[0][1:].clone(memory_format=torch.contiguous_format)
        return h_TBH, *(each.to(state[0].dtype, copy=True) for each in states[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h_TBH: Tensor, d_last: Tensor, *d_after: Tensor) -> tuple[Tensor | None, ...]:
        pointwise, weight_GK, xh_TBK, states = ctx.pointwise, ctx.weight_GK, ctx.xh_TBK, ctx.states
        (length, streams, units), dtype, joined = d_h_TBH.shape, d_h_TBH.dtype, ctx.joined
        width, separate = xh_TBK.shape[2] - units, len(weight_GK) - joined
        d_a_TBG = d_h_TBH.new_empty(length, streams, len(weight_GK))
        d_x_TBH = d_h_TBH.new_empty(length, streams, separate)
        by_gate = [*torch.split(d_a_TBG, units, dim=2), *([d_x_TBH] if separate else [])]
        d_gates = list(zip(*(each_TBH.unbind() for each_TBH in by_gate), strict=True))
        hidden_backward = PackedLinear(weight_GK[:, width:].t(), streams)
        d_h, d_rest = d_h_TBH[-1] + d_last.to(dtype), tuple(each.to(dtype, copy=True) for each in d_after)
        for t in range(length - 1, -1, -1):
            direct = pointwise.backward(d_h, d_rest, states[t], states[t + 1], ctx.saved[t], d_gates[t])
            parts = [d_h_TBH[t - 1]] if t else []
            if direct is not None:
                parts = [direct.add_(*parts) if parts else direct]
            d_h = hidden_backward.addmm(d_a_TBG[t], *parts) if parts else hidden_backward(d_a_TBG[t])
        d_a_NG, d_x_NH, xh_NK = d_a_TBG.flatten(0, 1), d_x_TBH.flatten(0, 1), xh_TBK[:-1].flatten(0, 1)
        d_x_TBE = None
        if ctx.needs_input_grad[1]:
            d_x_TBE = PackedLinear(weight_GK[:joined, :width].t(), length * streams)(d_a_TBG[..., :joined])
            if separate:
                d_x_TBE += PackedLinear(weight_GK[joined:, :width].t(), length * streams)(d_x_TBH)
        d_weight_GK, d_hidden_bias = d_a_NG[:, :joined].t() @ xh_NK, None
        d_ih, d_hh, d_bias = d_weight_GK[:, :width], d_weight_GK[:, width:], d_a_NG[:, :joined].sum(0)
        if separate:
            d_ih = torch.cat([d_ih, d_x_NH.t() @ xh_NK[:, :width]])
            d_hh = torch.cat([d_hh, d_a_NG[:, joined:].t() @ xh_NK[:, width:]])
            d_bias, d_hidden_bias = torch.cat([d_bias, d_x_NH.sum(0)]), d_a_NG[:, joined:].sum(0)
        inverse_order = sorted(range(len(pointwise.order)), key=pointwise.order.__getitem__)
        d_ih, d_hh, d_bias = (_rows(each, inverse_order) for each in (d_ih, d_hh, d_bias))
        # autograd casts each gradient to the dtype of its input
        return None, d_x_TBE, d_ih, d_hh, d_bias, d_hidden_bias, d_h, *d_rest


def _rows(weight_GK: Tensor, order: Sequence[int]) -> Tensor:
    """Returns the rows of all gates, gate by gate in this order."""
    blocks = weight_GK.chunk(len(order))
    return torch.cat([blocks[gate] for gate in order])


def scan(
    cell: Cell, pointwise: Pointwise, x_BTE: Tensor, state: State, hidden_bias_H: Tensor | None = None
) -> tuple[Tensor, State]:
    """Runs a cell over a window; returns the hidden states h_BTH and the state after it.

    `hidden_bias_H` is the bias of the hidden state's sum, for a `pointwise` whose last gate has no activation.
    """
    weights = cell.weight_ih, cell.weight_hh, cell.bias, hidden_bias_H
    h_TBH, *after = _Scan.apply(pointwise, x_BTE.transpose(0, 1), *weights, *state)  # type: ignore[no-untyped-call]
    return h_TBH.transpose(0, 1), tuple(after)


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """Writes the hyperbolic tangent to `out` and returns it.

    In fp32 it is computed from the sigmoid, which takes the library half the time. In bf16 that would lose all digits
    of small numbers.
    """
    if x.dtype == torch.bfloat16:
        return torch.tanh(x, out=out)
    return torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)


def tanh_backward(d: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """Writes the gradient of x, given that of y = tanh(x), to `out` and returns it."""
    return torch.ops.aten.tanh_backward.grad_input(d, y, grad_input=out)  # type: ignore[no-any-return]


def sigmoid_backward(d: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """Writes the gradient of x, given that of y = sigmoid(x), to `out` and returns it."""
    return torch.ops.aten.sigmoid_backward.grad_input(d, y, grad_input=out)  # type: ignore[no-any-return]


def output_gate(c: Tensor, o: Tensor, h: Tensor) -> Tensor:
    """Writes the gated output o * tanh(c) to `h`; returns tanh(c)."""
    tanh_c = tanh(c, torch.empty_like(c))
    torch.mul(o, tanh_c, out=h)
    return tanh_c


def output_gate_backward(d_h: Tensor, o: Tensor, tanh_c: Tensor, d_c: Tensor, d_o: Tensor) -> None:
    """The backward pass of `output_gate`: adds the gradient of c to `d_c`, writes that of the gate's sum to `d_o`."""
    d_tanh_c = torch.mul(d_h, o)
    d_c.add_(tanh_backward(d_tanh_c, tanh_c, d_tanh_c))
    sigmoid_backward(torch.mul(d_h, tanh_c, out=d_o), o, d_o)
