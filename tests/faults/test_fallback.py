"""If the newest checkpoint is damaged, a run resumes from the previous one, says so, and ends with the same weights."""

from __future__ import annotations

import collections
import contextlib
import errno
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import sentences
from disk import LONG, Call, Disk, Killed, killed_at, parts, refused_at, snapshot
from disk import SMALL as SMALLEST

from charnet import regular_file
from charnet.cli import app
from charnet.errors import CheckpointError, ConfigError, StorageError
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.runs import BEST, DAMAGED, LAST, METRICS, PREVIOUS, SETTINGS
from charnet.training import setup
from charnet.training.events import Evaluated, Finished, RolledBack, Started

pytestmark = pytest.mark.faults

SMALL = SMALLEST | {"training.steps": 8, "training.eval_every": 2}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "pets.txt"
    path.write_text(sentences(200))
    return path


def finished(run: Any) -> Path:
    collections.deque(run.events(), maxlen=0)
    return Path(run.folder.path)


@pytest.fixture(scope="module")
def undisturbed(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    out = tmp_path_factory.mktemp("undisturbed")
    return outcome(finished(setup.new_run({"data.paths": [str(text)]} | SMALL, out=out, name="run")))


@pytest.fixture(scope="module")
def cut(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after five steps; its previous checkpoint is of step 4."""
    run = setup.new_run({"data.paths": [str(text)]} | SMALL, out=tmp_path_factory.mktemp("cut"), name="run")
    finish = list(run.events(lambda: run.state.step >= 5))[-1]
    assert isinstance(finish, Finished)
    folder = run.folder.path
    assert [Checkpoint.load(folder / name).trainer_state.step for name in (LAST, PREVIOUS)] == [5, 4]
    return folder


@pytest.fixture
def run(cut: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cut, tmp_path / "run"))


def outcome(run: Path) -> tuple[Any, ...]:
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    timed = ("seconds", "chars_per_second")
    return (
        Checkpoint.load(run / LAST).weights_sha256(),
        Checkpoint.load(run / BEST).weights_sha256(),
        [{key: value for key, value in line.items() if key not in timed} for line in lines],
    )


def damaged(good: bytes, seed: int) -> bytes:
    """Damages a file in a way that disks, power cuts and people do."""
    draw = random.Random(seed)
    at, length = draw.randrange(len(good)), draw.randrange(1, 600)
    forms: list[Callable[[], bytes]] = [
        lambda: good[:at] + bytes([good[at] ^ 1 << draw.randrange(8)]) + good[at + 1 :],
        lambda: good[:at],
        lambda: good[:at] + bytes(len(good) - at),
        lambda: good + draw.randbytes(length),
        lambda: good[:at] + draw.randbytes(length) + good[at + length :],
        lambda: good[:at] + good[at + length :],
        lambda: bytes(len(good)),
        lambda: b"",
        lambda: draw.randbytes(len(good)),
        lambda: good[:8] + good[8:].replace(b"sha256", b"sha257"),
    ]
    return forms[seed % len(forms)]()


# ------------------------------------------------------------------------------------------- it resumes


@pytest.mark.parametrize("seed", range(2000 if LONG else 24))
def test_a_damaged_newest_checkpoint_costs_nothing_but_time(run: Path, undisturbed: tuple[Any, ...], seed: int) -> None:
    bad = damaged((run / LAST).read_bytes(), seed)
    before = (run / PREVIOUS).read_bytes()
    (run / LAST).write_bytes(bad)
    with pytest.raises(CheckpointError):
        setup.resume_run(run, strict=True)
    assert ((run / LAST).read_bytes(), (run / PREVIOUS).read_bytes()) == (bad, before)
    again = setup.resume_run(run)
    reports = again.events()
    started = next(reports)
    assert isinstance(started, Started)
    assert started.step == 4
    assert started.damage.startswith(f"{run / LAST}: ")
    collections.deque(reports, maxlen=0)
    assert outcome(run) == undisturbed
    assert (run / DAMAGED).read_bytes() == bad
    assert not parts(run)


class Unreadable(io.BufferedReader):
    """A file that can be opened but not read."""

    def readinto(self, _: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("at", ["open", "read"])
def test_a_newest_checkpoint_that_the_disk_cannot_read_is_replaced_by_the_previous_one(
    run: Path,
    undisturbed: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    at: str,
) -> None:
    really = regular_file.open_regular

    def opened(path: Path, *how: Any, **more: Any) -> Any:
        if path.name != LAST or path.parent != run or (run / DAMAGED).exists():
            return really(path, *how, **more)
        if at == "open":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return Unreadable(io.FileIO(path))

    monkeypatch.setattr(regular_file, "open_regular", opened)
    said = f"{run / LAST}: cannot be read: Input/output error"
    assert app.run(["train", "-q", "--resume", str(run), "--strict"]) == 6
    assert capsys.readouterr().err.startswith(f"charnet: {said}")
    assert app.run(["train", "--resume", str(run)]) == 0
    assert said in capsys.readouterr().err
    assert outcome(run) == undisturbed


def test_where_both_are_damaged_the_run_is_not_resumed_and_not_changed(run: Path) -> None:
    for name in (LAST, PREVIOUS):
        (run / name).write_bytes(damaged((run / name).read_bytes(), 2))
    before = snapshot(run)
    for strict in (False, True):
        with pytest.raises(CheckpointError, match=LAST) as refused:
            setup.resume_run(run, strict=strict)
        assert refused.value.exit_code == 4
    assert snapshot(run) == before


def test_where_the_one_before_is_missing_the_damage_is_refused(run: Path) -> None:
    (run / PREVIOUS).unlink()
    (run / LAST).write_bytes(b"")
    with pytest.raises(CheckpointError, match="a file of 0 bytes"):
        setup.resume_run(run)


# ------------------------------------------------------------------------------------------- at any call


def test_the_good_one_is_never_lost_wherever_the_resume_is_killed(
    run: Path, tmp_path: Path, undisturbed: tuple[Any, ...]
) -> None:
    (run / LAST).write_bytes(bytes(1000))
    for number in range(1, 1000):
        here = Path(shutil.copytree(run, tmp_path / f"{number}"))
        with contextlib.suppress(Killed), Disk(here, killed_at(number)).watching() as disk:
            finished(setup.resume_run(here))
        ends_as(undisturbed, here)
        if disk.count < number:
            break
    assert number > 30


def ends_as(undisturbed: tuple[Any, ...], run: Path) -> None:
    steps = []
    for name in (LAST, PREVIOUS):
        with contextlib.suppress(CheckpointError):
            steps.append(Checkpoint.load(run / name).trainer_state.step)
    assert max(steps) >= 4
    with contextlib.suppress(ConfigError):  # it had ended
        finished(setup.resume_run(run))
    assert outcome(run) == undisturbed


@pytest.mark.parametrize("from_then_on", [False, True], ids=["once", "from-then-on"])
def test_the_good_one_is_never_lost_wherever_the_disk_refuses(
    run: Path, tmp_path: Path, undisturbed: tuple[Any, ...], from_then_on: bool
) -> None:
    (run / LAST).write_bytes(bytes(1000))
    for number in range(2, 1000):
        here = Path(shutil.copytree(run, tmp_path / f"{number}"))
        fault = refused_at(number, errno.ENOSPC, from_then_on=from_then_on)
        not_now = (StorageError, CheckpointError)  # the one before cannot be opened: the damage of the last is said
        with contextlib.suppress(*not_now), Disk(here, fault).watching() as disk:
            finished(setup.resume_run(here))
        ends_as(undisturbed, here)
        if disk.count < number:
            break
    assert number > 30


def test_a_run_that_cannot_save_after_its_fallback_loses_nothing(run: Path) -> None:
    (run / LAST).write_bytes(b"")
    before = snapshot(run)
    again = setup.resume_run(run)

    def full(_: int, call: Call) -> None:
        if call.kind == "make":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match="free some space"), Disk(run, full).watching():
        finished(again)
    after = snapshot(run)
    assert (after[PREVIOUS], after[BEST], after[DAMAGED]) == (before[PREVIOUS], before[BEST], b"")
    assert SETTINGS in after


# ------------------------------------------------------------------------------------------- while it trains


def rolled_back(run: Any, act: Callable[[], object]) -> list[RolledBack]:
    """Calls `act` and makes the run diverge after step 4; returns the events of its rollbacks."""
    back: list[RolledBack] = []
    for report in run.events():
        if isinstance(report, Evaluated) and report.step == 4 and not back:
            act()
            run.train_state.sums += float("nan")
        if isinstance(report, RolledBack):
            back.append(report)
    return back


@pytest.mark.parametrize("kind", ["damaged", "gone"])
def test_a_rollback_does_not_move_a_damaged_checkpoint_over_the_good_one(text: Path, tmp_path: Path, kind: str) -> None:
    values = {"data.paths": [str(text)], "training.on_nan": "rollback"} | SMALL
    run = setup.new_run(values, out=tmp_path, name="run")
    folder = run.folder.path

    def spoil() -> None:
        (folder / LAST).unlink()
        if kind == "damaged":
            (folder / LAST).write_bytes(b"damaged")

    (back,) = rolled_back(run, spoil)
    assert back.step == 2
    assert not (folder / DAMAGED).exists() if kind == "gone" else (folder / DAMAGED).read_bytes() == b"damaged"
    for name in (LAST, PREVIOUS):
        Checkpoint.load(folder / name)


def test_a_run_whose_newest_checkpoint_is_missing_resumes_from_the_previous_one(
    run: Path, undisturbed: tuple[Any, ...]
) -> None:
    (run / LAST).unlink()  # killed between the two moves of a save
    assert outcome(finished(setup.resume_run(run))) == undisturbed
    assert runs.find(run) == run / BEST
