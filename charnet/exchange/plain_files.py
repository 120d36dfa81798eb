"""The weights alone as a safetensors file or as `.npz`: the same bytes for the same model.

The tensors are those of `charnet.exchange.plain`. What the model is (`charnet.exchange.about`) stands in the metadata
of safetensors, and in `.npz` in an array `metadata` that holds JSON; there is also an array `alphabet`.

Both need no package beside NumPy: safetensors is a length, a header in JSON and the numbers, `.npz` a zip file.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from charnet.exchange import about, plain

if TYPE_CHECKING:
    from charnet.storage.checkpoint import Checkpoint

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the date of each part of a zip file
ALIGNMENT = 8  # bytes


def to_safetensors(model: Checkpoint) -> bytes:
    """Returns the weights of a model as a safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **about.metadata(model)}}
    tensors, end = plain.tensors(model), 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [begin, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % ALIGNMENT)
    numbers = (tensor.astype("<f4", copy=False).tobytes() for tensor in tensors.values())
    return b"".join([struct.pack("<Q", len(encoded)), encoded, *numbers])


def to_npz(model: Checkpoint) -> bytes:
    """Returns the weights of a model as a file that `numpy.load` reads."""
    alphabet = np.array(about.symbols(model.vocab), np.int32)
    arrays = {**plain.tensors(model), "alphabet": alphabet, "metadata": np.array(json.dumps(about.metadata(model)))}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", EARLIEST), "w", force_zip64=True) as part:
                np.lib.format.write_array(part, array)  # none is of objects, which would be pickled
    return content.getvalue()
