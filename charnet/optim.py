"""Optimisers and the learning rate as functions of the step.

`muon` moves each gate's block of the recurrent and input matrices in an orthogonal direction (Jordan et al. 2024,
"Muon: an optimizer for hidden layers in neural networks") and everything else with AdamW at a quarter of its step. On
a million characters of Shakespeare, LSTM of 256 units, that is worth 0.05 to 0.08 nats per character over AdamW alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

DEFAULT_LEARNING_RATE = {"muon": 0.04, "adamw": 0.004, "sgd": 0.5}
ADAMW_SHARE_OF_MUON = 0.25
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the quintic of Jordan et al.: singular values end within 0.7 to 1.2
NEWTON_SCHULZ_STEPS = 5


def learning_rate_at(step: int, steps: int, *, largest: float, warmup: float, final: float) -> float:
    """The learning rate of a step, counted from 0: a straight rise, then a half cosine to `final` x `largest`.

    >>> [round(learning_rate_at(s, 10, largest=1, warmup=0.2, final=0.0), 2) for s in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    rise = round(warmup * steps)
    if step < rise:
        return largest * (step + 1) / rise
    fallen = (step - rise) / max(1, steps - rise)
    return largest * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, fallen))))


def orthogonalised(update_NRC: Tensor) -> Tensor:
    """The nearest matrix with equal singular values to each of N matrices (R, C), by Newton-Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    tall = update_NRC.shape[1] > update_NRC.shape[2]
    x = update_NRC.mT if tall else update_NRC
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, then the orthogonal direction of each gate's block, scaled by sqrt(rows / columns) where that is > 1.

    Args:
        params: matrices of recurrent cells, gates stacked: (blocks x H, columns).
        lr: length of a step.
        momentum: share of the past in the direction (with Nesterov's look-ahead).
        weight_decay: share of the weights that fades, times `lr`.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, *, blocks: int, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "blocks": blocks, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(momentum, group["momentum"])
                blocks = ahead.view(group["blocks"], -1, ahead.shape[1])
                scale = max(1.0, blocks.shape[1] / blocks.shape[2]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(orthogonalised(blocks).view_as(p), alpha=-group["lr"] * scale)


def build(model: nn.Module, name: str, *, blocks: int, weight_decay: float) -> list[torch.optim.Optimizer]:
    """The optimisers of a model, each group with its `share` of the learning rate.

    Args:
        name: "muon", "adamw" or "sgd".
        blocks: gates of the cell: how many square blocks its recurrent matrix stacks.
    """
    matrices = [p for key, p in model.named_parameters() if is_cell_matrix(key)]
    others = [p for key, p in model.named_parameters() if not is_cell_matrix(key)]
    if name == "sgd":
        return [torch.optim.SGD(_group(matrices, 1, weight_decay) + _group(others, 1, 0), lr=0, momentum=0.9)]
    fused = next(model.parameters()).device.type != "mps"
    adamw: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW
    if name == "adamw":
        return [adamw(_group(matrices, 1, weight_decay) + _group(others, 1, 0), lr=0.0, betas=(0.9, 0.99), fused=fused)]
    return [
        Muon(_group(matrices, 1, weight_decay), 0.0, blocks=blocks),
        adamw(_group(others, ADAMW_SHARE_OF_MUON, 0), lr=0.0, betas=(0.9, 0.99), fused=fused),
    ]


def is_cell_matrix(name: str) -> bool:
    """Whether a parameter of the model is an input or recurrent matrix of a cell."""
    return name.endswith((".weight_ih", ".weight_hh"))


def _group(params: list[nn.Parameter], share: float, weight_decay: float) -> list[dict[str, Any]]:
    return [{"params": params, "share": share, "weight_decay": weight_decay}]


def set_learning_rate(optimizers: Iterable[torch.optim.Optimizer], learning_rate: float) -> None:
    """Sets the learning rate of every group to its share."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * group["share"]


def state_tensors(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """What the optimisers remember, by parameter and quantity: `layers.0.weight_ih.momentum` and the like."""
    names = {p: name for name, p in model.named_parameters()}
    return {
        f"{names[p]}.{quantity}": value
        for optimizer in optimizers
        for p, quantities in optimizer.state.items()
        for quantity, value in quantities.items()
        if isinstance(value, Tensor)
    }


def restore_state(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """The inverse of `state_tensors`."""
    owner = {p: optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    for name, p in model.named_parameters():
        for key, value in tensors.items():
            parameter, _, quantity = key.rpartition(".")
            if parameter == name:
                # AdamW counts its steps in a tensor that stays on the processor unless the step is fused on a GPU.
                owner[p].state[p][quantity] = value.to(p.device)
