"""What `--help` promises: whole sentences, examples that work, a short list first, any width of the screen."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from charnet.cli import help_text
from charnet.cli.app import app, run
from charnet.cli.command_list import GROUPS, SUMMARIES
from charnet.cli.examples import ESSENTIAL, EXAMPLES

ROOT = typer.main.get_command(app)


def commands(command: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


COMMANDS = dict(commands())
LEAVES = {name: command for name, command in COMMANDS.items() if not hasattr(command, "commands")}


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns what a command line prints, on a screen of some columns."""

    def call(line: str, columns: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        assert run(line.split()) == 0, line
        found = capsys.readouterr()
        assert found.err == ""
        return found.out

    return call


def options(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "option" and each.name != "help_all"]


def test_every_command_has_a_summary_in_one_group_that_fits_a_line() -> None:
    assert list(ROOT.commands) == list(SUMMARIES)
    assert sum(map(len, GROUPS.values())) == len(SUMMARIES)
    for summary in SUMMARIES.values():
        assert len(summary) <= 60
        assert re.fullmatch(r"[a-z].*[^.]", summary)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_is_cut_and_none_is_wider_than_the_screen(shown: Any, command: str) -> None:
    for columns in (40, 80):
        for flag in ("--help", "--help-all") if command in LEAVES else ("--help",):
            text = shown(f"{command} {flag}", columns)
            lines, joined = text.splitlines(), " ".join(text.split())
            if flag == "--help-all":
                assert all(" ".join(help_text.described(each).split()) in joined for each in options(COMMANDS[command]))
            for line in lines:  # a longer word is not cut: it may be copied
                assert len(line) < columns or len(max(line.split(), key=len)) > columns - 10


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_begins_with_its_usage_and_an_example(shown: Any, command: str) -> None:
    text = shown(f"{command} --help")
    assert shown(f"{command} -h") == text
    assert text.startswith(f"Usage: charnet {command}".rstrip() + " ")
    head, _, rest = text.partition("\nExamples:\n")
    assert "\n  charnet " in "\n" + rest.splitlines()[0] or "charnet" in rest.splitlines()[0]
    assert head.count("\n") < 20


@pytest.mark.parametrize(
    "line", sorted({help_text.whole_line(line) for each in EXAMPLES.values() for line in each if "|" not in line})
)
def test_every_option_of_an_example_exists(line: str) -> None:
    if "$(" in line:
        line = line.partition("$(")[2].partition(")")[0]
    first, *words = shlex.split(line)
    assert first == "charnet"
    path = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    flags = {flag for each in COMMANDS[path].params for flag in each.opts} | {"--help"}
    for word in words:
        if re.match("--?[a-z]", word):
            assert word in flags, line


@pytest.mark.parametrize("command", ESSENTIAL)
def test_the_options_that_everyone_needs_are_eight_that_exist(command: str) -> None:
    flags = [flag for each in options(COMMANDS[command]) for flag in each.opts]
    assert len(ESSENTIAL[command]) == 8
    assert set(ESSENTIAL[command]) <= set(flags)


@pytest.mark.parametrize("command", LEAVES)
def test_a_command_of_many_options_shows_eight_and_all_with_help_all(shown: Any, command: str) -> None:
    found = options(LEAVES[command])
    short, whole = shown(f"{command} --help"), shown(f"{command} --help-all")
    for each in found:
        assert re.search(rf"(^|[ ,]){re.escape(each.opts[-1])}\b", whole, re.MULTILINE), each.opts
    if len(found) > help_text.MOST_SHOWN:
        assert len(EXAMPLES[command]) >= 2
        assert f"--help-all  show all {len(found)} options" in short
        listed = short.partition("Options that everyone needs:")[2].partition("\nHelp:")[0]
        assert len(re.findall(r"^  -", listed, re.MULTILINE)) == 8
    else:
        assert short == whole


def test_train_and_sample_have_four_examples() -> None:
    assert (len(EXAMPLES["train"]), len(EXAMPLES["sample"])) == (4, 4)


def test_in_a_group_of_options_those_that_everyone_needs_come_first(shown: Any) -> None:
    text = shown("sample --help-all")
    assert text.index("--lines") < text.index("--top-k")
    assert text.index("--interactive") < text.index("--prompt-file")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_speaks_the_english_of_click(shown: Any, command: str) -> None:
    text = shown(f"{command} {'--help-all' if command in LEAVES else '--help'}")
    for word in (
        "<int",
        "<str",
        "<path",
        "<float",
        "INTEGER",
        "[required]",
        "<=x",
        "ARGS",
        "Show this message",
        "False]",
    ):
        assert word not in text


def test_the_list_of_commands_loads_none_of_them_and_no_heavy_library() -> None:
    code = (
        "import sys; from charnet.cli.app import run; assert run(['--help']) == 0; run(['ls'])\n"
        "loaded = set(sys.modules) & {'numpy', 'torch', 'rich', 'yaml', 'charnet.cli.train', 'charnet.cli.guide'}\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
