"""Optimizers, and the learning-rate schedule.

`muon` moves each gate's block of the recurrent and input matrices in an orthogonal direction (Jordan et al. 2024,
"Muon: an optimizer for hidden layers in neural networks"), in blocks of rows, and everything else with AdamW at a
quarter of the learning rate. On a million characters of Shakespeare, with an LSTM of 256 units, the loss is 0.05
to 0.08 nats per character lower than with AdamW alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from charnet.model.device import matmul_dtype
from charnet.training.group import Group

ADAMW_LR_RATIO = 0.25
ADAMW_BETAS, ADAMW_EPSILON = (0.9, 0.99), 1e-8
MUON_MOMENTUM, SGD_MOMENTUM = 0.9, 0.9
# Two quintic polynomials, optimal in the sense of Amsel et al. 2025 ("The Polar Express") for singular values from 0.05
# to 1: they end between 0.78 and 1.22. Three iterations of one quintic were no better and took half as long again.
NEWTON_SCHULZ = ((6.7524, -18.3510, 13.2633), (2.5379, -1.8747, 0.4413))
MUON_BLOCK_ROWS = 128  # made orthogonal to each other; see `orthogonalize`


def learning_rate_at(step: float, steps: int, *, largest: float, warmup: float, final: float) -> float:
    """Returns the learning rate of a step, counted from 0: linear warmup, then half a cosine down to `final * largest`.

    >>> [round(learning_rate_at(s, 10, largest=1, warmup=0.2, final=0.0), 2) for s in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    warmup_steps = round(warmup * steps)
    if step < warmup_steps:
        return largest * min(1.0, (step + 1) / warmup_steps)
    decay = (step - warmup_steps) / max(1, steps - warmup_steps)
    return largest * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, decay))))


def schedule_position(step: int, steps: int, earlier: Sequence[tuple[int, int]]) -> tuple[float, int]:
    """Maps a step of a run whose length has changed to the learning-rate schedule of a run of one length.

    The fraction of the schedule that is done does not jump at a change.

    Args:
        steps: the length now.
        earlier: the earlier lengths in their order, each as (the step up to which it held, the length in steps).

    Returns:
        The position in the schedule, and the length of that schedule.

    >>> schedule_position(10, 100, []), schedule_position(40, 75, [(50, 100)])
    ((10, 100), (40, 100))
    >>> schedule_position(50, 75, [(50, 100)]), schedule_position(75, 75, [(50, 100)])
    ((37.5, 75), (75.0, 75))
    """
    done, since = 0.0, 0  # fraction of the schedule, at this step
    for number, (until, planned) in enumerate(earlier):
        if step < until:
            return schedule_position(step, planned, earlier[:number])
        done = min(1.0, done + (1 - done) * max(0, until - since) / max(1, planned - since))
        since = until
    if not earlier:
        return step, steps
    return steps * min(1.0, done + (1 - done) * max(0, step - since) / max(1, steps - since)), steps


