"""Bytes become characters, and invalid ones are counted by the decoder that met them."""

from __future__ import annotations

import codecs
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.data.decoding import ByteDecoder
from charnet.errors import CorpusError

ENCODINGS = ["utf-8", "utf-16-le", "utf-32", "utf-7", "cp1252", "ascii", "gb18030", "shift_jis", "iso2022_jp", "hz"]
MIXED = st.lists(st.sampled_from([b"a", b"\n", b"\xff", b"\xe5", b"\xad\x97", b"\x81", b"\x1b$B", b"~{", b"+", b"\0"]))


def by_the_codec(encoding: str, chunks: list[bytes], replacement: str) -> tuple[str | None, int]:
    """The text with a handler of its own, None if the codec refuses the text; and how often the handler was called."""
    errors: list[UnicodeError] = []

    def handle(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        errors.append(error)
        return replacement, error.end

    codecs.register_error("counted", handle)
    decoder = codecs.getincrementaldecoder(encoding)("counted")
    try:
        return "".join([decoder.decode(chunk, final=not chunk) for chunk in chunks]), len(errors)
    except UnicodeError:
        return None, len(errors)


@pytest.mark.parametrize(("errors", "replacement"), [("replace", "\ufffd"), ("ignore", "")])
@pytest.mark.parametrize("encoding", ENCODINGS)
@given(MIXED.map(b"".join) | st.binary(), st.lists(st.integers(1, 6)))
@settings(max_examples=40, deadline=None)
def test_the_text_and_the_count_are_those_of_the_codec_wherever_chunks_end(
    encoding: str, errors: str, replacement: str, raw: bytes, sizes: list[int]
) -> None:
    raw = b"text" + raw  # no mark, and a first chunk that is long enough for one
    cuts = [0, *(min(4 + at, len(raw)) for at in itertools.accumulate(sizes, initial=0)), len(raw)]
    chunks = [chunk for begin, end in itertools.pairwise(cuts) if (chunk := raw[begin:end])] + [b""]
    expected, count = by_the_codec(encoding, chunks, replacement)
    decoder = ByteDecoder("text", encoding, errors)
    if expected is None:
        with pytest.raises(CorpusError):
            list(decoder.decode(chunks))
    else:
        assert "".join(decoder.decode(chunks)) == expected
        assert decoder.num_errors == count


def test_decoders_that_take_turns_count_their_own_errors() -> None:
    first, second = ByteDecoder("first", "utf-8", "replace"), ByteDecoder("second", "utf-8", "ignore")
    texts = zip(first.decode([b"abcd\xff", b"a\xff\xff", b""]), second.decode([b"abcd\xff", b"a", b""]), strict=True)
    assert list(texts) == [("abcd\ufffd", "abcd"), ("a\ufffd\ufffd", "a")]
    assert (first.num_errors, second.num_errors) == (3, 1)
