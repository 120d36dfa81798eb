"""Gradients of a batch in equal parts of its streams, on one process or on several.

The parts, the shards, are computed one after the other in each process, each with random numbers of its own; their
gradients are added pairwise in a fixed order. So one process, two and four give the same weights to the bit, if the
number of shards is a power of two that they divide. The gradients and what the processes have to agree about travel
in one message a step.

The networks of an ensemble learn independently. If they can be divided among the processes, each process trains some
of them on all streams, and no gradient travels.

Shape legend: B streams, T characters in a window, N numbers in a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charnet.config import Config
from charnet.data.documents import NO_TARGET
from charnet.model.ensemble import Model, split_state
from charnet.model.loss import backward, choose_candidates, clip_gradients
from charnet.model.network import CharModel, ModelState
from charnet.training.group import Group, add
from charnet.training.resolve import check_shards, is_by_network

OF_CANDIDATES = (1 << 20) + 1  # in place of the number of a shard, of which there are fewer


class Shards:
    """The shards and the networks of a training.

    Attributes:
        count: of the shards.
        own_streams: the streams whose state this process holds.
        own_networks: the numbers of the networks that it trains.
        by_network: whether the networks are divided among the processes, and not the shards.

    Args:
        config: of the training.
        group: the processes among which they are divided.

    Raises:
        ConfigError: the streams cannot be divided so.
    """

    def __init__(self, config: Config, group: Group, device: torch.device) -> None:
        streams, size, members = config.training.batch_size, group.size, config.model.members
        self.count, self.by_network = check_shards(config, size), is_by_network(config, size)
        self._rows = streams // self.count
        own_shards, own_networks = (self.count, members // size) if self.by_network else (self.count // size, members)
        self._first = 0 if self.by_network else group.rank * own_shards
        self._num_own, self._num_networks = own_shards, members
        first = group.rank * own_networks if self.by_network else 0
        self.own_networks = range(first, first + own_networks)
        self.own_streams = slice(self._first * self._rows, (self._first + own_shards) * self._rows)
        self._group, self._device, self._seed = group, device, config.training.seed
        self._generator = torch.Generator(device)

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
        """Computes the gradients of all shards, and leaves them in the parameters of the networks of this process.

        Args:
            x_BT, y_BT: inputs and targets of all streams, also those of other processes.
            state: of the streams of this process.
            wishes: numbers of this process for all others.

        Returns:
            Loss, norm of the gradient, the state after the window as `forward_backward`, and the sums of the wishes.
        """
        candidates_of = self._seeded(step, OF_CANDIDATES, 0)
        y, candidates = choose_candidates(model, torch.from_numpy(y_BT).to(self._device), candidates_of)
        x, num_targets = torch.from_numpy(x_BT).to(self._device), int((y_BT != NO_TARGET).sum())
        networks = list(split_state(model, state))
        own = [networks[number][0] for number in self.own_networks]
        parameters = [p for network in own for p in network.parameters()]
        after = [list(each) for _, each in networks]
        joined: list[list[ModelState]] = [[] for _ in networks]

        def terms() -> Iterator[Tensor]:
            for shard in range(self._first, self._first + self._num_own):
                rows = slice(shard * self._rows, (shard + 1) * self._rows)
                begin = (shard - self._first) * self._rows
                loss = torch.zeros((), device=self._device)
                for number, network in zip(self.own_networks, own, strict=True):
                    before = tuple(tuple(t[begin : begin + self._rows] for t in layer) for layer in networks[number][1])
                    of_network, shard_after = backward(
                        network, x[rows], y[rows], before, num_targets=num_targets, candidates=candidates,
                        compute_dtype=compute_dtype, generator=self._seeded(step, shard, number),
                    )  # fmt: skip
                    loss = loss + of_network / self._num_networks
                    joined[number].append(shard_after)
                grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
                for p in parameters:
                    p.grad = None
                yield torch.cat([*(grad.flatten() for grad in grads), loss[None]])

        own_N = add(terms(), self._num_own)
        for number in self.own_networks:
            after[number] = [
                tuple(torch.cat(parts) for parts in zip(*layers, strict=True))
                for layers in zip(*joined[number], strict=True)
            ]
        loss, norm, agreed = self._add(own, parameters, own_N, clip, wishes)
        return loss, norm, tuple(layer for each in after for layer in each), agreed

    def _add(
        self,
        own: Sequence[CharModel],
        parameters: Sequence[Tensor],
        own_N: Tensor,
        clip: float,
        wishes: Sequence[float],
    ) -> tuple[Tensor, Tensor, list[float]]:
        """Adds the gradients and the loss of all processes, and clips.

        Returns:
            Loss, norm and the sums of the wishes of all processes.
        """
        sums_N = torch.cat([own_N, torch.tensor(wishes, device=self._device)])
        size = len(sums_N) - 1 - len(wishes)
        if not self.by_network:
            sums_N = self._group.sum(sums_N)
        begin = 0
        for p in parameters:
            p.grad = sums_N[begin : (begin := begin + p.numel())].view_as(p)
        norm = torch.stack([clip_gradients(network, clip) for network in own]).sum() / self._num_networks
        if self.by_network:
            loss, norm, *agreed = self._group.sum(torch.cat([sums_N[size : size + 1], norm[None], sums_N[size + 1 :]]))
            return loss, norm, [float(each) for each in agreed]
        return sums_N[size], norm, sums_N[size + 1 :].tolist() if wishes else []

    def _seeded(self, step: int, shard: int, network: int) -> torch.Generator:
        """Returns the random numbers of a network on a shard in a step, whichever process computes it."""
        entropy = np.random.SeedSequence((self._seed, step, shard, network)).generate_state(1, np.uint64)
        return self._generator.manual_seed(int(entropy[0] >> np.uint64(1)))
