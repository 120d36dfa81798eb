"""The fast form of cells that no library computes well: a scan over time with its own backward pass.

A cell is a linear part, the same for all, and a pointwise part of its own (`Pointwise`). A step is one product of the
joined matrix with the joined input and hidden state for each activation, which the library applies as it writes the
product down; gates that need both sums apart take the input product of the whole window from before. Going back there
is one product a step, and the gradients of all weights are one product over the whole window. Kept for the way back:
the states, what `Pointwise` asks for, and a copy of the input. All of it is in the number format of the input: what a
cell remembers too, within a window, as oneDNN's LSTM does.

Shape legend: B streams, T characters, E numbers in, H units, G = gates x H, K = E + H. Time comes first: a step is
contiguous.
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
    """The part of a cell that works unit by unit, on tensors (B, H) where nothing else is said.

    `order`: the cell's gates in the order of this part. `activations`: by name, how many gates in that order each is
    for. A gate that is left over, the last, gets the sums of input and of hidden state apart.
    """

    order: ClassVar[tuple[int, ...]]

    @property
    def activations(self) -> Activations: ...

    def forward(self, gates: list[Tensor], before: State, after: State) -> Saved:
        """Writes the new state to `after`, h first. What `backward` needs beside the states.

        `gates`: for each activation a tensor (B, number of gates x H); then, of a gate that is left over, both sums.
        """
        ...

    def backward(
        self, d_h: Tensor, d_rest: State, before: State, after: State, saved: Saved, d_gates: Sequence[Tensor]
    ) -> Tensor | None:
        """Writes the gradients of the sums to `d_gates`: of each gate in order, of one that is left over that of the
        hidden states and then that of the inputs.

        `d_rest`, the gradient of the rest of the state after, becomes that of the state before. The gradient of h
        before, not counting its way through the products; None is zero.
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
        if hidden_bias_H is not None:  # of a gate that is left over
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
        ctx.xh_TBK, ctx.states, ctx.kept = xh_TBK, states, saved
        h_TBH = states_TBH[0][1:].clone(memory_format=torch.contiguous_format)
        return h_TBH, *(each.to(state[0].dtype, copy=True) for each in states[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h_TBH: Tensor, d_last: Tensor, *d_after: Tensor) -> tuple[Tensor | None, ...]:
        pointwise, weight_GK, xh_TBK, states = ctx.pointwise, ctx.weight_GK, ctx.xh_TBK, ctx.states
        (length, streams, units), dtype, joined = d_h_TBH.shape, d_h_TBH.dtype, ctx.joined
        width, apart = xh_TBK.shape[2] - units, len(weight_GK) - joined
        d_a_TBG = d_h_TBH.new_empty(length, streams, len(weight_GK))
        d_x_TBH = d_h_TBH.new_empty(length, streams, apart)
        by_gate = [*torch.split(d_a_TBG, units, dim=2), *([d_x_TBH] if apart else [])]
        d_gates = list(zip(*(each_TBH.unbind() for each_TBH in by_gate), strict=True))
        back = PackedLinear(weight_GK[:, width:].t(), streams)
        d_h, d_rest = d_h_TBH[-1] + d_last.to(dtype), tuple(each.to(dtype, copy=True) for each in d_after)
        for t in range(length - 1, -1, -1):
            own = pointwise.backward(d_h, d_rest, states[t], states[t + 1], ctx.kept[t], d_gates[t])
            parts = [d_h_TBH[t - 1]] if t else []
            if own is not None:
                parts = [own.add_(*parts) if parts else own]
            d_h = back.addmm(d_a_TBG[t], *parts) if parts else back(d_a_TBG[t])
        d_a_NG, d_x_NH, xh_NK = d_a_TBG.flatten(0, 1), d_x_TBH.flatten(0, 1), xh_TBK[:-1].flatten(0, 1)
        d_x_TBE = None
        if ctx.needs_input_grad[1]:
            d_x_TBE = PackedLinear(weight_GK[:joined, :width].t(), length * streams)(d_a_TBG[..., :joined])
            if apart:
                d_x_TBE += PackedLinear(weight_GK[joined:, :width].t(), length * streams)(d_x_TBH)
        d_weight_GK, d_hidden_bias = d_a_NG[:, :joined].t() @ xh_NK, None
        d_ih, d_hh, d_bias = d_weight_GK[:, :width], d_weight_GK[:, width:], d_a_NG[:, :joined].sum(0)
        if apart:
            d_ih = torch.cat([d_ih, d_x_NH.t() @ xh_NK[:, :width]])
            d_hh = torch.cat([d_hh, d_a_NG[:, joined:].t() @ xh_NK[:, width:]])
            d_bias, d_hidden_bias = torch.cat([d_bias, d_x_NH.sum(0)]), d_a_NG[:, joined:].sum(0)
        back_in_order = sorted(range(len(pointwise.order)), key=pointwise.order.__getitem__)
        d_ih, d_hh, d_bias = (_rows(each, back_in_order) for each in (d_ih, d_hh, d_bias))
        return None, d_x_TBE, d_ih, d_hh, d_bias, d_hidden_bias, d_h, *d_rest  # autograd sees to the number formats


def _rows(weight_GK: Tensor, order: Sequence[int]) -> Tensor:
    """The rows of all gates, gate by gate in this order."""
    blocks = weight_GK.chunk(len(order))
    return torch.cat([blocks[gate] for gate in order])


def scan(
    cell: Cell, pointwise: Pointwise, x_BTE: Tensor, state: State, hidden_bias_H: Tensor | None = None
) -> tuple[Tensor, State]:
    """Runs a cell over a window: hidden states h_BTH and the state after it.

    `hidden_bias_H` is the bias of the sum of hidden states where the last gate of `pointwise` has it apart.
    """
    weights = cell.weight_ih, cell.weight_hh, cell.bias, hidden_bias_H
    h_TBH, *after = _Scan.apply(pointwise, x_BTE.transpose(0, 1), *weights, *state)  # type: ignore[no-untyped-call]
    return h_TBH.transpose(0, 1), tuple(after)


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """The hyperbolic tangent, written to `out`; in fp32 by way of the sigmoid, which the library computes in half the
    time. In bf16 that would lose all digits of small numbers."""
    if x.dtype == torch.bfloat16:
        return torch.tanh(x, out=out)
    return torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)


def tanh_backward(d: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """The gradient of x from that of y = tanh(x), written to `out`."""
    return torch.ops.aten.tanh_backward.grad_input(d, y, grad_input=out)  # type: ignore[no-any-return]


def sigmoid_backward(d: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """The gradient of x from that of y = sigmoid(x), written to `out`."""
    return torch.ops.aten.sigmoid_backward.grad_input(d, y, grad_input=out)  # type: ignore[no-any-return]


def output_gate(c: Tensor, o: Tensor, h: Tensor) -> Tensor:
    """What an output gate shows of a cell's memory, o * tanh(c), written to `h`; returns tanh(c)."""
    tanh_c = tanh(c, torch.empty_like(c))
    torch.mul(o, tanh_c, out=h)
    return tanh_c


def output_gate_backward(d_h: Tensor, o: Tensor, tanh_c: Tensor, d_c: Tensor, d_o: Tensor) -> None:
    """The way back through that: the gradient of c is added to `d_c`, that of the gate's sum written to `d_o`."""
    d_tanh_c = torch.mul(d_h, o)
    d_c.add_(tanh_backward(d_tanh_c, tanh_c, d_tanh_c))
    sigmoid_backward(torch.mul(d_h, tanh_c, out=d_o), o, d_o)
