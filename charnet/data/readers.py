"""Reads the bytes of a text, plain or packed, from a file or a pipe, and computes the SHA-256 of the file."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from charnet.data.sources import PACKED, STANDARD_INPUT, Source, reading
from charnet.errors import ConfigError, CorpusError

CHUNK_BYTES = 1 << 20
ZSTD_BYTES = 1 << 11  # packed bytes at once; hostile ones unpack to 32,000 times as many


@dataclass
class FileDigest:
    """The size of a file in bytes and its SHA-256, as `sha256sum` prints it; empty until the whole file was read."""

    size: int = 0
    sha256: str = ""


class _HashingReader(io.RawIOBase):
    """Passes on the bytes of a file, counts them and hashes them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sha256, self.size = file, hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raw = self._file.read(len(buffer))
        buffer[: len(raw)] = raw
        self._update(raw)
        return len(raw)

    def read(self, size: int | None = -1) -> bytes:
        raw = self._file.read(-1 if size is None else size)
        self._update(raw)
        return raw

    def finish(self) -> FileDigest:
        """Reads the rest of the file, and returns its size and SHA-256."""
        while self.read(CHUNK_BYTES):
            pass
        return FileDigest(self.size, self._sha256.hexdigest())

    def _update(self, raw: bytes) -> None:
        self._sha256.update(raw)
        self.size += len(raw)


def chunks(source: Source, digest: FileDigest) -> Iterator[bytes]:
    """Yields the unpacked bytes of a text in chunks, of which only the last is empty.

    Args:
        digest: its size is updated with every chunk; at the end it is that of the whole file.

    Raises:
        CorpusError: a packed file is damaged, or a file changed while it was read.
        ConfigError: the package that unpacks a file is missing.
        StorageError: the system refused.
    """
    with reading(source.name), _open(source) as file:
        before = None if source.is_stream else _status(file)
        reader = _HashingReader(file)
        unpacked = _unpack(source, reader)
        while True:
            try:
                raw = unpacked.read(CHUNK_BYTES)
            except (EOFError, zlib.error, lzma.LZMAError, OSError, _zstd_error()) as error:
                if isinstance(error, OSError) and error.errno is not None:  # gzip and bz2 have no number in their own
                    raise
                raise CorpusError(
                    f"{source.name}: expected a whole {source.path.suffix} file, found {error}; "
                    "download or pack it again"
                ) from None
            if not raw:
                break
            digest.size = reader.size
            yield raw
        whole = reader.finish()  # bytes behind packed data belong to the digest too
        if before is not None and (_status(file) != before or whole.size != before[1]):
            raise CorpusError(f"{source.name}: the text changed while it was read; start again")
        digest.size, digest.sha256 = whole.size, whole.sha256
        yield b""


def _open(source: Source) -> IO[bytes]:
    if source.is_stream and str(source.path) == STANDARD_INPUT:
        return _StaysOpen(sys.stdin.buffer)  # type: ignore[return-value]
    return source.path.open("rb", buffering=0)


class _StaysOpen:
    """A stream that stays open at the end of a `with` block: standard input belongs to the process."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read = stream.read

    def __enter__(self) -> _StaysOpen:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def _status(file: IO[bytes]) -> tuple[int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


def _unpack(source: Source, file: _HashingReader) -> Any:
    """Returns a reader of the unpacked bytes."""
    if source.is_stream or source.path.suffix not in PACKED:
        return file
    buffered = io.BufferedReader(file, CHUNK_BYTES)
    if source.path.suffix == ".gz":
        return gzip.GzipFile(fileobj=buffered, mode="rb")
    if source.path.suffix == ".bz2":
        return bz2.BZ2File(buffered)
    if source.path.suffix == ".xz":
        return lzma.LZMAFile(buffered)
    try:
        import zstandard
    except ImportError:
        raise ConfigError(
            f"{source.name}: to read .zst takes one more package: pip install 'charnet[zst]', "
            "or pipe the text: zstdcat FILE | charnet train -"
        ) from None
    return _Zstd(buffered, zstandard.ZstdDecompressor())


class _Zstd:
    """Unpacks .zst frame by frame. The library's own reader does not notice that a file was cut."""

    def __init__(self, file: IO[bytes], decompressor: Any) -> None:
        self._file, self._new_frame, self._unused = file, decompressor.decompressobj, b""
        self._frame: Any = decompressor.decompressobj()  # an empty file is not a whole one

    def read(self, size: int) -> bytes:
        """Returns about `size` unpacked bytes; none at the end."""
        unpacked = bytearray()
        while len(unpacked) < size and (raw := self._unused or self._file.read(ZSTD_BYTES)):
            self._frame = self._frame or self._new_frame()
            unpacked += self._frame.decompress(raw)
            self._unused = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        if not unpacked and self._frame:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return bytes(unpacked)


def _zstd_error() -> type[Exception]:
    """Returns the exception that zstandard raises, if that package is loaded."""
    module = sys.modules.get("zstandard")
    return module.ZstdError if module else EOFError


def fingerprint(source: Source) -> FileDigest:
    """Returns the size and the SHA-256 of a file. It reads the whole file.

    Raises:
        StorageError: the system refused.
    """
    with reading(source.name), source.path.open("rb", buffering=0) as file:
        return _HashingReader(file).finish()
