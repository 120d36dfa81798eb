"""Guesses the encoding of bytes that are not in the one that was named.

Four questions, in this order. Is it UTF-16 without a mark? Do the letters, read in one of the encodings of Latin
script, belong to one language? Are there kana, read in one of Japanese? If not, what does charset-normalizer find?
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator

MIN_WIDE_BYTES = 4
WIDE_SAMPLE = 1 << 12  # bytes
WIDE_SHARE = 0.9  # of the characters that must be usual ones
MIN_WIDE_SHARE = 0.35  # of its bytes that are not printable ASCII, or of its commonest first half
JAPANESE = ("euc-jp", "cp932")
KANA_SHARE = 0.3  # of its characters
FIRST_LINES = 1 << 11  # bytes, to guess from where the whole sample is in no encoding: it may have a flaw too
HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\f\r\x1a\x1b")
LATIN_SHARE = 0.9  # of the letters beyond ASCII that must belong to one language
SOME_LATIN = 0.5  # or this share, where they stand by themselves between other letters
FEW_PAIRS, MANY_PAIRS = 0.3, 0.7  # of them beside another one, as almost all are in other scripts
LATIN = {  # the letters beyond ASCII of the languages that are written in each; the first encoding wins a draw
    "cp1252": (
        *("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "áâãàçéêíóôõúü", "àèéìîòóù", "æøåéèêóòôüäö", "åäöéàü"),
        *("áðéíóúýþæö", "áéëèïíöóüúê", "àçéèíïòóúü", "õäöüšž", "áéíóú"),
    ),
    "cp1250": (*("áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "ąćęłńóśźż", "áéíóöőúüű", "čćđšž", "ăâîșşțţ", "ëç"),),
    "iso8859-2": ("áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "ąćęłńóśźż", "áéíóöőúüű", "čćđšž", "ăâîșşțţ"),
    "cp1254": ("âçğıîöşüûi̇",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž"),
    "cp850": ("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "áâãàçéêíóôõúü", "àèéìîòóù", "æøåéäöü"),
    "mac-roman": ("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "áâãàçéêíóôõúü", "àèéìîòóù", "æøåéäöü"),
}
PUNCTUATION = frozenset("«»„“”‘’‚‹›…–—§°©®€£¿¡ºª·´ß\xa0")
# Letters beyond ASCII, and what stands between two letters: where the true encoding has a letter, others have a sign.
LETTERS = re.compile(r"[^\W\d_\x00-\x7f²³¹ªº¼½¾]|(?<=[^\W\d_])[^\x00-\x7f](?=[^\W\d_])")
MARK_IN_WORD = re.compile(r"[^\W\d_][^\x00-\x7f\w’—–·\xa0][^\W\d_]")
OTHERS = [  # for charset-normalizer, which would find rare relatives of them as likely
    *("gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1251", "koi8_r", "cp866", "iso8859_5", "mac_cyrillic"),
    *("cp1253", "cp1255", "cp1256", "tis_620"),
]
MARKS = {  # the longer ones first: the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
IN_ASCII = {  # encodings whose bytes are ASCII, by what switches to their other characters
    "iso2022_jp": rb"\x1b\$[@B](?:[!-~]{2})+\x1b\([BJ]",
    "iso2022_kr": rb"\x1b\$\)C.*\x0e(?:[!-~]{2})+\x0f",
    "hz": rb"~\{(?:[!-w][!-~])+~\}",
}
COMMON_HANZI = rb"~\{(?:[!-W][!-~])+~\}"  # in HZ; rare ones have letters of lower case, as words in a program have
NAMES = {"gb18030": "GBK or GB18030", "cp932": "Shift-JIS", "cp949": "EUC-KR", "euc_jp": "EUC-JP", "big5": "Big5"}
USUAL = (  # ranges of characters: ASCII, Latin, Greek to Arabic, Indic to Thai, marks, kana and CJK, Hangul, full width
    *((0x09, 0x0D), (0x20, 0x7E), (0xA0, 0x24F), (0x370, 0x6FF), (0x900, 0xE7F), (0x2010, 0x203D)),
    *((0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF)),
)


def guess(sample: bytes, failed: str) -> str:
    """Returns the most likely encoding of a sample, or "".

    Args:
        sample: whole lines with bytes that are not ASCII; the last may be cut.
        failed: the encoding in which the bytes are invalid.
    """
    return _guess(sample, failed) or _guess(sample[:FIRST_LINES], failed)


def _guess(sample: bytes, failed: str) -> str:
    if not sample or sample.isascii():
        return ""
    if not is_same(failed, "utf-8") and decoded(sample, "utf-8"):
        return "utf-8"
    share, latin = max(_latin_shares(sample, failed), key=lambda each: each[0], default=(0.0, ""))
    if share >= LATIN_SHARE or (share > SOME_LATIN and _pairs_share(sample) < FEW_PAIRS):
        return latin
    if japanese := next((name for name in JAPANESE if _kana_share(sample, name) >= KANA_SHARE), ""):
        return japanese
    other = _most_likely(sample, [name for name in OTHERS if not is_same(name, failed) and decoded(sample, name)])
    return other or (latin if share > SOME_LATIN and _pairs_share(sample) < MANY_PAIRS else "")


def _most_likely(sample: bytes, names: list[str]) -> str:
    """Returns the encoding that charset-normalizer finds most likely, or "". It wants whole characters."""
    from charset_normalizer import from_bytes

    end = sample.rfind(b"\n") + 1
    for raw in [sample[:end]] if end else [sample, sample[:-1]]:
        best = from_bytes(raw, cp_isolation=names).best() if names else None
        if best is not None and best.encoding in names:
            return best.encoding.replace("_", "-")
    return ""


def is_same(one: str, other: str) -> bool:
    """Returns whether two names mean the same encoding."""
    return codecs.lookup(one).name == codecs.lookup(other).name


def described(encoding: str) -> str:
    """Returns the name by which people know an encoding."""
    return NAMES.get(encoding.replace("-", "_"), encoding)


def decoded(sample: bytes, encoding: str) -> str:
    """Returns the text of a sample that may end inside a character; "" if it is not in that encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return ""


