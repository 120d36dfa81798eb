"""Which run a command of torchrun has begun: if torchrun starts its processes again, they resume it.

It starts them again after one of them was lost (`--max-restarts`), and when a machine joins or leaves (`--nnodes 1:4`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from charnet.errors import StorageError
from charnet.storage import runs
from charnet.storage.runs import RunFolder

UNNAMED = "none"  # torchrun's own name for a job without --rdzv-id


def job() -> str:
    """Returns the name of torchrun's job, or "" if torchrun has not started this process."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"{UNNAMED} {os.getppid()}" if name == UNNAMED else name


def mark(folder: RunFolder) -> None:
    """Notes in the folder of a run which job it belongs to."""
    if job():
        folder.write(runs.JOB, json.dumps({"job": job()}).encode())


def find(out: Path) -> Path | None:
    """Returns the run that this job has begun and not ended. One that was lost before its first save is removed."""
    if not job():
        return None
    for path in sorted(out.glob(f"*/{runs.JOB}"), key=os.path.getmtime, reverse=True):
        try:
            if json.loads(path.read_bytes()) != {"job": job()}:
                continue
        except (OSError, ValueError):
            continue
        if any((path.parent / name).exists() for name in runs.RESUME_ORDER):
            return path.parent
        try:
            folder = RunFolder(path.parent)
        except StorageError:
            return None
        folder.discard(begun_by_another=True)
        folder.close()
    return None


def unmark(folder: RunFolder) -> None:
    """Notes that the run has ended."""
    folder.remove(runs.JOB)
