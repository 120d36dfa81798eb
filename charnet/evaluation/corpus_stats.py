"""Statistics of a text before training on it: characters, lines, entropies, repeated lines, unprintable characters.

Characters are counted in the whole text. Of a very long text, lines and entropies are measured in its beginning only.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.data.corpus import Corpus
from charnet.data.documents import Documents
from charnet.data.encoded_copy import Ids
from charnet.data.vocab import Vocabulary
from charnet.errors import plural
from charnet.evaluation.baselines import ngram_bits

LINES_OF, ENTROPY_OF = 20_000_000, 1_200_000  # characters at the start that are analyzed
HELD_OUT = 0.1  # share of ENTROPY_OF that the n-gram models are evaluated on
LONGEST_CONTEXT = 5
BLOCK = 1 << 20
RAREST, LONGEST_SHOWN = 5, 60
SHORT, VERY_SHORT = 500_000, 50_000  # characters
MUCH_REPEATED, LONG_ENOUGH_TO_COUNT = 0.05, 20  # share of the text; characters in a line
PARTS, PARTS_FROM = "bytes of other characters", 0x80  # in a corpus of bytes
FEW = 10  # occurrences: too few to learn a character

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


@dataclass(frozen=True)
class CorpusStats:
    """Statistics of a text.

    Attributes:
        blocks: the number of characters, and of distinct characters, in each Unicode block.
        document_lengths: in characters without the end of the document, of some thousand documents.
        odd: the count of each unprintable character.
        repeated: the share of the text that is in repeats of earlier lines.
        most_repeated: the line with the most characters in repeats, and how often it occurs.
        entropies: bits per character given the 0, 1, ... characters before, from the counts of the text itself.
        ngrams: bits per character of n-gram models of orders 1, 2, ... on a part of the text held out from them.
        lines_of: the number of characters in which lines were counted.
        entropy_of: the number of characters in which entropies and n-grams were measured.
    """

    name: str
    files: int
    size_bytes: int
    sha256: str
    characters: int
    alphabet: int
    blocks: dict[str, tuple[int, int]]
    rarest: list[tuple[str, int]]
    odd: dict[str, int]
    line_ends: dict[str, int]
    lines: int
    line_lengths: dict[str, int]
    documents: int
    document_lengths: dict[str, int]
    repeated: float
    most_repeated: tuple[str, int]
    entropies: list[float]
    ngrams: list[float]
    lines_of: int
    entropy_of: int
    notes: tuple[str, ...]
    advice: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns all fields, for JSON."""
        return asdict(self)


def block_of(code: int) -> str:
    """Returns the name of a character's Unicode block.

    >>> block_of(ord("я")), block_of(ord("字"))
    ('Cyrillic', 'CJK Unified Ideographs')
    """
    return BLOCKS[bisect_right(BLOCK_STARTS, code) - 1][1]


def describe(corpus: Corpus) -> CorpusStats:
    """Computes the statistics of a corpus."""
    counts = _counts(corpus.ids, len(corpus.vocab))
    of_symbol = dict(zip(corpus.vocab.symbols, counts.tolist(), strict=True))
    lines = corpus.vocab.decode(corpus.ids[:LINES_OF].tolist())
    if corpus.vocab.document_end is not None:
        lines = lines.replace(chr(corpus.vocab.document_end), "\n")
    repeated, most_repeated, lengths = _lines(lines)
    sample = corpus.ids[:ENTROPY_OF]
    cut = len(sample) - max(1, int(len(sample) * HELD_OUT))
    stats = CorpusStats(
        name=corpus.name,
        files=corpus.files,
        size_bytes=corpus.size_bytes,
        sha256=corpus.fingerprint,
        characters=len(corpus.ids),
        alphabet=len(corpus.vocab),
        blocks=_blocks(corpus.vocab, of_symbol),
        rarest=_rarest(corpus.vocab, of_symbol),
        odd={corpus.vocab.name(code): count for code, count in _odd(corpus.vocab, of_symbol)},
        line_ends=_line_ends(lines),
        documents=0 if corpus.ends is None else len(corpus.ends),
        document_lengths={} if corpus.ends is None else _quantiles(Documents.up_to(corpus.ends).sampled_lengths() - 1),
        lines=len(lengths),
        line_lengths=_quantiles(lengths),
        repeated=repeated,
        most_repeated=most_repeated,
        entropies=entropies(sample),
        ngrams=ngram_bits(sample[:cut], sample[cut:]) if cut else [],
        lines_of=min(LINES_OF, len(corpus.ids)),
        entropy_of=len(sample),
        notes=corpus.notes,
        advice=(),
    )
    return CorpusStats(**vars(stats) | {"advice": tuple(_advice(stats, of_symbol, lines))})


