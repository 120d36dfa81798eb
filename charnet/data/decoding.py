"""Decodes bytes to characters: encodings, byte order marks, and the exact place of an invalid byte."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from itertools import chain

import numpy as np

from charnet.data.encodings import MARKS, decoded, described, guess, is_same, wide_without_mark, within_ascii
from charnet.errors import ConfigError, CorpusError, plural, quoted

REPLACEMENTS = {"replace": "\N{REPLACEMENT CHARACTER}", "ignore": ""}
LONGEST_MARK = 4  # bytes
SHORTEST_WIDE = 16  # bytes of ASCII in which UTF-16 is recognized
SAMPLE_BYTES = 1 << 14  # of lines that are not ASCII, to guess the encoding from
SURVEYED_BYTES = 1 << 30  # behind an invalid byte, to count the others
MOST_COUNTED = 10_000  # of them
PIECE = 1 << 15  # bytes that are surveyed at once
SURROGATE_PAIR = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")  # as CESU-8 has them
LONGEST_PAIR = 6  # bytes
REPLACE = "put U+FFFD in such places with --encoding-errors replace"
WAS_CUT = (
    "the text ends in the middle of a character, so it was cut: get the whole text, or leave that character out with "
    "--encoding-errors ignore"
)
CUT = re.compile("end of data|truncated|incomplete")  # what codecs say then
WIDE = ("utf-16", "utf-32")
ANY_BYTES = "a model of bytes (charnet train --bytes) takes any file"
ERROR_HANDLER = "charnet"

_active: ContextVar[ByteDecoder] = ContextVar("charnet_byte_decoder")  # the one that decodes now, for the error handler


def _handle_error(error: UnicodeError) -> tuple[str, int]:
    """Replaces or drops invalid bytes, and counts the error. A codec calls it while it decodes."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    decoder = _active.get()
    decoder.num_errors += 1
    decoder.num_wrong_bytes += error.end - error.start
    return REPLACEMENTS[decoder.errors], error.end


codecs.register_error(ERROR_HANDLER, _handle_error)  # codecs know handlers by name alone, and none is ever removed


def check_encoding(encoding: str) -> None:
    """Raises ConfigError unless Python knows the name as an encoding of text."""
    try:
        codec = codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)().decode(b"", final=True)
    except (LookupError, ValueError, UnicodeError, TypeError):
        raise ConfigError(
            f"data.encoding: {quoted(encoding)} is no encoding of text; try utf-8, cp1252 or utf-16"
        ) from None
    if not getattr(codec, "_is_text_encoding", True) or codec.name in ("idna", "punycode"):
        raise ConfigError(f"data.encoding: {quoted(encoding)} does not encode text; try utf-8, cp1252 or utf-16")


class InvalidBytesError(CorpusError):
    """A text is not in its encoding.

    Args:
        place: where, and what was expected and found; advice: what to do; encoding: the one that it seems to be in.
    """

    def __init__(self, place: str, advice: str, line: int, encoding: str) -> None:
        super().__init__(f"{place}; {advice}")
        self.place, self.advice, self.line, self.encoding = place, advice, line, encoding


