"""What large files hold, remembered by how the file system describes them, so that they need not be read at each start.

A file is taken for what it was while its size, both its times and its inode are as they were; otherwise it is read
again. Small files always are.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from charnet import durable
from charnet.data.cache import cache_folder
from charnet.data.readers import Contents, fingerprint
from charnet.data.sources import Source, reading
from charnet.errors import StorageError

READ_EACH_TIME = 1 << 26  # bytes, all files together: 0.06 s
SETTLED = 2.0  # seconds: a file that changed so recently could change again without its time telling


def look_up(sources: Sequence[Source]) -> list[Contents] | None:
    """What the files hold, or None where one of them has to be read to know, and may be new altogether."""
    if any(source.is_stream for source in sources):
        return None
    states = _states(sources)
    if sum(state[1] for state in states) <= READ_EACH_TIME:
        return [fingerprint(source) for source in sources]
    known = _known(sources)
    if known is None:
        return None
    found = [
        Contents(state[1], sha256) if state == before else fingerprint(source)
        for source, state, (before, sha256) in zip(sources, states, known, strict=True)
    ]
    if any(state != before for state, (before, _) in zip(states, known, strict=True)):
        remember(sources, found)
    return found


def remember(sources: Sequence[Source], contents: Sequence[Contents]) -> None:
    """Keeps what files hold for the next start; a file that is still changing is not believed."""
    if any(source.is_stream for source in sources) or sum(each.size for each in contents) <= READ_EACH_TIME:
        return
    latest = (time.time() - SETTLED) * 1e9
    known = [
        [state if max(state[2:]) < latest and state[1] == each.size else [], each.sha256]
        for state, each in zip(_states(sources), contents, strict=True)
    ]
    with contextlib.suppress(StorageError):
        durable.write(_path(sources), json.dumps(known).encode())


def _states(sources: Sequence[Source]) -> list[list[int]]:
    """Inode, size and the times of the last change of content and of anything, in nanoseconds."""
    states = []
    for source in sources:
        with reading(source.shown):
            status = source.path.stat()
        states.append([status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return states


def _known(sources: Sequence[Source]) -> list[tuple[list[int], str]] | None:
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(_path(sources).read_bytes())
        return [(state, sha256) for state, sha256 in known] if len(known) == len(sources) else None
    return None


def _path(sources: Sequence[Source]) -> Path:
    names = "\0".join(str(source.path.absolute()) for source in sources)
    return cache_folder() / f"{hashlib.sha256(os.fsencode(names)).hexdigest()}.known"
