"""`charnet eval --dynamic` and `charnet sample --adapt`: a model that learns while it reads, in front of the user."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cli import Charnet, Result, assert_refused, charnet_  # noqa: F401 - the fixture
from test_engines import build, with_ngram

import charnet
from charnet.api import TextModel
from charnet.data.vocab import Vocabulary
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo

TURNS = b"the dog ran\n\nover a mat\n/back\n/back\n/back\nthe dog ran\n/quit\n"
SAMPLE = ("sample", "pets", "-n", "60", "--seed", "3", "--threads", "1")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other in sums this small cost seconds on a busy machine; conftest sets them back."""
    torch.set_num_threads(1)


@pytest.fixture
def call(charnet_: Charnet) -> Charnet:  # noqa: F811
    """Runs a command line beside the run `pets`, a text of another kind, and checks that no checkpoint changed."""
    Path("style.txt").write_text("sat sat mat mat\n" * 60)
    before = {path: path.read_bytes() for path in Path("checkpoints").rglob("*.safetensors")}

    def called(*arguments: object, stdin: bytes | None = None) -> Result:
        result = charnet_(*arguments, stdin=stdin)
        assert {path: path.read_bytes() for path in Path("checkpoints").rglob("*.safetensors")} == before
        return result

    return called


def written(result: Result) -> str:
    assert result.code == 0, result.err
    return result.out


def saved(name: str, checkpoint: Checkpoint) -> Checkpoint:
    """Writes a checkpoint of `build` so that it can be read."""
    config = overlay(checkpoint.config, {"data.bytes": checkpoint.vocab.of_bytes})
    corpus = CorpusInfo("letters", 9, 9, 1, "ab" * 32, "cd" * 32)
    checkpoint = dataclasses.replace(checkpoint, config=config, corpus=corpus)
    checkpoint.save(Path(f"{name}.safetensors"))
    return checkpoint


@pytest.mark.exhaustive
def test_eval_shows_the_loss_while_learning_beside_the_static_one_with_its_speed(call: Charnet) -> None:
    static = written(call("eval", "pets", "style.txt", "--threads", "1"))
    shown = written(call("eval", "pets", "style.txt", "--threads", "1", "--dynamic"))
    assert shown.startswith(static)
    last = shown.removeprefix(static)
    assert last.startswith("learning while it reads: ")
    assert last.endswith(" characters a second\n")
    assert float(last.split()[4]) < float(static.split()[0])


def test_eval_gives_both_as_json_and_a_rate_of_0_learns_nothing(call: Charnet) -> None:
    line = ("eval", "pets", "style.txt", "--threads", "1", "--json")
    assert "dynamic" not in json.loads(written(call(*line)))
    result = call(*line, "--dynamic", "--dynamic-rate", "0")
    assert result.err == ""
    at_rest = json.loads(written(result))
    assert at_rest["dynamic"]["nats_per_char"] == pytest.approx(at_rest["nats_per_char"], abs=1e-5)
    assert at_rest["dynamic"].keys() == {"nats_per_char", "bits_per_char", "chars_per_second"}


