"""What is known of each source that was read, and one message that names all that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from charnet.data.decoding import ANY_BYTES, REPLACE, InvalidBytesError
from charnet.data.encodings import described
from charnet.data.file_kinds import HEAD_BYTES, PACKED, PACKED_TAR, TAR, kind_of, quoted_path
from charnet.data.readers import FileDigest
from charnet.data.segment import LeftOut
from charnet.data.sources import Source
from charnet.errors import CorpusError

MOST_NAMED = 24  # files of one kind of fault
OF_ICONV = {"mac-roman": "macintosh", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be", "cp949": "uhc"}


@dataclass(frozen=True)
class Refusal:
    """Why a source cannot be read: where and what, what to do; for invalid bytes the line, and a better encoding."""

    place: str
    advice: str = ""
    line: int = 0
    encoding: str = ""

    @classmethod
    def of(cls, error: CorpusError) -> Refusal:
        """Returns the same as the error."""
        if isinstance(error, InvalidBytesError):
            return cls(error.place, error.advice, error.line, error.encoding)
        return cls(str(error))


@dataclass
class SourceInfo:
    """The facts about one source that was read: its digest, the number of invalid byte sequences, its encoding.

    `length` counts its symbols, with those of the separator behind it. `is_really` is the encoding that it seems to be
    in, if that is another one. `markup` names the kind of its tags, `markup_advice` what is read and what to do;
    `tables` has the kind of its fields, and their names. `left_out` counts rows and documents that are not in the text,
    by reason, and names the first of each. `gutenberg` has the characters of Project Gutenberg's head and foot,
    `changed` counts the letters that NFKC changed.
    """

    name: str = ""
    digest: FileDigest = field(default_factory=FileDigest)
    num_errors: int = 0
    encoding: str = ""
    length: int = 0
    is_utf8: bool = False
    is_ascii: bool = True
    is_really: str = ""
    markup: str = ""
    markup_advice: str = ""
    refusal: Refusal | None = None
    left_out: LeftOut = field(default_factory=dict)
    gutenberg: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)


def texts_only(chunks: Iterable[bytes], source: Source, info: SourceInfo) -> Iterator[bytes]:
    """Yields the same chunks, and refuses a file that is no text by its first bytes.

    Tags and codes are noted: people learn HTML for its own sake. The commands of RTF hide the text, and no one wants to
    learn them.
    """
    chunks, first, start = iter(chunks), [], b""
    for raw in chunks:
        first.append(raw)
        start += raw
        if len(start) >= HEAD_BYTES or not raw:
            break
    if kind := TAR if source.path.suffix in PACKED_TAR else kind_of(start):
        is_plain_file = not source.is_stream and (kind is TAR or source.path.suffix not in PACKED)
        advice = kind.advice(source.name if is_plain_file else "")
        if not kind.learned:
            raise CorpusError(f"{source.name}: this is {kind.name}; {advice}; {ANY_BYTES}")
        info.markup, info.markup_advice = kind.name, f"{kind.learned}; {advice}"
    yield from first
    yield from chunks


def check(infos: Sequence[SourceInfo], encoding: str) -> None:
    """Checks that all sources were read.

    Args:
        encoding: in which they were read.

    Raises:
        CorpusError: some were not; the message names them all, and what to do.
    """
    refused = [(info.name, info.refusal) for info in infos if info.refusal]
    if not refused:
        return
    by_encoding: dict[str, list[tuple[str, Refusal]]] = {}
    for name, refusal in refused:
        if refusal.line:
            by_encoding.setdefault(refusal.encoding, []).append((name, refusal))
    messages = [refusal.place for _, refusal in refused if not refusal.line]
    if len(messages) > MOST_NAMED:
        messages[MOST_NAMED:] = [f"and {len(messages) - MOST_NAMED:,} more"]
    is_one_encoding = len(by_encoding) == 1 and all(info.refusal or info.is_ascii for info in infos)
    are_read = len(by_encoding) == 1 and not messages
    others = f"the other files are {described(encoding)}" if are_read else "other files do not"
    for guess, files in by_encoding.items():
        place = files[0][1].place if len(files) == 1 else _places(files, len(infos), encoding)
        messages.append(f"{place}; {_advice(files, guess, encoding, others, is_one_encoding=is_one_encoding)}")
    raise CorpusError(" | ".join(messages))


def _places(files: Sequence[tuple[str, Refusal]], total: int, encoding: str) -> str:
    names = [f"{name} (line {refusal.line:,})" for name, refusal in files[:MOST_NAMED]]
    more = f" and {len(files) - MOST_NAMED:,} more" if len(files) > MOST_NAMED else ""
    return f"{len(files):,} of {total:,} files are not {encoding}: {', '.join(names)}{more}"


def _advice(
    files: Sequence[tuple[str, Refusal]], guess: str, encoding: str, others: str, *, is_one_encoding: bool
) -> str:
    """Returns what to do about files that are not in their encoding, but seem to be in another.

    Args:
        others: what the other files are.
        is_one_encoding: whether that one fits all files that are read.
    """
    (name, refusal), is_one = files[0], len(files) == 1
    if is_one and (is_one_encoding or not guess):
        return refusal.advice
    if not guess:
        return f"correct them, or {REPLACE}"
    looks = f"{'it looks' if is_one else 'they look'} like {described(guess)}"
    if is_one_encoding:
        return f"{looks}: try --encoding {guess}"
    old, new = (OF_ICONV.get(codec, codec) for codec in (guess, encoding))
    convert = f"iconv -f {old} -t {new} {quoted_path(name)} > NEW"
    return f"{looks}, and {others}: convert {f'it: {convert}' if is_one else f'each, as in {convert}'}"
