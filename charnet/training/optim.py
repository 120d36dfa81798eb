"""Optimisers and the learning rate as functions of the step.

`muon` moves each gate's block of the recurrent and input matrices in an orthogonal direction (Jordan et al. 2024,
"Muon: an optimizer for hidden layers in neural networks"), in blocks of rows, and everything else with AdamW at a
quarter of its step. On a million characters of Shakespeare, LSTM of 256 units, that is worth 0.05 to 0.08 nats per
character over AdamW alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from charnet.model.device import matmul_dtype

ADAMW_LR_RATIO = 0.25
ADAMW_BETAS, ADAMW_EPSILON = (0.9, 0.99), 1e-8
MUON_MOMENTUM, SGD_MOMENTUM = 0.9, 0.9
# Two quintics, the best in the sense of Amsel et al. 2025 ("The Polar Express") for singular values from 0.05 to 1:
# they end within 0.78 to 1.22. Three iterations of one quintic for all were no better and half as dear again.
NEWTON_SCHULZ = ((6.7524, -18.3510, 13.2633), (2.5379, -1.8747, 0.4413))
MUON_BLOCK_ROWS = 128  # that are made orthogonal to each other; see `orthogonalize`


def learning_rate_at(step: float, steps: int, *, largest: float, warmup: float, final: float) -> float:
    """The learning rate of a step, counted from 0: a straight rise, then a half cosine to `final` x `largest`.

    >>> [round(learning_rate_at(s, 10, largest=1, warmup=0.2, final=0.0), 2) for s in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    rise = round(warmup * steps)
    if step < rise:
        return largest * min(1.0, (step + 1) / rise)
    fallen = (step - rise) / max(1, steps - rise)
    return largest * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, fallen))))


def schedule_position(step: int, steps: int, earlier: Sequence[tuple[int, int]]) -> tuple[float, int]:
    """Where a step stands in a run whose length changed on its way: (place, steps of the plan that it belongs to).

    The place is the step of a run planned like that from the start that stands as far between start and end.

    Args:
        earlier: plans that were given up: (until which step it held, how many steps it had), in their order.

    >>> schedule_position(10, 100, []), schedule_position(40, 75, [(50, 100)])
    ((10, 100), (40, 100))
    >>> schedule_position(50, 75, [(50, 100)]), schedule_position(75, 75, [(50, 100)])
    ((37.5, 75), (75.0, 75))
    """
    done, at = 0.0, 0
    for number, (until, planned) in enumerate(earlier):
        if step < until:
            return schedule_position(step, planned, earlier[:number])
        done = min(1.0, done + (1 - done) * max(0, until - at) / max(1, planned - at))
        at = until
    if not earlier:
        return step, steps
    return steps * min(1.0, done + (1 - done) * max(0, step - at) / max(1, steps - at)), steps


