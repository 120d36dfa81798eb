"""Everything that can go wrong and that the user can mend.

    CharnetError               exit code 1, never raised itself
    ├── ConfigError            2   an option or a setting
    ├── CorpusError            3   the text to learn from or to be judged
    │   └── PromptError        3   the text to continue
    ├── CheckpointError        4   a checkpoint that is damaged, foreign or hostile
    ├── DivergedError          5   a training whose numbers are no longer finite
    └── StorageError           6   the disk: missing folder, no permission, no space

Each message is one line: what was expected, what was found, what to do. Anything that is not a `CharnetError`
is a bug in charnet and keeps its traceback.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = 200


class CharnetError(Exception):
    """Root of all errors that the user can mend; `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigError(CharnetError):
    """An option or a setting is unknown, of the wrong type or out of its range."""

    exit_code = 2


class CorpusError(CharnetError):
    """A text is missing, empty, too short or not in the encoding that was named."""

    exit_code = 3


class PromptError(CorpusError):
    """A prompt holds a character that the model's alphabet lacks."""


class CheckpointError(CharnetError):
    """A checkpoint is not there, not whole, or not one of charnet's."""

    exit_code = 4


class DivergedError(CharnetError):
    """The loss, the gradient or a weight is no longer a finite number."""

    exit_code = 5


class StorageError(CharnetError):
    """The operating system refused to read or write."""

    exit_code = 6


def shortened(name: str, longest: int = 120) -> str:
    """A name that fits in a message; a whole text given where a name was expected does not.

    >>> shortened("x" * 200, 5)
    'xxxxx...'
    """
    return name if len(name) <= longest else name[:longest] + "..."


def quoted(text: str) -> str:
    """A word of the user in a message: short, and on one line."""
    return '"' + shortened(repr(text[:200])[1:-1]) + '"'


def short_repr(value: Any) -> str:
    """A value of any kind in a message: short, and on one line."""
    try:
        return shortened(_SHORT.repr(value))
    except ValueError:
        return "a number of thousands of digits"


def plural(count: int, noun: str) -> str:
    """A number of things.

    >>> plural(1, "step"), plural(2000, "step")
    ('1 step', '2,000 steps')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Returns `` (did you mean "x"?)`` for the nearest known word, or nothing.

    >>> did_you_mean("lsmt", ["rnn", "lstm", "gru"])
    ' (did you mean "lstm"?)'
    >>> did_you_mean("transformer", ["rnn"])
    ''
    """
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""
