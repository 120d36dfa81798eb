"""The fast form of cells that no library computes well: a scan over time with its own backward pass.

A cell is a linear part, the same for all, and a pointwise part of its own (`Pointwise`). The scan runs the input
product of the whole window as one matrix product, then one product and one pointwise part a character; going back, the
gradient of the recurrent weights is again one product over the whole window. Kept for the way back: what `Pointwise`
asks for, about G + 2H numbers a character and stream. Where the input is in bf16 so are the products; the pointwise
part and the state stay in fp32.

Shape legend: B streams, T characters, E numbers in, H units, G = gates x H. Time comes first: a step is contiguous.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charnet.cells.base import Cell, State
from charnet.cells.product import Product


class Pointwise(Protocol):
    """The part of a cell that works unit by unit.

    `additive`: the cell sees only the sum of input and recurrent products. Otherwise it is given both, and the last
    gate is the one that wants them apart.
    """

    additive: ClassVar[bool]

    def forward(self, a_BG: Tensor, x_BG: Tensor, state: State) -> tuple[State, tuple[Tensor, ...]]:
        """The new state, h first, and what `backward` needs.

        `a_BG` is the recurrent product, with the input product `x_BG` added where `additive`; it may be overwritten.
        """
        ...

    def backward(
        self, d_state: State, kept: tuple[Tensor, ...], d_a_BG: Tensor, d_x_BH: Tensor
    ) -> tuple[Tensor | None, State]:
        """Writes the gradient of a_BG into `d_a_BG`, and that of the last gate of x_BG, where not `additive`, into
        `d_x_BH`. The gradient of h before, not counting its way through the recurrent product (None is zero; it may be
        overwritten), and of the rest of the state before.
        """
        ...


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_TBE: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        bias_hh: Tensor | None,
        pointwise: Pointwise,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        (length, streams, _), kind, full = x_TBE.shape, x_TBE.dtype, state[0].dtype
        x_TBG = Product(weight_ih, length * streams, bias)(x_TBE)
        recurrent = Product(weight_hh, streams, bias_hh)
        kept, before_h, h_TBH = [], state[0], x_TBG.new_empty(*x_TBG.shape[:2], weight_hh.shape[1])
        last_h = before_h.to(kind)
        for x_BG, h_BH in zip(x_TBG, h_TBH, strict=True):
            if pointwise.additive:
                state, needed = pointwise.forward(recurrent.added(last_h, x_BG).to(full), x_BG, state)
            else:
                state, needed = pointwise.forward(recurrent(last_h).to(full), x_BG.to(full), state)
            last_h = h_BH.copy_(state[0])
            kept.append(needed)
        ctx.kept, ctx.pointwise, ctx.x_TBE, ctx.weights = kept, pointwise, x_TBE, (weight_ih, weight_hh)
        # Outputs kept as they are would hold the graph that holds them: memory would grow with every window.
        ctx.h_TBH, ctx.before_h = h_TBH.detach(), before_h
        return h_TBH, *(each.clone() for each in state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h_TBH: Tensor, *after: Tensor) -> tuple[Tensor | None, ...]:
        pointwise, (weight_ih, weight_hh), (length, streams, _) = ctx.pointwise, ctx.weights, d_h_TBH.shape
        back = Product(weight_hh.t(), streams)
        d_a_TBG = d_h_TBH.new_empty(length, streams, len(weight_hh))
        d_x_TBH = None if pointwise.additive else torch.empty_like(d_h_TBH)
        d_h, *d_rest = after
        d_a_BG, d_x_BH = d_h.new_empty(streams, len(weight_hh)), torch.empty_like(d_h)
        for t in range(length - 1, -1, -1):
            if d_a_TBG.dtype == d_h.dtype:
                d_a_BG = d_a_TBG[t]
            before, d_rest = pointwise.backward((d_h_TBH[t] + d_h, *d_rest), ctx.kept[t], d_a_BG, d_x_BH)
            if d_a_TBG.dtype != d_h.dtype:
                d_a_TBG[t] = d_a_BG
            if d_x_TBH is not None:
                d_x_TBH[t] = d_x_BH
            product = back(d_a_TBG[t]).to(d_h.dtype)
            d_h = product if before is None else before.add_(product)
        d_bias_hh, d_x_TBG = None, d_a_TBG
        if d_x_TBH is not None:
            d_bias_hh, d_x_TBG = d_a_TBG.sum((0, 1)), d_a_TBG.clone()
            d_x_TBG[..., -d_x_TBH.shape[2] :] = d_x_TBH
        before_TBH = torch.cat([ctx.before_h[None].to(weight_hh.dtype), ctx.h_TBH[:-1]])
        return (
            Product(weight_ih.t(), length * streams)(d_x_TBG),
            d_x_TBG.flatten(0, 1).t() @ ctx.x_TBE.flatten(0, 1),
            d_a_TBG.flatten(0, 1).t() @ before_TBH.flatten(0, 1),
            d_x_TBG.sum((0, 1)),
            d_bias_hh,
            None,
            d_h,
            *d_rest,
        )


def scan(
    cell: Cell, pointwise: Pointwise, x_BTE: Tensor, state: State, bias_hh: Tensor | None = None
) -> tuple[Tensor, State]:
    """Runs a cell over a window: hidden states h_BTH and the state after it.

    `bias_hh` (G) is added to the recurrent product of a cell that is not `additive`; such a cell needs it.
    """
    kind = x_BTE.dtype
    weights = [w.to(kind) for w in (cell.weight_ih, cell.weight_hh, cell.bias)]
    bias_hh = None if bias_hh is None else bias_hh.to(kind)
    h_TBH, *after = _Scan.apply(x_BTE.transpose(0, 1), *weights, bias_hh, pointwise, *state)  # type: ignore[no-untyped-call]
    return h_TBH.transpose(0, 1), tuple(after)


def tanh_(x: Tensor) -> Tensor:
    """The hyperbolic tangent, in place, by way of the sigmoid: the library computes that in half the time."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def through_tanh(d: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """The gradient of x from that of y = tanh(x), written to `out`."""
    return torch.ops.aten.tanh_backward.grad_input(d, y, grad_input=out)  # type: ignore[no-any-return]


def through_sigmoid(d: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """The gradient of x from that of y = sigmoid(x), written to `out`."""
    return torch.ops.aten.sigmoid_backward.grad_input(d, y, grad_input=out)  # type: ignore[no-any-return]
