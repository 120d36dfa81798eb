"""Training: reproducible, resumable to the bit, and never leaving anything unusable on the disk."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import sentences

from charnet.config import GATES, OPTIMIZERS
from charnet.data import corpus
from charnet.data.cache import cache_folder
from charnet.data.split import Part
from charnet.errors import CharnetError, CheckpointError, ConfigError, CorpusError, DivergedError
from charnet.evaluation.evaluate import evaluate
from charnet.evaluation.evaluate_checkpoint import evaluate_files
from charnet.evaluation.losses import Evaluation
from charnet.model.device import choose_device
from charnet.model.ensemble import from_weights
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import read_yaml
from charnet.training import recorder, setup, trained_ngram, trainer
from charnet.training.events import Evaluated, Finished, Metrics, Progress, RolledBack, Started
from charnet.training.train_state import TrainState
from charnet.training.trainer import Trainer

NOT_COMPARED = ("seconds", "chars_per_second")
SMALL: dict[str, Any] = {
    "model.hidden_size": 8,
    "training.steps": 12,
    "training.batch_size": 3,
    "training.window": 5,
    "training.threads": 1,
    "training.eval_every": 4,
    "training.report_every": 2,
    "training.optimizer": "adamw",  # on a machine this small muon's iteration is most of a step
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "pets.txt"
    path.write_text(sentences(300))
    return path


class Runner:
    """Starts runs on one text in one folder."""

    def __init__(self, text: Path, out: Path) -> None:
        self.text, self.out = text, out

    def start(self, name: str = "run", init_from: Path | None = None, **changes: Any) -> Trainer:
        values = {"data.paths": [str(self.text)]} | SMALL
        values |= {key.replace("__", "."): value for key, value in changes.items()}
        if "training.epochs" in values:
            del values["training.steps"]
        return setup.new_run(values, out=self.out, name=name, init_from=init_from)

    def whole(self, name: str = "whole", init_from: Path | None = None, **changes: Any) -> Path:
        return finish(self.start(name, init_from, **changes))

    def cut(self, asked: int, name: str = "cut", **changes: Any) -> Path:
        """A run that is told to stop when it has asked that many times whether it should."""
        run = self.start(name, **changes)
        reports = list(run.events(after(asked)))
        assert isinstance(reports[-1], Finished)
        assert reports[-1].reason == "interrupted"
        return run.folder.path


@pytest.fixture
def runner(text: Path, tmp_path: Path) -> Runner:
    return Runner(text, tmp_path / "runs")


def finish(run: Trainer) -> Path:
    collections.deque(run.events(), maxlen=0)
    return run.folder.path


def after(asked: int) -> Callable[[], bool]:
    """A stop that says yes from the question after that many on, as a signal that has come stays come."""
    left = iter(range(asked))
    return lambda: next(left, None) is None


def resumed(run: Path, **values: Any) -> Path:
    return finish(setup.resume_run(run, {key.replace("__", "."): value for key, value in values.items()}))


def weights(run: Path, name: str = runs.LAST) -> str:
    return Checkpoint.load(run / name).weights_sha256()


def metrics(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / runs.METRICS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in NOT_COMPARED} for line in lines]


def outcome(run: Path) -> tuple[Any, ...]:
    """All that must be equal where two runs are the same run."""
    last = Checkpoint.load(run / runs.LAST)
    others = {name: t.tobytes() for name, t in last.tensors.items()}
    return weights(run), weights(run, runs.BEST), metrics(run), others, last.trainer_state.best_nats_per_char


# ------------------------------------------------------------------------------------------- same seed, same run


def test_the_same_seed_gives_the_same_weights_and_metrics(runner: Runner) -> None:
    one, two = runner.whole("one"), runner.whole("two")
    assert outcome(one) == outcome(two)


def test_another_seed_gives_other_weights(runner: Runner) -> None:
    assert weights(runner.whole("one")) != weights(runner.whole("two", training__seed=1))


def test_what_was_computed_before_in_the_process_does_not_matter(runner: Runner) -> None:
    one = runner.whole("one", model__dropout=0.5)
    torch.rand(17)
    assert weights(one) == weights(runner.whole("two", model__dropout=0.5))


def test_looking_at_samples_does_not_change_the_run(runner: Runner) -> None:
    one, two = runner.whole("one"), runner.start("two")
    two.sample_length = 20
    assert outcome(one) == outcome(finish(two))


# ------------------------------------------------------------------------------------------- interrupted and resumed


@pytest.mark.parametrize("asked", [1, 5, 7, 11], ids=lambda n: f"question-{n}")
def test_an_interrupted_and_resumed_run_ends_with_the_weights_of_the_whole_run(runner: Runner, asked: int) -> None:
    cut = runner.cut(asked)
    assert outcome(resumed(cut)) == outcome(runner.whole())


@pytest.mark.parametrize(
    ("cell", "optimizer"),
    [(cell, "muon") for cell in GATES] + [("lstm", name) for name in OPTIMIZERS if name != "muon"],
)
def test_every_cell_and_optimizer_resumes_bit_for_bit(runner: Runner, cell: str, optimizer: str) -> None:
    changes: dict[str, Any] = {
        "model__cell": cell,
        "model__num_layers": 2,
        "model__dropout": 0.3,
        "training__optimizer": optimizer,
        "training__weight_decay": 0.1,
        "training__steps": 6,
    }
    cut = runner.cut(3, **changes)
    assert outcome(resumed(cut)) == outcome(runner.whole(**changes))


@pytest.mark.parametrize(
    "cell", ["gru", *(pytest.param(cell, marks=pytest.mark.exhaustive) for cell in GATES if cell != "gru")]
)
def test_an_ensemble_resumes_bit_for_bit(runner: Runner, cell: str) -> None:
    changes: dict[str, Any] = {"model__members": 3, "model__cell": cell, "model__num_layers": 2, "training__steps": 6}
    assert outcome(resumed(runner.cut(3, **changes))) == outcome(runner.whole(**changes))


WITH_NGRAM: dict[str, Any] = {"model__ngram": 5}


@pytest.mark.parametrize("lines", [False, True], ids=["running text", "lines"])
def test_a_run_with_an_ngram_resumes_bit_for_bit(runner: Runner, lines: bool) -> None:
    changes = WITH_NGRAM | {"data__lines": lines}
    assert outcome(resumed(runner.cut(7, **changes))) == outcome(runner.whole(**changes))


def test_an_ngram_makes_the_loss_lower_and_its_share_is_stored(runner: Runner) -> None:
    with_ngram, alone = (runner.whole(name, **changes) for name, changes in (("a", WITH_NGRAM), ("b", {})))
    found = Checkpoint.load(with_ngram / runs.BEST)
    assert 0.3 < found.ngram_share < 1  # twelve steps teach a network of eight units little
    assert (
        found.trainer_state.best_nats_per_char
        < 0.7 * Checkpoint.load(alone / runs.BEST).trainer_state.best_nats_per_char
    )


def test_the_loss_of_a_run_with_an_ngram_is_that_of_its_best_checkpoint(runner: Runner, tmp_path: Path) -> None:
    found = Checkpoint.load(runner.whole(**WITH_NGRAM) / runs.BEST)
    held_out = runner.text.read_bytes()[-int(0.1 * len(runner.text.read_bytes())) :]
    (tmp_path / "end.txt").write_bytes(held_out)
    evaluation = evaluate_files(found, [str(tmp_path / "end.txt")], threads=1)
    assert evaluation.nats_per_char == pytest.approx(found.trainer_state.best_nats_per_char, abs=0.02)


def test_neither_networks_nor_ngram_learn_the_part_that_the_share_is_chosen_on(runner: Runner) -> None:
    run = runner.start(**WITH_NGRAM)
    text = run.recorder.text
    assert len(text.tune) > 0
    assert len(text.train) + len(text.tune) + len(text.val) == len(runner.text.read_text())
    assert len(runner.start("b").recorder.text.tune) == 0
    train, tune, val = (np.asarray(part.ids[:]).tobytes() for part in (text.train, text.tune, text.val))
    middle = len(train) // 2
    assert run.vocab.decode(list(train[:middle] + tune + train[middle:] + val)) == runner.text.read_text()


def test_the_share_of_the_ngram_does_not_depend_on_the_held_out_text(runner: Runner, tmp_path: Path) -> None:
    text = runner.text.read_text()
    cut = len(text) - int(len(text) * 0.1)
    other = tmp_path / "other.txt"
    other.write_text(text[:cut] + "".join(sorted(text[cut:])))
    shares = [
        Checkpoint.load(runner.whole(name, data__paths=[str(path)], **WITH_NGRAM) / runs.LAST).ngram_share
        for name, path in (("a", runner.text), ("b", other))
    ]
    assert shares[0] == shares[1]


def test_a_run_with_an_ngram_and_no_held_out_text_chooses_its_share_too(runner: Runner) -> None:
    found = Checkpoint.load(runner.whole(data__val_fraction=0, **WITH_NGRAM) / runs.LAST)
    assert 0 < found.ngram_share < 1
    assert found.ngram_share != trained_ngram.FIRST_SHARE


def test_weights_with_an_ngram_start_a_run_with_one_of_the_new_text(runner: Runner, tmp_path: Path) -> None:
    first = runner.whole("first", **WITH_NGRAM)
    (tmp_path / "new.txt").write_text(runner.text.read_text()[::-1])
    second = runner.whole("second", init_from=first, data__paths=[str(tmp_path / "new.txt")])
    one, other = (Checkpoint.load(run / runs.BEST) for run in (first, second))
    assert other.config.model.ngram == 5
    assert one.part("ngram")["symbols"].tobytes() != other.part("ngram")["symbols"].tobytes()


def test_the_ngram_of_a_run_that_goes_on_with_a_longer_text_is_counted_anew(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "grows.txt"
    path.write_text(runner.text.read_text())
    run = runner.cut(7, data__paths=[str(path)], **WITH_NGRAM)
    before = Checkpoint.load(run / runs.LAST)
    path.write_text(runner.text.read_text() + sentences(400, seed=3))
    finish(setup.resume_run(run, {}, continue_text=True))
    assert len(Checkpoint.load(run / runs.LAST).part("ngram")["codes"]) > len(before.part("ngram")["codes"])


def test_of_a_very_long_text_the_ngram_counts_pieces_from_all_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_ngram, "MOST_COUNTED", 1000)
    monkeypatch.setattr(trained_ngram, "LONGEST_PIECE", 50)
    ids = np.repeat(np.arange(10), 1000).astype(np.uint8)
    counts = trained_ngram.count_part(Part(ids), 10, 0, 3).levels[0].counts_K
    assert counts.sum() == pytest.approx(1000, abs=100)
    assert counts.min() > 50


def test_a_run_on_a_large_alphabet_resumes_bit_for_bit(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charnet.model.loss.SAMPLED_SOFTMAX_FROM", 1)
    monkeypatch.setattr("charnet.model.loss.NUM_SAMPLED", 3)
    assert outcome(resumed(runner.cut(5))) == outcome(runner.whole())


def stopped_in_evaluation_of(step: int, run: Trainer) -> Callable[[], bool]:
    """A stop that says yes for the first time while that step is being evaluated."""
    seen = {"asked_at_step": 0}

    def stop() -> bool:
        seen["asked_at_step"] += run.state.step == step
        return seen["asked_at_step"] > 0

    return stop


@pytest.mark.parametrize("step", [4, 8])
def test_a_run_interrupted_during_an_evaluation_makes_up_for_it_when_resumed(runner: Runner, step: int) -> None:
    run = runner.start("cut")
    reports = list(run.events(stopped_in_evaluation_of(step, run)))
    assert not any(isinstance(r, Metrics) and r.step == step for r in reports)
    assert outcome(resumed(run.folder.path)) == outcome(runner.whole())


def test_a_run_interrupted_during_its_last_evaluation_can_still_be_completed(runner: Runner) -> None:
    run = runner.start("cut")
    list(run.events(stopped_in_evaluation_of(12, run)))
    assert outcome(resumed(run.folder.path)) == outcome(runner.whole())


def test_a_stop_that_comes_after_the_last_step_does_not_unmake_the_end(runner: Runner) -> None:
    run = runner.start()
    done = {"now": False}
    reports = []
    for report in run.events(lambda: done["now"]):
        reports.append(report)
        done["now"] |= isinstance(report, Metrics) and report.step == 12
    assert isinstance(reports[-1], Finished)
    assert reports[-1].reason == "complete"  # resume would refuse: there is nothing left to do


def test_a_run_can_be_interrupted_and_resumed_twice(runner: Runner) -> None:
    cut = runner.cut(5)
    run = setup.resume_run(cut)
    collections.deque(run.events(after(5)), maxlen=0)
    assert outcome(resumed(cut)) == outcome(runner.whole())


def test_metrics_from_after_the_checkpoint_are_dropped_at_resume(runner: Runner) -> None:
    cut = runner.cut(5)
    with (cut / runs.METRICS).open("a") as file:  # as a run that was killed later than it was saved leaves them
        file.write('{"step": 8, "train_nats_per_char": 1.0}\n{"step": 10, "train_na')
    assert metrics(resumed(cut)) == metrics(runner.whole())


def test_a_test_loss_that_is_not_finite_is_an_error_and_no_line_of_metrics(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runner.start(data__test_fraction=0.2)

    def spoiled(model: Any, part: Part, *more: Any, **options: Any) -> Evaluation:
        found = evaluate(model, part, *more, **options)
        return dataclasses.replace(found, nats=math.inf) if len(part) == len(run.recorder.text.test) else found

    monkeypatch.setattr(recorder, "evaluate", spoiled)
    with pytest.raises(DivergedError, match=r"its loss on [\d,]+ characters is not a finite number"):
        finish(run)
    lines = (run.folder.path / runs.METRICS).read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 12
    assert runs.TEST not in lines[-1]


def test_progress_shows_no_number_that_is_not_finite(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_PROGRESS", -1)
    run = runner.start(training__report_every=12, training__eval_every=12)
    original = run._step

    def stepped() -> None:  # as on a GPU, where a step does not wait to check its loss
        original()
        run.train_state.sums.fill_(math.nan)

    monkeypatch.setattr(run, "_step", stepped)
    shown: list[object] = []
    with pytest.raises(DivergedError):
        shown.extend(run.events())
    assert not [event for event in shown if isinstance(event, Progress)]


@pytest.mark.parametrize("rubbish", [b"\n\n[]\n3\nnull\n", b"\0\0\0\0", b"\xff\xfe{"], ids=["odd", "zeros", "no-utf8"])
def test_lines_of_metrics_that_are_no_lines_are_dropped_at_resume(runner: Runner, rubbish: bytes) -> None:
    cut = runner.cut(5)
    with (cut / runs.METRICS).open("ab") as file:
        file.write(rubbish)
    assert metrics(resumed(cut)) == metrics(runner.whole())


def test_a_run_resumes_from_an_earlier_checkpoint_as_after_a_power_cut(runner: Runner) -> None:
    run, kept = runner.start("cut"), b""
    for report in run.events():
        if isinstance(report, Evaluated) and report.step == 4:
            kept = (run.folder.path / runs.LAST).read_bytes()
    (run.folder.path / runs.LAST).write_bytes(kept)
    assert outcome(resumed(run.folder.path)) == outcome(runner.whole())


def test_a_run_that_never_saved_cannot_be_resumed(runner: Runner) -> None:
    run = runner.start()  # killed before its first save
    with pytest.raises(CheckpointError, match="found no best"):
        setup.resume_run(run.folder.path)


def test_weights_alone_cannot_be_resumed(runner: Runner) -> None:
    run = runner.whole()
    for name in (runs.LAST, runs.PREVIOUS):
        (run / name).unlink()
    with pytest.raises(CheckpointError, match=r"weights only.*--init-from"):
        setup.resume_run(run)


def test_a_finished_run_is_not_resumed(runner: Runner) -> None:
    with pytest.raises(ConfigError, match=r"already at step 12 of 12; resume with --steps 24"):
        setup.resume_run(runner.whole())


def test_a_finished_run_resumes_with_more_steps(runner: Runner) -> None:
    run = resumed(runner.whole(), training__steps=20)
    assert [line["step"] for line in metrics(run)] == list(range(2, 21, 2))
    assert Checkpoint.load(run / runs.LAST).trainer_state.step == 20
    assert read_yaml(run / runs.SETTINGS)["training.steps"] == "20"


def test_a_run_is_found_by_its_name_at_resume(runner: Runner) -> None:
    runner.cut(5, name="pets")
    assert finish(setup.resume_run(Path("pets"), out=runner.out)) == runner.out / "pets"


def test_a_changed_text_is_refused_at_resume(runner: Runner, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text(sentences(200))
    cut = runner.cut(5, data__paths=[str(own)])
    own.write_text(sentences(200).replace("cat", "cow", 1))
    with pytest.raises(CorpusError, match="expected the text that this run was trained on"):
        setup.resume_run(cut)


def test_a_run_resumes_with_the_encoded_copy_if_the_text_is_gone(runner: Runner, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text(sentences(200, seed=7))
    whole = runner.whole(data__paths=[str(own)])
    cut = runner.cut(5, data__paths=[str(own)])
    own.unlink()
    assert outcome(resumed(cut)) == outcome(whole)


def test_a_text_that_is_gone_everywhere_is_asked_for(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.txt"
    own.write_text(sentences(200, seed=8))
    cut = runner.cut(5, data__paths=[str(own)])
    moved = own.rename(tmp_path / "moved.txt")
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "empty"))
    with pytest.raises(CorpusError, match=r"neither at .*own.txt nor in the cache: give its path"):
        setup.resume_run(cut)
    finish(setup.resume_run(cut, {"data.paths": [str(moved)]}))


def test_many_texts_that_are_gone_are_not_all_named(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number:03}.txt" for number in range(40)]
    for path in paths:
        path.write_text(sentences(20))
    cut = runner.cut(5, data__paths=list(map(str, paths)))
    paths[0].unlink()
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "empty"))
    with pytest.raises(CorpusError, match=r"neither at .*000.txt, .*\.\.\. nor in the cache: give its path") as refused:
        setup.resume_run(cut)
    assert len(str(refused.value)) < 500


def test_a_text_named_at_resume_is_found_from_another_folder_later(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = runner.cut(5)
    monkeypatch.chdir(runner.text.parent)
    run = setup.resume_run(cut, {"data.paths": [runner.text.name]})
    collections.deque(run.events(after(1)), maxlen=0)
    assert read_yaml(cut / runs.SETTINGS)["data.paths"] == [str(runner.text)]


def test_parts_missing_from_the_checkpoint_are_noticed(runner: Runner) -> None:
    cut = runner.cut(5)
    saved = Checkpoint.load(cut / runs.LAST)
    del saved.tensors["random.cpu"]
    saved.save(cut / runs.LAST)
    with pytest.raises(CheckpointError, match=r"lacks random\.cpu, or has it in another shape"):
        setup.resume_run(cut)


# ------------------------------------------------------------------------------------------- starting from weights


def test_weights_of_the_same_alphabet_are_carried_over_whole(runner: Runner) -> None:
    first = runner.whole("first")
    second = runner.start("second", init_from=first)
    assert second.known_chars == len(second.vocab)
    for name, array in Checkpoint.load(first / runs.BEST).weights.items():
        assert torch.equal(second.train_state.model.state_dict()[name], torch.from_numpy(array.copy()))


@pytest.mark.parametrize("other", ["the cat sat on a mat, XYZ!", "cat é\n", "0123456789"], ids=["more", "less", "none"])
def test_rows_of_known_characters_are_carried_over_and_others_start_anew(
    runner: Runner, tmp_path: Path, other: str
) -> None:
    first = Checkpoint.load(runner.whole("first") / runs.BEST)
    own = tmp_path / "own.txt"
    own.write_text(other * 40, encoding="utf-8")
    second = runner.start("second", runner.out / "first", data__paths=[str(own)])
    assert second.vocab.symbols == tuple(sorted({*first.vocab.symbols, *map(ord, other)}))
    assert second.known_chars == len(first.vocab)
    fresh = TrainState(second.config, len(second.vocab)).model.state_dict()
    moved = second.train_state.model.state_dict()
    missing = len(set(first.vocab.symbols) - set(map(ord, other)))
    notes = [note for note in second.notes if f"{missing} characters of the old alphabet do not occur" in note]
    assert len(notes) == bool(missing)
    for row, symbol in enumerate(second.vocab.symbols):
        for name in ("embedding.weight", "head.weight", "head.bias"):
            known = symbol in first.vocab.symbols
            expected = first.weights[name][first.vocab.symbols.index(symbol)] if known else fresh[name][row].numpy()
            np.testing.assert_array_equal(moved[name][row].numpy(), expected)
    np.testing.assert_array_equal(moved["layers.0.weight_hh"].numpy(), first.weights["layers.0.weight_hh"])


def test_rows_of_known_characters_are_carried_over_into_every_network(runner: Runner, tmp_path: Path) -> None:
    first = Checkpoint.load(runner.whole("first", model__members=2) / runs.BEST)
    own = tmp_path / "own.txt"
    own.write_text("cat é\n" * 40, encoding="utf-8")
    second = runner.start("second", runner.out / "first", data__paths=[str(own)])
    moved, row = second.train_state.model.state_dict(), second.vocab.symbols.index(ord("a"))
    assert second.config.model.members == 2
    for name in ("members.0.embedding.weight", "members.1.embedding.weight", "members.1.head.bias"):
        expected = first.weights[name][first.vocab.symbols.index(ord("a"))]
        np.testing.assert_array_equal(moved[name][row].numpy(), expected)
    for name in ("members.0.layers.0.weight_hh", "members.1.layers.0.bias"):
        np.testing.assert_array_equal(moved[name].numpy(), first.weights[name])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.hidden_size", 9),
        ("model.cell", "gru"),
        ("model.num_layers", 2),
        ("model.members", 2),
        ("data.bytes", True),
    ],
)
def test_weights_of_another_size_are_refused_before_anything_is_written(
    runner: Runner, key: str, value: object
) -> None:
    first = runner.whole("first")
    with pytest.raises(ConfigError, match="the weights were trained with"):
        setup.new_run({"data.paths": [str(runner.text)], key: value}, out=runner.out, init_from=first)
    assert [run.name for run in runner.out.iterdir()] == ["first"]


def test_the_size_of_the_model_comes_with_the_weights(runner: Runner) -> None:
    first = runner.whole("first", model__cell="gru", model__embedding_size=5)
    values = {"data.paths": [str(runner.text)], "training.window": 5, "training.steps": 3}
    second = setup.new_run(values, out=runner.out, init_from=first)
    assert (second.config.model.cell, second.config.model.hidden_size) == ("gru", 8)
    assert second.config.model.embedding_size == 5


# ------------------------------------------------------------------------------------------- length and end


def evaluations_then(run: Trainer) -> tuple[int, str]:
    reports = list(run.events())
    assert isinstance(reports[-1], Finished)
    return sum(isinstance(r, Evaluated) for r in reports), reports[-1].reason


FROZEN: dict[str, Any] = {"training__learning_rate": 1e-30, "training__optimizer": "sgd", "training__eval_every": 1}


def test_a_run_ends_early_after_that_many_evaluations_without_improvement(runner: Runner) -> None:
    assert evaluations_then(runner.start(**FROZEN, training__patience=3)) == (4, "stopped early")


def test_patience_0_never_ends_a_run_early(runner: Runner) -> None:
    assert evaluations_then(runner.start(**FROZEN, training__patience=0)) == (12, "complete")


def test_a_run_that_stopped_early_resumes_with_more_patience(runner: Runner) -> None:
    run = runner.start(**FROZEN, training__patience=3)
    evaluations_then(run)
    assert evaluations_then(setup.resume_run(run.folder.path, {"training.patience": 5})) == (2, "stopped early")


@pytest.mark.parametrize("epochs", [0.001, 0.5, 2])
def test_epochs_set_the_number_of_steps(runner: Runner, epochs: float) -> None:
    run = runner.start(training__epochs=epochs, training__batch_size=4, training__window=10)
    in_one_pass = run.streams.windows_in_pass(0)
    assert run.config.training.steps == max(1, round(epochs * in_one_pass))
    assert run.config.training.epochs == 0


def test_after_one_epoch_nearly_every_character_was_seen(runner: Runner) -> None:
    run = runner.start(training__epochs=1)
    finish(run)
    learned = len(runner.text.read_text()) * 0.9
    assert learned - 2 * 3 * 5 <= run.state.chars_seen <= learned


def test_a_run_without_held_out_text_is_evaluated_by_its_training_loss(runner: Runner) -> None:
    run = runner.whole(data__val_fraction=0.0)
    assert all("val_nats_per_char" not in line for line in metrics(run))
    best = Checkpoint.load(run / runs.BEST).trainer_state.best_nats_per_char
    assert best == min(line["train_nats_per_char"] for line in metrics(run) if line["step"] % 4 == 0)


def test_a_text_of_exactly_the_least_length_is_enough(runner: Runner, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("ab" * 8)  # 3 streams x 5 characters + 1
    assert (
        Checkpoint.load(runner.whole(data__paths=[str(own)], data__val_fraction=0.0) / runs.LAST).trainer_state.step
        == 12
    )


def test_a_text_one_character_too_short_leaves_nothing_behind(runner: Runner, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("ab" * 7 + "a")
    with pytest.raises(CorpusError, match="has 15 characters; 3 streams with a window of 5 need at least 16"):
        runner.start(data__paths=[str(own)], data__val_fraction=0.0)
    assert not runner.out.exists()


def test_a_text_of_one_character_over_and_over_can_be_learned(runner: Runner, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("a" * 100)
    assert Checkpoint.load(runner.whole(data__paths=[str(own)]) / runs.BEST).trainer_state.best_nats_per_char == 0


# ------------------------------------------------------------------------------------------- divergence

DIVERGING: dict[str, Any] = {
    "training__optimizer": "sgd",
    "training__learning_rate": 1000.0,
    "training__clip": 0.0,
    "training__warmup": 0.0,
    "training__patience": 0,
}


def is_finite(path: Path) -> bool:
    return all(np.isfinite(t).all() for t in Checkpoint.load(path).tensors.values() if t.dtype == np.float32)


EXPLODING = DIVERGING | {"model__cell": "rnn", "model__activation": "relu", "training__steps": 60}


def test_a_diverging_run_ends_with_an_error_that_names_the_learning_rate(runner: Runner) -> None:
    with pytest.raises(DivergedError, match=r"no longer a finite number; .*--learning-rate below 1000"):
        runner.whole(**EXPLODING)


def test_checkpoints_from_before_a_divergence_stay_as_they_were(runner: Runner) -> None:
    run = runner.start()
    reports = run.events()
    for report in reports:
        if isinstance(report, Evaluated) and report.step == 4:
            break
    before = [(run.folder.path / name).read_bytes() for name in (runs.BEST, runs.LAST)]
    with torch.no_grad():
        run.train_state.model.head.bias[0] = math.inf
    with pytest.raises(DivergedError, match=r"the checkpoints in .* hold earlier weights"):
        collections.deque(reports, maxlen=0)
    assert [(run.folder.path / name).read_bytes() for name in (runs.BEST, runs.LAST)] == before
    assert is_finite(run.folder.path / runs.BEST)
    assert is_finite(run.folder.path / runs.LAST)


@pytest.mark.parametrize(("seed", "rate"), [(0, 3.0), (2, 10.0), (0, 1000.0)])
def test_what_a_diverging_run_leaves_behind_can_be_loaded_and_is_finite(runner: Runner, seed: int, rate: float) -> None:
    """A rectified network may be finite over a window and infinite over the longer text that it is evaluated on."""
    run = runner.start(**EXPLODING | {"training__learning_rate": rate}, training__seed=seed, training__eval_every=1)
    with contextlib.suppress(DivergedError):
        finish(run)
    for path in run.folder.path.glob("*.safetensors"):
        assert is_finite(path)
    if (run.folder.path / runs.METRICS).exists():
        for line in (run.folder.path / runs.METRICS).read_text().splitlines():
            json.loads(line, parse_constant=pytest.fail)  # NaN and Infinity are no JSON


# ------------------------------------------------------------------------------------------- what a run says and leaves


def test_lines_of_metrics_have_exactly_the_documented_keys(runner: Runner) -> None:
    always = ["step", "chars_seen", "seconds", "train_nats_per_char", "learning_rate", "grad_norm", "chars_per_second"]
    run = runner.whole()
    for line in map(json.loads, (run / runs.METRICS).read_text().splitlines()):
        expected = {*always, "val_nats_per_char"} if line["step"] % 4 == 0 else set(always)
        assert set(line) == expected
        assert line["chars_seen"] == line["step"] * 3 * 5
        assert line["chars_per_second"] > 0
        assert line["seconds"] >= 0


def test_reports_come_in_order_and_tell_the_whole_story(runner: Runner) -> None:
    run = runner.start()
    first, *middle, last = run.events()
    assert isinstance(first, Started)
    assert isinstance(last, Finished)
    assert [type(r).__name__ for r in middle] == ["Metrics", "Metrics", "Evaluated"] * 3
    assert [r.step for r in middle if isinstance(r, Metrics)] == [2, 4, 6, 8, 10, 12]
    assert last.reason == "complete"
    assert last.best_step == Checkpoint.load(run.folder.path / runs.BEST).trainer_state.step


def test_the_best_checkpoint_is_the_one_with_the_lowest_validation_loss(runner: Runner) -> None:
    run = runner.whole(training__steps=40, training__learning_rate=0.3, training__patience=0)
    lowest = min((line["val_nats_per_char"], line["step"]) for line in metrics(run) if "val_nats_per_char" in line)
    best = Checkpoint.load(run / runs.BEST).trainer_state
    assert (best.best_nats_per_char, best.step) == lowest


def test_checkpoints_name_the_text_but_not_where_it_lies(runner: Runner, text: Path) -> None:
    run = runner.whole()
    for name in (runs.BEST, runs.LAST):
        raw = (run / name).read_bytes()
        assert b"pets.txt" in raw
        for folder in (text.parent, runner.out, Path.cwd(), Path.home()):
            assert str(folder).encode() not in raw
    assert read_yaml(run / runs.SETTINGS)["data.paths"] == [str(text)]


def test_the_settings_beside_a_run_repeat_the_run(runner: Runner) -> None:
    run = runner.whole()
    again = setup.new_run(read_yaml(run / runs.SETTINGS), out=runner.out, name="again")
    assert outcome(finish(again)) == outcome(run)


def test_an_existing_run_is_never_overwritten(runner: Runner) -> None:
    first = runner.whole("pets")
    before = {path: path.read_bytes() for path in first.iterdir()}
    assert runner.whole("pets", training__seed=5).name == "pets-2"
    assert {path: path.read_bytes() for path in first.iterdir()} == before


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\\b", "a\nb", "\x1b[2J"])
def test_the_name_of_a_run_cannot_lead_elsewhere(runner: Runner, name: str) -> None:
    with pytest.raises(ConfigError, match="expected the name of a folder"):
        runner.start(name)
    assert not runner.out.exists()


def test_a_refused_run_leaves_no_folder_behind(runner: Runner) -> None:
    for changes in ({"data__paths": ["/no/such/file"]}, {"model__cell": "lsmt"}, {"data__encoding": "utf-7000"}):
        with pytest.raises(CharnetError):
            runner.start(**changes)
    assert not runner.out.exists()


def test_no_part_files_are_left_behind(runner: Runner) -> None:
    run = runner.whole()
    assert sorted(p.name for p in run.iterdir()) == sorted(
        [runs.BEST, runs.LAST, runs.PREVIOUS, runs.METRICS, runs.SETTINGS]
    )
    assert not list(cache_folder().glob("*.part"))


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"this machine has no cuda, or torch cannot use it; choose .*cpu"):
        choose_device("cuda")


def test_training_learns_more_than_how_common_each_character_is(tiny_run: Path) -> None:
    text = sentences()
    shares = [count / len(text) for count in collections.Counter(text).values()]
    unigram_entropy = -sum(share * math.log(share) for share in shares)
    best = Checkpoint.load(tiny_run / runs.BEST).trainer_state.best_nats_per_char
    assert best is not None
    assert best < 0.6 * unigram_entropy


def test_the_random_numbers_of_dropout_are_resumed(runner: Runner) -> None:
    """Without the saved random state the second half would silence other units."""
    cut = runner.cut(5, model__dropout=0.5)
    saved = Checkpoint.load(cut / runs.LAST)
    torch.manual_seed(999)
    saved.tensors["random.cpu"] = torch.get_rng_state().numpy()
    saved.save(cut / runs.LAST)
    assert weights(resumed(cut)) != weights(runner.whole(model__dropout=0.5))


DROPPED: dict[str, Any] = {"model__dropout": 0.5, "model__weight_dropout": 0.3}


def test_trainings_in_turns_in_one_process_are_what_each_is_alone(runner: Runner) -> None:
    alone = [weights(runner.whole(f"alone-{seed}", **DROPPED, training__seed=seed)) for seed in (1, 2)]
    started = [runner.start(f"in-turns-{seed}", **DROPPED, training__seed=seed) for seed in (1, 2)]
    for events in itertools.zip_longest(*(run.events() for run in started)):
        assert any(events)
    assert [weights(run.folder.path) for run in started] == alone


def test_trainings_in_several_threads_are_what_each_is_alone(runner: Runner) -> None:
    alone = [weights(runner.whole(f"alone-{seed}", **DROPPED, training__seed=seed)) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        together = pool.map(lambda seed: runner.whole(f"thread-{seed}", **DROPPED, training__seed=seed), (1, 2))
        assert [weights(run) for run in together] == alone


def test_torchs_own_random_numbers_belong_to_the_caller(runner: Runner) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    runner.whole(**DROPPED)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_that_stopped_early_is_not_resumed_without_a_word(runner: Runner) -> None:
    run = runner.start(**FROZEN, training__patience=3)
    evaluations_then(run)
    with pytest.raises(ConfigError, match=r"stopped early, .* --patience 0"):
        setup.resume_run(run.folder.path)
    longer = setup.resume_run(run.folder.path, {"training.steps": 2 * run.config.training.steps})
    assert evaluations_then(longer)[0] == 3


@pytest.mark.parametrize("name", ["state.0.0", "optimizer.head.bias.mean", "random.cpu"])
def test_a_checkpoint_whose_tensors_have_other_shapes_is_never_resumed(runner: Runner, name: str) -> None:
    run = runner.start(training__steps=8)
    for report in run.events(lambda: run.state.step >= 4):
        del report
    path = run.folder.path / runs.LAST
    good = Checkpoint.load(path)
    dataclasses.replace(good, tensors=good.tensors | {name: good.tensors[name][..., :1]}).save(path)
    with pytest.raises(CheckpointError, match=name):
        setup.resume_run(run.folder.path)


def test_a_checkpoint_whose_position_is_beyond_the_text_is_never_resumed(runner: Runner) -> None:
    run = runner.start(training__steps=8)
    for report in run.events(lambda: run.state.step >= 4):
        del report
    path = run.folder.path / runs.LAST
    good = Checkpoint.load(path)
    dataclasses.replace(good, trainer_state=dataclasses.replace(good.trainer_state, position=(0, 10**6))).save(path)
    with pytest.raises(CheckpointError, match="position is beyond"):
        setup.resume_run(run.folder.path)


def test_a_consumer_that_leaves_on_the_way_loses_nothing(runner: Runner) -> None:
    whole = runner.start(training__steps=8)
    collections.deque(whole.events(), maxlen=0)
    left = runner.start(training__steps=8)
    with contextlib.closing(left.events()) as reports:
        for report in reports:
            if isinstance(report, Metrics) and report.step >= 4:
                break
    collections.deque(setup.resume_run(left.folder.path).events(), maxlen=0)
    ends = [Checkpoint.load(run.folder.path / runs.LAST).weights_sha256() for run in (whole, left)]
    assert ends[0] == ends[1]


def test_a_run_in_bf16_learns_the_same_to_three_digits_and_resumes_bit_for_bit(runner: Runner) -> None:
    runs_of = {kind: runner.whole(name=kind, training__precision=kind) for kind in ("fp32", "bf16")}
    lines = {kind: metrics(run) for kind, run in runs_of.items()}
    assert lines["fp32"] != lines["bf16"]
    last = [line[-1]["train_nats_per_char"] for line in lines.values()]
    assert abs(last[0] - last[1]) < 0.02
    cut = runner.cut(5, training__precision="bf16")
    assert outcome(resumed(cut)) == outcome(runs_of["bf16"])


def test_a_checkpoint_that_was_mailed_is_not_a_run_to_go_on_with(runner: Runner, tmp_path: Path) -> None:
    """Its neighbours are somebody's own files."""
    mail = tmp_path / "mail"
    mail.mkdir()
    (mail / "friend.safetensors").write_bytes((runner.cut(5) / runs.LAST).read_bytes())
    (mail / runs.SETTINGS).write_text("mine")
    with pytest.raises(CheckpointError, match="a checkpoint by itself; try --init-from"):
        setup.resume_run(mail / "friend.safetensors", {"data.paths": [str(runner.text)]})
    assert (mail / runs.SETTINGS).read_text() == "mine"


