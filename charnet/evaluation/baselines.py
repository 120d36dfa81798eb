"""Baselines to compare a loss with: n-gram models and compressors on the same held-out text, given the text before it.

An n-gram model predicts each character from the n - 1 characters before it, by the counts in the training text. Where
counts are low it relies on the model of the next shorter context (interpolated absolute discounting, Ney, Essen &
Kneser 1994). `gzip -9` and `xz -9e` are common compressors: a model that does not beat them has learned little.

Shape legend: N characters: the training text and then the held-out text.
"""

from __future__ import annotations

import lzma
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charnet.data.encoded_copy import Ids
from charnet.data.vocab import Vocabulary

LONGEST_NGRAM = 6
MOST_LEARNED, MOST_HELD_OUT = 1_200_000, 250_000  # characters: about two seconds
GZIP_REACH = 1 << 15  # bytes: the window of gzip
SMALLEST_DICTIONARY = 1 << 12  # bytes, of xz


@dataclass(frozen=True)
class Baselines:
    """Bits per character of the held-out text. `ngram` is the best of orders 1 to 6, and `order` its n.

    `learned` and `held_out` count the characters that were read of the training text and of the held-out text. For a
    very long text only those next to the cut are read (`is_part`).
    """

    ngram: float
    order: int
    gzip: float
    xz: float
    learned: int
    held_out: int
    is_part: bool


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
        ngrams = ngram_bits(learned, held_out)
        order = int(np.argmin(ngrams)) + 1
        return Baselines(
            ngram=ngrams[order - 1],
            order=order,
            gzip=_gzip_bits(*texts) / len(held_out),
            xz=xz.result() / len(held_out),
            learned=len(learned),
            held_out=len(held_out),
            is_part=is_part,
        )


def _as_bytes(ids: Ids, vocab: Vocabulary) -> bytes:
    """Returns the text in UTF-8; for a vocabulary of bytes, the bytes themselves."""
    if vocab.of_bytes:
        return b"".join(map(vocab.pieces.__getitem__, ids.tolist()))
    symbols = np.array([ord(piece.decode()) for piece in vocab.pieces], dtype="<u4")[ids]
    return symbols.tobytes().decode("utf-32-le").encode()


def ngram_bits(learned: Ids, held_out: Ids, longest: int = LONGEST_NGRAM) -> list[float]:
    """Returns the bits per held-out character of n-gram models of orders 1, 2, ... `longest`.

    The shortest backs off to a uniform distribution over the alphabet.
    """
    text_N = np.concatenate([learned, held_out]).astype(np.int64)
    cut, alphabet = len(learned), int(text_N.max()) + 1
    probability_N = np.full(len(text_N) - cut, 1 / alphabet)
    context_N = np.zeros(len(text_N), dtype=np.int64)  # the n-gram that ends before each character: at first none
    bits = []
    for _ in range(longest):
        grams, gram_N = np.unique(context_N * alphabet + text_N, return_inverse=True)
        probability_N = _interpolated(gram_N, context_N, grams // alphabet, cut, probability_N)
        bits.append(abs(float(np.log2(probability_N).mean())))
        context_N = np.concatenate([[gram_N.max() + 1], gram_N[:-1]])
    return bits


def _interpolated(
    gram_N: npt.NDArray[np.int64],
    context_N: npt.NDArray[np.int64],
    context_of_gram: npt.NDArray[np.int64],
    cut: int,
    shorter: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Returns the probability of each held-out character, from the counts before `cut` and the `shorter` contexts."""
    count_of_gram = np.bincount(gram_N[:cut], minlength=len(context_of_gram))
    count_of_context = np.bincount(context_N[:cut], minlength=context_N.max() + 1)
    followers_of_context = np.bincount(context_of_gram[count_of_gram > 0], minlength=len(count_of_context))
    once, twice = np.count_nonzero(count_of_gram == 1), np.count_nonzero(count_of_gram == 2)
    discount = once / (once + 2 * twice) if once and twice else 0.5
    gram, context = count_of_gram[gram_N[cut:]], count_of_context[context_N[cut:]]
    seen = context > 0
    backoff = discount * followers_of_context[context_N[cut:]]
    probability = shorter.copy()
    probability[seen] = (np.maximum(gram - discount, 0) + backoff * shorter)[seen] / context[seen]
    return probability


def _gzip_bits(learned: bytes, held_out: bytes) -> int:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=learned[-GZIP_REACH:])
    return 8 * (len(packer.compress(held_out)) + len(packer.flush()))


def _xz_bits(learned: bytes, held_out: bytes) -> int:
    """Returns the bits that the held-out text adds to the compressed size of the training text."""
    sizes = [len(lzma.compress(text, lzma.FORMAT_RAW, filters=xz(text))) for text in (learned, learned + held_out)]
    return 8 * (sizes[1] - sizes[0])


def xz(text: bytes) -> list[dict[str, int]]:
    """Returns the filter of `xz -9e`, its dictionary no larger than the text: same output in a tenth of the memory."""
    preset = 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": max(SMALLEST_DICTIONARY, len(text))}]
