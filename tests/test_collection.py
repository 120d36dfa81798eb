"""Which cases of a test the default tests run, and that no case is lost between them and the other marks."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import NOT_DEFAULT

ROOT = Path(__file__).parent.parent
TESTS = """
import pytest

@pytest.mark.parametrize("x", range(11))
def test_of_many(x): pass

@pytest.mark.parametrize(
    "x", [0, 1, 2, pytest.param(3, marks=pytest.mark.exhaustive), pytest.param(4, marks=pytest.mark.slow)]
)
def test_of_few(x): pass

@pytest.mark.every_case
@pytest.mark.parametrize("x", range(7))
def test_that_names_all(x): pass

@pytest.mark.covering(1)
@pytest.mark.parametrize("y", range(2))
@pytest.mark.parametrize("x", range(5))
def test_of_a_product(x, y): pass

@pytest.mark.exhaustive
@pytest.mark.parametrize("x", range(6))
def test_that_takes_long(x): pass
"""


def collected(folder: Path, *options: str) -> set[str]:
    """The tests that pytest chooses of `TESTS`, with the settings and the conftest of these tests."""
    (folder / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    command += ["-p", "conftest", "-p", "no:cacheprovider", "-p", "no:xdist", "--collect-only", *options, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line}


@pytest.mark.exhaustive
def test_every_case_is_in_the_default_tests_or_has_another_mark(tmp_path: Path) -> None:
    default, exhaustive, everything = (
        collected(tmp_path, *choice) for choice in ([], ["-m", "exhaustive"], ["-m", ""])
    )
    assert everything == default | exhaustive | {"test_of_few[4]"}
    assert not default & exhaustive
    assert len(everything) == 11 + 5 + 7 + 10 + 6
    assert {name for name in default if "many" in name} == {"test_of_many[0]", "test_of_many[10]"}
    assert {name for name in default if "few" in name} == {"test_of_few[0]", "test_of_few[2]"}
    assert {name for name in default if "all" in name} == {f"test_that_names_all[{x}]" for x in range(7)}
    assert {name[-4:-1] for name in default if "product" in name} == {"0-0", "0-1", "1-0", "2-0", "3-0", "4-0"}
    assert not any("long" in name for name in default)


def test_the_default_tests_are_those_without_a_mark_of_the_others() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert settings["addopts"].endswith("-m '" + " and ".join(f"not {name}" for name in NOT_DEFAULT) + "'")
    for name in NOT_DEFAULT:
        assert any(line.startswith(f"{name}:") for line in settings["markers"])


def test_continuous_integration_runs_what_the_default_tests_leave_out() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "pytest -m 'exhaustive or faults' -n auto" in script
