"""What a text makes of the states and gates of every layer, as named arrays, and as a picture.

Shape legend: T symbols of the text, H units of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from charnet.data.vocab import Vocabulary
from charnet.errors import plural
from charnet.insight.svg import ALONE, STYLE, xml_text
from charnet.insight.trace import CHUNK, networks_of, scan, values_of
from charnet.model.network import CharModel
from charnet.storage.checkpoint import Checkpoint

Floats = npt.NDArray[np.float32]

MOST_UNITS, MOST_SYMBOLS = 24, 64  # of a picture
CELL, LEFT, TOP = 14, 44, 40  # pixels of a value, and the margins
LEVELS = 8  # of brightness, on each side of zero
NEGATIVE, POSITIVE = "#0072b2", "#d55e00"  # Okabe & Ito (2008)
SHOWN = {"\n": "\u23ce", "\t": "\u21e5", " ": "\u00b7"}


class States(dict[str, Floats]):
    """Arrays (T, H) by name: the value of each unit after each symbol of a text.

    `layers.0.h` is the hidden state of the lowest layer. The other states and the gates have the names that their cell
    gives them: an LSTM has `c` and the gates `i`, `f`, `g`, `o`. In an ensemble each name begins with its network, as
    in `members.1.layers.0.h`. A notebook shows the hidden state of the highest layer as a picture.

    Attributes:
        symbols: the characters of the text, of a model of bytes its bytes.
    """

    symbols: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.items())
        return f"States({shapes})"

    def _repr_svg_(self) -> str:
        return self.svg([name for name in self if name.endswith(".h")][-1])

    def svg(self, name: str, *, units: Sequence[int] = ()) -> str:
        """Draws an array: a row for each unit, a column for each symbol of the beginning of the text.

        Args:
            units: which units to draw; by default those that change most.

        Raises:
            KeyError: there is no array of this name.
        """
        values_TH = self[name][:MOST_SYMBOLS]
        if not units:
            units = sorted(np.argsort(-values_TH.std(axis=0), kind="stable")[:MOST_UNITS].tolist())
        width, height = LEFT + CELL * len(values_TH) + CELL, TOP + CELL * len(units) + CELL
        about = f"{name}: the value of {plural(len(units), 'unit')} after each character, blue below zero, orange above"
        return (
            f'<svg class="figure" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'width="{width}"><title>{xml_text(name)}</title><desc>{xml_text(about)}</desc><style>{STYLE}{ALONE}</style>'
            f'<text x="{LEFT}" y="16">{xml_text(about)}</text>{"".join(self._labels(units, len(values_TH)))}'
            f"{''.join(_squares(values_TH[:, list(units)]))}</svg>\n"
        )

    def _labels(self, units: Sequence[int], count: int) -> Iterator[str]:
        for column, symbol in enumerate(self.symbols[:count]):
            shown = xml_text(SHOWN.get(symbol, symbol))
            yield f'<text x="{LEFT + CELL * (column + 0.5)}" y="{TOP - 5}" text-anchor="middle">{shown}</text>'
        for row, unit in enumerate(units):
            yield f'<text x="{LEFT - 5}" y="{TOP + CELL * (row + 0.8)}" text-anchor="end">{unit}</text>'


@torch.no_grad()
def states_of(checkpoint: Checkpoint, ids: Sequence[int], vocab: Vocabulary) -> States:
    """Reads a text from its start, as a prompt is read, and keeps what is inside after each symbol.

    Args:
        ids: of the text.
    """
    begin = [vocab.start_id()] if vocab.has_documents else []
    networks, found = networks_of(checkpoint), States()
    for number, network in enumerate(networks):
        of_network = f"members.{number}." if len(networks) > 1 else ""
        for name, array in _of_network(network, [*begin, *ids], len(begin)).items():
            found[of_network + name] = array
    found.symbols = tuple(vocab.decode([i]) for i in ids)
    return found


def _of_network(network: CharModel, ids: Sequence[int], skipped: int) -> dict[str, Floats]:
    """Returns the arrays of a network, without those of the first symbols."""
    parts: dict[str, list[torch.Tensor]] = {}
    state = network.initial_state(1)
    for at in range(0, len(ids), CHUNK):
        after = []
        for layer, (cell, before, x_1TE, h_1TH, layer_state) in enumerate(
            scan(network, torch.tensor([ids[at : at + CHUNK]]), state)
        ):
            values = values_of(cell, before, x_1TE, h_1TH)
            named = {**values.states, **dict(zip(cell.gates, values.gates, strict=True))}
            for name, each_1TH in named.items():
                parts.setdefault(f"layers.{layer}.{name}", []).append(each_1TH[0])
            after.append(layer_state)
        state = tuple(after)
    return {name: torch.cat(each)[skipped:].float().numpy() for name, each in parts.items()}


def _squares(values_TK: Floats) -> Iterator[str]:
    """Yields the squares of a picture, those of one color as one path."""
    scale = float(np.abs(values_TK).max()) or 1.0
    levels_TK = np.rint(values_TK / (scale if math.isfinite(scale) else 1.0) * LEVELS)
    for level in range(-LEVELS, LEVELS + 1):
        places = np.argwhere(levels_TK == level)
        if level and len(places):
            color = NEGATIVE if level < 0 else POSITIVE
            path = "".join(f"M{LEFT + CELL * t} {TOP + CELL * k}h{CELL}v{CELL}h-{CELL}z" for t, k in places.tolist())
            yield f'<path fill="{color}" fill-opacity="{abs(level) / LEVELS:.3g}" d="{path}"/>'
