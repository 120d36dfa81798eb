"""Writes TensorBoard's event files: numbers and texts by step, with the standard library alone.

An event file is a TFRecord file (tensorflow.org/tutorials/load_data/tfrecord): for each record its length, a checksum
of the length, the record and a checksum of that. The checksum is CRC-32C (RFC 3720, appendix B.4) "masked": rotated,
and a constant added. A record is an `Event` of TensorBoard's `event.proto`, `summary.proto` and `tensor.proto` in the
wire format of Protocol Buffers (protobuf.dev/programming-guides/encoding). The numbers below are those of their
fields.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, its bits reversed
MASK = 0xA282EAD8
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
STRING = 7  # the type of a tensor
START = 1  # a session starts: TensorBoard drops what it has read of the step of this event and later ones
LARGEST_FLOAT = 3.4e38


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
    return value


_CRC_TABLE = [_crc_of_byte(value) for value in range(256)]


class EventFile:
    """A new event file in a folder, which is made if it is missing. TensorBoard reads files in the order of names.

    Args:
        step: what earlier files say about later steps is done again.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        folder.mkdir(exist_ok=True)
        earlier = (path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*"))
        newest = max((int(number) for number in earlier if number.isdecimal() and number.isascii()), default=0)
        self.path = folder / f"events.out.tfevents.{max(newest + 1, int(time.time())):010d}.charnet"
        self._file = self.path.open("xb", buffering=0)
        self._write(0, _field(3, b"brain.Event:2"))
        self.start(step)

    def start(self, step: int) -> None:
        """Makes TensorBoard drop what it has read about later steps than this one.

        It does so at every start of a session but the first that it sees, so there has to be one at the beginning.
        """
        self._write(step + 1 if step else 0, _field(7, _field(1, START)))

    def write(self, step: int, values: Mapping[str, float | str]) -> None:
        """Writes numbers and texts of a step."""
        self._write(step, _field(5, b"".join(_field(1, _value(tag, value)) for tag, value in values.items())))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, step: int, content: bytes) -> None:
        self._file.write(_record(_field(1, time.time()) + _field(2, step) + content))


def _value(tag: str, value: float | str) -> bytes:
    """Returns a number as the scalar plugin wants it, or a text as the text plugin does: Markdown, a block of code."""
    name = _field(1, tag.encode())
    if not isinstance(value, str):
        number = min(max(value, -LARGEST_FLOAT), LARGEST_FLOAT)
        return name + _varint(2 << 3 | FIXED32) + struct.pack("<f", number)
    block = "".join(f"    {line}\n" for line in value.split("\n"))
    shape = _field(2, _field(2, _field(1, 1)))  # one dimension of one text
    tensor = _field(1, STRING) + shape + _field(8, block.encode("utf-8", "replace"))
    return name + _field(9, _field(1, _field(1, b"text"))) + _field(8, tensor)


def _field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, bytes):
        return _varint(number << 3 | BYTES) + _varint(len(value)) + value
    if isinstance(value, int):
        return _varint(number << 3 | VARINT) + _varint(value)
    return _varint(number << 3 | FIXED64) + struct.pack("<d", value)


def _varint(value: int) -> bytes:
    """Encodes a number that is not negative: seven bits a byte, the lowest first.

    >>> _varint(300).hex()
    'ac02'
    """
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of some bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
