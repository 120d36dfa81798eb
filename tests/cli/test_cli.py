"""The command line, mostly in this process; signals, pipes and imports are tested in a process of their own."""

from __future__ import annotations

import io
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import accept_signals, sentences

import charnet
from charnet import overlay
from charnet.cli.app import run
from charnet.config import SamplingOptions, flags_of
from charnet.generation.detokenizer import Chunk
from charnet.limits import options_of
from charnet.signals import SignalGuard
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.training import planner, setup

COMMANDS = {
    "train": ["The text", "The model", "Training", "The run", "Output"],
    "sample": ["The prompt", "Learning", "Writing", "Computation", "Output"],
    "inspect": ["Output"],
    "insight": ["The text", "What to look at", "Output"],
    "serve": ["The network", "Writing"],
    "runs": ["Output"],
    "eval": ["The text", "Learning", "Output"],
    "import": ["The model", "Output"],
    "bench sample": ["Output"],
    "bench controls": ["Output"],
    "bench train": ["Output"],
    "export": ["Formats", "Output"],
    "guide": ["Pages"],
    "doctor": ["Output"],
}
SMALL = [
    *("--hidden-size", "8", "--batch-size", "3", "--window", "5", "--threads", "1", "--optimizer", "sgd"),
    *("--steps", "8", "--set", "training.eval_every=4", "--set", "training.report_every=2"),
]


@dataclass
class Result:
    code: int
    out: str
    err: str


Charnet = Callable[..., Result]


