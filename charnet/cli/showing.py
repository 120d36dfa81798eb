"""`charnet eval --show`: a text colored by how unexpected each of its characters was."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charnet.cli import console
from charnet.errors import ConfigError, quoted

if TYPE_CHECKING:
    from charnet.data.vocab import Vocabulary
    from charnet.evaluation.losses import Evaluation

WIDEST = 100  # columns
UNKNOWN = -1.0  # in place of the surprise of a character that the model does not know
NOT_KNOWN, UNKNOWN_CODE, UNKNOWN_MARK = "unknown to the model", "\x1b[2;9m", "?"


def check(*, show: bool, out: Path | None, others: Sequence[str]) -> None:
    """Raises ConfigError if the options contradict each other.

    Args:
        others: options that were given and that --show goes without.
    """
    if out is not None and not show:
        raise ConfigError(f"--out {quoted(str(out))}: expected --show beside it, for the page with the colored text")
    if show and others:
        raise ConfigError(f"--show and {others[0]}: one model shows one text; leave one of them out")


def characters(
    vocab: Vocabulary, ids: Sequence[int], nats: Sequence[float], places: Sequence[tuple[int, int]] = ()
) -> Iterator[tuple[str, float]]:
    """Yields the characters of a text, each with its surprise: for one of several bytes the sum over its bytes.

    Args:
        places: of the symbols that the model does not know: how many ids are before each, and the symbol. They come
            with the surprise `UNKNOWN`.
    """
    from charnet.data.vocab import IdDecoder

    decoder, held, unknown = IdDecoder(vocab), 0.0, deque(places)
    for at in range(len(ids) + 1):
        while unknown and unknown[0][0] == at:
            held = UNKNOWN
            if text := decoder.push_unknown(unknown.popleft()[1]):
                yield text, UNKNOWN
                held = 0.0
        if at == len(ids):
            return
        held += nats[at] if held >= 0 else 0.0
        if text := decoder.push(ids[at]):
            text = "\n" if vocab.symbols[ids[at]] == vocab.document_end else text
            yield text, held
            held = 0.0


def level(nats: float) -> int:
    """Returns how unexpected a character was, or the level of one that the model does not know."""
    from charnet.insight.surprise_page import UNKNOWN_LEVEL
    from charnet.insight.surprises import level as level_of

    return UNKNOWN_LEVEL if nats < 0 else level_of(nats)


def on_terminal(found: Sequence[tuple[str, float]]) -> None:
    """Writes the text in colors, or with marks where there are none, wrapped at words, after a legend.

    The legend names characters that the model does not know only if there are some.
    """
    from charnet.cli import surprise
    from charnet.cli.wrap import wrapped
    from charnet.generation.detokenizer import Chunk

    chunks = (Chunk(text, (nats,) * len(text)) for text, nats in found)
    lines = wrapped(chunks, min(WIDEST, shutil.get_terminal_size().columns))
    has_unknown = any(nats < 0 for _, nats in found)
    if surprise.can_color():
        more = f", {UNKNOWN_CODE}{NOT_KNOWN}{surprise.RESET}" * has_unknown
        console.write(f"{surprise.legend(colors=True)}{more}\n\n")
        levels = (zip(line.text, map(level, line.nats), strict=True) for line in lines)
        codes = (*surprise.CODES, UNKNOWN_CODE)
        console.stream_text((part for each in levels for part in surprise.painted(each, codes)), harmless=True)
    else:
        more = f', "{UNKNOWN_MARK}" {NOT_KNOWN}' * has_unknown
        console.write(f"{surprise.marks_legend()}{more}\n\n")
        marks = surprise.MARKS + UNKNOWN_MARK
        marked = surprise.marked(lines, lambda nats: marks[level(nats)])
        console.stream_text((f"{line}\n" for line in marked), harmless=True)
    console.write("\n")


def as_page(path: Path, title: str, sentences: Iterable[str], found: Iterable[tuple[str, float]]) -> None:
    """Writes the text as a page."""
    from charnet.cli import output
    from charnet.insight.surprise_page import to_page

    levels = ((one, level(nats)) for text, nats in found for one in text)
    output.save(path, to_page(title, sentences, levels))
    console.note(f"the page is {path}")


def as_json(found: Iterable[tuple[str, float]]) -> dict[str, object]:
    """Returns the text that the model knows, the surprise of each of its characters, and what it does not know.

    Each unknown character comes with the number of known ones before it.
    """
    pairs, unknown = list[tuple[str, float]](), list[tuple[int, str]]()
    for text, nats in found:
        if nats < 0:
            unknown += [(len(pairs), one) for one in text]
        else:
            pairs += [(one, nats) for one in text]
    known = {"text": "".join(one for one, _ in pairs), "nats": [round(nats, 4) for _, nats in pairs]}
    return {**known, "unknown_at": unknown}


def figures(evaluation: Evaluation, symbol: str = "character") -> str:
    """Returns the loss in a sentence, of a model that reads characters, or bytes."""
    nats, bits = evaluation.nats_per_char, evaluation.bits_per_char
    return f"{nats:.4f} nats ({bits:.4f} bits) per {symbol}, over {evaluation.characters:,} {symbol}s."
