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
from torch.nn import functional as F

from charnet.cells.base import Cell, State


class Pointwise(Protocol):
    """The part of a cell that works unit by unit.

    `additive`: the cell sees only the sum of input and recurrent products. Otherwise it is given both.
    """

    additive: ClassVar[bool]

    def forward(self, a_BG: Tensor, x_BG: Tensor, state: State) -> tuple[State, tuple[Tensor, ...]]:
        """The new state, h first, and what `backward` needs.

        `a_BG` is the recurrent product, with the input product `x_BG` added where `additive`; it may be overwritten.
        """
        ...

    def backward(self, d_state: State, kept: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, State]:
        """Gradients of a_BG, of x_BG (ignored where `additive`) and of the state before, not counting its way
        through the recurrent product."""
        ...


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_TBG: Tensor, weight_hh: Tensor, bias_hh: Tensor | None, pointwise: Pointwise, *state: Tensor
    ) -> tuple[Tensor, ...]:
        weight_HG, full = weight_hh.t(), state[0].dtype
        kept, before_h, h_TBH = [], state[0], x_TBG.new_empty(*x_TBG.shape[:2], weight_hh.shape[1])
        for x_BG, h_BH in zip(x_TBG, h_TBH, strict=True):
            a_BG = torch.addmm(x_BG if bias_hh is None else bias_hh, state[0].to(x_TBG.dtype), weight_HG)
            state, needed = pointwise.forward(a_BG.to(full), x_BG.to(full), state)
            h_BH.copy_(state[0])
            kept.append(needed)
        ctx.kept, ctx.pointwise, ctx.weight_hh = kept, pointwise, weight_hh
        # Outputs kept as they are would hold the graph that holds them: memory would grow with every window.
        ctx.h_TBH, ctx.before_h = h_TBH.detach(), before_h
        return h_TBH, *(each.clone() for each in state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h_TBH: Tensor, *d_state: Tensor) -> tuple[Tensor | None, ...]:
        pointwise, weight_hh = ctx.pointwise, ctx.weight_hh
        d_a_TBG = d_h_TBH.new_empty(*d_h_TBH.shape[:2], weight_hh.shape[0])
        d_x_TBG = d_a_TBG if pointwise.additive else torch.empty_like(d_a_TBG)
        for t in range(len(d_h_TBH) - 1, -1, -1):
            d_state = (d_state[0] + d_h_TBH[t], *d_state[1:])
            d_a_BG, d_x_BG, d_state = pointwise.backward(d_state, ctx.kept[t])
            d_a_TBG[t] = d_a_BG
            d_state = (d_state[0] + d_a_TBG[t] @ weight_hh, *d_state[1:])
            if not pointwise.additive:
                d_x_TBG[t] = d_x_BG
        before_TBH = torch.cat([ctx.before_h[None].to(weight_hh.dtype), ctx.h_TBH[:-1]])
        d_weight_hh = d_a_TBG.flatten(0, 1).t() @ before_TBH.flatten(0, 1)
        d_bias_hh = None if pointwise.additive else d_a_TBG.sum((0, 1))
        return d_x_TBG, d_weight_hh, d_bias_hh, None, *d_state


def scan(
    cell: Cell, pointwise: Pointwise, x_BTE: Tensor, state: State, bias_hh: Tensor | None = None
) -> tuple[Tensor, State]:
    """Runs a cell over a window: hidden states h_BTH and the state after it.

    `bias_hh` (G) is added to the recurrent product of a cell that is not `additive`; such a cell needs it.
    """
    kind = x_BTE.dtype
    x_TBG = F.linear(x_BTE.transpose(0, 1), cell.weight_ih.to(kind), cell.bias.to(kind))
    bias_hh = None if bias_hh is None else bias_hh.to(kind)
    h_TBH, *after = _Scan.apply(x_TBG, cell.weight_hh.to(kind), bias_hh, pointwise, *state)  # type: ignore[no-untyped-call]
    return h_TBH.transpose(0, 1), tuple(after)
