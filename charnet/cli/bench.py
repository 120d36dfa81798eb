"""`charnet bench`"""

from __future__ import annotations

from typing import Annotated

import typer

from charnet.cli import console, tables
from charnet.cli.help import GroupedCommand
from charnet.cli.options import option

OUTPUT = "Output"

bench = typer.Typer(
    help="Measure how fast this machine trains and writes.", no_args_is_help=True, rich_markup_mode=None
)


@bench.callback()
def _root() -> None:
    """Measure how fast this machine trains and writes."""


@bench.command(cls=GroupedCommand)
def sample(
    json: Annotated[bool, option("--json", help="print one JSON object per result", group=OUTPUT)] = False,
) -> None:
    """Measure how fast each engine writes text, compared with nn.LSTM called per character and the memory speed."""
    from charnet.bench import sample_benchmark

    if json:
        for result in sample_benchmark():
            console.write_json(vars(result))
    else:
        tables.show_results(sample_benchmark())


@bench.command(cls=GroupedCommand)
def train(
    json: Annotated[bool, option("--json", help="print one JSON object per result", group=OUTPUT)] = False,
) -> None:
    """Measure how fast each cell trains, compared with the peak of matrix products in fp32 and bf16."""
    from charnet.bench import train_benchmark

    if json:
        for result in train_benchmark():
            console.write_json(vars(result))
    else:
        tables.show_results(train_benchmark())
