"""`charnet eval --show`: a text colored by how unexpected each of its characters was, in three levels."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charnet.cli import console
from charnet.errors import ConfigError, quoted

if TYPE_CHECKING:
    from charnet.data.vocab import Vocabulary
    from charnet.evaluation.losses import Evaluation

SURPRISING, GREAT = -math.log(0.1), -math.log(0.01)  # nats: less than one in ten, less than one in a hundred
NAMES = ("expected", "a surprise", "a great surprise")
BANDS = (0, 1, 4)  # of `surprise`: plain, pale, orange
WIDEST = 100  # columns
COLORS_REFUSED = (
    "--show: colors need a terminal that shows them, and NO_COLOR not set; -o page.html writes a page, --json numbers"
)


def check(*, show: bool, out: Path | None, json: bool, others: Sequence[str]) -> None:
    """Raises an error if the options contradict each other, or if nothing could show the colors.

    Args:
        others: options that were given and that --show goes without.
    """
    if out is not None and not show:
        raise ConfigError(f"--out {quoted(str(out))}: expected --show beside it, for the page with the colored text")
    if not show:
        return
    if others:
        raise ConfigError(f"--show and {others[0]}: one model shows one text; leave one of them out")
    from charnet.cli import output, surprise

    if out is not None:
        output.check_free(out)
    elif not json and not surprise.can_color():
        raise ConfigError(COLORS_REFUSED)


def level(nats: float) -> int:
    """Returns how unexpected a character was: 0, 1 or 2.

    >>> [level(-math.log(probability)) for probability in (0.5, 0.1, 0.09, 0.01, 0.009)]
    [0, 0, 1, 1, 2]
    """
    return (nats > SURPRISING + 1e-9) + (nats > GREAT + 1e-9)


def characters(vocab: Vocabulary, ids: Sequence[int], nats: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Yields the characters of a text, each with its surprise: for one of several bytes the sum over its bytes."""
    from charnet.data.vocab import IdDecoder

    decoder, held = IdDecoder(vocab), 0.0
    for index, each in zip(ids, nats, strict=True):
        held += each
        if text := decoder.push(index):
            text = "\n" if vocab.symbols[index] == vocab.document_end else text
            yield text, held
            held = 0.0


def on_terminal(found: Iterable[tuple[str, float]]) -> None:
    """Writes the text in colors, wrapped at words, after a legend."""
    from charnet.cli import surprise
    from charnet.cli.wrap import wrapped
    from charnet.generation.detokenizer import Chunk

    chunks = (Chunk(text, (nats,) * len(text)) for text, nats in found)
    width = min(WIDEST, shutil.get_terminal_size().columns)
    legend = ", ".join("".join(surprise.painted((one, BANDS[at]) for one in name)) for at, name in enumerate(NAMES))
    console.write(f"{legend}\n\n")
    lines = (
        "".join(surprise.painted((one, BANDS[level(n)]) for one, n in zip(chunk.text, chunk.nats, strict=True)))
        for chunk in wrapped(chunks, width)
    )
    console.stream_text(lines, harmless=True)
    console.write("\n")


def as_page(path: Path, title: str, sentences: Iterable[str], found: Iterable[tuple[str, float]]) -> None:
    """Writes the text as a page."""
    from charnet.cli import output
    from charnet.insight.surprise_page import to_page

    levels = ((one, level(nats)) for text, nats in found for one in text)
    output.save(path, to_page(title, sentences, NAMES, levels))
    console.note(f"the page is {path}")


def as_json(found: Iterable[tuple[str, float]]) -> dict[str, object]:
    """Returns the text and the surprise of each of its characters."""
    pairs = [(one, nats) for text, nats in found for one in text]
    return {"text": "".join(one for one, _ in pairs), "nats": [round(nats, 4) for _, nats in pairs]}


def figures(evaluation: Evaluation) -> str:
    """Returns the loss in a sentence."""
    nats, bits = evaluation.nats_per_char, evaluation.bits_per_char
    return f"{nats:.4f} nats ({bits:.4f} bits) per character, over {evaluation.characters:,} characters."
