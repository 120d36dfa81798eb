"""`eval --show`, `inspect` in a few lines, the newest run, and `runs --remove`."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import sentences

from charnet.cli import removing, showing, surprise
from charnet.cli.app import run
from charnet.storage import result, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.result import RunResult

CODE = re.compile(r"\x1b\[[0-9;]*m")
Called = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """Runs a command line in a folder with one text and two finished runs, `pets` and, the newest, `zoo`."""
    monkeypatch.chdir(tmp_path)
    for name in ("pets", "zoo"):
        shutil.copytree(tiny_run, tmp_path / "checkpoints" / name)
        (tmp_path / "checkpoints" / name / runs.BEST).touch()
    Path("pets.txt").write_text(sentences(60))

    def called(*arguments: Any) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return called


def with_result(name: str = "zoo", **changes: Any) -> RunResult:
    path = Path("checkpoints") / name
    checkpoint = Checkpoint.load(path / runs.BEST)
    step = checkpoint.trainer_state.best_step
    values: dict[str, Any] = {"nats": 1.31, "order": 5, "ngram_nats": 1.57, "sample": "a\nThe cat sat.\n"}
    found = RunResult(step=step, alphabet=16, **({"best_step": step} | values | changes))
    (path / result.RESULT).write_bytes(found.to_json())
    return found


def test_show_colors_the_text_in_three_levels_and_wraps_it_at_words(
    call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surprise, "can_color", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    Path("odd.txt").write_text("the cat sat on the mat and tttttttttt the dog ran to the mat\n")
    code, out, _ = call("eval", "pets", "odd.txt", "--show", "--threads", 1)
    assert code == 0
    legend, _, *lines = out.split("\n")
    assert CODE.sub("", legend) == "expected, a surprise (under 10 %), a great surprise (under 1 %)"
    plain = [CODE.sub("", line) for line in lines]
    assert max(map(len, plain[:2])) <= 40
    assert " ".join(" ".join(plain).split()).startswith("the cat sat on the mat and tttttttttt the dog ran to the mat")
    assert surprise.CODES[2] in out
    assert "\x1b[1m" not in out
    assert " nats per character" in out


def test_show_marks_the_text_where_there_are_no_colors(call: Called) -> None:
    Path("odd.txt").write_text("the cat sat on the mat\nand tttttttttt the dog\n")
    code, out, err = call("eval", "pets", "odd.txt", "--show", "--threads", 1)
    legend, _, *lines = out.split("\n")
    assert (code, err) == (0, "")
    assert legend == '"." marks a surprise (under 10 %), "#" a great surprise (under 1 %)'
    at = lines.index("and tttttttttt the dog")
    assert re.fullmatch(r"[ .#]*[.#]{3}[ .#]*", lines[at + 1])
    assert "\x1b" not in out


def test_show_keeps_characters_that_the_model_does_not_know(call: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("odd.txt").write_text("\u00c9the cat\u4e2d sat on the mat \u00e9\n")
    line = ["eval", "pets", "odd.txt", "--show", "--threads", 1]
    legend, _, text, marks, *_ = call(*line)[1].split("\n")
    assert legend.endswith(', "?" unknown to the model')
    assert text == "\u00c9the cat\u4e2d sat on the mat \u00e9"
    assert [at for at, mark in enumerate(marks) if mark == "?"] == [0, 8, 9, 26]  # the second one is two cells wide
    call(*line, "-o", "page.html")
    page = Path("page.html").read_text()
    assert page.count('<span class="s3">') == 4
    assert '<span class="s3">\u4e2d</span>' in page
    found = json.loads(call(*line, "--json")[1])
    assert found["text"] == "the cat sat on the mat \n"
    assert len(found["nats"]) == len(found["text"])
    assert found["unknown_at"] == [[0, "\u00c9"], [7, "\u4e2d"], [23, "\u00e9"]]
    monkeypatch.setattr(surprise, "can_color", lambda: True)
    out = call(*line)[1]
    assert f", {showing.UNKNOWN_CODE}unknown to the model" in out
    assert f"{showing.UNKNOWN_CODE}\u4e2d\x1b[0m" in out


def test_show_writes_numbers_as_json_for_every_character(call: Called) -> None:
    code, out, _ = call("eval", "pets", "pets.txt", "--show", "--json", "--threads", 1)
    found = json.loads(out)
    assert code == 0
    assert found["text"] == Path("pets.txt").read_text()
    assert len(found["nats"]) == len(found["text"]) == found["characters"]
    assert sum(found["nats"]) / len(found["nats"]) == pytest.approx(found["nats_per_char"], abs=1e-3)


def test_show_writes_a_page_in_which_no_text_is_markup(call: Called) -> None:
    Path("odd.txt").write_text("the cat </div><script>sat</script> on the mat\n" * 3)
    code, _, err = call("eval", "pets", "odd.txt", "--show", "-o", "page.html", "--threads", 1)
    page = Path("page.html").read_text()
    assert (code, "the page is page.html" in err) == (0, True)
    assert "<script" not in page
    assert re.search(r'<span class="s2">[a-z]+</span>', page)
    assert '<span class="s2">a great surprise (under 1 %)</span>' in page


@pytest.mark.parametrize(
    "words",
    [
        ["export", "pets", "--numpy", "-o", "new"],
        ["quantize", "pets", "-o", "new"],
        ["eval", "pets", "pets.txt", "--show", "--threads", "1", "-o", "new"],
    ],
)
def test_a_file_is_replaced_with_force_alone_and_never_what_the_command_reads(call: Called, words: list[str]) -> None:
    Path("new").write_text("mine")
    code, _, err = call(*words)
    assert (code, "new: already exists" in err, "--force" in err) == (6, True, True)
    assert Path("new").read_text() == "mine"
    assert call(*words, "--force")[0] == 0
    assert Path("new").stat().st_size > 100
    for read in (Path("checkpoints/pets/best.safetensors"), *map(Path, words[2:3] * (words[0] == "eval"))):
        before = read.read_bytes()
        code, _, err = call(*words[:-1], read, "--force")
        assert (code, f"{read}: this command reads that file; choose another name" in err) == (6, True)
        assert read.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("eval pets pets.txt -o page.html", 2, "expected --show beside it"),
        ("eval pets pets.txt --show --per-line --json", 2, "--show and --per-line"),
        ("eval pets pets.txt --show --dynamic --json", 2, "--show and --dynamic"),
        ("eval pets chinese.txt", 3, "does not know 88 %"),
        ("eval pets chinese.txt --show --json", 3, "would mean nothing"),
        ("sample pets the -p the", 2, "expected one prompt, found two"),
        ("runs --yes", 2, "expected --remove"),
        ("runs pets --remove pets", 2, "removes one run and shows none"),
        ("runs --remove pets", 2, "standard input is no terminal"),
        ("runs --remove checkpoints", 4, "no such run"),
        ("runs --remove ../outside --yes", 4, "no such run"),
        ("runs --remove .. --yes", 4, "no such run"),
        ("runs --remove pets.txt --yes", 4, "no such run"),
        ("runs --remove linked --yes", 4, "no such run"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(call: Called, line: str, code: int, words: str) -> None:
    Path("chinese.txt").write_text("猫坐在垫子上看着窗外的雪花落下 t")
    Path("checkpoints/linked").symlink_to("pets")
    found, out, err = call(*line.split())
    assert (found, out) == (code, ""), err
    assert words in err
    assert err.count("\n") == 1
    assert Path("checkpoints/pets").is_dir()


def test_a_text_with_many_unknown_characters_is_said_first_to_say_little(call: Called) -> None:
    Path("mixed.txt").write_text("the cat sat on 猫坐在垫子 the mat\n")
    code, out, _ = call("eval", "pets", "mixed.txt", "--threads", 1)
    assert code == 0
    assert out.startswith("17 % of the characters are unknown to the model")


def test_eval_and_quantize_and_sample_take_the_newest_run_and_say_of_how_many(call: Called) -> None:
    named = call("eval", "zoo", "pets.txt", "--threads", 1)
    code, out, err = call("eval", "pets.txt", "--threads", 1)
    assert (code, out) == (0, named[1])
    assert err == "checkpoints/zoo/best.safetensors: the newest of 2 runs\n"
    assert "checkpoints/zoo/best.safetensors (the newest of 2 runs)" in call("quantize")[2]
    assert "checkpoints/zoo/best.safetensors (the newest of 2 runs): " in call("sample", "-n", 4)[2]
    assert "newest" not in call("sample", "pets", "-n", 4)[2]


def test_a_second_argument_of_sample_is_the_prompt(call: Called) -> None:
    words = ["sample", "pets", "-q", "-n", 9, "--seed", 3]
    assert call(*words, "the cat")[1] == call(*words, "--prompt", "the cat")[1]


@pytest.mark.parametrize("how", [[], ["--surprise"]])
def test_a_sample_wraps_at_words_on_a_terminal_alone(
    call: Called, monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    words = ["sample", "pets", "-n", 300, "--seed", 3, "--ban", r"\n", "-p", "the cat sat on the mat and the ", *how]
    whole = call(*words, "-q")[1]
    assert "\n" not in whole
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert call(*words, "-q")[1] == whole
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = CODE.sub("", call(*words, "-q")[1])
    assert max(map(len, shown.splitlines())) <= 24
    assert len(shown.splitlines()) > 10
    assert shown.replace("\n", " ").rstrip() == whole.rstrip()
    assert CODE.sub("", call(*words, "-q", "--width", 0)[1]).rstrip() == whole.rstrip()
    assert call(*words, "-q", "--out", "new.txt")[1] == ""
    assert Path("new.txt").read_text() == whole


def test_a_length_of_0_is_said_to_ask_for_nothing(call: Called) -> None:
    assert call("sample", "pets", "-n", 0)[2].endswith("-n 0: nothing was to be written\n")
    code, out, err = call("sample", "pets", "-n", 0, "-p", "the")
    assert (code, out) == (0, "the")
    assert err.endswith("-n 0: nothing was to be written after the prompt\n")
    assert call("sample", "pets", "-n", 0, "-q")[2] == ""


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["Once upon"], 'to continue it as a text: -p "Once upon"'),
        (["\u4ece\u524d"], 'to continue it as a text: -p "\u4ece\u524d"'),
        (["-i", "petz"], '(did you mean "pets"?); to continue it as a text: -p "petz"'),
        (['say "a"'], "to continue it as a text: -p TEXT"),
        (["gone.safetensors"], "runs in checkpoints/: zoo, pets\n"),
        (["Once upon", "a time"], "runs in checkpoints/: zoo, pets\n"),
    ],
)
def test_an_argument_that_is_no_run_may_be_meant_as_the_prompt(call: Called, words: list[str], advice: str) -> None:
    code, out, err = call("sample", "-q", *words)
    assert (code, out) == (4, "")
    assert "there is no such checkpoint" in err
    assert advice in err
    assert err.count("\n") == 1


def test_inspect_says_first_what_one_wants(call: Called) -> None:
    with_result()
    code, out, err = call("inspect")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["model", "loss", "verdict", "writes", "text", "file"]
    assert "better than the best n-gram (5-gram 1.57) by 0.26 nats: good for a text of this size" in out
    assert "The cat sat." in out
    assert "the newest of 2 runs" in out
    assert "alphabet" not in out
    assert "good for a text of this size" in call("inspect", "--all")[1]
    found = json.loads(call("inspect", "--json")[1])
    assert found["verdict"]["kind"] == "good"
    assert found["sample"] == "a\nThe cat sat.\n"


def test_a_run_without_a_result_has_no_verdict_and_no_line_of_text(call: Called) -> None:
    for name in ("zoo", "pets"):
        Path(f"checkpoints/{name}/{result.RESULT}").unlink(missing_ok=True)
    out = call("inspect")[1]
    assert [line.split()[0] for line in out.splitlines()] == ["model", "loss", "text", "file"]
    assert json.loads(call("inspect", "--json")[1])["verdict"] is None


def test_the_verdict_of_the_weights_stays_with_them(call: Called) -> None:
    """`last` has other weights than `best`, which were not measured."""
    with_result(best_step=7)
    assert "verdict" not in call("inspect", "zoo")[1]


def test_eval_says_how_a_text_compares_with_the_held_out_text(call: Called) -> None:
    with_result()
    out = call("eval", "zoo", "pets.txt", "--threads", 1)[1]
    assert "expects this text as well as its own held-out text" in out
    assert "; better than the best n-gram" in out
    found = json.loads(call("eval", "zoo", "pets.txt", "--json", "--threads", 1)[1])
    assert found["verdict"]["kind"] == "good"


def test_training_stores_its_verdict_with_a_line_of_text(call: Called) -> None:
    small = ["--hidden-size", 8, "--steps", 90, "--threads", 1, "--batch-size", 3, "--window", 5, "--name", "new"]
    code, _, err = call("train", "pets.txt", *small)
    assert code == 0
    found = json.loads(Path("checkpoints/new/result.json").read_text())
    assert found["ngram_nats"] > 0 < found["train_nats"]
    assert found["sample"]
    assert f"({found['order']}-gram, {found['ngram_nats']:.2f} nats)" in err
    assert "for comparison: " in err
    assert " bits" not in next(line for line in err.splitlines() if line.startswith("for comparison"))
    assert call("inspect", "--verify", "new")[0] == 0


class Typed(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "stays"), [("y\n", False), ("yes\n", False), ("n\n", True), ("\n", True), ("", True)]
)
def test_a_run_is_removed_after_a_question(
    call: Called, monkeypatch: pytest.MonkeyPatch, answer: str, stays: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(answer))
    code, out, err = call("runs", "--remove", "checkpoints/pets")
    assert (code, out) == (0, "")
    assert "remove all of it, for good? [y/N]" in err
    assert Path("checkpoints/pets").exists() == stays
    assert Path("checkpoints/zoo").exists()


def test_yes_removes_without_a_question(call: Called) -> None:
    code, _, err = call("runs", "--remove", "pets", "--yes")
    assert (code, Path("checkpoints/pets").exists()) == (0, False)
    assert "?" not in err


def test_a_run_that_is_being_trained_is_not_removed(call: Called) -> None:
    folder = runs.RunFolder(Path("checkpoints/pets"))
    code, _, err = call("runs", "--remove", "pets", "--yes")
    folder.close()
    assert (code, Path("checkpoints/pets").is_dir()) == (6, True)
    assert "another process is training this run" in err


def test_the_characters_of_bytes_carry_the_surprise_of_all_their_bytes() -> None:
    from charnet.data.vocab import Vocabulary

    vocab = Vocabulary((0x61, 0xA9, 0xC3), of_bytes=True)
    assert list(showing.characters(vocab, [2, 1, 0], [1.0, 2.0, 4.0])) == [("é", 3.0), ("a", 4.0)]
    places = [(1, 0xA8), (2, 0x62)]
    assert list(showing.characters(vocab, [2, 0], [1.0, 4.0], places)) == [("è", -1.0), ("a", 4.0), ("b", -1.0)]
    assert removing.__doc__
