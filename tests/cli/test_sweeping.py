"""`charnet sweep` says what it plans, what mattered, and what to do with the best run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import sentences

from charnet.cli import sweep, sweep_words
from charnet.cli.app import run
from charnet.config import Config
from charnet.overlay import as_dict
from charnet.training import trials
from charnet.training.events import Replanned
from charnet.training.sweep_events import Halved, Paused, Planned, SweepFinished, finished
from charnet.training.sweep_file import Record
from charnet.training.trials import DIVERGED, DONE, PRUNED

SMALL = ["--set", "model.hidden_size=4", "--set", "training.threads=1", "--set", "model.ngram=0"]
SMALL += ["--set", "training.batch_size=8", "--set", "training.window=16"]
pytestmark = pytest.mark.usefixtures("steady")


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("my pets.txt").write_text(sentences(100))
    return "my pets.txt"


def test_a_sweep_ends_with_the_best_run_which_can_be_sampled_and_resumed(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = ["--try", "dropout=0,0.3", "--try", "learning_rate=0.01,0.04"]
    assert run(["sweep", text, "--for", "1m", *tries, *SMALL]) == 0
    out, err = capsys.readouterr()
    assert "4 combinations: 2 of dropout x 2 of learning_rate" in err
    assert "plan: 4 to a quarter, 2 to half, 2 to the end, then the best 2 again with another seed; in 1:00" in err
    assert err.count("out after a quarter") == 2
    commands = [line.partition(":")[2].strip() for line in out.splitlines()[-3:]]
    sample, train, resume = (shlex.split(command)[1:] for command in commands)
    assert run([*sample, "-n", "5"]) == 0
    assert run([*resume, "--quiet"]) == 0
    assert run([*train[:-2], "--steps", "2", "--quiet"]) == 0
    capsys.readouterr()
    assert run(["runs", "--in", str(Path(resume[-1]).parent), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


@pytest.mark.exhaustive
def test_the_findings_are_there_as_json_and_again_when_a_sweep_that_is_done_is_resumed(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", text, "--name", "a", "--try", "dropout=0,0.3", *SMALL, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert found["reason"] == "complete"
    assert [trial["another_seed"] for trial in found["trials"]] == [False, False, True, True]
    assert found["rungs"] == [0.5, 1]
    assert {trial["steps"] for trial in found["trials"]} == {found["trials"][0]["steps"]}
    assert Path(found["best"]).parent == Path(found["folder"])
    assert run(["sweep", "--resume", "a-sweep", "--json", "--quiet"]) == 0  # by its name below checkpoints/
    again = json.loads(capsys.readouterr().out)
    assert [each | {"seconds": 0} for each in again["trials"]] == [each | {"seconds": 0} for each in found["trials"]]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "nothing to compare"),
        (["--try", "dropout=0.1"], 2, "at least two values"),
        (["--try", "dropout=0,0.1", "--for", "1s"], 2, "too many for 1 seconds"),
        (["--try", "dropout=0,0.1", "--set", "data.val_fraction=0"], 3, "none is held out"),
        (["--try", "dropout=0,0.1", "--set", "model.dropout=0"], 2, "is set and tried"),
        (["--try", "dropout=0,0.1", "--set", "dropout=0"], 2, "say section.field"),
        (["--resume", "x"], 2, "leave out the text"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line_and_nothing_is_written(
    text: str, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", text, "--quiet", *words]) == code
    assert message in capsys.readouterr().err
    assert not Path("checkpoints").exists()


def record(tries: list[str], losses: list[list[float]], states: list[str], **more: Any) -> Record:
    tried = trials.parse(tries)
    settings = {f"{part}.{key}": value for part, keys in as_dict(Config()).items() for key, value in keys.items()}
    made = trials.combinations(tried)
    for trial, found, state in zip(made, losses, states, strict=True):
        trial.losses, trial.state, trial.changes, trial.seconds = found, state, dict(trial.values), 75.0
    settings["data.paths"] = ["/texts/my book.txt"]
    return Record(settings, tried, more.pop("given", []), "", made, 600.0, 100.0, **more)


def findings(found: Record, reason: str = "complete") -> str:
    return "\n".join(sweep_words.findings(finished(Path("runs/x-sweep"), found, reason)))


def test_it_is_said_what_mattered_and_by_how_much() -> None:
    found = record(
        ["learning_rate=0.01,0.02,9", "num_layers=1,2"],
        [[1.9, 1.7, 1.65], [1.95, 1.71, 1.654], [1.8, 1.6, 1.5], [1.85, 1.61, 1.502], [], []],
        [PRUNED, PRUNED, DONE, DONE, DIVERGED, DIVERGED],
    )
    said = findings(found)
    assert "learning_rate mattered 0.151 nats, 0.02 was best (0.01: 1.6520, 0.02: 1.5010); diverged: 9" in said
    assert "num_layers: no difference above the noise, 0.0030 nats (1: 1.5750, 2: 1.5780)" in said
    assert "differences below 0.01 nats are noise\n" in said
    assert "as good as the best, within the noise: learning_rate=0.02, num_layers=2" in said
    assert "learning_rate=9, num_layers=1     diverged" in said
    assert "charnet sample runs/x-sweep/learning_rate=0.02,num_layers=1\n" in said


def test_of_a_setting_that_was_compared_early_it_is_said_where() -> None:
    found = record(["dropout=0,0.3,0.5"], [[1.7, 1.5], [1.75, 1.49], [1.9]], [DONE, DONE, PRUNED])
    said = findings(found)
    assert "dropout mattered 0.200 nats at half of the training, 0 was best" in said
    assert sweep_words.EARLY in said


def test_two_seeds_say_what_noise_is() -> None:
    found = record(["dropout=0,0.3"], [[1.7, 1.5], [1.75, 1.49]], [DONE, DONE])
    for trial, losses in zip(list(found.trials), ([1.7, 1.54], [1.7, 1.5]), strict=True):
        found.trials.append(trials.Trial(trial.values, trial.changes, again=True, losses=losses, state=DONE))
    said = findings(found)
    assert "differences below 0.04 nats are noise; two seeds of the same settings differed by 0.0400" in said
    assert "best: dropout=0.3" in said
    assert "with another seed 1.5000 at the end" in said


def test_an_early_end_says_how_to_go_on_and_one_without_any_loss_too() -> None:
    found = record(["dropout=0,0.3"], [[1.7], [1.75]], ["", ""])
    assert "the time was over before the last rung; charnet sweep --resume runs/x-sweep --for 5m goes on" in findings(
        found, "time"
    )
    assert "charnet sweep --resume runs/x-sweep goes on" in findings(found, "interrupted")
    nothing = record(["dropout=0,0.3"], [[], []], ["", ""])
    assert findings(nothing, "interrupted") == "nothing was compared; charnet sweep --resume runs/x-sweep goes on"


def test_the_command_of_a_longer_training_names_what_was_given_tried_and_chosen_for_its_size() -> None:
    found = record(
        ["weight_dropout=0,0.2", "cell=lstm,gru"],
        [[1.7], [1.6], [1.8], [1.9]],
        [DONE, DONE, DONE, DONE],
        given=["data.paths", "data.document_separator", "data.lowercase", "training.window"],
    )
    found.settings |= {"data.document_separator": "\n—\\\n", "data.lowercase": True, "training.window": 48}
    words = shlex.split(sweep_words.train_command(found, found.trials[1]))
    assert words[:3] == ["charnet", "train", "/texts/my book.txt"]
    for pair in (["--cell", "gru"], ["--window", "48"], ["--hidden-size", "256"], ["--for", "600s"],
                 ["--set", "model.weight_dropout=0"], ["--set", "data.lowercase=True"],
                 ["--document-separator", r"\n\u2014\\\n"]):  # fmt: skip
        assert " ".join(pair) in " ".join(words)
    assert "--dropout" not in words  # a longer training needs more of it
    assert "--learning-rate" not in words


def test_every_event_on_the_way_is_said_in_a_line() -> None:
    found = record(["dropout=0,0.3,0.5"], [[1.7], [1.75], []], [DONE, DONE, DIVERGED])
    assert sweep_words.lines(Replanned(9, 1200)) == ["to end on time, this training now ends at step 1,200"]
    planned = sweep_words.lines(Planned(Path("runs/x-sweep"), found))
    assert planned[0] == "3 combinations: 3 of dropout; lstm 1x256; a whole training is 2,000 steps, 1:40"
    assert planned[1].startswith("plan: 3 to half, 2 to the end, then the best 2 again with another seed; in 10:00")
    first, _, last = found.trials
    assert sweep_words.lines(Paused(first, 2)) == ["dropout=0: 1.7000 nats (2.4526 bits) at half, 1:15 trained"]
    assert "no longer a finite number" in sweep_words.lines(Paused(last, 2))[0]
    assert sweep_words.lines(Halved(2, (first,), (last,))) == ["out after half: dropout=0.5"]


@pytest.mark.parametrize(
    ("parts", "slower", "words"),
    [
        ((0.75, 0.75), 1.5, "to end on time, the rest of each is 25 % shorter "
                            "(so far they took 1.5 times the planned seconds)"),
        ((0.75, 0.75), 1.0, "to end on time, the rest of each is 25 % shorter"),
        ((1.4, 1.0), 1.0, "to use the time, the rest of dropout=0 is 40 % longer"),
        ((1.4, 0.9), 1.0, "to take equal times, the rest of dropout=0 is 40 % longer, "
                          "the rest of dropout=0.3 is 10 % shorter"),
    ],
)  # fmt: skip
def test_a_change_of_the_length_says_its_aim_and_blames_the_pace_only_if_it_was_another(
    parts: tuple[float, float], slower: float, words: str
) -> None:
    going = record(["dropout=0,0.3"], [[1.7], [1.75]], ["", ""]).trials
    for trial, part in zip(going, parts, strict=True):
        trial.last_part = part
    assert sweep_words.lines(Halved(2, tuple(going), (), slower)) == [words]


def test_what_was_chosen_otherwise_for_another_size_is_named_with_the_size() -> None:
    found = record(["hidden_size=32,64"], [[1.7, 1.6], [1.6, 1.5]], [DONE, DONE])
    for trial, dropout, steps in zip(found.trials, (0.11, 0.04), (1200, 640), strict=True):
        trial.changes |= {"model.dropout": dropout, "training.steps": steps, "training.eval_every": steps // 20}
    assert "64: 1.5000); along with it changed dropout (0.11, 0.04), steps (1,200, 640)\n" in findings(found)
    last = finished(Path("runs/x-sweep"), found, "complete")
    (effect,) = sweep_words.as_dict(last)["effects"]
    assert effect["changed_with"] == {"model.dropout": [0.11, 0.04], "training.steps": [1200, 640]}


def test_trainings_that_took_unequal_times_are_said_to() -> None:
    found = record(["dropout=0,0.3"], [[1.7, 1.5], [1.6, 1.4]], [DONE, DONE])
    found.trials[0].seconds = 90.0
    assert "not equally long" not in findings(found)
    found.trials[0].seconds = 100.0
    assert "the trainings that went to the end took 1:15 to 1:40, not equally long" in findings(found)


def test_of_differences_within_the_noise_it_is_not_said_that_they_will_grow() -> None:
    found = record(["dropout=0,0.3,0.5"], [[1.7, 1.5], [1.701, 1.49], [1.702]], [DONE, DONE, PRUNED])
    assert sweep_words.EARLY not in findings(found)


def test_a_second_seed_for_which_no_time_is_reserved_is_planned_with_a_condition() -> None:
    found = record(["dropout=0,0.3"], [[], []], ["", ""], reserved=False)
    (_, plan, _) = sweep_words.lines(Planned(Path("runs/x-sweep"), found))
    assert "then the best 2 again with another seed, if time is left; in 10:00" in plan


def test_an_interrupted_sweep_shows_its_findings_so_far(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = record(["dropout=0,0.3"], [[1.7], [1.75]], ["", ""])
    last = finished(Path("runs/x-sweep"), found, "interrupted")
    assert isinstance(last, SweepFinished)
    events = SimpleNamespace(events=lambda _: (each for each in [Planned(last.folder, found), last]))
    sweep._show(events, SimpleNamespace(received=2), quiet=False, json=False)  # type: ignore[arg-type]
    out, err = capsys.readouterr()
    assert "goes on" in out
    assert "plan: " in err
