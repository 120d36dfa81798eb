"""`charnet eval --show -o page.html`: a text in which the characters that a model did not expect are colored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from charnet.insight import html, surprises

STYLE = ".text { max-width: 42rem; font-family: inherit; }\n"


def to_page(title: str, sentences: Iterable[str], levels: Iterable[tuple[str, int]]) -> str:
    """Returns the page.

    Args:
        sentences: what is said above the text.
        levels: the characters of the text, each with its level: 0, 1 or 2.
    """
    said = "".join(f"<p>{html.text(sentence)}</p>" for sentence in sentences)
    head = f'<h1>{html.text(title)}</h1>{said}<p class="key">{surprises.legend()}</p>'
    return html.page(title, f'{head}<div class="text">{"".join(_runs(levels))}</div>', style=STYLE + surprises.style())


def _runs(levels: Iterable[tuple[str, int]]) -> Iterable[str]:
    for level, group in itertools.groupby(levels, key=lambda pair: pair[1] if pair[0] not in "\n " else 0):
        yield marked("".join(character for character, _ in group), level)


def marked(text: str, level: int) -> str:
    """Returns a text as markup with the color of its level."""
    shown = html.xml_text(text, keep="\n\t")
    return f'<span class="s{level}">{shown}</span>' if level else shown
