"""Two hosts that share no file train one model over a network that may fail."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest
from conftest import sentences
from faults.processes import newest, outcome, run, until
from faults.torchrun import TINY, steps_reported
from training.hosts import Hosts, hosts

pytestmark = pytest.mark.slow

STEPS = ["--steps", "600"]
MANY_STEPS = ["--steps", "8000"]  # a host needs seconds to come
ENDLESS = ["--steps", "1000000", "--out", "runs", "--timeout", "4"]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Hosts]:
    (tmp_path / "text.txt").write_text(sentences(2000))
    with hosts(tmp_path) as made:
        yield made


def test_two_hosts_end_with_the_weights_of_one_and_only_the_first_keeps_the_run(two: Hosts, tmp_path: Path) -> None:
    work = [two.start(number, [*STEPS, "--out", f"runs{number}"]) for number in (0, 1)]
    try:
        assert [each.wait() for each in work] == [0, 0], [each.err.read_text() for each in work]
    finally:
        for each in work:
            each.end()
    run(["train", "text.txt", *TINY, *STEPS, "--out", "alone"], folder=tmp_path)
    assert outcome(two.folders[0] / "runs0" / "text") == outcome(tmp_path / "alone" / "text")
    assert not (two.folders[1] / "runs1").exists()
    assert all(any((folder / "cache").iterdir()) for folder in two.folders), "each host has read the text"


def test_a_host_whose_process_is_killed_comes_back(two: Hosts, tmp_path: Path) -> None:
    restarts = ("--nnodes", "2", "--max-restarts", "2")
    work = [two.start(number, [*STEPS, "--out", "runs"], *restarts) for number in (0, 1)]
    kept = two.folders[0] / "runs" / "text"
    try:
        until(lambda: steps_reported(kept) >= 100)
        os.kill(work[1].ranks()[1], SIGKILL)
        assert [each.wait() for each in work] == [0, 0], [each.err.read_text() for each in work]
    finally:
        for each in work:
            each.end()
    run(["train", "text.txt", *TINY, *STEPS, "--out", "alone"], folder=tmp_path)
    assert outcome(kept) == outcome(tmp_path / "alone" / "text")


def test_a_host_that_comes_later_joins_and_the_weights_are_those_of_one(
    two: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")  # else torchrun waits for what it never tells
    work = [two.start(0, [*MANY_STEPS, "--out", "runs"], "--nnodes", "1:2", "--max-restarts", "1")]
    kept = two.folders[0] / "runs" / "text"
    try:
        until(lambda: steps_reported(kept) >= 50)
        work.append(two.start(1, [*MANY_STEPS, "--out", "runs"], "--nnodes", "1:2", "--max-restarts", "1"))
        until(lambda: len(work[1].ranks()) == 1)
        assert [each.wait() for each in work] == [0, 0], [each.err.read_text() for each in work]
    finally:
        for each in work:
            each.end()
    run(["train", "text.txt", *TINY, *MANY_STEPS, "--out", "alone"], folder=tmp_path)
    assert outcome(kept) == outcome(tmp_path / "alone" / "text")


def test_a_network_that_fails_for_a_moment_costs_only_the_moment(two: Hosts) -> None:
    work = [two.start(number, [*ENDLESS, "--timeout", "20"]) for number in (0, 1)]
    kept = two.folders[0] / "runs" / "text"
    try:
        until(lambda: steps_reported(kept) >= 300)
        two.cut()
        time.sleep(5)
        reached = steps_reported(kept)
        two.mend()
        until(lambda: steps_reported(kept) > reached + 50)
    finally:
        for each in work:
            each.end()


def test_a_network_lost_for_good_is_told_in_a_line_and_one_host_goes_on(two: Hosts) -> None:
    work = [two.start(number, ENDLESS) for number in (0, 1)]
    kept = two.folders[0] / "runs" / "text"
    try:
        until(lambda: steps_reported(kept) >= 300)
        two.cut()
        assert work[0].wait() == 1
        (line,) = work[0].lines()
        assert "cannot be reached" in line
    finally:
        for each in work:
            each.end()
    step = newest(kept).trainer_state.step
    run(["train", "--resume", "runs/text", "--steps", str(step + 50), "-q"], folder=two.folders[0])
    assert newest(kept).trainer_state.step == step + 50
