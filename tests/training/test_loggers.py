"""Loggers hear of a training; nothing that they do slows or stops it. Small packages of the test stand for the real."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_events import events, metrics, started
from test_event_file import Reader

from charnet.errors import ConfigError
from charnet.training import loggers
from charnet.training.background import Background, close_all, is_any_left
from charnet.training.events import Metrics, RolledBack
from charnet.training.loggers import EventLog, Service, checked

WANDB = """
import json, pathlib
calls = pathlib.Path(__file__).with_suffix(".calls")
def write(*call):
    with calls.open("a") as file: file.write(json.dumps(call) + "\\n")
class Run:
    def log(self, values, step): write("log", values, step)
    def finish(self): write("finish")
def init(project, **more):
    write("init", project, more)
    print("noise", flush=True)
    return Run()
"""
MLFLOW = """
import json, pathlib, types
calls = pathlib.Path(__file__).with_suffix(".calls")
def write(*call):
    with calls.open("a") as file: file.write(json.dumps(call) + "\\n")
def set_experiment(name): write("set_experiment", name)
def start_run(**more):
    write("start_run", more)
    return types.SimpleNamespace(info=types.SimpleNamespace(run_id=more.get("run_id", "7")))
def log_params(settings): write("log_params", settings)
def log_metrics(values, step, run_id): write("log", values, step)
def log_text(text, file, run_id): write("text", text, file)
def end_run(): write("finish")
"""
HANGS = "import threading\ndef init(**more): threading.Event().wait()\n"
RAISES = (
    "class Run:\n def log(self, values, step): raise OSError('offline\\nfor a while')\n finish = lambda self: None\n"
)
RAISES += "def init(**more): return Run()\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which packages are imported, in place of those that are installed."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in loggers.NAMES[1:]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield folder
    for name in loggers.NAMES[1:]:
        sys.modules.pop(name, None)


def install(packages: Path, name: str, source: str) -> Path:
    (packages / f"{name}.py").write_text(source)
    return packages / f"{name}.calls"


def follow(name: str, run: Path, first: int = 0, last: int = 40) -> list[str]:
    run.mkdir(exist_ok=True)
    (log,) = loggers.start(checked([name]))
    for event in events(run, first, last):
        log(event)
    return list(filter(None, [log.close(60)]))


def calls(file: Path) -> list[list]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_service_hears_settings_numbers_samples_and_the_end(name: str, packages: Path, tmp_path: Path) -> None:
    file = install(packages, name, WANDB)
    assert follow(name, tmp_path / "pets", last=10) == []
    (init, project, more), *logged, end = calls(file)
    assert (init, project, end) == ("init", "charnet", ["finish"])
    assert more["config"]["model.cell"] == "lstm"
    assert "secret" not in file.read_text()
    assert [call[2] for call in logged] == [5, 10, 10, 10]
    assert set(logged[0][1]) == {
        "loss/train", "learning_rate", "gradient_norm", "chars_per_second", "chars_seen", "seconds",
    }  # fmt: skip
    assert logged[1][1]["loss/validation"] == 2.5
    assert logged[2][1] == {"sample": "the cat"}
    assert logged[3][1] == {"loss/test": 2.25}


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_resumed_run_continues_its_log(name: str, packages: Path, tmp_path: Path) -> None:
    file = install(packages, name, WANDB)
    follow(name, tmp_path / "pets", last=10)
    follow(name, tmp_path / "pets", first=10, last=20)
    first, second = [call[2] for call in calls(file) if call[0] == "init"]
    key = "id" if name == "wandb" else "name"
    assert first[key] == second[key]
    assert first[key].startswith("pets-")
    assert second["resume"] == "allow"


def test_mlflow_gets_numbers_as_metrics_and_samples_as_files(packages: Path, tmp_path: Path) -> None:
    file = install(packages, "mlflow", MLFLOW)
    follow("mlflow", tmp_path / "pets", last=10)
    follow("mlflow", tmp_path / "pets", first=10, last=15)
    found = calls(file)
    assert [call[1] for call in found if call[0] == "start_run"] == [
        {"run_name": "pets", "tags": {"mlflow.source.name": "charnet", "mlflow.user": ""}},
        {"run_id": "7"},
    ]
    assert ["text", "the cat", "sample/10.txt"] in found
    assert [call[0] for call in found].count("log_params") == 1
    assert "secret" not in file.read_text()


def test_a_name_that_no_service_takes_as_an_id_is_changed_the_same_way_each_time(
    packages: Path, tmp_path: Path
) -> None:
    file = install(packages, "wandb", WANDB)
    for _ in range(2):
        follow("wandb", tmp_path / "ж#中 <\x1b", last=5)
    first, second = [call[2]["id"] for call in calls(file) if call[0] == "init"]
    assert first == second
    assert first.startswith("------")


def test_a_logger_that_raises_is_said_once_with_how_much_is_lost(packages: Path, tmp_path: Path) -> None:
    install(packages, "wandb", RAISES)
    (lost,) = follow("wandb", tmp_path / "pets", last=10)
    assert lost == "wandb: 4 of 5 reports were lost: OSError: offline"
    install(packages, "trackio", "raise ImportError('broken')")
    (lost,) = follow("trackio", tmp_path / "pets", last=10)
    assert lost == "trackio: 5 of 5 reports were lost: ImportError: broken"


def test_a_logger_that_cannot_start_is_asked_once(tmp_path: Path) -> None:
    asked = []

    class Refusing(loggers.TensorBoard):
        def open(self, *told: object) -> None:
            asked.append(told[-1])
            raise OSError("no")

    log = EventLog(Refusing())
    log(started(tmp_path))
    for step in (5, 7):
        with pytest.raises(OSError, match="no"):
            log(metrics(step))
    log.close()
    assert asked == [0]


def test_a_logger_that_hangs_holds_nobody_up(packages: Path, tmp_path: Path) -> None:
    install(packages, "wandb", HANGS)
    (log,) = loggers.start(checked(["wandb"]))
    for event in events(tmp_path, last=10):
        log(event)
    lost = log.close(0.01)
    assert lost == "wandb: 4 of 5 reports were lost: it did not end in time"
    assert is_any_left()


def test_of_a_logger_that_hangs_at_its_end_no_report_is_said_to_be_lost() -> None:
    taken, ends = list[Metrics](), threading.Event()

    class HangsAtItsEnd:
        def __call__(self, event: Metrics) -> None:
            taken.append(event)

        def close(self) -> None:
            ends.wait()

    log = Background("slow", HangsAtItsEnd, (Metrics,))
    for step in (5, 7):
        log(metrics(step))
    while len(taken) < 2:
        time.sleep(0.001)
    lost = log.close(0.01)
    ends.set()
    assert lost == "slow: it did not end in time, though it took all of 2 reports: the last may be missing"


@pytest.mark.exhaustive
def test_a_logger_that_hangs_takes_no_time_from_the_others(packages: Path, tmp_path: Path) -> None:
    install(packages, "wandb", HANGS)
    install(packages, "trackio", WANDB)
    both = loggers.start(checked(["wandb,trackio"]))
    for event in events(tmp_path, last=10):
        for each in both:
            each(event)
    assert [line[:7] for line in close_all(both, 1)] == ["wandb: "]


def test_events_that_find_no_room_are_dropped_and_counted(tmp_path: Path) -> None:
    hold, taken = threading.Event(), []

    class Slow:
        def __call__(self, event: object) -> None:
            hold.wait()
            taken.append(event)

        def close(self) -> None:
            pass

    given = list(itertools.islice(events(tmp_path), 9))
    log = Background("slow", Slow, loggers.LOGGED, most_waiting=2)
    for event in given:
        log(event)
    hold.set()
    assert log.close(60) == f"slow: {9 - len(taken)} of 9 reports were lost: it was too slow"
    assert taken == given[: len(taken)]
    assert 2 <= len(taken) <= 3


def test_a_run_that_ends_before_its_first_numbers_leaves_no_log(tmp_path: Path) -> None:
    log = EventLog(loggers.TensorBoard())
    log(started(tmp_path))
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_the_whole_run_and_drops_what_a_resumed_one_does_again(tmp_path: Path) -> None:
    follow("tensorboard", tmp_path / "pets", last=30)
    follow("tensorboard", tmp_path / "pets", first=20, last=40)
    found = Reader(tmp_path / "pets" / "tensorboard")
    assert list(found.values("loss/train")) == list(range(5, 41, 5))
    assert list(found.values("loss/validation")) == [10, 20, 30, 40]
    assert list(found.values("sample")) == [10, 20, 30, 40]
    assert all(b"model.cell: lstm" in each for each in found.values("settings").values())


def test_tensorboard_drops_what_a_rollback_does_again(tmp_path: Path) -> None:
    log = EventLog(loggers.TensorBoard())
    for event in (started(tmp_path), metrics(5), metrics(10), RolledBack(12, 7, 0.005), metrics(9)):
        log(event)
    log.close()
    assert list(Reader(tmp_path / "tensorboard").values("loss/train")) == [5, 9]


@pytest.mark.parametrize("name", ["trackio", "wandb", "mlflow"])
def test_a_missing_package_is_refused_with_how_to_install_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()  # a folder of that name, as wandb makes one, is no package
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match=f"^--log {name}: the package is not installed: pip install {name}, or"):
        checked([name])


def test_names_of_loggers_are_checked_and_each_counts_once() -> None:
    assert checked(["tensorboard, tensorboard", "tensorboard"]) == ["tensorboard"]
    with pytest.raises(ConfigError, match=r'found "tensorbord" \(did you mean "tensorboard"\?\)'):
        checked(["tensorboard,tensorbord"])
    with pytest.raises(ConfigError, match='found ""'):
        checked([""])


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"wandb": 5}', b"\xff", b"[" * 9000])
def test_a_damaged_file_of_names_starts_a_new_log_or_is_read_as_text(
    content: bytes, packages: Path, tmp_path: Path
) -> None:
    file = install(packages, "wandb", WANDB)
    (tmp_path / "loggers.json").write_bytes(content)
    Service("wandb").open(tmp_path, {}, 0)
    assert isinstance(calls(file)[0][2]["id"], str)


def test_a_training_from_python_warns_of_what_was_lost(packages: Path, tmp_path: Path) -> None:
    install(packages, "wandb", RAISES)

    def train() -> None:
        with loggers.logging_to(["wandb"]) as log:
            for event in events(tmp_path, last=10):
                log(event)

    with pytest.warns(UserWarning, match="wandb: 4 of 5 reports were lost"):
        train()
