"""Everything that reaches the screen goes through here, but for the live display of a training (`progress`).

stdout is the product: text or JSON. Everything else goes to stderr. In a pipe text is exact; on a terminal characters
that would command it (control characters, changes of direction) are shown as visible symbols.
"""

from __future__ import annotations

import contextlib
import io
import json as json_format
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from charnet.errors import StorageError

SECONDS_BETWEEN_FLUSHES = 0.05


class PipeClosed(Exception):  # noqa: N818 - not an error: `charnet sample | head` is how pipes are used
    """Whoever read our stdout has closed it."""


def prepare() -> None:
    """stdout takes any text byte for byte, stderr shows what it cannot print as escapes; none of the three is missing.

    A standard stream that is closed is filled: else the next file that is opened, a checkpoint for instance, would get
    its number, and whatever writes to the stream would write into it. Writing to a closed stdout is an error still.
    """
    for number, name, mode in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
    if hasattr(sys.stderr, "reconfigure"):
        sys.stderr.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Writes to stdout.

    Raises:
        PipeClosed: the other end of the pipe is closed.
        StorageError: the text could not be written, as on a full disk.
    """
    _guarded(lambda: sys.stdout.write(text))


def flush() -> None:
    """Hands to the system what was written; raises as `write` does."""
    _guarded(lambda: sys.stdout.flush())


def give_up_stdout() -> None:
    """Forgets what stdout did not take, so that Python does not try again, and complain, as the process ends."""
    sys.stdout = io.StringIO()


def end() -> None:
    """Forgets what stderr did not take, as on a terminal that was closed: the exit code tells something else."""
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - open until the end


def _guarded(action: Callable[[], object]) -> None:
    try:
        action()
    except BrokenPipeError:
        give_up_stdout()
        raise PipeClosed from None
    except OSError as error:
        give_up_stdout()
        raise StorageError(f"standard output: cannot be written: {error.strerror}") from None


def write_text(text: str) -> None:
    """Writes a text of a model or a user: exact in a pipe, harmless on a terminal."""
    write(visible(text, keep="\n\t") if sys.stdout.isatty() else text)


def stream_text(pieces: Iterable[str], *, harmless: bool = False) -> None:
    """Writes a text as it comes, and ends its last line on a terminal.

    Args:
        harmless: the pieces are made for a terminal, colours and all: nothing in them is the model's to command it.
    """
    last, held, flushed = "\n", "", time.monotonic()
    show = write if harmless else write_text
    try:
        for piece in pieces:
            held += piece
            if (now := time.monotonic()) - flushed > SECONDS_BETWEEN_FLUSHES:
                show(held)
                flush()
                last, held, flushed = held or last, "", now
    finally:  # what was written when Ctrl-C or an error came is shown too
        show(held)
        last = held or last
    if sys.stdout.isatty() and not last.endswith("\n"):
        write("\n")
    flush()


def write_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    write(as_json(value))
    flush()


def as_json(value: Any) -> str:
    """One JSON value as a line of ASCII that can be printed."""
    return json_format.dumps(value).replace("\x7f", "\\u007f") + "\n"


def error(message: str) -> None:
    """One line on stderr, without control characters."""
    note(f"charnet: {message}")


def note(message: str, keep: str = "") -> None:
    """A line on stderr that is not about an error. A stderr that cannot be written is no reason to stop working."""
    with contextlib.suppress(OSError):
        print(visible(message, keep), file=sys.stderr, flush=True)  # noqa: T201


# Changes of direction can make a line read other than it is.
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SYMBOLS = (
    {code: chr(0x2400 + code) for code in range(0x20)}
    | {0x7F: "\u2421"}
    | {code: f"<{code:02X}>" for code in range(0x80, 0xA0)}
    | {code: f"<U+{code:04X}>" for code in [0x2028, 0x2029, *_DIRECTIONS]}
    | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
)


def visible(text: str, keep: str = "") -> str:
    """The text with control characters and changes of direction as symbols, except those in `keep`.

    >>> visible("a\\x1b[2Jb")
    'a␛[2Jb'
    """
    if text.isprintable():
        return text
    return text.translate({code: symbol for code, symbol in _SYMBOLS.items() if chr(code) not in keep})


def width(character: str) -> int:
    """The cells of a terminal that a character takes at most; what joins others is counted as if it stood alone."""
    wide = unicodedata.east_asian_width(character) in "WF" or unicodedata.category(character) == "So"
    return 2 if wide or "\U0001f1e6" <= character <= "\U0001f1ff" else 1


def folded(text: str, cells: int) -> Iterator[str]:
    """A line as several that fit a width, broken at spaces where there are any.

    >>> list(folded("one two three", 8))
    ['one two ', 'three']
    """
    begin = after_space = used = 0
    for at, character in enumerate(text):
        used += width(character)
        if used > cells:
            cut = after_space if after_space > begin else max(at, begin + 1)
            yield text[begin:cut]
            begin, used = cut, sum(map(width, text[cut : at + 1]))
        if character == " ":
            after_space = at + 1
    yield text[begin:]
