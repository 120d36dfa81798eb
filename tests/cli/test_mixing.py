"""`--mix`: several models write, and are judged, as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoint_files import tiny

from charnet.cli import mixing
from charnet.cli.app import run
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError
from charnet.storage.checkpoint import Checkpoint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checkpoints in the current folder: two of text, two of lines, one of bytes."""
    monkeypatch.chdir(tmp_path)
    models = {
        "a": tiny("lstm", Vocabulary.of_text("\n abc")),
        "b": tiny("gru", Vocabulary.of_text("\n bcdé")),
        "bytes": tiny("gru", Vocabulary((10, 97), of_bytes=True), **{"data.bytes": True}),
        "lines": of_lines("lstm", "\nab"),
        "names": of_lines("gru", "\nbc"),
    }
    for name, model in models.items():
        model.save(tmp_path / name)
    (tmp_path / "text.txt").write_text("abcd éa\nb☃c\n" * 3, encoding="utf-8")
    return tmp_path


def of_lines(cell: str, alphabet: str) -> Checkpoint:
    found = tiny(cell, Vocabulary.of_text(alphabet), **{"data.lines": True})
    return replace(found, vocab=replace(found.vocab, has_documents=True))


def charnet(line: str, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0) -> tuple[str, str]:
    assert run([*line.split(), *more]) == code
    found = capsys.readouterr()
    return found.out, found.err


def test_models_are_mixed_with_weights_that_sum_to_one_and_json_names_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = charnet("sample --mix a:3 --mix b:1 -n 20 -s 1 --json --samples 2", capsys)
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 2
    assert len(found[0]["text"]) == 20
    assert [(each["checkpoint"], each["weight"]) for each in found[0]["mix"]] == [("a", 0.75), ("b", 0.25)]
    assert [each["sha256"] for each in found[0]["mix"]] == [Checkpoint.load(folder / name).sha256 for name in "ab"]
    assert not {"checkpoint", "weights_sha256", "receipt"} & set(found[0])
    assert "a:0.75 + b:0.25: numpy engine, fp32" in err
    assert "a does not read 2 characters of the others and never writes them: 'd' (U+0064 LATIN SMALL LETTER D)" in err
    assert "b does not read 1 character of the others and never writes it: 'a'" in err


