"""`charnet sample --copies, --max-copy, --new, --unique`: what is reported is what brute force finds."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import tiny

import charnet
from charnet.cli.app import run
from charnet.data import corpus
from charnet.evaluation import copies
from charnet.generation import selection
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo
from charnet.storage.learned_text import open_learned


def learned_by(run_folder: Path) -> str:
    """The part of the text of a run that it learned from: all but the last tenth, and what it was tuned on."""
    checkpoint = Checkpoint.load(run_folder / "best.safetensors")
    learned = open_learned(checkpoint)
    ids = np.concatenate([learned.ids[begin:end] for begin, end in zip(*learned.pieces.pieces, strict=True)])
    return checkpoint.vocab.decode(ids.tolist())


def runs_of(text: str, learned: str) -> list[int]:
    """Of each character the longest run that ends with it, by brute force."""
    found: list[int] = []
    for t in range(len(text)):
        length = found[-1] + 1 if found else 1
        while length and text[t + 1 - length : t + 1] not in learned:
            length -= 1
        found.append(length)
    return found


def sampled(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[dict[str, Any]], str]:
    """The objects and the notes of a command."""
    assert run(["sample", *arguments, "--json", "--seed", "1"]) == 0
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


def test_what_is_reported_is_what_brute_force_finds(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned = learned_by(tiny_run)
    whole = (tiny_run.parent.parent / "pets.txt").read_text()
    assert whole.startswith(learned)
    assert len(learned) < 0.95 * len(whole)
    objects, notes = sampled(capsys, str(tiny_run), "-p", "the", "-n", "150", "--samples", "3", "--copies")
    for each in objects:
        text, found = each["text"].removeprefix("the"), each["copies"]
        expected = runs_of(text, learned)
        assert found["longest"] == max(expected)
        assert found["mean"] == pytest.approx(np.mean(expected), abs=1e-3)
        assert found["p90"] == sorted(expected)[int(0.9 * 150) - 1]
        assert found["runs"] == copies.covering(np.array(expected)).tolist()
        longest = text[expected.index(max(expected)) + 1 - max(expected) :][: max(expected)]
        places = [place for place in range(len(learned)) if learned.startswith(longest, place)]
        assert found["line"] in {learned[:place].count("\n") + 1 for place in places}
        assert found["file"] == "pets"
    held_out = runs_of(whole[-(len(whole) // 10) :], learned)
    assert objects[0]["copies"]["held_out"]["longest"] == max(held_out)
    assert objects[0]["copies"]["held_out"]["mean"] == pytest.approx(np.mean(held_out), abs=0.1)
    said = ["all texts", "the held-out text, for comparison"]
    assert [line.split(":")[0] for line in notes.splitlines()[1:]] == said
    assert run(["sample", str(tiny_run), "-n", "150", "--samples", "2", "--copies"]) == 0
    notes = capsys.readouterr().err
    assert [line.split(":")[0] for line in notes.splitlines()[1:]] == ["text 1", "text 2", *said]


def test_the_guard_keeps_its_promise_and_says_how_often(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned = learned_by(tiny_run)
    objects, notes = sampled(capsys, str(tiny_run), "-n", "300", "--samples", "2", "--max-copy", "10")
    assert all(max(runs_of(each["text"], learned)) == 9 for each in objects)
    assert all("receipt" not in each and each["max_copy"] == 10 for each in objects)
    assert re.search(r"--max-copy 10: another character in \d+ places", notes)
    assert run(["sample", str(tiny_run), "-n", "20", "--max-copy", "400", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    text = charnet.load(tiny_run).generate(length=300, seed=1, max_copy=10)
    assert text == objects[0]["text"]
    assert next(charnet.load(tiny_run).texts(count=2, length=300, seed=1, max_copy=10)) == text


def test_each_object_says_how_often_the_guard_acted_and_stderr_the_sum(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ((), ("--top-k", "9"), ("--samples", "5"), ("--samples", "5", "--stop", "o")):
        objects, notes = sampled(capsys, str(tiny_run), "-n", "200", "--max-copy", "8", *more)
        total = sum(each["runs_avoided"] for each in objects)
        assert f"--max-copy 8: another character in {total} place" in notes or not total
    unguarded, _ = sampled(capsys, str(tiny_run), "-n", "20")
    assert "runs_avoided" not in unguarded[0]


def test_each_answer_is_guarded_as_its_line_asks_and_what_it_copies_is_reported(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"prompt": "the cat"}, {"max_copy": 7}, {"max_copy": 1}, {"max_copy": 0}, {"max_copy": 9, "length": 50}]
    lines.append({"max_copy": 9, "match": "[a-z]{3}", "exact": True})
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command = [str(tiny_run), "-n", "200", "--prompts", str(tmp_path / "p.jsonl"), "--no-echo"]
    assert run(["sample", *command, "--max-copy", "10", "--copies", "--seed", "1"]) == 3
    captured = capsys.readouterr()
    learned, answers = learned_by(tiny_run), [json.loads(line) for line in captured.out.splitlines()]
    longest = [max(runs_of(answer["text"], learned)) if "text" in answer else None for answer in answers]
    assert longest[:3] == [9, 6, None]
    assert longest[3] is not None
    assert longest[3] > 10
    assert longest[4] == 8
    assert answers[2]["error"] == "--max-copy: expected at least 2, found 1"
    assert answers[5]["error"].startswith("--max-copy: leave out --exact")
    assert [answer["copies"]["longest"] for answer in answers if "text" in answer] == [n for n in longest if n]
    counts = [answer.get("runs_avoided") for answer in answers]
    for at, length in {0: 10, 1: 7, 4: 9}.items():
        assert counts[at] > 0
        assert f"--max-copy {length}: another character in {counts[at]} place" in captured.err
    alone, _ = sampled(capsys, str(tiny_run), "-n", "200", "-p", "the cat", "--no-echo", "--max-copy", "10")
    assert (alone[0]["text"], alone[0]["runs_avoided"]) == (answers[0]["text"], counts[0])
    assert run(["sample", *command]) == 3  # a line asks for the learned text, the command does not
    assert json.loads(capsys.readouterr().out.splitlines()[1])["max_copy"] == 7
    (first, *_) = charnet.load(tiny_run).answers(["the cat", ""], length=200, seed=1, max_copy=10)
    assert first == "the cat" + answers[0]["text"]


def test_a_mixture_guards_no_line(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.jsonl").write_text('{"max_copy": 9}\n{"length": 3}\n')
    command = ["sample", "--mix", f"{tiny_run}:1", "--mix", f"{tiny_run}:1", "--prompts", str(tmp_path / "p.jsonl")]
    assert run(command) == 3
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["error"] == "--max-copy: needs the text that the model learned from"
    assert len(second["text"]) == 3


def test_the_best_by_copies_is_the_one_whose_longest_copy_is_the_shortest(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(tiny_run), "-n", "60", "-p", "the"]
    learned, texts = learned_by(tiny_run), sampled(capsys, *command, "--samples", "8", "--no-echo")[0]
    best, _ = sampled(capsys, *command, "--samples", "2", "--best-of", "4", "--best-by", "copies", "--no-echo")
    scores = [max(runs_of(each["text"], learned)) for each in texts]
    for number, answer in enumerate(best):
        group = scores[4 * number : 4 * number + 4]
        assert answer["best_of"]["scores"] == group
        assert answer["text"] == texts[4 * number + group.index(min(group))]["text"]
    assert len(set(scores)) > 2


def test_new_lines_may_each_be_the_best_of_several(of_lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objects, _ = sampled(capsys, str(of_lines), "--lines", "9", "--new", "--best-of", "3", "--best-by", "length:4")
    texts = [each["text"] for each in objects]
    assert len(set(texts)) == 9
    assert set(ANIMALS.split()).isdisjoint(texts)
    last = objects[-1]["best_of"]["index"]
    by_index, _ = sampled(capsys, str(of_lines), "--lines", str(last + 1))
    assert [by_index[each["best_of"]["index"]]["text"] for each in objects] == texts


def test_turns_are_guarded_too(
    tiny_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the cat\n\n")))
    assert run(["sample", str(tiny_run), "-i", "--max-copy", "10", "-n", "150", "--seed", "1"]) == 0
    captured = capsys.readouterr()
    assert re.search(r"--max-copy 10: another character in \d+ place", captured.err)
    learned, text = learned_by(tiny_run), captured.out
    assert len(text) >= 300
    first = charnet.load(tiny_run).stream("the cat", length=150, seed=1, max_copy=10)
    written = "".join(first)
    assert written in text
    assert max(runs_of(text[text.index(written) :][:300], learned)) == 9  # no run goes on from turn to turn


@pytest.fixture
def moved(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with its text beside it, and an empty cache."""
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    shutil.copy(tiny_run.parent.parent / "pets.txt", tmp_path / "pets.txt")
    checkpoint = Checkpoint.load(tiny_run / "best.safetensors")
    data = replace(checkpoint.config.data, paths=(str(tmp_path / "pets.txt"),))
    replace(checkpoint, config=replace(checkpoint.config, data=data)).save(tmp_path / "pets.safetensors")
    return tmp_path / "pets.safetensors"


