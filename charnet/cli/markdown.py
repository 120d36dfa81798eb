"""Lays out Markdown for a terminal, by rich.

Import it only where a page is shown: rich takes as long to load as the rest of the command line.

rich breaks lines at spaces. Chinese has none, so a line would end anywhere, and the next one could begin with a comma.
So a mark that rich takes for a space, and that takes no cell, is put wherever a line may end.
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

from charnet.cli.console import NEVER_FIRST, NEVER_LAST

STYLES = {
    "markdown.code": "bold", "markdown.code_block": "cyan", "markdown.link": "underline", "markdown.h1": "bold",
    "markdown.h2": "bold magenta", "markdown.item.bullet": "default",
}  # fmt: skip
BREAK = "\x1f"  # a line may end here
READABLE, READABLE_OF_MANY = 24, 16  # cells: a column of prose that is narrower is hard to read; of four or more
BESIDE = 2  # cells that a column takes besides its text
MARGIN = 1  # cells beside code
HANGING = 4  # cells before the rest of a line of code that is too long


def laid_out(text: str, columns: int) -> str:
    """Returns Markdown as a terminal of that width shows it, with its colors."""
    page = Console(width=columns, force_terminal=True, theme=Theme(STYLES), highlight=False)
    plain = re.sub(r"^```\w+$", "```", text, flags=re.MULTILINE)  # the colors of code come with a background
    with page.capture() as capture:
        page.print(_Page(plain, columns - 2 * MARGIN))
    lines = capture.get().replace(BREAK, "").splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


class _Table(TableElement):
    """A table, or its rows one below the other where it is too wide."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = [cell.content for cell in self.header.row.cells] if self.header and self.header.row else []
        rows = [[cell.content for cell in row.cells] for row in self.body.rows] if self.body else []
        if not rows or _fits(head, rows, options.max_width):
            yield from super().__rich_console__(console, options)
            return
        for number, row in enumerate(rows):
            yield from [Text()] if number else []
            yield from _record(head, row)


class _Page(Markdown):
    """Markdown whose lines may end between Chinese characters, and whose tables fit."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": _Table}

    def __init__(self, text: str, code_width: int) -> None:
        super().__init__(text.replace(BREAK, ""), code_theme="ansi_dark", hyperlinks=False)
        for token in self.parsed:
            _mark(token)
            if token.type in ("fence", "code_block"):
                token.content = "\n".join(folded(line, code_width) for line in token.content.splitlines())
            for link in token.children or []:
                if "href" in link.attrs:
                    link.attrs["href"] = page_name(str(link.attrs["href"]))


def page_name(target: str) -> str:
    """Returns the name under which `charnet guide` shows the target of a link; an address stays as it is.

    >>> page_name("../lessons/layers.zh.md"), page_name("https://example.org/a.md")
    ('layers.zh', 'https://example.org/a.md')
    """
    return target if "://" in target else target.rpartition("/")[2].removesuffix(".md")


def _mark(token: Token) -> None:
    """Marks where the lines of a paragraph, a heading or a cell may end."""
    pieces = [child for child in token.children or [] if child.type in ("text", "code_inline")]
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
    if not first or (last + first).isspace() or 2 not in (cell_len(last), cell_len(first)):
        return False
    return last not in NEVER_LAST and first not in NEVER_FIRST


def folded(line: str, width: int, hanging: int = HANGING) -> str:
    """Returns a line of code in lines of a width: a remark goes below its code, the rest of other lines is indented.

    >>> print(folded("h = tanh(U h + b)      a simple network", 24))
    h = tanh(U h + b)
        a simple network
    >>> print(folded("    $ charnet sample --temp 0.7", 24))
        $ charnet sample
            --temp 0.7
    """
    if cell_len(line) <= width:
        return line
    code = line.lstrip()
    lead = len(line) - len(code)
    below = " " * (lead + hanging * (" " in code))  # prose in Chinese goes on where it began
    if (found := re.fullmatch(r"(.*\S) {3,}(\S.*)", line)) and cell_len(found[1]) <= width:
        return found[1] + "\n" + folded(below + found[2], width, 0)
    wrapped = Text(marked(code)).wrap(Console(), max(width - len(below), width // 2))
    return " " * lead + f"\n{below}".join(piece.plain.rstrip().replace(BREAK, "") for piece in wrapped)


def _fits(head: Sequence[Text], rows: Sequence[Sequence[Text]], width: int) -> bool:
    """Returns whether the columns of a table can be wide enough: no word is cut, and prose is not squeezed."""
    columns: list[tuple[Text, ...]] = list(zip(*rows, strict=False))
    readable = READABLE if len(columns) < 4 else READABLE_OF_MANY
    widths = [max(min(readable, max(cell.cell_len for cell in column)), *map(_longest_word, column))
              for column in columns]  # fmt: skip
    heads = [_longest_word(cell) for cell in head] or [0] * len(widths)
    needed: int = sum(max(pair) + BESIDE for pair in zip(widths, heads, strict=True))
    return needed <= width


def _is_wide(text: str) -> bool:
    return cell_len(text[-1:]) == 2


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
    parts: list[Any] = [part for name in head if name.plain for part in (name, "：" if _is_wide(name.plain) else ": ")]
    return Text.assemble(*parts, cell, style=style)