@pytest.mark.parametrize(
    "more",
    [
        *(
            "--samples 3 -t 0.9",
            "--match [a-dé]+",
            "--match [a-dé]{2,9}d --exact",
            "--top-k 3 --repetition-penalty 1.2",
            "--quantize int8",
        ),
        *("--prompt éa --no-echo", "--ban a --logit-bias b=2", "--surprise"),
    ],
)
def test_a_mixture_writes_the_same_text_for_a_seed_with_every_option(
    folder: Path, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    command = f"sample --mix a:0.7 --mix b:0.3 -n 30 -s 4 -q {more}"
    out, err = charnet(command, capsys)
    assert out.strip()
    assert not err
    assert charnet(command, capsys)[0] == out


@pytest.mark.usefixtures("folder")
def test_a_mixture_of_one_model_with_itself_writes_what_the_model_writes(capsys: pytest.CaptureFixture[str]) -> None:
    alone, _ = charnet("sample a -n 60 -s 2 --engine numpy", capsys)
    assert charnet("sample --mix a --mix ./a -n 60 -s 2", capsys)[0] == alone


@pytest.mark.usefixtures("folder")
def test_models_of_lines_write_lines_together(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = charnet("sample --mix lines --mix names --lines 5 -s 1 -n 30", capsys)
    assert out.count("\n") == 5


@pytest.mark.usefixtures("folder")
def test_turns_are_written_by_all_models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["dé", "/quit"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    out, err = charnet("sample -i --mix a --mix b -n 12 -s 1", capsys)
    assert len(out) >= 12
    assert "does not know" not in err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("sample --mix a", '--mix: expected at least two models, as in --mix a:0.7 --mix b:0.3; found only "a"'),
        ("sample --mix a:0.5 --mix b", "expected a weight for every model or for none, found 1 of 2"),
        ("sample --mix a:0 --mix b:1", 'expected a weight from 1e-9 to 1e9 behind the colon, found "a:0"'),
        ("sample --mix a:-1 --mix b:1", 'expected a weight from 1e-9 to 1e9 behind the colon, found "a:-1"'),
        ("sample --mix a:1e-320 --mix b:1e9", 'expected a weight from 1e-9 to 1e9 behind the colon, found "a:1e-320"'),
        ("sample --mix a:1.2.3 --mix b:1", 'expected a weight from 1e-9 to 1e9 behind the colon, found "a:1.2.3"'),
        ("sample --mix :1 --mix b:1", 'expected a run or a checkpoint, found ":1"'),
        ("sample a --mix a --mix b", 'names the models; leave out "a"'),
        ("sample --mix a --mix bytes", "a knows characters, bytes bytes; mix models of one kind"),
        ("sample --mix a --mix lines", "a was trained on running text, lines on lines; mix models of one kind"),
        ("sample --mix a --mix b --receipt r.json", "--receipt and --mix: a receipt names one checkpoint"),
        ("sample --mix a --mix b --adapt --prompt a", "several models cannot learn together"),
        ("sample --mix a --mix b --engine fast -q", "engine: expected one of numpy, compiled, torch"),
        ("sample --mix a --mix b --quantize int4", "--quantize: expected int8"),
        ("eval --mix a --mix auto text.txt", "expected at least two models"),
        (
            "eval --mix a:1 --mix b:1 --mix auto text.txt",
            "--mix auto: finds the weights; leave out those of the models",
        ),
        ("eval --mix a --mix b --dynamic text.txt", "--dynamic and --mix: several models cannot learn together"),
        ("eval a", "Missing argument 'TEXT...'"),
        ("eval --mix a --mix b", "Missing argument 'TEXT...'"),
        ("eval", "Missing argument 'TEXT...'"),
    ],
)
def test_what_cannot_be_mixed_is_refused_in_a_line(line: str, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = charnet(line, capsys, code=2)
    assert not out
    assert found in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_a_model_of_a_mixture_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "none:0.x: there is no such checkpoint" in charnet("sample --mix a --mix none:0.x", capsys, code=4)[1]


@pytest.mark.usefixtures("folder")
def test_eval_judges_a_mixture_and_each_of_its_models(capsys: pytest.CaptureFixture[str]) -> None:
    line = "eval --mix a:3 --mix b:1 text.txt --threads 1"
    found = json.loads(charnet(f"{line} --json", capsys)[0])
    assert (found["characters"], found["unknown_characters"], found["fitted_characters"]) == (33, 3, 0)
    assert [(each["checkpoint"], each["weight"], each["characters"]) for each in found["mix"]] == [
        ("a", 0.75, 27),
        ("b", 0.25, 27),
    ]
    assert found["flags"] is None
    out, err = charnet(line, capsys)
    assert f"{found['nats_per_char']:.4f} nats per character\n" in out
    assert f"{found['mix'][1]['nats_per_char']:.4f} nats per character: b, weight 0.25, without 6 characters" in out
    assert "a does not read 2 characters" in err


@pytest.mark.usefixtures("folder")
def test_eval_finds_the_weights_and_prints_the_options_to_copy(capsys: pytest.CaptureFixture[str]) -> None:
    line = "eval --mix a --mix b --mix auto text.txt --threads 1"
    out, err = charnet(line, capsys)
    options = out.splitlines()[-1]
    assert "the weights were found on every other stretch of the text (17 characters)" in err
    assert "the losses are those of the stretches between" in err
    found = json.loads(charnet(f"{line} --json", capsys)[0])
    assert (found["fitted_characters"], found["characters"]) == (17, 16)
    assert found["flags"] == options
    weights = [each["weight"] for each in found["mix"]]
    assert options == mixing.flags(["a", "b"], weights)
    charnet(f"sample {options} -n 5", capsys)


@pytest.mark.usefixtures("folder")
def test_a_model_to_which_the_others_add_nothing_is_named_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.txt").write_text("aa aa a" * 200)  # which b cannot read
    out, err = charnet("eval --mix a --mix b --mix auto text.txt --threads 1", capsys)
    assert out.splitlines()[-1] == "a"
    assert "the others add nothing to this model:" in err


@pytest.mark.parametrize(
    ("values", "paths", "weights"),
    [
        (["a:0.5", "b:1e-1"], ["a", "b"], (0.5, 0.1)),
        (["c:/runs/a:2", "d:1"], ["c:/runs/a", "d"], (2, 1)),
        (["c:/runs/a", "auto"], ["c:/runs/a", "auto"], (1, 1)),
    ],
)
def test_a_weight_stands_behind_the_last_colon(values: list[str], paths: list[str], weights: tuple[float, ...]) -> None:
    assert mixing.parse(values) == (tuple(map(Path, paths)), weights)


@pytest.mark.usefixtures("folder")
def test_a_model_whose_name_ends_like_a_weight_is_found_by_its_name() -> None:
    Path("checkpoints/n:1").mkdir(parents=True)
    Path("n:2").mkdir()
    values = ["checkpoints/n:1", "n:1", "n:2"]
    assert mixing.parse(values) == (tuple(map(Path, values)), (1, 1, 1))
    assert mixing.parse([f"{value}:3" for value in values]) == (tuple(map(Path, values)), (3, 3, 3))


def test_auto_stands_for_weights_only_where_they_can_be_found() -> None:
    assert mixing.parse(["a", "b", "auto"], can_find=True) == ((Path("a"), Path("b")), None)
    with pytest.raises(ConfigError, match="at least two"):
        mixing.parse(["a", "auto"], can_find=True)