@pytest.mark.parametrize("option", ["--copies", "--max-copy=20"])
def test_a_text_that_is_gone_or_another_one_is_said_in_a_line(
    moved: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = moved.with_name("pets.txt")
    words = text.read_text()
    text.write_text(words + "more")
    assert run(["sample", str(moved), option, "-n", "5"]) == 3
    assert re.fullmatch(r"charnet: the text that the model learned from \(pets, .*\) has changed: .*\n",
                        capsys.readouterr().err)  # fmt: skip
    text.unlink()
    assert run(["sample", str(moved), option, "-n", "5"]) == 3
    assert re.fullmatch(r"charnet: the text .* is neither at .*pets.txt nor in the cache: put it back.*\n",
                        capsys.readouterr().err)  # fmt: skip
    text.write_text(words)
    assert run(["sample", str(moved), option, "-n", "5"]) == 0
    text.unlink()  # it is in the cache now
    assert run(["sample", str(moved), option, "-n", "5"]) == 0


ANIMALS = "a\nb\nab\nba\naa\n" * 4


@pytest.fixture
def of_lines(tmp_path: Path) -> Path:
    """A checkpoint with random weights that was, it says, trained on a few short lines; it writes some of them too."""
    path = tmp_path / "short.txt"
    path.write_text(ANIMALS)
    values: dict[str, Any] = {"data.lines": True, "data.paths": [str(path)], "data.val_fraction": 0.1}
    like = tiny()
    text = corpus.read([str(path)], tiny(**values).config.data)
    info = CorpusInfo("short", len(text.ids), text.size_bytes, 1, text.fingerprint, text.key)
    replace(tiny(vocab=text.vocab, **values), corpus=info, versions=like.versions).save(tmp_path / "short.safetensors")
    return tmp_path / "short.safetensors"


def test_new_lines_are_none_of_those_learned_and_none_twice(of_lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objects, notes = sampled(capsys, str(of_lines), "--lines", "40", "--new")
    texts = [each["text"] for each in objects]
    assert len(texts) == len(set(texts)) == 40
    assert set(ANIMALS.split()).isdisjoint(texts)
    assert re.search(r"40 texts; [\d,]+ left out: known or written before", notes)
    by_index, _ = sampled(capsys, str(of_lines), "--lines", str(objects[-1]["index"] + 1))
    assert [by_index[each["index"]]["text"] for each in objects] == texts
    fewer, _ = sampled(capsys, str(of_lines), "--lines", "7", "--new")
    assert [each["text"] for each in fewer] == texts[:7]


def test_new_texts_of_a_model_of_lines_are_lines(of_lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", str(of_lines), "--samples", "3", "--new"]) == 2
    assert capsys.readouterr().err == "charnet: --new: expected --lines, for texts that are lines\n"


def test_unique_texts_may_be_known_but_come_once(of_lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objects, _ = sampled(capsys, str(of_lines), "--lines", "40", "--unique")
    texts = [each["text"] for each in objects]
    assert len(texts) == len(set(texts)) == 40
    assert not set(ANIMALS.split()).isdisjoint(texts)


def test_a_model_with_no_more_to_say_stops_and_says_so(
    of_lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MOST_MISSES", 30)
    command = [str(of_lines), "--lines", "40", "--unique", "--temp", "0", "--max-length", "0"]
    objects, notes = sampled(capsys, *command)
    assert len(objects) == 1
    assert "1 text; 30 left out: written before" in notes
    assert "the model has no more to say: the last 30 were all written before; try a higher --temp" in notes
    assert run(["sample", *command, "--out-dir", str(tmp_path / "o"), "--seed", "1"]) == 0
    assert "1 text in" in capsys.readouterr().err
    assert len(list((tmp_path / "o").iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-copy", "5", "--receipt", "r.json"], "--receipt and --max-copy: the text depends on more than"),
        (["--new", "--receipt", "r.json"], "--receipt and --new"),
        (["--unique", "--receipt", "r.json"], "--receipt and --unique: no receipt holds which texts were left out"),
        (["--copies", "--surprise"], "--copies and --surprise: both color the text"),
        (["--new"], "--new: the model was not trained on lines or documents; try --max-copy 40"),
        (["-i", "--unique"], "-i: leave out --unique"),
        (["--copies", "--width", "40"], "--copies and --width: line ends that the model did not write"),
        (["--max-copy", "1"], "--max-copy: expected at least 2, found 1"),
        (["--max-copy", "9", "--exact", "--match", "a+"], "--max-copy: leave out --exact"),
    ],
)
def test_options_that_contradict_each_other_are_refused_in_a_line(
    options: list[str], message: str, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sample", str(tiny_run), "-n", "5", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"charnet: {message}")
    assert error.count("\n") == 1


def test_a_mixture_learned_from_several_texts(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "--mix", f"{tiny_run}:1", "--mix", f"{tiny_run}:1", "--max-copy", "9"]) == 2
    assert capsys.readouterr().err.startswith("charnet: --mix: leave out --copies, --max-copy, --new")


def test_characters_are_followed_as_they_are_counted_when_all_are_there(tiny_run: Path) -> None:
    checkpoint = Checkpoint.load(tiny_run / "best.safetensors")
    learned = open_learned(checkpoint)
    text = charnet.load(tiny_run).generate(length=400, seed=2) + learned_by(tiny_run)[50:150] + "the "
    runs_T = learned.index.runs(checkpoint.vocab.encode(text))[0]
    followed = list(copies.follow(iter([text[:3], text[3:90], text[90:]]), checkpoint.vocab, learned.index))
    assert "".join(character for character, _ in followed) == text
    assert [run for _, run in followed] == copies.covering(runs_T).tolist()


def test_a_terminal_shows_copies_in_color(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from charnet.cli import copying

    monkeypatch.setattr(copying, "BANDS", (2, 6))
    leader, follower = pty.openpty()
    with open(follower, "w") as screen, pytest.MonkeyPatch.context() as patch:  # noqa: PTH123
        patch.setattr("sys.stdout", screen)
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        assert run(["sample", str(tiny_run), "-n", "60", "--seed", "1", "--copies", "--quiet"]) == 0
        screen.flush()
        shown = os.read(leader, 10_000).decode()
    os.close(leader)
    assert shown.count("\x1b[0m") > 2
    assert re.sub(r"\x1b\[[\d;]*m|\r", "", shown).rstrip("\n") == charnet.load(tiny_run).generate(length=60, seed=1)


@pytest.mark.slow
def test_an_overfitted_model_copies_without_the_guard_and_not_with_it(tmp_path: Path) -> None:
    text = (Path(charnet.__file__).parent.parent / "corpora" / "ferry-book.txt").read_text()[:6000]
    (tmp_path / "short.txt").write_text(text)
    command = ["train", str(tmp_path / "short.txt"), "--hidden-size", "128", "--dropout", "0", "--steps", "600"]
    more = ["--val-fraction", "0", "--out", str(tmp_path), "--name", "short", "--threads", "1", "--quiet"]
    assert run([*command, *more]) == 0
    model = charnet.load(tmp_path / "short")
    assert max(runs_of(model.generate(length=1000, temperature=0.3, seed=1), text)) > 100
    assert max(runs_of(model.generate(length=1000, temperature=0.3, seed=1, max_copy=40), text)) == 39


def test_what_the_guard_did_in_texts_that_were_left_out_is_said_to_be_counted(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sample", str(tiny_run), "-n", "40", "--seed", "3", "--max-copy", "2", "--json"]
    assert run(command) == 0
    alone = capsys.readouterr()
    assert f"in {json.loads(alone.out)['runs_avoided']} places, where" in alone.err
    assert run([*command, "--best-of", "3"]) == 0
    assert "places, those in texts that were left out included, where a run" in capsys.readouterr().err
