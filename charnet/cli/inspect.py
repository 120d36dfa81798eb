"""`charnet inspect`"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console, tables
from charnet.cli.options import option
from charnet.errors import CheckpointError


def inspect(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(readable=False, help="A run or a checkpoint [default: the newest run in checkpoints/]."),
    ] = None,
    verify: Annotated[
        bool, option("--verify", help="check every file of the run: checksums, settings, metrics, text", group="Output")
    ] = False,
    json: Annotated[bool, option("--json", help="print everything as JSON", group="Output")] = False,
) -> int:
    """Show the contents of a checkpoint: model, alphabet, text, settings, history."""
    from charnet.storage import runs
    from charnet.storage.describe import describe

    path = runs.find(checkpoint)
    if verify:
        return _verify(path if checkpoint and os.path.isfile(checkpoint) else path.parent, json=json)
    description = describe(path)
    if json:
        console.write_json(description.as_dict())
    else:
        tables.show_description(description)
    return 0


def _verify(path: Path, *, json: bool) -> int:
    from charnet.storage import verify

    checks = verify.verify(path)
    if json:
        console.write_json([vars(check) for check in checks])
    else:
        tables.show_checks(checks)
    return CheckpointError.exit_code if any(check.passed is False for check in checks) else 0
