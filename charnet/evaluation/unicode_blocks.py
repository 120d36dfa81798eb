"""The most common Unicode blocks: in which of them is a character?"""

from __future__ import annotations

from bisect import bisect_right

# The first code point of the most common Unicode blocks; all other ranges are "other".
BLOCKS = (
    (0x0000, "Basic Latin"), (0x0080, "Latin-1 Supplement"), (0x0100, "Latin Extended-A"),
    (0x0180, "Latin Extended-B"), (0x0250, "IPA Extensions"), (0x02B0, "Spacing Modifier Letters"),
    (0x0300, "Combining Diacritical Marks"), (0x0370, "Greek and Coptic"), (0x0400, "Cyrillic"),
    (0x0500, "Cyrillic Supplement"), (0x0530, "Armenian"), (0x0590, "Hebrew"), (0x0600, "Arabic"), (0x0700, "Syriac"),
    (0x0750, "Arabic Supplement"), (0x0780, "Thaana"), (0x07C0, "other"), (0x0900, "Devanagari"), (0x0980, "Bengali"),
    (0x0A00, "Gurmukhi"), (0x0A80, "Gujarati"), (0x0B00, "Oriya"), (0x0B80, "Tamil"), (0x0C00, "Telugu"),
    (0x0C80, "Kannada"), (0x0D00, "Malayalam"), (0x0D80, "Sinhala"), (0x0E00, "Thai"), (0x0E80, "Lao"),
    (0x0F00, "Tibetan"), (0x1000, "Myanmar"), (0x10A0, "Georgian"), (0x1100, "Hangul Jamo"), (0x1200, "Ethiopic"),
    (0x1380, "other"), (0x1780, "Khmer"), (0x1800, "Mongolian"), (0x18B0, "other"),
    (0x1E00, "Latin Extended Additional"), (0x1F00, "Greek Extended"), (0x2000, "General Punctuation"),
    (0x2070, "Superscripts and Subscripts"), (0x20A0, "Currency Symbols"), (0x20D0, "other"),
    (0x2100, "Letterlike Symbols"), (0x2150, "Number Forms"), (0x2190, "Arrows"), (0x2200, "Mathematical Operators"),
    (0x2300, "Miscellaneous Technical"), (0x2400, "other"), (0x2500, "Box Drawing"), (0x2580, "Block Elements"),
    (0x25A0, "Geometric Shapes"), (0x2600, "Miscellaneous Symbols"), (0x2700, "Dingbats"), (0x27C0, "other"),
    (0x3000, "CJK Symbols and Punctuation"), (0x3040, "Hiragana"), (0x30A0, "Katakana"), (0x3100, "other"),
    (0x3400, "CJK Unified Ideographs Extension A"), (0x4DC0, "other"), (0x4E00, "CJK Unified Ideographs"),
    (0xA000, "other"), (0xAC00, "Hangul Syllables"), (0xD7B0, "other"), (0xE000, "Private Use Area"),
    (0xF900, "CJK Compatibility Ideographs"), (0xFB00, "other"), (0xFF00, "Halfwidth and Fullwidth Forms"),
    (0xFFF0, "Specials"), (0x10000, "other"), (0x1D400, "Mathematical Alphanumeric Symbols"), (0x1D800, "other"),
    (0x1F300, "Miscellaneous Symbols and Pictographs"), (0x1F600, "Emoticons"), (0x1F650, "other"),
    (0x20000, "CJK Unified Ideographs Extension B"), (0x2A6E0, "other"),
)  # fmt: skip
BLOCK_STARTS = [start for start, _ in BLOCKS]


def block_of(code: int) -> str:
    """Returns the name of a character's Unicode block.

    >>> block_of(ord("я")), block_of(ord("字"))
    ('Cyrillic', 'CJK Unified Ideographs')
    """
    return BLOCKS[bisect_right(BLOCK_STARTS, code) - 1][1]
