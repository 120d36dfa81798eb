"""Where does a sentence end? Unicode's sentence breaks (UAX #29, by `regex`), and what its rules leave to others.

Those are abbreviations, initials, ordinals and Roman numerals, whose full stop ends no sentence; the spaced guillemet
that closes one; and line ends, which are spaces after an abbreviation.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import regex

MEMORY = 48  # characters before a mark that are remembered, to find an abbreviation
LOOKAHEAD = 32  # symbols after a mark; if all of them are spaces and the like, the sentence has ended

# The kinds of symbols: terminals that may stand within words, before a space and anywhere, then what surrounds them.
KINDS = {
    "a": r"[\p{Sentence_Break=ATerm}…]",
    "w": r"[!?]",
    "t": r"[\p{Sentence_Break=STerm}\u0F0D\u037E]",  # and the Tibetan shad, the Greek question mark
    "q": r"[«»‹›]",
    "b": r"[“‘]",  # begin a quotation, or in German end one
    "p": r"[\p{Sentence_Break=Close}&&\p{Ps}]",
    "c": r"\p{Sentence_Break=Close}",
    "n": r"[\n\p{Sentence_Break=Sep}]",
    "s": r"\s",
    "x": r"[\p{Sentence_Break=Extend}\p{Sentence_Break=Format}]",
    "l": r"\p{Sentence_Break=Lower}",
    "u": r"\p{Sentence_Break=Upper}",
    "o": r"\p{Sentence_Break=OLetter}",
    "d": r"\p{Sentence_Break=Numeric}",
    ",": r"\p{Sentence_Break=SContinue}",
    "e": r"\p{Extended_Pictographic}",
    "-": r"(?s:.)",
}
# After the mark: what closes the sentence, also a guillemet after a space if no word follows; then the next sentence.
AFTER = re.compile(r"(?P<inside>[cqx]*(?:s+q[cqx]*(?=[sn,awt]))?)(?P<gap>s*)(?P<opening>[cqpx]*)(?P<next>.?)")
EMPTY_LINE = re.compile("ns*n")

# Words before a full stop that does not end a sentence, in many languages.
TITLES = """
    mr mrs ms dr prof rev gov capt maj lt sgt cpl st ste mt ft messrs esq al cf viz vs approx dept
    hr fr frl str bzw bspw ca evtl exkl ggf inkl insb sog vgl zzgl bd phil dipl mme mlle mgr av env éd eks
    sr sra srta dra ud uds vd vds dña avda sig dott avv gent exmo exma dhr mevr mw drs bijv evt esim
    np tzn tzw ks płk inż ul św tzv sv např doç yrd bkz örn ул св гр проф акад тов вул ім κα δρ βλ jl tgl yth ts tp
"""
# Those before which a number must not follow.
NUMBERED = """
    no nos nr núm num nº p pp pag pág s vol bd kap cap ch chap fig figs abb tab tbl art abs sec sect par op lib ver
    jan feb mar apr may jun jul aug sep sept oct nov dec jän mär mai okt dez janv févr avr juil déc ene abr ago dic
    tel max min ca стр рис гл том σελ
"""
MONTHS = """
    Januar Jänner Februar Feber März April Mai Juni Juli August September Oktober November Dezember
    Jan Feb Mär Apr Jun Jul Aug Sep Sept Okt Nov Dez
