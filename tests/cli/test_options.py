"""One rule of escapes in every option that takes text."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from checkpoint_files import tiny

from charnet.cli import prompting, sample_options
from charnet.cli.app import app, run
from charnet.cli.options import given_settings, unescaped
from charnet.config import SamplingOptions
from charnet.data import cache
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, StorageError
from charnet.generation.generate import stream
from charnet.generation.sampler import Sampler


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"a\n\t\r\f\\b", "a\n\t\r\f\\b"),
        (r"\xe9\u4e2d\U0001F600", "é中😀"),
        (r"\\n", r"\n"),
        ("", ""),
        ("/é", "/é"),
    ],
)
def test_an_escape_stands_for_its_character(written: str, text: str) -> None:
    assert unescaped(written, "--stop") == text


@pytest.mark.parametrize("written", ["\\q", "\\", "a\\", "\\x1", "\\u12", "\\ud800", "\\U00110000", "\\\x1b", "\\N"])
def test_an_unknown_escape_is_refused_and_the_known_ones_are_named(written: str) -> None:
    with pytest.raises(ConfigError, match=r"^--stop: expected one of .*\\uNNNN") as caught:
        unescaped(written, "--stop")
    assert str(caught.value).isprintable()


def test_a_byte_that_is_not_utf8_is_named_by_its_value() -> None:
    with pytest.raises(ConfigError, match="--stop: found byte 0xe9, which is not UTF-8"):
        unescaped("\udce9", "--stop")
    assert unescaped("\udce9", "--prompt", any_bytes=True) == "\udce9"


TEXT = {
    *("--prompt", "--stop", "--ban", "--logit-bias", "--template", "--documents", "--document-separator", "--field"),
}
NO_TEXT = {  # names of files and of settings, words to choose from, numbers, regular expressions
    *("--match", "--glob", "--encoding", "--name", "--set", "--config", "--out", "--out-dir", "--receipt", "--model"),
    *("--prompt-file", "--adapt-to", "--save-as", "--init-from", "--resume", "--mix", "--temp", "--until", "--engine"),
    *("--quantize", "--for", "--encoding-errors", "--strip", "--newlines", "--normalize", "--val", "--cell"),
    *(
        "--activation",
        "--ngram",
        "--optimizer",
        "--device",
        "--precision",
        "--checkpoint-every",
        "--on-nan",
        "--timeout",
        "--network",
    ),
    *(
        "--unknown",
        "--down-to",
        "--prompts",
        "--context",
        "--best-by",
        "--in",
        "--remove",
        "--sort",
        "--try",
        "--find",
        "--unit",
        "--png",
        "--host",
        "--key-file",
        "--allow-host",
        "--allow-origin",
        "--html",
        "--log",
        "--language",
        "--search",
        "--with-decompress",
        "--from",
        "--alphabet",
        "--map",
    ),
}


def valued_options() -> Iterator[tuple[str, str]]:
    """Every option of every command that takes a value which is no number: its command and its first flag."""
    pending: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while pending:
        name, command = pending.pop()
        pending += [(f"{name} {sub}".strip(), each) for sub, each in getattr(command, "commands", {}).items()]
        for each in command.params:
            is_number = each.type.name.startswith(("int", "float"))
            if each.param_type_name == "option" and not each.is_flag and not is_number:
                yield name, each.opts[0]


WITH_TEXT = sorted((command, option) for command, option in valued_options() if option in TEXT)


def test_of_every_option_it_is_known_whether_it_takes_text() -> None:
    known = TEXT | NO_TEXT
    assert {option for _, option in valued_options()} == known, "a new one: does it take text, and unescape it?"


@pytest.mark.parametrize(("command", "option"), WITH_TEXT)
def test_every_option_that_takes_text_has_the_rule(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny().save(tmp_path / "model")
    (tmp_path / "text").write_text("ab\n")
    given = {"sample": ["model"], "eval": ["model", "text"], "train": ["text"], "corpus info": ["text"]}
    if command == "replay":
        assert run(["sample", "model", "-n", "3", "-p", "ab", "--receipt", "r", "--receipt-private"]) == 0
        given["replay"] = ["r", "model"]
        capsys.readouterr()
    assert run([*command.split(), *given[command], option, "\\q=1{a}"]) == 2
    assert capsys.readouterr().err.startswith(f"charnet: {option}: expected one of ")


@pytest.mark.parametrize("option", ["--documents", "--document-separator", "--field"])
def test_a_setting_that_takes_text_has_the_rule_in_set_too(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--set", f"data.{option[2:].replace('-', '_')}=\\q"]) == 2
    assert capsys.readouterr().err.startswith(f"charnet: {option}: expected one of ")


@pytest.mark.parametrize(
    ("escape", "character"), [(r"\n", "\n"), (r"\t", "\t"), (r"\\", "\\"), (r"\x62", "b"), (r"\u00e9", "é")]
)
def test_an_escape_means_the_same_in_every_option_of_sample_and_in_a_pattern(escape: str, character: str) -> None:
    vocab = Vocabulary.of_text("\n\t\\abé")
    assert sample_options.parse_logit_bias(f"{escape}=2") == (character, 2.0)
    assert prompting.prompt_bytes(escape, None)[0].decode() == character
    assert sample_options.parse_template(f"{escape}{{a}}") == f"{character}{{a}}"
    assert sample_options.parse_template(f"dialogue:{escape}") == f"dialogue:{character}"
    options = SamplingOptions(length=1, match=escape)
    assert Sampler(vocab, options).pattern is not None
    assert "".join(stream(Even(len(vocab)), vocab, [], options)) == character
    assert re.fullmatch(escape, character)


class Even:
    """An engine to which all characters are equally likely."""

    name, is_exact = "even", False

    def __init__(self, size: int) -> None:
        self._size = size

    def start(self, batch: int) -> np.ndarray:
        return np.zeros(batch)

    def advance(self, ids: list[int], state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(ids), self._size), np.float32), state


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_the_last_line_end_of_a_prompt_is_dropped_and_said(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny(vocab=Vocabulary.of_text("\n\\anb")).save(tmp_path / "model")
    name = "start" if source == "file" else "standard input"

    def written(prompt: bytes, *more: str) -> tuple[str, str]:
        (tmp_path / "start").write_bytes(prompt)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(prompt)))
        given = "start" if source == "file" else "-"
        assert run(["sample", "model", "-n", "0", "--prompt-file", given, *more]) == 0
        found = capsys.readouterr()
        return found.out, found.err

    said = f"{name}: its last line end is not part of the prompt; to keep one, add another\n"
    assert written(b"a\\nb\n\n", "--json")[1].startswith(said)
    assert json.loads(written(b"a\\nb\n\n", "--json", "-q")[0])["prompt"] == "a\\nb\n"  # and nothing is unescaped
    assert "line end" not in written(b"ab")[1]
    assert not written(b"ab\n", "-q")[1]


@pytest.mark.parametrize("arguments", [["--until", "\udce9"], ["--temp", "\udce9"], ["no\udce9"], ["--no\udce9"]])
def test_messages_name_the_bytes_of_an_argument_that_is_not_utf8(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sample", *arguments]) in (2, 4)
    assert "\\xe9" in capsys.readouterr().err


def test_a_setting_of_zero_is_given_and_a_switch_that_is_off_is_not() -> None:
    given = {"min_count": 0, "val_fraction": 0.0, "lowercase": False, "glob": None, "as_bytes": True, "json": True}
    assert given_settings(given) == {"data.min_count": 0, "data.val_fraction": 0.0, "data.bytes": True}


def test_a_prompt_from_standard_input_has_the_limit_of_one_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompting, "LARGEST_PROMPT", 3)
    (tmp_path / "prompt").write_bytes(b"abcd")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"abcd")))
    for given in (("-", None), (None, tmp_path / "prompt")):
        with pytest.raises(StorageError, match="it has more than 3 bytes"):
            prompting.prompt_bytes(*given)


def test_a_current_folder_that_was_removed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(["train", "--steps", "1"]) == StorageError.exit_code
    assert capsys.readouterr().err == "charnet: the current folder was removed; change to another one\n"


def test_a_copy_of_a_time_that_no_calendar_has_is_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache, "entries", lambda: [cache.Entry("a" * 64, "text", 7, 3, 1e12)])
    assert run(["cache", "list"]) == 0
    assert "used at an odd time" in capsys.readouterr().out
