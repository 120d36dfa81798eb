"""The file of tensors: one that is damaged, cut or hostile is refused in a line, before any of it is used."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import (
    Refusals,
    built,
    drop,
    entry,
    header_text,
    of_size,
    packed,
    parts,
    put,
    signed,
    signed_text,
    sparse,
    tiny,
    with_document,
    with_header,
)

from charnet.errors import CheckpointError, StorageError
from charnet.storage import tensorfile
from charnet.storage.checkpoint import Checkpoint

Refused = Callable[[bytes], str]


# ------------------------------------------------------------------------------------------------------- a whole file


def test_the_library_safetensors_reads_the_file(tmp_path: Path, whole: bytes) -> None:
    import safetensors
    import safetensors.numpy

    path = tmp_path / "c.safetensors"
    path.write_bytes(whole)
    found = safetensors.numpy.load_file(path)
    assert found.keys() == tiny().tensors.keys()
    assert all(np.array_equal(found[name], tensor) for name, tensor in tiny().tensors.items())
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["format"] == "charnet"


def test_the_file_is_the_one_that_the_library_safetensors_would_write(whole: bytes) -> None:
    import safetensors.numpy

    header, data = parts(whole)
    assert parts(safetensors.numpy.save(tiny().tensors, header["__metadata__"])) == (header, data)


def test_the_checksum_covers_the_whole_file_with_its_own_digits_as_zeros(whole: bytes) -> None:
    digest = parts(whole)[0]["__metadata__"]["sha256"]
    assert hashlib.sha256(whole.replace(digest.encode(), b"0" * 64)).hexdigest() == digest


def test_a_file_forged_without_malice_is_accepted(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(with_document(whole, lambda document: put(document, "created", "later")))
    assert Checkpoint.load(path).created == "later"
    end = len(parts(whole)[1])
    path.write_bytes(with_header(whole, lambda header: put(header, "state.more", entry(shape=[0], offsets=[end, end]))))
    assert "state.more" in Checkpoint.load(path).tensors
    path.write_bytes(with_header(whole, lambda _: None))
    Checkpoint.load(path)


# ------------------------------------------------------------------------------------------------------------- damage


def flipped(raw: bytes, bit: int) -> bytes:
    damaged = bytearray(raw)
    damaged[bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged)


def test_a_flipped_bit_is_noticed_where_the_header_begins_and_ends_and_in_its_checksum(
    whole: bytes, refused: Refused
) -> None:
    header_end, digest_at = 8 + int.from_bytes(whole[:8], "little"), whole.index(b'"sha256":"')
    bits = {
        *range(64),
        *range(digest_at * 8, digest_at * 8 + 96),
        header_end * 8 - 1,
        header_end * 8,
        len(whole) * 8 - 1,
    }
    for bit in sorted(bits):
        refused(flipped(whole, bit))


def test_a_file_cut_near_the_ends_of_its_parts_is_refused(whole: bytes, refused: Refused) -> None:
    header_end = 8 + int.from_bytes(whole[:8], "little")
    for length in (*range(12), *range(header_end - 3, header_end + 4), len(whole) - 4, len(whole) - 1):
        refused(whole[:length])


@pytest.mark.parametrize("more", [b"\0", b"\0" * 8, b"x" * 1000])
def test_bytes_before_within_or_after_are_noticed(whole: bytes, refused: Refused, more: bytes) -> None:
    for at in (0, 8, 100, len(whole) // 2, len(whole)):
        refused(whole[:at] + more + whole[at:])


@pytest.mark.slow
def test_every_byte_set_to_zero_is_noticed(whole: bytes, refused: Refused) -> None:
    for at in range(len(whole)):
        if whole[at]:
            refused(whole[:at] + b"\0" + whole[at + 1 :])


@pytest.mark.parametrize("change", ["the data", "the header", "the end", "the length"])
def test_a_file_that_changes_while_it_is_read_is_refused_or_what_it_was(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = Refusals(tmp_path / "c.safetensors")
    # Header and data are longer than what is read ahead.
    whole, other = (packed(replace(of_size(64), created=c * 9000)) for c in "ab")
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


def test_a_file_larger_than_the_memory_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorfile, "memory", lambda: 1 << 36)
    refusals = Refusals(tmp_path / "c.safetensors")
    sparse(refusals.path, 1 << 40)
    assert "more than this machine has memory" in refusals.of_file("a file of 1 TB")


# ----------------------------------------------------------------------------------------------- what is no file


@pytest.mark.parametrize("kind", ["missing", "below a file", "too long"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    path = {"missing": tmp_path / "none", "below a file": tmp_path / "file" / "x", "too long": tmp_path / ("x" * 300)}[
        kind
    ]
    with pytest.raises((CheckpointError, StorageError)) as caught:
        Checkpoint.load(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_an_error_of_storage(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=ascii)
def test_a_name_that_no_file_has_is_an_error_of_storage(name: str) -> None:
    with pytest.raises(StorageError, match="cannot be read") as caught:
        Checkpoint.load(Path(name))
    assert str(caught.value).isprintable()


# ------------------------------------------------------------------------------------------------------------- header


def test_a_text_given_as_a_checkpoint_is_told_what_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("Once upon a time there was a ferry. " * 9)
    with pytest.raises(CheckpointError, match="found a text \\(charnet train learns from it\\)"):
        tensorfile.read(tmp_path / "story.txt")


@pytest.mark.parametrize(
    "length", [0, 1, 2**20, tensorfile.LARGEST_HEADER, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1]
)
def test_a_header_longer_than_the_file_is_refused(whole: bytes, refused: Refused, length: int) -> None:
    assert "a header of" in refused(struct.pack("<Q", length) + whole[8:])


def test_a_header_of_just_one_byte_too_many_is_refused(whole: bytes, refused: Refused) -> None:
    refused(struct.pack("<Q", len(whole) - 7) + whole[8:])


def test_a_header_beyond_the_largest_is_not_even_read(
    whole: bytes, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorfile, "LARGEST_HEADER", 100)
    assert "a header of" in refused(whole)


@pytest.mark.parametrize(
    "header",
    [
        b"  ",
        b'{"',
        b"{}",
        b"[]",
        b"[1, 2]",
        b"null",
        b"true",
        b"3",
        b'"{}"',
        b"{",
        b"{}}",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"__metadata__": {"a": "1", "a": "2"}}',
        b'{"a\0": 1}',
        b'{"\xf0\x9f\x98": 1}',
        b'{"\xc0\xaf": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "line\nbreak"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
        b"{}" + b"\0" * 8,
        b'{"a": -' + b"9" * 4000 + b"}",
    ],
)
def test_a_header_that_is_no_table_of_tensors_is_refused(refused: Refused, header: bytes) -> None:
    refused(built(header))
    refused(built(header, bytes(64)))


@pytest.mark.parametrize("name", ["model.head.bias", "__metadata__"])
def test_a_name_that_stands_twice_in_a_header_is_refused(whole: bytes, refused: Refused, name: str) -> None:
    table, data = parts(whole)
    text = header_text(table)
    twice = f'{{"{name}":{json.dumps(table[name])},'.encode() + text[1:]
    assert "not strict JSON" in refused(signed_text(twice, data))


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        3,
        "F32",
        [],
        {},
        {"dtype": "F32", "shape": [2]},
        {"shape": [2], "data_offsets": [0, 8]},
        entry() | {"extra": 1},
        *(
            entry(dtype=d)
            for d in ["F64", "F16", "BF16", "I64", "f32", "", "O", "|O", "<f4", "F32\x1b", None, 3, ["F32"], {}]
        ),
        *(entry(shape=s) for s in [[-2], [-1, -2], [2.0], [True, 2], ["2"], None, 2, "2", {}, [None], [[2]]]),
        *(
            entry(shape=s)
            for s in [[3], [1], [], [2, 2], [2**61, 2**61], [2**63], [2**64 + 2], [1, 1, 1, 1, 2], [1] * 1000]
        ),
        # Products that are right only where they overflow.
        *(
            entry(shape=s)
            for s in [[2**62, 4, 2], [2**32, 2**32], [2**31, 2**31, 2, 2], [2**63 - 1, 2**63 - 1], [2**62 + 2]]
        ),
        *(entry(offsets=o) for o in [[0, 9], [0, 7], [0, 16], [8, 0], [8, 16], [-8, 0], [0, -8], [0, 8.0], [False, 8]]),
        *(
            entry(offsets=o)
            for o in [None, 8, [8], [0, 8, 8], [], "08", {}, ["0", "8"], [2**63 - 8, 2**63], [0, 2**64 + 8]]
        ),
        *(entry(offsets=o, shape=[0]) for o in [[4, 4], [9, 9], [2**62, 2**62], [8, 0]]),
    ],
    ids=repr,
)
def test_an_impossible_tensor_is_refused(whole: bytes, refused: Refused, wrong: Any) -> None:
    metadata = parts(whole)[0]["__metadata__"]
    refused(signed({"__metadata__": metadata, "model.a": wrong}, bytes(8)))


@pytest.mark.parametrize("sides", [[0, 2**62, 2**62], [2**62, 0, 2**62, 4], [0, 2**63 - 1], [2**63 - 1, 0, 2, 2]])
def test_an_empty_tensor_of_monstrous_sides_is_refused(whole: bytes, refused: Refused, sides: list[int]) -> None:
    def add(header: dict[str, Any]) -> None:
        end = max(e["data_offsets"][1] for name, e in header.items() if name != "__metadata__")
        header["state.x"] = entry(shape=sides, offsets=[end, end])

    refused(with_header(whole, add))


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 8), (4, 12)],
        [(0, 8), (0, 8)],
        [(0, 4), (8, 16)],
        [(4, 12), (12, 16)],
        [(0, 8)],
        [(8, 16)],
        [(0, 8), (8, 16), (8, 16)],
        [(0, 16), (4, 8)],
        [],
    ],
)
def test_tensors_that_overlap_or_leave_holes_are_refused(
    whole: bytes, refused: Refused, spans: list[tuple[int, int]]
) -> None:
    header = {"__metadata__": parts(whole)[0]["__metadata__"]}
    for number, (begin, end) in enumerate(spans):
        header[f"model.t{number}"] = entry(shape=[(end - begin) // 4], offsets=[begin, end])
    message = refused(signed(header, bytes(16)))
    assert "overlap or leave gaps" in message or "where its header names" in message


HOSTILE_NAMES = ["", ".", "..", "../x", "/etc/passwd", "C:x", "a/b", "a\\b", "a.", ".a", "a..b", "a b", "x" * 201]
HOSTILE_NAMES += ["\x1b[2J", "a\nb", "a\0b", "é", "\ud800", "\u202e", "__metadata__ ", "model.head.bias\n"]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_tensor_with_a_hostile_name_is_refused(whole: bytes, refused: Refused, name: str) -> None:
    def add(header: dict[str, Any]) -> None:
        end = max(e["data_offsets"][1] for key, e in header.items() if key != "__metadata__")
        header[name] = entry(shape=[0], offsets=[end, end])

    assert "a tensor named" in refused(with_header(whole, add))


def test_more_tensors_than_any_model_has_are_refused(
    tmp_path: Path, whole: bytes, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, data = parts(whole)
    monkeypatch.setattr(tensorfile, "MOST_TENSORS", len(header) + 100)
    header |= {f"t{i}": entry(shape=[0], offsets=[len(data), len(data)]) for i in range(100)}
    (tmp_path / "most").write_bytes(signed(header, data))
    Checkpoint.load(tmp_path / "most")
    header["t100"] = header["t99"]
    assert "tensors" in refused(signed(header, data))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: drop(h, "__metadata__"),
        lambda h: put(h, "__metadata__", None),
        lambda h: put(h, "__metadata__", []),
        lambda h: put(h, "__metadata__", [["format", "charnet"]]),
        lambda h: put(h, "__metadata__", {}),
        lambda h: drop(h, "__metadata__/sha256"),
        lambda h: put(h, "__metadata__/sha256", 3),
        lambda h: put(h, "__metadata__/sha256", None),
        lambda h: put(h, "__metadata__/sha256", ""),
        lambda h: put(h, "__metadata__/sha256", "0" * 64),
        lambda h: put(h, "__metadata__/sha256", "0" * 63),
        lambda h: put(h, "__metadata__/sha256", "G" * 64),
        lambda h: put(h, "__metadata__/sha256", h["__metadata__"]["sha256"].upper()),
        lambda h: put(h, "__metadata__/sha256", h["__metadata__"]["sha256"] + "\n"),
        lambda h: put(h, "__metadata__/more", "x"),
        lambda h: put(h, "__metadata__/charnet", "{}"),
    ],
)
def test_metadata_without_a_right_checksum_are_refused(
    whole: bytes, refused: Refused, change: Callable[[dict[str, Any]], None]
) -> None:
    header, data = parts(whole)
    change(header)
    refused(built(header, data))


def test_a_checksum_that_stands_twice_is_refused(whole: bytes, refused: Refused) -> None:
    header, data = parts(whole)
    digest = header["__metadata__"]["sha256"]
    header["__metadata__"]["a"] = {"sha256": digest}
    refused(built(header, data))


@pytest.mark.parametrize(
    "change",
    [
        lambda header: drop(header, "__metadata__/format"),
        lambda header: put(header, "__metadata__/format", "pt"),
        lambda header: put(header, "__metadata__/format", ["charnet"]),
    ],
)
def test_metadata_of_another_program_are_refused(
    whole: bytes, refused: Refused, change: Callable[[dict[str, Any]], None]
) -> None:
    assert "charnet did not write" in refused(with_header(whole, change))
