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
    invalid = [(name, refusal) for name, refusal in refused if refusal.line]
    are_others_right = any(not (info.refusal or info.is_ascii) for info in infos)
    messages = [refusal.place for _, refusal in refused if not refusal.line]
    if len(messages) > MOST_NAMED:
        messages[MOST_NAMED:] = [f"and {len(messages) - MOST_NAMED:,} more"]
    if invalid:
        place = invalid[0][1].place if len(invalid) == 1 else _places(invalid, len(infos), encoding)
        messages.append(f"{place}; {_advice(invalid, encoding, are_others_right=are_others_right)}")
    raise CorpusError(" | ".join(messages))


def _places(invalid: Sequence[tuple[str, Refusal]], total: int, encoding: str) -> str:
    names = [f"{name} (line {refusal.line:,})" for name, refusal in invalid[:MOST_NAMED]]
    more = f" and {len(invalid) - MOST_NAMED:,} more" if len(invalid) > MOST_NAMED else ""
    return f"{len(invalid):,} of {total:,} files are not {encoding}: {', '.join(names)}{more}"


def _advice(invalid: Sequence[tuple[str, Refusal]], encoding: str, *, are_others_right: bool) -> str:
    """Returns what to do about files that are not in their encoding.

    Args:
        are_others_right: whether other files are in that encoding, so that no other one fits all of them.
    """
    guesses = {refusal.encoding for _, refusal in invalid}
    guess = next(iter(guesses))
    if len(guesses) == 1 and (not guess or not are_others_right):
        return invalid[0][1].advice if len(invalid) == 1 or guess else f"correct them, or {REPLACE}"
    looks, each = ("it looks", "it") if len(invalid) == 1 else ("they look", "each")
    like = " or ".join(described(guess) for guess in sorted(guesses) if guess)
    name, refusal = next((name, refusal) for name, refusal in invalid if refusal.encoding)
    old, new = (OF_ICONV.get(codec, codec) for codec in (refusal.encoding, encoding))
    while_others = f", the others are {encoding}" if are_others_right else ""
    convert = f"iconv -f {old} -t {new} {shlex.quote(name)} > NEW"
    return f"{looks} like {like}{while_others}: convert {each}, as in {convert}"
