"""Writes to stdout and stderr. Only the live display of a training (`live`) writes to the screen by itself.

stdout is the product: text or JSON. Everything else goes to stderr. In a pipe text is exact. On a terminal characters
that would control it (control characters, changes of direction) are shown as visible symbols.
"""

from __future__ import annotations

import contextlib
import io
import json as json_format
import os
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from charnet.data.printable import shown as shown
from charnet.data.printable import visible as visible
from charnet.errors import StorageError
from charnet.storage.strict_json import finite

SECONDS_BETWEEN_FLUSHES = 0.05
COMMAND = re.compile(r"(.*?; [a-z ]+:) (\S.*\.txt)")  # a text with a command that writes the text, at its end
COLOR = re.compile("\x1b\\[[0-9;]*m")  # takes no cell
NEVER_FIRST = "，。、！？；：）」』》〉】〕”’…—·％‰,.!?;:)]}%"  # in a line
NEVER_LAST = "（「『《〈【〔“‘([{"


class PipeClosed(Exception):  # noqa: N818 - not an error: think of `charnet sample | head`
    """The reader of stdout has closed the pipe."""


def prepare() -> None:
    """Prepares the standard streams: stdout takes any text byte for byte, stderr escapes what it cannot print.

    A standard stream that is closed is opened on the null device. Otherwise the next file that is opened, for instance
    a checkpoint, would get its number, and output for the stream would go into that file. Writing to a closed stdout
    is still an error.
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
    """Passes the buffered output to the operating system. Raises the same errors as `write`."""
    _guarded(lambda: sys.stdout.flush())


def give_up_stdout() -> None:
    """Drops what stdout did not take, so that Python does not try to write it again when the process ends."""
    sys.stdout = io.StringIO()


def end() -> None:
    """Drops what stderr did not take, as on a closed terminal: it must not change the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - stays open until the process ends


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
    """Writes a text of a model or a user: exact in a pipe, with visible symbols on a terminal."""
    write(visible(text, keep="\n\t") if sys.stdout.isatty() else text)


def write_line(line: str) -> None:
    """Writes a line with a name in it: exact in a pipe, on a terminal one line whatever the name is."""
    write((shown(line) if sys.stdout.isatty() else line) + "\n")


def stream_text(chunks: Iterable[str], *, harmless: bool = False, seconds: float = SECONDS_BETWEEN_FLUSHES) -> None:
    """Writes a text chunk by chunk, and ends its last line on a terminal.

    Args:
        harmless: the chunks may be written to a terminal as they are, with their color codes: `visible` was applied.
        seconds: after which what was gathered is shown.
    """
    last, buffered, flushed_at = "\n", "", time.monotonic()
    show = write if harmless else write_text
    try:
        for chunk in chunks:
            buffered += chunk
            if (now := time.monotonic()) - flushed_at > seconds:
                show(buffered)
                flush()
                last, buffered, flushed_at = buffered or last, "", now
    finally:  # after Ctrl-C or an error, too
        show(buffered)
        last = buffered or last
    if sys.stdout.isatty() and not last.endswith("\n"):
        write("\n")
    flush()


def write_json(value: Any) -> None:
    """Writes one JSON value as a line of stdout."""
    write(as_json(value))
    flush()


def as_json(value: Any) -> str:
    """Formats one JSON value as a line of printable ASCII. JSON has no word for NaN and infinity: they become null.

    >>> as_json({"bits": [1.5, float("nan")]})
    '{"bits": [1.5, null]}\\n'
    """
    try:
        text = json_format.dumps(value, allow_nan=False)
    except ValueError:
        text = json_format.dumps(finite(value), allow_nan=False)
    return text.replace("\x7f", "\\u007f") + "\n"


def error(message: str) -> None:
    """Writes an error as one line on stderr, without control characters."""
    note(f"charnet: {message}")


