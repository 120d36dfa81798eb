"""After a kill or a power cut at any moment, a run has an intact newest state, or the previous one."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import sentences
from disk import (
    LONG,
    SMALL,
    WRITERS,
    Call,
    Disk,
    Killed,
    State,
    after_power_cuts,
    all_lines,
    calls_of,
    killed_at,
    lay_out,
    parts,
    settings,
    write_all,
)

from charnet.data import corpus
from charnet.errors import CheckpointError, ConfigError, CorpusError
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.runs import BEST, LAST, METRICS, PREVIOUS, SETTINGS, RunFolder
from charnet.training import setup

pytestmark = pytest.mark.faults


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that has written everything twice."""
    folder = RunFolder.new(tmp_path / "runs", "run")
    for step in (1, 2):
        write_all(folder, step)
    folder.close()
    return folder.path


def resumed_step(run: Path) -> int:
    """Returns the step at which a new process resumes; nothing may be damaged."""
    folder = RunFolder(run)
    found, damage = runs.load_resumable(runs.find(run, order=runs.RESUME_ORDER))
    folder.close()
    assert not damage
    assert not parts(run)
    return found.trainer_state.step


def whole(run: Path, *steps: int) -> None:
    """Asserts that every file of a run is intact and of one of these steps."""
    assert resumed_step(run) in steps
    assert Checkpoint.load(run / BEST).trainer_state.step in steps
    assert (run / SETTINGS).read_bytes() in [settings(step) for step in steps]
    raw = (run / METRICS).read_bytes()
    assert any(all_lines(step).startswith(raw) for step in steps)
    assert raw.startswith(all_lines(steps[0]))
    for name in (LAST, PREVIOUS):
        with contextlib.suppress(FileNotFoundError):
            assert (run / name).stat()
            Checkpoint.load(run / name)


