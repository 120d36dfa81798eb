"""The resources of the machine, and the load of other programs on it."""

import os
from pathlib import Path

import pytest

from charnet import machine
from charnet.cli import app, sample_options
from charnet.errors import ConfigError


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "LOAD", tmp_path / "loadavg")
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(machine, "processor_cores", lambda: 4)
    return tmp_path / "loadavg"


def test_threads_spin_long_if_no_other_program_computes(load: Path):
    load.write_text("3.05 2.17 1.90 1/345 6789\n")
    assert machine.omp_spin_count() == machine.SPINS_ALONE


@pytest.mark.parametrize("line", ["0.00 0.00 0.00 3/345 6789\n", "", "0.1 0.1", "0 0 0 x/y 1"])
def test_threads_sleep_soon_beside_other_programs_or_if_the_load_is_unknown(load: Path, line: str):
    load.write_text(line)
    assert machine.omp_spin_count() == machine.SPINS_BESIDE_OTHERS


def test_threads_sleep_soon_if_the_system_has_no_file_of_its_load(load: Path):
    assert not load.exists()
    assert machine.omp_spin_count() == machine.SPINS_BESIDE_OTHERS


def test_a_program_that_runs_only_for_a_moment_does_not_count(load: Path, monkeypatch: pytest.MonkeyPatch):
    load.write_text("0 0 0 2/345 1")
    monkeypatch.setattr(machine.time, "sleep", lambda _: load.write_text("0 0 0 1/345 1"))
    assert machine.omp_spin_count() == machine.SPINS_ALONE


def test_programs_on_other_cores_than_ours_do_not_count(load: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "processor_cores", lambda: 2)
    load.write_text("0 0 0 3/345 1")
    assert machine.omp_spin_count() == machine.SPINS_ALONE
    load.write_text("0 0 0 4/345 1")
    assert machine.omp_spin_count() == machine.SPINS_BESIDE_OTHERS


@pytest.mark.parametrize(("said", "used"), [(None, "77"), ("5", "5")])
def test_a_command_sets_the_spins_that_the_user_did_not(monkeypatch: pytest.MonkeyPatch, said: str | None, used: str):
    environment = {"GOMP_SPINCOUNT": said} if said else {}
    monkeypatch.setattr(app, "omp_spin_count", lambda: 77)
    monkeypatch.setattr(os, "environ", environment)
    assert app.run(["--version"]) == 0
    assert environment["GOMP_SPINCOUNT"] == used


@pytest.mark.parametrize(
    ("line", "free"), [("0 0 0 1/345 1", 4), ("0 0 0 3/345 1", 2), ("0 0 0 9/345 1", 0), ("x", None)]
)
def test_cores_are_free_where_no_other_program_computes(load: Path, line: str, free: float | None) -> None:
    load.write_text(line)
    assert machine.free_cores() == free


def test_threads_of_this_process_leave_cores_free(load: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, state in enumerate("RSRR"):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "stat").write_text(f"{number} (a) b) {state} 1 2")
    monkeypatch.setattr(machine, "OWN_THREADS", tmp_path)
    load.write_text("0 0 0 4/345 1")
    assert machine.free_cores() == 3


@pytest.mark.parametrize(
    ("looks", "threads"), [([2, 0, 2], 1), ([2, 1, 2], 2), ([0, 0, 0], 1), ([None, None, None], 2)]
)
def test_threads_are_as_many_as_the_cores_that_are_free_in_the_mean(
    monkeypatch: pytest.MonkeyPatch, looks: list[float | None], threads: int
) -> None:
    found = iter(looks)
    monkeypatch.setattr(machine, "free_cores", lambda: next(found))
    assert machine.threads_beside_others(2) == threads


@pytest.mark.parametrize(("given", "said", "used"), [(0, None, "3"), (0, "7", "7"), (5, "7", "5")])
def test_writing_uses_the_threads_that_the_user_says_else_those_with_a_core(
    monkeypatch: pytest.MonkeyPatch, given: int, said: str | None, used: str
) -> None:
    environment = {"OPENBLAS_NUM_THREADS": said} if said else {}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(machine, "threads_beside_others", lambda _: 3)
    sample_options.limit_threads(given)
    assert environment["OPENBLAS_NUM_THREADS"] == used


def test_a_library_that_finds_no_room_is_a_lack_of_memory_and_a_missing_one_is_not() -> None:
    with pytest.raises(ConfigError, match="not enough memory: wait"), machine.explain_out_of_memory("wait"):
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")
    with pytest.raises(ImportError), machine.explain_out_of_memory("wait"):
        raise ModuleNotFoundError("No module named 'torch'")