def orthogonalize(update_NRC: Tensor) -> Tensor:
    """Brings all singular values of N matrices (R, C) near one, by Newton-Schulz iteration.

    In a large matrix, the rows (the columns if they are fewer) become orthogonal to each other in blocks of
    `MUON_BLOCK_ROWS`: for 512 x 512 that takes a fifth of the multiplications, and the loss was no higher.
    """
    tall = update_NRC.shape[1] > update_NRC.shape[2]
    x = update_NRC.mT if tall else update_NRC
    shape, blocks = x.shape, _num_blocks(x.shape[1])
    x = x.reshape(-1, x.shape[1] // blocks, x.shape[2]).to(matmul_dtype(x.device))
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    largest = gram.norm(dim=(1, 2), keepdim=True) + 1e-12  # no less than the square of the largest singular value
    x, gram = x / largest.sqrt(), gram / largest
    for number, (a, b, c) in enumerate(NEWTON_SCHULZ):
        gram = x @ x.mT if number else gram
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.view(shape)
    return (x.mT if tall else x).to(update_NRC.dtype)


def _num_blocks(rows: int) -> int:
    """Returns the number of equal blocks of about `MUON_BLOCK_ROWS` rows; 1 if the rows do not divide well.

    >>> [_num_blocks(rows) for rows in (5, 128, 200, 256, 384, 512, 521, 1000)]
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
    """Updates the parameters of a model by their gradients.

    It does not derive from `torch.optim.Optimizer`, which loads torch's compiler: two seconds at every start.

    Args:
        model: whose parameters to update.
        name: "muon" (Muon for the matrices of the cells, AdamW for the rest), "adamw" or "sgd".
        blocks: how many gates are stacked in each matrix of a cell.
        weight_decay: of the matrices of the cells; each step multiplies them by 1 - learning rate * weight decay.
        group: processes that update the same parameters by the same gradients. Beyond two, each orthogonalizes some
            matrices for all.

    Attributes:
        state: tensors by parameter and quantity (`layers.0.weight_ih.momentum`), for a checkpoint.
    """

    def __init__(
        self, model: nn.Module, name: str, *, blocks: int, weight_decay: float = 0.0, group: Group | None = None
    ) -> None:
        self._group = group or Group()
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
        """Updates every parameter that has a gradient, and sets the gradients to None. `step` counts from 0."""
        ahead = {
            key: self._ahead(key, p.grad)
            for key, p in self._parameters.items()
            if p.grad is not None and self._rule(key) == "muon"
        }
        directions = orthogonalize_all(ahead, self._group)
        for key, p in self._parameters.items():
            if p.grad is None:
                continue
            if self._weight_decay and is_cell_matrix(key):
                p.mul_(1 - learning_rate * self._weight_decay)
            rule = self._rule(key)
            if rule == "muon":
                tall = ahead[key].shape[1] / ahead[key].shape[2]
                p.add_(directions[key].reshape(p.shape), alpha=-learning_rate * max(1.0, tall) ** 0.5)
            elif rule == "sgd":
                momentum = self.state[f"{key}.momentum"].mul_(SGD_MOMENTUM).add_(p.grad)
                p.add_(momentum, alpha=-learning_rate)
            else:
                ratio = ADAMW_LR_RATIO if self._name == "muon" else 1.0
                self._adamw(key, p, p.grad, step, learning_rate * ratio)
            p.grad = None

    def _adamw(self, key: str, p: Tensor, grad: Tensor, step: int, learning_rate: float) -> None:
        """Updates by Adam (Kingma & Ba 2015). Weight decay is decoupled, in `step` (Loshchilov & Hutter 2019)."""
        (beta1, beta2), mean, square = ADAMW_BETAS, self.state[f"{key}.mean"], self.state[f"{key}.square"]
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = square.sqrt().div_((1 - beta2 ** (step + 1)) ** 0.5).add_(ADAMW_EPSILON)
        p.addcdiv_(mean, root, value=-learning_rate / (1 - beta1 ** (step + 1)))

    def _ahead(self, key: str, grad: Tensor) -> Tensor:
        """Returns Nesterov's momentum of each gate, which is orthogonalized. The update of a tall gate is scaled up."""
        momentum = self.state[f"{key}.momentum"].lerp_(grad, 1 - MUON_MOMENTUM)
        return grad.lerp(momentum, MUON_MOMENTUM).view(self._blocks, -1, grad.shape[1])


def orthogonalize_all(updates: Mapping[str, Tensor], group: Group) -> dict[str, Tensor]:
    """Orthogonalizes matrices, the same in all processes of a group: beyond two, each does some of them.

    A sum brings them to all others, as each is zero where it is not computed: in a ring of whole matrices every process
    would pass on as many as there are processes. Two do without: it takes them as long as the work that it would save.
    """
    if group.size <= 2 or len(updates) < 2:
        return {key: orthogonalize(update) for key, update in updates.items()}
    own = share_out({key: update.numel() for key, update in updates.items()}, group.size)[group.rank]
    found = {key: orthogonalize(each) if key in own else torch.zeros_like(each) for key, each in updates.items()}
    sums_N = group.sum(torch.cat([each.flatten() for each in found.values()]))
    parts = torch.split(sums_N, [each.numel() for each in found.values()])
    return {key: part.view(each.shape) for (key, each), part in zip(found.items(), parts, strict=True)}


def share_out(sizes: Mapping[str, int], shares: int) -> list[list[str]]:
    """Divides things of different sizes into shares of about the same size: the largest first, each to the smallest.

    >>> share_out({"a": 4, "b": 3, "c": 2, "d": 2}, 2)
    [['a', 'd'], ['b', 'c']]
    """
    found: list[list[str]] = [[] for _ in range(shares)]
    totals = [0] * shares
    for key in sorted(sizes, key=lambda each: (-sizes[each], each)):
        smallest = totals.index(min(totals))
        found[smallest].append(key)
        totals[smallest] += sizes[key]
    return found


def is_cell_matrix(name: str) -> bool:
    """Returns whether a parameter of the model is an input or recurrent matrix of a cell."""
    return name.endswith((".weight_ih", ".weight_hh"))
