"""Bytes become characters: encodings, marks at the start of a file, and where exactly a byte is wrong."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from charnet.errors import ConfigError, CorpusError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
TOLERATE = {"replace": REPLACEMENT, "ignore": ""}
LONGEST_MARK = 4  # bytes
GUESSED_FROM = 1 << 14  # bytes around a wrong one
FEWEST_TO_GUESS_FROM = 8  # bytes that are not ASCII
MARKS = {  # the longer first: that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

_tolerated: Counter[str] = Counter()  # wrong places so far, by what was done about them


def _tolerate(how: str, error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    _tolerated[how] += 1
    return TOLERATE[how], error.end


for _how in TOLERATE:
    codecs.register_error(f"charnet-{_how}", partial(_tolerate, _how))


def check_encoding(encoding: str) -> None:
    """Raises ConfigError unless Python knows the name as an encoding of text."""
    try:
        known = codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)().decode(b"", final=True)
    except (LookupError, ValueError, UnicodeError, TypeError):
        raise ConfigError(f'data.encoding: "{encoding}" is no encoding of text; try utf-8, cp1252 or utf-16') from None
    if not getattr(known, "_is_text_encoding", True) or known.name in ("idna", "punycode"):
        raise ConfigError(f'data.encoding: "{encoding}" does not encode text; try utf-8, cp1252 or utf-16')


class ByteDecoder:
    """Decodes one text. `wrong` counts the places that were not in the encoding; a mark may tell another `encoding`.

    Args:
        shown: the name of the text in messages.
        errors: "strict", "replace" or "ignore".
    """

    def __init__(self, shown: str, encoding: str, errors: str = "strict") -> None:
        self.shown, self.encoding, self.errors, self.wrong = shown, encoding, errors, 0
        self._line, self._column = 1, 1

    def texts(self, chunks: Iterable[bytes]) -> Iterator[str]:
        """The characters of the chunks, of which only the last is empty. A byte order mark at the start is dropped.

        Raises:
            CorpusError: a byte is wrong; the message says where, which, and what to do.
        """
        chunks = _with_whole_mark(chunks)
        decoder, fed, at_start = None, 0, True
        for raw in chunks:
            if decoder is None:
                decoder = self._decoder(raw)
            before, tolerated = decoder.getstate() if self.errors == "strict" else None, _tolerated[self.errors]
            try:
                text = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                offset = fed + len(raw) - len(error.object) + error.start
                assert before is not None
                decoder.setstate(before)
                self._advance(self._without_mark(decoder.decode(raw[: max(0, offset - fed)]), at_start))
                raise self._wrong_bytes(offset, error) from None
            except UnicodeError as error:  # utf-16 without a mark at its start says so in its own way
                raise CorpusError(f"{self.shown}: not {self.encoding}: {error}") from None
            fed += len(raw)
            self.wrong += _tolerated[self.errors] - tolerated
            if text:
                text, at_start = self._without_mark(text, at_start), False
                self._advance(text)
                yield text

    def _decoder(self, start: bytes) -> codecs.IncrementalDecoder:
        """The decoder that fits how a text begins: marks tell UTF-16 and UTF-32 where UTF-8 was expected."""
        if codecs.lookup(self.encoding).name == "utf-8":
            self.encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), self.encoding)
        errors = self.errors if self.errors == "strict" else f"charnet-{self.errors}"
        return codecs.getincrementaldecoder(self.encoding)(errors)

    @staticmethod
    def _without_mark(text: str, at_start: bool) -> str:
        return text.removeprefix("\ufeff") if at_start else text

    def _advance(self, text: str) -> None:
        if text.isascii():  # five times as fast as counting in the text
            self._line += int(np.count_nonzero(np.frombuffer(text.encode("ascii"), np.uint8) == 0x0A))
        else:
            self._line += text.count("\n")
        self._column = len(text) - text.rfind("\n") if "\n" in text else self._column + len(text)

    def _wrong_bytes(self, offset: int, error: UnicodeDecodeError) -> CorpusError:
        found = error.object[error.start : error.end].hex(" ")
        return CorpusError(
            f"{self.shown}, line {self._line}, column {self._column}, byte offset {offset}: expected {self.encoding}, "
            f"found the bytes {found}; {advice(bytes(error.object), error.start, self.encoding)}"
        )


def _with_whole_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, the first chunk long enough for any mark."""
    chunks, start = iter(chunks), b""
    for raw in chunks:
        start += raw
        if len(start) >= LONGEST_MARK or not raw:
            break
    if start:
        yield start
    if len(start) >= LONGEST_MARK:
        yield from chunks
    else:
        yield b""


def advice(raw: bytes, at: int, failed: str) -> str:
    """What to do about bytes that are not in an encoding, by what lies around them."""
    sample = raw[max(0, at - GUESSED_FROM) : at + GUESSED_FROM]
    if wide := _wide(sample, at % 2 if at > GUESSED_FROM else 0):
        return f"it looks like {wide} without a mark: try --encoding {wide}"
    if b"\0" in sample:
        return "this does not look like text: training with --bytes takes any file as it is"
    otherwise = "--encoding-errors replace goes over such places, --bytes takes any file as it is"
    for guess in (_guessed(sample), "cp1252"):
        if guess and codecs.lookup(guess).name != codecs.lookup(failed).name and _decodes(sample, guess):
            why = "if it comes from Windows" if guess == "cp1252" else f"it looks like {guess}:"
            return f"{why} try --encoding {guess}; {otherwise}"
    return otherwise


def _wide(sample: bytes, odd: int) -> str:
    """The kind of UTF-16 that a text without a mark seems to be in: every other byte of Latin letters is zero."""
    for encoding, zero in (("utf-16-le", 1), ("utf-16-be", 0)):
        zeros, others = sample[zero ^ odd :: 2].count(0), sample[zero ^ odd ^ 1 :: 2].count(0)
        if zeros > len(sample) // 4 and others < zeros // 8 and _decodes(sample[odd:], encoding):
            return encoding
    return ""


def _guessed(sample: bytes) -> str:
    """The encoding that a guesser finds likely, or nothing."""
    if sum(byte > 0x7F for byte in sample) < FEWEST_TO_GUESS_FROM:
        return ""
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        return ""
    usual = best.encoding.startswith("cp125") and sample.decode("cp1252", "ignore") == str(best)
    return "cp1252" if usual else best.encoding.replace("_", "-")


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)  # its end may be half a character
    except UnicodeError:
        return False
    return True
