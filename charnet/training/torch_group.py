"""Several processes that train together: `torch.distributed` with gloo, and nccl between GPUs."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet import signals
from charnet.errors import ConfigError, GroupError, PeerError, StorageError, shortened
from charnet.training import meeting
from charnet.training.group import Group, add, size

if TYPE_CHECKING:
    from torch import Tensor

    from charnet.storage.checkpoint import Checkpoint
    from charnet.storage.tensorfile import Tensors

PATIENT = datetime.timedelta(days=7)  # for the first process to read a text
FAILED = b"[]"  # in place of what the first process was to compute


class _Processes(Group):
    """Several processes.

    Args:
        timeout: seconds without an answer after which a process counts as hung.
    """

    def __init__(self, timeout: float) -> None:
        import torch
        from torch import distributed
        from torch.distributed.distributed_c10d import PrefixStore

        self._began, self.agreed, self._parent = time.monotonic(), 0.0, os.getppid()
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

    @property
    def is_abandoned(self) -> bool:
        return os.getppid() != self._parent

    @contextlib.contextmanager
    def _lost(self) -> Iterator[None]:
        """Says in one line that another process has ended or hangs."""
        import torch

        try:
            yield
        except torch.OutOfMemoryError:  # of this process's own GPU
            raise
        except (RuntimeError, ValueError) as error:  # torch's own errors of a group derive from RuntimeError
            reason = shortened(" ".join(str(error).split()), 160)
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
                self._broadcast(FAILED)
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

    def share_tensors(self, compute: Callable[[], Tensors]) -> Tensors:
        import numpy as np

        computed: list[Tensors] = []

        def names() -> list[list[Any]]:
            computed.append(compute())
            return [[name, tensor.dtype.str, tensor.shape] for name, tensor in computed[0].items()]

        found = self.share(names)
        if computed:
            self._broadcast(b"".join(np.ascontiguousarray(tensor).tobytes() for tensor in computed[0].values()))
            return computed[0]
        content, begin, tensors = self._broadcast(b""), 0, {}
        for name, dtype, shape in found:
            size = math.prod(shape)
            tensors[name] = np.frombuffer(content, dtype, size, begin).reshape(shape)
            begin += tensors[name].nbytes
        return tensors

    def share_file(self, path: Path | None) -> Checkpoint:
        from charnet.storage.checkpoint import Checkpoint

        if self.is_first:
            assert path is not None
            with self._telling():
                found, content = Checkpoint.load(path), path.read_bytes()
            self._broadcast(content)
            return found
        import tempfile

        if (content := self._broadcast(b"")) == FAILED:
            raise PeerError
        try:
            with tempfile.TemporaryDirectory(prefix="charnet-") as folder:
                copy = Path(folder) / "shared.safetensors"
                copy.write_bytes(content)
                return Checkpoint.load(copy)
        except OSError as error:
            raise StorageError(f"{tempfile.gettempdir()}: cannot be written: {error.strerror}; set TMPDIR") from None

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
        """Returns the contents of all processes, however long one of them takes until it comes here."""
        import torch
        from torch import distributed

        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with self._lost():
            distributed.all_gather(lengths, torch.tensor([len(content)]), group=self._patient)
        padded = torch.frombuffer(bytearray(content.ljust(int(max(lengths)))), dtype=torch.uint8)
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
            part = add(iter(received.view(self.size, -1)), self.size)
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
        atexit.register(leave)  # for programs that train by `charnet.train`
    return _JOINED[0]


def leave() -> None:
    """Leaves the group, if this process has joined one: a process that ends within it is aborted."""
    for joined in list(_JOINED):
        joined.close()