def test_eval_says_where_learning_made_it_worse(call: Charnet) -> None:
    chance = build(vocab=Vocabulary.of_text("abcd"))
    for name in ("weight", "bias"):
        chance.tensors[f"model.head.{name}"][:] = 0  # all characters equally likely: nothing is better
    saved("chance", chance)
    Path("random.txt").write_text("".join(random.Random(1).choices("abcd", k=500)))
    result = call("eval", "chance.safetensors", "random.txt", "--threads", "1", "--dynamic", "--dynamic-rate", "1")
    assert result.code == 0
    assert "made it worse: try a smaller --dynamic-rate" in result.err
    result = call("sample", "chance.safetensors", "-n", "5", "--threads", "1", "--adapt-to", "random.txt")
    assert result.code == 0
    assert "learning made the prediction worse" in result.err


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("eval pets pets.txt --dynamic-rate 0.1", 2, "--dynamic-rate: expected --dynamic beside it"),
        ("eval pets pets.txt --dynamic --dynamic-rate 70", 2, "expected a number between 0 and 10, found 70"),
        ("eval pets pets.txt --dynamic --quantize int8", 2, "8-bit weights cannot learn"),
        ("eval small.safetensors pets.txt --dynamic", 2, "small.safetensors: 8-bit weights cannot learn"),
        ("sample small.safetensors -p the --adapt", 2, "small.safetensors: 8-bit weights cannot learn"),
        ("sample pets --adapt", 2, "--adapt: expected a prompt to learn from"),
        ("sample pets --save-as new.safetensors", 2, "--save-as: expected --adapt or --adapt-to"),
        ("sample pets -i --adapt-to -", 2, "--adapt-to -: standard input"),
        ("sample pets -p - --adapt-to -", 2, "--adapt-to -: standard input"),
        ("sample pets --adapt-to style.txt --quantize int4", 2, "--quantize: expected int8"),
        ("sample pets --adapt-to no.txt", 3, "no.txt: there is no such"),
        ("sample pets --adapt-to accent.txt", 3, "does not know 'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE) x 2"),
        ("sample pets --adapt-to empty.txt", 3, "the text is empty"),
        ("sample pets -p the --adapt --save-as pets.txt", 6, "pets.txt: already exists; choose another name"),
        ("sample pets -p the --adapt --force --save-as link", 6, "link: is a link"),
        ("sample pets -p the --adapt --force --save-as /dev/null", 6, "/dev/null: is not a regular file"),
        ("sample pets -p the --adapt --save-as no/such/folder.st", 6, "no/such/folder.st: cannot be written"),
    ],
)
def test_a_mistake_is_one_line(call: Charnet, line: str, code: int, words: str) -> None:
    charnet.load("pets").checkpoint.quantize().save(Path("small.safetensors"))
    Path("accent.txt").write_text("thé sét\n")
    Path("empty.txt").touch()
    Path("link").symlink_to("pets.txt")
    assert_refused(call(*line.split(), "-q"[: 2 * line.startswith("sample")] or "--json"), code, words)


def test_a_model_that_diverges_while_it_learns_is_code_5(call: Charnet) -> None:
    checkpoint = saved("huge", build(vocab=Vocabulary.of_text("the " + Path("style.txt").read_text())))
    checkpoint.tensors["model.head.weight"] *= 1e38
    saved("huge", checkpoint)
    line = ("sample", "huge.safetensors", "-q", "-p", "the the", "--adapt", "--save-as", "new.safetensors")
    assert_refused(call(*line), 5, "diverged while it learned")
    assert_refused(call("eval", "huge.safetensors", "style.txt", "--dynamic"), 5, "diverged while it learned")
    assert not Path("new.safetensors").exists()


@pytest.mark.parametrize("how", [("-p", "sat sat mat mat\n", "--adapt"), ("--adapt-to", "style.txt")])
def test_the_model_learns_and_the_same_seed_writes_the_same_again(call: Charnet, how: tuple[str, ...]) -> None:
    result = call(*SAMPLE, *how)
    assert "learned from " in result.err
    assert " nats per character while learning, " in result.err
    assert written(result) == written(call(*SAMPLE, *how))
    assert written(result) != written(call(*SAMPLE, *[each for each in how[:2] if how[0] == "-p"]))


@pytest.mark.parametrize("engine", ["numpy", "compiled", "torch"])
def test_every_engine_writes_what_the_adapted_model_does(call: Charnet, engine: str) -> None:
    written(call(*SAMPLE, "--adapt-to", "style.txt", "--save-as", "new.safetensors"))
    adapted = written(call(*SAMPLE, "--adapt-to", "style.txt", "--engine", engine))
    assert adapted == charnet.load("new.safetensors").generate(length=60, seed=3)
    assert adapted != charnet.load("pets").generate(length=60, seed=3)