def test_a_length_that_changed_at_resume_is_kept_when_that_is_interrupted_at_once(runner: Runner) -> None:
    done = runner.whole()
    steps = 2 * Checkpoint.load(done / runs.LAST).trainer_state.step
    collections.deque(setup.resume_run(done, {"training.steps": steps}).events(lambda: True), maxlen=0)
    assert Checkpoint.load(done / runs.LAST).config.training.steps == steps
    assert Checkpoint.load(resumed(done) / runs.LAST).trainer_state.step == steps


def test_a_run_that_resumes_from_an_older_state_makes_that_its_newest(runner: Runner) -> None:
    cut = runner.cut(7)
    before = Checkpoint.load(cut / runs.PREVIOUS).trainer_state.step
    collections.deque(setup.resume_run(cut / runs.PREVIOUS).events(lambda: True), maxlen=0)
    assert Checkpoint.load(cut / runs.LAST).trainer_state.step == before < 7
    assert outcome(resumed(cut)) == outcome(runner.whole())


def test_a_weight_that_is_found_infinite_when_saving_by_the_clock_is_rolled_back(runner: Runner) -> None:
    run = runner.start(training__on_nan="rollback", training__checkpoint_every=0.0)
    step, poisoned = run._step, []

    def poison() -> None:
        step()
        run.seconds_a_save = 0.0
        if run.state.step == 3 and not poisoned:
            poisoned.append(True)
            with torch.no_grad():
                run.train_state.model.head.bias[0] = math.inf

    run._step = poison  # type: ignore[method-assign]
    reports = list(run.events())
    assert [r.from_step for r in reports if isinstance(r, RolledBack)] == [3]
    assert isinstance(reports[-1], Finished)
    assert reports[-1].reason == "complete"
    glimpses = [r for r in reports if isinstance(r, Progress)]
    assert all(r.train_nats_per_char > 0 and r.chars_per_second < 1e9 for r in glimpses)


