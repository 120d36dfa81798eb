"""Stores the fingerprints of large files, so that they need not be read at each start.

A file counts as unchanged while its size, its inode and both its times are as they were; otherwise it is read again.
Small files are read each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import operator
import os
import time
from collections.abc import Sequence
from pathlib import Path

from charnet import durable, regular_file
from charnet.data.cache import FINGERPRINTS_SUFFIX, cache_folder
from charnet.data.footer import DIGEST
from charnet.data.readers import FileDigest, fingerprint
from charnet.data.sources import Source, reading
from charnet.errors import StorageError

READ_EACH_TIME = 1 << 26  # bytes of all files together: 0.06 s
BYTES_PER_FILE = 200  # of what is stored: four numbers and the SHA-256
SETTLED_SECONDS = 2.0  # a file that changed later than this could change again and still have the same time


def of_paths(sources: Sequence[Source]) -> str:
    """Returns the SHA-256 of where some files are."""
    paths = "\0".join(str(source.path.absolute()) for source in sources)
    return hashlib.sha256(paths.encode("utf-8", "surrogateescape")).hexdigest()


def load(sources: Sequence[Source]) -> list[FileDigest] | None:
    """Returns the digests of files; None if they are unknown and only encoding the files can tell."""
    if any(source.is_stream for source in sources):
        return None
    statuses = _statuses(sources)
    if sum(status[1] for status in statuses) <= READ_EACH_TIME:
        return [fingerprint(source) for source in sources]
    stored = _read(sources)
    if stored is None:
        return None
    digests = [
        FileDigest(status[1], sha256) if status == before else fingerprint(source)
        for source, status, (before, sha256) in zip(sources, statuses, stored, strict=True)
    ]
    if any(status != before for status, (before, _) in zip(statuses, stored, strict=True)):
        save(sources, digests)
    return digests


def save(sources: Sequence[Source], digests: Sequence[FileDigest]) -> None:
    """Stores the digests of large files for the next start; a file that may still change is read again then."""
    if any(source.is_stream for source in sources) or sum(digest.size for digest in digests) <= READ_EACH_TIME:
        return
    latest = (time.time() - SETTLED_SECONDS) * 1e9
    values = [
        [status if max(status[2:]) < latest and status[1] == digest.size else [], digest.sha256]
        for status, digest in zip(_statuses(sources), digests, strict=True)
    ]
    with contextlib.suppress(StorageError):
        durable.write(_path(sources), json.dumps(values).encode())


def _statuses(sources: Sequence[Source]) -> list[list[int]]:
    """Returns for each file its inode, its size, and the times when its content and its status changed, in ns."""
    statuses = []
    for source in sources:
        with reading(source.name):
            status = source.path.stat()
        statuses.append([status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return statuses


def _read(sources: Sequence[Source]) -> list[tuple[list[int], str]] | None:
    """Reads the stored status and SHA-256 of each file; returns None if they are missing, damaged or forged."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        values = json.loads(regular_file.read(_path(sources), BYTES_PER_FILE * (len(sources) + 1), follow=False))
        pairs = [([*map(operator.index, status)], sha256) for status, sha256 in values]
        if len(pairs) == len(sources) and all(DIGEST.fullmatch(sha256) for _, sha256 in pairs):
            return pairs
    return None


def _path(sources: Sequence[Source]) -> Path:
    names = "\0".join(str(source.path.absolute()) for source in sources)
    return cache_folder() / f"{hashlib.sha256(os.fsencode(names)).hexdigest()}{FINGERPRINTS_SUFFIX}"
