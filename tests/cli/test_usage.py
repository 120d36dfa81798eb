"""What charnet answers to command lines that it does not understand."""

from __future__ import annotations

import os
import sys
import termios
from pathlib import Path

import pytest
import typer.main

from charnet import synonyms
from charnet.cli import console, usage
from charnet.cli.app import app, run
from charnet.errors import nearest

ROOT = typer.main.get_command(app)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checkpoints/tempest").mkdir(parents=True)
    Path("checkpoints/tempest/last.safetensors").touch()
    Path("odd").touch()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("train --lr 1", "charnet train has no option --lr; it is --learning-rate here"),
        ("train --gpu", "charnet train has no option --gpu; it is --device cuda here"),
        ("train --batch 3", "charnet train has no option --batch; it is --batch-size here"),
        ("train --epoch 3", "charnet train has no option --epoch; it is --epochs here"),
        ("train --n_layers 3", "charnet train has no option --n_layers; it is --num-layers here"),
        ("train --layers=3", "charnet train has no option --layers; it is --num-layers here"),
        ("train --hidden 3", "charnet train has no option --hidden; it is --hidden-size here"),
        ("train --seq-length 3", "charnet train has no option --seq-length; it is --window here"),
        ("train --block_size 3", "charnet train has no option --block_size; it is --window here"),
        ("train --rnn-size 3", "charnet train has no option --rnn-size; it is --hidden-size here"),
        ("train --iters 3", "charnet train has no option --iters; it is --steps here"),
        ("train --model lstm", "charnet train has no option --model; it is --cell here"),
        ("train --data x", "charnet train has no option --data; give it without an option, as in charnet "
                           "train book.txt"),
        ("train --temperature 1", "charnet train has no option --temperature; --temperature belongs to charnet sample"),
        ("train --learning_rate 1", "charnet train has no option --learning_rate; it is --learning-rate here"),
        ("train -rnn_size 3", "-rnn_size has one dash in front, and long options have two: --hidden-size"),
        ("train -gpuid -1", "-gpuid has one dash in front, and long options have two: --device cuda, or cpu for -1"),
        ("train -input_h5 x.h5", "-input_h5 has one dash in front, and long options have two: give it as in charnet "
                                 "train book.txt"),
        ("train -train_frac 0.9", "-train_frac has one dash in front, and long options have two: --val-fraction"),
        ("train --min_lr 1", "charnet train has no option --min_lr; it is --set training.final_learning_rate=0.01 "
                             "here"),
        ("train --nhid 3", "charnet train has no option --nhid; it is --hidden-size here"),
        ("train -word_level 1", "charnet train has no option -word_level; see charnet train --help"),
        ("sample -sample 0", "charnet sample has no option -sample (did you mean --samples?); see charnet sample "
                             "--help"),
        ("sample -verbose 0", "charnet sample has no option -verbose; see charnet sample --help"),
        ("sample -gpuid 0", "charnet sample has no option -gpuid; --device cuda belongs to charnet train"),
        ("export --format onnx", "charnet export has no option --format; it is --html, --onnx, --safetensors or "
                                 "--numpy here"),
        ("sample -temperature 1", "-temperature has one dash in front, and long options have two: --temperature"),
        ("sample --model x", "charnet sample has no option --model; give it without an option, as in charnet "
                             "sample book"),
        ("sample --start_text x", "charnet sample has no option --start_text; it is --prompt here"),
        ("sample --lr 1", "charnet sample has no option --lr; --learning-rate belongs to charnet train"),
        ("sample --zzz", "charnet sample has no option --zzz; see charnet sample --help"),
        ("sample -Z", "charnet sample has no option -Z; see charnet sample --help"),
        ("sample --prmopt x", "charnet sample has no option --prmopt (did you mean --prompt?); see charnet "
                              "sample --help"),
        ("--for 5m", "charnet has no option --for; options stand behind a command, as in charnet train --for 5m; "
                     "see charnet --help"),
        ("ls", 'there is no command "ls"; it is charnet runs here'),
        ("generate", 'there is no command "generate"; it is charnet sample here'),
        ("test", 'there is no command "test"; it is charnet eval here'),
        ("info", 'there is no command "info"; it is charnet inspect here'),
        ("help", 'there is no command "help"; it is charnet --help here'),
        ("help train", 'there is no command "help"; it is charnet train --help here'),
        ("trian", 'there is no command "trian" (did you mean "train"?); see charnet --help'),
        ("xyzzy", 'there is no command "xyzzy"; see charnet --help'),
        ("bench smaple", 'charnet bench has no command "smaple" (did you mean "sample"?); see charnet bench --help'),
        ("cache rm", 'charnet cache has no command "rm"; it has list, clear; see charnet cache --help'),
        ("book.txt", "book.txt is a text, no command; to train on it: charnet train book.txt"),
        ("odd", "odd is a text, no command; to train on it: charnet train odd"),
        ("text8", "text8 is a known text, no command; to train on it: charnet train text8"),
        ("tempest", "tempest is a run, no command; to write with it: charnet sample tempest"),
        ("book.cnz", "book.cnz is no command; to restore it: charnet decompress book.cnz"),
        ("-v", "charnet has no option -v; it is charnet --version here"),
        ("-V", "charnet has no option -V; it is charnet --version here"),
        ("corpus odd", "odd is a text, no command of charnet corpus; to describe it: charnet corpus info odd"),
        ("corpus text8", "text8 is a text, no command of charnet corpus; to describe it: charnet corpus info text8"),
        ("train odd --for 20 seconds", "--for 20 seconds: a time is one word: give it as in --for 20s"),
        ("train --for=1 Hour 30 minutes odd", "--for 1 Hour 30 minutes: a time is one word: give it as in --for 1h30m"),
        ("sweep odd --for 2 h", "--for 2 h: a time is one word: give it as in --for 2h"),
        ("train odd --for 1h 30min", "--for 1h 30min: a time is one word: give it as in --for 1h30m"),
        ("train odd --for 1.5 Hours 3", "--for 1.5 Hours: a time is one word: give it as in --for 1.5h"),
        ("train --checkpoint-every 5 min", "--checkpoint-every 5 min: a time is one word: give it as in "
                                           "--checkpoint-every 5m"),
        ("train --for 0s", "--for: train for at least one second and at most thirty days, not for 0 s; for example "
                           "90s, 5m, 2h, 1h30m, 1d, or 1:30 for a minute and a half"),
        ("sample -n -5", "-n: expected a number between 0 and 1,000,000,000,000, found -5"),
        ("train --learning-rate -1", "--learning-rate: expected a number between 0 and 1,000, found -1.0"),
        ("train --set training.learning_rate=-1", "training.learning_rate: expected a number between 0 and 1,000, "
                                                  "found -1.0"),
        ("train --steps many", '--steps: expected a whole number, found "many"'),
        ("train --dropout x", '--dropout: expected a number, found "x"'),
        ("lesson --steps 0", "--steps: expected a number, at least 1, found 0"),
        ("serve --port 99999", "--port: expected a number between 0 and 65,535, found 99999"),
        ("sample -n", "-n: expected a value, found none"),
        ("inspect --json=3", "--json: expected no value, found one"),
        ("compress", "charnet compress needs TEXT, as in: charnet compress book.txt"),
        ("inspect a b c", 'charnet inspect takes one argument, found "b c" beyond; a text with spaces needs quotation '
                          "marks; see charnet inspect --help"),
    ],
)  # fmt: skip
def test_the_answer_names_what_was_found_and_what_to_type(
    line: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    assert capsys.readouterr() == ("", f"charnet: {answer}\n")


@pytest.mark.parametrize(
    ("line", "code", "beginning"),
    [
        ("export tempest --numpy -o model.numpy", 6, "model.numpy: already exists"),  # and no setting
        ("train data.lines --lines", 3, "data.lines: "),  # a setting has this name, too
        ("train odd --config training.yaml --seed 3", 2, "training.yaml, line 2, column 3: training.seed: expected"),
        ("train --set training.seed=-1 --steps 3", 2, "training.seed: expected a number"),
        ("train --learning-rate -1", 2, "--learning-rate: expected a number"),
    ],
)
def test_only_a_setting_takes_the_name_of_its_flag_and_no_file(
    line: str, code: int, beginning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("model.numpy").touch()
    Path("training.yaml").write_text("training:\n  seed: -1\n")
    assert run(line.split()) == code
    assert capsys.readouterr().err.startswith(f"charnet: {beginning}")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ('model.cell: found "a training.seed b"', '--cell: found "a training.seed b"'),
        ("model.members and model.cell: too many", "model.members and --cell: too many"),
        ("a.txt: model.cell in a text", "a.txt: model.cell in a text"),
        ("model.cell.txt: there is no such file", "model.cell.txt: there is no such file"),
    ],
)
def test_what_is_quoted_or_of_a_file_keeps_its_words(message: str, answer: str) -> None:
    assert usage.as_typed(message, ["train", "--cell=rnn", "--seed", "3"]) == answer


