"""The processes that train one model together: `torch.distributed`, as torchrun starts it.

All of them run the same program on the same numbers, and decide alike: whatever depends on one of them - its clock, a
signal, the disk - is told to the others. A group of one process needs no torch and costs nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet import signals
from charnet.errors import CharnetError, ConfigError, DivergedError, GroupError, PeerError
from charnet.training import meeting

if TYPE_CHECKING:
    from torch import Tensor

    from charnet.storage.checkpoint import Checkpoint

SECONDS_OF_THE_FIRST = 3.0
PATIENT = datetime.timedelta(days=7)  # for the first process to read a text


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


class _Processes(Group):
    """Several processes.

    Args:
        timeout: seconds without an answer after which a process counts as hung.
    """

    def __init__(self, timeout: float) -> None:
        import torch
        from torch import distributed
        from torch.distributed.distributed_c10d import PrefixStore

        self._began, self.agreed = time.monotonic(), 0.0
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
            backend = "cpu:gloo,cuda:nccl"
        deadline = datetime.timedelta(seconds=timeout)
        with self._lost():
            store = meeting.store(self.rank, timeout)
            name = meeting.meet(store, self.rank, self.size, timeout)
            with signals.ending_at_once():  # torch would not hear one while it connects, and there is nothing to save
                mine = PrefixStore(name, store)
                distributed.init_process_group(
                    backend, store=mine, rank=self.rank, world_size=self.size, timeout=deadline
                )
                self._patient = distributed.new_group(backend="gloo", timeout=PATIENT)

    def clock(self) -> float:
        return time.monotonic() - self._began  # small: it is sent as a single-precision number

    def agreed_clock(self) -> float:
        return self.agreed

    @contextlib.contextmanager
    def _lost(self) -> Iterator[None]:
        """Says in one line that another process has ended or hangs."""
        try:
            yield
        except (RuntimeError, ValueError) as error:  # torch's own errors of a group derive from RuntimeError
            reason = str(error).strip().splitlines()[0][-160:]
            raise GroupError(
                f"another of the {self.size} processes has ended, hangs or cannot be reached ({reason}); "
                "resume the run from its last save"
            ) from None

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        if not self.is_first:
            self.share(dict)
            yield
            return
        with self._telling():
            yield
        self._broadcast(json.dumps([None]).encode())

    def share(self, compute: Callable[[], Any]) -> Any:
        if self.is_first:
            with self._telling():
                value = compute()
            self._broadcast(json.dumps([value]).encode())
            return value
        found = json.loads(self._broadcast(b""))
        if not found:
            raise PeerError
        return found[0]

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tells the others if something fails."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(GroupError):
                self._broadcast(b"[]")
            raise

    def _broadcast(self, content: bytes) -> bytes:
        import torch
        from torch import distributed

        with self._lost():
            size = torch.tensor([len(content)])
            distributed.broadcast(size, 0, group=self._patient)
            data = torch.frombuffer(bytearray(content) or bytearray(1), dtype=torch.uint8)[: len(content)]
            data = data if self.is_first else torch.empty(int(size), dtype=torch.uint8)
            if int(size):
                distributed.broadcast(data, 0, group=self._patient)
            return data.numpy().tobytes()

    def share_file(self, path: Path | None) -> Checkpoint:
        from charnet.storage.checkpoint import Checkpoint

        if self.is_first:
            assert path is not None
            with self._telling():
                found, content = Checkpoint.load(path), path.read_bytes()
            self._broadcast(content)
            return found
        with tempfile.TemporaryDirectory(prefix="charnet-") as folder:
            copy = Path(folder) / "shared.safetensors"
            copy.write_bytes(self._broadcast(b""))
            if not copy.stat().st_size:
                raise PeerError
            return Checkpoint.load(copy)

    def load_resumable(self, path: Path, *, strict: bool = False) -> tuple[Checkpoint, str]:
        from charnet.storage import runs

        def find() -> list[str]:
            found, damage = runs.load_resumable(path, strict=strict)
            return [str(found.path), damage]

        name, damage = self.share(find)
        return self.share_file(Path(name)), damage

    def check_same(self, facts: Mapping[str, str]) -> None:
        first, *others = map(json.loads, self._all(json.dumps(facts).encode()))
        for rank, theirs in enumerate(others, 1):
            for name in sorted({*first, *theirs}):
                if theirs.get(name) != first.get(name):
                    found = f"{theirs.get(name, 'none')} instead of {first.get(name, 'none')}"
                    raise ConfigError(
                        f"process {rank} of {self.size} has another {name} than process 0: {found}; start all with the "
                        "same command, text and version"
                    )

    def _all(self, content: bytes) -> list[bytes]:
        """Returns the contents of all processes."""
        import torch

        longest = int(self.largest(len(content)))
        padded = torch.frombuffer(bytearray(content.ljust(longest)), dtype=torch.uint8)
        return [row.numpy().tobytes() for row in self.join(padded[None])]

    def sum(self, numbers_N: Tensor) -> Tensor:
        import torch
        from torch import distributed
        from torch.nn import functional

        count = len(numbers_N)
        padded_N = functional.pad(numbers_N, (0, -count % self.size))
        received = torch.empty_like(padded_N)
        with self._lost():
            distributed.all_to_all_single(received, padded_N)  # each process adds a part of the numbers of all
            part = add(list(received.view(self.size, -1)))
            distributed.all_gather(list(padded_N.view(self.size, -1)), part)
        return padded_N[:count]

    def join(self, rows: Tensor) -> Tensor:
        import torch
        from torch import distributed

        found = [torch.empty_like(rows) for _ in range(self.size)]
        with self._lost():
            distributed.all_gather(found, rows.contiguous())
        return torch.cat(found)

    def largest(self, number: float) -> float:
        import torch

        return float(self.join(torch.tensor([number], dtype=torch.float64)).max())

    def close(self) -> None:
        from torch import distributed

        _JOINED.clear()
        with contextlib.suppress(RuntimeError):
            distributed.destroy_process_group()


def add(terms: Sequence[Tensor]) -> Tensor:
    """Adds tensors pairwise, and the sums pairwise: halves that are added elsewhere give the same sum to the bit."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return add(terms[:half]) + add(terms[half:])


