"""What the tests of files at their worst share: how long they may take, how often they run, and mutations."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LONG = os.environ.get("CHARNET_FAULTS") == "long"


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends what hangs: many times what it takes."""

    def stop(*_: object) -> None:
        raise AssertionError(f"hangs: more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """The path of a file that no disk has to write, to be another one a hundred thousand times."""
    if not hasattr(os, "memfd_create"):
        yield folder / "file"
        return
    handle = os.memfd_create("file")
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


# ------------------------------------------------------------------------------------------------ mutations

NUMBERS = ["0", "-0", "1", "-1", "255", "256", "1.5", "1e400", "NaN", "Infinity", *map(str, (2**32, 2**63 - 1, 2**64))]
WORDS = ["null", "true", "{}", "[]", '""', '"\\ud800"', "\\u0000", "\x1b", "\x00", "\n", "\t", "é", "😀", "\ufeff"]
MARKS = list("{}[]\",:.-+_#&*!|>'%@`?~ \\/")


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Bytes with one to four changes of the kinds that upset parsers."""
    new = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(new) + 1)
        end = min(len(new), at + int(chance.expovariate(0.2)) + 1)
        insert: Callable[[], bytes] = chance.choice(
            [
                lambda: bytes([chance.randrange(256)]),
                lambda: chance.choice(NUMBERS).encode(),
                lambda: chance.choice(WORDS).encode(),
                lambda: chance.choice(MARKS).encode() * chance.choice((1, 1, 1, 2, 40)),
                lambda: b"",
                lambda new=new: bytes(new[chance.randrange(len(new) + 1) :][: chance.randint(1, 30)]),
            ]
        )
        new[at : chance.choice((at, end))] = insert()
    return bytes(new)
