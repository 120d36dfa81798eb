"""What all tests share: a cache folder of their own, torch's thread count as it was, no waiting for the disk, and one
small trained run. Tests of files share the bytes of a small checkpoint and what a refusal is."""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import itertools
import os
import random
import signal
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

import pytest

# Modules are compiled once, and not by each of the processes that tests start, whatever the shell says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

NOT_DEFAULT = ("slow", "exhaustive", "gpu", "faults", "browser")  # the marks of tests that `addopts` leaves out
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "the", "dog", "ran", "over", "to", "see", "it"]


def sentences(words: int = 900, seed: int = 1) -> str:
    """A text of few words in random order: spelling can be learned in seconds, the order of words never."""
    choose = random.Random(seed)
    return "".join(choose.choice(WORDS) + (" " if choose.random() < 0.85 else "\n") for _ in range(words))


def accept_signals() -> None:
    """Undoes, as the `preexec_fn` of a process, what it would inherit from tests that `nohup` or a shell in the
    background has started: that it ignores Ctrl-C or SIGHUP."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@functools.cache
def help_of(*words: str) -> str:
    """What a command line that asks for help prints."""
    from charnet.cli.app import run

    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run(list(words)) == 0, words
    return out.getvalue()


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a step takes a millisecond, or with more than 64 units ten, whatever else it does."""
    from charnet.training import throughput

    monkeypatch.setattr(
        throughput, "seconds_per_step", lambda config, *_: 0.001 if config.model.hidden_size <= 64 else 0.01
    )


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the engines first: compiling takes one worker some ten seconds, and all others find it done. Of the cases of
    a test, those that the default tests leave out become `exhaustive`."""
    items.sort(key=lambda item: item.path.name != "test_engines.py")
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if not any(item.get_closest_marker(name) for name in NOT_DEFAULT):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for name, of_test in cases.items():
        kept = default_cases(of_test)
        assert kept, name
        for number, item in enumerate(of_test):
            if number not in kept:
                item.add_marker(pytest.mark.exhaustive)


def default_cases(items: Sequence[pytest.Item]) -> set[int]:
    """Which cases of a test the default tests run: the first and the last, unless a mark of the test says otherwise."""
    if items[0].get_closest_marker("every_case"):
        return set(range(len(items)))
    if covering := items[0].get_closest_marker("covering"):
        return covering_cases(items, covering.args[0])
    return {0, len(items) - 1}


def covering_cases(items: Sequence[pytest.Item], count: int) -> set[int]:
    """A case for every `count` values of the parameters of a test."""
    seen: set[tuple[Hashable, ...]] = set()
    kept = set()
    for number, item in enumerate(items):
        assert isinstance(item, pytest.Function)
        values = sorted((name, repr(value)) for name, value in item.callspec.params.items())
        combinations = set(itertools.combinations(values, min(count, len(values))))
        if not combinations <= seen:
            kept.add(number)
        seen |= combinations
    return kept


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay to the end: the garbage collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Encoded copies of test texts land in a temporary folder, never in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARNET_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests run side by side, one on each core: threads of torch would wait for those of the others."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    """Training sets the number of threads of the whole process; each test leaves it as it found it."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    yield
    if torch:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _disk_in_its_own_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test but those of faults waits for the disk: thousands of small files take it longer than everything else."""
    if request.node.get_closest_marker("faults") is None:
        monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture(scope="session")
def whole() -> bytes:
    """The bytes of a small checkpoint."""
    from checkpoint_files import packed, tiny

    return packed(tiny())


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[bytes], str]:
    """Asserts that bytes are refused as a checkpoint, in a line; gives the message."""
    from checkpoint_files import Refusals

    refusals = Refusals(tmp_path / "c.safetensors")

    def check(raw: bytes) -> str:
        message = refusals.of_bytes(raw)
        assert refusals.of_file(weights_only=True) == message
        return message

    return check


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run: LSTM of 16 units on `sentences()`. Look at it, do not write in it."""

    from charnet.training import setup

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "pets.txt").write_text(sentences())
    values = {
        "data.paths": [str(folder / "pets.txt")],
        "model.hidden_size": 16,
        "training.steps": 120,
        "training.batch_size": 8,
        "training.window": 16,
        "training.threads": 1,
        "training.eval_every": 60,
    }
    run = setup.new_run(values, out=folder / "runs", name="pets")
    for _ in run.events():
        pass
    return run.folder.path