_JOINED: list[Group] = []  # the group of this process, once it has joined it


def current(timeout: float = 600.0) -> Group:
    """Returns the group that torchrun has put this process into; without torchrun, one process alone.

    Args:
        timeout: seconds without an answer after which a process counts as hung; of the first call.
    """
    if size() == 1:
        return Group()
    if not _JOINED:
        _JOINED.append(_Processes(timeout))
    return _JOINED[0]


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


def local_rank() -> int:
    """Returns the number of this process among those of this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """Lets only one process say what all know, and every process its number with what it alone knows."""
    try:
        yield
    except GroupError as error:
        if rank() and isinstance(error, PeerError):
            time.sleep(SECONDS_OF_THE_FIRST)  # torchrun takes the exit code of the process that ends first
        elif size() > 1:
            signals.ignore()  # torchrun ends all others when it has lost one
            if not _tells_first():
                raise PeerError from None
        raise
    except CharnetError as error:
        if not rank():
            raise
        if isinstance(error, DivergedError) or not _JOINED:  # the first one knows it too, and says so
            time.sleep(SECONDS_OF_THE_FIRST)
        if isinstance(error, DivergedError):
            raise PeerError from None
        raise type(error)(f"process {rank()} of {size()}: {error}") from None
    finally:
        if _JOINED:
            _JOINED[0].close()  # a process that ends within its group is aborted


def _tells_first() -> bool:
    """Whether no other process of this machine has told of a loss yet: the first one may be the one that is lost."""
    if not (file := os.environ.get("TORCHELASTIC_ERROR_FILE")):  # torchrun has a new folder for each start
        return local_rank() == 0
    try:
        (Path(file).parent.parent / "charnet-has-told").touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return local_rank() == 0
    return True
