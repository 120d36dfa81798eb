"""The errors that the user can fix.

    CharnetError               exit code 1, never raised directly
    ├── ConfigError            2   an option or a setting
    ├── CorpusError            3   the text to train or to be evaluated on
    │   └── PromptError        3   the text to continue
    ├── CheckpointError        4   a checkpoint that is damaged, invalid or malicious
    │   ├── NewerFormatError   4   a checkpoint in a format of a newer charnet
    │   ├── ReceiptError       4   a receipt that is damaged, or whose text is not written again
    │   └── CompressedFileError 4  a compressed text that is damaged, or of another model
    ├── DivergedError          5   a training whose loss or weights are no longer finite
    ├── StorageError           6   the disk: missing folder, no permission, no space
    ├── ServerError            7   a server that cannot start
    └── GroupError             8   one of several processes that train together is lost
        └── PeerError          8   another one has failed and says why

Each message is one line: the cause and what to do. Any other exception is a bug in charnet and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import reprlib
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any, TypeVar, cast

LIKENESS = 0.7  # of two words, 1 for equal ones; below, a guess is more often wrong than right
SHORTEST_BEGINNING = 3  # letters of a word by which it may be known
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = 200


class CharnetError(Exception):
    """Root of all errors that the user can fix; `exit_code` is the exit code of the command line."""

    exit_code = 1


class ConfigError(CharnetError):
    """An option or a setting is unknown, of the wrong type or out of its range."""

    exit_code = 2


class CorpusError(CharnetError):
    """A text is missing, empty, too short or not in the given encoding."""

    exit_code = 3


class PromptError(CorpusError):
    """A prompt holds a character that the model's alphabet lacks."""


class CheckpointError(CharnetError):
    """A checkpoint is missing, incomplete or not one of charnet's."""

    exit_code = 4


class NewerFormatError(CheckpointError):
    """A checkpoint is not damaged: a newer charnet wrote it."""


class ReceiptError(CheckpointError):
    """A receipt is missing, damaged or not one of charnet's, or its text is another one now."""


class CompressedFileError(CheckpointError):
    """A compressed text is damaged, not one of charnet's, or of another model."""


class DivergedError(CharnetError):
    """The loss, the gradient or a weight is no longer a finite number."""

    exit_code = 5


class StorageError(CharnetError):
    """The operating system refused to read or write."""

    exit_code = 6


class ServerError(CharnetError):
    """A server cannot start: its address is taken, or it would be open to others without a key."""

    exit_code = 7


class GroupError(CharnetError):
    """One of several processes that train together has ended, hangs, or cannot be reached."""

    exit_code = 8


class PeerError(GroupError):
    """Another process has failed: it says why, and this one says nothing."""


def shortened(name: str, longest: int = 120) -> str:
    """Shortens a name for a message: it may be a whole text, passed by mistake.

    >>> shortened("x" * 200, 5)
    'xxxxx...'
    """
    return name if len(name) <= longest else name[:longest] + "..."


def quoted(text: str) -> str:
    """Quotes the user's text in a message: short, and on one line."""
    return '"' + shortened(repr(text[:200])[1:-1]) + '"'


def short_repr(value: Any) -> str:
    """Formats any value for a message: short, and on one line."""
    try:
        return shortened(_SHORT.repr(value))
    except ValueError:
        return "a number with thousands of digits"


def plural(count: int, noun: str) -> str:
    """Formats a number of things.

    >>> plural(1, "step"), plural(2000, "step")
    ('1 step', '2,000 steps')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def symbol_noun(of_bytes: bool) -> str:
    """Returns the name of what a model reads one by one: a character, or a byte of a text that is read as bytes."""
    return "byte" if of_bytes else "character"


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Returns the known word that is like a wrong one, or "": one with the same letters, or with most of them in order,
    or one that begins with them, if others that do begin with that one.

    >>> nearest("lsmt", ["rnn", "lstm", "gru"]), nearest("hiden", ["hidden"]), nearest("gpu", ["cpu", "gru"])
    ('lstm', 'hidden', '')
    >>> nearest("temp", ["temperature_end", "temperature"]), nearest("weight", ["weight_decay", "weight_dropout"])
    ('temperature', '')
    """
    words = list(known)
    wrong = wrong[:120]  # a whole book would be compared for seconds
    letters = sorted(wrong.lower())
    same = [word for word in words if word.lower() == wrong.lower()] or [w for w in words if sorted(w) == letters]
    begun = [word for word in words if len(wrong) >= SHORTEST_BEGINNING and word.lower().startswith(wrong.lower())]
    close = difflib.get_close_matches(wrong, words, n=1, cutoff=LIKENESS)
    begun = sorted(begun, key=len)
    is_sure = bool(begun) and all(word.startswith(begun[0]) for word in begun)
    return (same or close or begun * is_sure or [""])[0]


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Returns `` (did you mean "x"?)`` for the known word that is like a wrong one, or nothing.

    >>> did_you_mean("lsmt", ["rnn", "lstm", "gru"])
    ' (did you mean "lstm"?)'
    >>> did_you_mean("transformer", ["rnn"])
    ''
    """
    near = nearest(wrong, known)
    return f' (did you mean "{near}"?)' if near else ""


@contextlib.contextmanager
def reworded(reword: Callable[[str], str]) -> Iterator[None]:
    """Gives the errors of a block other words."""
    try:
        yield
    except CharnetError as error:
        error.args = (reword(str(error)), *error.args[1:])
        raise


def rewording(reword: Callable[[str], str], function: _Function) -> _Function:
    """Returns a function whose errors, also those while an iterator that it returns is read, have other words."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        with reworded(reword):
            found = function(*args, **options)
        return items(found) if isinstance(found, Iterator) else found

    def items(found: Iterator[Any]) -> Iterator[Any]:
        with reworded(reword):
            yield from found

    return cast(_Function, call)


def rewording_class(reword: Callable[[str], str]) -> Callable[[type[_Class]], type[_Class]]:
    """Decorates a class: its public methods and properties, of every kind, raise errors in other words.

    An object of another class that a method returns keeps its own words.
    """

    def decorate(cls: type[_Class]) -> type[_Class]:
        for name, member in list(vars(cls).items()):
            if name.startswith("_"):
                continue
            if isinstance(member, property):
                get: Any = member.fget and rewording(reword, member.fget)
                put: Any = member.fset and rewording(reword, member.fset)
                setattr(cls, name, property(get, put, member.fdel, member.__doc__))
            elif isinstance(member, staticmethod | classmethod):
                setattr(cls, name, type(member)(rewording(reword, member.__func__)))
            elif isinstance(member, FunctionType):
                setattr(cls, name, rewording(reword, member))
        return cls

    return decorate
