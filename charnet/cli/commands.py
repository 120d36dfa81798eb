"""Makes the commands. The module of each is imported when it is called: `charnet --help` needs none, `train` one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import typer

from charnet.cli.command_list import GROUPS, SUMMARIES
from charnet.cli.help import GroupedCommand, HelpGroup


class Commands(MutableMapping[str, Any]):
    """The commands by their names; each is made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in SUMMARIES:
                raise KeyError(name)
            self._made[name] = _make(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


@functools.cache
def _make(name: str) -> Any:
    """Makes a command, or a group of commands. Some have a hundred options: a process makes each once."""
    found, parent = LOADERS[name](), typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
        return typer.main.get_command(parent).commands[name]  # type: ignore[attr-defined]
    parent.command(name, cls=GroupedCommand)(found)
    return typer.main.get_command(parent)


class RootGroup(HelpGroup):
    """The command `charnet` itself."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.commands = Commands()

    def summaries(self) -> dict[str, dict[str, str]]:
        return GROUPS


def _train() -> Any:
    from charnet.cli.train import train

    return train


def _sample() -> Any:
    from charnet.cli.sample import sample

    return sample


def _replay() -> Any:
    from charnet.cli.replay import replay

    return replay


def _sweep() -> Any:
    from charnet.cli.sweep import sweep

    return sweep


def _runs() -> Any:
    from charnet.cli.runs import runs

    return runs


def _inspect() -> Any:
    from charnet.cli.inspect import inspect

    return inspect


def _eval() -> Any:
    from charnet.cli.eval import eval_

    return eval_


def _insight() -> Any:
    from charnet.cli.insight import insight

    return insight


def _lesson() -> Any:
    from charnet.cli.lesson import lesson

    return lesson


def _corpus() -> Any:
    from charnet.cli.corpus import corpus

    return corpus


def _compress() -> Any:
    from charnet.cli.compress import compress

    return compress


def _decompress() -> Any:
    from charnet.cli.compress import decompress

    return decompress


def _cache() -> Any:
    from charnet.cli.cache import cache

    return cache


def _serve() -> Any:
    from charnet.cli.serve import serve

    return serve


def _export() -> Any:
    from charnet.cli.export import export

    return export


def _import() -> Any:
    from charnet.cli.importing import import_

    return import_


def _quantize() -> Any:
    from charnet.cli.quantize import quantize

    return quantize


def _guide() -> Any:
    from charnet.cli.guide import guide

    return guide


def _completion() -> Any:
    from charnet.cli.completion import completion

    return completion


def _doctor() -> Any:
    from charnet.cli.doctor import doctor

    return doctor


def _bench() -> Any:
    from charnet.cli.bench import bench

    return bench


LOADERS: dict[str, Callable[[], Any]] = {
    "train": _train,
    "sample": _sample,
    "replay": _replay,
    "sweep": _sweep,
    "runs": _runs,
    "inspect": _inspect,
    "eval": _eval,
    "insight": _insight,
    "lesson": _lesson,
    "corpus": _corpus,
    "compress": _compress,
    "decompress": _decompress,
    "cache": _cache,
    "serve": _serve,
    "export": _export,
    "import": _import,
    "quantize": _quantize,
    "guide": _guide,
    "completion": _completion,
    "doctor": _doctor,
    "bench": _bench,
}