def test_the_value_of_an_option_may_look_like_an_option_with_one_dash() -> None:
    assert run(["sample", "-p", "-prompt", "missing"]) == 4
    assert run(["sample", "--", "-prompt"]) == 4


@pytest.mark.parametrize(("wrong", "known"), [("gpu", "cpu"), ("lr", "lines"), ("zip", "tip"), ("gru", "gpu")])
def test_a_word_that_is_little_like_a_known_one_is_not_guessed(wrong: str, known: str) -> None:
    assert nearest(wrong, [known]) == ""


def test_every_synonym_names_an_option_or_a_command_that_exists() -> None:
    flags = {flag for command in ROOT.commands.values() for each in command.params for flag in each.opts}
    for names in synonyms.OPTIONS.values():
        assert all(f"--{name.split()[0]}" in flags for name in names), names
    for command, *_ in synonyms.COMMANDS.values():
        first, *more = command.split()
        assert first in ROOT.commands or f"{first}" in ("--help", "--version")
        if more and more[0].startswith("-"):
            assert more[0] in {flag for each in ROOT.commands[first].params for flag in each.opts}
        elif more and first in ("corpus", "cache"):
            assert more[0] in ROOT.commands[first].commands


def test_no_word_of_ours_is_a_synonym_of_another_command() -> None:
    assert not set(synonyms.COMMANDS) & set(ROOT.commands)


