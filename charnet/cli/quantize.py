"""`charnet quantize`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console
from charnet.cli.options import option


def quantize(
    checkpoint: Annotated[Path, typer.Argument(help="A run or a checkpoint.")],
    out: Annotated[
        Path | None, option("--out", "-o", help="the new file; else beside the old one", group="What is written")
    ] = None,
) -> None:
    """Write a smaller checkpoint, of 8 bits a weight, that every command reads. It writes text faster; training cannot
    go on from it."""
    from charnet.errors import StorageError
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    path = runs.find(checkpoint)
    target = out or path.with_name(f"{path.stem}.int8.safetensors")
    if target.exists():
        raise StorageError(f"{target}: expected no such file yet, found one: give another name with --out")
    model = Checkpoint.load(path, weights_only=True)
    model.quantize().save(target)
    before, after = (file.stat().st_size for file in (path, target))
    console.note(f"{path.name}: {before:,} bytes, {model.precision}; {target.name}: {after:,} bytes, int8")
    console.write(f"{target}\n")
