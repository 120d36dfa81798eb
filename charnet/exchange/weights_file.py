"""Reads weights out of safetensors files of any program: strictly, by their header, and of the types of floats.

`storage.tensorfile` reads charnet's own files, which have a checksum. These have none.
"""

from __future__ import annotations

import itertools
import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.errors import quoted
from charnet.exchange.old_file import OldFile, damaged
from charnet.storage.strict_json import strict_json
from charnet.storage.tensorfile import are_sizes

LARGEST_HEADER = 5 << 20  # bytes
MOST_TENSORS = 10_000
LONGEST_NAME = 200
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # BF16 is the upper half of F32
Span = tuple[int, int]


def looks_like_one(raw: bytes) -> bool:
    """Returns whether a file begins as a safetensors file."""
    return len(raw) > 9 and struct.unpack_from("<Q", raw)[0] <= LARGEST_HEADER and raw[8:9] == b"{"


def parse(file: OldFile) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Parses a file into its tensors of floats and its metadata; empty ones and those of other types are left out.

    Raises:
        CheckpointError: it is damaged.
    """
    length, size = struct.unpack_from("<Q", file.raw)[0], len(file.raw)
    if not 2 <= length <= min(size - 8, LARGEST_HEADER):
        raise damaged(file.path, f"a header of {length:,} bytes in a file of {size:,}")
    try:
        header = strict_json(bytearray(file.raw[8 : 8 + length]))
    except (ValueError, RecursionError):
        raise damaged(file.path, "a header that is not strict JSON") from None
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise damaged(file.path, "a header that is no list of tensors")
    metadata = header.pop("__metadata__", {})
    tensors, spans = {}, []
    for name, entry in header.items():
        tensors[name], span = _tensor(file, 8 + length, name, entry)
        spans.append(span)
    spans.sort()
    if any(before[1] > after[0] for before, after in itertools.pairwise(spans)):
        raise damaged(file.path, "tensors that overlap")
    found = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return found, metadata if isinstance(metadata, dict) else {}


def _tensor(file: OldFile, begin: int, name: str, entry: Any) -> tuple[npt.NDArray[Any] | None, Span]:
    """Returns a tensor, None without floats, and where its bytes lie."""
    if len(name) > LONGEST_NAME or not isinstance(entry, dict):
        raise damaged(file.path, f"a tensor {quoted(name)}")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    dtype = entry.get("dtype")
    if not are_sizes(shape) or len(shape) > 8 or not are_sizes(offsets) or len(offsets) != 2:
        raise damaged(file.path, f"an invalid description of {quoted(name)}")
    first, end = offsets
    if not first <= end <= len(file.raw) - begin:
        raise damaged(file.path, f"a tensor {quoted(name)} behind the end of the file")
    if not isinstance(dtype, str) or dtype not in DTYPES or 0 in shape:
        return None, (first, end)
    kind = np.dtype(DTYPES[dtype])
    if math.prod(shape) * kind.itemsize != end - first:
        raise damaged(file.path, f"a length that does not match the shape of {quoted(name)}")
    numbers = np.frombuffer(file.raw, kind, math.prod(shape), begin + first).reshape(shape)
    return (numbers.astype("<u4") << 16).view("<f4") if dtype == "BF16" else numbers, (first, end)