def test_random_numbers_that_are_none_are_refused(runner: Runner) -> None:
    cut = runner.cut(5)
    odd = Checkpoint.load(cut / runs.LAST)
    odd.tensors["random.cpu"] = np.zeros_like(odd.tensors["random.cpu"])
    odd.save(cut / runs.LAST)
    with pytest.raises(CheckpointError, match="random generator"):
        setup.resume_run(cut)


def test_tensors_that_no_optimizer_has_are_refused(runner: Runner) -> None:
    cut = runner.cut(5)
    odd = Checkpoint.load(cut / runs.LAST)
    odd.tensors["optimizer.surprise"] = np.zeros(3, np.float32)
    odd.save(cut / runs.LAST)
    with pytest.raises(CheckpointError, match=r"optimizer\.surprise is unknown"):
        setup.resume_run(cut)


@pytest.mark.parametrize("rubbish", [b"[" * 100_000 + b"\n", b'{"step": 1}'])
def test_a_line_of_metrics_that_is_damaged_or_cut_is_dropped_at_resume(runner: Runner, rubbish: bytes) -> None:
    cut = runner.cut(5)
    with (cut / runs.METRICS).open("ab") as file:
        file.write(rubbish)
    assert outcome(resumed(cut)) == outcome(runner.whole())


