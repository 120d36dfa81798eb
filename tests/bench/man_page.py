"""Writes the manual page from the help of all commands: python tests/bench/man_page.py"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer.main

import charnet
from charnet.cli import help_text
from charnet.cli.app import app
from charnet.cli.command_list import GROUPS, SUMMARIES
from charnet.cli.examples import EXAMPLES

PAGE = Path(charnet.__file__).parent / "guide" / "charnet.1"
EXIT_CODES = {
    "0": "success", "1": "a bug in charnet", "2": "a wrong option or setting",
    "3": "a text or a prompt that cannot be used", "4": "a checkpoint or a receipt that is damaged or missing",
    "5": "a training whose loss is no number any more", "6": "a file that cannot be read or written",
    "7": "a server that cannot start", "8": "one of several processes that train together is lost",
    "128+n": "ended by signal n: 130 is Ctrl-C",
}  # fmt: skip
FILES = {
    "checkpoints/NAME/": "a run: its settings, its metrics and its checkpoints",
    "~/.cache/charnet/": "encoded copies of texts and downloaded texts; CHARNET_CACHE names another folder",
}


def page() -> str:
    lines = [
        '.\\" Written by tests/bench/man_page.py from the help of each command.',
        '.TH CHARNET 1 "" charnet "User Commands"',
        *(".SH NAME", "charnet \\- train character\\-level recurrent networks and write text with them"),
        *(".SH SYNOPSIS", ".B charnet", ".I COMMAND", "[ARGUMENTS] [OPTIONS]"),
        *(".SH DESCRIPTION", escaped(app.info.help or ""), *examples("")),
        ".SH COMMANDS",
    ]
    for heading, names in GROUPS.items():
        lines += [f".SS {heading}", *(line for row in names.items() for line in item(*row))]
    root = typer.main.get_command(app)
    for name in SUMMARIES:
        lines += of_command(root.commands[name], [name])
    lines.append(".SH EXIT STATUS")
    for row in EXIT_CODES.items():
        lines += item(*row)
    lines += [".SH FILES", *(line for row in FILES.items() for line in item(*row))]
    lines += [".SH SEE ALSO", ".B charnet guide", "shows the guide. It has a page of all settings."]
    return "\n".join(lines) + "\n"


def of_command(command: Any, path: Sequence[str]) -> Iterator[str]:
    name = " ".join(path)
    yield f".SH {escaped(f'charnet {name}').upper()}"
    if not hasattr(command, "commands"):
        words = map(help_text.usage_of_argument, help_text.arguments_of(command))
        yield f".B charnet {escaped(' '.join([name, *words, '[OPTIONS]']))}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield from (".PP", escaped(" ".join(paragraph.split())))
    yield from examples(name)
    if hasattr(command, "commands"):
        for sub, each in command.commands.items():
            yield from of_command(each, [*path, sub])
        return
    for each in help_text.arguments_of(command):
        yield from item(help_text.metavar(each), help_text.described(each))
    shown = [each for each in command.params if not help_text.is_argument(each) and each.name != "help_all"]
    known = help_text.essential_of(name, shown)
    for heading, params in help_text.grouped(shown, known).items():
        yield f".SS {escaped(heading)}"
        for param in params:
            yield from item(*help_text.row(param))


def examples(path: str) -> Iterator[str]:
    rows = EXAMPLES.get(path, {})
    if rows:
        yield ".PP"
        yield "Examples:"
    for line, about in rows.items():
        yield from item(help_text.whole_line(line), about)


def item(name: str, text: str) -> Iterator[str]:
    yield from (".TP", f".B {escaped(name)}", escaped(text))


def escaped(text: str) -> str:
    """The text as troff shows it."""
    signs = {"\\": "\\e", "-": "\\-", "'": "\\(aq", '"': "\\(dq", "`": "\\(ga"}
    found = "".join(signs.get(character, character) for character in text)
    return "\\&" + found if found.startswith(".") else found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
