"""Reads and writes a file of tensors and a JSON document: safetensors with strict checks and a checksum.

    8 bytes     length of the header, little-endian
    header      JSON: type, shape and offsets of each tensor; `__metadata__` with `format`, the document and `sha256`
    data        the tensors, without gaps

`sha256` covers the whole file, with zeros in place of its own 64 digits. Any safetensors library can read these files.
We read them ourselves because that library accepts dangerous files: with duplicate names, escape bytes, `../` in names,
hundreds of thousands of tensors. We check lengths, names, types, shapes and offsets first, then the checksum. Data that
fails a check is not returned, and nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from charnet import regular_file
from charnet.errors import CheckpointError
from charnet.machine import memory
from charnet.storage.strict_json import is_too_large, strict_json

# What the reader refuses, the writer does not write: see `excess`.
LARGEST_HEADER = 5 << 20  # bytes; an alphabet of all Unicode characters takes 4.4 MB
MOST_TENSORS = 10_000
ATTEMPTS, RENAME_SECONDS = 5, 0.02  # a training that saves moves the old file away, then the new one into its place
LONGEST_NAME = 200
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "U8": np.dtype("u1"), "I8": np.dtype("i1")}
TYPES = {dtype: name for name, dtype in DTYPES.items()}
DIGEST = re.compile("[0-9a-f]{64}")
NO_DIGEST = "0" * 64
SURROGATES = re.compile("[\ud800-\udfff]")
NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")

Tensors = dict[str, npt.NDArray[Any]]
Entry = tuple[np.dtype[Any], tuple[int, ...], int]
Buffer = TypeVar("Buffer", bytearray, memoryview)


@dataclass(frozen=True)
class Content:
    """The content of a file whose checksum matches.

    `document` is parsed JSON, not checked further. `tensors` are the ones that were asked for, `types` those of all.
    """

    document: Any
    tensors: Tensors
    types: dict[str, np.dtype[Any]]
    sha256: str
    size_bytes: int


def pack(document: dict[str, Any], tensors: Tensors) -> bytearray:
    """Returns the bytes of a file.

    Raises:
        CheckpointError: they are too large to be read again.
    """
    encoded, in_order = _new_header(document, tensors)
    if found := _excess(encoded, len(tensors)):
        raise CheckpointError(f"nothing was written: a checkpoint cannot hold {found}")
    parts = [np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data for tensor in in_order]
    raw = bytearray().join([struct.pack("<Q", len(encoded)), encoded, *parts])
    at = raw.index(_marked(NO_DIGEST)) + len('"sha256":"')
    raw[at : at + 64] = hashlib.sha256(raw).hexdigest().encode()
    return raw


def excess(document: dict[str, Any], tensors: Tensors) -> str:
    """Returns what would be too large to be read again, as in "11,702 tensors", or ""."""
    return _excess(_new_header(document, tensors)[0], len(tensors))


def _excess(encoded: bytes, num_tensors: int) -> str:
    if num_tensors + 1 > MOST_TENSORS:  # the metadata have an entry too
        return f"{num_tensors:,} tensors"
    exceeds = len(encoded) > LARGEST_HEADER or is_too_large(encoded.decode())
    return f"{num_tensors:,} tensors with {len(encoded):,} bytes of names and settings" if exceeds else ""


def _new_header(document: dict[str, Any], tensors: Tensors) -> tuple[bytes, list[npt.NDArray[Any]]]:
    """Returns a header with zeros as its checksum, and the tensors in the order of the file."""
    text = json.dumps(document, allow_nan=False, ensure_ascii=False)
    text = SURROGATES.sub(lambda half: f"\\u{ord(half[0]):04x}", text)  # from file names that are not UTF-8
    header: dict[str, Any] = {"__metadata__": {"format": "charnet", "charnet": text, "sha256": NO_DIGEST}}
    in_order = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))  # so that all are aligned
    end = 0
    for name, tensor in in_order:
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": tensor.shape, "data_offsets": [begin, end]}
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return encoded + b" " * (-len(encoded) % 8), [tensor for _, tensor in in_order]


def read(path: Path, *, only: tuple[str, ...] = ("",)) -> Content:
    """Reads and checks a file, each tensor into memory of its own.

    Args:
        only: the prefixes of the tensors to return. The others are checked too.

    Raises:
        CheckpointError: the file is missing, damaged, or not written by charnet.
        StorageError: the operating system refused to read it.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = _header_length(path, file, size)
        head = _read_exactly(path, file, bytearray(length))
        header = _header(path, head)
        entries = _entries(path, header, size - 8 - length)
        if size > memory():
            raise MemoryError
        digest = _digest(path, header, head)
        found = hashlib.sha256(struct.pack("<Q", length) + head.replace(digest.encode(), NO_DIGEST.encode()))
        tensors = {}
        for name, (dtype, shape, _) in sorted(entries.items(), key=lambda entry: entry[1][2]):
            tensor = np.empty(math.prod(shape), dtype)
            found.update(_read_exactly(path, file, tensor.view(np.uint8).data))
            if name.startswith(only):
                tensors[name] = tensor.reshape(shape)
    if found.hexdigest() != digest:
        raise invalid(path, "a checksum that does not match its content")
    return Content(_document(path, header), tensors, {name: entry[0] for name, entry in entries.items()}, digest, size)