def test_a_run_whose_settings_are_damaged_resumes_with_the_text_from_the_cache(runner: Runner) -> None:
    cut = runner.cut(5)
    (cut / runs.SETTINGS).write_text("%%%")
    assert weights(resumed(cut)) == weights(runner.whole())


FIRST_STEP = """
import sys
from pathlib import Path
from charnet.storage.checkpoint import Checkpoint
from charnet.training import setup
run = setup.new_run({"data.paths": sys.argv[1:2], "training.steps": 1, "training.threads": 2}, out=Path(sys.argv[2]))
list(run.events())
print(Checkpoint.load(run.folder.path / "last.safetensors").weights_sha256())
"""


@pytest.mark.slow
def test_every_process_takes_the_same_first_step(runner: Runner, tmp_path: Path) -> None:
    """What is chosen once in a process, as by a library at its first call, must not differ from start to start."""
    long = tmp_path / "long.txt"
    long.write_text(sentences(2000))
    command = [sys.executable, "-c", FIRST_STEP, str(long), str(runner.out)]
    said = {subprocess.run(command, capture_output=True, check=True, text=True).stdout for _ in range(20)}
    assert len(said) == 1


# ------------------------------------------------------------------------------------------- a time instead of a length


class MadeUp:
    """A time_budget that changes the length of a run at given steps."""

    def __init__(self, changes: dict[int, int]) -> None:
        self.changes = changes

    def record_evaluation(self, seconds: float) -> None: ...

    def revise(self, step: int, steps: int, evaluations_left: int) -> int | None:  # noqa: ARG002
        return self.changes.get(step)


