"""What a step changes: the network, its optimiser, the state of each stream, the random numbers.

All of it is in a table of named tensors (`weights`, `to_go_on`), so that a run goes on to the bit from where it was
saved. A step is two calls, `learn` and `move`: whoever calls looks between them whether the numbers are still numbers.

Shape legend: B streams, T characters in a window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

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
from charnet.training.resolve import memory_needed

NEEDS_LESS = "choose a smaller --hidden-size, --batch-size or --window, fewer --members, or close other programs"


class TrainState:
    """A network that learns window after window. Its `sums` are of loss and gradient norm since somebody set them to
    zero.

    Args:
        config: with a number for every setting.

    Raises:
        MemoryError, ConfigError: there is not enough memory.
    """

    def __init__(self, config: Config, alphabet_size: int) -> None:
        settings = config.training
        self.device = choose_device(settings.device)
        set_threads(settings.threads)
        torch.manual_seed(settings.seed)
        self._streams, self._clip = settings.batch_size, settings.clip or math.inf
        self._compute_dtype = DTYPES[settings.precision]
        self.model = build(alphabet_size, config.model).to(self.device)
        self.optimizer = optim.Optimizer(
            self.model, settings.optimizer, blocks=GATES[config.model.cell], weight_decay=settings.weight_decay
        )
        self.state: ModelState = self.model.initial_state(self._streams)
        self._after = self.state
        self.sums = torch.zeros(2, device=self.device)
        if self.device.type == "cpu":  # now, since oneDNN ends the process where it finds too little on the way
            torch.empty(memory_needed(config, alphabet_size), dtype=torch.uint8)

    def forward_backward(self, x_BT: npt.NDArray[np.int64], y_BT: npt.NDArray[np.int64], *, reset_state: bool) -> None:
        """Reads one window of every stream: the gradients are there, nothing has moved.

        Args:
            afresh: from an empty state.
        """
        if reset_state:
            self.state = self.model.initial_state(self._streams)
        x, y = (torch.from_numpy(ids).to(self.device) for ids in (x_BT, y_BT))
        loss, norm, self._after = forward_backward(
            self.model, x, y, self.state, clip=self._clip, compute_dtype=self._compute_dtype
        )
        self.sums += torch.stack([loss, norm])

    def optimizer_step(self, step: int, learning_rate: float) -> None:
        """Moves the weights along the gradients, and the state to the end of the window."""
        self.optimizer.step(step, learning_rate)
        self.state = self._after

    def nonfinite_metric(self) -> str:
        """Which of the sums is no longer a finite number; none is ""."""
        return next((what for what, x in zip(("loss", "gradient"), self.sums.tolist(), strict=True)
                     if not math.isfinite(x)), "")  # fmt: skip

    def nonfinite_tensor(self) -> str:
        """What holds a number that is not finite, of all that the rest of a run could not recover from; none is ""."""
        parts: dict[str, Iterable[Tensor]] = {
            "largest weight": self.model.parameters(),
            "optimizer's memory": self.optimizer.state.values(),
            "network's state": [tensor for layer in self.state for tensor in layer],
        }
        return next((what for what, tensors in parts.items() if not all(map(_is_finite, tensors))), "")

    def weights(self) -> dict[str, Tensor]:
        """The parameters by their names in a checkpoint."""
        return {f"model.{key}": t for key, t in self.model.state_dict().items()}

    def resume_state(self) -> dict[str, Tensor]:
        """What the next steps depend on beside the weights."""
        own = {f"optimizer.{key}": t for key, t in self.optimizer.state.items()}
        for i, layer in enumerate(self.state):
            own |= {f"state.{i}.{j}": t for j, t in enumerate(layer)}
        own["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            own["random.cuda"] = torch.cuda.get_rng_state()
        return own

    def restore(self, before: Checkpoint) -> None:
        """Goes back to where a checkpoint was written.

        Raises:
            CheckpointError: it holds something else than what this network has; nothing changed.
        """
        self._check_fits(before)
        tensors = {name: torch.from_numpy(np.array(t)) for name, t in before.tensors.items()}

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: t.to(self.device) for k, t in tensors.items() if k.startswith(prefix)}

        try:
            torch.set_rng_state(tensors["random.cpu"])
            if self.device.type == "cuda" and "random.cuda" in tensors:
                torch.cuda.set_rng_state(tensors["random.cuda"])
        except RuntimeError as error:
            raise CheckpointError(
                f"expected random numbers to go on from, found others ({error}); try --init-from"
            ) from None
        for parameter in self.model.parameters():
            parameter.grad = None  # of a step that was given up
        self.model.load_state_dict(part("model."))
        self.optimizer.state |= part("optimizer.")
        self.state = tuple(
            tuple(tensors[f"state.{i}.{j}"].to(self.device) for j in range(len(layer)))
            for i, layer in enumerate(self.state)
        )
        progress = before.trainer_state
        self.sums = torch.tensor([progress.nats_since_report, progress.grad_norm_since_report], device=self.device)

    def _check_fits(self, before: Checkpoint) -> None:
        """Every tensor that training goes on from has the name, shape and type of the one that it replaces."""
        expected = "expected a checkpoint to go on from, found"
        if before.precision != "fp32":
            raise CheckpointError(f"{expected} weights of 8 bits, to write with only")
        if strange := sorted(set(before.part("optimizer")) - set(self.optimizer.state)):
            raise CheckpointError(f"{expected} an unknown optimizer.{strange[0]}")
        for name, tensor in to_numpy(self.resume_state()).items():
            found = before.tensors.get(name)
            if found is None and name == "random.cuda":
                continue  # written where there was no GPU
            if found is None or found.shape != tensor.shape or found.dtype != tensor.dtype:
                raise CheckpointError(f"{expected} {name} missing or odd")

    def load_pretrained(self, weights: Checkpoint, vocab: Vocabulary) -> int:
        """Copies trained weights; rows of characters that their alphabet lacks stay as initialised.

        Args:
            vocab: the alphabet of this network.

        Returns:
            How many characters both know.
        """
        rows = weights.vocab.lookup(np.array(vocab.symbols, dtype=np.uint32))
        known = torch.from_numpy(rows >= 0)
        learned = weights.weights
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                old = torch.from_numpy(np.array(learned[name]))
                if "layers." not in name:  # a row for each character
                    parameter[known] = old[torch.from_numpy(rows[rows >= 0]).long()].to(parameter.device)
                else:
                    parameter.copy_(old)
        return int(known.sum())


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers in it are. A finite sum says so, in a tenth of the time that a look at each takes."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def to_numpy(tensors: Mapping[str, Tensor]) -> Tensors:
    """The same tensors for NumPy, in main memory."""
    return {key: t.detach().cpu().contiguous().numpy() for key, t in tensors.items()}
