"""`charnet sample` with many prompts, with a text before the prompt, with the best of several; `eval` line by line."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import tiny

from charnet.cli import context
from charnet.cli.app import run
from charnet.data.vocab import Vocabulary


@pytest.fixture
def sample(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `charnet sample`; returns its exit code, its stdout, and its stderr without the line on the model."""

    def call(*options: object) -> tuple[int, str, str]:
        code = run(["sample", str(tiny_run), "--seed", "3", "-n", "25", *map(str, options)])
        captured = capsys.readouterr()
        return code, captured.out, "".join(line for line in captured.err.splitlines(True) if "engine" not in line)

    return call


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("more", [(), ("--quantize", "int8"), ("--top-k", 5), ("--engine", "compiled")])
def test_each_line_is_answered_as_its_prompt_is_alone_with_the_seed_of_the_answer(
    sample: Any, tmp_path: Path, more: tuple[object, ...]
) -> None:
    prompts = ["the cat", "", "a mat and the dog ran over", "t", "it"]
    (tmp_path / "p.txt").write_text("".join(f"{prompt}\n" for prompt in prompts))
    code, out, err = sample("--prompts", tmp_path / "p.txt", *more)
    assert (code, err) == (0, "")
    answers = objects(out)
    assert [answer["index"] for answer in answers] == [0, 1, 2, 3, 4]
    assert [answer["seed"] for answer in answers] == [3, 4, 5, 6, 7]
    for prompt, answer in zip(prompts, answers, strict=True):
        alone = objects(sample("--prompt", prompt, "--json", *more, "--seed", answer["seed"])[1])[0]
        assert alone.pop("receipt")
        alone |= {"index": answer["index"], "engine": answer["engine"]}
        assert answer == {**alone, "nats_per_char": pytest.approx(alone["nats_per_char"])}


