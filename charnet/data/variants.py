"""Other forms of a character: another width, case, accent, quote or dash, simplified or traditional."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

WIDE, ASCII_AND_WIDE, WIDE_SPACE = 0xFEE0, range(0x21, 0x7F), "\u3000"
ALIKE = {"Pi": "\"'«“‘", "Pf": "\"'»”’", "Pd": "-–—", "Zs": " \u00a0"}  # by Unicode category
PLAIN = {'"': "“”«»", "'": "‘’", "-": "–—", "…": "."}


def of_width(character: str) -> str:
    """Returns the same character in the other width, full or half, or "" if there is none.

    >>> of_width("，"), of_width("7"), of_width("é")
    (',', '７', '')
    """
    if character in (" ", WIDE_SPACE):
        return WIDE_SPACE if character == " " else " "
    if ord(character) in ASCII_AND_WIDE:
        return chr(ord(character) + WIDE)
    plain = unicodedata.normalize("NFKC", character)
    return plain if unicodedata.east_asian_width(character) in "FH" and len(plain) == 1 else ""


def variants(character: str) -> Iterator[str]:
    """Yields other forms of a character, the most similar first; some may come twice.

    >>> "".join(dict.fromkeys(variants("É")))
    'éEe'
    """
    yield of_width(character)
    yield character.swapcase()
    base = unicodedata.normalize("NFKD", character)[0]
    if base != character:
        yield base
        yield base.swapcase()
    yield from PLAIN.get(character, "")
    yield from ALIKE.get(unicodedata.category(character), "")
    from charnet.data import hanzi  # imported here: only an error needs it

    yield from hanzi.variants().get(character, "")


def base_letter(character: str) -> str:
    """Returns a letter without its accents and in lower case, or "" for what is no letter.

    >>> base_letter("É"), base_letter("!")
    ('e', '')
    """
    first = unicodedata.normalize("NFKD", character)[0].lower()
    return first if unicodedata.category(first).startswith("L") else ""