def note(message: str, keep: str = "") -> None:
    """Writes a line to stderr, on a terminal wrapped at words. An error of stderr is ignored: the work continues.

    A line that begins with a space is one to copy, such as a command: it stays whole.
    """
    line = shown(message, keep)
    with contextlib.suppress(OSError, ValueError):  # the latter of a stream without a number
        if line[:1].strip() and "\n" not in line and sys.stderr.isatty():
            prose, command = without_command(line, columns := os.get_terminal_size(sys.stderr.fileno()).columns)
            line = "\n".join([*wrapped(prose, columns, "  ", ""), *([f"  {command}"] if command else [])])
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def without_command(text: str, columns: int) -> tuple[str, str]:
    """Parts a text that does not fit a line from the command at its end, which is to be copied and must stay whole.

    >>> without_command("a.txt is base64: all is read; what it holds: base64 -d a.txt > text.txt", 40)
    ('a.txt is base64: all is read; what it holds:', 'base64 -d a.txt > text.txt')
    """
    found = COMMAND.fullmatch(text) if columns and cells(text) > columns else None
    return (found[1], found[2]) if found else (text, "")


def wrapped(text: str, columns: int, indent: str, first: str) -> Iterator[str]:
    """Wraps a text between its words, never within one.

    Args:
        columns: cells of a line; 0 = any number.
        indent: what each line begins with.
        first: what the first line begins with.

    >>> list(wrapped("one two three", 8, "  ", ""))
    ['one two', '  three']
    >>> len(list(wrapped("\x1b[1mone\x1b[0m two", 7, "  ", "")))
    1
    """
    line, used, is_empty = first, cells(first), True
    for word in text.split(" "):
        size = cells(COLOR.sub("", word))
        if columns and not is_empty and used + 1 + size > columns:
            yield line
            line, used, is_empty = indent, cells(indent), True
        line += word if is_empty else f" {word}"
        used += size + (not is_empty)
        is_empty = False
    yield line


def width(character: str) -> int:
    """Returns the cells of a terminal that a character takes at most. Joiners are counted as if they stood alone."""
    if "\u2580" <= character <= "\u259f" or "\u2800" <= character <= "\u28ff":  # blocks and dots of our curves
        return 1
    wide = unicodedata.east_asian_width(character) in "WF" or unicodedata.category(character) == "So"
    return 2 if wide or "\U0001f1e6" <= character <= "\U0001f1ff" else 1


def cells(text: str) -> int:
    """Returns the cells of a terminal that a text takes; marks that join a letter take none.

    >>> cells("ab\u4e2d"), cells("e\u0301")
    (4, 1)
    """
    return sum(0 if unicodedata.combining(character) else width(character) for character in text)


def folded(text: str, cells: int) -> Iterator[str]:
    """Splits a line into lines that fit a width, after spaces and beside wide characters where possible.

    >>> list(folded("one two three", 8))
    ['one two ', 'three']
    >>> list(folded("他说（好）。", 8)), list(folded("。。。。", 6))
    (['他说', '（好）。'], ['。。。', '。'])
    """
    start = may_end = used = 0
    for index, character in enumerate(text):
        used += width(character)
        may_end = index if index and _may_part(text[index - 1], character) else may_end
        if used > cells:
            end = may_end if may_end > start else max(index, start + 1)
            yield text[start:end]
            start, used = end, sum(map(width, text[end : index + 1]))
    yield text[start:]


def fitted(text: str, columns: int) -> list[str]:
    """Splits a text into lines that fit a width, and leaves a command at its end whole."""
    prose, command = without_command(text, columns)
    return [*(line.rstrip() for line in folded(prose, columns)), *([command] if command else [])]


def _may_part(last: str, first: str) -> bool:
    """Returns whether a line may end with a character and the next one begin with the other."""
    if last == " " or 2 not in (width(last), width(first)):
        return last == " "
    joined = any(unicodedata.category(each)[0] in "MC" for each in (last, first))  # marks and joiners
    return not joined and last not in NEVER_LAST and first not in NEVER_FIRST