@pytest.fixture
def charnet_(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Charnet:
    """Runs a command line in an empty folder that holds one text and one finished run, `pets`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    shutil.copytree(tiny_run, tmp_path / "checkpoints" / "pets")
    Path("pets.txt").write_text(sentences(150))

    def call(*arguments: object, stdin: bytes | None = None) -> Result:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def sample(charnet_: Charnet) -> Callable[..., str]:
    """Runs `charnet sample` with these options, which must succeed, and returns the text."""

    def call(*arguments: object, **more: Any) -> str:
        result = charnet_("sample", "-q", *arguments, **more)
        assert (result.code, result.err) == (0, "")
        return result.out

    return call


def assert_refused(result: Result, code: int, *words: str) -> None:
    """Checks for one line on stderr with these words, nothing on stdout and this exit code."""
    assert result.code == code, result.err
    assert result.out == ""
    assert result.err.startswith("charnet: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1
    assert len(result.err) < 500
    for word in words:
        assert word in result.err


def in_process(*arguments: object, **more: Any) -> subprocess.CompletedProcess[Any]:
    command = [sys.executable, "-m", "charnet", *map(str, arguments)]
    options = {"capture_output": True, "timeout": 60, "check": False} | more
    return subprocess.run(command, text=False, **options)


# ------------------------------------------------------------------------------------------- a time: --for


def test_a_run_is_planned_for_a_time_and_its_loss_compared_with_baselines(charnet_: Charnet) -> None:
    result = charnet_("train", "pets.txt", "--for", "1s", "--threads", "1", "--name", "timed")
    assert result.code == 0
    assert result.out == ""
    lines = result.err.splitlines()
    assert any(line.startswith("plan for 0:01: about ") and "passes over the text" in line for line in lines)
    assert any(line.startswith("for comparison: ") and "-gram" in line and "xz -9e" in line for line in lines)
    assert not any("more time would make it better" in line for line in lines)  # the verdict says what would
    with Path("checkpoints/timed/metrics.jsonl").open() as file:
        assert json.loads(next(file)) == {"step": 0, "planned_seconds": 1.0}


@pytest.mark.parametrize("text", ["ab", "x" * 9])
def test_a_text_of_so_few_characters_that_a_loss_means_nothing_is_code_3(charnet_: Charnet, text: str) -> None:
    Path("tiny.txt").write_text(text)
    line = f"tiny.txt: {len(text)} characters, too few to learn from: give at least 10"
    assert_refused(charnet_("train", "tiny.txt", "--for", "1s"), 3, line)


@pytest.mark.exhaustive
def test_settings_given_with_a_time_stay(charnet_: Charnet) -> None:
    line = "train pets.txt --for 1s --threads 1 --name own --hidden-size 24 --dropout 0.25 --cell gru -q"
    assert charnet_(*line.split()).code == 0
    settings = Path("checkpoints/own/config.yaml").read_text()
    for setting in ("cell: gru", "hidden_size: 24", "dropout: 0.25"):
        assert f"  {setting} " in settings


# ------------------------------------------------------------------------------------------- usage errors: 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trian", ['"trian"', 'did you mean "train"?', "charnet --help"]),
        ("train --hiden-size 3", ["--hiden-size", "--hidden-size", "charnet train --help"]),
        ("train --cell lsmt", ['"lsmt"', 'did you mean "lstm"?', "rnn, lstm, cifg, gru"]),
        ("train --optimizer adam", ['"adam"', 'did you mean "adamw"?']),
        ("train --device gpu", ['"gpu"', "auto, cpu, cuda, mps"]),
        ("train --activation rleu", ['did you mean "relu"?']),
        ("train --steps many", ["--steps"]),
        ("train --steps 1e3", ["--steps"]),
        ("train --steps 0", ["--steps: ", "between 1 and"]),
        ("train --dropout 1", ["--dropout: ", "between 0 and 0.95"]),
        ("train --dropout nan", ["--dropout: "]),
        ("train --learning-rate inf", ["--learning-rate: "]),
        ("train --val-fraction -0.1", ["--val-fraction: "]),
        ("train --steps 5 --epochs 1", ["--steps and --epochs"]),
        ("train --for soon", ["--for", '"soon"', "90s, 5m, 2h"]),
        ("train --for 1:60", ["--for", '"1:60"', "1:30 for a minute and a half"]),
        ("train --checkpoint-every soon", ["--checkpoint-every: ", '"soon"', "90s, 5m, 2h"]),
        ("train --for 0s", ["--for: train for at least one second", "not for 0 s"]),
        ("train --for 5m --steps 5", ["--steps and --for: ", "one length"]),
        ("train --for 5m --set training.epochs=5", ["training.epochs and --for: ", "one length"]),
        ("train --resume pets --for 5m", ["--for plans a new run", "--steps"]),
        ("train --set training.length_changes=5", ["pairs of a step and a length", "5"]),
        ("train --set training.setps=5", ['"setps"', 'did you mean "steps"?']),
        ("train --set steps=5", ["section.field"]),
        ("train --set training.steps", ["section.field=value"]),
        ("train --set training.steps=5_0", ["expected a whole number"]),
        ("train pets.txt --encoding utf-9", ['"utf-9"', "try utf-8"]),
        ("train pets.txt --window 8 --name a/b", ["--name"]),
        ("train --resume pets --name other", ["--resume", "--name"]),
        ("train --resume pets --hidden-size 8", ["--hidden-size cannot change in a run", "leave it out"]),
        ("train --resume pets --optimizer sgd", ["--optimizer cannot change in a run", "--init-from"]),
        ("train pets.txt --continue", ["--continue needs --resume"]),
        ("train --resume pets", ["already at step 120 of 120", "--steps 240"]),
        ("train pets.txt --init-from pets --cell gru", ["--init-from", "cell lstm"]),
        ("sample --prmopt x", ["--prmopt", "--prompt"]),
        ("sample -p a --prompt-file b", ['--prompt "a" and --prompt-file "b"']),
        ("sample -n", ["-n"]),
        ("sample --temp warm", ["--temp", "0.5:1.2", "'warm'"]),
        ("sample --temp 0.5:", ["--temp", "0.5:1.2"]),
        ("sample --temp 0.5:101", ["--temp", "between 0 and 100", "101"]),
        ("sample --until chapter", ["--until", "sentence, line, paragraph"]),
        ("sample --logit-bias e", ["--logit-bias", "CHARACTER=NUMBER", "e=-2"]),
        ("sample --logit-bias e=much", ["--logit-bias", "e=-2"]),
        ("sample --logit-bias e=nan", ["--logit-bias", "between -1,000 and 1,000"]),
        ("sample --logit-bias Ω=1", ["--logit-bias", "does not know 'Ω'"]),
        ("sample --repetition-penalty 0", ["--repetition-penalty", "between 0.01 and 100"]),
        ("sample --typical-p 2", ["--typical-p", "between 0 and 1"]),
        ("sample --max-lines -1", ["--max-lines", "at least 0"]),
        ("sample pets pets.txt more.txt", ["more.txt"]),
        ("eval pets", ["Missing argument"]),
        ("eval pets pets.txt --threads -1", ["--threads: "]),
        ("inspect --jsn", ["--jsn"]),
        ("bench smaple", ["smaple"]),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(charnet_: Charnet, line: str, words: list[str]) -> None:
    assert_refused(charnet_(*line.split(" ")), 2, *words)
    assert [path.name for path in Path("checkpoints").iterdir()] == ["pets"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--temp", v) for v in ("-1", "101", "nan", "inf", "-inf")],
        ("--top-k", "-1"),
        *[("--top-p", v) for v in ("-0.1", "1.1", "nan")],
        *[("--min-p", v) for v in ("-0.1", "1.1", "nan")],
        ("-n", "-1"),
        ("--seed", "-1"),
        ("--samples", "0"),
        ("--samples", "-1"),
        ("--stop", ""),
        ("--unknown", "drop"),
    ],
)
def test_a_sampling_option_out_of_range_is_named_and_code_2(charnet_: Charnet, option: str, value: str) -> None:
    assert_refused(charnet_("sample", option, value), 2, option, "expected", value)


def test_without_a_command_the_help_is_shown_as_help(charnet_: Charnet) -> None:
    for arguments in ([], ["bench"]):
        result = charnet_(*arguments)
        assert result.err.startswith("Usage: charnet ")


# ------------------------------------------------------------------------------------------- text and prompt: 3


@pytest.mark.parametrize(
    "command", ["train pets.txt", "train pets.txt --lines", "train pets.txt --bytes", "corpus info pets.txt"]
)
def test_an_alphabet_without_a_character_is_code_2(charnet_: Charnet, command: str) -> None:
    refusal = "--min-count: no character occurs 100,000 times"
    assert_refused(charnet_(*command.split(), "--min-count", 100_000), 2, refusal)


def test_a_missing_text_is_code_3_and_the_nearest_is_named(charnet_: Charnet) -> None:
    assert_refused(charnet_("train", "pet.txt", "-q"), 3, "pet.txt: there is no such file", "did you mean pets.txt")


def test_an_unreadable_text_is_code_3(charnet_: Charnet) -> None:
    Path("empty.txt").touch()
    Path("short.txt").write_text("a")
    Path("latin.txt").write_bytes(b"caf\xe9\n" * 100)
    Path("folder").mkdir()
    Path("folder/code.py").touch()
    assert_refused(charnet_("train", "-q", "empty.txt"), 3, "the text is empty")
    assert_refused(charnet_("train", "-q", "short.txt"), 3, "short.txt: 1 character, too few", "give at least 10")
    assert_refused(charnet_("train", "-q", "latin.txt"), 3, "line 1, column 4", "--encoding cp1252")
    assert_refused(charnet_("train", "-q", "folder"), 3, "*.txt", "--glob '*.py'")
    assert_refused(charnet_("train", "-q", "-", stdin=b""), 3, "standard input: the text is empty")
    assert_refused(charnet_("train", "-q", "-", stdin=b"abc"), 3, "charnet: standard input: 3 characters, too few")
    assert_refused(charnet_("eval", "pets", "empty.txt"), 3, "the text is empty")
    assert_refused(charnet_("eval", "pets", "gone.txt"), 3, "gone.txt")


def test_an_unknown_character_of_the_prompt_is_named_and_code_3(charnet_: Charnet) -> None:
    result = charnet_("sample", "-q", "-p", "the cät")
    assert_refused(result, 3, "'ä' (U+00E4", "position 6", "'a'", "--unknown skip")


def test_a_prompt_that_is_not_utf8_is_code_3(charnet_: Charnet) -> None:
    Path("prompt").write_bytes(b"the\xff")
    assert_refused(charnet_("sample", "-q", "--prompt-file", "prompt"), 3, "UTF-8", "0xff at offset 3")
    assert_refused(charnet_("sample", "-q", "--prompt-file", "gone"), 3, "gone: there is no such file")


# ------------------------------------------------------------------------------------------- checkpoints: 4


def test_sample_and_inspect_without_any_run_say_how_to_make_one(charnet_: Charnet) -> None:
    shutil.rmtree("checkpoints")
    for command in ("sample", "inspect"):
        assert_refused(charnet_(command), 4, "no run here yet", "charnet train")


def test_a_missing_checkpoint_is_code_4_and_the_runs_there_are_named(charnet_: Charnet) -> None:
    for line in (["sample", "pest"], ["inspect", "pest"], ["eval", "pest", "pets.txt"], ["train", "--resume", "pest"]):
        assert_refused(charnet_(*line, *(["-q"] if line[0] in ("train", "sample") else [])), 4, "pest", "pets")


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\x03\x04 a zip of pickles", b"\x80\x04."])
def test_a_file_that_is_no_checkpoint_is_code_4(charnet_: Charnet, content: bytes) -> None:
    Path("model.pt").write_bytes(content)
    for command in ("sample", "inspect"):
        assert_refused(charnet_(command, "model.pt"), 4, "model.pt", "damaged or foreign")


def test_one_changed_byte_of_a_checkpoint_is_code_4(charnet_: Charnet) -> None:
    path = Path("checkpoints/pets/best.safetensors")
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    assert_refused(charnet_("sample"), 4, "checksum")


@pytest.mark.parametrize(
    ("line", "code"), [(["sample", "NAME"], 4), (["inspect", "NAME"], 4), (["eval", "pets", "NAME"], 3)]
)
def test_a_text_given_where_a_name_is_expected_is_refused_in_one_line(
    charnet_: Charnet, line: list[str], code: int
) -> None:
    pasted = "Once upon a time " * 20  # longer than any file may be named
    result = charnet_(*[pasted if word == "NAME" else word for word in line])
    assert_refused(Result(result.code, result.out, result.err.replace(pasted, "Once")), code)


def test_a_text_given_to_train_instead_of_a_file_is_refused_in_one_line(charnet_: Charnet) -> None:
    result = charnet_("train", "-q", pasted := "Once upon a time " * 20)
    assert_refused(Result(result.code, result.out, result.err.replace(pasted, "Once")), 3)


# ------------------------------------------------------------------------------------------- 5, 6 and signals


def test_a_diverging_training_is_code_5(charnet_: Charnet) -> None:
    wild = ["--cell", "rnn", "--activation", "relu", "--learning-rate", 1000, "--set", "training.clip=0", "--steps", 60]
    assert_refused(charnet_("train", "-q", "pets.txt", *SMALL, *wild), 5, "no longer a finite", "--learning-rate")


def test_what_the_disk_refuses_is_code_6(charnet_: Charnet) -> None:
    assert_refused(charnet_("train", "-q", "pets.txt", *SMALL, "--out", "pets.txt"), 6, "Not a directory", "--out")
    assert_refused(charnet_("train", "-q", "--config", "gone.yaml"), 6, "gone.yaml: cannot be read")
    assert_refused(charnet_("sample", "-q", "--prompt-file", "."), 6, ".: cannot be read: Is a directory")


def test_a_folder_of_runs_that_leads_nowhere_is_code_6(charnet_: Charnet, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs").symlink_to("gone")
    tries, mkdir = iter(range(100)), Path.mkdir

    def counted(*arguments: Any, **more: Any) -> None:
        assert next(tries, None) is not None, "tries forever"
        mkdir(*arguments, **more)

    monkeypatch.setattr(Path, "mkdir", counted)
    assert_refused(charnet_("train", "-q", "pets.txt", *SMALL, "--out", "runs"), 6, "runs")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("line", ["sample -q", "inspect --json", "--help"])
def test_a_full_disk_behind_stdout_is_code_6(charnet_: Charnet, line: str) -> None:  # noqa: ARG001 - for its folder
    with Path("/dev/full").open("w") as full:
        result = in_process(*line.split(), capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 6
    assert result.stderr.decode() == "charnet: standard output: cannot be written: No space left on device\n"


def test_ctrl_c_while_writing_is_code_130(charnet_: Charnet, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[Iterator[Chunk]]:
        def pieces() -> Iterator[Chunk]:
            yield Chunk("a")
            raise KeyboardInterrupt

        yield pieces()

    monkeypatch.setattr("charnet.generation.batch.texts", interrupted)
    result = charnet_("sample", "-q")
    assert (result.code, result.out, result.err) == (130, "a", "")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")], ids=["memory", "a thread"])
def test_a_command_without_memory_is_one_line_and_code_2(
    charnet_: Charnet, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: threading.Thread) -> None:
        raise error

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert_refused(charnet_("corpus", "info", "pets.txt"), 2, "not enough memory: ")


def test_a_bug_keeps_its_traceback(charnet_: Charnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charnet.generation.batch.texts", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        charnet_("sample", "-q")


# ------------------------------------------------------------------------------------------- sample


def test_the_newest_run_writes_where_none_is_named(sample: Callable[..., str]) -> None:
    assert sample("--seed", 1) == sample("checkpoints/pets", "--seed", 1) == sample("pets", "--seed", 1)


def test_the_same_seed_writes_the_same_text(sample: Callable[..., str]) -> None:
    assert sample("--seed", 1) == sample("--seed", 1) != sample("--seed", 2)


def test_without_a_seed_one_is_chosen_and_shown(charnet_: Charnet) -> None:
    result = charnet_("sample", "-n", 30)
    seed = result.err.split("seed ")[1].strip()
    assert charnet_("sample", "-n", 30, "--seed", seed).out == result.out


@pytest.mark.parametrize("length", [0, 1, 57])
def test_n_counts_the_characters_after_the_prompt(sample: Callable[..., str], length: int) -> None:
    assert len(sample("-n", length, "--seed", 1)) == length
    assert len(sample("-n", length, "--seed", 1, "-p", "the cat")) == 7 + length


def test_the_prompt_is_repeated_without_no_echo(sample: Callable[..., str]) -> None:
    options = ("-p", "the cat", "-n", 20, "--seed", 1)
    assert sample(*options) == "the cat" + sample(*options, "--no-echo")


@pytest.mark.parametrize("prompt", [b"the cat", b"\xef\xbb\xbfthe cat"], ids=["plain", "byte-order-mark"])
def test_a_prompt_comes_from_the_command_line_a_file_or_stdin(sample: Callable[..., str], prompt: bytes) -> None:
    Path("prompt.txt").write_bytes(prompt)
    options = ("-n", 20, "--seed", 1)
    expected = sample(*options, "-p", "the cat")
    assert sample(*options, "--prompt-file", "prompt.txt") == expected
    assert sample(*options, "-p", "-", stdin=prompt) == expected
    assert sample(*options, "--prompt-file", "-", stdin=prompt) == expected


def test_the_prompt_changes_what_follows(sample: Callable[..., str]) -> None:
    options = ("-n", 40, "--seed", 1, "--no-echo", "-p")
    assert sample(*options, "the c") != sample(*options, "sa")


def test_unknown_characters_can_be_left_out_and_are_counted(charnet_: Charnet) -> None:
    options = ("sample", "-n", 20, "--seed", 1, "--unknown", "skip", "-p")
    result = charnet_(*options, "THE the CAT cat")
    assert result.out == charnet_(*options, " the  cat").out
    assert "left out 6 characters" in result.err


def test_writing_ends_before_the_first_stop_text(sample: Callable[..., str]) -> None:
    free = sample("--seed", 1, "-n", 300)
    ended = sample("--seed", 1, "-n", 300, "--stop", "dog", "--stop", "\n")
    assert ended == min(free.partition("dog")[0], free.partition("\n")[0], key=len)


def test_banned_characters_do_not_appear_and_favored_ones_do(sample: Callable[..., str]) -> None:
    assert "t" not in sample("-n", "200", "--seed", "1", "--ban", "t", "--no-echo")
    assert set(sample("-n", "20", "--seed", "1", "--logit-bias", "a=500", "--no-echo")) == {"a"}


@pytest.mark.parametrize(
    "more", [["--ban", "tÜ"], ["--stop", "theÜ"], ["--logit-bias", "Ü=1"], ["--ban", "t\\u0308"]], ids=" ".join
)
def test_a_character_that_the_alphabet_lacks_is_refused_in_every_option(charnet_: Charnet, more: list[str]) -> None:
    assert_refused(charnet_("sample", "-q", *more), 2, more[0], "the model does not know")


def test_banning_the_whole_alphabet_is_refused(charnet_: Charnet) -> None:
    known = "".join(sorted(set(sentences(900))))
    assert_refused(charnet_("sample", "-q", "--ban", known), 2, "--ban", "every character of the model is banned")


def test_a_penalty_makes_a_text_of_more_different_characters(sample: Callable[..., str]) -> None:
    line = ("-n", "400", "--seed", "1", "--temp", "0.3", "--no-echo")
    plain, penalized = sample(*line), sample(*line, "--repetition-penalty", "50", "--repetition-window", "3")
    windows = [[len(set(text[i : i + 4])) for i in range(len(text) - 4)] for text in (plain, penalized)]
    assert sum(windows[1]) > sum(windows[0])


def test_a_text_ends_with_the_line_or_after_max_lines(sample: Callable[..., str]) -> None:
    text = sample("-n", "300", "--seed", "1", "--no-echo")
    assert text.count("\n") > 3
    assert sample("-n", "300", "--seed", "1", "--no-echo", "--until", "line") == text.split("\n")[0]
    assert sample("-n", "300", "--seed", "1", "--no-echo", "--max-lines", "3") == "\n".join(text.split("\n")[:3])


def test_a_temperature_may_change_on_the_way(sample: Callable[..., str]) -> None:
    line = ("-n", "200", "--seed", "1", "--no-echo", "--temp")
    assert sample(*line, "0.7:0.7") == sample(*line, "0.7")
    cold, growing = sample(*line, "0"), sample(*line, "0:3")
    assert growing[:3] == cold[:3]
    assert growing != cold


def test_a_stop_text_that_never_comes_changes_nothing(sample: Callable[..., str]) -> None:
    assert sample("--seed", 1, "--stop", "the ttt") == sample("--seed", 1)


def test_several_samples_differ_and_the_first_is_the_single_one(sample: Callable[..., str]) -> None:
    texts = sample("--seed", 1, "-n", 50, "--samples", 3).split("\n---\n")
    assert [len(text) for text in texts] == [50] * 3
    assert len(set(texts)) == 3
    assert texts[0] == sample("--seed", 1, "-n", 50)


def test_json_is_one_valid_object_a_text(sample: Callable[..., str]) -> None:
    options = ("--seed", 1, "-n", 50, "--samples", 2, "-p", "the ")
    objects = [json.loads(line) for line in sample(*options, "--json").splitlines()]
    assert "\n---\n".join(o["text"] for o in objects) == sample(*options)
    assert [(o["index"], o["seed"], o["prompt"], o["length"]) for o in objects] == [(i, 1, "the ", 50) for i in (0, 1)]
    assert {o["weights_sha256"] for o in objects} == {Checkpoint.load(runs.find(None)).weights_sha256()}


def test_a_text_is_written_again_from_its_json(sample: Callable[..., str]) -> None:
    line = "-n 60 --samples 3 -p the --temp 0.7:1.1 --ban c --logit-bias a=1.5 --stop tt --until paragraph --json"
    for record in map(json.loads, sample("--seed", 5, *line.split()).splitlines()):
        options = {name: record[name] for name in SamplingOptions.__dataclass_fields__}
        model = charnet.load(record["checkpoint"], engine=record["engine"])
        assert model.checkpoint.weights_sha256() == record["weights_sha256"]
        assert model.generate(record["prompt"], index=record["index"], **options) == record["text"]


def test_json_says_how_unexpected_a_text_was_and_with_surprise_each_character(sample: Callable[..., str]) -> None:
    options = ("--seed", 1, "-n", 50, "-p", "the ", "--json")
    plain, each = (json.loads(sample(*options, *more)) for more in ((), ("--surprise",)))
    assert "nats" not in plain
    assert len(each["nats"]) == 50
    assert plain["nats_per_char"] == each["nats_per_char"] == pytest.approx(sum(each["nats"]) / 50, abs=1e-5)
    assert json.loads(sample("-n", 0, "--json"))["nats_per_char"] is None


def test_surprise_without_a_terminal_is_plain_text_with_a_note(charnet_: Charnet) -> None:
    result = charnet_("sample", "--seed", 1, "-n", 50, "--surprise")
    assert result.out == charnet_("sample", "--seed", 1, "-n", 50).out
    assert "--surprise: colors need a terminal" in result.err


def test_texts_in_a_file_are_those_on_the_screen(charnet_: Charnet, sample: Callable[..., str]) -> None:
    options = ("--seed", 1, "-n", 50, "--samples", 2, "-p", "the ")
    for form in ((), ("--json",)):
        expected = sample(*options, *form)
        result = charnet_("sample", *options, *form, "--out", f"texts{len(form)}")
        assert (result.code, result.out) == (0, "")
        assert f"2 texts in texts{len(form)}" in result.err
        assert Path(f"texts{len(form)}").read_text() == expected
    assert sorted(path.name for path in Path().iterdir()) == ["checkpoints", "pets.txt", "texts0", "texts1"]


def test_each_text_gets_its_file_in_a_folder(sample: Callable[..., str]) -> None:
    texts = sample("--seed", 1, "-n", 50, "--samples", 3).split("\n---\n")
    assert sample("--seed", 1, "-n", 50, "--samples", 3, "--out-dir", "new/texts") == ""
    assert {path.name: path.read_text() for path in Path("new/texts").iterdir()} == {
        f"00{number}.txt": text for number, text in enumerate(texts, 1)
    }
    sample("--seed", 1, "-n", 50, "--samples", 2, "--json", "--out-dir", "new/objects")
    assert json.loads(Path("new/objects/002.json").read_text())["text"] == texts[1]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("--out pets.txt", 6, ["pets.txt: already exists", "--force"]),
        ("--out checkpoints", 6, ["is a folder", "--out-dir"]),
        ("--out /dev/null --force", 6, ["is not a regular file", "> /dev/null"]),
        ("--out no/such/file.txt", 6, ["no/such/file.txt: cannot be written"]),
        ("--out-dir taken --samples 2", 6, ["taken/002.txt: already exists"]),
        ("--out-dir pets.txt", 6, ["pets.txt"]),
        ("--out a --out-dir b", 2, ["--out and --out-dir", "leave one out"]),
        ("-i --json", 2, ["-i: leave out --json"]),
        ("-i --prompt-file -", 2, ["-i: leave out"]),
    ],
)
def test_no_file_is_replaced_without_force(charnet_: Charnet, line: str, code: int, words: list[str]) -> None:
    Path("taken").mkdir()
    Path("taken/002.txt").write_text("mine")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert_refused(charnet_("sample", "-q", "-n", 20, *line.split()), code, *words)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


OUT = [
    "sample -n 5 --out",
    "sample -n 5 --force --out",
    "sample -n 5 --json --force --out",
    "quantize pets --out",
    "export pets --numpy --out",
]


@pytest.mark.parametrize("line", OUT)
def test_no_file_is_made_of_the_name_that_means_a_stream_elsewhere(charnet_: Charnet, line: str) -> None:
    before = sorted(Path().iterdir())
    assert_refused(charnet_(*line.split(), "-"), 6, "-: is not the name of a file; ")
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("line", OUT)
def test_no_link_and_no_device_is_replaced_or_written_through(charnet_: Charnet, line: str) -> None:
    Path("file").write_text("mine")
    os.mkfifo("pipe")
    for name, target in {"link": "file", "dead": "nowhere", "null": "/dev/null", "out": "/dev/stdout"}.items():
        Path(name).symlink_to(target)
    before = sorted(Path().iterdir())
    for name in ("link", "dead", "null", "out"):
        assert_refused(charnet_(*line.split(), name), 6, f"{name}: is a link")
        assert Path(name).is_symlink()
    assert_refused(charnet_(*line.split(), "/dev/stdout"), 6, "/dev/stdout: is ")
    for name in ("pipe", "/dev/null"):
        assert_refused(charnet_(*line.split(), name), 6, f"{name}: is not a regular file")
    assert Path("/dev/null").is_char_device()
    assert Path("file").read_text() == "mine"
    assert sorted(Path().iterdir()) == before


def test_a_link_with_the_name_of_a_file_that_a_command_chooses_is_refused(charnet_: Charnet) -> None:
    Path("file").write_text("mine")
    Path("texts").mkdir()
    for name in ("texts/002.txt", "checkpoints/pets/best.int8.safetensors"):
        Path(name).symlink_to(Path("file").absolute())
    out = ("--out-dir", "texts", "--samples", 2, "--force")
    assert_refused(charnet_("sample", "-n", 5, *out), 6, "texts/002.txt: is a link")
    assert_refused(charnet_("quantize", "pets"), 6, "pets/best.int8.safetensors: is a link")
    assert not Path("texts/001.txt").exists()
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize("name", ["pets.txt", "link", "dead", "pipe", "/dev/null"])
def test_runs_are_made_in_a_folder_and_nowhere_else(charnet_: Charnet, name: str) -> None:
    os.mkfifo("pipe")
    Path("link").symlink_to("/dev/null")
    Path("dead").symlink_to("nowhere")
    before = sorted(Path().iterdir())
    assert_refused(charnet_("train", "pets.txt", "-q", *SMALL, "--out", name), 6, name)
    assert sorted(Path().iterdir()) == before


def test_lines_of_a_model_that_never_ends_one_end_by_length_and_that_is_said(
    charnet_: Charnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert charnet_("train", "pets.txt", "-q", "--lines", "--name", "lines", *SMALL).code == 0
    model = Checkpoint.load(Path("checkpoints/lines/last.safetensors"))
    never = {name: tensor.copy() for name, tensor in model.tensors.items()}
    (bias,) = (tensor for name, tensor in never.items() if name.startswith("model.") and name.endswith("head.bias"))
    bias[model.vocab.symbols.index(ord("\n"))] = -1e9
    replace(model, tensors=never).save(Path("never.safetensors"))
    monkeypatch.setattr("charnet.cli.whole_lines.LONGEST_LINE", 50)
    result = charnet_("sample", "never.safetensors", "--lines", 3)
    assert result.code == 0
    assert [len(line) for line in result.out.splitlines()] == [50, 50, 50]
    assert result.err.splitlines()[-1] == "3 texts cut after 50 characters, where the model had not ended"


def test_force_replaces_a_file(sample: Callable[..., str]) -> None:
    Path("old.txt").write_text("old " * 100)
    sample("--seed", 1, "-n", 50, "--out", "old.txt", "--force")
    assert Path("old.txt").read_text() == sample("--seed", 1, "-n", 50)


def test_a_file_that_does_not_fit_on_the_disk_leaves_the_old_one(charnet_: Charnet) -> None:
    del charnet_  # for its folder
    Path("old.txt").write_text("old")
    before = sorted(Path().iterdir())
    arguments = ("sample", "-q", "-n", 5000, "--out", "old.txt", "--force")
    result = in_process(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
    assert result.returncode == 6
    assert result.stderr.startswith(b"charnet: old.txt: cannot be written: File too large")
    assert Path("old.txt").read_text() == "old"
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("options", ["--top-k 1", "--top-p 0", "--min-p 1", "--temp 1e-30"])
def test_the_narrowest_options_write_what_temperature_0_writes(sample: Callable[..., str], options: str) -> None:
    assert sample("--seed", 1, "-n", 60, *options.split()) == sample("-n", 60, "--temp", 0)


@pytest.mark.parametrize("temperature", ["1e-308", "1e-310", "5e-324"])
def test_the_smallest_temperatures_write_what_temperature_0_writes(
    sample: Callable[..., str], temperature: str
) -> None:
    assert sample("--seed", 1, "-n", 20, "--temp", temperature) == sample("-n", 20, "--temp", 0)


def test_stdout_in_a_pipe_is_exactly_the_text(charnet_: Charnet) -> None:  # noqa: ARG001 - for its folder
    result = in_process("sample", "--seed", 3, "-n", 200, "-p", "the ")
    assert result.stdout.decode() == charnet.load().generate("the ", length=200, seed=3)
    assert b"\x1b" not in result.stderr
    assert result.stderr.count(b"\n") == 1


def test_a_model_of_bytes_writes_bytes(charnet_: Charnet) -> None:
    Path("any.bin").write_bytes(bytes(range(256)) * 4)
    assert charnet_("train", "-q", "--bytes", "any.bin", *SMALL).code == 0
    result = in_process("sample", "any", "-q", "-n", 300, "--seed", 1, "--temp", 2)
    assert len(result.stdout) == 300
    assert max(result.stdout) > 0x7F


def test_a_closed_pipe_ends_the_generation_quietly(charnet_: Charnet) -> None:  # noqa: ARG001 - for its folder
    command = [sys.executable, "-m", "charnet", "sample", "-q", "-n", "10000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 141


# ------------------------------------------------------------------------------------------- inspect and eval


def test_inspect_shows_what_is_in_a_checkpoint(charnet_: Charnet) -> None:
    result = charnet_("inspect", "--all")
    checkpoint = Checkpoint.load(runs.find(None))
    shown = " ".join(result.out.split())
    assert (result.code, result.err) == (0, "")
    for words in (
        "lstm, 1 layer of 16 units",
        checkpoint.weights_sha256()[:16],
        checkpoint.corpus.fingerprint[:16],
        "pets: ",
        "120 of 120 steps",
        f"torch {checkpoint.versions['torch']}",
    ):
        assert words in shown
    assert "\x1b" not in result.out


def test_inspect_json_is_everything_in_one_line(charnet_: Charnet) -> None:
    result = charnet_("inspect", "pets", "--json")
    assert result.out.count("\n") == 1
    described, checkpoint = json.loads(result.out), Checkpoint.load(runs.find(None))
    assert described["weights_sha256"] == checkpoint.weights_sha256()
    assert described["config"]["model"]["hidden_size"] == 16
    assert described["best_nats_per_char"] == checkpoint.trainer_state.best_nats_per_char
    assert described["parameters"] == sum(t.size for t in checkpoint.weights.values())
    assert [line["step"] for line in described["history"]] == [60, 120]


def test_eval_shows_the_losses_of_a_text(charnet_: Charnet) -> None:
    result = charnet_("eval", "pets", "pets.txt", "--threads", 1)
    assert (result.code, result.err) == (0, "")
    nats, bits, perplexity = (float(line.split()[0]) for line in result.out.splitlines()[:3])
    assert bits == pytest.approx(nats / math.log(2), abs=2e-4)
    assert perplexity == pytest.approx(math.exp(nats), abs=2e-3)


def test_eval_json_gives_the_same_figures_and_counts_unknown_characters(charnet_: Charnet) -> None:
    Path("odd.txt").write_text("the Cat sat on a mät\n", encoding="utf-8")
    figures = json.loads(charnet_("eval", "pets", "odd.txt", "--json").out)
    assert figures["characters"] == 19
    assert figures["unknown_characters"] == 2
    assert figures["unknown"] == {
        "'C' (U+0043 LATIN CAPITAL LETTER C)": 1,
        "'ä' (U+00E4 LATIN SMALL LETTER A WITH DIAERESIS)": 1,
    }
    assert f"{figures['nats_per_char']:.4f} nats" in (out := charnet_("eval", "pets", "odd.txt").out)
    assert "2 more characters are unknown to the model and not counted" in out


def test_eval_of_a_text_without_one_known_character_is_code_3(charnet_: Charnet) -> None:
    Path("odd.txt").write_text("ÄÖÜ")
    assert_refused(charnet_("eval", "pets", "odd.txt"), 3, "knows none of its characters")


def test_eval_reads_standard_input(charnet_: Charnet) -> None:
    Path("one.txt").write_text("the cat")
    assert charnet_("eval", "pets", "-", stdin=b"the cat").out == charnet_("eval", "pets", "one.txt").out != ""


# ------------------------------------------------------------------------------------------- train


def test_train_json_gives_the_lines_of_metrics_on_stdout_and_the_rest_on_stderr(charnet_: Charnet) -> None:
    result = charnet_("train", "pets.txt", *SMALL, "--json", "--name", "new")
    assert result.code == 0
    assert "computing on" in result.err
    assert "charnet sample" in result.err
    *lines, last = result.out.splitlines()
    assert lines == Path("checkpoints/new/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 8]
    assert json.loads(last).keys() == {"step", "best_nats_per_char", "verdict"}


def test_train_quiet_shows_nothing(charnet_: Charnet) -> None:
    result = charnet_("train", "pets.txt", *SMALL, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert Path("checkpoints/pets-2/best.safetensors").is_file()


def test_train_in_a_pipe_writes_plain_lines_that_name_the_next_command(charnet_: Charnet) -> None:
    result = charnet_("train", "pets.txt", *SMALL, "--name", "new")
    assert (result.code, result.out) == (0, "")
    assert "\x1b" not in result.err
    assert "charnet sample checkpoints/new" in result.err
    assert charnet_("sample", "checkpoints/new", "-n", 5).code == 0


def test_flags_win_over_set_and_set_over_the_file(charnet_: Charnet) -> None:
    Path("my.yaml").write_text("training:\n  seed: 1\n  steps: 3\nmodel:\n  cell: gru\n")
    line = ["--config", "my.yaml", "--set", "training.seed=2", "--set", "training.window=6", "--window", "7"]
    small = ["--hidden-size", 8, "--batch-size", 3, "--threads", 1]
    assert charnet_("train", "-q", "pets.txt", *small, *line, "--name", "new").code == 0
    settings = Checkpoint.load(Path("checkpoints/new/last.safetensors")).config
    assert (settings.training.seed, settings.training.steps, settings.training.window) == (2, 3, 7)
    assert settings.model.cell == "gru"


def test_train_reads_standard_input(charnet_: Charnet) -> None:
    assert charnet_("train", "-q", "-", *SMALL, stdin=sentences(100).encode()).code == 0
    assert Checkpoint.load(Path("checkpoints/stdin/best.safetensors")).corpus.name == "stdin"


def test_training_can_start_from_pretrained_weights(charnet_: Charnet) -> None:
    result = charnet_("train", "pets.txt", "--init-from", "pets", "--steps", 2, "--threads", 1, "--window", 8)
    assert result.code == 0
    assert "pretrained weights: 16 characters known, 0 new" in result.err


def test_a_change_at_resume_is_said_in_one_line_and_shown_by_inspect(charnet_: Charnet) -> None:
    assert charnet_("train", "-q", "pets.txt", *SMALL, "--name", "new").code == 0
    with Path("pets.txt").open("a", encoding="utf-8") as file:
        file.write("a new é\n" * 40)
    longer = ["--steps", 12, "--checkpoint-every", "1:30", "--learning-rate", 0.1, "--batch-size", 4]
    result = charnet_("train", "--resume", "checkpoints/new", "--continue", *longer)
    assert result.code == 0, result.err
    said = [line for line in result.err.splitlines() if line.startswith("changed at step 8: ")]
    assert len(said) == 1
    assert "batch_size 3 -> 4, learning_rate 0.5 -> 0.1, text pets of" in said[0]
    assert "alphabet of 16 -> 18; from here on it resumes bit for bit again" in said[0]
    shown = " ".join(charnet_("inspect", "checkpoints/new").out.split())
    assert "changed step 8: batch_size 3 -> 4, learning_rate 0.5 -> 0.1, text pets of" in shown


def test_the_alphabet_of_pretrained_weights_is_kept_and_said(charnet_: Charnet) -> None:
    Path("cats.txt").write_text("cat é\n" * 60, encoding="utf-8")
    result = charnet_("train", "cats.txt", "--init-from", "pets", "--steps", 2, "--threads", 1, "--window", 8)
    assert result.code == 0
    assert "11 characters of the old alphabet do not occur in this text and are kept" in result.err
    assert "pretrained weights: 16 characters known, 1 new" in result.err
    assert charnet_("sample", "checkpoints/cats", "-p", "the dog", "-n", 5).code == 0


def test_a_signal_that_the_parent_ignores_stays_ignored() -> None:
    """`nohup charnet train` must outlive its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalGuard() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.received
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signal_handlers_are_restored_after_training(charnet_: Charnet) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    charnet_("train", "-q", "pets.txt", *SMALL)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


LONGER = [*SMALL, "--steps", "300", "--set", "training.report_every=1", "--set", "training.eval_every=100"]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def assert_the_same_run(one: Path, two: Path) -> None:
    def figures(run: Path) -> list[dict[str, float]]:
        lines = map(json.loads, (run / runs.METRICS).read_text().splitlines())
        return [{k: v for k, v in line.items() if k not in ("seconds", "chars_per_second")} for line in lines]

    for name in (runs.LAST, runs.BEST):
        assert Checkpoint.load(one / name).weights_sha256() == Checkpoint.load(two / name).weights_sha256()
    assert figures(one) == figures(two)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="INT"),
        pytest.param(signal.SIGTERM, 143, id="TERM", marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_the_run_and_the_resumed_run_equals_the_whole_run(
    charnet_: Charnet, number: signal.Signals, code: int
) -> None:
    cut, whole = Path("checkpoints/cut"), Path("checkpoints/whole")
    command = [sys.executable, "-m", "charnet", "train", "pets.txt", *LONGER, "--name", "cut"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=accept_signals
    ) as process:
        until((cut / runs.METRICS).is_file)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err.endswith("everything is saved; resume with:\n  charnet train --resume checkpoints/cut\n")
    assert "Traceback" not in err
    assert 0 < Checkpoint.load(cut / runs.LAST).trainer_state.step < 300
    assert charnet_("train", "-q", "--resume", "checkpoints/cut").code == 0
    assert charnet_("train", "-q", "pets.txt", *LONGER, "--name", "whole").code == 0
    assert_the_same_run(cut, whole)


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 3, 4, 5, 9])
def test_a_killed_run_resumes_from_its_last_checkpoint(charnet_: Charnet, lines: int) -> None:
    cut, whole = Path("checkpoints/cut"), Path("checkpoints/whole")
    line = [*LONGER, "--set", "training.eval_every=20"]
    command = [sys.executable, "-m", "charnet", "train", "-q", "pets.txt", *line, "--name", "cut"]
    with subprocess.Popen(command) as process:
        until(lambda: (cut / runs.METRICS).is_file() and (cut / runs.METRICS).read_text().count("\n") > 20 * lines)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert charnet_("train", "-q", "--resume", "checkpoints/cut").code == 0
    assert charnet_("train", "-q", "pets.txt", *line, "--name", "whole").code == 0
    assert_the_same_run(cut, whole)


