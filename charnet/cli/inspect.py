"""`charnet inspect`"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console, tables
from charnet.cli.newest import newest
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
    everything: Annotated[
        bool, option("--all", help="also alphabet, checksums, settings, history, versions", group="Output")
    ] = False,
    json: Annotated[bool, option("--json", help="print everything as JSON", group="Output")] = False,
) -> int:
    """Show what a checkpoint is: model, text, loss, how good that is, and a line that it writes."""
    from charnet.storage import runs

    path = runs.find(checkpoint)
    if verify:
        return _verify(path if checkpoint and os.path.isfile(checkpoint) else path.parent, json=json)
    _describe(path, is_newest=checkpoint is None, everything=everything, json=json)
    return 0


def _describe(path: Path, *, is_newest: bool, everything: bool, json: bool) -> None:
    from charnet.evaluation import verdict
    from charnet.storage import result
    from charnet.storage.describe import describe

    description = describe(path)
    found = result.of(path, description.progress)
    judged, written = verdict.of_run(found), found.sample if found else ""
    if json:
        said = judged.as_dict() if judged else None
        console.write_json(description.as_dict() | {"verdict": said, "sample": written or None})
    elif everything:
        tables.show_description(description, judged.sentence if judged else "")
    else:
        about = f"{f' ({newest()})' if is_newest else ''}; --all shows everything"
        tables.show_summary(description, judged.sentence if judged else "", written, about)


def _verify(path: Path, *, json: bool) -> int:
    from charnet.storage import verify

    checks = verify.verify(path)
    if json:
        console.write_json([vars(check) for check in checks])
    else:
        tables.show_checks(checks)
    return CheckpointError.exit_code if any(check.passed is False for check in checks) else 0