@pytest.mark.parametrize("changes", [{3: 10}, {2: 30, 5: 9}, {4: 4}, {3: 17, 11: 14}])
def test_a_run_whose_length_changed_on_the_way_is_the_run_that_its_settings_give(
    runner: Runner, changes: dict[int, int]
) -> None:
    run = runner.start("timed")
    run.time_budget = MadeUp(changes)
    timed = finish(run)
    settings = read_yaml(timed / runs.SETTINGS)
    assert (
        int(settings["training.steps"])
        == list(changes.values())[-1]
        == Checkpoint.load(timed / runs.LAST).trainer_state.step
    )
    again = finish(setup.new_run(settings, out=runner.out, name="again"))
    assert outcome(again) == outcome(timed)


def test_a_run_whose_length_changed_resumes_bit_for_bit(runner: Runner) -> None:
    run = runner.start("whole")
    run.time_budget = MadeUp({3: 17})
    whole = finish(run)
    run = runner.start("cut")
    run.time_budget = MadeUp({3: 17})
    assert list(run.events(after(7)))[-1].reason == "interrupted"
    assert outcome(resumed(run.folder.path)) == outcome(whole)


@pytest.mark.exhaustive
def test_without_a_length_a_run_is_planned_for_the_default_time(text: Path, tmp_path: Path) -> None:
    run = setup.new_run({"data.paths": [str(text)], "training.threads": 1}, out=tmp_path, seconds=1.0)
    started, *_, finished = run.events()
    assert isinstance(started, Started)
    assert started.plan is not None
    assert started.plan.config.training.steps == started.config.training.steps
    assert isinstance(finished, Finished)
    assert finished.reason in ("complete", "stopped early")
    assert run.recorder.baselines() is not None
    assert finished.best_nats_per_char is not None