# ------------------------------------------------------------------------------------------- help and start-up


@pytest.mark.parametrize("command", COMMANDS)
def test_the_whole_help_shows_every_option_in_its_group(charnet_: Charnet, command: str) -> None:
    result = charnet_(*command.split(), "--help-all")
    assert (result.code, result.err) == (0, "")
    for group in COMMANDS[command]:
        assert f"\n{group}:\n" in result.out
    assert "\x1b" not in result.out


def test_help_of_train_shows_the_default_of_every_setting(charnet_: Charnet) -> None:
    shown = " ".join(charnet_("train", "--help-all").out.split())
    for name in ("cell", "hidden_size", "dropout", "val_fraction", "steps", "optimizer", "learning_rate", "seed"):
        full = next(n for n in overlay.setting_names() if n.endswith("." + name))
        assert f"--{name.replace('_', '-')}" in shown
        value = overlay.default(full)
        shown_default = f"{value:g}" if isinstance(value, float) else str(value)
        if full in planner.PLANNED:
            given = f"; {shown_default} if --epochs or --steps is given" if name != "steps" else ""
            shown_default = f"chosen to fit{given}"
        assert f"{overlay.limits(full).text} [default: {shown_default}]" in shown


def test_every_default_that_the_help_of_sample_shows_is_the_one_of_the_api(charnet_: Charnet) -> None:
    shown = " ".join(charnet_("sample", "--help-all").out.split())
    own = {"length": "1000; with -i 200", "seed": "a new one"}
    for name, (described, _) in options_of(SamplingOptions).items():
        if name == "temperature_end":  # the second number of --temp
            continue
        limits, usual = described.metadata["limits"], own.get(name, described.default)
        usual = f"{usual:g}" if isinstance(usual, float) else usual
        words = limits.text if usual in ("", ()) or usual is False else f"{limits.text} [default: {usual}]"
        assert words in shown, name
        assert any(f"{flag} " in shown or f"{flag}," in shown for flag in flags_of(name)), name
    assert "computed together [default: 1]" in shown


