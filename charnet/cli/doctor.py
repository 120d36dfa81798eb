"""`charnet doctor`: what a bug report needs about this machine and this installation."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated

from charnet import durable, machine
from charnet.cli import console, tables
from charnet.cli.options import option
from charnet.config import RUNS
from charnet.errors import CharnetError, shortened

PACKAGES = ("charnet", "torch", "numpy", "typer", "rich", "PyYAML")
VARIABLES = (
    *("CHARNET_CACHE", "XDG_CACHE_HOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("GOMP_SPINCOUNT", "NO_COLOR", "TERM"),
)


def doctor(json: Annotated[bool, option("--json", help="print the findings as JSON", group="Output")] = False) -> None:
    """Show what a bug report needs: versions, processor, memory, folders, and whether fsync works."""
    findings = examine()
    if json:
        console.write_json(findings)
    else:
        tables.show_rows(findings.items())


def examine() -> dict[str, str]:
    """Examines versions, processor, memory and folders. Loads torch.

    Returns:
        A sentence for each subject.
    """
    import torch

    from charnet.data.cache import cache_folder
    from charnet.engines.agreement import check
    from charnet.model.device import cpu_capabilities

    capabilities = cpu_capabilities(torch.device("cpu"))
    vector = [name for name in ("avx2", "avx512_bf16", "amx_bf16") if name in capabilities]
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        **{name: _version(name) for name in PACKAGES},
        "processor": f"{machine.processor_cores()} cores, {', '.join(vector) or 'no vector extensions found'}",
        "bf16": "in hardware" if "avx512_bf16" in vector else "not in hardware",
        "threads": str(torch.get_num_threads()),
        "memory": f"{machine.free_memory() / 1e9:.1f} GB free of {machine.memory() / 1e9:.1f}",
        "gpu": ", ".join(gpus) or ("Metal" if torch.backends.mps.is_available() else "none found"),
        "8-bit models": check(),
        "cache folder": _folder(cache_folder()),
        "runs folder": _folder(Path(os.path.realpath(RUNS))),
        "environment": ", ".join(sorted(_variables())) or "no relevant variables set",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not found"


def _variables() -> list[str]:
    return [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]


def _folder(folder: Path) -> str:
    """Describes a folder: its path, the free space, and how long it takes to write a file durably."""
    # Unlike Path.is_dir, this accepts any name, also one that is too long.
    existing = next(parent for parent in (folder, *folder.parents) if os.path.isdir(parent))
    free = f"{shutil.disk_usage(existing).free / 1e9:.1f} GB free"
    try:
        with tempfile.TemporaryDirectory(prefix="charnet-", dir=existing) as name:
            began = time.perf_counter()
            durable.write(Path(name) / "probe", b"x" * 4096)
            write = f"fsync works, {1000 * (time.perf_counter() - began):.1f} ms for 4 kB"
    except (OSError, CharnetError) as error:
        write = f"cannot be written ({getattr(error, 'strerror', None) or error})"
    return f"{shortened(str(folder))}{'' if existing == folder else _why_missing(folder)}, {free}, {write}"


def _why_missing(folder: Path) -> str:
    try:
        folder.stat()
    except FileNotFoundError:
        return " (does not exist yet)"
    except OSError as error:
        return f" (cannot be used: {error.strerror})"
    return " (is no folder)"
