"""What a report of a bug needs to say about this machine and this installation."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from charnet import durable, machine
from charnet.data.cache import cache_folder
from charnet.errors import CharnetError
from charnet.storage import runs

PACKAGES = ("charnet", "torch", "numpy", "typer", "rich", "PyYAML")
VARIABLES = (
    *("CHARNET_CACHE", "XDG_CACHE_HOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("GOMP_SPINCOUNT", "NO_COLOR", "TERM"),
)


def examine() -> dict[str, str]:
    """Findings by what was looked at. Loads torch."""
    import torch

    from charnet.model.device import cpu_capabilities

    known = cpu_capabilities(torch.device("cpu"))
    has = [name for name in ("avx2", "avx512_bf16", "amx_bf16") if name in known]
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        **{name: _version(name) for name in PACKAGES},
        "processor": f"{machine.processor_cores()} cores, {', '.join(has) or 'no special arithmetic found'}",
        "bf16": "in hardware" if "avx512_bf16" in has else "not in hardware",
        "threads": str(torch.get_num_threads()),
        "memory": f"{machine.free_memory() / 1e9:.1f} GB free of {machine.memory() / 1e9:.1f}",
        "gpu": ", ".join(gpus) or ("Metal" if torch.backends.mps.is_available() else "none found"),
        "cache folder": _folder(cache_folder()),
        "runs folder": _folder(runs.DEFAULT.resolve()),
        "environment": ", ".join(sorted(_variables())) or "no variables that matter",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not found"


def _variables() -> list[str]:
    return [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]


def _folder(folder: Path) -> str:
    """Where it is, the space that is free there, and how long a file takes to be written durably."""
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = f"{shutil.disk_usage(there).free / 1e9:.1f} GB free"
    try:
        with tempfile.TemporaryDirectory(prefix="charnet-", dir=there) as name:
            began = time.perf_counter()
            durable.write(Path(name) / "probe", b"x" * 4096)
            took = f"fsync works, {1000 * (time.perf_counter() - began):.1f} ms for 4 kB"
    except (OSError, CharnetError) as error:
        took = f"cannot be written ({getattr(error, 'strerror', None) or error})"
    return f"{folder}{'' if there == folder else ' (not made yet)'}, {free}, {took}"
