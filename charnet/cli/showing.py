"""`charnet eval --show`: a text colored by how unexpected each of its characters was."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charnet.cli import console
from charnet.errors import ConfigError, quoted

if TYPE_CHECKING:
    from charnet.data.vocab import Vocabulary
    from charnet.evaluation.losses import Evaluation

WIDEST = 100  # columns


def check(*, show: bool, out: Path | None, others: Sequence[str]) -> None:
    """Raises ConfigError if the options contradict each other.

    Args:
        others: options that were given and that --show goes without.
    """
    if out is not None and not show:
        raise ConfigError(f"--out {quoted(str(out))}: expected --show beside it, for the page with the colored text")
    if show and others:
        raise ConfigError(f"--show and {others[0]}: one model shows one text; leave one of them out")


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
    """Writes the text in colors, or with marks where there are none, wrapped at words, after a legend."""
    from charnet.cli import surprise
    from charnet.cli.wrap import wrapped
    from charnet.generation.detokenizer import Chunk

    chunks = (Chunk(text, (nats,) * len(text)) for text, nats in found)
    lines = wrapped(chunks, min(WIDEST, shutil.get_terminal_size().columns))
    if surprise.can_color():
        console.write(f"{surprise.legend(colors=True)}\n\n")
        console.stream_text(surprise.colored(lines), harmless=True)
    else:
        console.write(f"{surprise.marks_legend()}\n\n")
        marked = surprise.marked(lines, lambda nats: surprise.MARKS[surprise.level(nats)])
        console.stream_text((f"{line}\n" for line in marked), harmless=True)
    console.write("\n")


def as_page(path: Path, title: str, sentences: Iterable[str], found: Iterable[tuple[str, float]]) -> None:
    """Writes the text as a page."""
    from charnet.cli import output
    from charnet.insight.surprise_page import to_page
    from charnet.insight.surprises import level

    levels = ((one, level(nats)) for text, nats in found for one in text)
    output.save(path, to_page(title, sentences, levels))
    console.note(f"the page is {path}")


def as_json(found: Iterable[tuple[str, float]]) -> dict[str, object]:
    """Returns the text and the surprise of each of its characters."""
    pairs = [(one, nats) for text, nats in found for one in text]
    return {"text": "".join(one for one, _ in pairs), "nats": [round(nats, 4) for _, nats in pairs]}


def figures(evaluation: Evaluation) -> str:
    """Returns the loss in a sentence."""
    nats, bits = evaluation.nats_per_char, evaluation.bits_per_char
    return f"{nats:.4f} nats ({bits:.4f} bits) per character, over {evaluation.characters:,} characters."