@pytest.mark.parametrize(
    "more", [("--samples", "3"), ("--quantize", "int8"), ("--json",), ("--temp", "0"), ("--unknown", "skip")]
)
def test_other_options_apply_to_the_adapted_model(call: Charnet, more: tuple[str, ...]) -> None:
    how = ("--adapt-to", "style.txt", *more)
    adapted = written(call(*SAMPLE, *how, "--save-as", "new.safetensors"))
    if "--json" in more:
        found = json.loads(adapted)
        assert found["adapt_to"] == "style.txt"
        assert found["weights_sha256"] == charnet.load("new.safetensors").checkpoint.weights_sha256()
        return
    again = written(call("sample", "new.safetensors", *SAMPLE[2:], *more))
    assert adapted == again


def test_a_saved_model_evaluates_as_adapted_and_says_what_it_is(call: Charnet) -> None:
    written(call(*SAMPLE, "--adapt-to", "style.txt", "--save-as", "new.safetensors"))
    style = Path("style.txt").read_text()
    adapted = charnet.load("pets").adapt(style)
    found = charnet.load("new.safetensors")
    assert found.checkpoint.weights_sha256() == adapted.checkpoint.weights_sha256()
    assert found.evaluate(style).nats == adapted.evaluate(style).nats < charnet.load("pets").evaluate(style).nats
    assert "adapted to 960 characters" in written(call("inspect", "new.safetensors"))
    assert call(*SAMPLE, "--adapt-to", "style.txt", "--save-as", "new.safetensors").code == 6
    assert call(*SAMPLE, "--adapt-to", "style.txt", "--save-as", "new.safetensors", "--force").code == 0


def test_a_file_and_then_the_prompt_are_learned(call: Charnet) -> None:
    how = ("--adapt-to", "style.txt", "--adapt", "-p", "the ")
    result = call(*SAMPLE, *how, "--save-as", "new.safetensors")
    assert result.err.index("learned from style.txt") < result.err.index("learned from the prompt: 4 characters")
    assert "adapted to 964 characters" in written(call("inspect", "new.safetensors"))


@pytest.mark.parametrize("members", [1, 2])
def test_ensembles_with_an_ngram_of_bytes_and_of_letters_adapt(call: Charnet, members: int) -> None:
    for name, vocab in (("bytes", Vocabulary(tuple(b"eht"), of_bytes=True)), ("letters", Vocabulary.of_text("the"))):
        saved(name, with_ngram(build(vocab=vocab, members=members)))
        line = ("sample", f"{name}.safetensors", "-q", "-n", "40", "-s", "1", "-p", "thethethe" * 20, "--adapt")
        assert written(call(*line, "--save-as", f"{name}2.safetensors")) == written(call(*line))
        trained, adapted = (Checkpoint.load(Path(f"{name}{end}.safetensors")) for end in ("", "2"))
        assert adapted.ngram_share != trained.ngram_share
        assert TextModel(adapted).evaluate("the" * 50).nats < TextModel(trained).evaluate("the" * 50).nats


def test_lines_are_written_by_a_model_that_has_learned_lines(
    call: Charnet, tmp_path: Path, training: Callable[..., None]
) -> None:
    training("names.txt", "--lines", "--name", "names")
    Path("more.txt").write_text("Ann\nAnna\n" * 20)
    line = ("sample", str(tmp_path / "runs" / "names"), "-q", "--lines", "3", "-s", "1")
    adapted = written(call(*line, "--adapt-to", "more.txt"))
    assert adapted.count("\n") == 3
    assert adapted != written(call(*line))


@pytest.fixture
def training(charnet_: Charnet, tmp_path: Path) -> Callable[..., None]:  # noqa: F811
    """Trains for a few steps, in a folder of runs of its own."""
    Path("names.txt").write_text("Anna\nAnn\nNan\nNana\n" * 30)

    def call(*arguments: str) -> None:
        small = ("--steps", "5", "--hidden-size", "8", "--batch-size", "3", "--window", "5", "--threads", "1")
        written(charnet_("train", *arguments, *small, "-q", "--out", tmp_path / "runs"))

    return call


