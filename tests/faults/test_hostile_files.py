"""Hostile files: made to be believed, to run code, to take memory or to hang. Each is refused in a line."""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import json
import lzma
import marshal
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import Refusals, at_most, document_of, header_text, of_size, packed, signed_text, with_text
from test_checkpoint import drop, entry, parts, put, tiny

import charnet
from charnet.cli.app import run
from charnet.data.vocab import Vocabulary
from charnet.errors import CheckpointError, StorageError
from charnet.storage import tensorfile
from charnet.storage.checkpoint import SCALE as OF_A_ROW
from charnet.storage.checkpoint import Checkpoint

MOST_SECONDS = 0.1  # of the processor, until a hostile file is refused
MOST_MEMORY = 64 << 20  # bytes beyond those of a process that has read a checkpoint
LARGEST = tensorfile.LARGEST_HEADER
Forge = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return packed(tiny(), tmp_path_factory.mktemp("whole"))


@pytest.fixture
def refusals(tmp_path: Path, request: pytest.FixtureRequest) -> Refusals:
    return Refusals(tmp_path / "c.safetensors", tries=5 if request.node.get_closest_marker("faults") else 1)


# -------------------------------------------------------------------------------------- a right checksum over it all


def length(number: int) -> Forge:
    return lambda whole: struct.pack("<Q", number) + whole[8:]


def header(text: bytes) -> Forge:
    """A file of any header, with 8 bytes of data."""
    return lambda _: struct.pack("<Q", len(text)) + text + bytes(8)


def in_header(change: Callable[[dict[str, Any], int], Any]) -> Forge:
    """A changed header, given with the length of the data."""

    def forge(whole: bytes) -> bytes:
        table, data = parts(whole)
        change(table, len(data))
        return signed_text(header_text(table), data)

    return forge


def tensor(name: str = "state.x", **changes: Any) -> Forge:
    """One tensor more, empty and at the end unless it is changed."""

    def change(table: dict[str, Any], end: int) -> None:
        table[name] = entry(shape=[0], offsets=[end, end]) | changes

    return in_header(change)


def place(**changes: Any) -> Forge:
    """The first tensor otherwise than it is."""

    def change(table: dict[str, Any], _: int) -> None:
        table["model.embedding.weight"] |= changes

    return in_header(change)


def part(keys: str, value: Any) -> Forge:
    """A part of the document with another value."""

    def forge(whole: bytes) -> bytes:
        document = document_of(whole)
        put(document, keys, value)
        return with_text(whole, json.dumps(document, ensure_ascii=False))

    return forge


def literal(keys: str, text: str) -> Forge:
    """A part of the document with another value, as it stands in the text."""

    def forge(whole: bytes) -> bytes:
        document = document_of(whole)
        put(document, keys, "HERE")
        return with_text(whole, json.dumps(document).replace('"HERE"', text))

    return forge


def document(text: str) -> Forge:
    return lambda whole: with_text(whole, text)


def weight(name: str, value: Any) -> Forge:
    """Weights that are not what they should be; `None` leaves them out."""

    def forge(_: bytes) -> bytes:
        other = tiny()
        other.tensors.pop(name, None)
        if value is not None:
            other.tensors[name] = value
        return bytes(tensorfile.pack(other.document.to_json(), other.tensors))

    return forge


def broken(name: str, number: float) -> Forge:
    wrong = tiny().tensors[name].copy()
    wrong.flat[0] = number
    return weight(name, wrong)


def of_8_bits(name: str, value: Any = None) -> Forge:
    """Weights of 8 bits, one tensor of them not what it should be; `None` leaves it out."""

    def forge(_: bytes) -> bytes:
        other = tiny().quantize()
        other.tensors.pop(name, None)
        if value is not None:
            other.tensors[name] = value
        return bytes(tensorfile.pack(other.document.to_json(), other.tensors))

    return forge


def of_format_1(_: bytes) -> bytes:
    other = tiny().quantize()
    return bytes(tensorfile.pack(other.document.to_json() | {"format": 1}, other.tensors))


def of_length(text: str, characters: int = tensorfile.MOST_CHARACTERS - 10_000) -> str:
    return text.ljust(characters, "x")


def many_tensors(count: int) -> Forge:
    def change(table: dict[str, Any], end: int) -> None:
        table |= {f"t{i}": entry(shape=[0], offsets=[end, end]) for i in range(count)}

    return in_header(change)


