"""Baselines to compare a loss with: n-gram models and compressors on the same held-out text, given the text before it.

The n-gram models are those that a model may hold beside its networks (`charnet.model.ngram_counts`). `gzip -9` and
`xz -9e` are common compressors: a model that does not beat them has learned little. PPMd mixes contexts of up to eight
characters, and is harder to beat; it needs the package `pyppmd`.

Shape legend: N characters of the held-out text, V characters in the alphabet.
"""

from __future__ import annotations

import importlib.util
import lzma
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from charnet.data.encoded_copy import Ids
from charnet.data.vocab import Vocabulary
from charnet.model.ngram import Ngram, longest_order
from charnet.model.ngram_counts import Counts, count, smooth

LONGEST_NGRAM = 7
MOST_LEARNED, MOST_HELD_OUT = 1_200_000, 250_000  # characters: about two seconds
GZIP_REACH = 1 << 15  # bytes: the window of gzip
SMALLEST_DICTIONARY = 1 << 12  # bytes, of xz
PPMD_ORDER, PPMD_MEMORY = 8, 256 << 20  # characters; bytes


@dataclass(frozen=True)
class Baselines:
    """Bits per character of the held-out text. `ngram` is the best of orders 1 to 7, and `order` its n.

    `learned` and `held_out` count the characters that were read of the training text and of the held-out text. For a
    very long text only those next to the cut are read (`is_part`). `ppmd` is None where it is not installed.
    """

    ngram: float
    order: int
    gzip: float
    xz: float
    learned: int
    held_out: int
    is_part: bool
    ppmd: float | None = None


def baselines(learned: Ids, held_out: Ids, vocab: Vocabulary) -> Baselines:
    """Evaluates n-gram models and compressors on a held-out text.

    Args:
        learned: ids of the training text, at least one.
        held_out: ids of the text after it, at least one.
        vocab: decodes the ids to the text that the compressors read.
    """
    is_part = len(learned) > MOST_LEARNED or len(held_out) > MOST_HELD_OUT
    learned, held_out = learned[-MOST_LEARNED:], held_out[:MOST_HELD_OUT]
    texts = [_as_bytes(ids, vocab) for ids in (learned, held_out)]
    with ThreadPoolExecutor(2) as pool:  # both spend their time outside the GIL
        xz = pool.submit(_xz_bits, *texts)
        order, ngram = best_ngram(learned, held_out)
        return Baselines(
            ngram=ngram,
            order=order,
            gzip=_gzip_bits(*texts) / len(held_out),
            xz=xz.result() / len(held_out),
            learned=len(learned),
            held_out=len(held_out),
            is_part=is_part,
            ppmd=_ppmd_bits(*texts) / len(held_out) if importlib.util.find_spec("pyppmd") else None,
        )


def _as_bytes(ids: Ids, vocab: Vocabulary) -> bytes:
    """Returns the text in UTF-8; for a vocabulary of bytes, the bytes themselves."""
    if vocab.of_bytes:
        return b"".join(map(vocab.pieces.__getitem__, ids.tolist()))
    symbols = np.array([ord(piece.decode()) for piece in vocab.pieces], dtype="<u4")[ids]
    return symbols.tobytes().decode("utf-32-le").encode()


def best_ngram(learned: Ids, held_out: Ids) -> tuple[int, float]:
    """Returns the order of the best n-gram model of orders 1 to 7, and its bits per held-out character."""
    ngrams = ngram_bits(learned, held_out)
    order = int(np.argmin(ngrams)) + 1
    return order, ngrams[order - 1]


def ngram_bits(learned: Ids, held_out: Ids, longest: int = LONGEST_NGRAM) -> list[float]:
    """Returns the bits per held-out character of n-gram models of orders 1, 2, ... `longest`.

    Of a large alphabet the longest strings do not fit into the keys of a table: the list is shorter.
    """
    alphabet = int(max(learned.max(), held_out.max())) + 1
    longest = min(longest, longest_order(alphabet))
    ends = np.array([len(learned)])
    counts = count(learned, np.zeros(1, np.int64), ends, alphabet=alphabet, start_id=0, order=max(2, longest))
    symbols = np.bincount(learned, minlength=alphabet)
    shares_V = (symbols + 1) / (len(learned) + alphabet)  # order 1: add one (Laplace)
    bits = [-float(np.log2(shares_V[held_out]).mean())]
    for order in range(2, longest + 1):
        of_order = Counts(counts.levels[:order], counts.first_levels[:order])
        table, before = Ngram.from_stored(order, smooth(of_order, np.inf)), learned[-(order - 1) :]
        p_N = table.score(np.concatenate([before, held_out])[None])[0, len(before) :]
        bits.append(-float(np.log2(p_N).mean()))
    return [max(0.0, each) for each in bits]


def _gzip_bits(learned: bytes, held_out: bytes) -> int:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=learned[-GZIP_REACH:])
    return 8 * (len(packer.compress(held_out)) + len(packer.flush()))


def _xz_bits(learned: bytes, held_out: bytes) -> int:
    """Returns the bits that the held-out text adds to the compressed size of the training text."""
    return 8 * (xz_size(learned + held_out) - xz_size(learned))


def xz_size(text: bytes) -> int:
    """Returns the bytes that `xz -9e` makes of a text, without the header of a file."""
    return len(lzma.compress(text, lzma.FORMAT_RAW, filters=xz(text)))


def _ppmd_bits(learned: bytes, held_out: bytes) -> int:
    """Returns the bits that the held-out text adds to the compressed size of the training text."""
    return 8 * (ppmd_size(learned + held_out) - ppmd_size(learned))


def ppmd_size(text: bytes) -> int:
    """Returns the bytes that PPMd makes of a text. The package `pyppmd` has to be installed."""
    import pyppmd

    return len(pyppmd.compress(text, max_order=PPMD_ORDER, mem_size=PPMD_MEMORY, variant="H"))


def xz(text: bytes) -> list[dict[str, int]]:
    """Returns the filter of `xz -9e`, its dictionary no larger than the text: same output in a tenth of the memory."""
    preset = 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": max(SMALLEST_DICTIONARY, len(text))}]
