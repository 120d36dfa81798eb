"""Decodes bytes to characters: encodings, byte order marks, and the exact place of an invalid byte."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

import numpy as np

from charnet.errors import ConfigError, CorpusError

REPLACEMENTS = {"replace": "\N{REPLACEMENT CHARACTER}", "ignore": ""}
LONGEST_MARK = 4  # bytes
GUESS_AROUND = 1 << 14  # bytes before and after an invalid one, to guess the encoding from
MIN_GUESS_BYTES = 8  # that are not ASCII
MARKS = {  # the longer ones first: the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
ERROR_HANDLER = "charnet"

_active: ContextVar[ByteDecoder] = ContextVar("charnet_byte_decoder")  # the one that decodes now, for the error handler


def _handle_error(error: UnicodeError) -> tuple[str, int]:
    """Replaces or drops invalid bytes, and counts the error. A codec calls it while it decodes."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    decoder = _active.get()
    decoder.num_errors += 1
    return REPLACEMENTS[decoder.errors], error.end


codecs.register_error(ERROR_HANDLER, _handle_error)  # codecs know handlers by name alone, and none is ever removed


def check_encoding(encoding: str) -> None:
    """Raises ConfigError unless Python knows the name as an encoding of text."""
    try:
        codec = codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)().decode(b"", final=True)
    except (LookupError, ValueError, UnicodeError, TypeError):
        raise ConfigError(f'data.encoding: "{encoding}" is no encoding of text; try utf-8, cp1252 or utf-16') from None
    if not getattr(codec, "_is_text_encoding", True) or codec.name in ("idna", "punycode"):
        raise ConfigError(f'data.encoding: "{encoding}" does not encode text; try utf-8, cp1252 or utf-16')


class ByteDecoder:
    """Decodes one text.

    `num_errors` counts the invalid byte sequences that were replaced or dropped. `encoding` becomes that of the byte
    order mark if the text starts with one.

    Args:
        name: the name of the text in messages.
        errors: "strict", "replace" or "ignore".
    """

    def __init__(self, name: str, encoding: str, errors: str = "strict") -> None:
        self.name, self.encoding, self.errors, self.num_errors = name, encoding, errors, 0
        self._line, self._column = 1, 1

    def decode(self, chunks: Iterable[bytes]) -> Iterator[str]:
        """Decodes the chunks of a text, of which only the last is empty. It drops a byte order mark at the start.

        Raises:
            CorpusError: a byte is invalid; the message says where, which, and what to do.
        """
        decoder, num_read, at_start = None, 0, True
        for raw in _with_whole_mark(chunks):
            if decoder is None:
                decoder = self._codec(raw)
            before = decoder.getstate() if self.errors == "strict" else None
            try:
                text = self._decode_chunk(decoder, raw)
            except UnicodeDecodeError as error:
                offset = num_read + len(raw) - len(error.object) + error.start
                assert before is not None
                decoder.setstate(before)
                self._advance(self._without_mark(decoder.decode(raw[: max(0, offset - num_read)]), at_start))
                raise self._invalid_bytes(offset, error) from None
            except UnicodeError as error:  # utf-16 without a mark raises an error of its own kind
                raise CorpusError(
                    f"{self.name}: not {self.encoding}: {error}; name its encoding with --encoding"
                ) from None
            num_read += len(raw)
            if text:
                text, at_start = self._without_mark(text, at_start), False
                self._advance(text)
                yield text

    def _decode_chunk(self, decoder: codecs.IncrementalDecoder, raw: bytes) -> str:
        token = _active.set(self)
        try:
            return decoder.decode(raw, final=not raw)
        finally:
            _active.reset(token)

    def _codec(self, start: bytes) -> codecs.IncrementalDecoder:
        """Returns the decoder for a text that begins like this: a mark can mean UTF-16 or UTF-32 in place of UTF-8."""
        if codecs.lookup(self.encoding).name == "utf-8":
            self.encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), self.encoding)
        return codecs.getincrementaldecoder(self.encoding)("strict" if self.errors == "strict" else ERROR_HANDLER)

    @staticmethod
    def _without_mark(text: str, at_start: bool) -> str:
        return text.removeprefix("\ufeff") if at_start else text

    def _advance(self, text: str) -> None:
        """Moves the line and the column behind a text."""
        if text.isascii():  # five times as fast as to count in the string
            self._line += int(np.count_nonzero(np.frombuffer(text.encode("ascii"), np.uint8) == 0x0A))
        else:
            self._line += text.count("\n")
        self._column = len(text) - text.rfind("\n") if "\n" in text else self._column + len(text)

    def _invalid_bytes(self, offset: int, error: UnicodeDecodeError) -> CorpusError:
        found = error.object[error.start : error.end].hex(" ")
        return CorpusError(
            f"{self.name}, line {self._line}, column {self._column}, byte offset {offset}: expected {self.encoding}, "
            f"found the bytes {found}; {advice(bytes(error.object), error.start, self.encoding)}"
        )


def _with_whole_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the same bytes with a first chunk that is long enough for any mark."""
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
    """Says what to do about bytes that are invalid in an encoding, by the bytes around them.

    Args:
        at: the index of the first invalid byte.
        failed: the encoding in which it is invalid.
    """
    sample = raw[max(0, at - GUESS_AROUND) : at + GUESS_AROUND]
    if wide := _guess_utf16(sample, at % 2 if at > GUESS_AROUND else 0):
        return f"it looks like {wide} without a mark: try --encoding {wide}"
    if b"\0" in sample:
        return "this does not look like text: --bytes trains on any file"
    otherwise = "--encoding-errors replace puts U+FFFD in such places, --bytes trains on any file"
    for guess in (_guess_encoding(sample), "cp1252"):
        if guess and codecs.lookup(guess).name != codecs.lookup(failed).name and _is_decodable(sample, guess):
            why = "if it comes from Windows" if guess == "cp1252" else f"it looks like {guess}:"
            return f"{why} try --encoding {guess}; {otherwise}"
    return otherwise


def _guess_utf16(sample: bytes, odd: int) -> str:
    """Returns the kind of UTF-16 without a mark that a sample seems to be, or "".

    Every second byte of Latin letters is zero there. `odd` is 1 if the sample starts at the second byte of a pair.
    """
    for encoding, zero in (("utf-16-le", 1), ("utf-16-be", 0)):
        zeros, others = sample[zero ^ odd :: 2].count(0), sample[zero ^ odd ^ 1 :: 2].count(0)
        if zeros > len(sample) // 4 and others < zeros // 8 and _is_decodable(sample[odd:], encoding):
            return encoding
    return ""


def _guess_encoding(sample: bytes) -> str:
    """Returns the encoding that charset_normalizer finds most likely, or ""."""
    if sum(byte > 0x7F for byte in sample) < MIN_GUESS_BYTES:
        return ""
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        return ""
    is_cp1252 = best.encoding.startswith("cp125") and sample.decode("cp1252", "ignore") == str(best)
    return "cp1252" if is_cp1252 else best.encoding.replace("_", "-")


def _is_decodable(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)  # the sample may end inside a character
    except UnicodeError:
        return False
    return True
