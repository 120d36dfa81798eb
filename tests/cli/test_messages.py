"""No message names an option that its command lacks, but as part of another command: `charnet train --bytes`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer.main

import charnet
from charnet.cli.app import app, run

PACKAGE = Path(charnet.__file__).parent
READING = ("train", "eval", "corpus info")
SHOWN_BY = {  # the commands that show what is written in a module, if it names an option; the first match counts
    "api": ("train",),
    "bench": ("bench train", "bench sample", "bench controls"),
    "config": ("train or sample",),
    "overlay": ("train",),
    "data.batches": ("train",),
    "data.documents": ("train",),
    "data.split": ("train",),
    "data.datasets": ("corpus list",),
    "data.lines": ("eval",),
    "data.vocab": ("sample",),
    "data.*": READING,
    "model.*": ("train",),
    "storage.checkpoint": ("sample", "eval"),
    "storage.capacity": ("train",),
    "storage.place": ("train", "sweep", "import"),
    "storage.runs": ("train",),
    "storage.receipt": ("sample",),
    "engines.*": ("sample",),
    "generation.receipts": ("replay",),
    "generation.*": ("sample",),
    "evaluation.corpus_stats": ("corpus info",),
    "evaluation.*": ("eval",),
    "training.trials": ("sweep",),
    "training.sweep*": ("sweep",),
    "training.*": ("train",),
    "cli.app": ("",),
    "cli.usage": ("train",),
    "cli.help*": ("train",),
    "cli.complet*": ("train",),
    "cli.launch": ("train",),
    "cli.bench": ("bench train", "bench sample"),
    "cli.cache": ("cache list or cache clear",),
    "cli.corpus": ("corpus info",),
    "cli.messages": ("train",),
    "cli.following": ("train",),
    "cli.options": ("train",),
    "cli.train": ("train",),
    "cli.dry_running": ("train",),
    "cli.eval": ("eval",),
    "cli.inspect": ("inspect",),
    "cli.insight*": ("insight",),
    "cli.serve": ("serve",),
    "server.*": ("serve",),
    "cli.lesson": ("lesson",),
    "lesson.*": ("lesson",),
    "insight.*": ("insight",),
    "cli.runs": ("runs",),
    "cli.removing": ("runs",),
    "cli.showing": ("eval",),
    "cli.sweep": ("sweep",),
    "cli.sweep_words": ("sweep", "train"),
    "storage.run_list": ("runs",),
    "cli.quantize": ("quantize",),
    "cli.export*": ("export",),
    "cli.guide": ("guide",),
    "cli.importing": ("import",),
    "exchange.convert": ("import",),
    "exchange.state_dict": ("import",),
    "exchange.*": ("export",),
    "cli.compress": ("compress",),
    "compression.compare": ("compress",),
    "cli.replay": ("replay",),
    "cli.prompting": ("sample", "replay"),
    "cli.doctor": ("doctor",),
    "cli.*": ("sample",),
}
GROUPS = ("bench", "cache", "corpus")
EITHER = ("train or sample", "cache list or cache clear")
TRAIN_ALONE = {"--document-separator"}  # only a training can be given a wrong one
OF_OTHERS = re.compile("tensorboard --logdir|trackio show --project")  # commands of other programs
WORD = re.compile(r"charnet ((?:bench |cache |corpus )?[a-z]+)|(?<![\w-])(--[a-z][a-z-]*[a-z]8?)|[;,)]|[.](?!\w)|\n\n")


def options_by_command() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def visit(command: Any, name: str) -> None:
        found[name] = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)} | {"--help"}
        for sub, each in getattr(command, "commands", {}).items():
            visit(each, f"{name} {sub}".strip())

    visit(typer.main.get_command(app), "")
    for either in EITHER:
        one, other = either.split(" or ")
        found[either] = found[one] | found[other]
    return found


OPTIONS = options_by_command()


def lacking(message: str, command: str) -> list[str]:
    """The options in a message that neither the command has nor the one that the message names right before."""
    wrong, other = [], ""
    for word in WORD.finditer(OF_OTHERS.sub("", message)):
        if word[1]:
            other = word[1]
        elif not word[2]:
            other = ""
        elif word[2] not in OPTIONS.get(other or command, OPTIONS[command]):
            wrong.append(word[2])
    return wrong


def texts(path: Path) -> Iterator[str]:
    """The strings in a module that are no docstrings; `{}` stands for a value in one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    skipped = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)
    }  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            skipped |= {id(part) for part in node.values}
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def messages() -> list[tuple[str, str]]:
    """All strings that name an option, each with its module."""
    return [
        (module, text)
        for path in sorted(PACKAGE.rglob("*.py"))
        for module in [".".join(path.relative_to(PACKAGE).with_suffix("").parts)]
        if module not in ("cli.examples", "synonyms")  # tried in test_help and test_usage
        for text in texts(path)
        if re.search(r"(?<![\w-])--[a-z]", text)
    ]


