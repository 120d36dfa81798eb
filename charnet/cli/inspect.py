"""`charnet inspect`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console, figures
from charnet.cli.options import plain


def inspect(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="A run or a checkpoint; none = the newest run under checkpoints/.")
    ] = None,
    json: Annotated[bool, plain("--json", help="everything as JSON", group="What is shown")] = False,
) -> None:
    """Show what is in a checkpoint: model, alphabet, text, settings, history."""
    from charnet import runs
    from charnet.describe import describe

    description = describe(runs.find(checkpoint))
    if json:
        console.write_json(description.as_dict())
    else:
        figures.show_description(description)
