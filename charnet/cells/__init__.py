"""The table of cells. A new cell is a file here and a line in `CELLS` (and a step in the NumPy engine)."""

from __future__ import annotations

from charnet.cells.base import Cell, State
from charnet.cells.cifg import CIFG
from charnet.cells.gru import GRU
from charnet.cells.lstm import LSTM
from charnet.cells.rnn import RNN

CELLS: dict[str, type[Cell]] = {"rnn": RNN, "lstm": LSTM, "cifg": CIFG, "gru": GRU}

__all__ = ["CELLS", "Cell", "State"]
