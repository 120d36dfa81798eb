"""torchrun with `charnet train`, for tests that disturb its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conftest import accept_signals
from faults.processes import PATIENCE

from charnet.storage import runs

STANDALONE = ["--standalone", "--nproc-per-node", "2"]
TINY = [
    *("--hidden-size", "8", "--batch-size", "4", "--window", "5", "--shards", "2", "--dropout", "0.2"),
    *("--threads", "1", "--set", "training.report_every=10", "--set", "training.eval_every=100"),
    *("--checkpoint-every", "0.1", "-q"),
]


@dataclass
class Torchrun:
    """torchrun at work. Its stderr, with that of all its processes, is in `err`."""

    process: subprocess.Popen[bytes]
    err: Path

    def ranks(self) -> dict[int, int]:
        """Its processes that are at work: their numbers in the system by their ranks."""
        found = {}
        with contextlib.suppress(OSError):
            for pid in map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()):
                with contextlib.suppress(OSError):
                    for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                        if entry.startswith(b"RANK="):
                            found[int(entry[5:])] = pid
        return found

    def wait(self, seconds: float = 2 * PATIENCE) -> int:
        try:
            return self.process.wait(seconds)
        finally:
            self.end()

    def end(self) -> None:
        """Ends what is left of it, and of its processes."""
        for pid in (self.process.pid, *self.ranks().values()):  # each is in a session of its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.process.wait()

    def lines(self) -> list[str]:
        """What charnet has said."""
        return [line for line in self.err.read_text().splitlines() if line.startswith("charnet: ")]


def start(
    arguments: Sequence[str], folder: Path, *, torchrun: Sequence[str] = STANDALONE, before: Sequence[str] = (),
    name: str = "stderr", environment: dict[str, str] | None = None,
) -> Torchrun:  # fmt: skip
    """Starts it in a folder, in a group of processes of its own.

    Args:
        torchrun: its own arguments.
        before: a command that starts it, such as one that enters a network namespace.
    """
    err = folder / name
    with err.open("wb") as stream:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "torch.distributed.run", *torchrun, "-m", "charnet", *arguments],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
            preexec_fn=accept_signals, env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        )  # fmt: skip
    return Torchrun(process, err)


def steps_reported(run: Path) -> int:
    """The last step in the metrics of a run that has a checkpoint, or -1."""
    if not any((run / name).exists() for name in runs.RESUME_ORDER):
        return -1
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(json.loads((run / runs.METRICS).read_bytes().splitlines()[-1])["step"])
    return -1
