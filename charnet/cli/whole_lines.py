"""`charnet sample --lines`, and models of documents: how long a text may be, and where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from charnet.config import SamplingOptions
from charnet.errors import ConfigError

if TYPE_CHECKING:
    from charnet.data.vocab import Vocabulary

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
