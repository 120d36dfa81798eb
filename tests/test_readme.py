"""What the README says can be done as it says."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from conftest import help_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "charnet" / "guide").rglob("*.md"))]
GROUPS = ("bench", "cache", "corpus")  # commands that have commands
COMMAND = re.compile(r"(?:^    (?:\$ )?|`|\| )(charnet [a-z][^`\n]*)", re.MULTILINE)
COMMANDS = sorted({each for page in PAGES for each in COMMAND.findall(page.read_text(encoding="utf-8"))})


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
@pytest.mark.every_case
def test_every_option_of_a_command_in_the_readme_and_the_guide_exists(command: str) -> None:
    words = shlex.split(re.split(r"\s#|\|", command)[0])[1:]
    depth = 2 if words[0] in GROUPS else 1
    is_group = words[0] in GROUPS and len(words) == 1
    shown = help_of(*words[:depth], "--help" if is_group else "--help-all")
    for option in (word.partition("=")[0] for word in words if re.match("--?[a-z]", word)):
        assert re.search(rf"(^|[ ,]){re.escape(option)}\b", shown, re.M), option


def test_the_readme_is_short_and_its_links_and_pictures_are_there() -> None:
    assert len(README.encode()) <= 9000
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert {"CONTRIBUTING.md", "README.zh.md", "charnet/guide/pictures/loss.svg"} <= set(links)
    assert all((ROOT / link).exists() for link in links)
    assert all(len(text) > 20 for text in re.findall(r"!\[([^]]*)\]", README)), "a text for those who see no picture"


def test_links_between_the_pages_of_the_guide_lead_somewhere() -> None:
    for page in PAGES:
        prose = re.sub(r"```.*?```|^    [^\n]*$|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        for link in re.findall(r"\]\(([^)#:]+)\)", prose):
            assert (page.parent / link).exists(), (page.name, link)


@pytest.mark.parametrize("name", ["wings", "loss"])
def test_a_picture_is_that_of_its_script(name: str) -> None:
    module = runpy.run_path(str(ROOT / "tests" / "bench" / f"{name}_picture.py"))
    assert module["PICTURE"].read_text(encoding="utf-8") == module["picture"](), f"run tests/bench/{name}_picture.py"


def test_the_picture_of_the_wings_has_every_folder_of_the_package() -> None:
    questions = runpy.run_path(str(ROOT / "tests" / "bench" / "wings_picture.py"))["QUESTIONS"]
    folders = {path.name for path in (ROOT / "charnet").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert folders - set(questions) == {"guide"}
