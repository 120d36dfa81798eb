"""`charnet eval --show -o page.html`: a text in which the characters that a model did not expect are colored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from charnet.insight import html, surprises

UNKNOWN_LEVEL = 3  # of a character that the model does not know
STYLE = (
    ".text { max-width: 42rem; font-family: inherit; }\n"
    f".s{UNKNOWN_LEVEL} {{ opacity: 0.6; text-decoration: line-through; }}\n"
)


def to_page(title: str, sentences: Iterable[str], levels: Iterable[tuple[str, int]]) -> str:
    """Returns the page.

    Args:
        sentences: what is said above the text.
        levels: the characters of the text, each with its level: 0, 1, 2 or `UNKNOWN_LEVEL`.
    """
    shown = list(levels)
    has_unknown = any(level == UNKNOWN_LEVEL for _, level in shown)
    key = surprises.legend() + f' <span class="s{UNKNOWN_LEVEL}">unknown to the model</span>' * has_unknown
    said = "".join(f"<p>{html.text(sentence)}</p>" for sentence in sentences)
    head = f'<h1>{html.text(title)}</h1>{said}<p class="key">{key}</p>'
    return html.page(title, f'{head}<div class="text">{"".join(_runs(shown))}</div>', style=STYLE + surprises.style())


def _runs(levels: Iterable[tuple[str, int]]) -> Iterable[str]:
    for level, group in itertools.groupby(levels, key=lambda pair: pair[1] if pair[0] not in "\n " else 0):
        yield marked("".join(character for character, _ in group), level)


def marked(text: str, level: int) -> str:
    """Returns a text as markup with the color of its level."""
    shown = html.xml_text(text, keep="\n\t")
    return f'<span class="s{level}">{shown}</span>' if level else shown