def test_help_names_every_command(charnet_: Charnet) -> None:
    result = charnet_("--help")
    assert result.code == 0
    assert all(f"  {command.split()[0]} " in result.out for command in COMMANDS)


def test_the_version_is_shown(charnet_: Charnet) -> None:
    assert charnet_("--version").out == f"charnet {charnet.__version__}\n"


def test_help_inspect_sample_and_usage_errors_never_load_torch(charnet_: Charnet) -> None:  # noqa: ARG001 - its folder
    code = """
import json, sys
from charnet.cli.app import run
from charnet.config import SamplingOptions
from charnet.cli.console import note
for line in json.loads(sys.argv[1]):
    try:
        run(line)
    finally:
        assert "torch" not in sys.modules, line
        assert "rich" not in sys.modules or line[0] == "inspect", line
"""
    lines: list[list[str]] = [
        ["--help"],
        *([*command.split(), "--help"] for command in COMMANDS),
        ["train", "--cell", "lsmt"],
        ["train", "--nonsense"],
        ["sample", "-n", "5"],
        ["sample", "--temp", "-1"],
        ["inspect", "--json"],
        ["inspect"],
    ]
    command = [sys.executable, "-c", code, json.dumps(lines)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


def test_the_module_and_the_command_are_the_same() -> None:
    assert in_process("--version").stdout.decode() == f"charnet {charnet.__version__}\n"


def test_a_training_that_is_interrupted_before_its_first_step_leaves_no_run(charnet_: Charnet) -> None:
    del charnet_  # for its folder
    values = {"data.paths": ["pets.txt"], "model.hidden_size": 8, "training.window": 5, "training.steps": 9}
    cut = setup.new_run(values, name="cut")
    assert list(cut.events(lambda: True))[-1].reason == "interrupted"
    assert not Path("checkpoints/cut").exists()


def test_every_command_works_with_an_ensemble(charnet_: Charnet) -> None:
    assert charnet_("train", "pets.txt", *SMALL, "--members", "3", "--name", "three").code == 0
    assert "lstm, 3 networks of 1 layer of 8 units" in charnet_("inspect", "checkpoints/three").out
    assert charnet_("inspect", "--verify", "checkpoints/three").code == 0
    several = charnet_("sample", "checkpoints/three", "--samples", "3", "-n", "20", "--seed", "1", "--json").out
    alone = charnet_("sample", "checkpoints/three", "-n", "20", "--seed", "1", "--json").out
    first, *others = (json.loads(line)["text"] for line in several.splitlines())
    assert json.loads(alone)["text"] == first
    assert len({first, *others}) == 3
    assert charnet_("quantize", "checkpoints/three").code == 0
    assert charnet_("eval", "checkpoints/three", "pets.txt").code == 0
    resumed = charnet_("train", "--resume", "checkpoints/three", "--steps", "10")
    assert resumed.code == 0


def test_a_model_whose_weights_are_too_large_gives_no_numbers_and_no_file(charnet_: Charnet) -> None:
    whole = Checkpoint.load(Path("checkpoints/pets/best.safetensors"), weights_only=True)
    huge = {name: np.full_like(tensor, 3e38) for name, tensor in whole.tensors.items()}
    replace(whole, tensors=huge).save(Path("huge.safetensors"))
    commands = [["quantize"], ["eval"], ["eval", "--json"], ["eval", "--quantize", "int8"], ["sample", "-q", "--json"]]
    for command, *options in commands:
        text = ["pets.txt"] if command == "eval" else []
        assert_refused(charnet_(command, "huge.safetensors", *text, *options), 5, "the model has diverged")
    assert not list(Path().glob("*int8*"))


def test_a_text_that_is_cut_before_its_sentence_or_line_has_ended_says_so(charnet_: Charnet) -> None:
    line = ("sample", "-n", 20, "--seed", 1, "--ban", r"\n")
    for until in ("sentence", "line", "paragraph"):
        cut = charnet_(*line, "--until", until, "--samples", 2).err
        assert cut.splitlines()[-1] == f"2 texts cut after 20 characters, before the end of a {until}"
    assert "cut" not in charnet_(*line).err
    assert "cut" not in charnet_("sample", "-n", 300, "--seed", 1, "--until", "line").err
    assert "cut" not in charnet_(*line, "--until", "line", "-n", 0).err
