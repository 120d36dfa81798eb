"""Names all sources that cannot be read, in one message."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from charnet.data.decoding import REPLACE
from charnet.data.encode import Refusal, SourceInfo
from charnet.data.encodings import described
from charnet.errors import CorpusError

MOST_NAMED = 24  # files of one kind of fault
OF_ICONV = {"mac-roman": "macintosh", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be", "cp949": "uhc"}


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
    for guess, files in by_encoding.items():
        place = files[0][1].place if len(files) == 1 else _places(files, len(infos), encoding)
        messages.append(f"{place}; {_advice(files, guess, encoding, is_one_encoding=is_one_encoding)}")
    raise CorpusError(" | ".join(messages))


def _places(files: Sequence[tuple[str, Refusal]], total: int, encoding: str) -> str:
    names = [f"{name} (line {refusal.line:,})" for name, refusal in files[:MOST_NAMED]]
    more = f" and {len(files) - MOST_NAMED:,} more" if len(files) > MOST_NAMED else ""
    return f"{len(files):,} of {total:,} files are not {encoding}: {', '.join(names)}{more}"


def _advice(files: Sequence[tuple[str, Refusal]], guess: str, encoding: str, *, is_one_encoding: bool) -> str:
    """Returns what to do about files that are not in their encoding, but seem to be in another.

    Args:
        is_one_encoding: whether that one fits all files that are read.
    """
    (name, refusal), is_one = files[0], len(files) == 1
    if not guess:
        return refusal.advice if is_one else f"correct them, or {REPLACE}"
    looks = f"{'it looks' if is_one else 'they look'} like {described(guess)}"
    if is_one_encoding:
        return f"{looks}: try --encoding {guess}"
    old, new = (OF_ICONV.get(codec, codec) for codec in (guess, encoding))
    convert = f"iconv -f {old} -t {new} {shlex.quote(name)} > NEW"
    return f"{looks}, and other files do not: convert {f'it: {convert}' if is_one else f'each, as in {convert}'}"
