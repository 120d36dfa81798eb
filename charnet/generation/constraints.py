"""What a whole text has to match: the automata of `--match`, `--template`, `--min-length` and `--max-length`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError
from charnet.generation import template
from charnet.generation.automaton import Automaton
from charnet.generation.regex_compiler import compile_pattern


def is_conditional(options: SamplingOptions) -> bool:
    """Returns whether texts are sampled from the model's own distribution, given that they match."""
    return bool(options.exact or options.template or options.min_length or options.max_length)


def is_constrained(options: SamplingOptions) -> bool:
    """Returns whether a text has to match anything."""
    return bool(options.match) or is_conditional(options)


@dataclass(frozen=True)
class Constraint:
    """What a whole text has to match.

    Attributes:
        automaton: the texts.
        barriers: where texts of different lengths have come equally far: each the fewest symbols that are left then.
    """

    automaton: Automaton
    barriers: tuple[int, ...] = ()


def constraint(
    vocab: Vocabulary, options: SamplingOptions, bias_V: npt.NDArray[np.float64] | None, banned: Sequence[object]
) -> Constraint | None:
    """Returns what a text has to match; None if it may be any.

    Args:
        bias_V: what is added to the logits.
        banned: sequences of symbols that may not be written.

    Raises:
        ConfigError: options contradict each other, an expression is beyond the subset, or no text of this length can
            match.
    """
    if not is_constrained(options):
        return None
    name = _check(options, banned, of_documents=vocab.has_documents)
    never = frozenset() if bias_V is None else frozenset(np.flatnonzero(np.isneginf(bias_V)).tolist())
    end = vocab.start_id() if vocab.has_documents else None
    if options.min_length or options.max_length:
        pieces, end = _of_length(options, vocab, end)
    else:
        pieces = [options.match] if options.match else template.stages(options.template)
    if end in never:
        raise ConfigError(f"{name} and --ban: the end of a line or document is banned, so that no text could end")
    never |= {end} if end is not None and vocab.has_documents else frozenset()
    found = _compiled(tuple(pieces), vocab, never, end, name)
    automaton = found.automaton
    if automaton.shortest > options.length:
        raise ConfigError(
            f"{name}: the shortest text that matches has {automaton.shortest:,} characters; "
            f"-n {options.length:,} is too short"
        )
    return found


@lru_cache(8)
def _compiled(
    pieces: tuple[str, ...], vocab: Vocabulary, never: frozenset[int], end: int | None, name: str
) -> Constraint:
    automaton = compile_pattern("".join(pieces), vocab, never, option=name)
    later = [compile_pattern(piece, vocab, never, option=name).shortest for piece in pieces[:0:-1]]
    barriers = [shortest + (end is not None) for shortest in itertools.accumulate(later)][::-1]
    return Constraint(automaton if end is None else automaton.ended_by(end), tuple(barriers))


def option_name(options: SamplingOptions) -> str:
    """Returns the name of the option that says what a text has to match."""
    given = {"--match": options.match, "--template": options.template, "--min-length": options.min_length}
    return next((name for name, value in given.items() if value), "--max-length")


def _check(options: SamplingOptions, banned: Sequence[object], *, of_documents: bool) -> str:
    """Returns the name of the option that says what matches.

    Raises:
        ConfigError: another option contradicts it.
    """
    limits = {"--min-length": options.min_length, "--max-length": options.max_length}
    given = {"--match": options.match, "--template": options.template, **limits}
    names = [name for name, value in given.items() if value]
    if not names:
        raise ConfigError("--exact: expected --match beside it")
    if len(names) > 1 and names != [*limits]:
        raise ConfigError(f"{names[0]} and {names[1]}: both say what to write; leave one out")
    if options.max_length and options.min_length > options.max_length:
        found = f"found {options.min_length:,} and {options.max_length:,}"
        raise ConfigError(f"--min-length and --max-length: expected a range, {found}")
    if options.min_length > options.length:
        found = f"{options.min_length:,} characters; -n {options.length:,} is too short"
        raise ConfigError(f"--min-length: the shortest text that matches has {found}")
    lines = {} if names[0] in limits and not of_documents else {"--max-lines": options.max_lines}
    ends = {"--stop": options.stop, "--until": options.until, **lines}
    for other, value in {**ends, "--ban": banned}.items():
        if value:
            what = "says where the text ends" if other in ends else "cannot be combined with a ban of sequences"
            pattern = "the pattern" if names[0] == "--match" else "it"
            raise ConfigError(f"{names[0]} and {other}: {pattern} {what}; leave one of them out")
    if is_conditional(options) and options.temperature_end is not None:
        name = "--exact" if names[0] == "--match" else names[0]
        raise ConfigError(
            f"{name}: expected one temperature, found {options.temperature:g}:{options.temperature_end:g}"
        )
    return names[0]


def _of_length(options: SamplingOptions, vocab: Vocabulary, end: int | None) -> tuple[list[str], int | None]:
    """Returns the expressions of documents, or of lines, of some length; and the symbol that ends the text."""
    counted = f"{{{options.min_length},{options.max_length or ''}}}"
    if end is not None:
        return [f"(?s:.){counted}"], end
    if 0x0A not in vocab.symbols:
        raise ConfigError("--min-length and --max-length are for lines and documents, and the model knows no line end")
    if not options.max_lines:
        return [rf"(?:[^\n]{counted}\n|\n)*"], None
    return [rf"[^\n]{counted}\n"] * (options.max_lines - 1) + [rf"[^\n]{counted}"], vocab.symbols.index(0x0A)
