"""Divides an evaluation among processes: each computes some pieces of the text, and all know the sum.

Neither the pieces nor the sum depend on how many processes there are, if that number divides the number of shards.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from charnet.errors import GroupError, PeerError
from charnet.evaluation.evaluate import Stopped, Work, add_up
from charnet.training.group import Group

Doubles = npt.NDArray[np.float64]
GOES_ON, STOPS, FAILS = range(3)  # of a process, the worst last


class Division:
    """An evaluation by all processes of a group.

    Args:
        shards: of the training.

    Attributes:
        pieces: of a running text.
    """

    def __init__(self, group: Group, shards: int) -> None:
        self._group = group
        self.pieces = shards if shards % group.size == 0 else group.size

    def add_up(self, works: Iterable[Work]) -> float:
        """Returns the sum over all pieces, of which this process computes its part.

        Raises:
            Stopped: a process was asked to stop.
            PeerError: another process has failed.
        """
        rank, size = self._group.rank, self._group.size
        if size == 1:
            return add_up(works)
        with self.together():
            own = [work() for number, work in enumerate(works) if number % size == rank]
        return math.fsum(self.join(np.array(own, np.float64)[:, None])[:, 0])

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Does something that may fail in one process alone, such as for lack of memory: then it fails in all.

        Raises:
            Stopped: a process was asked to stop, and none has failed.
            PeerError: another process has failed.
        """
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            if isinstance(error, GroupError) and not isinstance(error, PeerError):
                raise  # the others cannot be told
            failure = error
        own = GOES_ON if failure is None else STOPS if isinstance(failure, Stopped) else FAILS
        worst = self._group.largest(own)
        if failure and own == worst:
            raise failure
        if worst:
            raise Stopped if worst == STOPS else PeerError

    def join(self, rows_NK: Doubles) -> Doubles:
        """Returns the rows of all processes, whose numbers of rows may differ."""
        if self._group.size == 1:
            return rows_NK
        length = int(self._group.largest(len(rows_NK)))
        is_row_N1 = np.arange(length)[:, None] < len(rows_NK)
        padded_NK = np.zeros((length, rows_NK.shape[1]))
        padded_NK[: len(rows_NK)] = rows_NK
        joined = self._group.join(torch.from_numpy(np.hstack([is_row_N1, padded_NK]))).numpy()
        return joined[joined[:, 0] > 0, 1:]
