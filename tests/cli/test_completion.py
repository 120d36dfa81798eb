"""What the Tab key completes, and the same in real shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.main

from charnet.cli import completing
from charnet.cli.app import app, run
from charnet.cli.command_list import SUMMARIES
from charnet.cli.completion import SCRIPTS
from charnet.data import datasets
from charnet.overlay import qualified_names

ROOT = typer.main.get_command(app)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs, a folder that is none, and a text."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("tempest", "a tale")):
        Path("checkpoints", name).mkdir(parents=True)
        path = Path("checkpoints", name, "last.safetensors")
        path.touch()
        os.utime(path, (time.time() - age, time.time() - age))
    Path("checkpoints/notes").mkdir()
    Path("book.txt").touch()
    return tmp_path


def words(*typed: str) -> list[str]:
    return [each.word for each in completing.candidates(ROOT, typed)]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (("tr",), ["train"]),
        (("corpus", ""), ["info", "list", "get"]),
        (("bench", "train", "--j"), ["--json"]),
        (("train", "--ce"), ["--cell"]),
        (("train", "--cell", ""), ["rnn", "lstm", "cifg", "gru"]),
        (("train", "--cell=l"), ["--cell=lstm"]),
        (("train", "--ngram", ""), ["auto"]),
        (("train", "--set", "model.cel"), ["model.cell="]),
        (("train", "--set", "model.cell=g"), ["model.cell=gru"]),
        (("sweep", "--try", "hidden"), ["hidden_size="]),
        (("train", "--config", ""), [completing.FILES]),
        (("sample", ""), ["tempest", "a tale", completing.FILES]),
        (("train", "--resume", "t"), ["tempest", completing.FILES]),
        (("train", "--for", ""), []),
        (("inspect", "tempest", ""), []),
        (("guide", "sett"), ["settings"]),
        (("corpus", "get", "enw"), ["enwik8"]),
        (("completion", "z"), ["zsh"]),
        (("sample", "--template", "hai"), ["haiku"]),
        (("--v",), ["--version"]),
        (("nonsense", ""), []),
    ],
)
def test_the_words_that_may_follow(typed: tuple[str, ...], found: list[str]) -> None:
    assert words(*typed) == found


def test_all_commands_known_texts_and_settings_are_completed() -> None:
    assert words("") == list(SUMMARIES)
    assert words("train", "") == [*datasets.names(), completing.FILES]
    assert words("eval", "tempest", "") == words("train", "")
    assert words("train", "--set", "") == [f"{name}=" for name in qualified_names().values()]


def test_an_option_that_was_given_is_not_offered_again_unless_it_may_be_repeated() -> None:
    found = words("train", "--cell", "gru", "--set", "model.cell=gru", "--")
    assert "--cell" not in found
    assert "--set" in found
    assert "--help" in found


def test_every_option_with_choices_offers_them_and_no_placeholder() -> None:
    for name in SUMMARIES:
        command = ROOT.commands[name]
        for param in command.params:
            choices = [word for word in (param.metavar or "").split("|") if re.fullmatch("[a-z][a-z0-9-]*", word)]
            if choices and param.param_type_name == "option":
                assert words(name, param.opts[-1], "")[: len(choices)] == choices or "--mix" in param.opts


def test_a_name_that_no_shell_takes_as_it_is_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    bad = Path("checkpoints/a\nb")
    bad.mkdir()
    (bad / "last.safetensors").touch()
    assert run(["completion", "bash", "--", "sample", ""]) == 0
    assert capsys.readouterr().out == "tempest\na tale\n:files\n"


def test_another_shell_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "fsh"]) == 2
    found = 'expected one of bash, zsh, fish, found "fsh" (did you mean "fish"?)'
    assert found in capsys.readouterr().err


def test_completing_loads_no_numpy_torch_or_rich() -> None:
    code = (
        "import sys; from charnet.cli.app import run\n"
        "lines = [['sample', '--template', '']]\n"
        "for line in (*lines, ['train', '--c'], ['sample', ''], ['guide', ''], ['train', ''], ['']):\n"
        "    run(['completion', 'bash', '--', *line])\n"
        "assert not {'numpy', 'torch', 'rich', 'charnet.cli.eval'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


# ------------------------------------------------------------------------------------------- real shells


@pytest.fixture
def shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts a command `charnet` on the path."""
    command = folder / "bin" / "charnet"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m charnet "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(completing.__file__).parents[2]))
    monkeypatch.setenv("HOME", str(folder))
    return folder


def output(program: str, script: str) -> str:
    if not shutil.which(program):
        pytest.skip(f"there is no {program}")
    options = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}[program]
    done = subprocess.run([program, *options, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("charnet tr", ["train"]),
        ("charnet train --cell = l", ["lstm"]),
        ("charnet train bo", ["book.txt"]),
        ("charnet sample a", ["a tale"]),
        (r"charnet sample a\ t", ["a tale"]),
        ("charnet train --set model.cell = g", ["gru"]),
    ],
)
@pytest.mark.usefixtures("shell")
def test_bash_completes(line: str, found: list[str]) -> None:
    typed = [part.replace("\0", r"\ ") for part in line.replace(r"\ ", "\0").split(" ")]
    array = " ".join(f"'{word}'" for word in typed)
    script = (
        f'eval "$(charnet completion bash)"; complete -p charnet >/dev/null; COMP_WORDS=({array}); '
        f"COMP_CWORD={len(typed) - 1}; _charnet 2>/dev/null; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    assert output("bash", script).splitlines() == found


@pytest.mark.usefixtures("shell")
def test_zsh_completes() -> None:
    script = (
        'autoload -U compinit; compinit -u -D; eval "$(charnet completion zsh)"; [[ ${_comps[charnet]} == _charnet ]]; '
        '_describe() { print -l -- "${(@P)@[-1]}" }; _files() { print files }; '
        "words=(charnet train --cell ''); CURRENT=4; _charnet; words=(charnet sample ''); CURRENT=3; _charnet"
    )
    assert output("zsh", script).split("\n") == [
        *("rnn:rnn", "lstm:lstm", "cifg:cifg", "gru:gru"),
        *("tempest:a run", "a tale:a run", "files", ""),
    ]


@pytest.mark.usefixtures("shell")
def test_fish_completes() -> None:
    script = "charnet completion fish | source; complete -C 'charnet train --cell '; complete -C 'charnet sample '"
    found = output("fish", script).splitlines()
    assert found[:4] == ["rnn\trnn", "lstm\tlstm", "cifg\tcifg", "gru\tgru"]
    assert {"tempest\ta run", "a\\ tale\ta run"} <= {line.replace("a tale", "a\\ tale") for line in found}
    assert any(line.startswith("book.txt") for line in found)


@pytest.mark.parametrize("program", SCRIPTS)
def test_a_shell_accepts_its_script(program: str, tmp_path: Path) -> None:
    if not shutil.which(program):
        pytest.skip(f"there is no {program}")
    script = tmp_path / "script"
    script.write_text(SCRIPTS[program])
    assert subprocess.run([program, "-n", str(script)], capture_output=True, check=True, timeout=60).stderr == b""