"""  # of languages that write them with a capital, after an ordinal with a full stop
WORDS = frozenset("яèéáőή")  # words of one letter that often end a sentence, unlike initials
NEVER, NOT_BEFORE_NUMBERS, MONTH_NAMES = frozenset(TITLES.split()), frozenset(NUMBERED.split()), MONTHS.split()


class Sentence:
    """Ends a text after its first sentence, with the quotes and brackets that close it.

    Only what follows shows where a sentence ends; that is given back.

    Args:
        cased: whether the text has capital letters. In one that has, no sentence begins with a small letter after a
            full stop.
    """

    gives_back = True

    def __init__(self, *, cased: bool = True) -> None:
        self.held_back, self._cased = 0, cased
        self._before, self._kind_before = "", ""  # the text up to the mark, and the kind of the symbol before the mark
        self._mark, self._role = "", ""  # the kind of the mark, and what else than an end a full stop may be
        self._after, self._kinds = list[str](), ""  # the symbols after the mark

    def push(self, symbol: str) -> bool:
        kind = _kind(symbol[0])
        if kind == "b":
            kind = "p" if self._mark == "t" or self._kind_before == "o" else "c"
        if symbol == ";" and _patterns().after_greek.search(self._before):
            kind = "w"
        if not self._mark:
            self._read(symbol, kind)
            return False
        self._after.append(symbol)
        self._kinds += kind
        inside, ends = self._verdict()
        self.held_back = 0 if ends is False else len("".join(self._after[inside:]))
        if ends is False:
            self._mark, self._before = "", self._before + "".join(self._after[:-1])
            self._kind_before = self._kinds[-2:-1] or self._kind_before
            self._read(symbol, kind)
        return ends is True

    def _read(self, symbol: str, kind: str) -> None:
        """Reads a symbol that does not come after a mark."""
        self._before = (self._before + symbol)[-MEMORY:]
        if kind in "awt":
            self._mark, self._after, self._kinds = kind, [], ""
            self._role = _role(self._before) if symbol == "." else ""
        else:
            self._kind_before = kind

    def _verdict(self) -> tuple[int, bool | None]:
        """Returns how many symbols after the mark belong to the sentence, and whether it ends; None: not known yet."""
        abbreviation = self._role == "abbreviation"
        found = AFTER.match(self._kinds.replace("n", "s") if abbreviation else self._kinds)
        assert found
        inside, gap, opening, following = found.end("inside"), *found.group("gap", "opening", "next")
        if not following and (gap or not opening):
            return inside, True if len(self._kinds) >= LOOKAHEAD else None
        if abbreviation:
            return inside, bool(EMPTY_LINE.search(self._kinds))
        if not gap:
            return inside, self._ends_before((opening + following)[0])
        if not opening and following in "awt,":  # more of the same sentence
            return inside, False
        if self._mark != "a" or following == "n":
            return inside, True
        if self._role == "ordinal" and following == "u":
            return inside, self._before_month(found.start("next"))
        continues = (self._cased and following == "l") or (bool(self._role) and following == "d")
        return inside, not continues

    def _ends_before(self, following: str) -> bool:
        """Returns whether the sentence ends if this kind follows at once, without a space."""
        if following in "awt,":
            return False
        if following in "ne" or self._mark == "t":
            return True
        if self._mark == "w":
            return "o" in (following, self._kind_before)
        return self._kind_before == "o" and following in "op"

    def _before_month(self, first: int) -> bool | None:
        """Returns whether the word that begins at this symbol is not the name of a month; None: not known yet."""
        if self._kinds[-1] in "lux":
            word = "".join(self._after[first:])
            return None if any(name.startswith(word) for name in MONTH_NAMES) else True
        return "".join(self._after[first:-1]) not in MONTH_NAMES


class _Patterns(NamedTuple):
    kind: regex.Pattern[str]
    word: regex.Pattern[str]  # before a full stop, with the full stops in it
    initial: regex.Pattern[str]
    abbreviation: regex.Pattern[str]  # of several parts, as in e.g.
    item: regex.Pattern[str]  # the number of an item or a heading, alone in its line
    roman: regex.Pattern[str]
    pronoun: regex.Pattern[str]  # the English I, unlike an initial or a number
    after_greek: regex.Pattern[str]


@cache
def _patterns() -> _Patterns:
    import regex

    kinds = "|".join(f"(?P<k{number}>{pattern})" for number, pattern in enumerate(KINDS.values()))
    return _Patterns(
        regex.compile(kinds, regex.V1),
        regex.compile(r"[\p{L}\p{M}\p{N}.'’]+(?=\.$)"),
        regex.compile(r"(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}])\p{L}\p{M}*"),
        regex.compile(r"\p{L}[\p{L}\p{M}]{0,2}(?:\.\p{L}[\p{L}\p{M}]{0,2})+"),
        regex.compile(r"(?:^|\n)\s*[\p{Ps}]?[\p{N}.]+$"),
        regex.compile(r"(?=..)(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})"),
        regex.compile(r"\p{Ll}\s+I\.$"),
        regex.compile(r"\p{Greek}\s*$"),
    )


@cache
def _kind(character: str) -> str:
    found = _patterns().kind.match(character)
    assert found
    assert found.lastgroup
    return list(KINDS)[int(found.lastgroup[1:])]


def _role(text: str) -> str:
    """Returns what the full stop at the end of a text may be other than the end of a sentence.

    >>> [_role(text) for text in ("Mr.", "J.", "e.g.", "Louis XIV.", "the 3.", "page No.", "so do I.", "Then he left.")]
    ['abbreviation', 'abbreviation', 'abbreviation', 'abbreviation', 'ordinal', 'number', '', '']
    """
    p = _patterns()
    found = p.word.search(text)
    word = found.group().lstrip("'’") if found else ""
    if p.pronoun.search(text) or word in WORDS:
        return ""
    patterns = (p.initial, p.abbreviation, p.roman)
    if word.casefold() in NEVER or any(pattern.fullmatch(word) for pattern in patterns) or p.item.search(text):
        return "abbreviation"
    if word.isdecimal() and len(word) < 3:
        return "ordinal"
    return "number" if word.casefold() in NOT_BEFORE_NUMBERS else ""
