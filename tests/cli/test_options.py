"""One rule of escapes in every option that takes text."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from charnet.cli import prompting
from charnet.cli.app import run
from charnet.cli.options import given_settings, unescaped
from charnet.data import cache
from charnet.errors import ConfigError, StorageError


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


@pytest.mark.parametrize("option", ["--prompt", "--stop", "--ban", "--logit-bias"])
def test_every_option_of_sample_that_takes_text_has_the_rule(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", option, "\\q=1"]) == 2
    assert capsys.readouterr().err.startswith(f"charnet: {option}: expected one of ")


@pytest.mark.parametrize("option", ["--documents", "--document-separator"])
def test_every_option_of_train_that_takes_text_has_the_rule(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([option, "\\q"], ["--set", f"data.{option[2:].replace('-', '_')}=\\q"]):
        assert run(["train", *arguments]) == 2
        assert capsys.readouterr().err.startswith(f"charnet: {option}: expected one of ")


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