def test_a_new_plan_forgets_the_plans_that_another_run_gave_up(text: Path, tmp_path: Path) -> None:
    values = {"data.paths": [str(text)], "training.threads": 1, "training.length_changes": [[5, 900]]}
    assert setup.new_run(values, out=tmp_path, seconds=1.0).config.training.length_changes == ()


def test_a_run_with_a_length_is_not_planned(runner: Runner) -> None:
    assert next(iter(runner.start().events())).plan is None


def test_a_run_without_held_out_text_is_not_compared(runner: Runner) -> None:
    assert runner.start(data__val_fraction=0).recorder.baselines() is None


def test_no_memory_for_the_comparison_is_no_failure(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(recorder, "baselines", exhausted)
    assert runner.start().recorder.baselines() is None


def test_evaluations_may_read_a_part_of_the_held_out_text(runner: Runner) -> None:
    run = runner.start("part", data__val_chars=20)
    held_out = run.config.data.num_held_out(run.info.characters)
    expected = corpus.read([str(runner.text)]).ids[-held_out:][:20]
    part = metrics(finish(run))[-1]["val_nats_per_char"]
    assert part == pytest.approx(evaluate(run.train_state.model, Part(expected), run.vocab.start_id()).nats_per_char)


def test_the_loss_that_is_reported_is_that_of_the_best_weights_over_every_held_out_character(runner: Runner) -> None:
    run = runner.start("part", data__val_chars=20)
    *_, finished = run.events()
    assert isinstance(finished, Finished)
    held_out = corpus.read([str(runner.text)]).ids[-run.config.data.num_held_out(run.info.characters) :]
    best = from_weights(run.config.model, Checkpoint.load(run.folder.path / runs.BEST).weights)
    assert (finished.read, finished.held_out) == (len(held_out), len(held_out))
    expected = evaluate(best, Part(held_out), run.vocab.start_id()).nats_per_char
    assert finished.best_nats_per_char == pytest.approx(expected)


def test_a_final_evaluation_that_would_take_too_long_reads_a_part_and_reports_it(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LONGEST_FINAL_EVALUATION", 0.0)
    monkeypatch.setattr(recorder, "FINAL_EVALUATION_FRACTION", 0.0)
    *_, finished = runner.start("part", data__val_chars=20).events()
    assert isinstance(finished, Finished)
    assert finished.read == 20 < finished.held_out


def test_an_interrupted_run_reports_how_much_text_it_was_evaluated_on(runner: Runner) -> None:
    run = runner.start("part", data__val_chars=20, training__eval_every=2)
    *_, finished = run.events(after(5))
    assert isinstance(finished, Finished)
    assert finished.read == 20
    assert finished.best_nats_per_char == run.state.best_nats_per_char


@pytest.mark.parametrize(
    ("odd", "more"),
    [
        ("aaaa" * 50, {}),
        ("ab", {"data.val_fraction": 0.0}),
        ("a" * 40 + "b", {"data.bytes": True}),
        ("\r\n" * 60, {}),
    ],
)
def test_odd_texts_are_planned_for_too_or_refused_in_one_line(odd: str, more: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_text(odd, newline="")
    values = {"data.paths": [str(tmp_path / "odd.txt")], "training.threads": 1} | more
    with contextlib.suppress(CharnetError):
        run = setup.new_run(values, out=tmp_path / "runs", seconds=0.2)
        *_, finished = run.events()
        assert isinstance(finished, Finished)
        run.conclude(finished, compressors=True)


@pytest.mark.parametrize("order", [0, 5])
def test_a_text_of_which_all_documents_would_be_held_out_is_refused(runner: Runner, tmp_path: Path, order: int) -> None:
    (tmp_path / "two.txt").write_text("b" * 50 + "\na\n")
    changes = {"data__lines": True, "data__val": "last", "data__val_fraction": 0.9, "model__ngram": order}
    with pytest.raises(CorpusError, match="no document is left to learn from"):
        runner.start(data__paths=[str(tmp_path / "two.txt")], **changes)


MANY = "".join(map(chr, range(0x4E00, 0x4E00 + 600)))  # more characters than a 7-gram can have


def test_a_run_that_goes_on_with_a_larger_alphabet_gets_a_shorter_ngram_and_says_so(
    runner: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "grows.txt"
    path.write_text(runner.text.read_text())
    run = runner.cut(7, data__paths=[str(path)], model__ngram=7)
    path.write_text(runner.text.read_text() + MANY)
    resumed_run = setup.resume_run(run, {}, continue_text=True)
    assert "the larger alphabet allows an n-gram of order 6 at most" in resumed_run.notes
    finish(resumed_run)
    found = Checkpoint.load(run / runs.LAST)
    assert found.config.model.ngram == 6
    assert found.ngram is not None


def test_weights_with_an_ngram_start_a_run_on_an_alphabet_that_allows_a_shorter_one(
    runner: Runner, tmp_path: Path
) -> None:
    first = runner.whole("first", model__ngram=7)
    (tmp_path / "new.txt").write_text(MANY * 3)
    second = runner.whole("second", init_from=first, data__paths=[str(tmp_path / "new.txt")])
    assert Checkpoint.load(second / runs.BEST).config.model.ngram == 6


def test_weights_without_an_ngram_start_a_run_without_one(runner: Runner) -> None:
    first = runner.whole("first", model__ngram=0)
    second = runner.whole("second", init_from=first)
    assert Checkpoint.load(second / runs.BEST).config.model.ngram == 0