def test_in_a_session_the_model_learns_from_each_turn_and_back_undoes_that(call: Charnet) -> None:
    how = ("sample", "pets", "-i", "-n", "30", "--seed", "3", "--threads", "1")
    plain, adapted = written(call(*how, stdin=TURNS)), written(call(*how, "--adapt", stdin=TURNS))
    assert adapted != plain
    assert adapted[:30] == adapted[-30:]  # the first turn, and the same after it was undone
    first = written(
        call("sample", "pets", "-q", "-n", "30", "--seed", "3", "-p", "the dog ran", "--adapt", "--no-echo")
    )
    assert adapted[:30] == first


def test_ten_learned_turns_can_be_undone(call: Charnet) -> None:
    result = call("sample", "pets", "-i", "-q", "-n", "1", "--adapt", stdin=b"the \n" * 12 + b"/back\n" * 11)
    assert result.err.count("back after: ") == 10
    assert result.err.count("there is nothing to undo") == 1


def test_a_session_saves_what_it_has_learned_at_its_end(call: Charnet) -> None:
    how = ("sample", "pets", "-i", "-n", "30", "--seed", "3", "--threads", "1", "--save-as")
    written(call(*how, "turns.safetensors", "--adapt", stdin=TURNS))
    assert "adapted to 11 characters" in written(call("inspect", "turns.safetensors"))
    written(call(*how, "file.safetensors", "--adapt-to", "style.txt", stdin=TURNS))
    assert "adapted to 960 characters" in written(call("inspect", "file.safetensors"))


def test_from_python_a_new_model_learns_and_the_old_one_stays(call: Charnet) -> None:
    del call
    shutil.copytree("checkpoints/pets", "copy")
    model = charnet.load("copy")
    before = model.generate("the ", length=40, seed=1)
    adapted = model.adapt("sat sat mat mat\n" * 30)
    assert model.generate("the ", length=40, seed=1) == before
    assert adapted.generate("the ", length=40, seed=1) == model.adapt("sat sat mat mat\n" * 30).generate(
        "the ", length=40, seed=1
    )
    with pytest.raises(charnet.CharnetError, match="does not know 'é'"):
        model.adapt("thé")
    with pytest.raises(charnet.CharnetError, match="the text is empty"):
        model.adapt("")
    with pytest.raises(charnet.CharnetError, match="rate: expected a number between 0 and 10"):
        model.adapt("the", rate=20.0)


def test_an_empty_name_of_a_file_to_learn_from_is_refused(call: Charnet) -> None:
    result = call(*SAMPLE, "--adapt-to", "")
    assert result.code in (2, 3)
    assert result.err.count("\n") == 1


def test_ctrl_c_while_a_turn_is_learned_leaves_that_turn_out_and_the_session_goes_on(
    call: Charnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from charnet.evaluation.adapt import Adaptation

    learn, calls = Adaptation.learn, list[int]()

    def interrupted(*arguments: Any, **more: Any) -> Adaptation:
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return learn(*arguments, **more)

    monkeypatch.setattr(Adaptation, "learn", interrupted)
    result = call("sample", "pets", "-i", "-q", "-n", "1", "--adapt", stdin=b"the \n" * 3 + b"/save out.txt\n")
    assert result.code == 0
    assert "stopped before it had learned from this turn, which is left out" in result.err
    assert Path("out.txt").read_text().count("the ") == 2


def test_text_and_model_are_not_written_to_one_file(call: Charnet) -> None:
    result = call(*SAMPLE, "--adapt-to", "style.txt", "--save-as", "x", "--out", "./x")
    assert (result.code, result.out) == (2, "")
    assert "two files" in result.err
    assert not Path("x").exists()


def test_a_rate_out_of_its_range_is_refused_before_torch_is_needed(
    call: Charnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "charnet.evaluation.evaluate_checkpoint", None)
    result = call("eval", "pets", "style.txt", "--dynamic", "--dynamic-rate", "99")
    assert result.code == 2
    assert "--dynamic-rate: expected a number between 0 and 10, found 99" in result.err
