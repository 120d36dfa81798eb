"""`charnet sample --lines`, and models of documents: how long a text may be, and where it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from charnet.cli import console
from charnet.config import SamplingOptions
from charnet.errors import ConfigError, plural, symbol_noun

if TYPE_CHECKING:
    from charnet.data.vocab import Vocabulary
    from charnet.generation.detokenizer import Chunk

LONGEST_LINE = 20_000  # characters, with --lines, and of a whole document


def for_lines(
    options: SamplingOptions, lines: int, given: Mapping[str, Any], vocab: Vocabulary, *, is_running: bool
) -> tuple[int, SamplingOptions]:
    """Returns how many texts `--lines` asks for, and the options for each: a model of running text writes the lines as
    one text, a model of lines or documents each by itself.

    Raises:
        ConfigError: the lines of one text are to be compared with others.
    """
    from charnet.generation.constraints import is_constrained

    if is_running:
        if given["unique"]:
            raise ConfigError("--unique and --lines: the model writes one text of so many lines; use --samples")
        length = LONGEST_LINE * lines if given["length"] is None else options.length
        return 1, replace(options, max_lines=lines, length=length)
    ends_itself = vocab.has_documents and is_constrained(options)
    return lines, replace(options, max_lines=0) if ends_itself else options


def for_documents(options: SamplingOptions, lines: int, length: int | None) -> SamplingOptions:
    """The options with which a model of documents writes whole ones: it knows itself where they end."""
    if lines:
        options = replace(options, max_lines=0)
    one_temperature = options.temperature_end is None  # else the temperature changes over the length
    return replace(options, length=LONGEST_LINE) if length is None and one_temperature else options


def watch_length(chunks: Iterable[Chunk], length: int, is_cut: Counter[bool], *, of_bytes: bool) -> Iterator[Chunk]:
    """Yields the chunks of a text, and then counts in `is_cut` whether it has its full length: nothing ended it.

    Args:
        length: in characters, or in bytes for a text `of_bytes`.
    """
    count = 0
    for chunk in chunks:
        count += len(chunk.text.encode("utf-8", "surrogateescape") if of_bytes else chunk.text)
        yield chunk
    is_cut[count >= length] += 1


def note_cut(count: int, length: int, *, of_bytes: bool, until: str = "") -> None:
    """Says how many texts nothing but the longest length has ended.

    Args:
        until: what each text should have ended with: a sentence, a line, a paragraph; empty where the model decides.
    """
    if count:
        symbols = f"{symbol_noun(of_bytes)}s"
        why = f"before the end of a {until}" if until else "where the model had not ended"
        console.note(f"{plural(count, 'text')} cut after {length:,} {symbols}, {why}")
