"""`charnet bench`"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from charnet.cli import console, launch, tables
from charnet.cli.help import GroupedCommand, HelpGroup
from charnet.cli.options import option
from charnet.config import Config
from charnet.training import group, torch_group

if TYPE_CHECKING:
    from charnet.bench import Result

OUTPUT = "Output"
Json = Annotated[bool, option("--json", help="print one JSON object per result", group=OUTPUT)]

bench = typer.Typer(
    help="Measure how fast this machine trains and writes.", cls=HelpGroup, no_args_is_help=True, rich_markup_mode=None
)


@bench.callback()
def _root() -> None:
    """Measure how fast this machine trains and writes."""


@bench.command(cls=GroupedCommand)
def sample(json: Json = False) -> None:
    """Measure how fast each engine writes text, compared with nn.LSTM called per character and the memory speed."""
    from charnet.bench import sample_benchmark

    _show(sample_benchmark(), json=json)


@bench.command(cls=GroupedCommand)
def controls(json: Json = False) -> None:
    """Measure what patterns, filters, penalties and the guard against copying cost, for one text and for many."""
    from charnet.bench import controls_benchmark

    _show(controls_benchmark(), json=json)


@bench.command(cls=GroupedCommand)
def train(json: Json = False) -> None:
    """Measure how fast each cell trains, compared with the peak of matrix products in fp32 and bf16.

    Started by torchrun, it measures all processes together, compared with as many times one of them alone.
    """
    from charnet.bench import scaling_benchmark, train_benchmark

    if group.size() == 1:
        _show(train_benchmark(), json=json)
        return
    with launch.told_once(), contextlib.closing(torch_group.current(Config().training.timeout)) as processes:
        results = scaling_benchmark(processes)
        if processes.is_first:
            _show(results, json=json)
        else:  # only the first process shows
            for _ in results:
                pass


def _show(results: Iterator[Result], *, json: bool) -> None:
    """Shows results as they are measured."""
    if not json:
        tables.show_results(results)
        return
    for result in results:
        console.write_json(vars(result))