class ByteDecoder:
    """Decodes one text.

    `num_errors` counts the invalid byte sequences that were replaced or dropped, `num_wrong_bytes` their bytes.
    `encoding` becomes that of the byte order mark if the text starts with one. `is_really` is set at the end: the
    encoding that the text seems to be in if that is another one.

    Args:
        name: the name of the text in messages.
        errors: "strict", "replace" or "ignore".
    """

    def __init__(self, name: str, encoding: str, errors: str = "strict") -> None:
        self.name, self.encoding, self.errors, self.num_errors = name, encoding, errors, 0
        self.num_wrong_bytes, self.is_ascii, self.is_really = 0, True, ""
        self._line, self._column, self._num_characters = 1, 1, 0

    def decode(self, chunks: Iterable[bytes]) -> Iterator[str]:
        """Decodes the chunks of a text, of which only the last is empty. It drops a byte order mark at the start.

        Raises:
            CorpusError: a byte is invalid; the message says where, which, and what to do.
        """
        decoder, num_read, at_start = None, 0, True
        chunks = _with_whole_mark(chunks)
        for raw in chunks:
            if decoder is None:
                decoder, other = self._codec(raw), _OtherEncoding(self.encoding, raw)
            before = decoder.getstate() if self.errors == "strict" else None
            try:
                text = self._decode_chunk(decoder, raw)
            except UnicodeDecodeError as error:
                offset = num_read + len(raw) - len(error.object) + error.start
                assert before is not None
                decoder.setstate(before)
                self._advance(self._without_mark(decoder.decode(raw[: max(0, offset - num_read)]), at_start))
                raise self._invalid_bytes(offset, error, chunks) from None
            except UnicodeError as error:  # utf-16 without a mark raises an error of its own kind
                other_name = wide_without_mark(raw) or ("utf-8" if decoded(raw, "utf-8") else "")
                advice = f"try --encoding {other_name}" if other_name else "name its encoding with --encoding"
                raise CorpusError(f"{self.name}: not {self.encoding}: {error}; {advice}") from None
            num_read += len(raw)
            other.read(raw)
            if text:
                text, at_start = self._without_mark(text, at_start), False
                self._advance(text)
                yield text
        self.is_really = other.name if decoder else ""

    def _decode_chunk(self, decoder: codecs.IncrementalDecoder, raw: bytes) -> str:
        token = _active.set(self)
        try:
            return decoder.decode(raw, final=not raw)
        finally:
            _active.reset(token)

    def _codec(self, start: bytes) -> codecs.IncrementalDecoder:
        """Returns the decoder for a text that begins like this: a mark can mean UTF-16 or UTF-32 in place of UTF-8."""
        if is_same(self.encoding, "utf-8"):
            self.encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), self.encoding)
            if len(start) >= SHORTEST_WIDE and start.isascii() and (wide := wide_without_mark(start)):
                raise CorpusError(f"{self.name}: it looks like {wide} without a mark: try --encoding {wide}")
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
            self.is_ascii = False
        self._column = len(text) - text.rfind("\n") if "\n" in text else self._column + len(text)
        self._num_characters += len(text)

    def _invalid_bytes(self, offset: int, error: UnicodeDecodeError, chunks: Iterator[bytes]) -> InvalidBytesError:
        """Returns the error to raise, with advice that follows from the bytes around it and in the rest of the text."""
        raw, at = bytes(error.object), error.start
        line_start = raw.rfind(b"\n", 0, at) + 1
        is_cut, is_wide = CUT.search(error.reason) is not None, codecs.lookup(self.encoding).name.startswith(WIDE)
        lines, advice, encoding = bytearray(), "", ""
        if not is_wide and (encoding := wide_without_mark(raw, (offset - at) % 2)):
            advice = f"it looks like {encoding} without a mark: try --encoding {encoding}"
        elif not is_wide and b"\0" in raw:
            advice = f"this does not look like text; {ANY_BYTES}"
        elif is_same(self.encoding, "utf-8"):
            rest = _keeping_lines(chain([raw[line_start:]], chunks, [b""] * is_cut), lines)
            in_line = at - line_start - len(raw[line_start:at].decode("utf-8", "ignore"))
            before = offset - self._num_characters - in_line
            advice = self._flaws(rest, raw[at : at + LONGEST_PAIR], before, is_cut=is_cut)
        elif is_cut:
            advice = WAS_CUT
        elif not (is_wide and b"\0" in raw):
            list(_keeping_lines([raw[line_start:]], lines))
        if not advice and (encoding := guess(bytes(lines), self.encoding)):
            advice = f"it looks like {described(encoding)}: try --encoding {encoding}"
        place = (
            f"{self.name}, line {self._line}, column {self._column}, byte offset {offset}: expected {self.encoding}, "
            f"found the bytes {raw[at : error.end].hex(' ')}"
        )
        return InvalidBytesError(place, advice or f"{REPLACE}; {ANY_BYTES}", self._line, encoding)

    def _flaws(self, rest: Iterator[bytes], found: bytes, before: int, *, is_cut: bool) -> str:
        """Describes what is wrong with a text that is UTF-8 for the most part; "" if it is not.

        Args:
            rest: the text from the line of the first invalid byte on.
            found: the first invalid bytes, and some more.
            before: how many bytes the characters before that line take beyond one each, at least.
            is_cut: whether the text ends there.
        """
        survey, codec = ByteDecoder(self.name, "utf-8", "ignore"), codecs.getincrementaldecoder("utf-8")(ERROR_HANDLER)
        num_read = num_decoded = 0
        last = found
        for last in _pieces(rest):
            num_read, num_decoded = num_read + len(last), num_decoded + len(survey._decode_chunk(codec, last))
            if num_read > SURVEYED_BYTES or survey.num_errors > MOST_COUNTED:
                break
        wrong, right = survey.num_errors, before + num_read - survey.num_wrong_bytes - num_decoded
        if SURROGATE_PAIR.match(found):
            convert = "uconv -f CESU-8 -t UTF-8 FILE > NEW"
            return f"this is CESU-8, with halves of characters as Java and Oracle write them; convert it: {convert}"
        if is_cut and (right or len(found) > 1):
            return WAS_CUT
        places = f"{plural(wrong, 'place')}{' or more' if last else ''}"
        return f"this is UTF-8 but for {places}: correct the text, or {REPLACE}" if right >= wrong else ""


class _OtherEncoding:
    """Watches the bytes of a text that decodes: they may be in another encoding than the one that was named.

    Almost any bytes decode in an encoding of one byte a character. Text of such an encoding is hardly ever UTF-8.
    """

    def __init__(self, encoding: str, start: bytes) -> None:
        self._is_unsure = not codecs.lookup(encoding).name.startswith("utf")
        self._mark = next((name for mark, name in MARKS.items() if start.startswith(mark)), "")
        self._within = within_ascii(start[:SAMPLE_BYTES])
        if self._within and is_same(self._within, encoding):
            self._within = ""
        self._decoder, self._is_utf8, self._is_ascii = codecs.getincrementaldecoder("utf-8")(), self._is_unsure, True

    def read(self, raw: bytes) -> None:
        """Takes the next bytes, none at the end."""
        if not self._is_utf8:
            return
        try:
            self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            self._is_utf8 = False
        self._is_ascii = self._is_ascii and raw.isascii()

    @property
    def name(self) -> str:
        """The encoding that the text is in; "" if it may be in the one that was named."""
        if self._within or not self._is_unsure:
            return self._within
        return self._mark or "utf-8" * (self._is_utf8 and not self._is_ascii)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the same bytes in small pieces, of which only the last may be empty."""
    for raw in chunks:
        yield from (raw[begin : begin + PIECE] for begin in range(0, max(1, len(raw)), PIECE))


def _keeping_lines(chunks: Iterable[bytes], lines: bytearray) -> Iterator[bytes]:
    """Yields the same chunks, and keeps some of their whole lines that are not ASCII. The first chunk begins a line."""
    starts_line = True
    for raw in chunks:
        for number, line in enumerate(raw.splitlines(keepends=True)):
            if len(lines) >= SAMPLE_BYTES:
                break
            is_whole = (number or starts_line) and line.endswith(b"\n")
            if not line.isascii() and (is_whole or not lines):
                lines += line[: SAMPLE_BYTES - len(lines)]
        starts_line = raw.endswith(b"\n")
        yield raw


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
