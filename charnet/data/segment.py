"""Cuts a text into documents and puts one symbol behind each: a line end, or the record separator U+001E.

A line end is the end of a document where every line is one. Documents of several lines end with U+001E, which takes the
place of what separated them. A U+001E in the text itself separates documents too: that is what the character is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from charnet.config import DOCUMENT_END, DataSettings
from charnet.data import prompts
from charnet.data.normalize import normalize, normalize_stream
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, CorpusError, quoted
from charnet.signals import time_limit

LONGEST_DOCUMENT = 1 << 26  # characters: it is held in memory
LONGEST_SEPARATOR = 1 << 16  # characters, with those around it that a pattern looks at
PATTERN_SECONDS = 30.0  # for a piece of about a million characters; some patterns take ages
SEPARATORS = {"blank-line": r"\n(?:[^\S\n]*\n)+", "file": r"(?!)"}

LeftOut = dict[str, tuple[int, str]]  # of each reason, in the plural: how many were left out, and where the first was


def leave_out(left_out: LeftOut, why: str, where: str, count: int = 1) -> None:
    """Counts something that is not in the text."""
    before, first = left_out.get(why, (0, where))
    left_out[why] = before + count, first


def segment(texts: Iterable[str], data: DataSettings, left_out: LeftOut, name: str = "the text") -> Iterator[str]:
    """Normalizes a text that comes in pieces, and cuts it into documents as the settings say.

    The result does not depend on where the pieces begin. Blank lines around a document are dropped, and so are
    documents without a character that is visible.

    Args:
        texts: a text of bytes has one character, U+0000 to U+00FF, for each byte.
        left_out: gets the number of documents that are left out.
        name: the name of the text in messages.

    Raises:
        ConfigError: the separator is not a regular expression.
        CorpusError: a document is too long, or the search for its end takes too much time.
    """
    texts = normalize_stream(texts, data)
    if data.document_end == "\n":
        return _lines(texts)
    if data.document_end:
        return _records(_cut(texts, separator(data), name) if data.documents else texts, left_out)
    return iter(texts)


def as_training_text(text: str, vocab: Vocabulary, data: DataSettings, name: str = "text") -> str:
    """Returns a text that a caller has given in the form in which the training text was read.

    Raises:
        PromptError: it is no text; `name` is that of the argument.
    """
    pieces = segment([prompts.checked(text, name)], replace(data, bytes=False), {})  # the text is no bytes
    return prompts.compose("".join(pieces), vocab)[0]


def separator(data: DataSettings) -> re.Pattern[str]:
    """Returns the pattern that separates documents; `^` and `$` in it stand for the start and the end of a line.

    Raises:
        ConfigError: it is not a regular expression.
    """
    given = data.documents
    if data.bytes:
        given = given.encode("utf-8", "surrogateescape").decode("latin-1")
    if is_pattern(given):
        if not given.endswith("/"):
            advice = "^ and $ stand for those of lines, (?i) at its start ignores case, (?s) lets . match a line end"
            raise ConfigError(f"--documents: no letters stand behind /REGEX/, found {quoted(given)}; {advice}")
        try:
            return re.compile(given[1:-1], re.MULTILINE)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"--documents: {quoted(given)} is not a regular expression: {error}") from None
    return re.compile(SEPARATORS.get(given) or re.escape(normalize(given, data)))


def is_pattern(separator: str) -> bool:
    """Returns whether a separator of documents is a regular expression between slashes, or is meant to be one: other
    programs take flags behind it.

    >>> is_pattern("/^(?=X:)/"), is_pattern("/^x$/gm"), is_pattern("/path/to"), is_pattern("%%")
    (True, True, False, False)
    """
    return re.fullmatch("/.+/[gimsux]*", separator, re.DOTALL) is not None


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yields a text whose lines are documents: each ends with one line end, also the last; empty ones are dropped."""
    last = "\n"
    for piece in pieces:
        text = re.sub("\n+", "\n", piece)
        text = text.removeprefix("\n") if last == "\n" else text
        if text:
            last = text[-1]
            yield text
    if last != "\n":
        yield "\n"


def _cut(pieces: Iterable[str], pattern: re.Pattern[str], name: str) -> Iterator[str]:
    """Yields a text with `DOCUMENT_END` in place of each match.

    A match near the end of what was read may be longer, or none, with the text that follows. So the last
    `LONGEST_SEPARATOR` characters are searched again then, together with those before them that a pattern looks at.
    """
    text, begin, scan = "", 0, 0  # begin: of the document that is read now; scan: from where matches are looked for
    for piece in pieces:
        text += piece
        sure = len(text) - LONGEST_SEPARATOR
        if sure <= scan:
            continue
        parts, begin, scan = _split(text, begin, scan, sure, pattern, name)
        yield from parts
        if len(text) - begin > LONGEST_DOCUMENT:
            raise CorpusError(
                f"{name}: a document has more than {LONGEST_DOCUMENT:,} characters: "
                "does --documents name what separates them?"
            )
        keep = max(0, min(begin, scan - LONGEST_SEPARATOR))
        text, begin, scan = text[keep:], begin - keep, scan - keep
    parts, begin, _ = _split(text, begin, scan, len(text), pattern, name)
    yield from parts
    yield text[begin:]


def _split(
    text: str, begin: int, scan: int, sure: int, pattern: re.Pattern[str], name: str
) -> tuple[list[str], int, int]:
    """Cuts a text at each match that ends before `sure`.

    Returns:
        The parts, each with its end, where the part after them begins, and from where to look for the next match.
    """
    parts = list[str]()
    try:
        with time_limit(PATTERN_SECONDS):
            for match in pattern.finditer(text, scan):
                if match.end() > sure:
                    return parts, begin, match.start()
                if match.end() > begin:  # the empty match at the start of a document is the one that began it
                    parts.append(text[begin : match.start()] + DOCUMENT_END)
                    begin = match.end()
    except TimeoutError:
        raise CorpusError(
            f"{name}: the search for {quoted(pattern.pattern)} takes more than {PATTERN_SECONDS:g} seconds for "
            f"{len(text) - scan:,} characters: give --documents a pattern without repeats inside repeats"
        ) from None
    return parts, begin, max(begin, sure)


def _records(texts: Iterable[str], left_out: LeftOut) -> Iterator[str]:
    """Yields documents without the blank lines around them, each with its end; leaves out those that are blank."""
    rest, at_start = "", True
    for text in texts:
        *whole, rest = (rest + text).split(DOCUMENT_END)
        documents = [_without_blank_lines(document) for document in whole]
        if blank := documents.count("") - (at_start and documents[:1] == [""]):
            leave_out(left_out, "empty documents", "", blank)
        at_start = at_start and not whole
        yield "".join(document + DOCUMENT_END for document in documents if document)
    if last := _without_blank_lines(rest):
        yield last + DOCUMENT_END


def _without_blank_lines(text: str) -> str:
    """Drops lines at the start and the end that hold only spaces.

    >>> _without_blank_lines(" \\n  two spaces before \\n\\n")
    '  two spaces before '
    """
    visible = text.strip()
    if not visible:
        return ""
    first = len(text) - len(text.lstrip())
    last = text.find("\n", first + len(visible))
    return text[text.rfind("\n", 0, first) + 1 : None if last < 0 else last]
