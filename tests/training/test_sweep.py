"""A sweep is many runs in parts: each part is exact, what is pruned can go on, and it ends on time."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import sentences

from charnet.config import Config
from charnet.errors import CharnetError, CheckpointError, ConfigError, CorpusError
from charnet.overlay import as_dict, overlay
from charnet.storage import run_list, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.runs import RunFolder
from charnet.training import setup, sweep_file, sweep_plan, throughput, trials
from charnet.training import sweep as sweep_module
from charnet.training.events import Metrics, Replanned
from charnet.training.sweep import Sweep, new_sweep, resume_sweep
from charnet.training.sweep_events import Halved, Paused, SweepFinished
from charnet.training.sweep_file import Record
from charnet.training.time_budget import TimeBudget
from charnet.training.trials import DIVERGED, DONE, PRUNED

TRIED = trials.parse(["learning_rate=0.001,0.01,0.04"])
STEPS = 16
TINY = {
    "model.hidden_size": 9,
    "model.embedding_size": 5,
    "model.ngram": 0,
    "model.dropout": 0.1,
    "training.batch_size": 4,
    "training.window": 8,
    "training.threads": 1,
    "training.steps": STEPS,
    "training.eval_every": 2,
    "training.report_every": 2,
    "training.device": "cpu",
    "training.precision": "fp32",
    "training.patience": 0,
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "pets.txt"
    path.write_text(sentences(300))
    return path


def flat(config: Config) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, keys in as_dict(config).items() for key, value in keys.items()}


def record_of(text: Path, tried: trials.Tried = TRIED, *, repeats: bool = False, seconds: float = 1e6) -> Record:
    settings = flat(overlay(Config(), {**TINY, "data.paths": (str(text),), "data.val": "last"}))
    found = trials.combinations(tried)
    for trial in found:
        trial.changes = dict(trial.values)
    values = {key: list(each) for key, each in tried.items()}
    fingerprint = hashlib.sha256(text.read_bytes()).hexdigest()
    return Record(settings, values, [], fingerprint, found, seconds, 1.0, repeats)


def sweep_of(record: Record, out: Path) -> Sweep:
    folder = RunFolder.new(out, "pets-sweep")
    record.save(folder)
    return Sweep(folder, record, time.monotonic())


def finish(sweep: Sweep, stop: Callable[[], object] = lambda: False) -> tuple[list[Any], SweepFinished]:
    *events, last = sweep.events(stop)
    assert isinstance(last, SweepFinished)
    return events, last


def weights(run: Path) -> dict[str, np.ndarray]:
    return Checkpoint.load(run / runs.LAST).weights


def same(first: Path, second: Path) -> bool:
    theirs, ours = weights(first), weights(second)
    return all(np.array_equal(theirs[name], ours[name]) for name in theirs)


def facts(record: Record) -> list[Any]:
    """What may not depend on when a sweep was interrupted."""
    return [(trial.label, trial.state, trial.losses) for trial in record.trials]


def test_a_trial_that_paused_is_bit_for_bit_the_run_in_one_piece(text: Path, tmp_path: Path) -> None:
    events, last = finish(sweep_of(record_of(text), tmp_path))
    assert [trial.state for trial in last.ranked] == [DONE, DONE, PRUNED]
    assert [event.rung for event in events if isinstance(event, Paused)] == [1, 1, 1, 2, 2, 4, 4]
    best = last.ranked[0]
    whole = setup.new_run(last.record.settings | best.changes, out=tmp_path, name="whole")
    losses = {event.step: event.val_nats_per_char for event in whole.events() if isinstance(event, Metrics)}
    assert same(tmp_path / "whole", last.folder / best.label)
    assert best.losses[-1] == min(loss for loss in losses.values() if loss is not None)
    assert last.best == last.folder / best.label


@pytest.mark.exhaustive
def test_a_pruned_run_can_be_resumed_and_ends_as_if_it_had_not_been_pruned(text: Path, tmp_path: Path) -> None:
    _, last = finish(sweep_of(record_of(text), tmp_path))
    pruned = last.ranked[-1]
    path = last.folder / pruned.label
    assert not (path / runs.PREVIOUS).exists()  # it takes no more space than it needs
    assert run_list.summary(path).state == run_list.INTERRUPTED
    for _ in setup.resume_run(path).events():
        pass
    for _ in setup.new_run(last.record.settings | pruned.changes, out=tmp_path, name="whole").events():
        pass
    assert same(path, tmp_path / "whole")


def test_the_runs_of_a_sweep_are_listed_as_runs(text: Path, tmp_path: Path) -> None:
    _, last = finish(sweep_of(record_of(text), tmp_path))
    assert {run.name for run in run_list.summaries(last.folder)} == {trial.label for trial in last.record.trials}
    assert run_list.summaries(tmp_path) == []  # the sweep itself is none


@pytest.fixture(scope="module")
def expected(text: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepFinished:
    return finish(sweep_of(record_of(text, repeats=True), tmp_path_factory.mktemp("whole")))[1]


@pytest.mark.parametrize("steps", [3, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (0, 37))])
def test_an_interrupted_sweep_goes_on_as_if_it_had_not_been_interrupted(
    text: Path, tmp_path: Path, expected: SweepFinished, steps: int
) -> None:
    asked = iter(range(10**6))
    _, cut = finish(sweep_of(record_of(text, repeats=True), tmp_path), lambda: next(asked) > steps)
    assert cut.reason == "interrupted"
    _, last = finish(resume_sweep(cut.folder))
    assert last.reason == "complete"
    assert facts(last.record) == facts(expected.record)
    assert last.ranked[0].label == expected.ranked[0].label
    assert sum(trial.again for trial in last.record.trials) == 2
    _, again = finish(resume_sweep(cut.folder))  # nothing is left to do
    assert facts(again.record) == facts(expected.record)


@pytest.mark.exhaustive
def test_a_rung_that_was_reached_but_not_noted_is_not_trained_again(text: Path, tmp_path: Path) -> None:
    """As if the process had been killed between the last save of a run and that of the sweep."""
    _, last = finish(sweep_of(record_of(text), tmp_path))
    path, expected = last.folder / sweep_file.SWEEP, facts(last.record)
    noted = json.loads(path.read_text())
    done = next(trial for trial in noted["trials"] if trial["state"] == DONE)
    done["losses"].pop()
    done["state"] = ""
    path.write_text(json.dumps(noted))
    events, again = finish(resume_sweep(last.folder))
    assert not [event for event in events if isinstance(event, Metrics)]
    assert facts(again.record) == expected


def test_a_folder_that_was_begun_before_the_process_was_killed_is_begun_anew(text: Path, tmp_path: Path) -> None:
    record = record_of(text)
    sweep = sweep_of(record, tmp_path)
    begun = sweep.path(record.trials[0])
    begun.mkdir()
    (begun / runs.SETTINGS).write_text("model:\n")
    _, last = finish(sweep)
    assert {path.name for path in last.folder.iterdir() if path.is_dir()} == {t.label for t in record.trials}


def test_a_text_that_changed_between_two_trials_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "pets.txt"
    text.write_text(sentences(300))
    record = record_of(text)
    sweep = sweep_of(record, tmp_path)
    with contextlib.closing(sweep.events()) as events:
        for event in events:
            if isinstance(event, Paused):
                text.write_text(sentences(310))
                break
    with pytest.raises(CorpusError, match="has changed since the sweep began"):
        finish(resume_sweep(sweep.folder.path))
    assert [path.name for path in sweep.folder.path.iterdir() if path.is_dir()] == [record.trials[0].label]


@pytest.mark.exhaustive
def test_a_trial_that_diverges_is_out_and_the_others_go_on(text: Path, tmp_path: Path) -> None:
    tried = trials.parse(["learning_rate=0.001,0.002,1000"])
    record = record_of(text, tried)
    record.settings |= {"model.cell": "rnn", "model.activation": "relu", "training.optimizer": "sgd"}
    record.settings |= {"training.clip": 0.0, "training.warmup": 0.0}
    events, last = finish(sweep_of(record, tmp_path))
    diverged = record.trials[2]
    assert diverged.state == DIVERGED
    assert last.ranked[-1] is diverged
    assert [trial.state for trial in record.trials[:2]] == [DONE, DONE]
    assert last.effects[0].diverged == (1000.0,)
    assert any(isinstance(event, Paused) and event.trial is diverged for event in events)


def test_a_trial_that_stops_early_keeps_its_best_loss_and_is_not_resumed(text: Path, tmp_path: Path) -> None:
    record = record_of(text, trials.parse(["learning_rate=0,0.04"]))
    record.trials[0].changes |= {"training.learning_rate": 1e-30, "training.patience": 1}
    _, last = finish(sweep_of(record, tmp_path))
    assert record.trials[0].state == DONE
    assert record.trials[0].losses[0] == record.trials[0].losses[-1]
    assert last.reason == "complete"


def test_when_the_time_is_over_a_sweep_ends_and_more_time_continues_it(text: Path, tmp_path: Path) -> None:
    record = record_of(text, seconds=0.0)
    _, last = finish(sweep_of(record, tmp_path))
    assert (last.reason, last.best) == ("time", None)
    with pytest.raises(ConfigError, match="--for"):
        resume_sweep(last.folder)
    _, more = finish(resume_sweep(last.folder, 3600.0))
    assert more.reason == "complete"
    more.record.seconds = 0.0
    more.record.trials.append(trials.Trial(more.ranked[0].values, more.ranked[0].changes, again=True))
    folder = RunFolder(last.folder)
    more.record.save(folder)
    folder.close()
    _, again = finish(resume_sweep(last.folder))  # a second seed that was not trained is no reason to refuse
    assert (again.best, again.reason) == (more.best, "complete")


def measured(sweep: Sweep, seconds: float) -> list[Any]:
    """Trains to the end with a record that says that trainings took so many times as long as planned."""
    record = sweep.record
    for trial in record.trials:
        trial.losses, trial.seconds = [], 0.0
    events = []
    for event in sweep.events():
        if isinstance(event, Paused):
            event.trial.seconds = seconds * event.rung / 4
        events.append(event)
    return events


@pytest.mark.exhaustive
def test_on_a_slow_machine_fewer_trials_go_on_and_then_the_rest_of_all_becomes_equally_shorter(
    text: Path, tmp_path: Path
) -> None:
    record = record_of(text, trials.parse(["learning_rate=0.001,0.01,0.02,0.04,0.05,0.06,0.07,0.08"]))
    record.seconds_each, record.seconds = 1000.0, 2600.0  # four would need 2,000 more than the two that fit
    events = measured(sweep_of(record, tmp_path), 2000.0)
    halved = [event for event in events if isinstance(event, Halved)]
    assert [len(event.going) for event in halved] == [2, 2, 0]
    assert {trial.last_part for trial in record.trials} == {1.0}

    record = record_of(text, repeats=True)
    record.seconds_each, record.seconds = 1000.0, 1000.0
    events = measured(sweep_of(record, tmp_path), 2000.0)
    going = [event for event in events if isinstance(event, Halved)][1].going
    (shorter,) = {trial.last_part for trial in going}
    assert shorter == pytest.approx(0.95 * 1000 / 2000, abs=0.01)
    finals = [
        Checkpoint.load(tmp_path / "pets-sweep-2" / t.label / runs.LAST) for t in record.trials if t.state == DONE
    ]
    assert len(finals) == 2
    for final in finals:
        steps = STEPS // 2 + int(shorter * STEPS / 2)
        assert (final.trainer_state.step, final.config.training.steps) == (steps, steps)
        assert final.config.training.length_changes == ((STEPS // 2, STEPS),)


@pytest.mark.exhaustive
def test_on_a_fast_machine_the_rest_becomes_longer_and_an_interruption_there_changes_nothing(
    text: Path, tmp_path: Path
) -> None:
    found = []
    for cut_at in (0, STEPS, STEPS + 4):
        record = record_of(text)
        record.seconds_each, record.seconds, record.longest = 2000.0, 3000.0, 9.0
        sweep = sweep_of(record, tmp_path / str(cut_at))
        with contextlib.closing(sweep.events()) as events:
            for event in events:
                if isinstance(event, Paused):
                    event.trial.seconds = 1000.0 * event.rung / 4
                if cut_at and isinstance(event, Metrics) and event.step == cut_at:
                    break
        if cut_at:
            record = finish(resume_sweep(sweep.folder.path))[1].record
        finals = [Checkpoint.load(sweep.path(t) / runs.LAST) for t in record.trials if t.state == DONE]
        steps = STEPS // 2 + int((0.95 * 3000 + 1000 - 1000) / 1000 * STEPS / 2)
        assert [final.trainer_state.step for final in finals] == [steps, steps]
        assert finals[0].config.training.length_changes == ((STEPS // 2, STEPS),)
        found.append(facts(record))
    assert found[0] == found[1] == found[2]


@pytest.mark.exhaustive
def test_a_second_seed_is_tried_if_time_is_left_though_none_was_reserved(text: Path, tmp_path: Path) -> None:
    record = record_of(text, repeats=True)
    record.reserved = False
    _, last = finish(sweep_of(record, tmp_path))
    assert [trial.state for trial in last.record.trials if trial.again] == [DONE, DONE]


def test_a_sweep_of_an_earlier_version_goes_on(text: Path, tmp_path: Path) -> None:
    sweep = sweep_of(record_of(text), tmp_path)
    sweep.folder.close()
    path = sweep.folder.path / sweep_file.SWEEP
    noted = json.loads(path.read_text())
    del noted["reserved"], noted["longest"]
    for trial in noted["trials"]:
        del trial["last_part"]
    path.write_text(json.dumps(noted | {"last_part": 0.5}))
    record = sweep_file.read(sweep.folder.path)
    assert {trial.last_part for trial in record.trials} == {0.5}
    assert (record.reserved, record.longest) == (True, 1.0)


@pytest.mark.exhaustive
def test_a_last_part_that_is_slower_than_planned_ends_earlier_and_counts(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(TimeBudget):
        def revise(self, step: int, steps: int, _: int) -> int | None:
            return 12 if step == 9 and steps > 12 else None

    monkeypatch.setattr(sweep_module, "TimeBudget", Slow)
    events, last = finish(sweep_of(record_of(text), tmp_path))
    assert [event.steps for event in events if isinstance(event, Replanned)] == [12, 12]
    assert (last.reason, [trial.state for trial in last.ranked]) == ("complete", [DONE, DONE, PRUNED])
    path, expected = last.folder / sweep_file.SWEEP, facts(last.record)
    path.write_text(path.read_text().replace(f'"state": "{DONE}"', '"state": ""'))  # as if it had been killed before
    noted = json.loads(path.read_text())
    for trial in noted["trials"]:
        trial["losses"] = trial["losses"][:2]
    path.write_text(json.dumps(noted))
    assert facts(finish(resume_sweep(last.folder))[1].record) == expected


@pytest.mark.exhaustive
def test_a_second_seed_is_trained_only_if_the_time_allows_it_for_both(text: Path, tmp_path: Path) -> None:
    _, last = finish(sweep_of(record_of(text), tmp_path))
    record = last.record
    record.repeats, record.seconds_each = True, 1000.0
    for trial in record.trials:
        trial.seconds = 1000.0 * record.rungs[len(trial.losses) - 1] / 4
    for seconds, parts in ((499.0, []), (2001.0, [3, 3])):  # no real time passes
        record.seconds = seconds
        finish(Sweep(RunFolder(last.folder), record, time.monotonic()))
        assert [len(trial.losses) for trial in record.trials if trial.again] == parts


def planned(text: Path, out: Path, tries: list[str], seconds: float, **more: Any) -> Record:
    values = {**{key: value for key, value in TINY.items() if "every" not in key and "steps" not in key}, **more}
    folder, record = sweep_plan.plan({"data.paths": [str(text)], **values}, trials.parse(tries), seconds, out=out)
    folder.close()
    return record


@pytest.mark.usefixtures("steady")
def test_all_trials_have_the_same_length_and_an_evaluation_at_each_rung(text: Path, tmp_path: Path) -> None:
    record = planned(text, tmp_path, ["learning_rate=0.01,0.02,0.04", "weight_decay=0,0.1"], 30.0)
    configs = [record.config(trial).training for trial in record.trials]
    (steps,) = {config.steps for config in configs}
    assert all(steps // 4 % config.eval_every == 0 for config in configs)
    assert 0 < record.seconds_each * trials.cost(record.tried, 2 * record.reserved)[0] < 30
    assert len({config.learning_rate for config in configs}) == 3


@pytest.mark.usefixtures("steady")
def test_networks_of_other_sizes_have_the_same_time_and_the_same_held_out_text(text: Path, tmp_path: Path) -> None:
    sizes = trials.parse(["hidden_size=64,65"])
    values = {key: value for key, value in TINY.items() if key not in (*sizes, "training.eval_every", "training.steps")}
    values |= {"data.paths": [str(text)], "training.batch_size": 1, "training.window": 2}
    folder, record = sweep_plan.plan(values, sizes, 16.0, out=tmp_path)
    folder.close()
    small, large = (record.config(trial) for trial in record.trials)
    assert small.training.steps == pytest.approx(10 * large.training.steps, rel=0.05)
    assert small.data.val_chars == large.data.val_chars


@pytest.mark.usefixtures("steady")
def test_what_cannot_be_compared_is_refused_before_anything_is_written(text: Path, tmp_path: Path) -> None:
    out, two = tmp_path / "runs", ["learning_rate=0.01,0.02"]
    with pytest.raises(CorpusError, match="none is held out"):
        planned(text, out, two, 30.0, **{"data.val_fraction": 0.0})
    with pytest.raises(ConfigError, match=r"seed draws the held-out part .* add --set data\.val=last"):
        planned(text, out, ["seed=0,1"], 30.0, **{"data.lines": True})
    with pytest.raises(CorpusError, match="save it in a file"):
        planned(Path("-"), out, two, 30.0)
    with pytest.raises(ConfigError, match="is set and tried"):
        planned(text, out, two, 30.0, **{"training.learning_rate": "0.1"})
    with pytest.raises(ConfigError, match="leave one out"):
        planned(text, out, two, 30.0, **{"training.steps": "100"})
    with pytest.raises(ConfigError, match="a sweep evaluates"):
        planned(text, out, two, 30.0, **{"training.eval_every": "100"})
    with pytest.raises(ConfigError, match="only the rnn cell has a choice"):
        planned(text, out, ["cell=rnn,lstm", "activation=tanh,relu"], 30.0)
    with pytest.raises(ConfigError, match=r"256 combinations are too many for 30 seconds.*fewer values.*--for \d+s"):
        planned(text, out, [f"learning_rate={','.join(str(i + 1) for i in range(256))}"], 30.0)
    assert not out.exists()


def test_a_time_with_too_few_steps_is_refused_with_the_time_that_is_enough(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "seconds_per_step", lambda *_: 0.2)
    with pytest.raises(ConfigError, match=r"a whole training would have \d+ steps; .* --for \d+s") as error:
        planned(text, tmp_path, ["learning_rate=0.01,0.02"], 30.0)
    enough = float(str(error.value).rpartition("--for ")[2].partition("s")[0])
    assert planned(text, tmp_path, ["learning_rate=0.01,0.02"], 1.2 * enough).trials


@pytest.mark.usefixtures("steady")
def test_the_settings_of_a_run_can_be_those_of_a_sweep(text: Path, tmp_path: Path) -> None:
    """Its length does not count, as with `charnet train --config`."""
    file_values = {"training.steps": "7", "training.eval_every": "3", "training.epochs": "0", "model.cell": "gru"}
    values = {"data.paths": [str(text)], "model.hidden_size": 9, "training.threads": 1}
    tried = trials.parse(["learning_rate=0.01,0.02"])
    sweep = new_sweep(values, tried, 30.0, file_values=file_values, out=tmp_path)
    sweep.folder.close()
    config = sweep.record.config(sweep.record.trials[0])
    assert config.model.cell == "gru"
    assert config.training.steps >= 100


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another version": lambda found: found.update(version=2),
    "a field too many": lambda found: found.update(more=1),
    "a field too few": lambda found: found.pop("settings"),
    "an unknown setting": lambda found: found["settings"].update({"model.units": 1}),
    "a path in a value": lambda found: found["tried"].update({"training.learning_rate": ["../../etc", 0.01, 0.04]}),
    "a path in a name": lambda found: [
        found["tried"].update({"model.a/../../b": [1]}),
        [trial["values"].update({"model.a/../../b": 1}) for trial in found["trials"]],
    ],
    "an unknown state": lambda found: found["trials"][0].update(state="lost"),
    "a trial that is not tried": lambda found: found["trials"].append(found["trials"][0]),
    "a loss that is no number": lambda found: found["trials"][0].update(losses=["1"]),
    "no time": lambda found: found.update(seconds_each=0),
    "a list instead of names": lambda found: found.update(trials={"a": 1}),
    "a field of a trial too many": lambda found: found["trials"][0].update(path="/"),
    "losses beyond the rungs": lambda found: found["trials"][0].update(losses=[1.0] * 9),
    "a setting that was not given": lambda found: found.update(given=["model.unknown"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_sweep_is_refused_in_a_line(text: Path, tmp_path: Path, damage: str) -> None:
    sweep = sweep_of(record_of(text), tmp_path)
    sweep.folder.close()
    path = sweep.folder.path / sweep_file.SWEEP
    found = json.loads(path.read_text())
    assert dataclasses.asdict(sweep_file.read(sweep.folder.path)) == dataclasses.asdict(sweep.record)
    DAMAGES[damage](found)
    path.write_text(json.dumps(found))
    with pytest.raises(CheckpointError, match="is damaged") as error:
        sweep_file.read(sweep.folder.path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"[" * 10**5, b"\xff", b'{"version": NaN}'])
def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / sweep_file.SWEEP).write_bytes(raw)
    with pytest.raises(CheckpointError):
        resume_sweep(tmp_path)


def test_a_folder_of_runs_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"found no sweep\.json"):
        resume_sweep(tmp_path)


def test_two_processes_cannot_run_one_sweep(text: Path, tmp_path: Path) -> None:
    sweep = sweep_of(record_of(text), tmp_path)
    with pytest.raises(CharnetError, match="another process"):
        resume_sweep(sweep.folder.path)
    sweep.folder.close()


def test_a_sweep_is_found_by_the_name_that_it_was_given_and_by_that_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "cells-sweep"
    folder.mkdir()
    (folder / sweep_file.SWEEP).touch()
    (tmp_path / "cells").mkdir()  # a run of this name is no sweep
    for given in (folder, Path("cells-sweep"), Path("cells")):
        assert sweep_file.find(given, tmp_path) == folder
    with pytest.raises(CheckpointError, match=r'^"other": there is no such sweep; name its folder'):
        sweep_file.find(Path("other"), tmp_path)
