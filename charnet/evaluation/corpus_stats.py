"""Statistics of a text before training on it, and advice: characters, lines, entropies, unprintable characters.

Characters are counted in the whole text. Of a very long text, lines and entropies are measured in its beginning only.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.data.corpus import Corpus
from charnet.data.documents import Documents
from charnet.data.encoded_copy import Ids
from charnet.data.vocab import RARE, RARE_BYTE, Vocabulary
from charnet.errors import plural
from charnet.evaluation import character_advice
from charnet.evaluation.baselines import ngram_bits
from charnet.evaluation.line_stats import LineStats, advice_on_held_out, quantiles, without_ends
from charnet.evaluation.unicode_blocks import block_of

LINES_OF, ENTROPY_OF = 20_000_000, 1_200_000  # characters at the start that are analyzed
HELD_OUT = 0.1  # share of ENTROPY_OF that the n-gram models are evaluated on
LONGEST_CONTEXT = 5
LONG_STRING = 40  # characters in a string, for its repeats to be more than chance
KNOWN_BITS, KNOWN_ORDER = 0.5, 5  # an n-gram of that order or more that needs less knows the text nearly by heart
MIXER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, odd: spreads what it multiplies
BLOCK = 1 << 20
RAREST = 5
SHORT, VERY_SHORT = 500_000, 50_000  # characters
MUCH_REPEATED = 0.05  # share of a running text
WRONGLY_DECODED = ("Ã©", "Ã¤", "Ã¶", "Ã¼", "â€", "Â ")  # UTF-8 that was read as cp1252
PARTS, PARTS_FROM = "bytes of other characters", 0x80  # in a corpus of bytes
# Some programs end a line at these characters too.
BREAKS = {
    0x0B: "vertical tab",
    0x0C: "form feed",
    0x85: "next line (U+0085)",
    0x2028: "line separator (U+2028)",
    0x2029: "paragraph separator (U+2029)",
}


@dataclass(frozen=True)
class CorpusStats:
    """Statistics of a text.

    Attributes:
        blocks: the number of characters, and of distinct characters, in each Unicode block.
        document_lengths: in characters without the end of the document, of some thousand documents.
        repeated_documents, distinct_documents: as of lines; none where documents are lines.
        odd: the count of each unprintable character.
        breaks: the count of each character that ends a line in some programs, but not here.
        repeated: the share of the text that is in repeats of earlier lines of 20 characters or more.
        repeated_strings: the share of the text that is in repeats of earlier strings of 40 characters or more, in lines
            or across them.
        repeated_lines, distinct_lines: the number of lines that came before, and of the others, without blank ones.
        most_repeated: the line with the most characters in repeats, and how often it occurs.
        entropies: bits per character given the 0, 1, ... characters before, from the counts of the text itself.
        ngrams: bits per character of n-gram models of orders 1, 2, ... on a part of the text held out from them.
        lines_of: the number of characters in which lines were counted.
        entropy_of: the number of characters in which repeated strings, entropies and n-grams were measured.
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
    breaks: dict[str, int]
    line_ends: dict[str, int]
    repeated_documents: int
    distinct_documents: int
    lines: int
    line_lengths: dict[str, int]
    documents: int
    document_lengths: dict[str, int]
    repeated: float
    repeated_strings: float
    repeated_lines: int
    distinct_lines: int
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


def describe(corpus: Corpus) -> CorpusStats:
    """Computes the statistics of a corpus."""
    counts = _counts(corpus.ids, len(corpus.vocab))
    of_symbol = dict(zip(corpus.vocab.symbols, counts.tolist(), strict=True))
    text = corpus.vocab.decode(corpus.ids[:LINES_OF].tolist())
    text, again, distinct = without_ends(text, corpus.vocab.document_end)
    lines = LineStats.of(text)
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
        breaks=_breaks(corpus.vocab, of_symbol),
        line_ends=lines.ends,
        documents=0 if corpus.ends is None else len(corpus.ends),
        document_lengths={} if corpus.ends is None else quantiles(Documents.up_to(corpus.ends).sampled_lengths() - 1),
        repeated_documents=again,
        distinct_documents=distinct,
        lines=len(lines.lengths),
        line_lengths=quantiles(lines.lengths),
        repeated=lines.repeated_characters / max(1, len(text)),
        repeated_strings=repeated_strings(sample),
        repeated_lines=lines.repeated,
        distinct_lines=lines.distinct,
        most_repeated=lines.most_repeated,
        entropies=entropies(sample),
        ngrams=ngram_bits(sample[:cut], sample[cut:]) if cut else [],
        lines_of=min(LINES_OF, len(corpus.ids)),
        entropy_of=len(sample),
        notes=corpus.notes,
        advice=(),
    )
    wrong = of_symbol.get(0xFFFD, 0) + sum(text.count(lead) for lead in WRONGLY_DECODED)
    two_forms = [] if corpus.vocab.of_bytes else character_advice.on_two_forms(text)
    each = [count for code, count in of_symbol.items() if code not in (corpus.vocab.document_end, RARE, RARE_BYTE)]
    return CorpusStats(**vars(stats) | {"advice": tuple(_advice(stats, lines, each, wrong, two_forms))})


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
        if code != vocab.document_end and not (vocab.of_bytes and code >= PARTS_FROM) and _is_unprintable(code):
            yield code, of_symbol[code]


