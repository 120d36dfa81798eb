"""The beginning of a text, character by character: what was expected, what chosen units held, and which of the earlier
characters a prediction came from.

Shape legend: N characters of the excerpt, K characters back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from charnet.insight.expectation import Expected, read_aloud
from charnet.insight.gradients import influence, mean_influence
from charnet.insight.passages import Passages
from charnet.insight.trace import Place, Values, observe
from charnet.insight.units import Unit
from charnet.model.network import CharModel, ModelState
from charnet.model.ngram import WeightedNgram

BACK, CLICKABLE = 100, 150  # characters that a prediction is traced back; the first predictions that are
ROWS = 75  # predictions at once

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Excerpt:
    """The characters of passages one behind the other.

    Attributes:
        expected: what the model expected at each character.
        begins: where passages begin in the excerpt.
        signals: of chosen units, by the name of a state or a gate, the value after each character, (N).
        influence: of each of the first characters, how much the characters before it moved its prediction, the last one
            first: (K) of at most `BACK`, the largest 1.
    """

    expected: list[Expected]
    begins: list[int]
    signals: dict[Unit, dict[str, Floats]]
    influence: list[Floats]


def read_excerpt(
    networks: Sequence[CharModel], ngram: WeightedNgram | None, passages: Passages, start_id: int, units: Sequence[Unit]
) -> Excerpt:
    """Reads the passages that are shown, the first of which begins the text."""
    record = _SignalRecord(units, passages)
    observe(networks, passages, start_id, record.watch)
    lengths = passages.lengths.tolist()
    return Excerpt(
        expected=read_aloud(networks, ngram, passages, start_id),
        begins=np.cumsum([0, *lengths[:-1]]).tolist(),
        signals=record.signals(),
        influence=_influences(networks, passages, start_id),
    )


@dataclass
class _SignalRecord:
    """Keeps states and gates of chosen units while passages are read."""

    units: Sequence[Unit]
    passages: Passages
    _kept: dict[tuple[Unit, str], Floats] = field(default_factory=dict)

    def watch(self, place: Place, values: Values, span: slice) -> None:
        shape = self.passages.counted.shape
        signals = {**values.states, **dict(zip(values.cell.gates, values.gates, strict=True))}
        for unit in self.units:
            if unit.place == place:
                for name, each_STH in signals.items():
                    kept_ST = self._kept.setdefault((unit, name), np.zeros(shape, np.float32))
                    kept_ST[:, span] = each_STH[:, :, unit.number].numpy()

    def signals(self) -> dict[Unit, dict[str, Floats]]:
        found: dict[Unit, dict[str, Floats]] = {unit: {} for unit in self.units}
        for (unit, name), kept_ST in self._kept.items():
            found[unit][name] = kept_ST[self.passages.counted]
        return found


def _influences(networks: Sequence[CharModel], passages: Passages, start_id: int) -> list[Floats]:
    """Returns `Excerpt.influence`: of the first `CLICKABLE` characters that have some before them in their passage."""
    found: list[Floats] = []
    for begin, end in zip(passages.begins_S.tolist(), passages.ends_S.tolist(), strict=True):
        count = min(end - begin, CLICKABLE - len(found))
        if count <= 0:
            break
        ids = np.asarray(passages.ids[begin : begin + count]).astype(np.int64)
        inputs = torch.from_numpy(np.append(start_id, ids[:-1]))
        parts = [_of_passage(network, inputs, torch.from_numpy(ids)) for network in networks]
        mean_NK = mean_influence(parts)  # the first input precedes the text, so it is no character of the excerpt
        found += [mean_NK[i, : min(i, BACK)] for i in range(count)]
    return found


def _of_passage(network: CharModel, inputs: torch.Tensor, targets: torch.Tensor) -> npt.NDArray[np.floating]:
    """Returns the influence of the inputs on each target, the last input first, (N, K)."""
    states = _states_before(network, inputs)
    count, width = len(inputs), min(BACK, len(inputs))
    rows = []
    for begin in range(0, count, ROWS):
        last = np.arange(begin, min(begin + ROWS, count))  # of each target the input that predicts it
        first = np.maximum(0, last - width + 1)
        at_RK = np.minimum(first[:, None] + np.arange(width), count - 1)
        state = tuple(tuple(each[first] for each in layer) for layer in states)
        found_RK = influence(network, inputs[at_RK], state, torch.from_numpy(last - first), targets[last])
        back_RK = np.maximum((last - first)[:, None] - np.arange(width), 0)
        rows.append(np.take_along_axis(found_RK, back_RK, axis=1) * (np.arange(width) <= (last - first)[:, None]))
    return np.concatenate(rows)


@torch.no_grad()
def _states_before(network: CharModel, inputs: torch.Tensor) -> ModelState:
    """Returns the state before each input, of all layers, (N, H) each."""
    state: list[tuple[torch.Tensor, ...]] = list(network.initial_state(1))
    steps = []
    for x_E in network.embedding(inputs):
        steps.append(list(state))
        below = x_E[None]
        for layer, cell in enumerate(network.cells):
            below, state[layer] = cell.step(below, state[layer])
    layers = zip(*steps, strict=True)
    return tuple(tuple(map(torch.cat, zip(*layer, strict=True))) for layer in layers)
