"""The newest run, which commands take if none is named: what is said of it, and whether an argument names a model."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from charnet import regular_file
from charnet.config import RUNS
from charnet.errors import plural


def newest() -> str:
    """Says that a run is the newest, and of how many."""
    from charnet.storage import runs

    count = len(runs.newest_first(RUNS))
    return f"the newest of {plural(count, 'run')}" if count > 1 else "the only run"


def names_model(given: Path) -> bool:
    """Returns whether an argument means a run or a checkpoint, and not a text: whatever is no readable text does, so
    that a mistyped name is reported as that of a run."""
    from charnet.storage import runs

    if str(given) == "-":
        return False
    if os.path.isdir(given):
        return os.path.isdir(RUNS / given) or any(runs.is_there(given / name) for name in runs.SAMPLE_ORDER)
    if given.suffix == ".safetensors" or not os.path.exists(given):
        return True
    with contextlib.suppress(OSError), regular_file.open_regular(given) as file:
        return file.read(9)[8:] == b"{"  # as a checkpoint begins: eight bytes of a length, and JSON
    return os.path.isdir(RUNS / given)
