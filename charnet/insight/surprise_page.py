"""`charnet eval --show -o page.html`: a text in which the characters that a model did not expect are colored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from charnet.insight import html

STYLE = """
.text { max-width: 42rem; font-family: inherit; }
mark { color: #000; background: #afd7ff; border-radius: 2px; }
mark.great { background: #ffaf00; font-weight: bold; }
"""
MARKS = ("", "<mark>", '<mark class="great">')


def to_page(title: str, sentences: Iterable[str], names: Sequence[str], levels: Iterable[tuple[str, int]]) -> str:
    """Returns the page.

    Args:
        sentences: what is said above the text.
        names: of the three levels, for the legend.
        levels: the characters of the text, each with its level: 0, 1 or 2.
    """
    legend = " ".join(marked(name, level) for level, name in enumerate(names))
    said = "".join(f"<p>{html.text(sentence)}</p>" for sentence in sentences)
    body = f'<h1>{html.text(title)}</h1>{said}<p>{legend}</p><div class="text">{"".join(_runs(levels))}</div>'
    return html.page(title, body, style=STYLE)


def _runs(levels: Iterable[tuple[str, int]]) -> Iterable[str]:
    for level, group in itertools.groupby(levels, key=lambda pair: pair[1] if pair[0] not in "\n " else 0):
        yield marked("".join(character for character, _ in group), level)


def marked(text: str, level: int) -> str:
    """Returns a text as markup with the color of its level."""
    shown = html.xml_text(text, keep="\n\t")
    return f"{MARKS[level]}{shown}</mark>" if level else shown
