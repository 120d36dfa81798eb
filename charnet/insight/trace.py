"""Runs the networks of a model over passages, and keeps what is inside at every character: states, gates, losses.

Shape legend: S passages, T characters in the longest, H units of a layer, V characters in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from charnet.insight.passages import Ints, Passages
from charnet.model.cells import Cell, State
from charnet.model.ensemble import from_weights
from charnet.model.network import CharModel, ModelState
from charnet.storage.checkpoint import Checkpoint

CHUNK = 256  # characters of each passage that are read at once
MOST_LOGITS = 1 << 24  # in memory at once


class Place(NamedTuple):
    """A layer of a network, both counted from 0."""

    network: int
    layer: int


class Values(NamedTuple):
    """What a chunk of characters made of a layer: its states by name, and the activations of its gates, (S, T, H)."""

    cell: Cell
    states: dict[str, Tensor]
    gates: tuple[Tensor, ...]


Watch = Callable[[Place, Values, slice], object]  # the slice of the T characters


@dataclass(frozen=True)
class Observation:
    """What was seen in passages: which places count (S, T), and the loss of each character there, in nats."""

    counted_ST: npt.NDArray[np.bool_]
    nats_ST: npt.NDArray[np.float64]


def networks_of(checkpoint: Checkpoint) -> list[CharModel]:
    """Returns the networks of a checkpoint, without its n-gram, in single precision."""
    model = from_weights(checkpoint.config.model, checkpoint.weights).eval()
    return list(model.requires_grad_(False).members)


def scan(network: CharModel, ids_BT: Tensor, state: ModelState) -> Iterator[tuple[Cell, State, Tensor, Tensor, State]]:
    """Yields of each layer, the lowest first: the cell, the state before, inputs, hidden states, the state after."""
    x_BTE = network.embedding(ids_BT)
    for cell, before in zip(network.cells, state, strict=True):
        h_BTH, after = cell.scan(x_BTE, before)
        yield cell, before, x_BTE, h_BTH, after
        x_BTE = h_BTH


@torch.no_grad()
def observe(
    networks: Sequence[CharModel], passages: Passages, start_id: int, watch: Watch | None = None
) -> Observation:
    """Reads passages; calls `watch` with the values of each layer of each network, chunk by chunk.

    The values at a character are those after it was read; its loss is that of its prediction before.
    """
    counted_ST = passages.counted
    longest = counted_ST.shape[1]
    at_ST = np.minimum(passages.begins_S[:, None] + np.arange(longest), passages.ends_S[:, None] - 1)
    ids_ST = torch.from_numpy(passages.ids[at_ST].astype(np.int64))
    log_p_ST = torch.full(ids_ST.shape, -math.inf)
    chunk = max(1, min(CHUNK, MOST_LOGITS // (len(ids_ST) * networks[0].alphabet_size)))
    for number, network in enumerate(networks):
        h_SH, state = warm_up(network, passages, start_id)
        for begin in range(0, longest, chunk):
            span = slice(begin, min(begin + chunk, longest))
            h_STH, after = torch.zeros(0), []
            for layer, (cell, before, x_STE, h_STH, layer_state) in enumerate(scan(network, ids_ST[:, span], state)):
                if watch is not None:
                    watch(Place(number, layer), values_of(cell, before, x_STE, h_STH), span)
                after.append(layer_state)
            predicts_STH = torch.cat([h_SH[:, None], h_STH[:, :-1]], dim=1)
            h_SH, state = h_STH[:, -1], tuple(after)
            log_p_ST[:, span] = torch.logaddexp(log_p_ST[:, span], log_p(network, predicts_STH, ids_ST[:, span]))
    return Observation(counted_ST, math.log(len(networks)) - log_p_ST.double().numpy())


def log_p(network: CharModel, h_BTH: Tensor, y_BT: Tensor) -> Tensor:
    """Returns the logarithm of the probability of each target, (B, T)."""
    logits_BTV = F.linear(h_BTH, network.head.weight, network.head.bias)
    return -F.cross_entropy(logits_BTV.flatten(0, 1), y_BT.flatten(), reduction="none").view(y_BT.shape)


@torch.no_grad()
def warm_up(network: CharModel, passages: Passages, start_id: int) -> tuple[Tensor, ModelState]:
    """Returns the hidden state (S, H) and the state before the first character of each passage."""
    state = network.initial_state(len(passages.begins_S))
    h_SH = state[-1][0].clone()
    for warm in np.unique(passages.warm_S).tolist():
        rows = np.flatnonzero(passages.warm_S == warm)
        h_RTH, after = network.read(before(passages, rows, warm, start_id), network.initial_state(len(rows)))
        h_SH[rows] = h_RTH[:, -1]
        for whole, of_rows in zip(state, after, strict=True):
            for each, row in zip(whole, of_rows, strict=True):
                each[rows] = row
    return h_SH, state


def before(passages: Passages, rows: Ints, characters: int, start_id: int) -> Tensor:
    """Returns the ids of so many characters before some passages; `start_id` where there is none."""
    count = max(1, characters)
    at_RT = passages.begins_S[rows][:, None] + np.arange(-count, 0)
    ids_RT = passages.ids[np.maximum(at_RT, 0)].astype(np.int64)
    ids_RT[(at_RT < 0) | (characters == 0)] = start_id
    return torch.from_numpy(ids_RT)


def values_of(cell: Cell, before: State, x_STE: Tensor, h_STH: Tensor) -> Values:
    gates = cell.gate_values(x_STE, torch.cat([before[0][:, None], h_STH[:, :-1]], dim=1))
    states: dict[str, Any] = {"h": h_STH}
    state, rest = before, [list[Tensor]() for _ in cell.state_names[1:]]
    for t in range(h_STH.shape[1] if rest else 0):  # the scan returns the hidden states alone
        state = cell.update(tuple(gate[:, t] for gate in gates), state)
        for kept, each in zip(rest, state[1:], strict=True):
            kept.append(each)
    states |= {name: torch.stack(kept, dim=1) for name, kept in zip(cell.state_names[1:], rest, strict=True)}
    return Values(cell, states, gates)
