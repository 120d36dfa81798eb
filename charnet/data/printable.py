"""Makes any text harmless to look at: characters that control a terminal or turn a line around become symbols."""

from __future__ import annotations

import re

from charnet.config import of_arguments

_RAW_BYTE = re.compile("[\udc80-\udcff]|(?<!\\\\)\\\\udc([89a-f][0-9a-f])")  # as it is, or in a repr


def shown(message: str, keep: str = "") -> str:
    r"""Returns a message as it may reach a terminal: the one door for all names.

    Bytes of arguments and file names that are not UTF-8, which Python has as surrogates (PEP 383), are named.

    >>> shown("caf\udce9, 'caf\\udce9' and a\x1b[2Jb")
    "caf\\xe9, 'caf\\xe9' and a␛[2Jb"
    """
    named = _RAW_BYTE.sub(lambda found: f"\\x{found[1] or format(ord(found[0]) & 0xFF, '02x')}", message)
    return visible(named, keep)


def in_python(message: str) -> str:
    r"""Returns the message of an error for those who call from Python, who may print it: it names arguments in place of
    flags.

    >>> in_python("--out a\x1b[2Jb: there is no such folder")
    'out a␛[2Jb: there is no such folder'
    """
    return shown(of_arguments(message))


def xml_text(text: str, keep: str = "") -> str:
    """Returns a text for XML or HTML, which have no control characters.

    >>> xml_text("<b>\\x1b")
    '&lt;b&gt;␛'
    """
    return shown(text, keep).translate(_MARKUP)


_MARKUP = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}
# Changes of direction can make a line look different from what it says.
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SYMBOLS = (
    {code: chr(0x2400 + code) for code in range(0x20)}
    | {0x7F: "\u2421"}
    | {code: f"<{code:02X}>" for code in range(0x80, 0xA0)}
    | {code: f"<U+{code:04X}>" for code in [0x2028, 0x2029, *_DIRECTIONS]}
    | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
)


def visible(text: str, keep: str = "") -> str:
    """Replaces control characters and changes of direction by symbols, except those in `keep`.

    >>> visible("a\\x1b[2Jb")
    'a␛[2Jb'
    """
    if text.isprintable():
        return text
    return text.translate({code: symbol for code, symbol in _SYMBOLS.items() if chr(code) not in keep})
