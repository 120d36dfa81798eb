"""Writes named arrays as a safetensors file or as `.npz`, the same bytes for the same arrays.

Both need no package beside NumPy: safetensors is a length, a header in JSON and the numbers, `.npz` a zip file.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the date of each part of a zip file
ALIGNMENT = 8  # bytes


def to_safetensors(tensors: Mapping[str, npt.NDArray[np.float32]], metadata: Mapping[str, str]) -> bytes:
    """Returns a safetensors file of arrays in single precision."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [begin, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % ALIGNMENT)
    numbers = (tensor.astype("<f4", copy=False).tobytes() for tensor in tensors.values())
    return b"".join([struct.pack("<Q", len(encoded)), encoded, *numbers])


def to_npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Returns what `numpy.load` reads as arrays by their names."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", EARLIEST), "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False)
    return content.getvalue()
