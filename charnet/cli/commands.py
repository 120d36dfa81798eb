"""Every command: its group in `charnet --help`, what it does in a line, and where it is written.

A command's module is imported when that command is called: `charnet --help` needs none of them, `charnet train` one.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import typer

from charnet.cli.help import GroupedCommand, HelpGroup

GROUPS = {
    "Write": {
        "train": "train a model on a text",
        "sample": "write new text with a model",
        "replay": "write the texts of a receipt again",
        "sweep": "find good settings by short trainings",
    },
    "Look inside": {
        "runs": "list the runs, or compare some",
        "inspect": "show the model, the text and the settings of a run",
        "eval": "measure how well a model knows a text",
        "insight": "show what a model expects and what its units track",
        "lesson": "explain recurrent networks with runs on your text",
    },
    "Texts": {
        "corpus": "describe a text, or fetch a well-known one",
        "compress": "make a text smaller with a model",
        "decompress": "restore a compressed text",
        "cache": "list or remove the encoded copies of texts",
    },
    "Take along": {
        "serve": "serve models over HTTP, with a page to write in",
        "export": "write a model as a web page, as ONNX or as plain weights",
        "quantize": "make a copy of a model with 8-bit weights",
    },
    "Help and machine": {
        "guide": "read the guide: how to do what, and all settings",
        "completion": "let the Tab key complete commands, options and runs",
        "doctor": "show what a bug report needs",
        "bench": "measure how fast this machine trains and writes",
    },
}
SUMMARIES = {name: summary for group in GROUPS.values() for name, summary in group.items()}
PLACES = {"eval": "eval:eval_", "decompress": "compress:decompress"}  # where they are not as the command's name says


def place(name: str) -> tuple[str, str]:
    """Returns the module of a command, and its name in there.

    >>> place("train"), place("eval")
    (('charnet.cli.train', 'train'), ('charnet.cli.eval', 'eval_'))
    """
    module, _, attribute = PLACES.get(name, f"{name}:{name}").partition(":")
    return f"charnet.cli.{module}", attribute


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


def _make(name: str) -> Any:
    module, attribute = place(name)
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name, cls=GroupedCommand)(found)
        found = alone
    command = typer.main.get_command(found)
    command.name = name
    return command


class RootGroup(HelpGroup):
    """The command `charnet` itself."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.commands = Commands()

    def summaries(self) -> dict[str, dict[str, str]]:
        return GROUPS
