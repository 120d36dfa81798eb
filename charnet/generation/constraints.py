"""What a whole text has to match: the automata of `--match`, `--template`, `--min-length` and `--max-length`."""

from __future__ import annotations

from collections.abc import Sequence

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


def automata(
    vocab: Vocabulary, options: SamplingOptions, bias_V: npt.NDArray[np.float64] | None, banned: Sequence[object]
) -> tuple[Automaton, ...]:
    """Returns the automata that a text has to match one after the other; none if it may be any.

    Args:
        bias_V: what is added to the logits.
        banned: sequences of symbols that may not be written.

    Raises:
        ConfigError: options contradict each other, an expression is beyond the subset, or no text of this length can
            match.
    """
    if not is_constrained(options):
        return ()
    name = _check(options, banned, of_documents=vocab.has_documents)
    never = frozenset() if bias_V is None else frozenset(np.flatnonzero(np.isneginf(bias_V)).tolist())
    end = vocab.start_id() if vocab.has_documents else None
    if options.min_length or options.max_length:
        sources, end = _of_length(options, vocab, end)
    else:
        sources = [options.match] if options.match else template.stages(options.template)
    if end in never:
        raise ConfigError(f"{name} and --ban: the end of a line or document is banned, so that no text could end")
    never |= {end} if end is not None and vocab.has_documents else frozenset()
    found = [compile_pattern(source, vocab, never, option=name) for source in sources]
    if end is not None:
        found[-1] = found[-1].ended_by(end)
    if (shortest := sum(stage.shortest for stage in found)) > options.length:
        raise ConfigError(
            f"{name}: the shortest text that matches has {shortest:,} characters; -n {options.length:,} is too short"
        )
    return tuple(found)


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
