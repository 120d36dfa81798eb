"""Compiled functions on disk: code of the sources of now, or none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numba import njit

SOURCES = (  # all that cached functions call, and the tables that they hold
    "exact.py",
    "kernels_llvm.py",
    "kernels_layer.py",
    "kernels_exact.py",
    "kernels_ngram.py",
    "kernels_pattern.py",
    "kernels.py",
    "kernels_rows.py",
    "../model/ngram.py",
    "../storage/quantize.py",
)


def _source_digest(sources: Iterable[Path]) -> str:
    """Computes a short hash of source files.

    Raises:
        OSError: a source file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cached_njit(function: Callable[..., Any], sources: Iterable[Path] = ()) -> Any:
    """Compiles a function at its first call, and caches the result on disk where numba finds a folder for it.

    numba names a cache file after the function's `__qualname__`, and takes it for current as long as the date and size
    of the one file that defines the function stay the same. With a digest in that name, code that was compiled from
    other sources is never loaded, whichever of the files changed. Nor is an older index opened: numba would fail at one
    that names a class that is gone.
    """
    name = function.__qualname__
    try:
        function.__qualname__ = f"{name}_{_source_digest(sources or map(Path(__file__).parent.joinpath, SOURCES))}"
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except (OSError, RuntimeError):  # no source to hash, or no folder for the cache: each process compiles it
        function.__qualname__ = name
        return njit(nogil=True, error_model="numpy")(function)
