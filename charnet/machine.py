"""What this machine has: cores and memory that this process may use."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from charnet.errors import ConfigError

UNKNOWN = 1 << 62
LOAD = Path("/proc/loadavg")
SPINS_ALONE, SPINS_BESIDE_OTHERS = 30_000, 3_000
LOOKS, SECONDS_BETWEEN_LOOKS = 3, 0.001  # some other program always runs for a moment
MALLOPT_TRIM_THRESHOLD, MALLOPT_TOP_PAD, MALLOPT_MMAP_MAX = -1, -2, -4  # of <malloc.h>
OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "allocate memory",
    "bad_alloc",
    "memory object",
    "create a primitive",  # oneDNN says no more than that
)


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


def omp_spin_count() -> int:
    """How often threads that wait for each other had better look again before they sleep: libgomp's `GOMP_SPINCOUNT`.

    To wake a thread takes longer than most pauses between two products, but a thread that spins keeps a core from other
    programs. Two cores of Zen 4, an LSTM of 128, steps of 32 x 32: alone 5.6 ms with 30,000 spins, 5.6 to 9 with 3,000.
    Two trainings at once, 200 steps of 16 x 64 of an LSTM of 256: 24 s with 3,000, 117 s with 30,000; 31 and 23 s where
    the first has 30,000 and the second 3,000. So whoever starts while others compute gives way. It is decided once:
    who comes later does not change it.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for _ in range(LOOKS):
            running = LOAD.read_text().split()[3].split("/")[0]  # threads that want a core now: this one, and others
            if int(running) - 1 + processor_cores() <= (os.cpu_count() or 1):
                return SPINS_ALONE
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return SPINS_BESIDE_OTHERS


def tune_malloc() -> None:
    """Asks the C library to keep memory that is freed, for the next time, instead of handing it back to the system.

    A window of training allocates and frees the same hundred megabytes as the one before. Where each of these comes
    fresh from the system, every page of it is cleared and mapped again: for an LSTM of 512 units, 64 x 64 characters,
    that was a quarter of the time, 100 instead of 75 milliseconds a window. The peak of memory is the same. Does
    nothing where the C library is not glibc.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError, TypeError):
        import ctypes  # takes longer to load than all else here

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MALLOPT_MMAP_MAX, 0)
        mallopt(MALLOPT_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(MALLOPT_TOP_PAD, 1 << 26)


@contextlib.contextmanager
def explain_out_of_memory(advice: str) -> Iterator[None]:
    """Says in one line that memory ran out, in whichever way the allocator put it.

    Args:
        todo: what to do about it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
            raise ConfigError(f"not enough memory: {advice}") from None
        raise
