"""The loss and its gradients: cross-entropy over the alphabet, or over a sample of a large one.

Shape legend: B streams, T characters in a window, V characters in the alphabet, C of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charnet.config import NUM_SAMPLED, SAMPLED_SOFTMAX_FROM
from charnet.model.ensemble import Model, split_state
from charnet.model.network import ModelState


def nats_per_char(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean cross-entropy over all characters: a number, in nats."""
    # Logits are stored time first: in that order they flatten without a copy.
    return F.cross_entropy(logits_BTV.transpose(0, 1).flatten(0, 1), targets_BT.t().flatten())


def sampled_softmax_candidates(y_BT: Tensor, alphabet_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The characters that a window of a large alphabet is learned from: all that come in it, and some of the others.

    The cross-entropy sums over the whole alphabet, which for 20,000 characters costs seven times what an LSTM of 512
    units does. Here the others are a random sample without repeats, each of which counts for as many as it stands for:
    the sum is right in the mean (importance sampling, Bengio & Senécal 2003, in two strata), the loss a little below.
    On a GPU this waits for it: how many characters come is known only there.

    Args:
        y_BT: the characters that follow; those below 0 are not predicted.

    Returns:
        The characters (C), what to add to their logits (C), and y_BT as places among them.
    """
    comes_V = torch.zeros(alphabet_size, dtype=torch.bool, device=y_BT.device)
    comes_V[y_BT[y_BT >= 0]] = True
    coming, others = comes_V.nonzero().flatten(), (~comes_V).nonzero().flatten()
    sample = others[torch.randperm(len(others), device=y_BT.device)[:NUM_SAMPLED]]
    candidates_C = torch.cat([coming, sample])
    log_weight_C = torch.zeros(len(candidates_C), device=y_BT.device)
    log_weight_C[len(coming) :] = math.log(len(others) / max(1, len(sample))) if len(others) else 0.0
    place_V = torch.empty(alphabet_size, dtype=torch.int64, device=y_BT.device)
    place_V[candidates_C] = torch.arange(len(candidates_C), device=y_BT.device)
    return candidates_C, log_weight_C, torch.where(y_BT >= 0, place_V[y_BT.clamp(min=0)], y_BT)


def forward_backward(
    model: Model,
    x_BT: Tensor,
    y_BT: Tensor,
    state: ModelState,
    *,
    clip: float = math.inf,
    compute_dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor, ModelState]:
    """Reads one window of every stream and leaves the gradients in the parameters, ready for a step.

    Args:
        x_BT: characters read; y_BT: those that follow each of them.
        clip: largest norm that all gradients of a network together may have.

    Returns:
        The mean loss in nats per character (an estimate for large alphabets, see `drawn`), the norm of the gradient
        before it was clipped, the state after the window. Of several networks, loss and norm are the mean of theirs.
    """
    candidates_C = log_weight_C = None
    if model.alphabet_size > SAMPLED_SOFTMAX_FROM:
        candidates_C, log_weight_C, y_BT = sampled_softmax_candidates(y_BT, model.alphabet_size)
    losses, norms, after = [], [], []
    for network, before in split_state(model, detach(state)):
        logits_BTC, own = network(x_BT, before, compute_dtype=compute_dtype, candidates_C=candidates_C)
        loss = nats_per_char(logits_BTC if log_weight_C is None else logits_BTC + log_weight_C, y_BT)
        torch.autograd.backward(loss)  # one network after the other: only one keeps what its way back needs
        losses.append(loss.detach())
        norms.append(nn.utils.clip_grad_norm_(network.parameters(), clip))
        after += own
    return torch.stack(losses).mean(), torch.stack(norms).mean(), detach(tuple(after))


def detach(state: ModelState) -> ModelState:
    """The same numbers, cut from the past: no gradient flows back through them."""
    return tuple(tuple(each.detach() for each in layer) for layer in state)
