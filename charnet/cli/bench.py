"""`charnet bench`"""

from __future__ import annotations

from typing import Annotated

import typer

from charnet.cli import console, tables
from charnet.cli.help import GroupedCommand
from charnet.cli.options import option

bench = typer.Typer(help="Measure this machine.", no_args_is_help=True, rich_markup_mode=None)


@bench.callback()
def _root() -> None:
    """Measure this machine."""


@bench.command(cls=GroupedCommand)
def sample(
    json: Annotated[bool, option("--json", help="one JSON object a figure", group="What is shown")] = False,
) -> None:
    """How fast one text is written, beside nn.LSTM called per character and the speed of memory."""
    from charnet.bench import sample_benchmark

    if json:
        for result in sample_benchmark():
            console.write_json(vars(result))
    else:
        tables.show_results(sample_benchmark())


@bench.command(cls=GroupedCommand)
def train(
    json: Annotated[bool, option("--json", help="one JSON object a figure", group="What is shown")] = False,
) -> None:
    """How fast each cell trains, beside the peak of this machine's matrix products in fp32 and bf16."""
    from charnet.bench import train_benchmark

    if json:
        for result in train_benchmark():
            console.write_json(vars(result))
    else:
        tables.show_results(train_benchmark())
