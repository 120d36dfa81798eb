"""The pages of the lessons: their commands run, the code they quote is charnet's, their links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import help_of
from markdown_it import MarkdownIt

import charnet

PACKAGE = Path(charnet.__file__).parent
FOLDER = PACKAGE / "guide" / "lessons"
PAGES = sorted(FOLDER.glob("*.md"))
NAMES = sorted(page.name.removesuffix(".md") for page in PAGES if not page.name.endswith(".zh.md"))
EXPECTED = {
    *("hidden-state", "lstm-and-gru", "bptt", "gradients", "which-cell", "how-many-units", "layers"),
    *("long-sequences", "overfitting", "is-my-loss-good", "temperature"),
}
each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name.removesuffix(".md") for page in PAGES])


def commands_of(page: Path) -> list[list[str]]:
    """The words of each command in a page, without the first."""
    lines = re.findall(r"^    \$ charnet (.*)$", page.read_text(encoding="utf-8"), re.M)
    return [shlex.split(line) for line in lines]


def test_every_lesson_is_there_in_english_and_in_chinese() -> None:
    assert set(NAMES) == EXPECTED
    assert {page.name for page in PAGES} == {f"{name}{language}.md" for name in NAMES for language in ("", ".zh")}


@each_page
def test_a_lesson_is_short_has_a_title_and_at_least_one_command(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch("# .+", lines[0])
    assert not any(line.startswith("# ") for line in lines[1:])
    assert (30 if page.name.endswith(".zh.md") else 40) <= len(lines) <= 90  # a Chinese paragraph is one line
    assert commands_of(page)


@each_page
def test_the_marks_of_markdown_are_read_as_such(page: Path) -> None:
    tokens = MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
    words = [child for token in tokens for child in token.children or [] if child.type == "text"]
    assert not [word.content for word in words if re.search(r"[*`|]|@@", word.content)]


@each_page
def test_no_paragraph_of_a_chinese_lesson_is_broken_where_no_space_belongs(page: Path) -> None:
    if page.name.endswith(".zh.md"):
        tokens = MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
        assert not [token.content for token in tokens for child in token.children or [] if child.type == "softbreak"]


@each_page
def test_a_lesson_ends_with_a_question_and_its_answer(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    heading = "## 自己试试" if page.name.endswith(".zh.md") else "## Try it yourself"
    assert re.search(rf"^{heading}$", text, re.M)
    assert re.search(r"[?？]", text[text.index(heading) :])


@each_page
def test_every_option_of_a_command_in_a_lesson_exists(page: Path) -> None:
    for words in commands_of(page):
        depth = 2 if words[0] in ("corpus", "bench", "cache") else 1
        shown = help_of(*words[:depth], "--help" if depth == 2 else "--help-all")
        for option in (word.partition("=")[0] for word in words if re.match("--?[a-z]", word)):
            assert re.search(rf"(^|[ ,]){re.escape(option)}\b", shown, re.MULTILINE), (words, option)


@each_page
def test_the_code_that_a_lesson_quotes_is_in_the_file_that_it_names(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        named = re.findall(r"`charnet/([\w/]+\.py)`", text[: block.start()])
        code = textwrap.indent(textwrap.dedent(block.group(1)), "    ")  # a method, which ruff moves to the left
        assert code in (PACKAGE / named[-1]).read_text(encoding="utf-8"), named[-1]


def test_the_lesson_on_gates_quotes_both_cells_in_both_languages() -> None:
    for page in ("lstm-and-gru.md", "lstm-and-gru.zh.md"):
        text = (FOLDER / page).read_text(encoding="utf-8")
        for cell in ("lstm", "gru"):
            assert re.search(rf"`charnet/model/cells/{cell}\.py`.*?```python\n *def gate_values", text, re.DOTALL), page


@each_page
def test_every_link_of_a_lesson_leads_to_a_lesson_of_its_language_or_a_page(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).is_file(), target
            assert target.startswith("../") or target.endswith(".zh.md") == page.name.endswith(".zh.md"), target


def shortened(words: list[str]) -> list[str]:
    """The same command with fewer steps, or less time."""
    less = {"--steps": "30", "--for": "6s"}
    return [less.get(before, word) for before, word in zip(["", *words], words, strict=False)]


@pytest.mark.slow
@each_page
def test_every_command_of_a_lesson_runs(page: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    for words in commands_of(page):
        line = [sys.executable, "-m", "charnet", *shortened(words)]
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
