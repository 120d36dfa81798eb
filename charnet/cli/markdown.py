"""Lays out Markdown for a terminal, by rich.

Import it only where a page is shown: rich takes as long to load as the rest of the command line.

rich breaks lines at spaces. Chinese has none, so a line would end anywhere, and the next one could begin with a comma. A
mark that rich takes for a space, and that takes no cell, is put between all characters where a line may end.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.padding import Padding
from rich.text import Text
from rich.theme import Theme

STYLES = {
    "markdown.code": "bold", "markdown.code_block": "cyan", "markdown.link": "underline", "markdown.h1": "bold",
    "markdown.h2": "bold magenta", "markdown.item.bullet": "default",
}  # fmt: skip
BREAK = "\x1f"  # a line may end here
NEVER_FIRST = "，。、！？；：）」』》〉】〕”’…—·％‰,.!?;:)]}%"  # in a line
NEVER_LAST = "（「『《〈【〔“‘([{"
READABLE = 24  # cells: a column of prose that is narrower is hard to read
BETWEEN = 2  # cells between two columns


def laid_out(text: str, columns: int) -> str:
    """Returns Markdown as a terminal of that width shows it, with its colors."""
    page = Console(width=columns, force_terminal=True, theme=Theme(STYLES), highlight=False)
    plain = re.sub(r"^```\w+$", "```", text, flags=re.MULTILINE)  # the colors of code come with a background
    with page.capture() as capture:
        page.print(_Page(plain))
    lines = capture.get().replace(BREAK, "").splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


class _Table(TableElement):
    """A table, or its rows one below the other where it is too wide."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = [cell.content for cell in self.header.row.cells] if self.header and self.header.row else []
        rows = [[cell.content for cell in row.cells] for row in self.body.rows] if self.body else []
        if _fits(head, rows, options.max_width):
            yield from super().__rich_console__(console, options)
            return
        for number, row in enumerate(rows):
            yield from [Text()] if number else []
            yield from _record(head, row)


class _Page(Markdown):
    """Markdown whose lines may end between Chinese characters, and whose tables fit."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": _Table}

    def __init__(self, text: str) -> None:
        super().__init__(text.replace(BREAK, ""), code_theme="ansi_dark", hyperlinks=False)
        for token in self.parsed:
            _mark(token)


def _mark(token: Token) -> None:
    """Marks where the lines of a paragraph, a heading, a cell or a block of code may end."""
    pieces = [child for child in token.children or [] if child.type in ("text", "code_inline")]
    if token.type in ("fence", "code_block"):
        pieces = [token]
    for piece, behind in itertools.zip_longest(pieces, pieces[1:]):
        piece.content = marked(piece.content, behind.content[:1] if behind else "")


def marked(text: str, behind: str = "") -> str:
    """Returns a text with a mark after each character after which a line may end, though no space is there.

    Args:
        behind: the character that follows the text.

    >>> marked("他说：（好）。再见").split(BREAK)
    ['他', '说：', '（好）。', '再', '见']
    """
    pairs = itertools.zip_longest(text, text[1:] + behind, fillvalue="")
    return "".join(one + BREAK * _may_end(one, next_) for one, next_ in pairs)


def _may_end(last: str, first: str) -> bool:
    """Returns whether a line may end with one character if the next line begins with the other."""
    wide = 2 in (cell_len(last), cell_len(first))
    return wide and bool(first) and not (last + first).isspace() and last not in NEVER_LAST and first not in NEVER_FIRST


def _fits(head: Sequence[Text], rows: Sequence[Sequence[Text]], width: int) -> bool:
    """Returns whether the columns of a table can be wide enough: no word is cut, and prose is not squeezed."""
    columns = list(zip(*rows, strict=False))
    widths = [max(READABLE and min(READABLE, max(cell.cell_len for cell in column)), *map(_longest_word, column))
              for column in columns]  # fmt: skip
    heads = [_longest_word(cell) for cell in head] or [0] * len(widths)
    return sum(map(max, widths, heads)) + BETWEEN * (len(widths) - 1) <= width


def _longest_word(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split()), default=0)


def _record(head: Sequence[Text], row: Sequence[Text]) -> Iterator[RenderableType]:
    """Yields a row as lines: its first cell, and below it the others, with the heads of their columns."""
    first, *others = row
    yield _named(head[:1] if first.plain[:1].isdigit() else (), first, "bold")
    for number, cell in enumerate(others, 1):
        if cell.plain.strip():
            yield Padding(_named(head[number:][:1] if len(row) > 2 else (), cell), (0, 0, 0, 2))


def _named(head: Iterable[Text], cell: Text, style: str = "") -> Text:
    parts: list[Any] = [part for name in head if name.plain for part in (name, ": ")]
    return Text.assemble(*parts, cell, style=style)
