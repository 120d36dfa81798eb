"""Reads the bytes of a text, plain or packed, from a file or a pipe, and computes the SHA-256 of the file."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import math
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from charnet import regular_file
from charnet.data.file_kinds import PACKED
from charnet.data.sources import Source, reading
from charnet.data.streams import STANDARD_INPUT
from charnet.errors import ConfigError, CorpusError

CHUNK_BYTES = 1 << 20
LARGEST_UNKNOWN = 1 << 30  # bytes of a file that the system says is empty: those of /proc are not
PACKED_BYTES = 1 << 11  # at once; hostile ones unpack to 32,000 times as many


@dataclass
class FileDigest:
    """The size of a file in bytes and its SHA-256, as `sha256sum` prints it; empty until the whole file was read."""

    size: int = 0
    sha256: str = ""


class _HashingReader(io.RawIOBase):
    """Passes on the bytes of a source, counts them and hashes them. A file is read to the size that it has now.

    Raises:
        CorpusError: a file grows while it is read.
    """

    def __init__(self, source: Source, file: IO[bytes]) -> None:
        self._source, self._file, self._sha256, self.size = source, file, hashlib.sha256(), 0
        self._most = math.inf if source.is_stream else _status(file)[1] or LARGEST_UNKNOWN

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raw = self.read(len(buffer))
        buffer[: len(raw)] = raw
        return len(raw)

    def read(self, size: int | None = -1) -> bytes:
        raw: bytes | None = self._file.read(-1 if size is None else size)
        if raw is None:  # such a file waits for what the system has to say
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self._sha256.update(raw)
        self.size += len(raw)
        if self.size > self._most:
            raise _changed(self._source)
        return raw

    def finish(self) -> FileDigest:
        """Reads the rest of the file, and returns its size and SHA-256."""
        while self.read(CHUNK_BYTES):
            pass
        return FileDigest(self.size, self._sha256.hexdigest())


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
        reader = _HashingReader(source, file)
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
        if before is not None and (_status(file) != before or before[1] not in (0, whole.size)):  # 0: of /proc
            raise _changed(source)
        digest.size, digest.sha256 = whole.size, whole.sha256
        yield b""


def _changed(source: Source) -> CorpusError:
    return CorpusError(f"{source.name}: the text changed while it was read; start again")


def _open(source: Source) -> IO[bytes]:
    if source.is_stream and str(source.path) == STANDARD_INPUT:
        return _StaysOpen(sys.stdin.buffer)  # type: ignore[return-value]
    if source.is_stream:
        return source.path.open("rb", buffering=0)
    return regular_file.open_regular(source.path).detach()  # type: ignore[return-value]


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
    suffix = source.path.suffix
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=io.BufferedReader(file, CHUNK_BYTES), mode="rb")
    if suffix == ".bz2":
        return _Frames(file, bz2.BZ2Decompressor)
    if suffix == ".xz":
        return _Frames(file, lzma.LZMADecompressor, padding=4)
    try:
        import zstandard
    except ImportError:
        raise ConfigError(
            f"{source.name}: to read .zst takes one more package: pip install 'charnet[zst]', "
            "or pipe the text: zstdcat FILE | charnet train -"
        ) from None
    return _Frames(file, zstandard.ZstdDecompressor().decompressobj)


class _Frames:
    """Unpacks a file frame by frame. The libraries' own readers take what follows a whole frame for its end, so they do
    not notice that a second one is damaged, or that a file of .zst was cut.

    Args:
        new_frame: makes the decompressor of a frame.
        padding: whether zeros may follow a frame, and of what their number is a multiple.
    """

    def __init__(self, file: _HashingReader, new_frame: Callable[[], Any], padding: int = 0) -> None:
        self._file, self._new_frame, self._padding = file, new_frame, padding
        self._frame: Any = new_frame()  # an empty file is not a whole one
        self._packed = b""

    def read(self, size: int) -> bytes:
        """Returns about `size` unpacked bytes; none at the end."""
        unpacked = bytearray()
        while len(unpacked) < size:
            hungry = getattr(self._frame, "needs_input", True)
            if hungry and not self._packed and not self._fill():
                break
            self._frame = self._frame or self._new_frame()
            unpacked += self._unpack(size - len(unpacked))
        if not unpacked and self._frame:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return bytes(unpacked)

    def _fill(self) -> bool:
        """Reads more packed bytes, behind the padding of a frame; returns whether there are any."""
        self._packed = self._file.read(PACKED_BYTES)
        if self._frame is None and self._padding:
            self._skip_padding()
        return bool(self._packed)

    def _skip_padding(self) -> None:
        zeros = 0
        while self._packed.startswith(b"\0"):
            rest = self._packed.lstrip(b"\0")
            zeros += len(self._packed) - len(rest)
            self._packed = rest or self._file.read(PACKED_BYTES)
        if zeros % self._padding:
            raise EOFError(f"padding of {zeros} bytes")

    def _unpack(self, most: int) -> bytes:
        """Unpacks at most so many bytes, if the decompressor can be held to that."""
        bounded = hasattr(self._frame, "needs_input")
        packed, self._packed = self._packed, b""
        found: bytes = self._frame.decompress(packed, most) if bounded else self._frame.decompress(packed)
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None
            if self._padding:
                self._skip_padding()
        return found


def _zstd_error() -> type[Exception]:
    """Returns the exception that zstandard raises, if that package is loaded."""
    module = sys.modules.get("zstandard")
    return module.ZstdError if module else EOFError


def fingerprint(source: Source) -> FileDigest:
    """Returns the size and the SHA-256 of a file. It reads the whole file.

    Raises:
        CorpusError: it grows while it is read.
        StorageError: the system refused.
    """
    with reading(source.name), _open(source) as file:
        return _HashingReader(source, file).finish()