def test_a_line_of_json_has_options_of_its_own_and_an_id_that_its_answer_has_too(sample: Any, tmp_path: Path) -> None:
    lines = [
        {"prompt": "the ", "id": {"any": [1]}, "length": 7, "seed": 9},
        {"temperature": 0, "stop": ["\n"]},
        {"match": "(cat|dog)s?", "id": None},
        {"ban": "ae", "logit_bias": [["c", 2.0]], "top_k": 3},
    ]
    (tmp_path / "p.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    code, out, _ = sample("--prompts", tmp_path / "p.jsonl")
    one, two, three, four = objects(out)
    assert code == 0
    assert [answer["index"] for answer in (one, two, three, four)] == [0, 2, 4, 6]
    assert (one["id"], one["seed"], len(one["text"])) == ({"any": [1]}, 9, 4 + 7)
    assert (two["temperature"], two["stop"], "id" in two) == (0, ["\n"], False)
    assert (three["text"] in ("cat", "cats", "dog", "dogs"), three["id"]) == (True, None)
    assert not set("ae") & set(four["text"])


def test_texts_that_their_length_cut_before_their_end_are_counted(sample: Any, tmp_path: Path) -> None:
    lines = [
        *[{"prompt": "the ", "until": "paragraph", "length": 7}] * 2,
        {"prompt": "the ", "length": 7},
        {"prompt": "the ", "until": "sentence", "length": 5},
        {"prompt": "the ", "until": "line", "length": 2000},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, _, err = sample("--prompts", tmp_path / "p.jsonl")
    assert (code, err.splitlines()) == (
        0,
        [
            "2 texts cut after 7 characters, before the end of a paragraph",
            "1 text cut after 5 characters, before the end of a sentence",
        ],
    )


def test_a_line_that_cannot_be_answered_says_so_in_its_place_and_no_other_is_lost(sample: Any, tmp_path: Path) -> None:
    lines = [
        '{"prompt": "the", "id": 1}',
        '{"prompt": "\u00e9", "id": 2}',
        '{"promt": "the", "id": 3}',
        '{"prompt": "the"',
        "[1]",
        '{"prompt": 5}',
        '{"temperature": "warm"}',
        '{"length": -1}',
        '{"ban": "' + "abcdefghijklmnopqrstuvwxyz .\\n" + '"}',
        '{"match": "(["}',
        '{"max_copy": 99999999999999999999}',
        '{"prompt": "the", "id": 12}',
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    code, out, err = sample("--prompts", tmp_path / "p.jsonl")
    answers = objects(out)
    assert code == 3
    assert err.startswith(f"charnet: {tmp_path / 'p.jsonl'}: 10 lines of 12 without a text: line 2: ")
    assert [answer["index"] for answer in answers] == list(range(12))
    assert ["error" in answer for answer in answers] == [False, *[True] * 10, False]
    assert [answer.get("id") for answer in answers[:3]] == [1, 2, 3]
    assert 'did you mean "prompt"' in answers[2]["error"]


@pytest.mark.parametrize("more", [(), ("--engine", "numpy"), ("--top-k", "1")])
def test_a_stop_that_is_no_text_or_a_state_that_has_diverged_is_the_error_of_its_line_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    model = tiny("rnn", Vocabulary((10, 97, 98), of_bytes=True), **{"data.bytes": True, "model.activation": "relu"})
    name = next(name for name in model.tensors if "embedding" in name)
    model.tensors[name][2] = 3e38  # it diverges as soon as it reads a b
    model.save(tmp_path / "bytes")
    lines = [{"stop": ["\ud800"]}, {"prompt": "b"}, {"prompt": "aa"}, {"prompt": "a", "match": "(["}, {"prompt": "a"}]
    lines = [{"ban": "b", "length": 9, **line} for line in lines]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code = run(["sample", str(tmp_path / "bytes"), "--prompts", str(tmp_path / "p.jsonl"), *more])
    answers = objects(capsys.readouterr().out)
    assert code == 3
    assert ["error" in answer for answer in answers] == [True, True, False, True, False]
    assert "diverged" in answers[1]["error"]


@pytest.mark.parametrize(
    "first", [b'{"prompt": "the"', b'\n {"prompt": "\xff"}', b'\xef\xbb\xbf{"prompt": "\xff"}', b"{]"]
)
def test_a_first_line_of_json_that_is_broken_is_no_prompt(sample: Any, tmp_path: Path, first: bytes) -> None:
    (tmp_path / "p.jsonl").write_bytes(first + b'\n\n{"prompt": "the"}\n{"prompt": "cat"}\n')
    code, out, _ = sample("--prompts", tmp_path / "p.jsonl")
    broken, *others = objects(out)
    assert code == 3
    assert "error" in broken
    assert [answer["prompt"] for answer in others] == ["the", "cat"]


@pytest.mark.parametrize("text", ["the\n{}\ncat", "{the\nthe cat"])
def test_prompts_that_are_no_json_are_read_as_they_are(sample: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "p.txt").write_text(text)
    answers = objects(sample("--prompts", tmp_path / "p.txt", "--unknown", "skip")[1])
    assert [answer["prompt"] for answer in answers] == [line.strip("{}") for line in text.split("\n")]


def test_a_line_in_another_encoding_is_refused_alone(sample: Any, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"the\n\xff\n\ncat\r\n")
    code, out, _ = sample("--prompts", tmp_path / "p.txt")
    answers = objects(out)
    assert code == 3
    assert "UTF-8" in answers[1]["error"]
    assert [answer.get("prompt") for answer in answers] == ["the", None, "", "cat"]


def test_a_mixture_answers_each_line_as_its_prompt_alone(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("the\n\nit\n")
    command = ["sample", "--mix", f"{tiny_run}:2", "--mix", f"{tiny_run / 'last.safetensors'}:1", "-n", "20", "-q"]
    assert run([*command, "--prompts", str(tmp_path / "p.txt"), "--seed", "5"]) == 0
    answers = objects(capsys.readouterr().out)
    assert len(answers[0]["mix"]) == 2
    for answer in answers:
        assert run([*command, "--prompt", answer["prompt"], "--seed", str(answer["seed"])]) == 0
        assert capsys.readouterr().out.rstrip("\n") == answer["text"].rstrip("\n")


def test_prompts_come_from_a_pipe_too_and_go_to_a_file(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the\r\ncat\r\n")))
    code, out, err = sample("--prompts", "-", "--out", tmp_path / "a.jsonl", "--no-echo")
    assert (code, out, "2 answers in" in err) == (0, "", True)
    assert [(each["prompt"], len(each["text"])) for each in objects((tmp_path / "a.jsonl").read_text())] == [
        ("the", 25), ("cat", 25)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        ("--prompts", "P", "--prompt", "the"),
        ("--prompts", "P", "-i"),
        ("--prompts", "P", "--samples", 2),
        ("--prompts", "P", "--best-of", 2),
        ("--prompts", "P", "--new"),
        ("--prompts", "P", "--unique"),
        ("--prompts", "P", "--receipt", "R"),
        ("--prompts", "-", "--context", "-"),
        ("--prompts", "P", "--adapt"),
        ("--prompts", "P", "--width", 40),
        ("--best-of", 0),
        ("--best-of", 2, "-i"),
        ("--best-of", 2, "--receipt", "R"),
        ("--best-of", 2, "--best-by", "beauty"),
        ("--best-of", 2, "--best-by", "length:-1"),
        ("--best-of", 2, "--best-by", "length:" + "9" * 400),
        ("--best-of", 2, "--best-by", "length:" + "9" * 5000),
        ("--max-copy", 10**20),
        ("--best-by", "length:5"),
        ("--best-by", "copies"),
        ("--context", "P", "--receipt", "R"),
        ("--context", "-", "-i"),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_line_before_anything_is_read(
    sample: Any, options: tuple[object, ...]
) -> None:
    code, out, err = sample(*options)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_prompts_file_that_is_missing_or_empty_is_said(sample: Any, tmp_path: Path) -> None:
    assert sample("--prompts", tmp_path / "missing")[0] == 3
    (tmp_path / "empty").write_bytes(b"")
    assert sample("--prompts", tmp_path / "empty")[:2] == (0, "")


def test_what_follows_a_context_is_what_follows_the_same_text_as_a_prompt(sample: Any, tmp_path: Path) -> None:
    before = "the cat sat on a mat " * 9
    (tmp_path / "c.txt").write_text(before + "\n")
    for more in ((), ("--samples", 3), ("--quantize", "int8", "--samples", 2)):
        whole = sample("--prompt", before + "and", "--no-echo", *more)[1]
        assert sample("--context", tmp_path / "c.txt", "--prompt", "and", "--no-echo", *more)[1] == whole
    answer = objects(sample("--context", tmp_path / "c.txt", "--prompt", "and", "--json")[1])[0]
    assert answer["text"].startswith("and")
    assert answer["context_sha256"] == hashlib.sha256((before + "\n").encode()).hexdigest()
    assert "receipt" not in answer
    (tmp_path / "p.txt").write_text("and\n")
    (of_many,) = objects(sample("--context", tmp_path / "c.txt", "--prompts", tmp_path / "p.txt")[1])
    assert of_many["text"] == answer["text"]


def test_of_a_long_context_only_the_end_is_read_and_that_is_said(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "MOST_READ", 12)
    (tmp_path / "c.txt").write_text("\u00e9 is unknown; on the mat and")
    code, out, err = sample("--context", tmp_path / "c.txt")
    assert code == 0
    assert "its last 12 of 28 characters" in err
    assert out == sample("--prompt", " the mat and", "--no-echo")[1]


def test_messages_about_a_context_do_not_speak_of_the_prompt(sample: Any, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("the c\u00e9t")
    code, _, err = sample("--context", tmp_path / "c.txt", "--prompt", "the ")
    assert code == 3
    assert "--context: the model does not know" in err
    assert "at position 6 of the text that is read" in err
    assert "prompt" not in err
    (tmp_path / "c.txt").write_text("the cat\n")
    err = sample("--context", tmp_path / "c.txt")[2]
    assert "c.txt: its last line end is not part of the context; to keep one, add another" in err


def test_turns_go_on_from_a_context_that_is_not_shown(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.txt").write_text("the cat sat on a ")
    expected = sample("--prompt", "the cat sat on a mat", "--no-echo")[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO("mat\n"))
    code, out, _ = sample("-i", "--context", tmp_path / "c.txt")
    assert (code, out.rstrip("\n")) == (0, expected.rstrip("\n"))


def test_the_best_of_several_is_the_one_with_the_fewest_nats_a_character(sample: Any) -> None:
    all_of_them = objects(sample("--samples", 6, "--json")[1])
    best = objects(sample("--samples", 2, "--best-of", 3, "--json")[1])
    for number, answer in enumerate(best):
        group = all_of_them[3 * number : 3 * number + 3]
        scores = [each["nats_per_char"] for each in group]
        assert answer["best_of"]["scores"] == pytest.approx(scores)
        assert answer["best_of"]["index"] == 3 * number + scores.index(min(scores))
        assert answer["text"] == group[scores.index(min(scores))]["text"]
        assert answer["index"] == number
        assert "receipt" not in answer
    shown = sample("--samples", 2, "--best-of", 3)[1]
    assert shown.split("\n---\n") == [answer["text"] for answer in best]


def test_the_best_by_length_is_the_nearest(sample: Any) -> None:
    texts = [each["text"] for each in objects(sample("--samples", 5, "--stop", "a", "--json")[1])]
    found = sample("--best-of", 5, "--best-by", "length:6", "--stop", "a")[1]
    assert found == min(texts, key=lambda text: abs(len(text) - 6))
    assert sample("--best-of", 5, "--best-by", "length:" + "0" * 30 + "6", "--stop", "a")[1] == found


def test_eval_numbers_the_documents_of_a_model_of_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny("lstm", Vocabulary.of_text("\nab"), **{"data.lines": True})
    replace(model, vocab=replace(model.vocab, has_documents=True)).save(tmp_path / "lines")
    (tmp_path / "a.txt").write_text("ab\n\n\nb\n")
    assert run(["eval", str(tmp_path / "lines"), str(tmp_path / "a.txt"), "--per-line"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "document"
    assert [row.split()[0] for row in rows] == ["1", "2"]


def test_eval_gives_a_result_for_each_line(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("the cat\n\nX the dog")
    assert run(["eval", str(tiny_run), str(tmp_path / "a.txt"), "--per-line", "--json"]) == 0
    captured = capsys.readouterr()
    found = objects(captured.out)
    assert [(each["id"], each["characters"], each["unknown_characters"]) for each in found] == [
        (1, 8, 0), (2, 1, 0), (3, 9, 1)
    ]  # fmt: skip
    assert all(each["nats_per_char"] == pytest.approx(each["nats"] / each["characters"]) for each in found)
    assert "left out 1 character that the model does not know" in captured.err
    assert run(["eval", str(tiny_run), str(tmp_path), "--per-line"]) == 0
    name, header, *rows = capsys.readouterr().out.splitlines()
    assert name == f"{tmp_path / 'a.txt'}:"
    assert header.split() == ["line", "nats", "per", "char", "characters"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert run(["eval", str(tiny_run), str(tmp_path), "--per-line", "--dynamic"]) == 2
