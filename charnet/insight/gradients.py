"""How far the gradient reaches: what moved a loss, and how a state depends on the states before it.

The size of d loss / d input at a distance of k characters, relative to that at distance 0, is what truncated
back-propagation through time cuts off behind the window. The size of d h_t / d h_(t-k) shows whether the recurrence
itself lets a gradient vanish or explode (Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio
2013, "On the difficulty of training recurrent neural networks", equation 5).

Shape legend: B places, T characters before each, E input features, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from charnet.data.encoded_copy import Ids
from charnet.data.split import Part
from charnet.errors import CorpusError
from charnet.insight.passages import WARM_UP, Ints, as_part
from charnet.insight.passages import places as places_of
from charnet.model.cells import State
from charnet.model.network import CharModel, ModelState

SHORTEST = 8  # characters before a place
AT_ONCE = 256  # places

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Spread:
    """By distance: the mean over the places, and what a tenth of them is below and above."""

    mean: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class GradientReach:
    """The sizes of gradients by distance in characters, each relative to the mean at distance 0.

    Attributes:
        loss: of d loss / d input.
        states: of d h_t / d h_(t-k), and of d h_t / d c_(t-k) for cells that have a c; by name, of each layer. Sizes
            are root mean squares over directions of h_t.
        places: how many losses and states were taken.
        half: the distance within which half of the sum of d loss / d input lies.
    """

    distances: list[int]
    loss: Spread
    states: dict[str, Spread]
    places: int
    half: int

    def as_dict(self) -> dict[str, Any]:
        states = {name: vars(spread) for name, spread in self.states.items()}
        return {**vars(self), "loss": vars(self.loss), "states": states}


def gradient_reach(
    networks: Sequence[CharModel], ids: Part | Ids, *, places: int = 256, reach: int = 128, seed: int = 0
) -> GradientReach:
    """Measures how far gradients reach in the networks of a checkpoint; places of an ensemble are shared out.

    Args:
        ids: any text; no place looks beyond the start of its document.
        places: how many characters of the text, spread evenly.
        reach: the largest distance; less in short documents.
        seed: of the random directions of h_t.

    Raises:
        CorpusError: the text, or every document of it, is too short.
    """
    text = as_part(ids)
    at_N, reach = _places(text, places, reach)
    generator, losses, states = torch.Generator().manual_seed(seed), list[Floats](), dict[str, list[Floats]]()
    for number, network in enumerate(networks):
        own_N = at_N[number :: len(networks)]
        for begin in range(0, len(own_N), AT_ONCE):
            of_loss, of_states = _sizes(network, text, own_N[begin : begin + AT_ONCE], reach, generator)
            losses.append(of_loss)
            for name, sizes in of_states.items():
                states.setdefault(name, []).append(sizes)
    of_loss = np.concatenate(losses)
    running = np.cumsum(of_loss.mean(axis=0))
    return GradientReach(
        distances=list(range(reach)),
        loss=_spread(of_loss),
        states={name: _spread(np.concatenate(sizes)) for name, sizes in states.items()},
        places=len(of_loss),
        half=int(np.searchsorted(running, running[-1] / 2)),
    )


def _spread(sizes_NT: Floats) -> Spread:
    first = float(sizes_NT[:, 0].mean())
    relative = sizes_NT / (first if first > 0 and math.isfinite(first) else 1.0)
    low, high = np.quantile(relative, [0.1, 0.9], axis=0)
    return Spread(relative.mean(axis=0).tolist(), low.tolist(), high.tolist())


def _places(text: Part, places: int, reach: int) -> tuple[Ints, int]:
    """Returns places with enough characters before them, and how far back all of them can look."""
    while reach >= SHORTEST:
        found_N = places_of(text, places, reach, 1, 2 * reach)
        if found_N is not None:
            return found_N, reach
        reach //= 2
    raise CorpusError("the text is too short to see how far gradients reach: give a longer one")


def _sizes(
    network: CharModel, text: Part, at_B: Ints, reach: int, generator: torch.Generator
) -> tuple[Floats, dict[str, Floats]]:
    """Returns the sizes of the gradients by distance, (B, reach), of the loss at each place and of the states."""
    warm = WARM_UP // 2 if text.documents is None else 0
    at_BT = at_B[:, None] + np.arange(-reach - warm, 1)
    ids_BT = torch.from_numpy(text.ids[np.maximum(at_BT, 0)].astype(np.int64))
    with torch.no_grad():
        state = network.initial_state(len(at_B))
        if warm:
            state = network.read(ids_BT[:, :warm], state)[1]
    x_BTE = network.embedding(ids_BT[:, warm:-1]).detach().requires_grad_()
    steps = _unroll(network, x_BTE, state)
    last_BH = steps[-1][-1][0]
    logits_BV = F.linear(last_BH, network.head.weight, network.head.bias)
    loss = F.cross_entropy(logits_BV, ids_BT[:, -1], reduction="sum")
    (d_x_BTE,) = torch.autograd.grad(loss, x_BTE, retain_graph=True)
    found = {}
    for layer, cell in enumerate(network.cells):
        directions_BH = F.normalize(torch.randn(last_BH.shape, generator=generator), dim=1)
        projected = (steps[-1][layer][0] * directions_BH).sum()
        of_steps = [each for step in steps for each in step[layer]]
        gradients = torch.autograd.grad(projected, of_steps, retain_graph=True, allow_unused=True)
        sizes = torch.stack([torch.zeros(len(at_B)) if g is None else g.norm(dim=1) for g in gradients], dim=1)
        for number, name in enumerate(cell.state_names):
            of_name = sizes[:, number :: len(cell.state_names)]
            found[_name(name, layer, len(network.cells))] = of_name.flip(1).numpy()
    return d_x_BTE.norm(dim=2).flip(1).numpy(), found


def _name(state: str, layer: int, layers: int) -> str:
    return f"{state}, layer {layer + 1}" if layers > 1 else state


def _unroll(network: CharModel, x_BTE: Tensor, state: ModelState) -> list[list[State]]:
    """Returns the states of all layers after each character, step by step, as one graph."""
    steps, states = [], list(state)
    for below_BE in x_BTE.unbind(1):
        for layer, cell in enumerate(network.cells):
            below_BE, states[layer] = cell.step(below_BE, states[layer])
        steps.append(list(states))
    return steps


def influence(network: CharModel, ids_BT: Tensor, state: ModelState, last_B: Tensor, targets_B: Tensor) -> Floats:
    """Returns how much each character moved a prediction: |gradient of its loss times the character's input|, (B, T).

    Args:
        ids_BT: the characters before each target; those behind `last_B` move nothing.
        state: before the first of them.
        last_B: the index of the character that precedes the target.
        targets_B: the predicted characters.
    """
    x_BTE = network.embedding(ids_BT).detach().requires_grad_()
    h_BTH: Any = x_BTE
    for cell, before in zip(network.cells, state, strict=True):
        h_BTH, _ = cell.scan(h_BTH, before)
    last_BH = h_BTH[torch.arange(len(last_B)), last_B]
    logits_BV = F.linear(last_BH, network.head.weight, network.head.bias)
    loss = F.cross_entropy(logits_BV, targets_B, reduction="sum")
    (d_x_BTE,) = torch.autograd.grad(loss, x_BTE)
    found: Floats = (d_x_BTE * x_BTE.detach()).sum(dim=2).abs().numpy()
    return found


def mean_influence(parts: Sequence[Floats]) -> Floats:
    """Returns the mean over the networks of an ensemble, each scaled so that the largest of a target is 1."""
    scaled = [part / np.maximum(part.max(axis=1, keepdims=True), np.finfo(np.float32).tiny) for part in parts]
    return np.asarray(np.mean(scaled, axis=0))
