"""Lays out Markdown for a terminal, by rich.

Import it only where a page is shown: rich takes as long to load as the rest of the command line.
"""

from __future__ import annotations

import re

from rich.console import Console
from rich.markdown import Markdown
from rich.theme import Theme

STYLES = {
    "markdown.code": "bold", "markdown.code_block": "cyan", "markdown.link": "underline", "markdown.h1": "bold",
    "markdown.h2": "bold magenta", "markdown.item.bullet": "default",
}  # fmt: skip


def laid_out(text: str, columns: int) -> str:
    """Returns Markdown as a terminal of that width shows it, with its colors."""
    page = Console(width=columns, force_terminal=True, theme=Theme(STYLES), highlight=False)
    plain = re.sub(r"^```\w+$", "```", text, flags=re.MULTILINE)  # the colors of code come with a background
    with page.capture() as capture:
        page.print(Markdown(plain, code_theme="ansi_dark", hyperlinks=False))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
