"""An n-gram as tensors of a checkpoint: whole numbers in seven bits a byte (LEB128), probabilities in one byte.

An entry of the table takes two bytes, or three if longer entries continue it; in an alphabet of 128 characters or more
one byte more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from charnet.model.ngram import Stored
from charnet.storage.tensorfile import Tensors

PREFIX = "ngram."
MOST_BITS = 28  # of a number: four bytes

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]


def to_tensors(stored: Stored) -> Tensors:
    """Returns the tensors of an n-gram by their names in a checkpoint."""
    return {
        f"{PREFIX}symbols": _pack(stored.symbols),
        f"{PREFIX}codes": stored.codes,
        f"{PREFIX}followers": _pack(stored.followers),
        f"{PREFIX}base": stored.base_V,
    }


def from_tensors(tensors: Tensors) -> Stored:
    """Returns the n-gram in the tensors of a checkpoint, given without `PREFIX`.

    Raises:
        ValueError: they are not those of an n-gram.
    """
    types = {name: (tensor.dtype, tensor.ndim) for name, tensor in tensors.items()}
    number, byte = (np.dtype("<f4"), 1), (np.dtype("u1"), 1)
    if types != {"symbols": byte, "codes": byte, "followers": byte, "base": number}:
        raise ValueError("an n-gram of odd tensors")
    symbols, followers = _unpack(tensors["symbols"]), _unpack(tensors["followers"])
    return Stored(symbols, tensors["codes"], followers, tensors["base"])


def _pack(numbers: Ints) -> Bytes:
    """Packs numbers, the lowest seven bits first; all bytes of a number but its last are 128 or more.

    >>> _pack(np.array([1, 300], np.int32)).tolist(), _unpack(_pack(np.array([1, 300], np.int32))).tolist()
    ([1, 172, 2], [1, 300])
    """
    sevens = np.stack([(numbers >> shift) & 127 for shift in range(0, MOST_BITS, 7)], axis=1)
    is_used = np.stack([numbers >> shift > 0 for shift in range(0, MOST_BITS, 7)], axis=1)
    is_used[:, 0] = True
    sevens[:, :-1] += 128 * is_used[:, 1:]
    return sevens[is_used].astype(np.uint8)


def _unpack(packed: Bytes) -> Ints:
    """Unpacks what `_pack` gives.

    Raises:
        ValueError: a number has no end, or more than `MOST_BITS` bits.
    """
    ends = np.flatnonzero(packed < 128)
    if len(packed) and (not len(ends) or ends[-1] != len(packed) - 1):
        raise ValueError("a number without an end")
    begins = np.append(0, ends[:-1] + 1).astype(np.int64) if len(ends) else ends
    lengths = ends - begins + 1
    if lengths.max(initial=0) > MOST_BITS // 7:
        raise ValueError("a number of too many bits")
    places = np.arange(len(packed)) - np.repeat(begins, lengths)
    parts = (packed.astype(np.int32) & 127) << (7 * places).astype(np.int32)
    return np.add.reduceat(parts, begins).astype(np.int32) if len(begins) else parts