def _is_unprintable(code: int) -> bool:
    """Returns whether no font has the character: a control character, a byte order mark, a noncharacter, private use.

    Joiners, marks of direction and the like shape the text around them. Python may be older than a new emoji.
    """
    if code in BREAKS or chr(code) in "\n\r\t":
        return False
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return is_noncharacter or code == 0xFEFF or unicodedata.category(chr(code)) in ("Cc", "Co")


def _breaks(vocab: Vocabulary, of_symbol: dict[int, int]) -> dict[str, int]:
    found = (code for code in BREAKS if code in of_symbol and not (vocab.of_bytes and code >= PARTS_FROM))
    return {BREAKS[code]: of_symbol[code] for code in found}


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


def repeated_strings(ids: Ids, length: int = LONG_STRING) -> float:
    """Returns the share of a text in strings of a length that came before. Hashes of 64 bits tell which are equal.

    >>> repeated_strings(np.array([1, 2, 3, 4, 2, 3, 9, 9]), length=2)
    0.25
    """
    count = len(ids) - length + 1
    if count < 2:
        return 0.0
    first_N = np.unique(_hashes(np.asarray(ids), length), return_index=True, return_inverse=True)[1:]
    begins = np.flatnonzero(first_N[0][first_N[1]] < np.arange(count))
    covered = np.bincount(begins, minlength=len(ids) + 1) - np.bincount(begins + length, minlength=len(ids) + 1)
    return float((np.cumsum(covered)[:-1] > 0).mean())


def _hashes(ids: npt.NDArray[np.unsignedinteger[Any]], length: int) -> npt.NDArray[np.uint64]:
    """Returns a hash of each string of a length, (N - length + 1): those of its two halves, mixed."""
    if length == 1:
        return (ids.astype(np.uint64) + np.uint64(1)) * MIXER
    half = length // 2
    one, other = _hashes(ids, half), _hashes(ids, length - half)
    mixed = (one[: len(ids) - length + 1] ^ np.uint64(length)) * MIXER
    return np.asarray(((mixed ^ (mixed >> np.uint64(29))) + other[half:]) * MIXER)


def _advice(stats: CorpusStats, lines: LineStats, counts: list[int], wrong: int, two_forms: list[str]) -> list[str]:
    """Returns sentences about what to change before training.

    Args:
        counts: of each character; wrong: the number of places that look wrongly decoded; two_forms: the advice on
            letters that are written in two ways.
    """
    advice = []
    if stats.characters < VERY_SHORT:
        advice.append("very short: expect few words that make sense; a hundred times as much text would help")
    elif stats.characters < SHORT:
        advice.append("short: more of the same kind of text would help more than longer training")
    advice += _advice_on_repeats(stats, lines)
    if (best := min(stats.ngrams[KNOWN_ORDER - 1 :], default=math.inf)) < KNOWN_BITS:
        advice.append(
            f"the text repeats itself: an n-gram needs only {best:.2f} bits per character of its last tenth; "
            "a model will mostly repeat what it has read"
        )
    if len(stats.line_ends) > 1:
        advice.append(
            f"line ends are mixed ({', '.join(stats.line_ends)}): charnet train --newlines lf makes them the same"
        )
    if stats.breaks:
        breaks = ", ".join(f"{name} x {count:,}" for name, count in stats.breaks.items())
        advice.append(f"{breaks}: no line ends there, but only at \\n, \\r\\n and \\r; replace them if one should")
    advice += two_forms + character_advice.on_rare(counts)
    if wrong:
        look = f"{plural(wrong, 'place')} {'looks' if wrong == 1 else 'look'}"
        advice.append(f"{look} wrongly decoded (mixed encodings): fix the text first")
    if stats.odd:
        advice.append(f"{plural(sum(stats.odd.values()), 'character')} cannot be printed: are they intended?")
    return advice


def _advice_on_repeats(stats: CorpusStats, lines: LineStats) -> list[str]:
    if found := advice_on_held_out("documents", stats.repeated_documents, stats.distinct_documents):
        return [found]
    if lines.is_list and not stats.distinct_documents:
        found = advice_on_held_out("lines", lines.repeated, lines.distinct)
        return [f"{found}; awk '!seen[$0]++' FILE keeps one of each"] * bool(found)
    line, times = stats.most_repeated
    return [
        f"{100 * stats.repeated:.0f} % of the text is repeated lines, most of it '{line}' ({plural(times, 'time')}): "
        "the model will memorize them; remove them"
    ] * (stats.repeated > MUCH_REPEATED)