def overlapping(table: dict[str, Any], _: int) -> None:
    table["model.head.bias"]["data_offsets"] = table["optimizer.m.head.bias"]["data_offsets"]


def a_hole(table: dict[str, Any], _: int) -> None:
    del table["optimizer.m.head.bias"]


def twice(name: bytes) -> Forge:
    """A name of the header that stands there twice."""

    def forge(whole: bytes) -> bytes:
        table, data = parts(whole)
        text = header_text(table)
        return signed_text(b'{"' + name + b'":' + json.dumps(table[name.decode()]).encode() + b"," + text[1:], data)

    return forge


ALL_OF_UNICODE = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
HEAD, EMBEDDING = "model.head.weight", "model.embedding.weight"
SCALE = HEAD + OF_A_ROW
FACE = "\U0001f600"  # one of these makes a text take four bytes for each of its characters

HOSTILE: dict[str, Forge] = {
    "length 0": length(0),
    "length 1": length(1),
    "length 2": length(2),
    "length of the largest": length(LARGEST),
    "length of 4 GB": length(2**32),
    "length 2^31": length(2**31),
    "length 2^63": length(2**63),
    "length 2^64-1": length(2**64 - 1),
    "length beyond the file": lambda whole: struct.pack("<Q", len(whole) - 7) + whole[8:],
    "length that wraps around": length(2**64 - 8),
    "deep lists": header(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"),
    "deeper lists": header(b"[" * 150_000),
    "deep tables": header(b'{"a":' * 990 + b"1" + b"}" * 990),
    "deeper tables": header(b'{"a":' * 100_000),
    "closed deep tables": header(b'{"a":' * 60_000 + b"1" + b"}" * 60_000),
    "five million spaces": header(b" " * (LARGEST - 2) + b"{}"),
    "five million spaces at its end": header(b"{}" + b" " * (LARGEST - 2)),
    "one string": header(b'{"a":"' + b"x" * (LARGEST - 8) + b'"}'),
    "one string of wide characters": header(b'{"a":"' + of_length(FACE, LARGEST - 11).encode() + b'"}'),
    "one name of wide characters": header(b'{"' + of_length(FACE).encode() + b'":1}'),
    "one string of escapes": header(b'{"a":"' + b"\\u1234" * 330_000 + b'"}'),
    "one string of quotes": header(b'{"a":"' + b'\\"' * 990_000 + b'"}'),
    "many wide strings": header(json.dumps({FACE * i: FACE * i for i in range(900)}, ensure_ascii=False).encode()),
    "a string without an end": header(b'{"a":"' + b"x" * 1_999_990),
    "as many values as are allowed": header(b"[" + b"1," * 99_000 + b"1]"),
    "as many fractions as are allowed": header(b"[" + b"1.5," * 99_000 + b"1]"),
    "as many tables as are allowed": header(b"[" + b'{"a":1},' * 49_000 + b"1]"),
    "as many names as are allowed": header(b"{" + b",".join(b'"%d":1' % i for i in range(99_000)) + b"}"),
    "more values than are allowed": header(b"[" + b"1," * 2_000_000 + b"1]"),
    "a number of 10^4 digits": header(b'{"a":' + b"9" * 10_000 + b"}"),
    "thousands of numbers of 4000 digits": header(b"[" + b",".join([b"9" * 4000] * 1300) + b"]"),
    "a fraction of two million digits": header(b'{"a":0.' + b"9" * 1_999_990 + b"}"),
    "an exponent of a million digits": header(b'{"a":1e' + b"9" * 10**6 + b"}"),
    "1e400": header(b'{"a":1e400}'),
    "a zero byte": header(b'{"a\0":1}'),
    "half a character": header(b'{"\xf0\x9f\x98":1}'),
    "an overlong slash": header(b'{"\xc0\xaf":1}'),
    "a tensor twice": twice(b"model.head.bias"),
    "metadata twice": twice(b"__metadata__"),
    "overlapping tensors": in_header(overlapping),
    "a hole": in_header(a_hole),
    "a shape that overflows": place(shape=[2**33, 2**31]),
    "a shape that overflows to the right size": place(shape=[2**62 + 6, 4]),
    "a large shape behind a side of nothing": tensor("state.x", shape=[0, 999, 999, 999]),
    "a shape of many ones": place(shape=[6, 2, 1, 1, 1]),
    "a shape of a thousand sides": place(shape=[1] * 1000),
    "a shape of words": place(shape=["6", "2"]),
    "a shape of floats": place(shape=[6.0, 2.0]),
    "a shape of truth": place(shape=[True, 12]),
    "two negative sides": place(shape=[-6, -2]),
    "a side of 190 digits": place(shape=[10**190, 0]),
    "a transposed shape": place(shape=[2, 6]),
    "negative offsets": place(data_offsets=[-48, 0]),
    "offsets of floats": place(data_offsets=[0.0, 48.0]),
    "offsets in the header": place(data_offsets=[-8, 40]),
    "offsets beyond the file": place(data_offsets=[2**40, 2**40 + 48]),
    "offsets the wrong way round": place(data_offsets=[48, 0]),
    "three offsets": place(data_offsets=[0, 48, 96]),
    "an unknown type": place(dtype="BF16"),
    "a type of objects": place(dtype="|O"),
    "a type of 10^6 characters": place(dtype="F" * 10**6),
    "a type of lists": place(dtype=[]),
    "one more key": place(strides=[1, 2]),
    "10^4 tensors": many_tensors(10_000),
    "10^5 tensors": many_tensors(100_000),
    "a name with ESC": tensor("state.\x1b]0;x\x07"),
    "a name with ../": tensor("state.../../etc/passwd"),
    "a name of 10^6 characters": tensor("a" * 10**6),
    "a name of 10^6 dots": tensor("a." * 10**6 + "!"),
    "a name of two million wide characters": tensor(of_length(FACE)),
    "a name that changes direction": tensor("state.\u202ex"),
    "a name of no letters": tensor(""),
    "a name of half a character": tensor("state.\ud800"),
    "metadata of lists": in_header(lambda table, _: put(table, "__metadata__", [["format", "charnet"]])),
    "another program's metadata": in_header(lambda table, _: put(table, "__metadata__/format", "pt")),
    "a document of numbers": in_header(lambda table, _: put(table, "__metadata__/charnet", 3)),
    "a document in a document": in_header(lambda table, _: put(table, "__metadata__/charnet", {"format": 1})),
    "no document": in_header(lambda table, _: drop(table, "__metadata__/charnet")),
    "a deep document": document('{"a":' * 900 + "1" + "}" * 900),
    "a deeper document": document("[" * 150_000),
    "a document of many tables": document("[" + '{"a":1},' * 45_000 + "1]"),
    "a format of 10^4 digits": literal("format", "9" * 10_000),
    "a format of 200 digits": literal("format", "9" * 200),
    "a format below zero": part("format", -1),
    "a format of truth": part("format", True),
    "a format with a fraction": part("format", 1.0),
    "a part twice": document('{"format":1,"format":1}'),
    "an alphabet with duplicates": part("alphabet", "\n aabé"),
    "an alphabet out of order": part("alphabet", "é\n ab😀"),
    "an alphabet of half characters": literal("alphabet", '"\\n ab\\ud800\\udfff"'),
    "an empty alphabet": part("alphabet", ""),
    "an alphabet of no bytes": part("alphabet", []),
    "an alphabet of bytes beyond 255": part("alphabet", [0, 1, 2, 3, 4, 2**62]),
    "an alphabet of bytes and truth": part("alphabet", [True, 2, 3, 4, 5, 6]),
    "an alphabet of nested lists": part("alphabet", [[0, 1, 2, 3, 4, 5]]),
    "an alphabet of one letter two million times": part("alphabet", of_length("")),
    "an alphabet of one wide letter a million times": part("alphabet", FACE * 10**6),
    "an alphabet of 90 000 bytes": part("alphabet", [7] * 90_000),
    "an alphabet of all of Unicode": part("alphabet", ALL_OF_UNICODE),
    "an alphabet of all of Unicode and its last once more": part("alphabet", ALL_OF_UNICODE + ALL_OF_UNICODE[-1]),
    "a cell of two million characters": part("config/model/cell", of_length("")),
    "a cell of wide characters": part("config/model/cell", of_length(FACE)),
    "a size of two million characters": part("config/model/hidden_size", of_length(FACE)),
    "a size of deep lists": literal("config/model/hidden_size", "[" * 900 + "]" * 900),
    "a size of many tables": literal("config/model/hidden_size", "[" + '{"a":1},' * 45_000 + "1]"),
    "a size of 200 digits": literal("config/model/hidden_size", "9" * 200),
    "a size out of range": part("config/model/hidden_size", 2**31),
    "a size below zero": part("config/model/hidden_size", -(2**63)),
    "a size of nothing": part("config/model/hidden_size", None),
    "layers of truth": part("config/model/num_layers", True),
    "dropout of NaN": literal("config/model/dropout", "NaN"),
    "dropout of 1e400": literal("config/model/dropout", "1e400"),
    "dropout of -1e400": literal("config/model/dropout", "-1e400"),
    "a section of two million characters": part(f"config/{of_length('')}", {}),
    "a setting of two million characters": part(f"config/model/{of_length(FACE)}", 1),
    "a setting with ESC": part("config/model/\x1b[2J", 1),
    "a setting of Python": part("config/model/__class__", "os.system"),
    "paths of numbers": part("config/data/paths", ["a"] * 90_000 + [1]),
    "an unknown key in corpus": part("corpus/owner", "x"),
    "an unknown key in progress": part("progress/steps", 1),
    "a key of Python in progress": part("progress/__init__", 1),
    "a key of two million characters in progress": part(f"progress/{of_length(FACE)}", 1),
    "a key with ESC in corpus": part("corpus/\x1b[2J", 1),
    "a corpus without a name": lambda whole: with_text(whole, json.dumps(document_of(whole) | {"corpus": {}})),
    "a corpus' name of two million characters": part("corpus/name", of_length(FACE)),
    "a corpus' key that is a path": part("corpus/key", "../../../etc/passwd"),
    "a corpus' key of capitals": part("corpus/key", "AB" * 32),
    "a corpus' key and a line end": part("corpus/key", "ab" * 32 + "\n"),
    "steps of truth": part("progress/step", True),
    "steps with a fraction": part("progress/step", 40.5),
    "steps of 1e400": literal("progress/step", "1e400"),
    "steps of 200 digits": literal("progress/step", "9" * 200),
    "losses of truth": part("progress/best_nats_per_char", False),
    "a position of floats": part("progress/position", [1.0, 2.0]),
    "a position of 90 000 numbers": part("progress/position", [1] * 90_000),
    "history of words": part("history/0/val_nats_per_char", "1.25"),
    "history of truth": part("history/0/step", True),
    "history of lists": part("history", [[["step", 1]]] * 20_000),
    "history whose last line is none": part("history", [{"step": 1}] * 40_000 + [3]),
    "history of 10^4 digits": literal("history/0/step", "9" * 10_000),
    "versions of numbers": part("versions/torch", 2.13),
    "a version of two million characters": part("versions/torch", of_length(FACE)),
    "a program of two million characters": part(f"versions/{of_length(FACE)}", "1"),
    "a date of two million characters": part("created", of_length(FACE)),
    "a date that is a number": part("created", 1735787045),
    "weights of NaN": broken(HEAD, np.nan),
    "weights of inf": broken(EMBEDDING, -np.inf),
    "weights of bytes": weight(HEAD, np.zeros((6, 3), dtype=np.uint8)),
    "weights of another shape": weight(HEAD, np.zeros((3, 6), dtype=np.float32)),
    "weights of no number at all": weight(HEAD, np.zeros((6, 0), dtype=np.float32)),
    "weights that are missing": weight(HEAD, None),
    "weights of one layer more": weight("model.layers.2.bias", np.zeros(12, dtype=np.float32)),
    "8 bits without a scale": of_8_bits(SCALE),
    "8 bits of another shape": of_8_bits(HEAD, np.zeros((3, 6), dtype=np.int8)),
    "8 bits below -127": of_8_bits(HEAD, np.full((6, 3), -128, dtype=np.int8)),
    "8 bits for one matrix alone": weight(HEAD, np.zeros((6, 3), dtype=np.int8)),
    "8 bits for all matrices but one": of_8_bits(HEAD, np.zeros((6, 3), dtype=np.float32)),
    "8 bits for a bias": of_8_bits("model.head.bias", np.zeros(6, dtype=np.int8)),
    "8 bits in a file of format 1": of_format_1,
    "8 bits in the optimizer": weight("optimizer.m.head.bias", np.zeros(6, dtype=np.int8)),
    "8 bits in the state": of_8_bits("state.0", np.zeros((1, 2, 3), dtype=np.int8)),
    "8 bits in random numbers": weight("random.torch", np.zeros(16, dtype=np.int8)),
    "a scale of one matrix of 32 bits": weight(SCALE, np.ones(6, dtype=np.float32)),
    "a scale of no matrix": of_8_bits("model.neck.weight" + OF_A_ROW, np.ones(6, dtype=np.float32)),
    "a scale of a bias": of_8_bits("model.head.bias" + OF_A_ROW, np.ones(6, dtype=np.float32)),
    "a scale of a scale": of_8_bits(SCALE + OF_A_ROW, np.ones(6, dtype=np.float32)),
    "a scale that is too short": of_8_bits(SCALE, np.ones(5, dtype=np.float32)),
    "a scale that is too long": of_8_bits(SCALE, np.ones(7, dtype=np.float32)),
    "a scale for each column": of_8_bits(SCALE, np.ones(3, dtype=np.float32)),
    "a scale for each number": of_8_bits(SCALE, np.ones((6, 3), dtype=np.float32)),
    "a scale of one number": of_8_bits(SCALE, np.ones((), dtype=np.float32)),
    "a scale of no numbers": of_8_bits(SCALE, np.ones(0, dtype=np.float32)),
    "a scale of 8 bits": of_8_bits(SCALE, np.ones(6, dtype=np.int8)),
    "a scale of bytes": of_8_bits(SCALE, np.ones(6, dtype=np.uint8)),
    "a scale of NaN": of_8_bits(SCALE, np.array([1, 1, 1, 1, 1, np.nan], dtype=np.float32)),
    "a scale of inf": of_8_bits(SCALE, np.array([1, 1, 1, 1, 1, np.inf], dtype=np.float32)),
    "a scale of -inf": of_8_bits(SCALE, np.array([1, 1, 1, 1, 1, -np.inf], dtype=np.float32)),
    "a scale of zero": of_8_bits(SCALE, np.array([1, 1, 1, 1, 1, 0], dtype=np.float32)),
    "a scale of -0": of_8_bits(SCALE, np.array([1, 1, 1, 1, 1, -0.0], dtype=np.float32)),
    "a scale below zero": of_8_bits(SCALE, np.array([1, 1, 1, 1, 1, -1e-3], dtype=np.float32)),
    "a scale beyond all bounds": of_8_bits(SCALE, np.array([1, 1, 1, 1, 1, 3e38], dtype=np.float32)),
}
hostile = pytest.mark.parametrize("kind", HOSTILE)


@hostile
def test_a_hostile_file_is_refused_in_a_line(kind: str, whole: bytes, refusals: Refusals) -> None:
    refusals.of_bytes(HOSTILE[kind](whole), kind)
    with pytest.raises(CheckpointError):
        Checkpoint.load(refusals.path, weights_only=True)


def test_a_file_forged_without_malice_is_believed(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    for forge in (part("created", "later"), tensor("state.more"), in_header(lambda *_: None)):
        path.write_bytes(forge(whole))
        Checkpoint.load(path)


@pytest.mark.parametrize("paths", [["x" * 200] * 12_000, [""] * 110_000], ids=["characters", "values"])
def test_what_would_be_refused_is_never_written(paths: list[str], whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="too many names"):
        tiny(**{"data.paths": paths}).save(path)
    assert path.read_bytes() == whole


def test_a_checkpoint_of_all_of_unicode_and_of_thousands_of_texts_comes_back(tmp_path: Path) -> None:
    vocab = Vocabulary.of_text(ALL_OF_UNICODE)
    tiny(vocab=vocab, **{"data.paths": [f"texts/{i}.txt" for i in range(9000)]}).save(tmp_path / "c.safetensors")
    assert Checkpoint.load(tmp_path / "c.safetensors").vocab == vocab


@pytest.mark.faults
@hostile
def test_a_hostile_file_is_refused_at_once(
    kind: str, whole: bytes, refusals: Refusals, record_property: Callable[[str, object], None]
) -> None:
    refusals.of_bytes(HOSTILE[kind](whole), kind)
    record_property("refused", (refusals.slowest, kind))
    refusals.assert_within(MOST_SECONDS)


# The most memory that a process had which has read a checkpoint: what getrusage says begins with the most that its
# parent had.
MEASURED = """
import os, sys
from pathlib import Path
from charnet.storage.checkpoint import Checkpoint
from charnet.errors import CheckpointError
def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
for line in sys.stdin:
    if os.fork():
        os.wait()
        continue
    Checkpoint.load(Path(sys.argv[1]))
    Path("/proc/self/clear_refs").write_text("5")  # from now on
    base = most()
    try:
        Checkpoint.load(Path(line.rstrip()))
        print("believed", flush=True)
    except CheckpointError:
        print(most() - base, flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def memory_taken(whole: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], int]]:
    """Bytes that refusing a file takes in a process that has read another one."""
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("this system does not say how much memory was in use at most")
    path = tmp_path_factory.mktemp("measured") / "whole"
    path.write_bytes(whole)
    command = [sys.executable, "-c", MEASURED, str(path)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        orders, answers = process.stdin, process.stdout
        assert orders is not None
        assert answers is not None

        def taken(hostile: Path) -> int:
            orders.write(f"{hostile}\n")
            return int(answers.readline())

        yield taken
        orders.close()


@pytest.mark.faults
def test_the_measure_of_memory_sees_what_a_large_file_takes(
    tmp_path: Path, memory_taken: Callable[[Path], int]
) -> None:
    (tmp_path / "large").write_bytes(packed(of_size(1500), tmp_path)[:-1] + b"?")
    assert 30 << 20 < memory_taken(tmp_path / "large") < 80 << 20


@pytest.mark.faults
@hostile
def test_a_hostile_file_takes_little_memory(
    kind: str,
    whole: bytes,
    tmp_path: Path,
    memory_taken: Callable[[Path], int],
    record_property: Callable[[str, object], None],
) -> None:
    (tmp_path / "hostile").write_bytes(HOSTILE[kind](whole))
    taken = memory_taken(tmp_path / "hostile")
    record_property("memory", (taken / 2**20, kind))
    assert taken < MOST_MEMORY, f"{taken / 2**20:.1f} MiB"


# --------------------------------------------------------------------------------------------------- monstrous files


def sparse(path: Path, size: int) -> None:
    """A file of a size without a content; its header fits it."""
    document = tiny().document.to_json()
    shape = [(size - (1 << 16)) // 4]
    table = {"state.x": entry(shape=shape, offsets=[0, 4 * shape[0]])}
    table["__metadata__"] = {"format": "charnet", "charnet": json.dumps(document), "sha256": "0" * 64}
    text = json.dumps(table, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + 4 * shape[0])


def test_a_file_larger_than_the_memory_is_refused_unread(monkeypatch: pytest.MonkeyPatch, refusals: Refusals) -> None:
    monkeypatch.setattr(tensorfile, "memory", lambda: 1 << 36)
    sparse(refusals.path, 1 << 40)
    assert "more than this machine has memory" in refusals.of_file("a file of 1 TB")
    refusals.assert_within(0.5)


def test_a_file_larger_than_the_memory_that_is_left_is_refused(refusals: Refusals) -> None:
    code = f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({1 << 32}, {1 << 32}))\n"
    code += f"from charnet.cli.app import run; sys.exit(run(['inspect', {str(refusals.path)!r}]))"
    sparse(refusals.path, (1 << 32) - (1 << 26))  # below the limit, but not beside all else
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == CheckpointError.exit_code, found.stderr
    assert "more than this machine has memory" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.faults
def test_a_file_of_a_terabyte_takes_no_memory(tmp_path: Path, memory_taken: Callable[[Path], int]) -> None:
    if tensorfile.memory() > 1 << 39:
        pytest.skip("this machine could hold it")
    sparse(tmp_path / "sparse", 1 << 40)
    assert memory_taken(tmp_path / "sparse") < 8 << 20


@pytest.mark.parametrize("change", ["the data", "the header", "the end", "the length"])
def test_a_file_that_changes_while_it_is_read_is_refused_or_what_it_was(
    change: str, monkeypatch: pytest.MonkeyPatch, refusals: Refusals
) -> None:
    # Header and data are longer than what is read ahead.
    whole, other = (packed(replace(of_size(64), created=c * 9000), refusals.path.parent) for c in "ab")
    assert len(other) == len(whole)
    data_at = 8 + int.from_bytes(whole[:8], "little")
    changed = {
        "the data": whole[:data_at] + bytes(len(whole) - data_at),
        "the header": other[:data_at] + whole[data_at:],
        "the end": whole[:-4],
        "the length": bytes(8) + whole[8:],
    }[change]

    def meanwhile() -> int:
        refusals.path.write_bytes(changed)
        return 1 << 40

    monkeypatch.setattr(tensorfile, "memory", meanwhile)
    if change in ("the data", "the end"):
        assert any(word in refusals.of_bytes(whole, change) for word in ("changed while", "checksum"))
    else:  # read already, and not read again
        refusals.path.write_bytes(whole)
        assert Checkpoint.load(refusals.path).created == "a" * 9000


# ----------------------------------------------------------------------------------------------- what is no file


def a_loop(path: Path) -> None:
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.path.relpath(path))


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a pipe": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe")),
    "a socket": a_socket,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "an empty device": lambda path: path.symlink_to("/dev/null"),
    "a full device": lambda path: path.symlink_to("/dev/full"),
    "an empty folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "links in a circle": a_loop,
    "a link to nothing": lambda path: path.symlink_to("none"),
    "a folder of a pipe": lambda path: (path.mkdir(), os.mkfifo(path / "best.safetensors")),
    "a folder of a folder": lambda path: (path / "best.safetensors").mkdir(parents=True),
    "a folder of a link to itself": lambda path: (
        path.mkdir(),
        (path / "last.safetensors").symlink_to("last.safetensors"),
    ),
}
COMMANDS = {
    "inspect": ["inspect", "X"],
    "sample": ["sample", "X", "-q"],
    "eval": ["eval", "X", "text.txt"],
    "init-from": ["train", "text.txt", "-q", "--init-from", "X"],
    "resume": ["train", "-q", "--resume", "X"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("a text to read " * 300)
    return tmp_path


def assert_refused(code: int, captured: tuple[str, str]) -> None:
    out, err = captured
    assert (code, out) == (CheckpointError.exit_code, ""), err
    assert err.startswith("charnet: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable()


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_file_is_refused_and_never_waited_for(
    command: str, kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    NO_FILES[kind](folder / "X")
    with at_most(60):
        code = run(COMMANDS[command])
    assert_refused(code, capsys.readouterr())


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full", "/dev/stdin"])
@pytest.mark.usefixtures("folder")
def test_a_device_is_no_checkpoint(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not os.path.exists(device):
        pytest.skip(f"no {device} here")
    with at_most(60):
        code = run(["inspect", device])
    assert_refused(code, capsys.readouterr())


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("a link to nothing", CheckpointError),
        ("links in a circle", StorageError),
        ("an empty folder", StorageError),
        ("a pipe", CheckpointError),
    ],
)
def test_python_is_told_the_same_of_what_is_no_file(kind: str, error: type[Exception], tmp_path: Path) -> None:
    NO_FILES[kind](tmp_path / "X")
    with at_most(60), pytest.raises(error) as caught:
        Checkpoint.load(tmp_path / "X")
    assert str(caught.value).startswith(f"{tmp_path / 'X'}: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=ascii)
def test_a_name_that_no_file_has_is_an_error_of_storage(name: str) -> None:
    with pytest.raises(StorageError, match="cannot be read") as caught:
        Checkpoint.load(Path(name))
    assert str(caught.value).isprintable()


@pytest.mark.usefixtures("folder")
def test_what_a_file_says_of_itself_cannot_command_a_terminal(whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    odd = "\x1b]0;x\x07\x9b2J\u202e\r\n[red]"
    forged = document_of(whole)
    forged["versions"] = {odd: odd}
    forged["created"] = forged["corpus"]["name"] = odd
    forged["history"].append({odd: 1.0, "step": 3})
    forged["config"]["data"] |= {"glob": odd, "encoding": odd, "paths": [odd]}
    Path("X").write_bytes(with_text(whole, json.dumps(forged)))
    for command in (["inspect", "X"], ["inspect", "X", "--json"]):
        assert run(command) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert "".join(out.split("\n")).isprintable()


# ---------------------------------------------------------------------------------------------------- pickles


class Trap:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def of_torch(**options: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"model": Trap()}, file, **options)
    return file.getvalue()


def of_numpy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    return file.getvalue()


def of_numpy_zipped() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.array([Trap()], dtype=object))
    return file.getvalue()


def zipped(content: bytes, name: str = "archive/data.pkl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def tarred(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


TRAP = pickle.dumps(Trap())
SHELL = '!!python/object/apply:os.mkdir ["executed"]'
CODE = "__import__('os').mkdir('executed')"

DISGUISED: dict[str, Forge] = {
    "a pickle": lambda _: TRAP,
    "a pickle of the first protocol": lambda _: pickle.dumps(Trap(), 0),
    "torch.save": lambda _: of_torch(),
    "torch.save of old": lambda _: of_torch(_use_new_zipfile_serialization=False),
    "a pickle behind a length": header(TRAP),
    "a pickle as a header's string": header(json.dumps({"a": TRAP.decode("latin1")}).encode()),
    "a pickle as the document": document(pickle.dumps(Trap(), 0).decode()),
    "a pickle instead of the data": lambda whole: whole[: 8 + int.from_bytes(whole[:8], "little")] + TRAP,
    "a pickle before a checkpoint": lambda whole: TRAP + whole,
    "a pickle after a checkpoint": lambda whole: whole + TRAP,
    "torch.save after a checkpoint": lambda whole: whole + of_torch(),
    "an array of objects": lambda _: of_numpy(),
    "zipped arrays of objects": lambda _: of_numpy_zipped(),
    "a tensor of objects": place(dtype="O"),
    "a zip bomb": lambda _: zipped(bytes(50_000_000)),
    "a zip with a way out": lambda _: zipped(TRAP, "../../executed"),
    "a tar": lambda _: tarred(TRAP),
    "gzip": lambda _: gzip.compress(TRAP),
    "bzip2": lambda _: bz2.compress(TRAP),
    "xz": lambda _: lzma.compress(TRAP),
    "byte code": lambda _: marshal.dumps(compile(CODE, "x", "exec")),
    "Python": lambda _: CODE.encode(),
    "a shell script": lambda _: b"#!/bin/sh\nmkdir executed\n",
    "YAML that calls": lambda _: SHELL.encode(),
    "YAML that calls as the document": document(SHELL),
    "code as a size": literal("config/model/hidden_size", json.dumps(CODE)),
    "code as a cell": part("config/model/cell", CODE),
    "a bomb of JSON": header(b"[" * 2_500_000 + b"]" * 2_500_000),
}


@pytest.mark.parametrize("kind", DISGUISED)
def test_nothing_of_a_disguised_file_is_ever_run(
    kind: str, whole: bytes, refusals: Refusals, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusals.of_bytes(DISGUISED[kind](whole), kind)
    shutil.copy(refusals.path, "X")
    assert_refused(run(COMMANDS["inspect"]), capsys.readouterr())
    assert not (folder / "executed").exists()


def test_a_pickle_that_is_a_tensor_stays_bytes(folder: Path) -> None:
    other = tiny()
    other.tensors["random.torch"] = np.frombuffer(TRAP, dtype=np.uint8)
    other.save(folder / "c.safetensors")
    assert Checkpoint.load(folder / "c.safetensors").tensors["random.torch"].tobytes() == TRAP
    assert not (folder / "executed").exists()


def test_the_trap_of_these_tests_works(folder: Path) -> None:
    pickle.loads(TRAP)
    assert (folder / "executed").is_dir()


LOADERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "dbm", "runpy"}
LOADING = {
    "torch.load",
    "torch.save",
    "torch.jit.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "numpy.load",
    "np.load",
    "np.fromfile",
    "np.memmap.load",
    "imp.load_source",
}
RUNNING = {"eval", "exec", "compile", "__import__", "importlib.import_module", "importlib.__import__"}


def words_of(node: ast.AST) -> Iterator[str]:
    """What a piece of code imports or names, with the modules."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute):
        yield ast.unparse(node)
    elif isinstance(node, ast.Call):
        yield ast.unparse(node.func)
    elif isinstance(node, ast.keyword):
        yield f"{node.arg}="


def test_no_module_of_the_package_can_unpickle() -> None:
    modules = list(Path(charnet.__file__).parent.rglob("*.py"))
    assert len(modules) > 30
    for module in modules:
        for node in ast.walk(ast.parse(module.read_bytes())):
            for word in words_of(node):
                assert word not in LOADING | RUNNING | {"allow_pickle="}, f"{module.name}: {word}"
                assert word.split(".")[0] not in LOADERS, f"{module.name}: {word}"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import pickle as harmless",
        "from pickle import loads",
        "from torch import load",
        "import torch\nread = torch.load",
        "np.load('x')",
        "f(x, allow_pickle=True)",
        "importlib.import_module('pic' + 'kle')",
        "__import__('pickle')",
        "import dill.source",
        "import shelve, marshal",
        "eval('1')",
    ],
)
def test_the_search_for_what_unpickles_finds_it(code: str) -> None:
    words = {word for node in ast.walk(ast.parse(code)) for word in words_of(node)}
    banned = LOADING | RUNNING | {"allow_pickle="}
    assert words & banned or {word.split(".")[0] for word in words} & LOADERS
