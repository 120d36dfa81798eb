"""The bytes of a text: plain or packed, from a file or a pipe, and the fingerprint of the file that they came from."""

from __future__ import annotations

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
ZSTD_BYTES = 1 << 11  # packed ones at once; hostile ones become 32,000 times as many


@dataclass
class Contents:
    """What is known of a file once all of it was read: its size in bytes and its SHA-256, as `sha256sum` prints it."""

    size: int = 0
    sha256: str = ""


class _Counted(io.RawIOBase):
    """Passes on the bytes of a file and takes its fingerprint on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest, self.size = file, hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raw = self._file.read(len(buffer))
        buffer[: len(raw)] = raw
        self._took(raw)
        return len(raw)

    def read(self, size: int | None = -1) -> bytes:
        raw = self._file.read(-1 if size is None else size)
        self._took(raw)
        return raw

    def _took(self, raw: bytes) -> None:
        self.digest.update(raw)
        self.size += len(raw)


def chunks(source: Source, contents: Contents) -> Iterator[bytes]:
    """The unpacked bytes of a text, chunk by chunk, the last one empty; fills in `contents` when all is read.

    Raises:
        CorpusError: a packed file is damaged, or a file changed while it was read.
        ConfigError: there is no reader for a packed file.
        StorageError: the system refused.
    """
    with reading(source.shown), _opened(source) as file:
        before = None if source.is_stream else _state(file)
        counted = _Counted(file)
        unpacked = _unpacked(source, counted)
        while True:
            try:
                raw = unpacked.read(CHUNK_BYTES)
            except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, _zstd_error()) as error:
                raise CorpusError(
                    f"{source.shown}: expected a whole {source.path.suffix} file, found {error}; fetch or pack it again"
                ) from None
            if not raw:
                break
            contents.size = counted.size
            yield raw
        while counted.read(CHUNK_BYTES):  # what lies behind packed data belongs to the fingerprint
            pass
        if before is not None and (_state(file) != before or counted.size != before[1]):
            raise CorpusError(f"{source.shown}: the text changed while it was read; start again")
        contents.size, contents.sha256 = counted.size, counted.digest.hexdigest()
        yield b""


def _opened(source: Source) -> IO[bytes]:
    if source.is_stream and str(source.path) == STANDARD_INPUT:
        return _Borrowed(sys.stdin.buffer)  # type: ignore[return-value]
    return source.path.open("rb", buffering=0)


class _Borrowed:
    """A stream of somebody else: it stays open."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read = stream.read

    def __enter__(self) -> _Borrowed:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def _state(file: IO[bytes]) -> tuple[int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


def _unpacked(source: Source, file: _Counted) -> Any:
    if source.is_stream or source.path.suffix not in PACKED:
        return file
    buffered = io.BufferedReader(file, CHUNK_BYTES)
    if source.path.suffix == ".gz":
        return gzip.GzipFile(fileobj=buffered, mode="rb")
    if source.path.suffix == ".xz":
        return lzma.LZMAFile(buffered)
    try:
        import zstandard
    except ImportError:
        raise ConfigError(
            f"{source.shown}: reading .zst takes one more package: pip install 'charnet[zst]', "
            "or say zstdcat FILE | charnet train -"
        ) from None
    return _Zstd(buffered, zstandard.ZstdDecompressor())


class _Zstd:
    """Unpacks .zst, one frame behind the other. The library's own reader takes a file that was cut for a whole one."""

    def __init__(self, file: IO[bytes], decompressor: Any) -> None:
        self._file, self._new_frame, self._held = file, decompressor.decompressobj, b""
        self._frame: Any = decompressor.decompressobj()  # one there must be

    def read(self, size: int) -> bytes:
        """About so many bytes; none at the end."""
        text = bytearray()
        while len(text) < size and (raw := self._held or self._file.read(ZSTD_BYTES)):
            self._frame = self._frame or self._new_frame()
            text += self._frame.decompress(raw)
            self._held = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        if not text and self._frame:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return bytes(text)


def _zstd_error() -> type[Exception]:
    """What zstandard raises, if it was loaded."""
    module = sys.modules.get("zstandard")
    return module.ZstdError if module else EOFError


def fingerprint(source: Source) -> Contents:
    """Size and SHA-256 of a file that can be read again.

    Raises:
        StorageError: the system refused.
    """
    contents = Contents()
    with reading(source.shown), source.path.open("rb", buffering=0) as file:
        counted = _Counted(file)
        while counted.read(CHUNK_BYTES):
            pass
    contents.size, contents.sha256 = counted.size, counted.digest.hexdigest()
    return contents
