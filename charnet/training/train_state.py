"""All that a training step changes: the network, the optimizer, the state of each stream, the random generators.

The generators are a training's own, so that trainings in several threads do not take each other's numbers.

It can be saved as named tensors (`weights`, `resume_state`), so that a resumed run is the same bit for bit. A step is
two calls, `forward_backward` and `optimizer_step`; between them the caller checks that the numbers are finite.

Shape legend: B streams, T characters in a window.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charnet.config import GATES, Config
from charnet.data.vocab import Vocabulary
from charnet.errors import CheckpointError
from charnet.model.device import DTYPES, choose_device, set_threads
from charnet.model.ensemble import build
from charnet.model.loss import forward_backward
from charnet.model.network import ModelState
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.tensorfile import Tensors
from charnet.training import optim
from charnet.training.group import Group
from charnet.training.resolve import memory_needed
from charnet.training.sharded import Shards
from charnet.training.thread_count import ThreadCount, agrees

Array = npt.NDArray[Any]
MEMORY_ADVICE = "choose a smaller --hidden-size, --batch-size or --window, fewer --members, or close other programs"


class TrainState:
    """A network in training, with its optimizer and the state of every stream.

    Attributes:
        sums: of loss and gradient norm, since they were last set to zero.

    Args:
        config: with a value for every setting.
        group: of the processes that train together; each holds the state of its own streams.

    Raises:
        MemoryError, ConfigError: there is not enough memory, or the streams cannot be divided.
    """

    def __init__(self, config: Config, alphabet_size: int, group: Group | None = None) -> None:
        settings = config.training
        self.device = choose_device(settings.device)
        set_threads(settings.threads)
        most = settings.threads if self.device.type == "cpu" else 1
        self._threads = ThreadCount(most, functools.partial(agrees, config, alphabet_size))
        places = {"cpu": torch.device("cpu"), self.device.type: self.device}
        self._generators = {name: torch.Generator(place).manual_seed(settings.seed) for name, place in places.items()}
        self._group, self._clip = group or Group(), settings.clip or math.inf
        self._shards = Shards(config, self._group, self.device)
        self._streams = self._shards.own_streams.stop - self._shards.own_streams.start
        self._compute_dtype = DTYPES[settings.precision]
        self.model = build(alphabet_size, config.model, self._generators["cpu"]).to(self.device)
        self.optimizer = optim.Optimizer(
            self.model,
            settings.optimizer,
            blocks=GATES[config.model.cell],
            weight_decay=settings.weight_decay,
            group=Group() if self._shards.by_network else self._group,
        )
        self.state: ModelState = self.model.initial_state(self._streams)
        self._after = self.state
        self.sums = torch.zeros(2, device=self.device)
        if self.device.type == "cpu":  # checked now: oneDNN would end the process later
            torch.empty(memory_needed(config, alphabet_size, self._group.size), dtype=torch.uint8)

    def forward_backward(
        self,
        x_BT: npt.NDArray[np.int64],
        y_BT: npt.NDArray[np.int64],
        resets_B: npt.NDArray[np.bool_],
        step: int = 0,
        wishes: Sequence[float] = (),
    ) -> list[float]:
        """Computes the gradients on one window of every stream. Weights and state do not change yet.

        Args:
            x_BT: inputs.
            y_BT: targets.
            resets_B: the streams that start from the initial state.
            step: from which the random numbers of several shards follow.
            wishes: numbers of this process for all others that train with it.

        Returns:
            The sums of the wishes of all processes.
        """
        self._threads.adjust()
        self._reset(resets_B[self._shards.own_streams])
        if self._shards.count > 1 or self._group.size > 1:
            loss, norm, self._after, agreed = self._shards.gradients(
                self.model, x_BT, y_BT, self.state, step, clip=self._clip, compute_dtype=self._compute_dtype,
                wishes=wishes,
            )  # fmt: skip
        else:
            x, y = (torch.from_numpy(ids).to(self.device) for ids in (x_BT, y_BT))
            loss, norm, self._after = forward_backward(
                self.model,
                x,
                y,
                self.state,
                clip=self._clip,
                compute_dtype=self._compute_dtype,
                generator=self._generators[self.device.type],
            )
            agreed = list(wishes)
        self.sums += torch.stack([loss, norm])
        return agreed

    def _reset(self, resets_B: npt.NDArray[np.bool_]) -> None:
        """Gives some streams the initial state."""
        if resets_B.all():
            self.state = self.model.initial_state(self._streams)
        elif resets_B.any():
            reset = torch.from_numpy(resets_B).to(self.device)[:, None]
            self.state = tuple(
                tuple(torch.where(reset, new, old) for new, old in zip(*layers, strict=True))
                for layers in zip(self.model.initial_state(self._streams), self.state, strict=True)
            )

    def optimizer_step(self, step: int, learning_rate: float) -> None:
        """Updates the weights, and moves the state to the end of the window."""
        self.optimizer.step(step, learning_rate)
        self.state = self._after

    def nonfinite_metric(self) -> str:
        """Returns the name of a sum that is not finite, or ""."""
        return next((name for name, x in zip(("loss", "gradient"), self.sums.tolist(), strict=True)
                     if not math.isfinite(x)), "")  # fmt: skip

    def nonfinite_tensor(self) -> str:
        """Returns the name of a part that is not finite and that a run could not recover from, or ""."""
        parts: dict[str, Iterable[Tensor]] = {
            "largest weight": self.model.parameters(),
            "optimizer state": self.optimizer.state.values(),
            "recurrent state": [tensor for layer in self.state for tensor in layer],
        }
        found = next((at for at, tensors in enumerate(parts.values()) if not all(map(_is_finite, tensors))), -1)
        found = int(self._group.largest(found))  # the streams of another process may have diverged
        return "" if found < 0 else list(parts)[found]

    @property
    def num_processes(self) -> int:
        """The number of processes that train together."""
        return self._group.size

    @property
    def num_shards(self) -> int:
        """The number of parts of a batch whose gradients are added."""
        return self._shards.count

    @torch.no_grad()
    def gather(self) -> None:
        """Brings the networks that other processes train up to date: weights, optimizer and state."""
        if not self._shards.by_network:
            return
        of_network = [self._tensors_of(number) for number in range(len(self.model.members))]
        own_N = torch.cat([t.flatten() for number in self._shards.own_networks for t in of_network[number]])
        begin, all_N = 0, self._group.join(own_N)
        for tensor in (tensor for tensors in of_network for tensor in tensors):
            tensor.copy_(all_N[begin : (begin := begin + tensor.numel())].view_as(tensor))

    def _tensors_of(self, number: int) -> list[Tensor]:
        """Returns all that a network of an ensemble has learned, and its state."""
        layers = len(self.model.members[number].cells)
        state = self.state[number * layers : (number + 1) * layers]
        learned = [t for name, t in self.optimizer.state.items() if name.startswith(f"members.{number}.")]
        return [*self.model.members[number].parameters(), *learned, *(each for layer in state for each in layer)]

    def weights(self) -> dict[str, Tensor]:
        """Returns the parameters by their names in a checkpoint, as they were at the last `gather`."""
        return {f"model.{key}": t for key, t in self.model.state_dict().items()}

    def resume_state(self) -> dict[str, Tensor]:
        """Returns all else that the next steps depend on, with the state of all streams, as `weights`."""
        tensors = {f"optimizer.{key}": t for key, t in self.optimizer.state.items()}
        for i, layer in enumerate(self.state):
            of_all = layer if self._shards.by_network else map(self._group.join, layer)
            tensors |= {f"state.{i}.{j}": t for j, t in enumerate(of_all)}
        return tensors | {f"random.{place}": each.get_state() for place, each in self._generators.items()}

    def restore(self, before: Checkpoint) -> None:
        """Restores the state in a checkpoint.

        Raises:
            CheckpointError: its tensors do not fit this network; nothing has changed.
        """
        self._check_fits(before)
        tensors = {name: torch.from_numpy(np.array(t)) for name, t in before.tensors.items()}

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: t.to(self.device) for k, t in tensors.items() if k.startswith(prefix)}

        try:
            for place, generator in self._generators.items():
                if (name := f"random.{place}") in tensors:
                    generator.set_state(tensors[name])
        except RuntimeError as error:
            raise CheckpointError(
                f"cannot be resumed: the state of its random generator is invalid ({error}); try --init-from"
            ) from None
        for parameter in self.model.parameters():
            parameter.grad = None  # from a step that was not finished
        self.model.load_state_dict(part("model."))
        self.optimizer.state |= part("optimizer.")
        own = self._shards.own_streams
        self.state = tuple(
            tuple(tensors[f"state.{i}.{j}"][own].to(self.device) for j in range(len(layer)))
            for i, layer in enumerate(self.state)
        )
        progress = before.trainer_state
        self.sums = torch.tensor([progress.nats_since_report, progress.grad_norm_since_report], device=self.device)

    def _check_fits(self, before: Checkpoint) -> None:
        """Checks that every tensor has the name, shape and type of the one that it replaces."""
        if before.precision != "fp32":
            raise CheckpointError("cannot be resumed: 8-bit weights are for generation only")
        if unknown := sorted(set(before.part("optimizer")) - set(self.optimizer.state)):
            raise CheckpointError(f"cannot be resumed: optimizer.{unknown[0]} is unknown")
        for name, tensor in to_numpy(self.resume_state()).items():
            found = before.tensors.get(name)
            if found is None and name.startswith("random.") and name != "random.cpu":
                continue  # written on a machine without a GPU
            if found is None or found.shape != tensor.shape or found.dtype != tensor.dtype:
                raise CheckpointError(f"cannot be resumed: it lacks {name}, or has it in another shape")

    def load_pretrained(self, weights: Checkpoint, vocab: Vocabulary) -> int:
        """Copies trained weights. The rows of characters that their alphabet lacks keep their initial values.

        Args:
            vocab: the alphabet of this network.

        Returns:
            How many characters are in both alphabets.
        """
        rows_V = _rows(weights.vocab, vocab)
        pretrained, initial = weights.weights, to_numpy(self.model.state_dict())
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(torch.from_numpy(_carry_over(name, pretrained[name], initial[name], rows_V)))
        return len(set(vocab.symbols).intersection(weights.vocab.symbols))

    def adapt(self, before: Checkpoint, vocab: Vocabulary, *, restart_streams: bool) -> Checkpoint:
        """Returns a checkpoint of this run from before a change with tensors that fit the network as it is now.

        Args:
            vocab: the alphabet of this network, which has all symbols of the one before. New rows, of weights and
                optimizer, are as in a new network.
            restart_streams: the streams have the initial state.
        """
        tensors = dict(before.tensors)
        if restart_streams:
            tensors |= {name: t for name, t in to_numpy(self.resume_state()).items() if name.startswith("state.")}
        if vocab.symbols != before.vocab.symbols:
            rows_V = _rows(before.vocab, vocab)
            for name, new in to_numpy(self.weights() | self.resume_state()).items():
                if name.startswith(("model.", "optimizer.")) and name in tensors:
                    tensors[name] = _carry_over(name, tensors[name], new, rows_V)
        return dataclasses.replace(before, vocab=vocab, tensors=tensors)


def _rows(trained: Vocabulary, vocab: Vocabulary) -> npt.NDArray[np.int32]:
    """Returns the id in a trained alphabet of each symbol of another, (V), or -1."""
    return trained.lookup(np.array(vocab.symbols, dtype=np.uint32))


def _carry_over(name: str, old: Array, new: Array, rows_V: npt.NDArray[np.int32]) -> Array:
    """Returns a trained tensor for another alphabet: of `new` it keeps the rows of symbols that have none in `old`."""
    if "layers." in name or len(old) <= rows_V.max() or old.shape[1:] != new.shape[1:]:  # wrong shapes are found later
        return np.array(old)
    found_V = (rows_V >= 0).reshape(-1, *[1] * (old.ndim - 1))
    return np.where(found_V, old[rows_V], new)


def _is_finite(tensor: Tensor) -> bool:
    """Returns whether all elements are finite. If their sum is, they are: that takes a tenth of the time."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def to_numpy(tensors: Mapping[str, Tensor]) -> Tensors:
    """Converts tensors to NumPy arrays in main memory."""
    return {key: t.detach().cpu().contiguous().numpy() for key, t in tensors.items()}
