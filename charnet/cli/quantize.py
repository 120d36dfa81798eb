"""`charnet quantize`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console
from charnet.cli.newest import newest
from charnet.cli.options import option


def quantize(
    checkpoint: Annotated[
        Path | None, typer.Argument(readable=False, help="A run or a checkpoint; none = the newest run.")
    ] = None,
    out: Annotated[
        Path | None,
        option("--out", "-o", help="path of the new file [default: in the folder of the old one]", group="Output"),
    ] = None,
    force: Annotated[bool, option("--force", help="replace an existing file", group="Output")] = False,
) -> None:
    """Write a smaller copy of a checkpoint, with 8-bit weights. It writes text faster, but training cannot resume from
    it."""
    from charnet.cli.output import check_free
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    path = runs.find(checkpoint)
    target = out or path.with_name(f"{path.stem}.int8.safetensors")
    check_free(target, replace=force, advice=" with --out, or replace it with --force", reads=[path])
    model = Checkpoint.load(path, weights_only=True)
    after = model.quantize().save(target)
    name = path.name if checkpoint else f"{path} ({newest()})"
    console.note(f"{name}: {model.size_bytes:,} bytes, {model.precision}; {target.name}: {after:,} bytes, int8")
    console.write_line(str(target))