# ------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize("what", WRITERS)
def test_a_save_killed_at_any_call_leaves_the_old_or_the_new(run: Path, tmp_path: Path, what: str) -> None:
    for number in range(1, 100):
        shutil.copytree(run, here := tmp_path / f"{number}")
        folder = RunFolder(here)
        try:
            with Disk(here, killed_at(number)).watching():
                WRITERS[what](folder, 3)
            break
        except Killed:
            pass
        finally:
            folder.close()
        whole(here, 2, 3)
    whole(here, 2, 3)
    assert number > (1 if what == "metrics-synced" else 3)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_training_killed_for_real_at_any_call_leaves_the_old_or_the_new(
    run: Path, tmp_path: Path, after: bool
) -> None:
    shutil.copytree(run, practice := tmp_path / "practice")
    folder = RunFolder(practice)
    calls = len(calls_of(practice, lambda: write_all(folder, 3)))
    folder.close()
    rounds = 20 if LONG else 1
    places = [tmp_path / f"{n}-{k}" for n in range(rounds) for k in range(1, calls + 1)]
    for place in places:
        shutil.copytree(run, place)
    ends = subprocess.run(
        [sys.executable, "-c", VICTIM, str(int(after)), *map(str, places)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout.split()
    assert ends == [str(signal.SIGKILL.value)] * len(places)
    for place in places:
        whole(place, 2, 3)


VICTIM = """
import os, signal, sys
from pathlib import Path
from disk import Disk, write_all
from charnet.storage.runs import RunFolder

after, places = sys.argv[1] == "1", sys.argv[2:]
for place in map(Path, places):
    number = int(place.name.split("-")[1])
    if not (child := os.fork()):
        def fault(now, call):
            if now == number:
                os.kill(os.getpid(), signal.SIGKILL)
        folder = RunFolder(place)
        disk = Disk(place, (lambda *_: None) if after else fault)
        if after:
            class Notes(list):
                def append(self, call):
                    super().append(call)
                    fault(len(self), call)
            disk.calls = Notes()
        with disk.watching():
            write_all(folder, 3)
        os._exit(0)
    print(os.waitpid(child, 0)[1] & 127)
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "pets.txt"
    path.write_text(sentences(200))
    return path


@pytest.fixture(scope="module")
def undisturbed(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    return outcome(trained(text, tmp_path_factory.mktemp("undisturbed")))


def trained(text: Path, out: Path) -> Path:
    run = setup.new_run({"data.paths": [str(text)]} | SMALL, out=out, name="run")
    collections.deque(run.events(), maxlen=0)
    return run.folder.path


def outcome(run: Path) -> tuple[Any, ...]:
    """Returns everything that is equal in equal runs."""
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    timed = ("seconds", "chars_per_second")
    return (
        Checkpoint.load(run / LAST).weights_sha256(),
        Checkpoint.load(run / BEST).weights_sha256(),
        [{key: value for key, value in line.items() if key not in timed} for line in lines],
    )


def assert_resumes_to(undisturbed: tuple[Any, ...], run: Path) -> None:
    try:
        again = setup.resume_run(run)
    except ConfigError as error:
        if "already at step" not in str(error):  # it had ended
            raise
    else:
        collections.deque(again.events(), maxlen=0)
    assert outcome(run) == undisturbed
    assert not parts(run)


def test_a_training_killed_at_any_call_resumes_to_the_same_weights(
    text: Path, tmp_path: Path, undisturbed: tuple[Any, ...]
) -> None:
    first = first_save_of(calls_of(tmp_path, lambda: trained(text, tmp_path / "practice")))
    for number in range(1, 1000):
        out = tmp_path / f"{number}"
        try:
            with Disk(out, killed_at(number)).watching():
                trained(text, out)
            break
        except Killed:
            pass
        if number <= first:
            with contextlib.suppress(CheckpointError):  # it had no checkpoint yet
                assert_resumes_to(undisturbed, out / "run")
        else:
            assert_resumes_to(undisturbed, out / "run")
    assert number > 50


def first_save_of(calls: list[Call]) -> int:
    return next(n for n, call in enumerate(calls, 1) if call.kind == "rename" and call.to and call.to.name == LAST)


# ------------------------------------------------------------------------------------------- without power


def check_state(state: State, run: Path, at: Path) -> None:
    """Asserts that a state after a power cut has the last saved checkpoint, or the one that was being saved."""
    lay_out(state, run.parent, at)
    here = at / run.name
    saved = [int(mark) for mark in state.done]
    if not saved:
        if not (here / LAST).exists():
            return
        saved = [0]
    found, damage = runs.load_resumable(runs.find(here, order=runs.RESUME_ORDER))
    assert not damage
    assert found.trainer_state.step in (saved[-1], saved[-1] + 1)
    for path in here.glob("*.safetensors"):
        Checkpoint.load(path)
    lines = (here / METRICS).read_bytes() if (here / METRICS).exists() else b""
    assert lines.startswith(all_lines(found.trainer_state.reported_step))


def record_of_saves(root: Path) -> list[Call]:
    with Disk(root).watching() as disk:
        folder = RunFolder.new(root / "runs", "run")
        for step in (1, 2, 3, 4):
            write_all(folder, step)
            disk.mark(str(step))
        folder.close()
    return disk.calls


def checked(calls: list[Call], root: Path, at: Path) -> int:
    count = 0
    for count, state in enumerate(after_power_cuts(calls, {}, root), 1):
        check_state(state, root / "runs" / "run", at / str(count))
        shutil.rmtree(at / str(count), ignore_errors=True)
    return count


def test_power_lost_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    calls = record_of_saves(tmp_path / "root")
    assert checked(calls, tmp_path / "root", tmp_path / "states") > 200


@pytest.mark.parametrize("forgotten", ["nothing", "files", "folders"])
def test_the_states_expose_a_writer_that_does_not_sync(run: Path, tmp_path: Path, forgotten: str) -> None:
    start = {path: path.read_bytes() for path in run.iterdir()}
    folder = RunFolder(run)
    with Disk(run).watching() as disk:
        disk.mark("2")
        for what in ("metrics-line", "metrics-synced", "last"):
            WRITERS[what](folder, 3)
        disk.mark("3")
    folder.close()
    synced = {"nothing": (True, True), "files": (False, True), "folders": (True, False)}[forgotten]
    poor = [call for call in disk.calls if call.kind != "sync" or synced[not call.file]]
    expected = contextlib.nullcontext() if all(synced) else pytest.raises((AssertionError, CheckpointError))
    with expected:
        for number, state in enumerate(after_power_cuts(poor, start, run)):
            if state.done:
                check_state(state, run, tmp_path / str(number))


@pytest.mark.parametrize("name", [LAST, BEST, SETTINGS, METRICS])
def test_what_is_written_is_synced_before_it_gets_its_name_and_its_folder_after(run: Path, name: str) -> None:
    folder = RunFolder(run)
    what = {LAST: "last", BEST: "best", SETTINGS: "settings", METRICS: "metrics"}[name]
    calls = calls_of(run, lambda: WRITERS[what](folder, 3))
    kinds = [call.kind if call.kind != "sync" or call.file else "sync folder" for call in calls]
    moves = ["rename"] * (2 if name == LAST else 1)
    assert kinds == ["make", "write", "write", "sync", *moves, "sync folder"]
    folder.close()


def test_the_lines_of_metrics_are_synced_before_the_checkpoint_that_counts_on_them(text: Path, tmp_path: Path) -> None:
    calls = calls_of(tmp_path, lambda: trained(text, tmp_path / "out"))
    unsynced = 0
    for call in calls:
        if call.path.name == METRICS:
            unsynced = 0 if call.kind == "sync" else unsynced + (call.kind == "write")
        if call.kind == "rename" and call.to and call.to.name == LAST:
            assert not unsynced


@pytest.fixture(scope="module")
def cuts(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[State]]:
    """Every state that a power cut can leave of a whole training."""
    root = tmp_path_factory.mktemp("recorded")
    with Disk(root).watching() as disk:
        trained(text, root / "out")
    calls = disk.calls
    saved = next(n for n in range(first_save_of(calls), len(calls)) if calls[n].kind == "sync" and not calls[n].file)
    calls.insert(saved + 1, Call("mark", root, content=b"saved"))
    return root, list(after_power_cuts(calls, {}, root))


def test_power_lost_at_any_moment_of_a_training_leaves_a_whole_checkpoint(
    cuts: tuple[Path, list[State]], tmp_path: Path
) -> None:
    root, states = cuts
    run = tmp_path / "out" / "run"
    assert len(states) > 100
    for state in states:
        lay_out(state, root, tmp_path)
        if state.done or (run / LAST).exists():
            found, damage = runs.load_resumable(runs.find(run, order=runs.RESUME_ORDER))
            assert not damage
            lines = (run / METRICS).read_bytes().splitlines() if (run / METRICS).exists() else []
            assert (
                len(list(map(json.loads, lines[: found.trainer_state.reported_step])))
                == found.trainer_state.reported_step
            )
        for path in run.glob("*.safetensors"):
            Checkpoint.load(path)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_after_a_power_cut_a_run_resumes_to_the_same_weights(
    cuts: tuple[Path, list[State]], tmp_path: Path, undisturbed: tuple[Any, ...]
) -> None:
    root, states = cuts
    saved = [state for state in states if state.done]
    for state in saved:
        lay_out(state, root, tmp_path)
        assert_resumes_to(undisturbed, tmp_path / "out" / "run")
        shutil.rmtree(tmp_path / "out")


# ------------------------------------------------------------------------------------------- the encoded copy


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "root" / "cache"))
    return tmp_path / "root" / "cache"


def copies(folder: Path) -> dict[str, bytes]:
    """The encoded copies alone: KEY.checked holds the inode of its copy, which is another each time."""
    return {path.name: path.read_bytes() for path in folder.glob("*.ids")}


def encoded(text: Path) -> str:
    found = corpus.read([str(text)])
    return found.vocab.decode(found.ids.tolist())


def test_an_encoding_killed_at_any_call_leaves_a_whole_copy_or_none(text: Path, cache: Path) -> None:
    for number in range(1, 100):
        shutil.rmtree(cache, ignore_errors=True)
        try:
            with Disk(cache.parent, killed_at(number)).watching():
                encoded(text)
            break
        except Killed:
            pass
        assert encoded(text) == text.read_text()
        assert {path.suffix for path in cache.iterdir()} == {".ids", ".checked"}
    assert number > 8


def test_power_lost_while_a_text_is_encoded_never_leaves_a_copy_of_another_text(
    text: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = calls_of(cache.parent, lambda: encoded(text))
    good = copies(cache)
    states = list(after_power_cuts(calls, {}, cache.parent))
    assert len(states) > 5
    for number, state in enumerate(states):
        lay_out(state, cache.parent, tmp_path / str(number))
        here = tmp_path / str(number) / "cache"
        for path in here.glob("*.ids"):  # under its own name it is whole, by the order of the writer alone
            assert path.read_bytes() == good[path.name]
        monkeypatch.setenv("CHARNET_CACHE", str(here))
        assert encoded(text) == text.read_text()
        assert copies(here) == good


def damaged_copies(good: bytes, count: int) -> Iterator[bytes]:
    draw = random.Random(1)
    yield bytes(len(good))
    yield good[: len(good) // 2] + bytes(len(good) - len(good) // 2)
    yield b"\xff" * len(good)  # ids beyond the alphabet
    for _ in range(count):
        at = draw.randrange(len(good) * 8)
        yield good[: at // 8] + bytes([good[at // 8] ^ 1 << at % 8]) + good[at // 8 + 1 :]


def test_an_encoded_copy_of_the_right_size_that_is_damaged_is_noticed_and_written_again(
    text: Path, cache: Path
) -> None:
    assert encoded(text) == text.read_text()
    (copy,) = cache.glob("*.ids")
    good = copy.read_bytes()
    for bad in damaged_copies(good, 2000 if LONG else 50):
        copy.write_bytes(bad)
        assert encoded(text) == text.read_text()
        assert copy.read_bytes() == good


def test_a_run_whose_text_is_missing_never_resumes_with_a_damaged_copy(text: Path, cache: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(text, tmp_path / "own.txt"))
    run = setup.new_run({"data.paths": [str(own)]} | SMALL, out=tmp_path / "runs", name="run")
    asked = iter(range(2))
    collections.deque(run.events(lambda: next(asked, None) is None), maxlen=0)
    own.unlink()
    (copy,) = cache.glob("*.ids")
    copy.write_bytes(bytes(copy.stat().st_size))
    with pytest.raises(CorpusError, match=r"neither at .* nor in the cache"):
        setup.resume_run(run.folder.path)
