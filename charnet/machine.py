"""The cores and the memory that this process may use, and what the C library and OpenMP do with them."""

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
OWN_THREADS = Path("/proc/self/task")
LOOKS, SECONDS_BETWEEN_LOOKS = 3, 0.001  # a single look often finds a program that runs only for a moment
MALLOPT_TRIM_THRESHOLD, MALLOPT_TOP_PAD, MALLOPT_MMAP_MAX = -1, -2, -4  # of <malloc.h>
OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "allocate memory",
    "bad_alloc",
    "memory object",
    "create a primitive",  # oneDNN gives no other reason
    "failed to map segment",  # of a library that is loaded
    "start new thread",  # there is no room for its stack
)


def processor_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Returns the bytes of main memory that this process could use alone: the machine's, or its container's limit."""
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
    """Returns the bytes of main memory that are available now, with caches that the system can drop.

    If that is unknown, returns `memory()`.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return min(memory(), int(available.split()[1]) * 1024)
    return memory()


def descriptors(wanted: int) -> int:
    """Lets this process open so many files and connections, if it may; returns how many it can open."""
    with contextlib.suppress(ImportError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return wanted
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
        return soft
    return wanted


def omp_spin_count() -> int:
    """Chooses how many times a waiting thread spins before it sleeps: libgomp's `GOMP_SPINCOUNT`.

    Waking a thread takes longer than most pauses between two matrix products, but a spinning thread takes a core from
    other programs. Two cores of Zen 4, an LSTM of 128, steps of 32 x 32: alone 5.6 ms with 30,000 spins, 5.6 to 9 with
    3,000. Two trainings at once, 200 steps of 16 x 64 of an LSTM of 256: 24 s with 3,000, 117 s with 30,000; 31 and
    23 s if the first has 30,000 and the second 3,000. So a process that starts while others compute spins less. The
    number is chosen once, at the start: it does not change if other programs start later.
    """
    for _ in range(LOOKS):
        if free_cores() == processor_cores():
            return SPINS_ALONE
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return SPINS_BESIDE_OTHERS


def free_cores() -> float | None:
    """Returns how many cores no other program computes on at this moment, of those that this process may use.

    None if the system does not say. It is a single look: the mean of several says more.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        running = int(LOAD.read_text().split()[3].split("/")[0])
        states = (path.read_text().rpartition(")")[2].split()[0] for path in OWN_THREADS.glob("*/stat"))
        others = max(0, running - max(1, sum(state == "R" for state in states)))
        return max(0.0, min(processor_cores(), (os.cpu_count() or 1) - others))
    return None


def threads_beside_others(most: int) -> int:
    """Returns how many of `most` threads have a core of their own while other programs compute as they do now.

    Threads that share a product of matrices wait for each other; if one of them has no core, all wait. The number is at
    least 1, and `most` if the system does not say what others do.
    """
    found = 0.0
    for look in range(LOOKS):
        if look:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if (free := free_cores()) is None:
            return most
        found += free
    return max(1, min(most, round(found / LOOKS)))


def tune_malloc() -> None:
    """Tells glibc to reuse freed memory instead of returning it to the system; does nothing with other C libraries.

    Each window of training allocates and frees the same hundred megabytes. If they come from the system each time, it
    clears and maps every page again: for an LSTM of 512 units and 64 x 64 characters that took a quarter of the time,
    100 instead of 75 milliseconds a window. The peak of memory is the same.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError, TypeError):
        import ctypes  # slower to import than everything else here

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MALLOPT_MMAP_MAX, 0)
        mallopt(MALLOPT_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(MALLOPT_TOP_PAD, 1 << 26)


@contextlib.contextmanager
def explain_out_of_memory(advice: str) -> Iterator[None]:
    """Turns an out-of-memory error of Python, its loader, torch or oneDNN into a message of one line.

    Args:
        advice: what to do about it.

    Raises:
        ConfigError: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError, ImportError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
            raise ConfigError(f"not enough memory: {advice}") from None
        raise