def _pairs_share(sample: bytes) -> float:
    """Returns how many of the bytes that are not ASCII stand beside another such byte."""
    runs = [len(run) for run in HIGH_BYTES.findall(sample)]
    return sum(length for length in runs if length > 1) / sum(runs)


def _kana_share(sample: bytes, encoding: str) -> float:
    """Returns how much of a sample is kana, as only Japanese has them."""
    text = decoded(sample, encoding)
    return sum("\u3041" <= character <= "\u30ff" for character in text) / max(1, len(text))


def _latin_shares(sample: bytes, failed: str) -> Iterator[tuple[float, str]]:
    """Yields how much of the letters beyond ASCII belongs to one language, for each encoding of Latin script."""
    for encoding, languages in LATIN.items():
        text = "" if is_same(encoding, failed) else decoded(sample, encoding)
        letters = Counter(found for found in LETTERS.findall(text.lower()) if found not in PUNCTUATION)
        if total := letters.total():
            yield max(sum(letters[letter] for letter in language) for language in languages) / total, encoding
        elif text:
            yield (0.5 if MARK_IN_WORD.search(text) else 1.0), encoding  # quotes and dashes only


def within_ascii(sample: bytes) -> str:
    """Returns the encoding of a sample that is ASCII and stands for other characters, or "".

    >>> within_ascii("日本".encode("iso2022_jp")), within_ascii(b"~{nothing}"), within_ascii(b"plain")
    ('iso2022_jp', '', '')
    """
    for encoding, pattern in IN_ASCII.items():
        if re.search(pattern, sample, re.DOTALL) and decoded(sample, encoding):
            return encoding if encoding != "hz" or re.search(COMMON_HANZI, sample) else ""
    return ""


def wide_without_mark(sample: bytes, odd: int = 0) -> str:
    """Returns the kind of UTF-16 or UTF-32 without a mark that a sample seems to be, or "".

    Args:
        odd: 1 if the sample starts at the second byte of a pair.

    >>> wide_without_mark("text".encode("utf-16-le")), wide_without_mark("天气,好".encode("utf-16-be"))
    ('utf-16-le', 'utf-16-be')
    >>> wide_without_mark("text".encode("utf-32-be")), wide_without_mark("text".encode())
    ('utf-32-be', '')
    """
    sample = sample[odd : odd + WIDE_SAMPLE]
    sample = sample[: len(sample) & ~1]
    if len(sample) < MIN_WIDE_BYTES or not any(byte in CONTROLS for byte in sample):
        return ""  # a text in any other encoding has no such byte; each line end and each space of UTF-16 has
    for encoding in ("utf-32-le", "utf-32-be"):
        if _is_usual(decoded(sample, encoding)):
            return encoding
    best = (257, 0, "")  # the fewest distinct high halves, the least of the halves, the encoding
    for encoding, high in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        halves = Counter(high)
        odd_bytes = sum(byte < 0x20 or byte > 0x7F for byte in sample) / len(sample)
        is_wide = max(odd_bytes, max(halves.values()) / len(high)) >= MIN_WIDE_SHARE
        is_wide = is_wide and not (sample.isascii() and min(halves) >= 0x20)  # no script has all halves among those
        if is_wide and _is_usual(decoded(sample, encoding)):
            best = min(best, (len(halves), min(halves), encoding))
    return best[2]


def _is_usual(text: str) -> bool:
    """Returns whether almost all characters of a text are such as texts have."""
    usual = sum(any(low <= ord(character) <= last for low, last in USUAL) for character in text)
    return bool(text) and usual >= WIDE_SHARE * len(text)
