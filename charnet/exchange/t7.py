"""Reads files of Torch 7 (`.t7`) as data: strictly, without Lua, and nothing in them is executed.

A file is one object, written depth first, in little-endian order. An object is a 4-byte type and then

    0 nil                                               1 number: 8 bytes
    2 string: 4-byte length, bytes                      5 boolean: 4 bytes
    3 table: index, number of pairs, keys and values    6, 7, 8 function: dumped Lua, and a table of its upvalues
    4 object of a class: index, version, class, content

An index (4 bytes) that has occurred before refers to the object that was read there. The content of a tensor is its
number of dimensions, sizes, strides, offset (8 bytes each) and storage; that of a storage its length and numbers; that
of any other class a table. Source: `File.lua` and `generic/Tensor.c` of torch7. Tensors on a GPU are written alike.

Every length is compared with what is left of the file before anything is made of it, so memory stays within a multiple
of the file's size. Nested objects are kept on a list of our own, since graphs of modules nest hundreds deep. The dumped
Lua of functions is skipped as bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.errors import CheckpointError, quoted
from charnet.exchange.old_file import damaged

NIL, NUMBER, STRING, TABLE, OBJECT, BOOLEAN, FUNCTION, OLD_CLOSURE, CLOSURE = range(9)
AS_TEXT = (b"3\n", b"4\n")
MOST_VALUES = 2_000_000  # a long history of losses has two for each step
DEEPEST = 20_000
LONGEST_CLASS = 200  # bytes
MOST_DIMENSIONS = 16
TYPES = {  # of numbers, by the names of classes: torch.FloatTensor, torch.FloatStorage
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "Byte": "u1", "Char": "i1", "Short": "<i2", "Int": "<i4",
    "Long": "<i8", "Cuda": "<f4", "CudaDouble": "<f8", "CudaHalf": "<f2", "CudaByte": "u1", "CudaChar": "i1",
    "CudaShort": "<i2", "CudaInt": "<i4", "CudaLong": "<i8", "Cl": "<f4",
}  # fmt: skip
TENSORS = {f"torch.{name}Tensor" for name in TYPES}
STORAGES = {f"torch.{name}Storage": np.dtype(dtype) for name, dtype in TYPES.items()}

Numbers = npt.NDArray[Any]
Reading = Generator[None, Any, Any]  # yields where a nested object begins, and is sent that object


class Table(dict[Any, Any]):
    """A Lua table: names are bytes, whole numbers are ints. Tables can be keys: each is equal to itself alone."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def sequence(self) -> list[Any]:
        """Returns the values of the keys 1, 2, 3 and on."""
        values: list[Any] = []
        while (key := len(values) + 1) in self:
            values.append(self[key])
        return values


@dataclass(eq=False)
class Instance:
    """An object of a class of Lua, with its fields."""

    name: str
    fields: Table = field(default_factory=Table)

    def get(self, name: str) -> Any:
        """Returns a field, or None."""
        return self.fields.get(name.encode())


@dataclass(eq=False)
class Tensor:
    """A view of a storage. It is not checked against the storage before `array` is called."""

    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    offset: int = 0
    storage: Numbers | None = None

    def array(self) -> Numbers:
        """Returns the numbers in the shape of the tensor, without a copy where that is possible.

        Raises:
            ValueError: the view leads out of its storage, or repeats parts of it.
        """
        count = math.prod(self.shape) if self.shape else 0
        if self.storage is None or not count:
            if count:
                raise ValueError("a tensor without numbers")
            return np.empty(self.shape or (0,), np.float32)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.strides)) < 0 or max(last + 1, count) > len(self.storage):
            raise ValueError("a tensor that leads out of its storage")
        item = self.storage.itemsize
        steps = tuple(stride * item for stride in self.strides)
        return np.lib.stride_tricks.as_strided(self.storage[self.offset :], self.shape, steps, writeable=False)


class Function:
    """A function of Lua, which was skipped."""


def looks_like_one(raw: bytes) -> bool:
    """Returns whether a file begins as a table or an object of Torch 7, binary or as text."""
    return raw[:4] in (b"\3\0\0\0", b"\4\0\0\0") or raw[:2] in AS_TEXT


def parse(path: Path, raw: bytes) -> Any:
    """Parses the content of a file: None, a float, bool or bytes, a `Table`, `Instance`, `Tensor` or `Function`.

    Args:
        path: the file, for messages.

    Raises:
        CheckpointError: it is damaged, or larger than any known model.
    """
    if raw[:2] in AS_TEXT:
        raise CheckpointError(
            f"{path}: expected a binary file of Torch 7, found one written as text; "
            'in Torch: torch.save("NEW", torch.load("OLD", "ascii"))'
        )
    reader = _Reader(path, raw)
    found = reader.read()
    if reader.at != len(raw):
        raise damaged(path, f"{len(raw) - reader.at:,} bytes behind its end")
    return found


