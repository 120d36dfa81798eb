"""Gradients of a batch in equal parts of its streams, on one process or on several.

The parts, the shards, are computed one after the other in each process, each with random numbers of its own; their
gradients are added pairwise in a fixed order. So one process, two and four give the same weights to the bit, if the
number of shards is a power of two that they divide. The gradients and what the processes have to agree about travel
in one message a step.

Shape legend: B streams, T characters in a window, N numbers in a message.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charnet.config import Config
from charnet.data.documents import NO_TARGET
from charnet.model.ensemble import Model
from charnet.model.loss import backward, choose_candidates, clip_gradients
from charnet.model.network import ModelState
from charnet.training.group import Group, add
from charnet.training.resolve import check_shards

OF_CANDIDATES = (1 << 20) + 1  # in place of the number of a shard, of which there are fewer


class Shards:
    """The shards of a training.

    Args:
        config: of the training.
        group: the processes among which they are divided.

    Raises:
        ConfigError: the streams cannot be divided so.
    """

    def __init__(self, config: Config, group: Group, device: torch.device) -> None:
        streams, size = config.training.batch_size, group.size
        self.count = check_shards(config, size)
        self.own_streams = streams // size
        self._rows = streams // self.count
        self._first, self._of_each = group.rank * self.count // size, self.count // size
        self._group, self._device, self._seed = group, device, config.training.seed
        self._generator = torch.Generator(device)

    def own(self, rows_B: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Returns those of some rows, one for each stream, that are this process's."""
        return rows_B[self._group.rank * self.own_streams :][: self.own_streams]

    def gradients(
        self,
        model: Model,
        x_BT: npt.NDArray[np.int64],
        y_BT: npt.NDArray[np.int64],
        state: ModelState,
        step: int,
        *,
        clip: float,
        compute_dtype: torch.dtype | None,
        wishes: Sequence[float],
    ) -> tuple[Tensor, Tensor, ModelState, list[float]]:
        """Computes the gradients of all shards, and leaves them in the parameters.

        Args:
            x_BT, y_BT: inputs and targets of all streams, also those of other processes.
            state: of the streams of this process.
            wishes: numbers of this process for all others.

        Returns:
            Loss, norm of the gradient, the state after the window as `forward_backward`, and the sums of the wishes.
        """
        y, candidates = choose_candidates(
            model, torch.from_numpy(y_BT).to(self._device), self._seeded(step, OF_CANDIDATES)
        )
        x, num_targets = torch.from_numpy(x_BT).to(self._device), int((y_BT != NO_TARGET).sum())
        parameters = [p for p in model.parameters() if p.requires_grad]
        terms, after = [], []
        for number in range(self._of_each):
            shard = self._first + number
            rows, own = (
                slice(shard * self._rows, (shard + 1) * self._rows),
                slice(number * self._rows, (number + 1) * self._rows),
            )
            before = tuple(tuple(each[own] for each in layer) for layer in state)
            loss, shard_after = backward(
                model, x[rows], y[rows], before, num_targets=num_targets, candidates=candidates,
                compute_dtype=compute_dtype, generator=self._seeded(step, shard),
            )  # fmt: skip
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            terms.append(torch.cat([*(grad.flatten() for grad in grads), loss[None]]))
            after.append(shard_after)
            for p in parameters:
                p.grad = None
        own_N = torch.cat([add(terms), torch.tensor(wishes, device=self._device)])
        sums_N = self._group.sum(own_N)
        begin = 0
        for p in parameters:
            p.grad = sums_N[begin : (begin := begin + p.numel())].view_as(p)
        joined = tuple(
            tuple(torch.cat(parts) for parts in zip(*layers, strict=True)) for layers in zip(*after, strict=True)
        )
        loss, agreed = sums_N[begin], sums_N[begin + 1 :].tolist() if wishes else []
        return loss, clip_gradients(model, clip), joined, agreed

    def _seeded(self, step: int, shard: int) -> torch.Generator:
        """Returns the random numbers of a shard in a step, whichever process computes it."""
        entropy = np.random.SeedSequence((self._seed, step, shard)).generate_state(1, np.uint64)
        return self._generator.manual_seed(int(entropy[0] >> np.uint64(1)))
