"""A run is resumed with changes that are asked for: all that fits is kept, the change is recorded, and from there on
resuming is exact again."""

from __future__ import annotations

import collections
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import sentences
from test_trainer import Runner, after, finish, outcome

import charnet
from charnet.config import Config
from charnet.errors import ConfigError, CorpusError
from charnet.overlay import overlay
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import read_yaml
from charnet.training import setup, start
from charnet.training.events import Started
from charnet.training.trainer import Trainer


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "pets.txt"
    path.write_text(sentences(300))
    return path


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same text with more behind it, which has characters before, between and behind those of its alphabet."""
    path = tmp_path_factory.mktemp("text") / "longer.txt"
    path.write_text(sentences(300) + "a bird, a fox\té " * 20, encoding="utf-8")
    return path


@pytest.fixture
def runner(text: Path, tmp_path: Path) -> Runner:
    return Runner(text, tmp_path / "runs")


def started(run: Trainer) -> Started:
    event = run.started()
    run.folder.close()
    return event


def last(run: Path) -> Checkpoint:
    return Checkpoint.load(run / runs.LAST)


def changes_in_metrics(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / runs.METRICS).read_text().splitlines())
    return [line for line in lines if "changes" in line]


CHANGES = [
    ({"training.learning_rate": 0.01}, "learning_rate 0.004 -> 0.01"),
    ({"training.batch_size": "2"}, "batch_size 3 -> 2"),
    ({"training.window": 4, "training.clip": 0.5}, "clip 1.0 -> 0.5, window 5 -> 4"),
    ({"model.dropout": 0.1}, "dropout 0.3 -> 0.1"),
]


@pytest.mark.parametrize(("values", "words"), CHANGES)
def test_a_change_is_said_and_recorded_in_settings_metrics_and_checkpoint(
    runner: Runner, values: dict[str, Any], words: str
) -> None:
    cut = runner.cut(6)
    run = setup.resume_run(cut, values)
    assert run.started().notes[-1].startswith(f"changed at step 5: {words}; ")
    assert finish(run) == cut
    assert last(cut).config.training.resume_changes == (f"step 5: {words}",)
    assert read_yaml(cut / runs.SETTINGS)["training.resume_changes"] == [f"step 5: {words}"]
    assert changes_in_metrics(cut) == [{"step": 5, "changes": words}]
    for name, value in values.items():
        assert read_yaml(cut / runs.SETTINGS)[name] == str(value)


@pytest.mark.parametrize(("values", "_"), [*CHANGES, ({}, "")])
def test_after_a_change_an_interrupted_and_resumed_run_is_the_uninterrupted_one(
    runner: Runner, longer: Path, values: dict[str, Any], _: str
) -> None:
    def change(run: Path) -> Trainer:
        if values:
            return setup.resume_run(run, values)
        return setup.resume_run(run, {"data.paths": [str(longer)]}, continue_text=True)

    whole, cut = runner.cut(6, "whole"), runner.cut(6)
    finish(change(whole))
    collections.deque(change(cut).events(after(2)), maxlen=0)
    assert last(cut).trainer_state.step == 7
    finish(setup.resume_run(cut))
    assert outcome(cut) == outcome(whole)


def test_a_change_of_the_rate_keeps_everything_else(runner: Runner) -> None:
    cut = runner.cut(6)
    before = last(cut)
    run = setup.resume_run(cut, {"training.learning_rate": 0.01})
    run.save_last()
    run.folder.close()
    after_change = last(cut)
    assert after_change.trainer_state == before.trainer_state
    assert {n: t.tobytes() for n, t in after_change.tensors.items()} == {
        n: t.tobytes() for n, t in before.tensors.items()
    }


@pytest.mark.parametrize("values", [{"training.batch_size": 4}, {"training.window": 6}])
def test_with_other_windows_weights_and_optimizer_are_kept_and_the_streams_start_anew(
    runner: Runner, values: dict[str, Any]
) -> None:
    cut = runner.cut(6)
    before = last(cut)
    run = setup.resume_run(cut, values)
    run.save_last()
    run.folder.close()
    found = last(cut)
    for name, tensor in before.tensors.items():
        if name.startswith("state."):
            assert found.tensors[name].shape[0] == run.config.training.batch_size
            assert not found.tensors[name].any()
        else:
            np.testing.assert_array_equal(found.tensors[name], tensor)
    assert before.trainer_state.position == (0, 5)
    assert found.trainer_state == dataclasses.replace(before.trainer_state, position=(1, 0))


def test_a_longer_text_adds_rows_for_its_characters_and_keeps_those_of_the_others(runner: Runner, longer: Path) -> None:
    cut = runner.cut(6, model__members=2)
    before = last(cut)
    fresh = runner.start("fresh", data__paths=[str(longer)], model__members=2).train_state.model.state_dict()
    run = setup.resume_run(cut, {"data.paths": [str(longer)]}, continue_text=True)
    run.save_last()
    event = started(run)
    found = last(cut)
    new = [row for row, symbol in enumerate(found.vocab.symbols) if symbol not in before.vocab.symbols]
    old = [row for row in range(len(found.vocab)) if row not in new]
    assert [chr(found.vocab.symbols[row]) for row in new] == list("\t,bfxé")
    assert event.alphabet_size == len(before.vocab) + 6
    old_size, new_size = len(runner.text.read_text()), len(longer.read_text(encoding="utf-8"))
    alphabets = f"{len(before.vocab)} -> {len(found.vocab)}"
    words = f"text pets of {old_size:,} -> longer of {new_size:,} characters, alphabet of {alphabets}"
    assert found.config.training.resume_changes == (f"step 5: {words}",)
    assert (found.corpus.name, found.corpus.characters) == ("longer", new_size)
    for name, tensor in before.tensors.items():
        if name.startswith(("model.", "optimizer.")) and "layers." not in name:
            np.testing.assert_array_equal(found.tensors[name][old], tensor)
            expected = fresh[name.removeprefix("model.")].numpy()[new] if name.startswith("model.") else 0
            np.testing.assert_array_equal(found.tensors[name][new], expected)
        elif not name.startswith("state."):
            np.testing.assert_array_equal(found.tensors[name], tensor)


def test_losses_on_another_text_are_not_compared_with_those_before(runner: Runner, longer: Path) -> None:
    cut = runner.cut(6)
    assert last(cut).trainer_state.best_step == 4
    run = setup.resume_run(cut, {"data.paths": [str(longer)]}, continue_text=True)
    assert (run.state.best_nats_per_char, run.recorder.history) == (None, [])
    finish(run)
    assert last(cut).trainer_state.best_step > 4
    assert Checkpoint.load(cut / runs.BEST).vocab == last(cut).vocab


def test_a_text_that_grew_in_its_place_is_continued_without_naming_it(runner: Runner, tmp_path: Path) -> None:
    own = tmp_path / "log.txt"
    own.write_text(sentences(200))
    cut = runner.cut(6, data__paths=[str(own)])
    with own.open("a") as file:
        file.write(sentences(50, seed=3))
    with pytest.raises(CorpusError, match="continue with this one by --continue"):
        setup.resume_run(cut)
    run = setup.resume_run(cut, continue_text=True)
    assert run.started().notes[-1].startswith("changed at step 5: text log")
    finish(run)
    assert changes_in_metrics(cut)[0]["step"] == 5
    with pytest.raises(ConfigError, match="already at step 12 of 12"):
        setup.resume_run(cut)  # the text is known now
    with pytest.raises(ConfigError, match="already at step 12, beyond --steps 7; resume with --steps 24"):
        setup.resume_run(cut, {"training.steps": 7})


def test_a_text_that_has_not_changed_is_resumed_bit_for_bit(runner: Runner) -> None:
    cut = runner.cut(6)
    finish(setup.resume_run(cut, {"data.paths": [str(runner.text)]}, continue_text=True))
    assert outcome(cut) == outcome(runner.whole())
    assert changes_in_metrics(cut) == []


def test_documents_that_were_held_out_stay_held_out_in_a_longer_list_with_new_characters(
    runner: Runner, tmp_path: Path
) -> None:
    own = tmp_path / "names.txt"
    names = [f"{first}{last}" for first in "abcdefghij" for last in ("na", "lo", "ri", "se", "tu")]
    own.write_text("\n".join(names) + "\n")
    cut = runner.cut(6, data__paths=[str(own)], data__lines=True)

    def parts(run: Trainer) -> tuple[set[str], set[str]]:
        train, val = run.recorder.text.train, run.recorder.text.val
        written = (run.vocab.decode(part.head(10_000).tolist()).split() for part in (train, val))
        return set(next(written)), set(next(written))

    trained, held_out = parts(runner.start("again", data__paths=[str(own)], data__lines=True))
    own.write_text("Zoé\n" + "\n".join(names) + "\n1st\n", encoding="utf-8")
    run = setup.resume_run(cut, continue_text=True)
    now_trained, now_held_out = parts(run)
    run.folder.close()
    assert now_held_out >= held_out
    assert not now_trained & held_out
    assert len(now_held_out & trained) <= 1  # the part that is held out has grown a little


def test_a_run_that_stopped_early_resumes_with_another_rate(runner: Runner) -> None:
    values = {"training__learning_rate": 1e-30, "training__optimizer": "sgd", "training__eval_every": 1}
    run = runner.whole(training__patience=2, **values)
    with pytest.raises(ConfigError, match="stopped early"):
        setup.resume_run(run)
    finish(setup.resume_run(run, {"training.learning_rate": 0.5}))
    assert last(run).trainer_state.step > 3


def test_a_rate_that_is_asked_for_is_not_halved_by_rollbacks_before(runner: Runner) -> None:
    cut = runner.cut(6)
    saved = last(cut)
    dataclasses.replace(saved, trainer_state=dataclasses.replace(saved.trainer_state, rollbacks=2)).save(
        cut / runs.LAST
    )
    for values, rollbacks in (({"training.clip": 2}, 2), ({"training.learning_rate": 0.01}, 0)):
        run = setup.resume_run(cut, values)
        run.folder.close()
        assert run.state.rollbacks == rollbacks


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model.cell": "gru"}, "model.cell cannot change in a run; .* leave it out, or start a new run"),
        ({"model.hidden_size": 9}, "model.hidden_size cannot change in a run; .* leave it out, or start a new run"),
        ({"training.optimizer": "sgd"}, "training.optimizer cannot change in a run; start a new one with --init-from"),
        ({"training.seed": 1}, "training.seed cannot change in a run; start a new one with --init-from"),
        ({"data.lowercase": True}, "data.lowercase cannot change in a run; start a new one with --init-from"),
        ({"data.encoding": "cp1252"}, "data.encoding cannot change in a run; add --continue"),
    ],
)
def test_what_cannot_change_is_refused_and_nothing_is_written(
    runner: Runner, values: dict[str, Any], words: str
) -> None:
    cut = runner.cut(6)
    before = {path.name: path.read_bytes() for path in cut.iterdir()}
    with pytest.raises(ConfigError, match=words):
        setup.resume_run(cut, values)
    assert {path.name: path.read_bytes() for path in cut.iterdir()} == before


def test_windows_that_the_text_is_too_short_for_are_refused_and_nothing_is_written(runner: Runner) -> None:
    cut = runner.cut(6)
    before = {path.name: path.read_bytes() for path in cut.iterdir()}
    with pytest.raises(CorpusError, match="3 streams with a window of 5000 need at least"):
        setup.resume_run(cut, {"training.window": 5000})
    assert {path.name: path.read_bytes() for path in cut.iterdir()} == before


def test_a_change_that_the_last_checkpoint_does_not_know_is_dropped_from_the_metrics(runner: Runner) -> None:
    cut = runner.cut(6)
    run = setup.resume_run(cut, {"training.learning_rate": 0.01})  # killed before its first save
    run.folder.close()
    assert len(changes_in_metrics(cut)) == 1
    finish(setup.resume_run(cut))
    assert outcome(cut) == outcome(runner.whole())


def test_a_new_run_with_the_settings_of_a_changed_run_has_no_changes(runner: Runner) -> None:
    cut = runner.cut(6)
    finish(setup.resume_run(cut, {"training.batch_size": 2}))
    settings = read_yaml(cut / runs.SETTINGS)
    run = setup.new_run({}, file_values=settings, out=runner.out, name="new")
    run.folder.close()
    assert (run.config.training.batch_size, run.config.training.resume_changes) == (2, ())
    with pytest.raises(ConfigError, match="already at step 12"):  # not: resume_changes cannot change
        setup.resume_run(cut, file_values=settings)


def test_the_speed_that_is_reported_counts_the_characters_of_the_windows_as_they_are_now(runner: Runner) -> None:
    cut = runner.cut(6)
    finish(setup.resume_run(cut, {"training.batch_size": 1}))
    first, second = (json.loads(line) for line in (cut / runs.METRICS).read_text().splitlines()[-2:])
    seconds = second["seconds"] - first["seconds"]
    assert second["chars_per_second"] * seconds == pytest.approx(2 * 5, rel=0.2, abs=0.002 * second["chars_per_second"])


def test_python_resumes_with_the_same_changes(runner: Runner, longer: Path) -> None:
    cut, same = runner.cut(6), runner.cut(6, "same")
    assert charnet.train(longer, resume=cut, continue_text=True, learning_rate=0.01) == cut
    values = {"data.paths": [str(longer)], "training.learning_rate": 0.01}
    finish(setup.resume_run(same, values, continue_text=True))
    assert outcome(cut) == outcome(same)
    with pytest.raises(ConfigError, match="leave out init_from and name"):
        charnet.train(resume=cut, name="other")
    with pytest.raises(ConfigError, match="give resume=RUN"):
        charnet.train(longer, continue_text=True)


def test_another_way_to_separate_documents_replaces_that_of_the_weights() -> None:
    weights: Any = SimpleNamespace(config=overlay(Config(), {"data.lines": True, "data.newlines": "lf"}))
    kept, replaced = (start._settings_of_model(weights, values).data for values in ((), {"data.documents": "%%"}))
    assert (kept.lines, kept.newlines) == (True, "lf")
    assert (replaced.lines, replaced.newlines) == (False, "lf")


def test_a_resumed_run_tells_of_its_metrics_and_of_its_time_from_before(runner: Runner) -> None:
    cut = runner.cut(6)
    before = (cut / runs.METRICS).read_bytes()
    assert started(setup.resume_run(cut)).planned_seconds == 0
    (cut / runs.METRICS).write_bytes(b'{"step": 0, "planned_seconds": 30.0}\n' + before)
    begun = started(setup.resume_run(cut))
    assert begun.planned_seconds == 30
    for odd in ("-30", '"30"', "1e99", "NaN"):
        (cut / runs.METRICS).write_bytes(b'{"step": 0, "planned_seconds": %s}\n' % odd.encode() + before)
        assert started(setup.resume_run(cut)).planned_seconds == 0, odd
    (cut / runs.METRICS).write_bytes(b'{"step": 0, "planned_seconds": 30.0}\n' + before)
    assert list(begun.metrics) == [json.loads(line) for line in before.splitlines()]
    assert started(setup.resume_run(cut, {"training.steps": 40})).planned_seconds == 0
    assert started(setup.resume_run(cut)).planned_seconds == 0  # the length was changed by hand since


def test_on_another_text_the_losses_from_before_are_not_told(runner: Runner, longer: Path) -> None:
    cut = runner.cut(6)
    assert started(setup.resume_run(cut)).metrics
    assert not started(setup.resume_run(cut, {"data.paths": [str(longer)]}, continue_text=True)).metrics
