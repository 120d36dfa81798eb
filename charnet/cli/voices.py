"""How a session looks: what the user typed and what the model wrote. Lines wrap at words; in a pipe text is exact."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterable, Iterator

from charnet.cli import console, surprise
from charnet.cli.surprise import can_color
from charnet.cli.typed import BOLD, RESET
from charnet.cli.wrap import wrapped
from charnet.data.printable import visible
from charnet.generation.detokenizer import Chunk

WRITTEN = "\x1b[38;5;30m"  # teal, which can be read on black and on white
MARK = "| "  # before each line of the model, without colors
TYPED = 100  # added to the level of a typed character
NARROWEST = 10  # columns of text
SECONDS_BETWEEN_FLUSHES = 0.01  # after Ctrl-C what was gathered still comes


class Screen:
    """Shows turns on stdout.

    Args:
        surprise: color what is written by how unexpected each character was.
    """

    def __init__(self, *, surprise: bool) -> None:
        self.is_terminal, self._is_colored, self._surprise = sys.stdout.isatty(), can_color(), surprise

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Writes a turn of the model while it is written."""
        if not self.is_terminal:
            console.stream_text(chunk.text for chunk in chunks)
            return
        if self._is_colored:
            self._stream(chunks, "", "")
        else:
            self._stream(chunks, MARK, MARK)

    def offer(self, number: int, chunks: Iterable[Chunk]) -> None:
        """Shows one of several continuations, on stderr if stdout is a pipe."""
        if not self.is_terminal:
            console.note(f"{number}: " + "".join(chunk.text for chunk in chunks), keep="\n")
            return
        label = f"{number}: "
        self._stream(chunks, label, " " * len(label))

    def show(self, typed_or_written: Iterable[tuple[bool, Chunk]]) -> None:
        """Shows a whole text by how unexpected its characters are, on stderr if stdout is a pipe.

        Args:
            typed_or_written: pieces of it, and whether the user typed them.
        """
        rated = (Chunk(piece.text, _levels(piece, TYPED * typed)) for typed, piece in typed_or_written)
        if self._is_colored:
            console.stream_text(_drawn(wrapped(rated, self._columns(0)), "", ""), harmless=True)
            console.note(surprise.legend(), keep="\x1b")
            return
        for line in surprise.marked(wrapped(rated, self._columns(0)), _mark):
            console.write(line + "\n") if self.is_terminal else console.note(line)
        say(f'{surprise.marks_legend()}, "_" what you typed')

    def _stream(self, chunks: Iterable[Chunk], first: str, rest: str) -> None:
        """Writes a text with something before its first line and before the others."""
        if self._is_colored and self._surprise:
            rated = (Chunk(chunk.text, _levels(chunk, 0)) for chunk in chunks)
            drawn = _drawn(wrapped(rated, self._columns(len(rest))), first, rest)
        else:
            plain = (Chunk(chunk.text, (0,) * len(chunk.text)) for chunk in chunks)
            style = WRITTEN if self._is_colored else ""
            drawn = _drawn(wrapped(plain, self._columns(len(rest))), first, rest, style)
        console.stream_text(drawn, harmless=True, seconds=SECONDS_BETWEEN_FLUSHES)

    def _columns(self, taken: int) -> int:
        return max(NARROWEST, shutil.get_terminal_size().columns - taken)


def say(message: str) -> None:
    """Writes a line to stderr, on a terminal wrapped at words."""
    columns = shutil.get_terminal_size().columns - 1 if sys.stderr.isatty() else sys.maxsize
    for line in console.folded(message, max(NARROWEST, columns)):
        console.note(line)


def _levels(chunk: Chunk, more: int) -> tuple[float, ...]:
    """Returns the level of each character, in place of its nats."""
    levels = itertools.chain(map(surprise.level, chunk.nats), itertools.repeat(0))
    return tuple(level + more for level in itertools.islice(levels, len(chunk.text)))


def _drawn(chunks: Iterable[Chunk], first: str, rest: str, style: str = "") -> Iterator[str]:
    """Yields text for a terminal: each character in the color of its level, what was typed bold, lines with a mark."""
    prefix, at_start = first, True
    for chunk in chunks:
        drawn = ""
        for (value, ends), group in itertools.groupby(
            zip(chunk.text, chunk.nats, strict=True), key=lambda pair: (pair[1], pair[0] == "\n")
        ):
            text = "".join(character for character, _ in group)
            if at_start:
                drawn, prefix, at_start = drawn + (prefix.rstrip() if ends else prefix), rest, False
            if ends:
                drawn += f"\n{rest.rstrip()}" * (len(text) - 1) + "\n"
                at_start = True
                continue
            code = BOLD * (value >= TYPED) + (style or surprise.CODES[int(value) % TYPED])
            drawn += f"{code}{visible(text, keep=chr(9))}{RESET}" if code else visible(text, keep="\t")
        yield drawn


def _mark(value: float) -> str:
    level = int(value) % TYPED
    return "_" if value >= TYPED and not level else surprise.MARKS[level]
