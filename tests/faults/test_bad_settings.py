"""Bad files of settings and bad options: one line that says where and what, exit code 2, and nothing else happens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from files import at_most

from charnet.cli.app import run
from charnet.config import Config
from charnet.errors import ConfigError, StorageError
from charnet.overlay import overlay
from charnet.storage.config_file import read_yaml

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))

# name of the mistake: the file, where the mistake is, what the message says of it
FILES: dict[str, tuple[str | bytes, str, str]] = {
    "a setting misspelled": ("training:\n  lerning_rate: 1\n", "line 2, column 3", 'did you mean "learning_rate"?'),
    "a section misspelled": ("trainign:\n  seed: 1\n", "line 1, column 1", 'did you mean "training"?'),
    "a cell misspelled": ("model:\n  cell: gur\n", "line 2, column 3", 'did you mean "gru"?'),
    "an optimizer misspelled": ("training:\n  optimizer: moun\n", "line 2, column 3", 'did you mean "muon"?'),
    "a device misspelled": ("training:\n  device: cdua\n", "line 2, column 3", 'did you mean "cuda"?'),
    "an activation misspelled": ("model:\n  activation: tahn\n", "line 2, column 3", 'did you mean "tanh"?'),
    "a word for on_nan misspelled": ("training:\n  on_nan: rolback\n", "line 2, column 3", 'did you mean "rollback"?'),
    "a name in capitals": ("model:\n  Hidden_size: 3\n", "line 2, column 3", 'did you mean "hidden_size"?'),
    "a name with a dash": ("model:\n  hidden-size: 3\n", "line 2, column 3", 'did you mean "hidden_size"?'),
    "a section in capitals": ("Model:\n  cell: gru\n", "line 1, column 1", 'did you mean "model"?'),
    "a setting of another section": ("data:\n  hidden_size: 3\n", "line 2, column 3", 'no setting "hidden_size"'),
    "a setting without a section": ("hidden_size: 3\n", "line 1, column 1", "no section"),
    "a whole name": ("model.hidden_size: 3\n", "line 1, column 1", "no section"),
    "a name of nothing": ("model:\n  '': 3\n", "line 2, column 3", 'no setting ""'),
    "a name of 100 000 characters": ("model:\n  " + "x" * 100_000 + "\n", "line 2, column 3", "expected `name"),
    "a section of 100 000 characters": ('? "' + "x" * 100_000 + '"\n: {}\n', "line 1, column 3", "no section"),
    "a name that commands a terminal": ('model:\n  "\\e[2J": 3\n', "line 2, column 3", "no setting"),
    "a value that commands a terminal": ('model:\n  cell: "\\e[2J\\a"\n', "line 2, column 3", "expected one of"),
    "a value that changes direction": ('model:\n  cell: "\\u202e"\n', "line 2, column 3", "expected one of"),
    "a value of 100 000 characters": (f"model:\n  cell: {'x' * 100_000}\n", "line 2, column 3", "expected one of"),
    "a word for a number": ("model:\n  hidden_size: large\n", "line 2, column 3", 'found "large"'),
    "nothing for a number": ("model:\n  hidden_size:\n", "line 2, column 3", "expected a whole number"),
    "null for a number": ("model:\n  hidden_size: null\n", "line 2, column 3", "expected a whole number"),
    "truth for a number": ("model:\n  hidden_size: true\n", "line 2, column 3", "expected a whole number"),
    "a fraction for a whole number": ("model:\n  hidden_size: 2.5\n", "line 2, column 3", "expected a whole number"),
    "an exponent for a whole number": ("training:\n  steps: 1e3\n", "line 2, column 3", "expected a whole number"),
    "hexadecimal": ("model:\n  hidden_size: 0x10\n", "line 2, column 3", "expected a whole number"),
    "underscores": ("model:\n  hidden_size: 1_000\n", "line 2, column 3", "expected a whole number"),
    "digits of another script": ("model:\n  hidden_size: ٣\n", "line 2, column 3", "expected a whole number"),
    "a date": ("training:\n  seed: 2024-01-01\n", "line 2, column 3", "expected a whole number"),
    "sixty for one": ("training:\n  seed: 1:30\n", "line 2, column 3", "expected a whole number"),
    "a number of 10^4 digits": (f"training:\n  seed: {'9' * 10_000}\n", "line 2, column 3", "training.seed"),
    "a number of 4000 digits": (f"training:\n  seed: {'9' * 4000}\n", "line 2, column 3", "between 0 and"),
    "a number below zero": ("training:\n  seed: -1\n", "line 2, column 3", "between 0 and"),
    "a size of zero": ("model:\n  hidden_size: 0\n", "line 2, column 3", "between 1 and 32,768"),
    "a size beyond the largest": ("model:\n  hidden_size: 32769\n", "line 2, column 3", "between 1 and 32,768"),
    "too many layers": ("model:\n  num_layers: 65\n", "line 2, column 3", "between 1 and 64"),
    "too much dropout": ("model:\n  dropout: 1\n", "line 2, column 3", "between 0 and 0.95"),
    "no number at all": ("model:\n  dropout: .nan\n", "line 2, column 3", "expected a number"),
    "NaN": ("training:\n  learning_rate: nan\n", "line 2, column 3", "between 0 and 1,000"),
    "infinity": ("training:\n  learning_rate: -inf\n", "line 2, column 3", "between 0 and 1,000"),
    "1e400": ("training:\n  clip: 1e400\n", "line 2, column 3", "between 0 and"),
    "a comma for a point": ("model:\n  dropout: 0,5\n", "line 2, column 3", 'found "0,5"'),
    "a percent sign": ("model:\n  dropout: 50%\n", "line 2, column 3", 'found "50%"'),
    "neither yes nor no": ("data:\n  bytes: maybe\n", "line 2, column 3", "expected true or false"),
    "a list for a number": ("model:\n  hidden_size: [3]\n", "line 2, column 3", "expected a whole number"),
    "a list for a word": ("model:\n  cell: [gru]\n", "line 2, column 3", "expected a text"),
    "a table for a number": ("model:\n  hidden_size: {a: 1}\n", "line 2, column 3", "expected one value"),
    "a table for files": ("data:\n  paths: {a: 1}\n", "line 2, column 3", "expected one value"),
    "a list of lists for files": ("data:\n  paths: [[a]]\n", "line 2, column 3", "expected one value"),
    "a section that is a word": ("model: gru\n", "line 1, column 8", 'found "gru"'),
    "a section that is a list": ("model: [gru]\n", "line 1, column 8", "found a list"),
    "a list of sections": ("- model:\n    cell: gru\n", "line 1, column 1", "found a list"),
    "a word alone": ("gru\n", "line 1, column 1", 'found "gru"'),
    "a number alone": ("3\n", "line 1, column 1", 'found "3"'),
    "JSON that is not": ('{"model": {"cell": "gru",}', "line 1, column 27", "not YAML"),
    "a name twice": ("model:\n  cell: gru\n  cell: gru\n", "line 3, column 3", "twice"),
    "a section twice": ("model:\n  cell: gru\nmodel:\n", "line 3, column 1", "twice"),
    "a name twice, once quoted": ("model:\n  cell: gru\n  'cell': gru\n", "line 3, column 3", "twice"),
    "an alias": ("model: *m\n", "line 1, column 8", "anchors, aliases and tags"),
    "an alias bomb": (BOMB, "line 1, column 5", "anchors, aliases and tags"),
    "a tag that calls": ("model: !!python/object/apply:os.mkdir [x]\n", "line 1, column 8", "tags"),
    "a tag of one's own": ("model:\n  cell: !gru x\n", "line 2, column 9", "tags"),
    "a merge key": ("model:\n  <<: {cell: gru}\n", "line 2, column 3", 'no setting "<<"'),
    "a key that is a list": ("[a, b]: c\n", "line 1, column 1", "expected a name"),
    "two documents": ("model:\n---\ndata:\n", "line 2, column 1", "another document"),
    "a tab": ("model:\n\tcell: gru\n", "line 2, column 1", "not YAML"),
    "another indent": ("model:\n  cell: gru\n dropout: 0\n", "line 3, column 2", "not YAML"),
    "no space after the colon": ("model:\n  cell:gru\n", "line 2, column 3", "expected `name: value` lines"),
    "an equals sign": ("model:\n  cell = gru\n", "line 2, column 3", "expected `name: value` lines"),
    "an open quote": ('model:\n  cell: "gru\n', "line 3, column 1", "not YAML"),
    "an open bracket": ("data:\n  paths: [a, b\n", "line 3, column 1", "not YAML"),
    "a closing bracket": ("]\n", "line 1, column 1", "not YAML"),
    "a percent sign at the start": ("%YAML 9.9\n---\nmodel:\n", "line 1, column 1", "not YAML"),
    "a version of 10^4 digits": ("%YAML " + "9" * 10_000 + ".1\n--- {}\n", "", "not YAML"),
    "an escape of no character": ('data:\n  glob: "\\UFFFFFFFF"\n', "", "not YAML"),
    "a zero byte": (b"model:\n  cell: g\0ru\n", "line 2, column 10", "U+0000"),
    "a control character": (b"data:\n  glob: a\n# \x1b[2J\n", "line 3, column 3", "U+001B"),
    "deep brackets": ("[" * 100_000, "line 1, column 9", "nested too deeply"),
    "deep dashes": ("- " * 100_000, "line 1, column 17", "nested too deeply"),
    "Latin-1": ("data:\n  glob: café\n".encode("latin-1"), "line 2, column 12", "byte 17 is 0xe9"),
    "Latin-1 after a mark": ("\ufeff# é\n".encode() + b"# \xe9\n", "line 2, column 3", "0xe9"),
    "UTF-16": ("model:\n".encode("utf-16"), "line 1, column 1", "expected UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "line 1, column 1", "expected UTF-8"),
    "100 000 names": ("a: 1\n" * 100_000, "line 1001, column 1", "more names than there are settings"),
    "two megabytes": (b"#" * (2 << 20), "", "more than 1,048,576 bytes"),
}

# a command line and what its message says
LINES: dict[str, list[str]] = {
    "train --set": ["--set"],
    "train --set =": ["is no setting"],
    "train --set model.cell": ["section.field=value"],
    "train --set model.cell=lsmt": ["model.cell", 'did you mean "lstm"?'],
    "train --set model.cel=lstm": ['did you mean "cell"?'],
    "train --set modle.cell=lstm": ['did you mean "model"?'],
    "train --set cell=lstm": ['did you mean "model.cell"?'],
    "train --set model.hidden_size=1e3": ["model.hidden_size", "a whole number"],
    "train --set model.hidden_size=-1": ["between 1 and"],
    "train --set training.seed=9223372036854775808": ["training.seed", "between 0 and"],
    "train --set data.bytes=perhaps": ["expected true or false"],
    "train --set model.dropout=inf": ["model.dropout"],
    "train --hidden_size 3": ["--hidden_size", "--hidden-size"],
    "train --hidden-size": ["--hidden-size"],
    "train --hidden-size 3.5": ["--hidden-size", "3.5"],
    "train --hidden-size 0": ["--hidden-size", "between 1 and"],
    "train --hidden-size 99999999999999999999": ["--hidden-size", "between 1 and"],
    "train --num-layers 65": ["--num-layers", "between 1 and 64"],
    "train --embedding-size -1": ["--embedding-size"],
    "train --batch-size 0": ["--batch-size"],
    "train --window 65537": ["--window"],
    "train --steps -5": ["--steps"],
    "train --epochs nan": ["--epochs"],
    "train --epochs -1": ["--epochs"],
    "train --learning-rate 1e400": ["--learning-rate"],
    "train --val-fraction 0.95": ["--val-fraction"],
    "train --patience x": ["--patience"],
    "train --seed -1": ["--seed"],
    "train --threads 4097": ["--threads"],
    "train --checkpoint-every soon": ["--checkpoint-every", '"soon"'],
    "train --on-nan rolback": ['did you mean "rollback"?'],
    "train --optimizer mouon": ['did you mean "muon"?'],
    "train --cell LSTM": ["rnn, lstm, cifg, gru"],
    "train --activation than": ['did you mean "tanh"?'],
    "train --device tpu": ["auto, cpu, cuda, mps"],
    "train --name ../x": ["--name"],
    "train --resume X --init-from Y": ["--resume"],
    "train --config": ["--config"],
    "tarin": ['did you mean "train"?'],
    "": ["Usage:"],
}

REFUSED = ConfigError.exit_code


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(content: str | bytes) -> None:
    Path("s.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())


def assert_one_line(code: int, out: str, err: str) -> None:
    assert (code, out) == (REFUSED, ""), err
    assert err.startswith("charnet: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable()
    assert len(err) < 1000


@pytest.mark.parametrize("kind", FILES)
def test_a_mistake_in_a_file_of_settings_is_named_with_its_place(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, where, what = FILES[kind]
    write(content)
    with at_most(60):
        code = run(["train", "--config", "s.yaml"])
    out, err = capsys.readouterr()
    assert_one_line(code, out, err)
    assert err.startswith("charnet: s.yaml" + (f", {where}: " if where else ": "))
    assert what in err
    assert [path.name for path in folder.iterdir()] == ["s.yaml"]


@pytest.mark.parametrize("line", LINES)
def test_a_wrong_command_line_is_refused_before_anything_happens(
    line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(line.split())
    out, err = capsys.readouterr()
    assert (code, out) == (REFUSED, ""), err
    if line:
        assert_one_line(code, out, err)
    for word in LINES[line]:
        assert word in err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("option", ["--set", "--cell", "--optimizer", "--checkpoint-every", "--name"])
def test_an_option_of_a_million_characters_is_refused_in_a_line(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_most(60):
        code = run(["train", option, "x" * 10**6])
    assert_one_line(code, *capsys.readouterr())


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202e", "\udcff", "[red]x[/]", "\x9b2J"], ids=ascii)
@pytest.mark.parametrize("option", ["--set", "--cell", "--device", "--checkpoint-every", "--hidden-size"])
def test_an_option_cannot_command_a_terminal(option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert_one_line(run(["train", option, text]), *capsys.readouterr())


@pytest.mark.parametrize("name", ["model.hidden_size", "training.clip", "data.paths", "data.bytes", "model.cell"])
@pytest.mark.parametrize(
    "value", [10**5000, [[[]]] * 1000, {"x" * 10**6: 1}, 1e400], ids=["digits", "lists", "x", "inf"]
)
def test_a_monstrous_value_is_refused_in_a_line(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: ") as caught:
        overlay(Config(), {name: value})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


FILES_THAT_ARE_NONE: dict[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "a folder": lambda path: path.mkdir(),
    "links in a circle": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("none"),
}


@pytest.mark.parametrize("kind", FILES_THAT_ARE_NONE)
def test_settings_that_cannot_be_read_are_an_error_of_storage(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FILES_THAT_ARE_NONE[kind](folder / "s.yaml")
    assert run(["train", "--config", "s.yaml"]) == StorageError.exit_code
    err = capsys.readouterr().err
    assert err.startswith("charnet: s.yaml: cannot be read: ")
    assert err[:-1].isprintable()


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=ascii)
def test_settings_of_an_impossible_name_are_an_error_of_storage(name: str) -> None:
    with pytest.raises(StorageError, match="cannot be read") as caught:
        read_yaml(Path(name))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_settings_without_an_end_are_refused(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not os.path.exists(device):
        pytest.skip(f"no {device} here")
    with at_most(60):
        assert_one_line(run(["train", "--config", device]), *capsys.readouterr())


# ------------------------------------------------------------------------------------- in a process of their own


def in_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "charnet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("kind", ["a setting misspelled", "a tag that calls", "a zero byte"])
def test_a_process_refuses_a_file_of_settings_in_a_line(kind: str) -> None:
    content, where, what = FILES[kind]
    write(content)
    end = in_process("train", "--config", "s.yaml")
    assert_one_line(end.returncode, end.stdout, end.stderr)
    assert f"s.yaml, {where}: " in end.stderr
    assert what in end.stderr


# Runs the command lines that it reads, each with what it printed: so a refusal loads none of what takes long to load.
LIGHT = """
import contextlib, io, sys
from charnet.cli.app import run
for line in sys.stdin:
    with contextlib.redirect_stderr(io.StringIO()) as err:
        code = run(line.split())
    heavy = {"numpy", "torch", "numba", "rich"} & sys.modules.keys()
    print(code, ascii(err.getvalue()), *sorted(heavy), flush=True)
"""


@pytest.mark.faults
def test_a_wrong_command_line_or_file_of_settings_is_refused_before_numpy_and_torch_load() -> None:
    lines = [line for line in LINES if line]
    for number, kind in enumerate(FILES):
        write(FILES[kind][0])
        Path("s.yaml").rename(f"{number}.yaml")
        lines.append(f"train --config {number}.yaml")
    end = subprocess.run(
        [sys.executable, "-c", LIGHT], input="\n".join(lines), capture_output=True, text=True, check=True, timeout=300
    )
    answers = end.stdout.splitlines()
    assert len(answers) == len(lines)
    for line, answer in zip(lines, answers, strict=True):
        assert answer.startswith(f"{REFUSED} "), line
        assert answer.endswith(("'", '"')), f"{line} loads {answer.rsplit(maxsplit=1)[-1]}"