def read_document(path: Path) -> Any:
    """Reads the document of a file alone, for a list of files: quick, and not compared with the checksum.

    Raises:
        CheckpointError, StorageError: as `read`.
    """
    with _opened(path) as file:
        length = _header_length(path, file, os.fstat(file.fileno()).st_size)
        return _document(path, _header(path, _read_exactly(path, file, bytearray(length))))


def looks_like_one(path: Path) -> bool:
    """Returns whether a regular file is named, or begins, like a file of tensors and not like a text."""
    if path.suffix == ".safetensors":
        return True
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    return head[4:] == b"\0\0\0\0{"  # the length of the header in 8 bytes, and its first one


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file to read it; turns errors of the system into errors of charnet."""
    try:
        with _open(path) as file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such checkpoint") from None
    except regular_file.NotRegularError:
        raise invalid(path, "a pipe or a device") from None
    except OSError as error:
        raise regular_file.read_error(path, error) from None
    except MemoryError:
        raise invalid(path, "a file that takes more than this machine has memory") from None


def _open(path: Path) -> IO[bytes]:
    for _ in range(ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            return regular_file.open_regular(path)
        time.sleep(RENAME_SECONDS)
    return regular_file.open_regular(path)


def _read_exactly(path: Path, file: IO[bytes], buffer: Buffer) -> Buffer:
    """Fills a buffer with the next bytes of the file, and returns it."""
    if file.readinto(buffer) != len(buffer):  # type: ignore[attr-defined]
        raise CheckpointError(f"{path}: the file changed while it was read; try again")
    return buffer


def invalid(path: Path, found: str) -> CheckpointError:
    """Returns the error to raise for a file that is not a valid checkpoint."""
    return CheckpointError(f"{path}: expected a checkpoint of charnet, found {found}; the file is damaged or foreign")


def _header_length(path: Path, file: IO[bytes], size: int) -> int:
    prefix = file.read(8)
    if len(prefix) < 8:
        raise invalid(path, f"a file of {size} bytes")
    (length,) = struct.unpack("<Q", prefix)
    if not 2 <= length <= min(size - 8, LARGEST_HEADER):
        from charnet.data.file_kinds import CHARNET, HEAD_BYTES, SAFETENSORS, kind_of

        kind = kind_of(prefix + file.read(HEAD_BYTES))
        if kind and kind not in (CHARNET, SAFETENSORS):
            raise invalid(path, kind.name)
        if prefix.isascii() and prefix.decode().isprintable():
            raise invalid(path, "a text (charnet train learns from it)")
        raise invalid(path, f"a header of {length:,} bytes in a file of {size:,}")
    return int(length)


def _header(path: Path, raw: bytearray) -> dict[str, Any]:
    try:
        header = strict_json(raw)
    except (ValueError, RecursionError):
        raise invalid(path, "a header that is not strict JSON") from None
    if not isinstance(header, dict):
        raise invalid(path, "a header that is not a JSON object")
    return header


def _entries(path: Path, header: dict[str, Any], data_size: int) -> dict[str, Entry]:
    """Returns type, shape and first byte of each tensor; checks that they cover the data without gap or overlap."""
    if len(header) > MOST_TENSORS:
        raise invalid(path, f"{len(header):,} tensors")
    entries, spans = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
            raise invalid(path, f"a tensor named {name[:40]!r}")
        dtype, shape, (begin, end) = _entry(path, name, entry)
        too_large = math.prod(filter(None, shape)) > data_size  # even if a dimension of 0 makes the product 0
        if end - begin != dtype.itemsize * math.prod(shape) or too_large:
            raise invalid(path, f"a length that does not match the shape of {name}")
        entries[name] = (dtype, shape, begin)
        spans.append((begin, end))
    covered = 0
    for begin, end in sorted(spans):
        if begin != covered:
            raise invalid(path, f"tensors that overlap or leave gaps at byte {begin}")
        covered = end
    if covered != data_size:
        raise invalid(path, f"{data_size:,} bytes of data where its header names {covered:,}")
    return entries


def _entry(path: Path, name: str, entry: Any) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise invalid(path, f"an invalid description of {name}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise invalid(path, f"an unknown data type in {name}")
    if not are_sizes(shape) or len(shape) > 4:
        raise invalid(path, f"an invalid shape of {name}")
    if not are_sizes(offsets) or len(offsets) != 2:
        raise invalid(path, f"invalid offsets of {name}")
    return DTYPES[dtype], tuple(shape), (offsets[0], offsets[1])


def are_sizes(values: Any) -> bool:
    """Checks that a value is a list of integers from 0 to 2**63 - 1."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _digest(path: Path, header: dict[str, Any], head: bytearray) -> str:
    """Returns the checksum in the header."""
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != "charnet":
        raise invalid(path, "a safetensors file that charnet did not write")
    digest = metadata.get("sha256")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise invalid(path, "no checksum")
    if head.count(digest.encode()) != 1 or _marked(digest) not in head:
        raise invalid(path, "no checksum in its place")
    return digest


def _marked(digest: str) -> bytes:
    """Returns the checksum as it appears in the header. JSON escapes quotes, so no string can contain this."""
    return f'"sha256":"{digest}"'.encode()


def _document(path: Path, header: dict[str, Any]) -> Any:
    try:
        text = header["__metadata__"]["charnet"]
        return strict_json(text if isinstance(text, str) else "")
    except (KeyError, TypeError, ValueError, RecursionError):
        raise invalid(path, "metadata that is not strict JSON") from None
