"""Files of Torch 7 are read as data, completely or not at all."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from old_models import LuaFunction, LuaObject, LuaTensor, random, t7, torch_rnn

from charnet.errors import CheckpointError
from charnet.exchange import t7 as reader

PATH = Path("old.t7")


def parse(value: Any) -> Any:
    return reader.parse(PATH, t7(value))


@pytest.mark.parametrize("value", [None, True, False, 3, -2.5, b"caf\xc3\xa9", b"", 2.0**60, float("inf")])
def test_plain_values_come_back(value: Any) -> None:
    assert parse({1: value})[1] == value


def test_tables_nest_refer_to_each_other_and_to_themselves() -> None:
    inner: dict[Any, Any] = {b"a": True}
    outer: dict[Any, Any] = {1: inner, 2: inner, b"x": {2.5: b"y"}}
    outer[b"self"] = outer
    found = parse(outer)
    assert found[1] is found[2]
    assert found[b"self"] is found
    assert dict(found[b"x"]) == {2.5: b"y"}
    assert found.sequence() == [found[1], found[2]]


@pytest.mark.parametrize(
    ("of", "dtype"),
    [("Float", "f4"), ("Double", "f8"), ("Half", "f2"), ("Byte", "u1"), ("Long", "i8"), ("Cuda", "f4"), ("Cl", "f4"),
     ("CudaDouble", "f8"), ("CudaLong", "i8"), ("Char", "i1"), ("Short", "i2"), ("Int", "i4"), ("CudaHalf", "f2")],
)  # fmt: skip
def test_tensors_of_every_type_come_back_also_those_of_a_gpu(of: str, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    found = parse(LuaTensor(array, of)).array()
    assert found.dtype == array.dtype
    assert (found == array).all()


def test_functions_are_skipped_and_what_stands_behind_them_is_read() -> None:
    functions = [LuaFunction(b"\x1bLJ\2 any bytes", {1: {b"name": b"f", b"value": 2}}, kind) for kind in (6, 7, 8)]
    found = parse({1: functions[0], 2: functions[1], 3: functions[2], 4: functions[2], 5: b"behind"})
    assert all(isinstance(found[number], reader.Function) for number in (1, 2, 3, 4))
    assert found[5] == b"behind"


def test_objects_nest_deeper_than_python_recurses() -> None:
    """Graphs of modules do. The writer of these tests recurses itself."""
    depth = 5000
    raw = b"".join(ints(3, index, 1) + NUMBER_1 for index in range(1, depth + 1)) + ints(0)
    found: Any = reader.parse(PATH, raw)
    for _ in range(depth - 1):
        found = found[1]
    assert dict(found) == {1: None}


def test_files_without_versions_and_objects_of_any_class_are_read() -> None:
    old = struct.pack("<3i", 4, 1, 7) + b"nn.Tanh" + struct.pack("<3i", 3, 2, 0)
    assert reader.parse(PATH, old).name == "nn.Tanh"
    found = parse(LuaObject("my.Class", size=4))
    assert (found.name, found.get("size"), found.get("other")) == ("my.Class", 4, None)


def ints(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def longs(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def named(name: bytes) -> bytes:
    return ints(3) + b"V 1" + ints(len(name)) + name


def tensor(*parts: bytes) -> bytes:
    return ints(4, 1) + named(b"torch.FloatTensor") + b"".join(parts)


def storage(count: int, raw: bytes = b"") -> bytes:
    return ints(4, 2) + named(b"torch.FloatStorage") + longs(count) + raw


NUMBER_1 = ints(1) + struct.pack("<d", 1.0)
NAN = ints(1) + struct.pack("<d", float("nan"))
DAMAGES = {
    "nothing": b"",
    "half a type": b"\3\0",
    "an unknown type": ints(9),
    "a negative type": ints(-1),
    "a table without a size": ints(3, 1),
    "a table of negative size": ints(3, 1, -1),
    "a table larger than the file": ints(3, 1, 1 << 30) + NUMBER_1 * 4,
    "a table that ends early": ints(3, 1, 2) + NUMBER_1 * 3,
    "a nil key": ints(3, 1, 1, 0) + NUMBER_1,
    "a key that is no number": ints(3, 1, 1) + NAN + NUMBER_1,
    "a key twice": ints(3, 1, 2) + NUMBER_1 * 4,
    "a storage as a key": ints(3, 1, 1) + storage(0) + NUMBER_1,
    "half a number": ints(1) + b"\0" * 7,
    "a string longer than the file": ints(2, 5) + b"four",
    "a string of negative length": ints(2, -5) + b"four",
    "a boolean of 2": ints(5, 2),
    "bytes behind the end": ints(0, 0),
    "a class without a name": ints(4, 1, 3) + b"V 1",
    "a class with a huge name": ints(4, 1) + ints(300) + b"n" * 300 + ints(3, 2, 0),
    "an object without fields": ints(4, 1) + named(b"nn.Linear") + ints(0),
    "an object whose fields are a number": ints(4, 1) + named(b"nn.Linear") + NUMBER_1,
    "an object that is its own fields": ints(4, 1) + named(b"nn.Linear") + ints(4, 1),
    "a tensor of negative dimensions": tensor(ints(-1)),
    "a tensor of too many dimensions": tensor(ints(17), longs(*[1] * 35), ints(0)),
    "a tensor of negative size": tensor(ints(1), longs(-3, 1, 1), ints(0)),
    "a tensor without strides": tensor(ints(2), longs(2, 2)),
    "a tensor in a table": tensor(ints(1), longs(1, 1, 1), ints(3, 2, 0)),
    "a tensor in a number": tensor(ints(1), longs(1, 1, 1), NUMBER_1),
    "a tensor in itself": tensor(ints(1), longs(1, 1, 1), ints(4, 1)),
    "a storage of negative length": storage(-1),
    "a storage longer than the file": storage(1 << 40),
    "a storage a little longer than the file": storage(2, b"\0" * 7),
    "a storage that overflows": storage((1 << 63) - 1),
    "a function without its code": ints(8, 1, 400),
    "a function without upvalues": ints(8, 1, 2) + b"ab",
    "a function of negative length": ints(6, -2, 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_one_line(damage: str) -> None:
    with pytest.raises(CheckpointError, match=r"^old\.t7: found ") as refused:
        reader.parse(PATH, DAMAGES[damage])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((4,), (1,), 1), ((2, 2), (1, 2), 1), ((2,), (-1,), 2), ((2,), (1,), 0), ((9,), (0,), 1), ((1 << 62,), (1,), 1),
     ((1 << 40, 1 << 40), (0, 0), 1), ((2,), (1 << 62,), 1), ((2,), (1,), -9)],
)  # fmt: skip
def test_a_tensor_that_leads_out_of_its_storage_is_refused(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    raw = tensor(ints(len(shape)), longs(*shape, *strides, offset), storage(3, b"\0" * 12))
    found = reader.parse(PATH, raw)
    with pytest.raises(ValueError, match="out of its storage"):
        found.array()


def test_strides_and_offsets_are_heeded() -> None:
    raw = tensor(ints(2), longs(2, 2, 1, 2, 2), storage(5, np.arange(5, dtype="<f4").tobytes()))
    assert reader.parse(PATH, raw).array().tolist() == [[1, 3], [2, 4]]


def test_tensors_without_numbers_are_empty() -> None:
    assert reader.parse(PATH, tensor(ints(0), longs(1), ints(0))).array().size == 0
    with pytest.raises(ValueError, match="without numbers"):
        reader.parse(PATH, tensor(ints(1), longs(2, 1, 1), ints(0))).array()


def test_every_truncation_is_refused() -> None:
    raw = t7(torch_rnn(layers=1))
    for length in range(0, len(raw), 7):
        with pytest.raises(CheckpointError):
            reader.parse(PATH, raw[:length])


def test_too_many_values_and_too_deep_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_VALUES", 6)
    monkeypatch.setattr(reader, "DEEPEST", 3)
    assert parse({1: 2, 3: 4})[3] == 4
    with pytest.raises(CheckpointError, match="more than 6 values"):
        parse({1: 2, 3: 4, 5: 6})
    with pytest.raises(CheckpointError, match="more than 3 deep"):
        parse({1: {1: {1: {}}}})


def test_a_file_written_as_text_is_refused_with_the_way_out() -> None:
    with pytest.raises(CheckpointError, match=r'torch\.load\("OLD", "ascii"\)'):
        reader.parse(PATH, b"4\n1\n3\nV 1\n")


def test_numbers_are_not_copied() -> None:
    """So a file takes its own size in memory, and little more."""
    found = parse(LuaTensor(random(50, 20)))
    assert found.array().base is not None
    assert not found.array().flags.owndata
