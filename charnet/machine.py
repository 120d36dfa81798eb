"""What this machine has: cores and memory that this process may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from charnet.errors import ConfigError

UNKNOWN = 1 << 62
OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate memory", "bad_alloc", "memory object")


def processor_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Bytes of main memory that this process could use if it were alone: of the machine, or of its container."""
    limits = [UNKNOWN]
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    with contextlib.suppress(ImportError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    return min(limits)


def free_memory() -> int:
    """Bytes of main memory that are free now, counting what the system would give up; all of it where unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return min(memory(), int(available.split()[1]) * 1024)
    return memory()


@contextlib.contextmanager
def enough_memory(todo: str) -> Iterator[None]:
    """Says in one line that memory ran out, in whichever way the allocator put it.

    Args:
        todo: what to do about it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
            raise ConfigError(f"expected enough memory for this, found no more: {todo}") from None
        raise
