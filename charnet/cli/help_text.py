"""Lays out `--help` without rich: a line of usage, examples, and the options in groups.

A command with many options shows those that everyone needs, and all of them with `--help-all`.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from charnet.cli import console

MOST_SHOWN = 14  # options of a command that need no short list
WIDEST = 80  # columns
NARROW = 60  # columns: below, what an option does stands under its name
WIDEST_NAME = 30
VALUES = {  # of a type what its value is called, if the option does not say
    "int": "N", "integer": "N", "int range": "N", "integer range": "N", "float": "NUMBER", "float range": "NUMBER",
    "str": "TEXT", "text": "TEXT", "path": "PATH",
}  # fmt: skip
NAMES = {"encoding": "NAME", "name": "NAME", "glob": "PATTERN", "host": "ADDRESS"}  # of an option, likewise

Row = tuple[str, str]


def command_help(command: Any, ctx: Any, width: int, *, whole: bool) -> Iterator[str]:
    """Yields the lines of the help of a command.

    Args:
        whole: show every option, also where there are many.
    """
    path = ctx.command_path.partition(" ")[2]
    options = options_of(command, ctx)
    known = essential_of(path, options)
    yield from console.wrapped(usage_line(command, ctx), width, "  ", "")
    yield from _paragraphs(command.help or "", width)
    yield from examples_of(path, width)
    arguments = [(metavar(param), described(param)) for param in arguments_of(command)]
    if arguments:
        yield from section("Arguments", arguments, width)
    if known and not whole:
        yield from section("Options that everyone needs", [row(param) for param in known], width)
    else:
        for heading, params in grouped(options, known).items():
            yield from section(heading, [row(param) for param in params], width)
    rows = [("-h, --help", "show this help")]
    if known:
        rows = [rows[0], ("--help-all", f"show all {len(options)} options")]
    yield from section("Help", rows, width)


def group_help(group: Any, ctx: Any, width: int) -> Iterator[str]:
    """Yields the lines of the help of a command that has commands."""
    path = ctx.command_path.partition(" ")[2]
    yield from console.wrapped(usage_line(group, ctx), width, "  ", "")
    yield from _paragraphs(group.help or "", width)
    yield from examples_of(path, width)
    found = group.summaries()
    column = max(len(name) for commands in found.values() for name in commands)
    for heading, commands in found.items():
        yield from section(heading, list(commands.items()), width, column=column)
    own = [row(param) for param in group.params if not is_argument(param) and param.name != "help"]
    yield from section("Help", [*own, ("-h, --help", "show this help, or that of a command")], width)


def usage_line(command: Any, ctx: Any) -> str:
    """Returns how a command is called: its name, its arguments, its options."""
    if getattr(command, "commands", None) is not None:
        return f"Usage: {ctx.command_path} COMMAND [ARGUMENTS] [OPTIONS]"
    return " ".join(["Usage:", ctx.command_path, *map(usage_of_argument, arguments_of(command)), "[OPTIONS]"])


def usage_of_argument(param: Any) -> str:
    """Returns an argument as it stands in the line of usage: one that may be left out in brackets."""
    words = metavar(param).split()
    return " ".join(words if param.required else (f"[{word}]" for word in words))


def screen_width() -> int:
    return min(shutil.get_terminal_size().columns, WIDEST) - 1


def is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def arguments_of(command: Any) -> list[Any]:
    return [param for param in command.params if is_argument(param) and not param.hidden]


def metavar(param: Any) -> str:
    """Returns what a value is called: of an argument, or of an option."""
    if is_argument(param):
        name = (param.metavar or param.name).upper().replace("[", "").replace("]", "")
        return name if param.nargs == 1 or "." in name else f"{name}..."
    return param.metavar or NAMES.get(param.name) or VALUES.get(param.type.name, "VALUE")


def row(param: Any) -> Row:
    """Returns an option and what it does."""
    flags = ", ".join(sorted(param.opts, key=lambda flag: flag.startswith("--")))
    return (flags if param.is_flag else f"{flags} {metavar(param)}"), described(param)


def described(param: Any) -> str:
    """Returns what an option or an argument does, with its default."""
    text, default = param.help or "", param.default
    if is_argument(param) or not param.show_default or default in (None, "", ()) or default is False:
        return text
    return f"{text} [default: {default}]"


def options_of(command: Any, ctx: Any) -> list[Any]:
    """Returns the options of a command but for those that show its help."""
    shown = [param for param in command.get_params(ctx) if not is_argument(param) and not param.hidden]
    return [param for param in shown if param.name not in ("help", "help_all")]


def essential_of(path: str, options: Sequence[Any]) -> list[Any]:
    """Returns the options that everyone needs, of a command with many."""
    if len(options) <= MOST_SHOWN:
        return []
    from charnet.cli.examples import ESSENTIAL

    by_flag = {flag: param for param in options for flag in param.opts}
    return [by_flag[flag] for flag in ESSENTIAL.get(path, ())]


def grouped(options: Iterable[Any], known: Sequence[Any]) -> dict[str, list[Any]]:
    """Returns options by the headings of their groups; in each, those that everyone needs come first."""
    groups: dict[str, list[Any]] = {}
    for param in options:
        groups.setdefault(param.rich_help_panel or "Options", []).append(param)
    return {name: sorted(params, key=lambda param: param not in known) for name, params in groups.items()}


def examples_of(path: str, width: int) -> Iterator[str]:
    """Yields the lines of the examples of a command."""
    from charnet.cli.examples import EXAMPLES

    rows = [(whole_line(line), about) for line, about in EXAMPLES.get(path, {}).items()]
    if rows:
        yield from section("Examples", rows, width, widest=48)


def whole_line(line: str) -> str:
    """Returns an example as it is typed."""
    return line if "charnet " in line else f"charnet {line}"


def section(heading: str, rows: Sequence[Row], width: int, *, widest: int = WIDEST_NAME, column: int = 0) -> list[str]:
    """Returns the lines of a list with a heading: names in a column, and beside or under them what they are.

    Args:
        widest: names that are longer have a line for themselves.
        column: columns of the names at least.
    """
    lines = ["", f"{heading}:"]
    lengths = [len(name) for name, _ in rows if len(name) <= widest]
    column = min(max([*lengths, column], default=0), widest)
    is_narrow = not column or (width < NARROW and column > width // 3)
    indent = " " * (6 if is_narrow else column + 4)
    for name, text in rows:
        if is_narrow or len(name) > column:
            lines += [*console.wrapped(name, width, "    ", "  "), *console.wrapped(text, width, indent, indent)]
        else:
            lines += console.wrapped(text, width, indent, f"  {name:<{column}}  ")
    return lines


def _paragraphs(text: str, width: int) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph:
            yield ""
            yield from console.wrapped(" ".join(paragraph.split()), width, "  ", "  ")


def summary(command: Any) -> str:
    """Returns the first sentence of the help of a command, as it stands in a list."""
    text = " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())
    return (command.short_help or text).partition(". ")[0].rstrip(".")
