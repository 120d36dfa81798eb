"""The processes that train one model together: `torch.distributed`, as torchrun starts it.

All of them run the same program on the same numbers, and decide alike: whatever depends on one of them - its clock, a
signal, the disk - is told to the others. A group of one process needs no torch and costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from charnet.storage.checkpoint import Checkpoint
    from charnet.storage.tensorfile import Tensors

UNNAMED = "none"  # torchrun's own name for a job without --rdzv-id


class Group:
    """Processes that train together; this class is one process alone.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
        agreed: what the clock of the first process showed in the last step.
    """

    rank, size, agreed = 0, 1, 0.0

    def clock(self) -> float:
        """Returns seconds: of this process."""
        return time.monotonic()

    def agreed_clock(self) -> float:
        """Returns seconds: of the first process, as all know it since the last step."""
        return self.clock()

    @property
    def is_abandoned(self) -> bool:
        """Whether torchrun has ended without a word to this process."""
        return False

    @property
    def is_first(self) -> bool:
        """Whether this process reads, measures, prints and writes for all."""
        return self.rank == 0

    def first(self) -> contextlib.AbstractContextManager[None]:
        """Lets the first process do something before all others. If it fails, they raise PeerError instead."""
        return contextlib.nullcontext()

    def share(self, compute: Callable[[], Any]) -> Any:
        """Returns what the first process computes, the same everywhere: what JSON can hold.

        Raises:
            PeerError: it failed.
        """
        return compute()

    def share_tensors(self, compute: Callable[[], Tensors]) -> Tensors:
        """Returns the tensors that the first process computes, by their names, the same everywhere."""
        return compute()

    def share_file(self, path: Path | None) -> Checkpoint:
        """Returns the checkpoint in a file of the first process, with all that training needs."""
        from charnet.storage.checkpoint import Checkpoint

        assert path is not None
        return Checkpoint.load(path)

    def load_resumable(self, path: Path, *, strict: bool = False) -> tuple[Checkpoint, str]:
        """See `runs.load_resumable`; only the first process reads."""
        from charnet.storage import runs

        return runs.load_resumable(path, strict=strict)

    def check_same(self, facts: Mapping[str, str]) -> None:
        """Raises ConfigError if a fact, by its name, is another one in another process."""

    def sum(self, numbers_N: Tensor) -> Tensor:
        """Returns the sums over all processes, added in an order that is the same for every number of processes that
        is a power of two."""
        return numbers_N

    def join(self, rows: Tensor) -> Tensor:
        """Returns the rows of all processes in their order."""
        return rows

    def largest(self, number: float) -> float:
        """Returns the largest of the numbers of all processes."""
        return number

    def close(self) -> None:
        """Ends the group."""


def add(terms: Iterator[Tensor], count: int) -> Tensor:
    """Adds tensors pairwise, and the sums pairwise: halves that are added elsewhere give the same sum to the bit.

    Args:
        terms: each is asked for when it is needed, so that few of them are in memory at once.
        count: how many are added.
    """
    if count == 1:
        return next(terms)
    half = count // 2
    first = add(terms, half)
    return first + add(terms, count - half)


def size() -> int:
    """Returns the number of processes, without connecting to them."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if "TORCHELASTIC_RUN_ID" in os.environ and count.isdigit() else 1


def rank() -> int:
    """Returns the number of this process among them."""
    return int(os.environ.get("RANK", "0")) if size() > 1 else 0


def local_size() -> int:
    """Returns how many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if size() > 1 else 1


def job() -> str:
    """Returns the name of torchrun's job, or "" if torchrun has not started this process."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"{UNNAMED} {os.getppid()}" if name == UNNAMED else name
