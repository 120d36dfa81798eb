"""What the rounding of single precision depends on: the kind of machine on which a text in fp32 was written."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from typing import Any

import numpy as np

LIBRARIES = {"compiled": "numba", "torch": "torch"}  # of an engine beside NumPy, whose code rounds too
CORE_NAMES = ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename")


def kind_of_machine(engine: str) -> dict[str, str]:
    """Returns what is to be equal on two machines where texts in fp32 are to be equal: names and versions.

    Args:
        engine: the name of an engine that was opened.
    """
    build: dict[str, Any] = np.show_config(mode="dicts") or {}  # type: ignore[assignment]
    blas = build.get("Build Dependencies", {}).get("blas", {})
    kind = {
        "processor": " ".join([platform.machine(), *build.get("SIMD Extensions", {}).get("found", [])]),
        "numpy": np.__version__,
        "blas": " ".join(filter(None, [str(blas.get("name", "")), str(blas.get("version", "")), _core_name()])),
        "engine": engine,
    }
    if engine in LIBRARIES:
        kind[LIBRARIES[engine]] = str(sys.modules[LIBRARIES[engine]].__version__)
    return kind


def _core_name() -> str:
    """Returns the name of the kernels that OpenBLAS has chosen, or "" with another library."""
    with contextlib.suppress(OSError, KeyError, AttributeError, TypeError):
        library = ctypes.CDLL(sys.modules["numpy._core._multiarray_umath"].__file__)
        for name in CORE_NAMES:
            if function := getattr(library, name, None):
                function.restype = ctypes.c_char_p
                return str(function().decode("ascii", "replace"))
    return ""
