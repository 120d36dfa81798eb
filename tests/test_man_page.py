"""The manual page is made from the help of the commands, and a terminal can show it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("man_page", ROOT / "tests" / "bench" / "man_page.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_manual_page_has_what_the_help_says(made: ModuleType) -> None:
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run python tests/bench/man_page.py"


def test_the_wheel_installs_the_manual_page_where_man_looks(made: ModuleType) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    (source,) = [name for name, place in shared.items() if place == "share/man/man1/charnet.1"]
    assert (ROOT / source).samefile(made.PAGE)


def test_troff_formats_the_manual_page_without_a_warning(made: ModuleType) -> None:
    if not shutil.which("groff"):
        pytest.skip("there is no groff")
    command = ["groff", "-man", "-Tutf8", "-ww", "-k", str(made.PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert "CHARNET TRAIN" in re.sub(".\b", "", done.stdout)  # bold letters are struck twice
