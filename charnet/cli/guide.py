"""`charnet guide`: the pages that ship with charnet, on the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console
from charnet.cli.options import option
from charnet.errors import ConfigError, did_you_mean, plural, quoted

FOLDER = Path(__file__).parent.parent / "guide"
LANGUAGES = {"en": "", "zh": ".zh"}
WIDEST = 100  # columns: longer lines are hard to read
MOST_FOUND = 40  # lines
# A page is longer than a screen: less shows its colors, stays where it is, and does not wait at the end of a short one.
PAGER = ("less", "-RFX")


@dataclass(frozen=True)
class Page:
    """A page: its name, its title, its text in Markdown, whether it is a lesson, and in the language asked for."""

    name: str
    title: str
    text: str
    is_lesson: bool
    is_translated: bool


def guide(
    page: Annotated[str | None, typer.Argument(help="The name of a page; none = the list of all.")] = None,
    list_: Annotated[bool, option("--list", help="list the pages", group="Pages")] = False,
    search: Annotated[
        str | None, option("--search", "-s", metavar="TEXT", help="find lines, of all pages or of one", group="Pages")
    ] = None,
    language: Annotated[
        str, option("--language", metavar="|".join(LANGUAGES), help="language of the lessons", group="Pages")
    ] = "en",
) -> None:
    """Read the guide: training, texts, writing, lessons on recurrent networks and more."""
    if language not in LANGUAGES:
        found = f"found {quoted(language)}{did_you_mean(language, LANGUAGES)}"
        raise ConfigError(f"--language: expected one of {', '.join(LANGUAGES)}, {found}")
    if list_ and (page is not None or search is not None):
        raise ConfigError("--list: lists all pages; leave out the name and --search")
    all_pages = pages(language)
    if page in ("lesson", "lessons"):
        page, all_pages = None, {name: each for name, each in all_pages.items() if each.is_lesson}
    chosen = None if page is None else _named(page.removesuffix(".md"), all_pages, language)
    if search is not None:
        _show_lines(search, [chosen] if chosen else all_pages.values())
    elif chosen is None:
        _show_list(all_pages, language)
    else:
        if language != "en" and not chosen.is_translated:
            console.note(f"{chosen.name}: this page is in English only")
        _show(chosen)


def pages(language: str = "en") -> dict[str, Page]:
    """Returns the pages by their names, lessons last; those that are not in this language are in English."""
    found = {}
    for path in [*sorted(FOLDER.glob("*.md")), *sorted(FOLDER.glob("lessons/*.md"))]:
        name, _, suffix = path.name.removesuffix(".md").partition(".")
        translated = path.with_name(f"{name}{LANGUAGES[language]}.md")
        if not suffix:
            text = (translated if translated.exists() else path).read_text(encoding="utf-8")
            is_lesson, is_translated = path.parent != FOLDER, translated.exists()
            found[name] = Page(name, text.splitlines()[0].lstrip("# "), text, is_lesson, is_translated)
    return found


def _named(name: str, found: dict[str, Page], language: str) -> Page:
    """Returns the page of that name, or of a name that begins so if there is only one."""
    stem, _, suffix = name.rpartition("/")[2].partition(".")
    if suffix in LANGUAGES and suffix != language:
        found, language = pages(suffix), suffix
    fits = [stem] if stem in found else [each for each in found if each.startswith(stem)]
    if len(fits) != 1:
        raise ConfigError(f"there is no page {quoted(name)}{_advice(stem, fits, found, language)}")
    return found[fits[0]]


def _advice(stem: str, fits: list[str], found: dict[str, Page], language: str) -> str:
    """Returns how to go on when no page has this name: those that begin so, one that is alike, or a search."""
    if fits:
        return f"; these begin so: {', '.join(fits)}"
    if guess := did_you_mean(stem, found):
        return guess
    if count := len(_lines_with(stem, found.values())):
        search = f"charnet guide --search {quoted(stem)}" + (f" --language {language}" if language != "en" else "")
        return f", but {plural(count, 'line')} with this word: {search}"
    return "; charnet guide --list names the pages"


def _show_list(found: dict[str, Page], language: str) -> None:
    longest = max(map(len, found))
    for heading, of_lessons in (("The guide", False), ("Lessons", True)):
        listed = [each for each in found.values() if each.is_lesson == of_lessons]
        if listed:
            console.write(f"{heading}\n")
            console.write("".join(f"  {each.name:<{longest}}  {each.title}\n" for each in listed) + "\n")
    translated = f" --language {language}" if language != "en" else ""
    console.write(f"charnet guide NAME{translated} shows a page, charnet guide --search TEXT{translated} finds lines\n")


def _show_lines(text: str, found: Collection[Page]) -> None:
    """Shows the lines that hold a text, with the names of their pages."""
    lines = _lines_with(text, found)
    if not lines:
        lacking = "no page holds it" if len(found) > 1 else "the page does not hold it"
        raise ConfigError(f"--search {quoted(text)}: {lacking}; try a shorter word")
    for name, line in lines[:MOST_FOUND]:
        console.write(f"{name}: {line}\n")
    if len(lines) > MOST_FOUND:
        console.note(f"{plural(len(lines) - MOST_FOUND, 'more line')}; give a longer text")


def _lines_with(text: str, found: Iterable[Page]) -> list[tuple[str, str]]:
    """Returns the lines that hold a text, each with the name of its page."""
    fits = re.compile(re.escape(text), re.IGNORECASE)
    return [(page.name, line.strip()) for page in found for line in page.text.splitlines() if fits.search(line)]


def _show(page: Page) -> None:
    """Shows a page: Markdown in a pipe, laid out on a terminal."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        console.write(page.text)
        return
    from charnet.cli.markdown import laid_out

    columns, lines = shutil.get_terminal_size()
    shown = laid_out(page.text, min(columns, WIDEST))
    if shown.count("\n") < lines or not _paged(shown):
        console.write(shown)


def _paged(text: str) -> bool:
    """Shows a text screen by screen, if this system can."""
    pager = os.environ.get("PAGER", "").split() or list(PAGER)
    if not shutil.which(pager[0]):
        return False
    with _deaf_to_ctrl_c():
        return subprocess.run(pager, input=text.encode(), check=False).returncode <= 0


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """While a pager runs, Ctrl-C is for it: less stops a search by it, and must not lose its reader."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