def orthogonalize(update_NRC: Tensor) -> Tensor:
    """Each of N matrices (R, C) with all its singular values brought near one, by Newton-Schulz iteration.

    Of a large matrix the rows, or columns if they are fewer, become orthogonal to each other in blocks of `ROWS`: for
    512 x 512 a fifth of the products, and the network learned no less.
    """
    tall = update_NRC.shape[1] > update_NRC.shape[2]
    x = update_NRC.mT if tall else update_NRC
    whole, parts = x.shape, _parts(x.shape[1])
    x = x.reshape(-1, x.shape[1] // parts, x.shape[2]).to(matmul_dtype(x.device))
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    largest = gram.norm(dim=(1, 2), keepdim=True) + 1e-12  # no less than the square of the largest singular value
    x, gram = x / largest.sqrt(), gram / largest
    for number, (a, b, c) in enumerate(NEWTON_SCHULZ):
        gram = x @ x.mT if number else gram
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.view(whole)
    return (x.mT if tall else x).to(update_NRC.dtype)


def _parts(rows: int) -> int:
    """Into how many equal blocks of about `ROWS` so many rows are cut; one where they do not divide well.

    >>> [_parts(rows) for rows in (5, 128, 200, 256, 384, 512, 521, 1000)]
    [1, 1, 2, 2, 3, 4, 1, 8]
    """
    most = max(1, 2 * rows // MUON_BLOCK_ROWS)
    return next(
        (
            n
            for n in range(-(-rows // MUON_BLOCK_ROWS), most + 1)
            if rows % n == 0 and rows // n >= MUON_BLOCK_ROWS // 2
        ),
        1,
    )


class Optimizer:
    """Moves the parameters of a model along their gradients.

    `state` holds all that it remembers, by parameter and quantity (`layers.0.weight_ih.momentum`): a plain table of
    tensors that a checkpoint can hold. Our own and not torch's, whose base class loads its compiler when it is first
    made: two seconds at every start.

    Args:
        model: whose parameters to move.
        name: "muon" (Muon for the matrices of the cells, AdamW for the rest), "adamw" or "sgd".
        blocks: gates of the cell: how many blocks its matrices stack.
        weight_decay: share of the cells' matrices that fades at each step, times the learning rate.
    """

    def __init__(self, model: nn.Module, name: str, *, blocks: int, weight_decay: float = 0.0) -> None:
        self._name, self._blocks, self._weight_decay = name, blocks, weight_decay
        self._parameters = dict(model.named_parameters())
        self.state: dict[str, Tensor] = {}
        for key, p in self._parameters.items():
            for quantity in ("mean", "square") if self._rule(key) == "adamw" else ("momentum",):
                self.state[f"{key}.{quantity}"] = torch.zeros_like(p, requires_grad=False)

    def _rule(self, key: str) -> str:
        return "adamw" if self._name == "muon" and not is_cell_matrix(key) else self._name

    @torch.no_grad()
    def step(self, step: int, learning_rate: float) -> None:
        """Moves every parameter that has a gradient, and forgets the gradients. `step` counts from 0."""
        for key, p in self._parameters.items():
            if p.grad is None:
                continue
            if self._weight_decay and is_cell_matrix(key):
                p.mul_(1 - learning_rate * self._weight_decay)
            rule = self._rule(key)
            if rule == "muon":
                self._muon(key, p, p.grad, learning_rate)
            elif rule == "sgd":
                momentum = self.state[f"{key}.momentum"].mul_(SGD_MOMENTUM).add_(p.grad)
                p.add_(momentum, alpha=-learning_rate)
            else:
                share = ADAMW_LR_RATIO if self._name == "muon" else 1.0
                self._adamw(key, p, p.grad, step, learning_rate * share)
            p.grad = None

    def _adamw(self, key: str, p: Tensor, grad: Tensor, step: int, learning_rate: float) -> None:
        """Kingma & Ba (2015), weight decay apart as in Loshchilov & Hutter (2019)."""
        (beta1, beta2), mean, square = ADAMW_BETAS, self.state[f"{key}.mean"], self.state[f"{key}.square"]
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = square.sqrt().div_((1 - beta2 ** (step + 1)) ** 0.5).add_(ADAMW_EPSILON)
        p.addcdiv_(mean, root, value=-learning_rate / (1 - beta1 ** (step + 1)))

    def _muon(self, key: str, p: Tensor, grad: Tensor, learning_rate: float) -> None:
        """Momentum with Nesterov's look-ahead, made orthogonal gate by gate, longer where a gate is tall."""
        momentum = self.state[f"{key}.momentum"].lerp_(grad, 1 - MUON_MOMENTUM)
        ahead = grad.lerp(momentum, MUON_MOMENTUM).view(self._blocks, -1, grad.shape[1])
        scale = max(1.0, ahead.shape[1] / ahead.shape[2]) ** 0.5
        p.add_(orthogonalize(ahead).reshape(p.shape), alpha=-learning_rate * scale)


def is_cell_matrix(name: str) -> bool:
    """Whether a parameter of the model is an input or recurrent matrix of a cell."""
    return name.endswith((".weight_ih", ".weight_hh"))
