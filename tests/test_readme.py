"""What the README says can be done as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from charnet.cli.app import run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMED = "train|sample|inspect|eval|bench|doctor|sweep|runs|export"
COMMANDS = sorted(set(re.findall(rf"(?:^    (?:\$ )?|`|\| )(charnet (?:{NAMED})[^`\n]*)", README, re.M)))


def test_no_page_holds_the_marks_of_a_merge() -> None:
    pages = [*ROOT.glob("*.md"), ROOT / "tests" / "bench" / "LOG.md"]
    marks = ("<<<<<<< ", "=======", ">>>>>>> ")
    assert not [
        line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if line.startswith(marks)
    ]


def test_the_readme_opens_with_a_command_that_installs_trains_and_writes_and_one_that_tests() -> None:
    first, second, *_ = [line.strip() for line in README.splitlines() if line.startswith("    ")]
    assert re.fullmatch(r"python3 -m venv .*pip install \. && .*charnet train --for 1m && .*charnet sample.*", first)
    assert re.fullmatch(r"python3 -m venv .*pip install .*test.* -m pytest -n auto", second)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "grep -m 1 'pytest' README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert next(line for line in README.splitlines() if "pytest" in line).startswith("    python3 -m venv")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_in_the_readme_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(re.split(r"\s#|\|", command)[0])[1:]
    depth = 2 if words[0] in ("bench", "cache", "corpus") else 1
    assert run([*words[:depth], "--help-all"]) == 0
    shown = capsys.readouterr().out
    for option in (word.partition("=")[0] for word in words if re.match("--?[a-z]", word)):
        assert re.search(rf"(^|[ ,]){re.escape(option)}\b", shown, re.M), option


def test_the_tree_in_the_readme_names_every_wing_and_module_at_the_top() -> None:
    for path in (ROOT / "charnet").iterdir():
        if not path.name.startswith("_") and (path.suffix == ".py" or path.is_dir()):
            assert re.search(rf"^      (\S+ )*{re.escape(path.name)}\b", README, re.M), path.name
