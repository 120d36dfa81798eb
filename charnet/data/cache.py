"""Where encoded copies and fetched texts are kept."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from charnet import durable
from charnet.errors import StorageError

TEMPORARY = "charnet-"  # how names of temporary files begin
LEFT_BEHIND = tuple(f"{name}*{durable.PART}" for name in (TEMPORARY, ".*.seal.", ".*.known."))


def cache_folder() -> Path:
    """Where encoded copies are kept: `CHARNET_CACHE`, else `charnet` in the user's cache folder."""
    named = os.environ.get("CHARNET_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or os.path.expanduser("~/.cache")) / "charnet"  # noqa: PTH111 - never raises, as Path.home may


def writable_cache() -> Path:
    """The cache folder, or the system's folder for temporary files where that cannot be written."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        durable.make_folders(folder)
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        folder = Path(tempfile.gettempdir())
    clean(folder)
    return folder


def clean(folder: Path) -> None:
    """Removes temporary files of processes that are no more; those of other programs stay."""
    for pattern in LEFT_BEHIND:
        durable.clean(folder, pattern)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Says where the system refused to write.

    Raises:
        StorageError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        folder = cache_folder()
        with contextlib.suppress(OSError):
            folder = writable_cache()
        raise StorageError(
            f"{folder}: the text cannot be kept here: {error.strerror or error}; "
            "free some space or name another folder in CHARNET_CACHE"
        ) from None
