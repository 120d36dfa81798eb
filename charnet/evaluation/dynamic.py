"""Dynamic evaluation: a model learns from a text while it reads it (Krause et al. 2018, 2019).

After every window the weights move a little against the gradient of its loss, and a little back to the trained ones. A
window is scored before it is learned, so the loss is that on a text that the model has not seen.

Shape legend: S documents side by side, T characters in a window.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from charnet.config import DYNAMIC_RATE
from charnet.data.documents import NO_TARGET, Documents, read_window
from charnet.data.split import Part
from charnet.errors import DivergedError
from charnet.evaluation.losses import DynamicLoss
from charnet.evaluation.mixing import Mixture, Targets
from charnet.model.ensemble import Model, split_state
from charnet.model.loss import detach
from charnet.model.network import ModelState
from charnet.model.ngram import WeightedNgram
from charnet.overlay import check_rate

WINDOW = 32  # characters between two steps
PULL = 0.001  # of the way back to the trained weights, in each step
SHARE_LEARNING = 0.005  # of the n-gram's share, for each character: a memory of some two hundred characters
SMALLEST = 1e-12  # divisor


class Learner:
    """A model that learns from what it reads.

    A step is the gradient, each number divided by the root of its mean square in all windows so far plus the mean of
    these roots in its tensor (Krause et al. 2018 take them from the training text), and scaled so that the root of the
    mean square of the lengths of all steps so far is the rate. So one rate fits networks of any size and training.

    Args:
        model: on the CPU, in single precision. Its weights change.
        ngram: beside the networks. Its share is learned too; the networks learn by their own loss.
        rate: the typical length of a step in the weights of a network; 0 = learn nothing.

    Raises:
        ConfigError: the rate is out of its range.
    """

    def __init__(self, model: Model, ngram: WeightedNgram | None = None, rate: float = DYNAMIC_RATE) -> None:
        check_rate("rate", rate)
        self._mixture = Mixture(ngram, SHARE_LEARNING * bool(rate)) if ngram else None
        self.model, self._rate = model.eval(), rate
        self._trained = [[p.detach().clone() for p in network.parameters()] for network in model.members]
        self._mean_squares = [[torch.zeros_like(p) for p in weights] for weights in self._trained]  # of the gradients
        self._length_squares = [0.0] * len(self._trained)  # of the steps of each network, before the rate, added up
        self._windows = 0

    def copy(self) -> Learner:
        """Returns a learner of its own that stands where this one stands."""
        other = copy.copy(self)
        other.model, other._mixture = copy.deepcopy(self.model), copy.copy(self._mixture)
        other._mean_squares, other._length_squares = copy.deepcopy(self._mean_squares), [*self._length_squares]
        return other

    @property
    def ngram(self) -> WeightedNgram | None:
        """The n-gram with its share now."""
        return self._mixture.ngram if self._mixture else None

    def read(self, text: Part, start_id: int, *, known: int = 0) -> DynamicLoss:
        """Reads a text in one pass and learns from it.

        Each document begins with a zero state, and the weights go on. Short documents that together fill no more than a
        window are read side by side.

        Args:
            known: the first characters are only read, to come to the right state: they are neither scored nor learned.

        Raises:
            DivergedError: the loss or a weight is no longer a finite number.
        """
        threads = torch.get_num_threads()
        # Windows of one stream are too small for two threads, which beside other work took three times as long. And so
        # the result is the same on any number of cores.
        torch.set_num_threads(1)
        try:
            return self._read(text, start_id, known)
        finally:
            torch.set_num_threads(threads)

    def _read(self, text: Part, start_id: int, known: int) -> DynamicLoss:
        began, nats, characters = time.perf_counter(), 0.0, 0
        documents = Documents.up_to(np.array([len(text)])) if text.documents is None else text.documents
        for group in _groups(documents):
            state = self.model.initial_state(len(group.ends))
            for offset in range(0, int(group.lengths.max()), WINDOW):
                first_S = group.begins + offset
                x_ST, y_ST = read_window(text.ids, group, first_S, WINDOW, start_id)
                y_ST[first_S[:, None] + np.arange(y_ST.shape[1]) < known] = NO_TARGET
                targets = Targets(text.ids, group.begins, first_S, start_id, y_ST != NO_TARGET)
                nats_ST, state = self._read_window(torch.from_numpy(x_ST), torch.from_numpy(y_ST), state)
                counted_ST = targets.counted_ST
                nats += self._mixture(nats_ST, targets) if self._mixture else float(nats_ST[counted_ST].sum())
                characters += int(counted_ST.sum())
                if not math.isfinite(nats):
                    raise _diverged()
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise _diverged()
        return DynamicLoss(nats, characters, time.perf_counter() - began)

    def _read_window(
        self, x_ST: torch.Tensor, y_ST: torch.Tensor, state: ModelState
    ) -> tuple[npt.NDArray[np.float64], ModelState]:
        """Scores a window, then learns it; each network learns by its own loss.

        Returns:
            The loss of the networks together (S, T), and the state after the window, from the weights before it.
        """
        learns = bool(self._rate) and bool((y_ST != NO_TARGET).any())
        self._windows += learns
        log_p_NST, after = [], list[tuple[torch.Tensor, ...]]()
        with torch.set_grad_enabled(learns):
            for index, (network, before) in enumerate(split_state(self.model, detach(state))):
                logits_STV, network_state = network(x_ST, before)
                nats = F.cross_entropy(logits_STV.flatten(0, 1), y_ST.flatten(), reduction="none")
                if learns:  # a window with fewer characters moves the weights less
                    self._step(index, torch.autograd.grad(nats.sum() / WINDOW, list(network.parameters())))
                log_p_NST.append(-nats.detach().double().view(y_ST.shape))
                after += network_state
        mean_ST = torch.stack(log_p_NST).logsumexp(dim=0) - math.log(len(log_p_NST))
        return -mean_ST.numpy(), detach(tuple(after))

    @torch.no_grad()
    def _step(self, index: int, gradients: tuple[torch.Tensor, ...]) -> None:
        """Moves the weights of a network by one step."""
        weights: list[torch.Tensor] = [*self.model.members[index].parameters()]
        mean_squares = self._mean_squares[index]
        torch._foreach_mul_(mean_squares, 1 - 1 / self._windows)
        torch._foreach_addcmul_(mean_squares, gradients, gradients, value=1 / self._windows)
        roots = torch._foreach_sqrt(mean_squares)
        means = [float(root.mean()) for root in roots]
        if not all(map(math.isfinite, means)):
            raise _diverged()
        torch._foreach_add_(roots, [mean + SMALLEST for mean in means])
        steps = torch._foreach_div(gradients, roots)
        self._length_squares[index] += float(torch.stack(torch._foreach_norm(steps)).square().sum())
        length = math.sqrt(self._length_squares[index] / self._windows)
        torch._foreach_add_(weights, steps, alpha=-self._rate / max(length, SMALLEST))
        torch._foreach_lerp_(weights, self._trained[index], PULL)


def _groups(documents: Documents) -> Iterator[Documents]:
    """Yields documents that are read side by side: the next ones that together fill no more than a window, or one."""
    lengths, first = documents.lengths.tolist(), 0
    while first < len(lengths):
        behind, together = first + 1, lengths[first]
        while behind < len(lengths) and together + lengths[behind] <= WINDOW:
            together += lengths[behind]
            behind += 1
        yield documents.take(slice(first, behind))
        first = behind


def _diverged() -> DivergedError:
    return DivergedError(
        "the model diverged while it learned from the text: try another text, or in eval a smaller --dynamic-rate"
    )
