"""`charnet sample --width`: breaks long lines while they are written."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator

from charnet.cli import console
from charnet.generation.detokenizer import Chunk

CLOSING = ("Pe", "Pf", "Po", "Mn", "Mc", "Me")  # categories of what begins no line

Symbol = tuple[str, tuple[float, ...]]  # a character, and its nats if there are any


def wrapped(chunks: Iterable[Chunk], width: int, before: str = "") -> Iterator[Chunk]:
    """Breaks the lines of a text after at most `width` columns: a space becomes a line end. Wide characters, which have
    no spaces between them, may also be parted. A longer word has a line of its own.

    Args:
        before: what stands before the text.

    >>> "".join(chunk.text for chunk in wrapped([Chunk("to be or"), Chunk(" not to be\\nthat")], 8))
    'to be or\\nnot to\\nbe\\nthat'
    """
    wrapper = _Wrapper(width, before)
    for chunk in chunks:
        for at, character in enumerate(chunk.text):
            wrapper.push(character, chunk.nats[at : at + 1])
        yield wrapper.take(chunk)
    yield wrapper.finish()


def terminal_columns() -> int:
    """Returns the columns of the terminal that stdout is, 0 if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def broken(chunks: Iterable[Chunk], columns: int, before: str = "") -> Iterable[Chunk]:
    """Returns the same as `wrapped`, or for 0 columns the text as it is."""
    return wrapped(chunks, columns, before) if columns else chunks


class _Wrapper:
    """Holds back the last word, until it is known whether its line has room for it."""

    def __init__(self, width: int, before: str) -> None:
        self._width, self._column = width, console.cells(before.rpartition("\n")[2])
        self._goes_on = bool(before) and not before[-1].isspace()  # with a word that has begun already
        self._spaces, self._word, self._done = list[Symbol](), list[Symbol](), list[Symbol]()

    def push(self, character: str, nats: tuple[float, ...]) -> None:
        if character in " \n":
            self.end_word()
            self._spaces.append((character, nats))
            if character == "\n":
                self._write(self._spaces, 0)
            return
        may_part = self._word and unicodedata.category(character) not in CLOSING
        if may_part and (2 in map(console.width, (character, self._word[-1][0]))):
            self.end_word()
        self._word.append((character, nats))

    def end_word(self) -> None:
        """Writes the word that was held back, on a new line if this one has no room for it."""
        if not self._word:
            return
        size = console.cells("".join(character for character, _ in self._word))
        column = self._column + len(self._spaces)
        goes_on = self._goes_on and not self._spaces and console.width(self._word[0][0]) == 1
        self._goes_on = False
        if self._column and column + size > self._width and not goes_on:
            nats = self._spaces.pop()[1] if self._spaces else (0.0,) * len(self._word[0][1])
            self._spaces.append(("\n", nats))
            column = 0
        self._write(self._spaces, column)
        self._write(self._word, column + size)

    def _write(self, symbols: list[Symbol], column: int) -> None:
        """Writes symbols; `column` is the one after them."""
        self._done += symbols
        symbols.clear()
        self._column = column

    def finish(self) -> Chunk:
        """Returns the rest of the text."""
        self.end_word()
        self._write(self._spaces, 0)
        return self.take(Chunk(""))

    def take(self, chunk: Chunk) -> Chunk:
        """Returns what was written since the last time, with the facts of a chunk."""
        text, nats = "".join(c for c, _ in self._done), tuple(n for _, each in self._done for n in each)
        self._done.clear()
        return chunk._replace(text=text, nats=nats)