def test_every_option_in_a_message_belongs_to_each_command_that_shows_it() -> None:
    found = messages()
    assert len(found) > 100
    for module, text in found:
        commands = next((shown for pattern, shown in SHOWN_BY.items() if fnmatch(module, pattern)), None)
        assert commands, f"{module} names options and is not in the table: {text}"
        for command in ("train",) if any(option in text for option in TRAIN_ALONE) else commands:
            assert not lacking(text, command), f"{module}, shown by {command}: {text}"


@pytest.mark.parametrize("command", sorted(set(OPTIONS) - set(EITHER)))
def test_the_help_of_a_command_names_only_its_own_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command.split(), "--help"]) == 0, command
    shown = capsys.readouterr().out
    if command and command not in GROUPS:
        assert run([*command.split(), "--help-all"]) == 0, command
        shown += capsys.readouterr().out
    assert not lacking(shown, command)


UNREADABLE = {
    "latin.txt": "contraseña\nseñora\nmañana\n".encode("latin-1"),
    "flaw.txt": "près de la forêt\n".encode() * 9 + b"\xe9t\xe9\n",
    "cut.txt": "très".encode()[:3] * 2 + "é".encode()[:1],
    "wide.txt": "a text of two bytes a letter\n".encode("utf-16-le"),
    "java.txt": b"a smile \xed\xa0\xbd\xed\xb8\x80\n",
    "zero.txt": b"\xff\0\xfe\1" * 9,
    "book.pdf": b"%PDF-1.7\n",
    "book.txt": b"PK\x03\x04" + bytes(40),
    "empty.txt": b"",
    "missing.txt": None,
    "folder": None,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_text_that_cannot_be_read_is_answered_with_options_of_the_running_command(
    name: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("folder", "binary.txt").write_bytes(b"\0")
    if (raw := UNREADABLE[name]) is not None:
        Path(name).write_bytes(raw)
    for command, line in {
        "train": ["train", name],
        "eval": ["eval", str(tiny_run), name],
        "corpus info": ["corpus", "info", name],
    }.items():
        assert run(line) == 3
        message = capsys.readouterr().err
        assert message.startswith(f"charnet: {name}")
        assert not lacking(message, command), message


LONG = "x" * 100_000
DIGITS = "1" + "0" * 309


@pytest.mark.parametrize(
    "line",
    [
        *(f"sample --{name} {LONG}" for name in ("top-k", "threads", "unknown", "lines", "seed", "until", "temp")),
        *(f"sample RUN --{name} {LONG}" for name in ("engine", "quantize", "out", "out-dir")),
        *(f"train --{name} {LONG}" for name in ("epochs", "cell", "name", "config", "set", "encoding", "for")),
        *(f"train --set {name}={LONG}" for name in ("data.encoding", "data.encoding=x", LONG, f"model.{LONG}")),
        *(f"sample --{name} {DIGITS}" for name in ("samples", "lines", "length")),
        *(LONG, f"corpus {LONG}", f"corpus get {LONG}", f"sample --{LONG}", f"sample RUN {LONG}", f"inspect {LONG}"),
    ],
    ids=lambda line: line[:40],
)
def test_a_value_of_any_length_is_refused_in_one_short_line(
    line: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([word if word != "RUN" else str(tiny_run) for word in line.split(" ")]) in (2, 3, 4, 6)
    message = capsys.readouterr().err
    assert message.startswith("charnet: ")
    assert len(message) < (1100 if "cannot be" in message else 400)
    assert message.count("\n") == 1
