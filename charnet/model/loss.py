"""The loss and its gradients: cross-entropy over the alphabet, or over a sample of a large one.

Shape legend: B streams, T characters in a window, V characters in the alphabet, C candidates among them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charnet.model.ensemble import Model, split_state
from charnet.model.network import ModelState
from charnet.model.shapes import NUM_SAMPLED, SAMPLED_SOFTMAX_FROM


def nats_per_char(logits_BTV: Tensor, targets_BT: Tensor, num_targets: int = 0) -> Tensor:
    """Returns the mean cross-entropy over all characters, in nats; or their sum, divided by `num_targets`."""
    # Logits are stored time first: flattened in that order, they need no copy.
    logits, targets = logits_BTV.transpose(0, 1).flatten(0, 1), targets_BT.t().flatten()
    if num_targets:
        return F.cross_entropy(logits, targets, reduction="sum") / num_targets
    return F.cross_entropy(logits, targets)


def sampled_softmax_candidates(
    y_BT: Tensor, alphabet_size: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Chooses the candidates of a sampled softmax: all targets of a window and a random sample of the other characters.

    The cross-entropy sums over the whole alphabet, which for 20,000 characters costs seven times as much as an LSTM of
    512 units. Here the other characters are sampled without replacement, each weighted by the number that it stands
    for: the estimate of the sum is unbiased (importance sampling, Bengio & Senécal 2003, in two strata), and the loss
    is slightly too low. This synchronizes with a GPU, because the number of distinct targets is known only there.

    Args:
        y_BT: the targets; those below 0 are not predicted.
        generator: of the sample; by default torch's own.

    Returns:
        The candidates (C), the terms to add to their logits (C), and y_BT as indices of candidates.
    """
    occurs_V = torch.zeros(alphabet_size, dtype=torch.bool, device=y_BT.device)
    occurs_V[y_BT[y_BT >= 0]] = True
    targets, others = occurs_V.nonzero().flatten(), (~occurs_V).nonzero().flatten()
    sample = others[torch.randperm(len(others), generator=generator, device=y_BT.device)[:NUM_SAMPLED]]
    candidates_C = torch.cat([targets, sample])
    log_weight_C = torch.zeros(len(candidates_C), device=y_BT.device)
    log_weight_C[len(targets) :] = math.log(len(others) / max(1, len(sample))) if len(others) else 0.0
    index_V = torch.empty(alphabet_size, dtype=torch.int64, device=y_BT.device)
    index_V[candidates_C] = torch.arange(len(candidates_C), device=y_BT.device)
    return candidates_C, log_weight_C, torch.where(y_BT >= 0, index_V[y_BT.clamp(min=0)], y_BT)


class Candidates(NamedTuple):
    """The candidates of a sampled softmax (C), and the terms to add to their logits (C)."""

    ids_C: Tensor
    log_weight_C: Tensor


def forward_backward(
    model: Model,
    x_BT: Tensor,
    y_BT: Tensor,
    state: ModelState,
    *,
    clip: float = math.inf,
    compute_dtype: torch.dtype | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, ModelState]:
    """Runs the forward and backward pass over one window of every stream; leaves the gradients in the parameters.

    Args:
        x_BT: the inputs.
        y_BT: the targets: the character after each input.
        clip: the largest norm of all gradients of a network together.
        generator: of all random numbers; by default torch's own.

    Returns:
        The mean loss in nats per character (an estimate for large alphabets, see `sampled_softmax_candidates`), the
        norm of the gradient before clipping, and the state after the window. Loss and norm of an ensemble are means
        over its networks.
    """
    y_BT, candidates = choose_candidates(model, y_BT, generator)
    loss, after = backward(
        model, x_BT, y_BT, state, candidates=candidates, compute_dtype=compute_dtype, generator=generator
    )
    return loss, clip_gradients(model, clip), after


def choose_candidates(
    model: Model, y_BT: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Candidates | None]:
    """Returns the targets of a step, and the candidates among which they are indices where the alphabet is large."""
    if model.alphabet_size <= SAMPLED_SOFTMAX_FROM:
        return y_BT, None
    *candidates, y_BT = sampled_softmax_candidates(y_BT, model.alphabet_size, generator)
    return y_BT, Candidates(*candidates)


def backward(
    model: Model,
    x_BT: Tensor,
    y_BT: Tensor,
    state: ModelState,
    *,
    num_targets: int = 0,
    candidates: Candidates | None = None,
    compute_dtype: torch.dtype | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, ModelState]:
    """Adds the gradients of a loss to those in the parameters.

    Args:
        num_targets: if B are some of the streams only, the targets of all: the loss, and so the gradients, is the sum
            over the targets that are here divided by that number.

    Returns:
        The loss, for an ensemble the mean over its networks, and the state after the window.
    """
    losses, after = [], []
    for network, before in split_state(model, detach(state)):
        logits_BTC, network_state = network(
            x_BT,
            before,
            compute_dtype=compute_dtype,
            candidates_C=candidates.ids_C if candidates else None,
            generator=generator,
        )
        loss = nats_per_char(logits_BTC + candidates.log_weight_C if candidates else logits_BTC, y_BT, num_targets)
        torch.autograd.backward(loss)  # one network at a time: only one holds tensors saved for backward
        losses.append(loss.detach())
        after += network_state
    return torch.stack(losses).mean(), detach(tuple(after))


def clip_gradients(model: Model, clip: float) -> Tensor:
    """Scales the gradients of each network down to a norm of at most `clip`; returns the mean norm before."""
    return torch.stack([nn.utils.clip_grad_norm_(network.parameters(), clip) for network in model.members]).mean()


def detach(state: ModelState) -> ModelState:
    """Returns the same state, detached from the graph: no gradient flows back through it."""
    return tuple(tuple(each.detach() for each in layer) for layer in state)