@pytest.mark.parametrize(("columns", "lines"), [(30, 3), (0, 1), (500, 1)])
def test_on_a_terminal_a_message_is_wrapped_at_its_width_and_a_command_to_copy_is_not(columns: int, lines: int) -> None:
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with os.fdopen(slave, "w") as screen, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", screen)
        console.error("corpus.txt: there is no such file; name another one of these")
        console.note("  charnet sample checkpoints/a-long-name --temp 0.8")
    written = b""
    while b"0.8" not in written:  # the kernel may hand over the lines one after the other
        written += os.read(master, 1000)
    os.close(master)
    shown = written.decode().replace("\r\n", "\n").splitlines()
    assert len(shown) == lines + 1
    assert shown[0].startswith("charnet: corpus.txt: ")
    assert all(line.startswith("  ") and len(line) <= columns for line in shown[1:-1])
    assert shown[-1] == "  charnet sample checkpoints/a-long-name --temp 0.8"


def test_a_message_is_wrapped_between_words() -> None:
    text = "charnet: corpus.txt: there is no such file; name another"
    assert list(console.wrapped(text, 24, "  ", "")) == [
        "charnet: corpus.txt:",
        "  there is no such file;",
        "  name another",
    ]
    assert list(console.wrapped("x" * 40 + " y", 24, "  ", "")) == ["x" * 40, "  y"]
    assert list(console.wrapped("\u4e2d" * 6 + " \u6587", 13, "", "")) == ["\u4e2d" * 6, "\u6587"]
    assert list(console.wrapped(text, 0, "  ", "")) == [text]


def test_a_file_whose_name_begins_with_a_dash_is_no_unknown_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-x.txt").write_text("a text of a few words\n" * 9)
    for command in (["corpus", "info"], ["train"]):
        assert run([*command, "-x.txt"]) == 2
        assert capsys.readouterr().err == "charnet: -x.txt is a file here: give it as ./-x.txt\n"
    assert run(["corpus", "info", "./-x.txt"]) == 0
    assert run(["corpus", "info", "-y.txt"]) == 2
    assert "has no option" in capsys.readouterr().err


def test_flags_behind_a_regular_expression_are_answered_with_what_stands_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\n1\nb\n2\n" * 9)
    for given in (r"/^\d$/m", "/^1$/gi"):
        assert run(["corpus", "info", str(path), "--documents", given]) == 2
        assert "no letters stand behind /REGEX/" in capsys.readouterr().err
    assert run(["corpus", "info", str(path), "--documents", r"/^\d$/"]) == 0
