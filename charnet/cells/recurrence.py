"""The fast form of cells that no library computes well: a scan over time with its own backward pass.

A cell is a linear part, the same for all, and a pointwise part of its own (`Pointwise`). A step is one product of the
joined matrix with the joined input and hidden state for each activation, which the library applies as it writes the
product down; gates that need both sums apart take the input product of the whole window from before. Going back there
is one product a step, and the gradients of all weights are one product over the whole window. Kept for the way back:
what `Pointwise` asks for, about G + 2H numbers a character and stream, and a copy of the input. Where the input is in
bf16 so are the products and the gates; what a cell remembers by adding to it stays in fp32.

Shape legend: B streams, T characters, E numbers in, H units, G = gates x H, K = E + H. Time comes first: a step is
contiguous.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charnet.cells.base import Cell, State
from charnet.cells.product import Product

Activations = tuple[tuple[str, int], ...]


class Pointwise(Protocol):
    """The part of a cell that works unit by unit.

    `order`: the cell's gates in the order of this part. `activations`: by name, how many gates in that order each is
    for. A gate that is left over, the last, gets the sums of input and of hidden state apart.
    """

    order: ClassVar[tuple[int, ...]]

    @property
    def activations(self) -> Activations: ...

    def forward(self, gates: list[Tensor], state: State) -> tuple[State, tuple[Tensor, ...]]:
        """The new state, h first, and what `backward` needs.

        `gates`: for each activation a tensor (B, number of gates x H); then, of a gate that is left over, both sums.
        """
        ...

    def backward(
        self, d_state: State, kept: tuple[Tensor, ...], d_a_BG: Tensor, d_x_BH: Tensor
    ) -> tuple[Tensor | None, State]:
        """Writes the gradient of all sums of hidden states into `d_a_BG`, and that of a sum of inputs apart into
        `d_x_BH`. The gradient of h before, not counting its way through the products (None is zero), and of the rest of
        the state before.
        """
        ...


class _Weights(NamedTuple):
    """Of the gates in the order of the pointwise part: those whose two sums are one, then what is left over."""

    joined_GK: Tensor
    bias_G: Tensor
    input_HE: Tensor
    input_bias_H: Tensor
    hidden_HH: Tensor
    hidden_bias_H: Tensor


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pointwise: Pointwise, x_TBE: Tensor, *weights_and_state: Tensor) -> tuple[Tensor, ...]:
        weights, state = _Weights(*weights_and_state[:6]), weights_and_state[6:]
        (length, streams, width), full, units = x_TBE.shape, state[0].dtype, state[0].shape[1]
        products, row = [], 0
        for activation, gates in pointwise.activations:
            rows = slice(row, row := row + gates * units)
            products.append(Product(weights.joined_GK[rows], streams, weights.bias_G[rows], activation))
        apart = len(weights.hidden_HH) > 0
        if apart:
            x_TBH = Product(weights.input_HE, length * streams, weights.input_bias_H)(x_TBE)
            hidden = Product(weights.hidden_HH, streams, weights.hidden_bias_H)
        xh_TBK = x_TBE.new_empty(length + 1, streams, width + units)
        xh_TBK[:length, :, :width] = x_TBE
        h_TBH = xh_TBK[..., width:]
        h_TBH[0] = state[0]
        kept = []
        for t in range(length):
            sums = [product(xh_TBK[t]) for product in products]
            if apart:
                sums += [x_TBH[t], hidden(h_TBH[t])]
            state, needed = pointwise.forward(sums, state)
            h_TBH[t + 1] = state[0]
            kept.append(needed)
        ctx.pointwise, ctx.weights, ctx.xh_TBK, ctx.kept, ctx.full = pointwise, weights, xh_TBK, kept, full
        return h_TBH[1:].contiguous(), *(each.to(full, copy=True) for each in state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h_TBH: Tensor, *after: Tensor) -> tuple[Tensor | None, ...]:
        pointwise, weights, xh_TBK = ctx.pointwise, ctx.weights, ctx.xh_TBK
        (length, streams, units), width = d_h_TBH.shape, xh_TBK.shape[2] - d_h_TBH.shape[2]
        joined, apart = len(weights.joined_GK), len(weights.hidden_HH) > 0
        d_a_TBG = d_h_TBH.new_empty(length, streams, joined + len(weights.hidden_HH))
        d_x_TBH = d_h_TBH.new_empty(length if apart else 0, streams, units)
        back = Product(torch.cat([weights.joined_GK[:, width:], weights.hidden_HH]).t(), streams)
        d_last, *d_rest = after
        d_h, before = d_h_TBH[-1] + d_last, None
        for t in range(length - 1, -1, -1):
            d_h = d_h if before is None else before.add_(d_h)
            before, d_rest = pointwise.backward(
                (d_h, *d_rest), ctx.kept[t], d_a_TBG[t], d_x_TBH[t] if apart else d_x_TBH
            )
            d_h = back.added(d_a_TBG[t], d_h_TBH[t - 1]) if t else back(d_a_TBG[0])
        d_h = d_h.to(ctx.full) if before is None else before.add_(d_h)
        d_a_NG, d_x_NH = d_a_TBG.flatten(0, 1), d_x_TBH.flatten(0, 1)
        xh_NK = xh_TBK[:-1].flatten(0, 1)
        d_x_TBE = Product(weights.joined_GK[:, :width].t(), length * streams)(d_a_TBG[..., :joined])
        if apart:
            d_x_TBE += Product(weights.input_HE.t(), length * streams)(d_x_TBH)
        d_joined_NG, d_hidden_NH = d_a_NG[:, :joined], d_a_NG[:, joined:]
        return (
            None,
            d_x_TBE,
            d_joined_NG.t() @ xh_NK,
            d_joined_NG.sum(0),
            d_x_NH.t() @ xh_NK[:, :width] if apart else None,
            d_x_NH.sum(0) if apart else None,
            d_hidden_NH.t() @ xh_NK[:, width:],
            d_hidden_NH.sum(0),
            d_h,
            *d_rest,
        )


def scan(
    cell: Cell, pointwise: Pointwise, x_BTE: Tensor, state: State, hidden_bias_H: Tensor | None = None
) -> tuple[Tensor, State]:
    """Runs a cell over a window: hidden states h_BTH and the state after it.

    `hidden_bias_H` is the bias of the sum of hidden states where the last gate of `pointwise` has it apart.
    """
    kind, count = x_BTE.dtype, len(cell.gates)
    weight_ih, weight_hh, bias = (
        torch.cat([w.to(kind).chunk(count)[gate] for gate in pointwise.order])
        for w in (cell.weight_ih, cell.weight_hh, cell.bias)
    )
    joined = sum(gates for _, gates in pointwise.activations) * cell.hidden_size
    nothing = weight_hh.new_empty(0) if hidden_bias_H is None else hidden_bias_H.to(kind)
    weights = _Weights(
        torch.cat([weight_ih[:joined], weight_hh[:joined]], dim=1),
        bias[:joined],
        weight_ih[joined:],
        bias[joined:],
        weight_hh[joined:],
        nothing,
    )
    h_TBH, *after = _Scan.apply(pointwise, x_BTE.transpose(0, 1), *weights, *state)  # type: ignore[no-untyped-call]
    return h_TBH.transpose(0, 1), tuple(after)


def tanh_(x: Tensor) -> Tensor:
    """The hyperbolic tangent, in place; in fp32 by way of the sigmoid, which the library computes in half the time. In
    bf16 that would lose all digits of small numbers."""
    return x.tanh_() if x.dtype == torch.bfloat16 else x.mul_(2).sigmoid_().mul_(2).sub_(1)


def through_tanh(d: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """The gradient of x from that of y = tanh(x), written to `out`."""
    return torch.ops.aten.tanh_backward.grad_input(d, y, grad_input=out)  # type: ignore[no-any-return]


def through_sigmoid(d: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """The gradient of x from that of y = sigmoid(x), written to `out`."""
    return torch.ops.aten.sigmoid_backward.grad_input(d, y, grad_input=out)  # type: ignore[no-any-return]
