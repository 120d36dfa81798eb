"""charnet from Python."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import sentences

import charnet
from charnet import overlay
from charnet.api import TextModel
from charnet.config import of_arguments
from charnet.engines import registry
from charnet.errors import CharnetError, CheckpointError, ConfigError, CorpusError, PromptError
from charnet.storage import runs

SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "steps": 4,
    "batch_size": 3,
    "window": 5,
    "threads": 1,
    "optimizer": "sgd",
}


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> TextModel:
    return charnet.load(tiny_run)


def test_importing_charnet_costs_nothing() -> None:
    heavy = "{'torch', 'numpy', 'rich', 'yaml', 'typer'}"
    code = f"import sys, charnet; print(*sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_a_model_loads_from_a_run_and_from_a_file(tiny_run: Path, model: TextModel) -> None:
    for path in (tiny_run, str(tiny_run), tiny_run / runs.BEST):
        assert charnet.load(path).checkpoint.sha256 == model.checkpoint.sha256


def test_without_a_path_the_newest_run_is_loaded(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_run, tmp_path / "checkpoints" / "pets")
    monkeypatch.chdir(tmp_path)
    assert charnet.load().checkpoint.weights_sha256() == charnet.load("pets").checkpoint.weights_sha256()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: charnet.load("a\0b"), 4),
        (lambda: charnet.train("a.txt", resume="a\0b"), 4),
        (lambda: charnet.train("a\0b", **SMALL), 3),
        (lambda: charnet.train("a.txt", out="a\0b", **SMALL), 6),
        (lambda: charnet.train("a.txt", name="a\0b", **SMALL), 2),
        (lambda: charnet.train(".", glob="a\0b", **SMALL), 3),
    ],
)
def test_a_name_with_a_zero_byte_is_an_error_that_the_caller_can_correct(
    call: Callable[[], object], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(sentences(60))
    with pytest.raises(CharnetError) as caught:
        call()
    assert caught.value.exit_code == code
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_a_missing_checkpoint_is_a_checkpoint_error() -> None:
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        charnet.load("/no/such/run")


def test_an_unknown_engine_is_refused_with_a_hint(tiny_run: Path) -> None:
    with pytest.raises(ConfigError, match="numpy"):
        charnet.load(tiny_run, engine="nupmy")


def test_both_engines_write_the_same_text(tiny_run: Path, model: TextModel) -> None:
    reference = charnet.load(tiny_run, engine="torch")
    assert reference.generate("the ", length=200, seed=5) == model.generate("the ", length=200, seed=5)


def test_generate_is_the_prompt_and_what_is_streamed(model: TextModel) -> None:
    streamed = "".join(model.stream("the ", length=50, seed=3))
    assert len(streamed) == 50
    assert model.generate("the ", length=50, seed=3) == "the " + streamed


def test_the_same_seed_writes_the_same_and_another_another(model: TextModel) -> None:
    texts = [model.generate(length=80, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_a_stream_can_be_left_at_any_time_and_two_do_not_disturb_each_other(model: TextModel) -> None:
    one, two = model.stream("the ", length=40, seed=1), model.stream("dog", length=40, seed=2)
    woven = [a + b for a, b in zip(one, two, strict=True)]
    assert "".join(pair[0] for pair in woven if pair) == "".join(model.stream("the ", length=40, seed=1))
    assert len(list(itertools.islice(model.stream(length=10**9), 5))) == 5


def test_a_stop_text_ends_the_writing_before_it(model: TextModel) -> None:
    free = "".join(model.stream(length=200, seed=4))
    assert "".join(model.stream(length=200, seed=4, stop=["\n"])) == free.partition("\n")[0]


def test_a_prompt_with_an_unknown_character_is_refused_at_once(model: TextModel) -> None:
    with pytest.raises(PromptError, match=r"U\+00E9 LATIN SMALL LETTER E WITH ACUTE.*position 4"):
        model.stream("caté")


@pytest.mark.parametrize("options", [{"temperature": -1}, {"length": -1}, {"top_p": 2}, {"stop": [""]}, {"seed": -1}])
def test_options_out_of_range_are_refused_at_once(model: TextModel, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        model.stream(**options)


def test_a_text_like_the_one_it_learned_is_known_better_than_noise(model: TextModel) -> None:
    known, noise = model.evaluate(sentences(300, seed=99)), model.evaluate("".join(sorted(sentences(300))))
    assert known.nats_per_char < 0.6 * noise.nats_per_char
    assert known.characters == len(sentences(300, seed=99))


def test_unknown_characters_are_counted_by_name_and_not_evaluated(model: TextModel) -> None:
    evaluation = model.evaluate("the cXat XsatZ")
    assert evaluation.unknown == {
        "'X' (U+0058 LATIN CAPITAL LETTER X)": 2,
        "'Z' (U+005A LATIN CAPITAL LETTER Z)": 1,
    }
    assert evaluation.nats == model.evaluate("the cat sat").nats


@pytest.mark.parametrize(("text", "what"), [("", "the text is empty"), ("ÄÖÜ", "knows none")])
def test_nothing_to_evaluate_is_a_corpus_error(model: TextModel, text: str, what: str) -> None:
    with pytest.raises(CorpusError, match=what):
        model.evaluate(text)


def test_a_hopeless_model_has_an_infinite_perplexity(model: TextModel) -> None:
    checkpoint = model.checkpoint
    tensors = {name: t * np.float32(1e4) for name, t in checkpoint.tensors.items() if name.startswith("model.")}
    evaluation = TextModel(dataclasses.replace(checkpoint, tensors=tensors)).evaluate("vvvvvv")
    assert evaluation.nats_per_char > 710
    assert evaluation.perplexity == math.inf


def test_train_returns_the_run_and_hands_on_every_report(tmp_path: Path) -> None:
    (tmp_path / "pets.txt").write_text(sentences(100))
    reports: list[object] = []
    run = charnet.train(tmp_path / "pets.txt", out=tmp_path / "runs", name="x", on_event=reports.append, **SMALL)
    assert run == tmp_path / "runs" / "x"
    assert [type(report).__name__ for report in (reports[0], reports[-1])] == ["Started", "Finished"]
    assert charnet.load(run).checkpoint.config.model.hidden_size == 8


def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'no setting "hiden_size" \(did you mean "hidden_size"\?\)'):
        charnet.train(out=tmp_path, hiden_size=8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "advice"),
    [("second", r' \(did you mean "seconds"\?\)'), ("foo", "; charnet guide settings lists them")],
)
def test_an_unknown_argument_of_train_is_refused_with_what_helps(tmp_path: Path, given: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=rf'no setting "{given}"{advice}$'):
        charnet.train(out=tmp_path, **{given: 4})


@pytest.mark.parametrize("settings", [{"steps": 0}, {"cell": "lsmt"}, {"dropout": "much"}, {"steps": None}])
def test_a_wrong_value_is_refused_before_anything_is_written(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        charnet.train(out=tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_texts_named_twice_are_refused_and_not_forgotten(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(sentences(100))
    with pytest.raises(ConfigError, match="paths"):
        charnet.train(tmp_path / "a.txt", out=tmp_path / "runs", paths=[str(tmp_path / "b.txt")], **SMALL)


def test_a_text_continues_from_a_state_as_if_it_had_not_stopped(model: TextModel) -> None:
    whole = model.generate("the ", length=120, seed=4)
    first = model.write(model.start("the "), length=50, seed=4)
    text = "".join(piece.text for piece in first)
    second = model.write(first.state, length=70, seed=4)
    assert "the " + text + "".join(piece.text for piece in second) == whole
    saved = model.write(model.start("the " + text, num_sampled=len(text)), length=70, seed=4)
    assert "the " + text + "".join(piece.text for piece in saved) == whole


def test_the_nats_of_what_is_written_are_those_of_reading_it(model: TextModel) -> None:
    pieces = list(model.write(model.start(), length=200, seed=2, temperature=0.5, top_k=5))
    nats = sum(n for piece in pieces for n in piece.nats)
    assert nats == pytest.approx(model.evaluate("".join(piece.text for piece in pieces)).nats, rel=1e-4)


def test_each_answer_is_the_text_of_its_prompt_with_the_next_seed(model: TextModel) -> None:
    prompts = ["the ", "", "cat and the dog "]
    found = list(model.answers(prompts, length=30, seed=3))
    assert found == [model.generate(prompt, length=30, seed=3 + i) for i, prompt in enumerate(prompts)]
    assert list(model.answers([])) == []


def test_several_texts_are_the_ones_of_their_index(model: TextModel) -> None:
    several = list(model.texts("the ", count=4, length=60, seed=3))
    assert several == [model.generate("the ", length=60, seed=3, index=index) for index in range(4)]
    assert len(set(several)) == 4


def test_text_given_in_between_is_read(model: TextModel) -> None:
    begun = model.write(model.start("the "), length=10, seed=4)
    text = "".join(piece.text for piece in begun)
    place = model.extend(begun.state, " dog ")
    went_on = "".join(piece.text for piece in model.write(place, length=40, seed=4))
    anew = model.write(model.start("the " + text + " dog ", num_sampled=10), length=40, seed=4)
    assert "".join(piece.text for piece in anew) == went_on
    with pytest.raises(PromptError):
        model.extend(place, "é")


def opened(model: TextModel) -> set[str]:
    return set(model._engines)


def test_the_engine_of_a_text_follows_from_its_length(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(registry, "available", lambda name: asked.append(name) or "numpy")
    model = charnet.load(tiny_run)
    model.generate(length=20)
    model.stream(length=1_000_000)
    model.stream(length=1_000_000, top_k=3)
    assert asked == ["numpy", "compiled"]


def test_many_short_texts_count_as_one_long_text(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(registry, "available", lambda name: asked.append(name) or "numpy")
    model = charnet.load(tiny_run)
    for _ in range(40):
        model.stream(length=1000)
    assert asked[0] == "numpy"
    assert asked[-1] == "compiled"


def test_a_text_can_change_from_one_engine_to_the_other(tiny_run: Path) -> None:
    pytest.importorskip("numba")
    alone = charnet.load(tiny_run, engine="numpy")
    expected = alone.generate("the cat", length=400, seed=4)
    model = charnet.load(tiny_run)
    first = model.write(model.start("the cat"), length=100, seed=4)
    text = "the cat" + "".join(chunk.text for chunk in first)
    assert opened(model) == {"numpy"}
    model.stream(length=10**6)
    assert opened(model) == {"numpy", "compiled"}
    text += "".join(chunk.text for chunk in model.write(first.state, length=300, seed=4))
    assert text == expected


def test_an_unknown_sampling_option_is_refused_with_a_hint(tiny_run: Path) -> None:
    with pytest.raises(ConfigError, match=r'no sampling option "temprature" \(did you mean "temperature"\?\)'):
        charnet.load(tiny_run).generate(temprature=1.0)
    with pytest.raises(ConfigError, match=r'no sampling option "temp" \(did you mean "temperature"\?\)'):
        charnet.load(tiny_run).generate("a", temp=0.5)
    with pytest.raises(ConfigError, match=r'no sampling option "foo"; charnet guide settings lists them'):
        charnet.load(tiny_run).generate("a", foo=0.5)


def test_two_lengths_of_a_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one length, found two"):
        charnet.train(out=tmp_path, steps=5, epochs=2)
    assert not list(tmp_path.iterdir())


def test_no_texts_are_none(tiny_run: Path) -> None:
    assert list(charnet.load(tiny_run).texts(count=0)) == []


def test_texts_that_the_compiled_engine_cannot_speed_up_do_not_count(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(registry, "available", lambda name: asked.append(name) or "numpy")
    model = charnet.load(tiny_run)
    model.stream(length=10**7, top_k=3)
    with pytest.raises(ConfigError):
        model.stream(length=10**7, logit_bias=[("@", 1.0)])
    model.stream(length=10)
    assert asked == ["numpy"]


@pytest.mark.parametrize("call", ["generate", "texts", "start"])
@pytest.mark.parametrize("number", [-1, 1.5, "1", None])
def test_what_counts_texts_and_characters_is_a_whole_number_from_0(model: TextModel, call: str, number: Any) -> None:
    name = {"generate": "index", "texts": "count", "start": "num_sampled"}[call]
    with pytest.raises(ConfigError, match=f"^{name}: expected a (whole )?number"):
        getattr(model, call)("the ", **{name: number})


@pytest.mark.parametrize("call", ["generate", "stream", "start", "states", "evaluate", "adapt"])
@pytest.mark.parametrize("given", [3, None, b"the "])
def test_what_is_no_text_is_refused_by_its_value_wherever_a_text_is_read(
    model: TextModel, call: str, given: Any
) -> None:
    with pytest.raises(CorpusError, match=f"^(prompt|text): expected a text, found {given!r}(; decode it first|$)"):
        getattr(model, call)(given)


@pytest.mark.parametrize("given", ["the ", b"the ", 3, None])
def test_one_text_in_place_of_many_prompts_is_refused(model: TextModel, given: Any) -> None:
    with pytest.raises(PromptError, match=r"^prompts: expected a list of texts, found "):
        model.answers(given)
    with pytest.raises(PromptError, match=r"^prompts\[1\]: expected a text, found 3$"):
        model.answers(["the ", 3])  # type: ignore[list-item]


def test_prompts_may_come_from_a_generator(model: TextModel) -> None:
    given: Any = (prompt for prompt in ("the ", "a"))
    assert list(model.answers(given, length=3)) == list(model.answers(["the ", "a"], length=3))


def test_only_texts_and_bytes_are_compressed_and_only_bytes_restored(model: TextModel) -> None:
    wrong: Any = None
    with pytest.raises(CorpusError, match=r"^text: expected a text or bytes, found None$"):
        model.compress(wrong)
    with pytest.raises(ConfigError, match=r"^data: expected bytes, found None$"):
        model.decompress(wrong)
    assert model.decompress(bytearray(model.compress(bytearray(b"the")))) == b"the"


def test_the_evaluation_of_a_model_of_bytes_counts_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("thé quick brown fox " * 20)
    model = charnet.load(charnet.train(tmp_path / "a.txt", out=tmp_path, bytes=True, **SMALL))
    found = model.evaluate("thé")
    assert "per byte, " in repr(found)
    assert "4 bytes: so short a text tells little: give it 100 bytes or more" in repr(found)


@pytest.mark.parametrize("given", [b"run", 3, ["run"], ""])
@pytest.mark.parametrize("name", ["path", "texts", "out", "resume", "init_from"])
def test_what_is_no_path_is_refused_by_its_value_wherever_a_path_is_taken(
    name: str, given: Any, tmp_path: Path
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "path": lambda: charnet.load(given),
        "texts": lambda: charnet.train(given),
    }
    call = calls.get(name, lambda: charnet.train(**{"out": tmp_path, name: given}))
    with pytest.raises(
        ConfigError, match=f"^{name}: expected a path, found {re.escape(repr(given))}(: give several|$)"
    ):
        call()


def test_paths_and_numbers_of_other_libraries_are_taken_in_a_training(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the quick brown fox " * 20)
    settings = {"hidden_size": np.int8(3), "learning_rate": np.float32(0.01), "cell": np.str_("gru")}
    run = charnet.train(np.str_(tmp_path / "a.txt"), out=tmp_path, **SMALL | settings)
    assert charnet.load(np.str_(run)).checkpoint.config.model.hidden_size == 3


@pytest.mark.parametrize("options", [{"length": True}, {"temperature": True}])
def test_a_truth_value_is_no_number(model: TextModel, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="found True"):
        model.generate(**options)


def test_a_pickled_or_copied_model_writes_the_same(model: TextModel) -> None:
    text = model.generate("the ", length=7)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert other.generate("the ", length=7) == text


def test_a_model_can_be_saved_under_a_name_that_is_a_text(model: TextModel, tmp_path: Path) -> None:
    model.checkpoint.save(str(tmp_path / "model.safetensors"))
    assert charnet.load(tmp_path / "model.safetensors").generate(length=5) == model.generate(length=5)


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the quick brown fox " * 20)
    first = charnet.train(tmp_path / "a.txt", out=tmp_path, **SMALL | {"hidden_size": 7})
    second = charnet.train(tmp_path / "a.txt", out=tmp_path, init_from=first, steps=1, batch_size=3, window=5)
    assert charnet.load(second).checkpoint.config.model.hidden_size == 7
    with pytest.raises(ConfigError, match=r"^resume cannot change the name or the start of a run: leave out init_from"):
        charnet.train(resume=first, init_from=second, steps=5)


def test_a_state_of_another_model_is_refused_and_one_of_the_adapted_model_is_not(
    model: TextModel, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("the quick brown fox " * 20)
    other = charnet.load(charnet.train(tmp_path / "a.txt", out=tmp_path, **SMALL | {"steps": 1}))
    written = model.write(model.start("the "), length=3)
    list(written)
    for state in (model.start("the "), model.extend(model.start(), "the "), written.state):
        for call in (other.write, lambda kept: other.extend(kept, "the ")):
            with pytest.raises(ConfigError, match=r"^state: it is of another model; read the text again with start$"):
                call(state)
        again = pickle.loads(pickle.dumps(model.adapt("the mother ")))
        assert "".join(chunk.text for chunk in again.write(state, length=3))
    wrong: Any = None
    for call in (model.write, lambda kept: model.extend(kept, "the ")):
        with pytest.raises(ConfigError, match=r"^state: expected one that start or write gave, found None$"):
            call(wrong)


@pytest.mark.parametrize("digits", [309, 5000])
def test_a_number_of_any_size_is_refused_in_one_short_line(model: TextModel, digits: int, tmp_path: Path) -> None:
    huge: Any = 10**digits

    def train(**more: Any) -> Any:
        return lambda: charnet.train(out=tmp_path, **more)

    for call in (
        lambda: model.generate(length=huge),
        lambda: model.texts(count=huge),
        train(seconds=huge),
        train(steps=2, epochs=huge),
        train(steps=2, learning_rate=-huge),
        train(steps=2, cell=huge),
        train(steps=2, length_changes=[(huge, 1)]),
    ):
        with pytest.raises(ConfigError) as caught:
            call()
        assert len(str(caught.value)) < 400
    assert len(model.generate(length=3)) == 3


def test_what_is_loaded_and_trained_shows_its_cell_its_loss_and_its_text(tmp_path: Path) -> None:
    (tmp_path / "a [b].txt").write_text(sentences(100))
    run = charnet.train(tmp_path / "a [b].txt", out=tmp_path / "runs", name="x", **SMALL)
    model = charnet.load(run)
    loss = model.checkpoint.trainer_state.best_nats_per_char
    about = f"lstm 1x8, best {loss:.4f} nats ({loss / math.log(2):.4f} bits) per character at step"
    assert repr(model).startswith(f"TextModel({about}")
    assert f", trained on a-b, {len(sentences(100))} characters; worse than counting " in repr(model)
    assert repr(run) == f'Run("{run}": {repr(model).removeprefix("TextModel(")}'
    assert repr(run / "no") == f'Run("{run / "no"}")'
    assert isinstance(run, Path)
    assert (str(run), run) == (str(tmp_path / "runs" / "x"), tmp_path / "runs" / "x")
    evaluation = model.evaluate("the cat XX")
    assert repr(evaluation) == (
        f"Evaluation({evaluation.nats_per_char:.4f} nats ({evaluation.bits_per_char:.4f} bits) per character, "
        f"perplexity {evaluation.perplexity:.4g}, 8 characters, 2 unknown left out: {evaluation.verdict})"
    )
    assert "so short a text tells little" in evaluation.verdict
    (run / "result.json").unlink()
    assert repr(run).endswith(f", trained on a-b, {len(sentences(100))} characters)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature: expected a number between 0 and 100, found -1"),
        ({"top_p": 2}, "top_p: expected a number between 0 and 1, found 2"),
        ({"length": "1"}, "length: expected a whole number, found '1'"),
        ({"stop": [""]}, "stop: expected texts that are not empty"),
        ({"logit_bias": [("e", 1e9)]}, "logit_bias: expected a character and a number"),
        ({"exact": True}, "exact: expected match beside it"),
        ({"match": "a", "until": "line"}, "match"),
        ({"min_length": 3, "max_length": 2}, "min_length and max_length: expected a range"),
        ({"ban": "\u00e9"}, "ban: the model does not know"),
        ({"until": "--temp"}, 'until: expected one of sentence, line, paragraph, found "--temp"'),
    ],
)
def test_errors_name_arguments_and_not_flags(model: TextModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        model.generate("the ", **options)
    assert str(caught.value).startswith(message)
    assert "--" not in str(caught.value).replace('"--temp"', "")


def test_an_error_holds_no_character_that_controls_a_terminal(tmp_path: Path) -> None:
    name = "a\x1b[2J\nb"
    for call in (lambda: charnet.load(name), lambda: charnet.train(name, out=tmp_path)):
        with pytest.raises(CharnetError) as error:
            call()
        assert str(error.value).isprintable()


def test_an_error_on_the_way_names_arguments_too(model: TextModel) -> None:
    from charnet.errors import rewording

    def late() -> Any:
        yield 1
        raise ConfigError("--ban: everything is banned")

    items = rewording(lambda text: text.replace("--ban", "ban"), late)()
    assert next(items) == 1
    with pytest.raises(ConfigError, match=r"^ban: "):
        next(items)
    with pytest.raises(ConfigError, match=r"^max_copy=2: all that could come next") as caught:
        list(model.write(model.start(), max_copy=2, match="the cat"))
    assert "--" not in str(caught.value)


def test_every_kind_of_public_member_has_its_errors_reworded() -> None:
    from charnet.errors import rewording_class

    @rewording_class(lambda text: text.replace("--ban", "ban"))
    class Example:
        limit = 3

        def method(self) -> None:
            raise ConfigError("--ban: wrong")

        @property
        def value(self) -> int:
            """A value."""
            raise ConfigError("--ban: wrong")

        @value.setter
        def value(self, new: int) -> None:
            raise ConfigError(f"--ban: wrong {new}")

        @staticmethod
        def of_none() -> None:
            raise ConfigError("--ban: wrong")

        @classmethod
        def of_class(cls) -> None:
            raise ConfigError(f"--ban: wrong for {cls.__name__}")

        def _private(self) -> None:
            raise ConfigError("--ban: wrong")

    one = Example()
    calls = [one.method, lambda: one.value, lambda: setattr(one, "value", 2), Example.of_none, Example.of_class]
    for call in calls:
        with pytest.raises(ConfigError, match=r"^ban: wrong"):
            call()
    with pytest.raises(ConfigError, match=r"^--ban"):
        one._private()
    assert (Example.limit, Example.value.__doc__) == (3, "A value.")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps: expected a number between 1"),
        ({"steps": 5, "epochs": 2}, "steps and epochs: expected one length, found two"),
        ({"name": "a/b"}, "name: expected the name of a folder"),
        ({"seconds": "soon"}, "seconds: expected a time, found"),
        ({"dropout": 2}, "dropout: expected a number between 0 and 0.95"),
    ],
)
def test_errors_of_a_training_name_arguments(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        charnet.train(out=tmp_path, **settings)
    assert str(caught.value).startswith(message)
    assert "--" not in str(caught.value)


def test_progress_writes_plain_lines_outside_of_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pets.txt").write_text(sentences(100))
    heard: list[object] = []
    small = {**SMALL, "eval_every": 2}
    charnet.train(tmp_path / "pets.txt", out=tmp_path / "runs", progress=True, on_event=heard.append, **small)
    lines = capsys.readouterr().err.splitlines()
    assert heard
    assert lines[0].startswith("lstm 1x8 with ")
    assert [line[: len("[####################] step 4 of 4")] for line in lines[1:]] == [
        "[####################] step 4 of 4"
    ]
    assert lines[-1].endswith(", complete")
    assert "validation" in lines[1]
    for progress in (None, False):
        charnet.train(tmp_path / "pets.txt", out=tmp_path / "runs", progress=progress, **SMALL)
    assert capsys.readouterr().err == ""


SIGMOID_GATES = {"lstm": ("i", "f", "o"), "gru": ("r", "z"), "cifg": ("i", "o"), "rnn": ()}


@pytest.mark.parametrize(
    "settings", [{"cell": "lstm", "num_layers": 2}, {"cell": "gru"}, {"cell": "cifg"}, {"cell": "rnn", "members": 2}]
)
def test_states_are_those_of_the_engine_by_name(tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / "pets.txt").write_text(sentences(100))
    model = charnet.load(charnet.train(tmp_path / "pets.txt", out=tmp_path / "runs", **SMALL, **settings))
    text = "the cat sat on a mat"
    states = model.states(text)
    assert {array.shape for array in states.values()} == {(len(text), 8)}
    engine, state = model._open("numpy"), model._open("numpy").start(1)
    for at, i in enumerate(model._encode(text)):
        _, state = engine.advance([i], state)
        networks = state if settings.get("members") else (state,)
        for number, network in enumerate(networks):
            member = f"members.{number}." if settings.get("members") else ""
            for layer, arrays in enumerate(network):
                for name, array in zip(("h", "c"), arrays, strict=False):
                    found = states[f"{member}layers.{layer}.{name}"][at]
                    np.testing.assert_allclose(found, array[0], atol=1e-5)
    cell = settings["cell"]
    gates = {name.rpartition(".")[2] for name in states} - {"h", "c"}
    assert set(SIGMOID_GATES[cell]) <= gates
    for name, array in states.items():
        if name.rpartition(".")[2] in SIGMOID_GATES[cell]:
            assert 0 < array.min() < array.max() < 1


def test_the_states_of_an_lstm_obey_its_equations(model: TextModel) -> None:
    found = model.states("the cat and the dog\n")
    i, f, g, o, h, c = (found[f"layers.0.{name}"] for name in "ifgohc")
    before = np.concatenate([np.zeros((1, 16)), c[:-1]])
    np.testing.assert_allclose(c, f * before + i * g, atol=1e-5)
    np.testing.assert_allclose(h, o * np.tanh(c), atol=1e-5)
    assert found.symbols == tuple("the cat and the dog\n")


def test_the_states_of_long_texts_go_on_over_chunks_and_those_of_no_text_are_refused(model: TextModel) -> None:
    text = sentences(170)
    whole = model.states(text)["layers.0.h"]
    assert whole.shape == (len(text), 16)
    assert len(text) > 512
    np.testing.assert_allclose(model.states(text[:300])["layers.0.h"], whole[:300], atol=1e-5)
    with pytest.raises(CorpusError, match="the text is empty"):
        model.states("")
    with pytest.raises(PromptError):
        model.states("\u00e9")


def test_a_notebook_shows_states_as_a_picture(model: TextModel) -> None:
    import xml.etree.ElementTree as ElementTree

    states = model.states("a cat \n")
    states.symbols = tuple("<a> & \n")
    for drawn in (states._repr_svg_(), states.svg("layers.0.f", units=[3, 1])):
        tree = ElementTree.fromstring(drawn)
        assert {"text", "path", "desc"} <= {element.tag.rpartition("}")[2] for element in tree.iter()}
    texts = [element.text for element in tree.iter() if element.tag.endswith("text")]
    assert texts[1:] == [*"<a>\u00b7&\u00b7\u23ce", "3", "1"]
    assert repr(states).startswith("States(layers.0.h (7, 16), layers.0.c (7, 16), layers.0.i")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("lr", "learning_rate"), ("block_size", "window"), ("max_iters", "steps"), ("model", "cell"), ("time", "seconds")],
)
def test_settings_of_other_programs_are_answered_with_their_names_here(typed: str, meant: str) -> None:
    with pytest.raises(charnet.CharnetError, match=f'there is no setting "{typed}" .did you mean "{meant}"'):
        charnet.train("story.txt", **{typed: 3})  # type: ignore[arg-type]
    with pytest.raises(charnet.CharnetError, match=r'section "training" has no setting "lr" .did you mean "learning_r'):
        overlay.limits("training.lr")


def test_a_list_of_texts_is_refused_by_the_name_of_the_argument() -> None:
    with pytest.raises(charnet.CharnetError, match=r"texts: expected a path, found \['a.txt'\]: give several as plain"):
        charnet.train(["a.txt"])  # type: ignore[arg-type]


def test_advice_to_start_from_weights_names_the_argument() -> None:
    said = "run: already at step 3 of 3; resume with --steps 6, or start a new run with --init-from"
    assert of_arguments(said).endswith("resume with steps=6, or start a new run with init_from")


def test_a_file_of_a_run_is_shown_as_a_path(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(sentences(80))
    run = charnet.train(tmp_path / "text.txt", out=tmp_path, **SMALL)
    assert repr(run).startswith("Run(")
    assert repr(run / "last.safetensors") == repr(Path(str(run)) / "last.safetensors")
