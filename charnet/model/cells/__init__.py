"""The table of cells. To add a cell, add a file here, a line in `CELLS` and a step in the NumPy engine."""

from __future__ import annotations

from charnet.model.cells.base import Cell, State
from charnet.model.cells.cifg import CIFG
from charnet.model.cells.gru import GRU
from charnet.model.cells.lstm import LSTM
from charnet.model.cells.rnn import RNN

CELLS: dict[str, type[Cell]] = {"rnn": RNN, "lstm": LSTM, "cifg": CIFG, "gru": GRU}

__all__ = ["CELLS", "Cell", "State"]