def _counts(ids: Ids, alphabet: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(alphabet, np.int64)
    for start in range(0, len(ids), BLOCK):
        counts += np.bincount(ids[start : start + BLOCK], minlength=alphabet)
    return counts


def _block(vocab: Vocabulary, code: int) -> str:
    if vocab.rare_id is not None and code == vocab.symbols[-1]:
        return "folded into one"
    return PARTS if vocab.of_bytes and code >= PARTS_FROM else block_of(code)


def _blocks(vocab: Vocabulary, of_symbol: dict[int, int]) -> dict[str, tuple[int, int]]:
    characters, kinds = Counter[str](), Counter[str]()
    for code, count in of_symbol.items():
        name = _block(vocab, code)
        characters[name] += count
        kinds[name] += 1
    return {name: (count, kinds[name]) for name, count in characters.most_common()}


def _rarest(vocab: Vocabulary, of_symbol: dict[int, int]) -> list[tuple[str, int]]:
    rarest = sorted(of_symbol, key=lambda code: of_symbol[code])[:RAREST]
    return [(vocab.name(code), of_symbol[code]) for code in rarest]


def _odd(vocab: Vocabulary, of_symbol: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Yields the code of each unprintable character, and how often it occurs."""
    for code in vocab.characters:
        if code == vocab.document_end:
            continue
        is_part = vocab.of_bytes and code >= PARTS_FROM
        if not is_part and unicodedata.category(chr(code)) in ("Cc", "Cf", "Co", "Cn") and chr(code) not in "\n\r\t":
            yield code, of_symbol[code]


def _line_ends(text: str) -> dict[str, int]:
    both = text.count("\r\n")
    counts = {"\\n": text.count("\n") - both, "\\r\\n": both, "\\r": text.count("\r") - both}
    return {name: count for name, count in counts.items() if count}


def _lines(text: str) -> tuple[float, tuple[str, int], npt.NDArray[np.int64]]:
    """Returns the share of the text in repeated lines, the line with most of it, and the lengths of all lines."""
    lines = text.splitlines()
    count = Counter(lines)
    repeats = {line: len(line) * (times - 1) for line, times in count.items() if len(line) >= LONG_ENOUGH_TO_COUNT}
    most = max(repeats, key=lambda line: repeats[line], default="")
    lengths = np.array([len(line) for line in lines], np.int64)
    most_repeated = (most[:LONGEST_SHOWN], count[most]) if repeats.get(most) else ("", 0)
    return sum(repeats.values()) / max(1, len(text)), most_repeated, lengths


def _quantiles(lengths: npt.NDArray[np.int64]) -> dict[str, int]:
    if not len(lengths):
        return {}
    places = {"shortest": 0.0, "median": 0.5, "90 %": 0.9, "99 %": 0.99, "longest": 1.0}
    return {name: int(np.quantile(lengths, place)) for name, place in places.items()}


def entropies(ids: Ids, longest: int = LONGEST_CONTEXT) -> list[float]:
    """Returns the bits per character of a text given the 0, 1, ..., `longest` characters before.

    They come from the counts of the text itself: no model with so short a context can do better on it.

    >>> [round(bits, 3) for bits in entropies(np.array([0, 1] * 500), longest=1)]
    [1.0, 0.0]
    """
    text_N = np.asarray(ids).astype(np.int64)
    alphabet = int(text_N.max()) + 1
    context_N = np.zeros(len(text_N), np.int64)
    bits = []
    for _ in range(longest + 1):
        gram_N, grams = np.unique(context_N * alphabet + text_N, return_inverse=True, return_counts=True)[1:]
        contexts = np.bincount(context_N)
        bits.append(abs(float((np.log2(contexts[context_N]) - np.log2(grams[gram_N])).mean())))
        context_N = np.concatenate([[gram_N.max() + 1], gram_N[:-1]])
    return bits


def _advice(stats: CorpusStats, of_symbol: dict[int, int], text: str) -> list[str]:
    advice = []
    if stats.characters < VERY_SHORT:
        advice.append("very short: expect letters and few words; a hundred times as much text would make a difference")
    elif stats.characters < SHORT:
        advice.append("short: more of the same kind of text would help more than longer training")
    if stats.repeated > MUCH_REPEATED:
        line, times = stats.most_repeated
        advice.append(
            f"{stats.repeated:.0%} of the text is repeated lines, most of it '{line}' ({times:,} times): "
            "the model will memorize them; remove them"
        )
    if len(stats.line_ends) > 1:
        advice.append(f"line ends are mixed ({', '.join(stats.line_ends)}): --newlines lf makes them the same")
    elif "\\r\\n" in stats.line_ends:
        advice.append("line ends are two characters each (\\r\\n): --newlines lf makes them one")
    if few := sum(count < FEW for count in of_symbol.values()):
        advice.append(
            f"{plural(few, 'character')} of {stats.alphabet:,} occur fewer than {FEW} times: "
            f"--min-count {FEW} folds them into one"
        )
    wrong = of_symbol.get(0xFFFD, 0) + sum(text.count(lead) for lead in ("Ã©", "Ã¤", "Ã¶", "Ã¼", "â€", "Â "))
    if wrong:
        advice.append(f"{plural(wrong, 'place')} look wrongly decoded (mixed encodings): fix the text first")
    if stats.odd:
        advice.append(f"{plural(sum(stats.odd.values()), 'character')} cannot be printed: are they intended?")
    return advice
