"""`charnet sample --exact`, `--template`, `--min-length`, `--max-length`, `--width`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from receipt_files import small

import charnet
from charnet.cli.app import run
from charnet.cli.wrap import wrapped
from charnet.generation.detokenizer import Chunk


def sample(run_folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert run(["sample", str(run_folder), "--seed", "3", *arguments]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_json_and_a_note_tell_the_share_of_texts_that_match_by_themselves(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--match", "[a-z]{3,6}", "--exact", "--samples", "2", "-p", "the "]
    out, err = sample(tiny_run, capsys, *given, "--json")
    for line in map(json.loads, out.splitlines()):
        assert re.fullmatch("the [a-z]{3,6}", line["text"])
        assert 0 < line["matching_share"] <= 1
        assert line["exact"] is True
    assert re.search(r"of the model's own texts, [\d.]+ % match", err)


def test_a_template_fills_its_holes_and_has_the_escapes_of_typed_text(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = sample(tiny_run, capsys, "--template", r"the {[a-z]{2,5}}\nsat\u0020{...}", "-q")
    assert re.fullmatch("the [a-z]{2,5}\nsat [^\n]+\n", out + "\n")


def test_a_name_of_a_template_is_one_and_all_names_are_shown(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = sample(tiny_run, capsys, "--templates")
    assert {"sonnet", "haiku", "json-object", "acrostic:ROSE"} <= set(out.split())
    out, _ = sample(tiny_run, capsys, "--templates", "--json")
    assert json.loads(out)["sonnet"]["template"].count("\n") == 14
    out, _ = sample(tiny_run, capsys, "--template", "acrostic:at", "-q", "-n", "200")
    assert [line[0] for line in out.splitlines()] == ["a", "t"]


def test_lines_have_the_lengths_that_were_asked_for(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = sample(tiny_run, capsys, "--lines", "4", "--min-length", "5", "--max-length", "12", "-q")
    assert len(out.splitlines()) == 4
    assert {len(line) for line in out.splitlines()} <= set(range(5, 13))


def test_turns_can_be_exact_too(tiny_run: Path) -> None:
    model = charnet.load(tiny_run)
    state = model.start("the ")
    for _ in range(2):
        turn = model.write(state, match="[a-z]{2,4} ", exact=True)
        assert re.fullmatch("[a-z]{2,4} ", "".join(chunk.text for chunk in turn))
        state = turn.state


def test_a_receipt_of_an_exact_text_is_replayed(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = str(tmp_path / "r.json")
    given = ["--template", "the {[a-z]{2,5}} sat", "--quantize", "int8", "--receipt", receipt, "--samples", "2"]
    out, _ = sample(tiny_run, capsys, *given, "-q")
    assert run(["replay", receipt, str(tiny_run), "-q"]) == 0
    assert capsys.readouterr().out == out
    assert out.count(" sat") == 2


def test_lines_break_at_spaces_and_nothing_is_lost(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, _ = sample(tiny_run, capsys, "-n", "300", "-q", "-p", "the cat ")
    broken, _ = sample(tiny_run, capsys, "-n", "300", "-q", "-p", "the cat ", "--width", "20")
    assert max(map(len, broken.splitlines())) <= 20 < max(map(len, plain.splitlines()))
    assert broken.split() == plain.split()
    assert len(broken) == len(plain)


@pytest.mark.parametrize("more", [["--json"], ["-i"], ["--receipt", "r.json"]])
def test_a_width_is_for_texts_that_are_read(
    tiny_run: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sample", str(tiny_run), "--width", "20", *more]) == 2
    assert "--width is for texts that are read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("to be or not", 5, "to be\nor\nnot"),
        ("a  b", 2, "a \nb"),
        ("incomprehensible x", 4, "incomprehensible\nx"),
        ("床前明月光,疑是", 6, "床前明\n月光,\n疑是"),
        ("ab 床前", 5, "ab 床\n前"),
        ("ab\ncd ef ", 5, "ab\ncd ef "),
        ("cafe\u0301 e\u0301", 6, "cafe\u0301 e\u0301"),
        ("", 3, ""),
    ],
)
def test_long_lines_are_broken_by_columns(text: str, width: int, expected: str) -> None:
    for step in (1, 3, 100):
        pieces = [text[at : at + step] for at in range(0, len(text), step)]
        chunks = list(wrapped([Chunk(piece, (1.0,) * len(piece)) for piece in pieces], width))
        assert "".join(chunk.text for chunk in chunks) == expected
        assert all(len(chunk.nats) == len(chunk.text) for chunk in chunks)


def test_the_line_of_the_prompt_counts() -> None:
    chunks = wrapped([Chunk("ab cd")], 8, before="first\nlong ")
    assert "".join(chunk.text for chunk in chunks) == "ab\ncd"


def test_a_word_that_the_prompt_began_is_not_broken() -> None:
    chunks = wrapped([Chunk("eak of it")], 8, before="I hear sp")
    assert "".join(chunk.text for chunk in chunks) == "eak\nof it"


@pytest.fixture(scope="module")
def lines_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of lines, as `--lines` trains one."""
    path = tmp_path_factory.mktemp("lines") / "lines.safetensors"
    small("lines").save(path)
    return path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--max-length", "8"], ".{0,8}"),
        (["--min-length", "3"], ".{3,}"),
        (["--match", "[a-e]+"], "[a-e]+"),
        (["--match", "[a-e]+", "--exact"], "[a-e]+"),
        (["--template", "a{[b-d]{2}}e"], "a[b-d]{2}e"),
        (["--match", "[a-e]{4}", "--max-length", "0", "--unique"], "[a-e]{4}"),
    ],
)
def test_each_line_of_a_model_of_lines_is_what_was_asked_for(
    lines_model: Path, given: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = sample(lines_model, capsys, "--lines", "5", "-q", *given)
    assert len(out.splitlines()) == 5
    assert all(re.fullmatch(expected, line) for line in out.splitlines())


def test_many_lines_of_a_running_text_are_all_written(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = sample(tiny_run, capsys, "--lines", "600", "-q")
    assert len(out) > 6000
    assert out.count("\n") == 600
    assert run(["sample", str(tiny_run), "--lines", "3", "--unique"]) == 2


def test_an_empty_expression_is_refused_and_not_passed_over(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", str(tiny_run), "--match", "", "-n", "5"]) == 2
    assert '--match: expected a regular expression, found ""' in capsys.readouterr().err