class _Reader:
    def __init__(self, path: Path, raw: bytes) -> None:
        self._path, self._raw, self.at = path, raw, 0
        self._known: dict[int, Any] = {}
        self._values = 0

    def read(self) -> Any:
        """Reads an object with all that is nested in it."""
        nested, value = [self._object()], None
        while nested:
            try:
                nested[-1].send(value)
            except StopIteration as done:
                nested.pop()
                value = done.value
                continue
            if len(nested) == DEEPEST:
                raise damaged(self._path, f"objects nested more than {DEEPEST:,} deep")
            nested.append(self._object())
            value = None
        return value

    def _object(self) -> Reading:
        self._values += 1
        if self._values > MOST_VALUES:
            raise damaged(self._path, f"more than {MOST_VALUES:,} values")
        kind = self._int()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return _number(self._unpack("<d", 8))
        if kind == BOOLEAN:
            return self._bool()
        if kind == STRING:
            return self._string()
        if kind == FUNCTION:
            return (yield from self._function())
        if kind not in (TABLE, OBJECT, OLD_CLOSURE, CLOSURE):
            raise damaged(self._path, f"an unknown type {kind} before byte {self.at:,}")
        index = self._int()
        if index in self._known:
            return self._known[index]
        if kind == TABLE:
            self._known[index] = table = Table()
            return (yield from self._pairs(table))
        if kind == OBJECT:
            return (yield from self._instance(index))
        self._known[index] = Function()
        return (yield from self._function())

    def _pairs(self, table: Table) -> Reading:
        size = self._length(8)  # a pair takes at least two types
        for _ in range(size):
            key = yield
            value = yield
            if key is None or isinstance(key, np.ndarray) or key != key or key in table:
                raise damaged(self._path, f"an invalid key of a table before byte {self.at:,}")
            table[key] = value
        return table

    def _instance(self, index: int) -> Reading:
        version = self._string(LONGEST_CLASS)
        name = (self._string(LONGEST_CLASS) if version.startswith(b"V ") else version).decode("latin-1")
        if name in TENSORS:
            self._known[index] = tensor = Tensor()
            return (yield from self._tensor(tensor))
        if name in STORAGES:
            self._known[index] = numbers = self._numbers(STORAGES[name])
            return numbers
        self._known[index] = instance = Instance(name)
        fields = yield
        if not isinstance(fields, Table):
            raise damaged(self._path, f"an object {quoted(name)} without fields")
        instance.fields = fields
        return instance

    def _tensor(self, tensor: Tensor) -> Reading:
        dimensions = self._int()
        if not 0 <= dimensions <= MOST_DIMENSIONS:
            raise damaged(self._path, f"a tensor of {dimensions} dimensions")
        sizes = self._longs(dimensions)
        if any(size < 0 for size in sizes):
            raise damaged(self._path, "a tensor of negative size")
        tensor.shape, tensor.strides, tensor.offset = sizes, self._longs(dimensions), self._longs(1)[0] - 1
        storage = yield
        if storage is not None and not isinstance(storage, np.ndarray):
            raise damaged(self._path, "a tensor without a storage")
        tensor.storage = storage
        return tensor

    def _function(self) -> Reading:
        self._string()
        yield
        return Function()

    def _numbers(self, dtype: np.dtype[Any]) -> Numbers:
        (count,) = self._longs(1)
        if not 0 <= count <= (len(self._raw) - self.at) // dtype.itemsize:
            raise damaged(self._path, f"a storage of {count:,} numbers where the file ends before")
        begin = self._skip(count * dtype.itemsize)
        return np.frombuffer(self._raw, dtype, count, begin) if count else np.empty(0, dtype)

    def _string(self, longest: int = 1 << 31) -> bytes:
        size = self._length(1)
        if size > longest:
            raise damaged(self._path, f"a name of {size:,} bytes")
        begin = self._skip(size)
        return self._raw[begin : begin + size]

    def _bool(self) -> bool:
        if (value := self._int()) not in (0, 1):
            raise damaged(self._path, f"a boolean that is {value}")
        return value == 1

    def _length(self, least_bytes: int) -> int:
        """Reads a number of things that take at least so many bytes each."""
        length = self._int()
        if not 0 <= length <= (len(self._raw) - self.at) // least_bytes:
            raise damaged(self._path, f"a length of {length:,} where the file ends before")
        return length

    def _int(self) -> int:
        return int(self._unpack("<i", 4))

    def _longs(self, count: int) -> tuple[int, ...]:
        begin = self._skip(8 * count)
        return struct.unpack_from(f"<{count}q", self._raw, begin)

    def _unpack(self, form: str, size: int) -> Any:
        return struct.unpack_from(form, self._raw, self._skip(size))[0]

    def _skip(self, size: int) -> int:
        """Goes on by so many bytes, and returns where they begin."""
        begin = self.at
        if size > len(self._raw) - begin:
            raise damaged(self._path, "an end in the middle of an object")
        self.at = begin + size
        return begin


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
