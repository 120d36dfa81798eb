"""Checkpoints: saved = loaded, and a file that is damaged, foreign or hostile is refused before any of it is used."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet import durable
from charnet.config import Config, as_dict, overlay
from charnet.data.vocab import Vocabulary
from charnet.errors import CheckpointError, StorageError
from charnet.model.shapes import model_shapes
from charnet.storage import runs, tensorfile
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import FORMAT, CorpusInfo, TrainerState
from charnet.storage.runs import RunFolder

ALPHABET = "\n abé😀"


def tiny(cell: str = "lstm", vocab: Vocabulary | None = None, **values: Any) -> Checkpoint:
    """A whole checkpoint of a few hundred numbers, every part of it filled."""
    config = overlay(
        Config(),
        {"model.cell": cell, "model.hidden_size": 3, "model.embedding_size": 2, "model.num_layers": 2} | values,
    )
    vocab = vocab or Vocabulary.of_text(ALPHABET)
    random = np.random.default_rng(7)
    tensors: tensorfile.Tensors = {
        f"model.{name}": random.standard_normal(shape).astype(np.float32)
        for name, shape in model_shapes(config, len(vocab)).items()
    }
    tensors["optimizer.m.head.bias"] = random.standard_normal(len(vocab)).astype(np.float32)
    tensors["random.torch"] = np.arange(16, dtype=np.uint8)
    tensors["state.0"] = np.zeros((1, 2, 3), dtype=np.float32)
    return Checkpoint(
        config=config,
        vocab=vocab,
        corpus=CorpusInfo("pets", 1000, 1234, 1, "ab" * 32, "cd" * 32),
        trainer_state=TrainerState(40, 5000, 1.5, (2, 0, 3), 30, 1.25, 1, 39, 0.5, 0.25, 1.375),
        tensors=tensors,
        history=[{"step": 20, "val_nats_per_char": 2.5}, {"step": 40, "val_nats_per_char": 1.25}],
        versions={"charnet": "0.1.0", "torch": "2.13.0"},
        created="2025-01-02T03:04:05+00:00",
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small checkpoint."""
    path = tmp_path_factory.mktemp("whole") / "c.safetensors"
    tiny().save(path)
    return path.read_bytes()


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[bytes], str]:
    """Asserts that bytes are refused as a checkpoint, in one line and at once; gives the message."""

    def check(raw: bytes) -> str:
        path = tmp_path / "c.safetensors"
        path.write_bytes(raw)
        begun = time.thread_time()
        with pytest.raises(CheckpointError) as caught:
            Checkpoint.load(path)
        assert time.thread_time() - begun < 2
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1000
        return str(caught.value)

    return check


def parts(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a file."""
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def built(header: Any, data: bytes = b"") -> bytes:
    """A file of header and data without any care for the checksum."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def signed(header: dict[str, Any], data: bytes) -> bytes:
    """A file whose checksum is right, so that what is inside decides."""
    header = header | {"__metadata__": header["__metadata__"] | {"sha256": tensorfile.NO_DIGEST}}
    raw = built(header, data)
    digest = hashlib.sha256(raw).hexdigest()
    return raw.replace(f'"sha256":"{tensorfile.NO_DIGEST}"'.encode(), f'"sha256":"{digest}"'.encode(), 1)


def with_document(raw: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another document in it and a right checksum. The change may return a document as text."""
    header, data = parts(raw)
    document = json.loads(header["__metadata__"]["charnet"])
    text = change(document)
    header["__metadata__"]["charnet"] = text if isinstance(text, str) else json.dumps(document)
    return signed(header, data)


def with_header(raw: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with a changed header and a right checksum."""
    header, data = parts(raw)
    change(header)
    return signed(header, data)


def put(table: Any, keys: str, value: Any) -> None:
    """Sets `a/b/c` in nested tables and lists."""
    *path, last = keys.split("/")
    for key in path:
        table = table[int(key)] if isinstance(table, list) else table[key]
    table[int(last) if isinstance(table, list) else last] = value


def drop(table: Any, keys: str) -> None:
    *path, last = keys.split("/")
    for key in path:
        table = table[key]
    del table[last]


# ------------------------------------------------------------------------------------------------- round trips


def assert_same(found: Checkpoint, saved: Checkpoint) -> None:
    assert found.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype, name
        assert found.tensors[name].shape == tensor.shape, name
        assert found.tensors[name].tobytes() == np.ascontiguousarray(tensor).tobytes(), name
    assert replace(found, tensors={}, sha256="") == replace(saved, tensors={}, sha256="")


@pytest.mark.parametrize("cell", ["rnn", "lstm", "cifg", "gru"])
def test_every_part_of_a_checkpoint_comes_back(tmp_path: Path, cell: str) -> None:
    tiny(cell).save(tmp_path / "c.safetensors")
    assert_same(Checkpoint.load(tmp_path / "c.safetensors"), tiny(cell))


@pytest.mark.parametrize(
    "vocab",
    [
        Vocabulary(tuple(range(256)), of_bytes=True),
        Vocabulary((0xFF,), of_bytes=True),
        Vocabulary.of_text('\0\x1b"\\\u2028\ufeff\U0010ffff'),
        Vocabulary(tuple(range(0x4E00, 0x4E00 + 300))),
    ],
)
def test_any_alphabet_comes_back(tmp_path: Path, vocab: Vocabulary) -> None:
    tiny(vocab=vocab).save(tmp_path / "c.safetensors")
    assert Checkpoint.load(tmp_path / "c.safetensors").vocab == vocab


def test_names_with_odd_characters_come_back(tmp_path: Path) -> None:
    odd = f'a"b\\c\n\x1b"sha256":"{tensorfile.NO_DIGEST}" é😀'
    saved = replace(
        tiny(**{"data.paths": [odd, "caf\udce9"]}),
        corpus=replace(tiny().corpus, name=odd),
        versions={odd: odd},
        created=odd,
    )
    saved.save(tmp_path / "c.safetensors")
    assert_same(Checkpoint.load(tmp_path / "c.safetensors"), saved)


def test_a_checkpoint_without_history_and_losses_comes_back(tmp_path: Path) -> None:
    saved = replace(tiny(), history=[], versions={}, trainer_state=TrainerState())
    saved.save(tmp_path / "c.safetensors")
    assert_same(Checkpoint.load(tmp_path / "c.safetensors"), saved)


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    saved = tiny()
    head = saved.tensors["model.head.bias"]
    head[:5] = [-0.0, 1e-45, np.finfo(np.float32).max, np.finfo(np.float32).tiny, 1 / 3]
    saved.tensors["optimizer.odd"] = np.array([np.nan, np.inf, -np.inf], dtype=np.float32)
    saved.tensors["state.empty"] = np.zeros((0, 3), dtype=np.float32)
    saved.tensors["state.one"] = np.array(2.5, dtype=np.float32)
    saved.save(tmp_path / "c.safetensors")
    assert_same(Checkpoint.load(tmp_path / "c.safetensors"), saved)


def test_a_tensor_that_lies_otherwise_in_memory_comes_back(tmp_path: Path) -> None:
    saved = tiny()
    name = "model.layers.0.weight_ih"
    saved.tensors[name] = np.asfortranarray(saved.tensors[name])
    saved.tensors["state.strided"] = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    saved.save(tmp_path / "c.safetensors")
    assert_same(Checkpoint.load(tmp_path / "c.safetensors"), saved)


def test_what_was_loaded_and_saved_again_is_the_same(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(whole)
    Checkpoint.load(path).save(path)
    assert_same(Checkpoint.load(path), tiny())


def test_loaded_weights_may_be_written_without_touching_the_file(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(whole)
    Checkpoint.load(path).tensors["model.head.bias"][:] = 0
    assert path.read_bytes() == whole


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


def test_the_helper_of_these_tests_signs_as_charnet_does(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(with_document(whole, lambda d: put(d, "created", "later")))
    assert Checkpoint.load(path).created == "later"


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_could_not_be_loaded_again_is_not_written_over_what_can(
    tmp_path: Path, whole: bytes, broken: float
) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(whole)
    try:
        replace(tiny(), history=[{"val_nats_per_char": broken}]).save(path)
    except ValueError:  # a bug of the caller
        assert path.read_bytes() == whole
    Checkpoint.load(path)


# -------------------------------------------------------------------------------------------- the model's weights


def test_equal_weights_have_equal_checksums_whatever_else_differs(tmp_path: Path) -> None:
    one = tiny()
    other = replace(one, created="later", history=[], tensors=dict(reversed(one.tensors.items())))
    del other.tensors["optimizer.m.head.bias"]
    other.save(tmp_path / "c.safetensors")
    assert (
        one.weights_sha256() == other.weights_sha256() == Checkpoint.load(tmp_path / "c.safetensors").weights_sha256()
    )


def test_one_changed_weight_changes_the_checksum() -> None:
    one, other = tiny(), tiny()
    other.tensors["model.head.bias"][0] = np.nextafter(other.tensors["model.head.bias"][0], np.float32(9))
    assert one.weights_sha256() != other.weights_sha256()


def test_two_weights_that_change_places_change_the_checksum() -> None:
    one, other = tiny(), tiny()
    a, b = "model.layers.0.bias", "model.layers.1.bias"
    other.tensors[a], other.tensors[b] = one.tensors[b], one.tensors[a]
    assert one.weights_sha256() != other.weights_sha256()


def test_the_checksum_of_weights_is_what_it_was_in_the_first_release() -> None:
    saved = replace(tiny(), tensors={"model.b": np.ones(2, np.float32), "model.a": np.zeros((1, 1), np.float32)})
    expected = hashlib.sha256(b"a\0" + bytes(4) + b"b\0" + struct.pack("<2f", 1, 1)).hexdigest()
    assert saved.weights_sha256() == expected


def test_a_part_is_named_by_its_whole_prefix() -> None:
    tensors = {name: np.zeros(1, np.float32) for name in ("model.a", "model.b.c", "models.d", "model", "xmodel.e")}
    assert replace(tiny(), tensors=tensors).part("model").keys() == {"a", "b.c"}


@pytest.mark.parametrize(("cell", "rows"), [("rnn", 3), ("lstm", 12), ("cifg", 9), ("gru", 9)])
def test_shapes_follow_from_the_settings(cell: str, rows: int) -> None:
    shapes = model_shapes(tiny(cell).config, 6)
    assert shapes["embedding.weight"] == (6, 2)
    assert shapes["layers.0.weight_ih"] == (rows, 2)
    assert shapes["layers.1.weight_ih"] == (rows, 3)
    assert shapes["layers.1.weight_hh"] == (rows, 3)
    assert shapes["head.weight"] == (6, 3)
    assert ("layers.1.bias_hn" in shapes) == (cell == "gru")


def test_an_embedding_of_size_zero_is_as_wide_as_the_hidden_layer() -> None:
    assert model_shapes(tiny(**{"model.embedding_size": 0}).config, 6)["embedding.weight"] == (6, 3)


# ------------------------------------------------------------------------------------------------- damaged files

SAMPLES = 60


def flipped(raw: bytes, bit: int) -> bytes:
    damaged = bytearray(raw)
    damaged[bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged)


def test_a_flipped_bit_anywhere_is_noticed(whole: bytes, refused: Callable[[bytes], str]) -> None:
    header_end = 8 + int.from_bytes(whole[:8], "little")
    digest_at = whole.index(b'"sha256":"')
    bits = {
        *range(64),
        *range(digest_at * 8, digest_at * 8 + 96),
        header_end * 8 - 1,
        header_end * 8,
        len(whole) * 8 - 1,
    }
    bits |= set(np.random.default_rng(1).integers(0, len(whole) * 8, SAMPLES).tolist())
    for bit in sorted(bits):
        refused(flipped(whole, bit))


def test_a_file_cut_anywhere_is_refused(whole: bytes, refused: Callable[[bytes], str]) -> None:
    header_end = 8 + int.from_bytes(whole[:8], "little")
    lengths = {*range(12), *range(header_end - 3, header_end + 4), len(whole) - 1, len(whole) - 4}
    lengths |= set(np.random.default_rng(2).integers(0, len(whole), SAMPLES).tolist())
    for length in sorted(lengths):
        refused(whole[:length])


@pytest.mark.parametrize("more", [b"\0", b"\0" * 8, b"x" * 1000])
def test_bytes_before_within_or_after_are_noticed(whole: bytes, refused: Callable[[bytes], str], more: bytes) -> None:
    for at in (0, 8, 100, len(whole) // 2, len(whole)):
        refused(whole[:at] + more + whole[at:])


def test_a_file_twice_in_a_row_is_refused(whole: bytes, refused: Callable[[bytes], str]) -> None:
    refused(whole + whole)


@pytest.mark.slow
def test_every_byte_set_to_zero_is_noticed(whole: bytes, refused: Callable[[bytes], str]) -> None:
    for at in range(len(whole)):
        if whole[at]:
            refused(whole[:at] + b"\0" + whole[at + 1 :])


@pytest.mark.parametrize("page", [256, 512])
def test_a_page_that_never_reached_the_disk_is_noticed(
    whole: bytes, refused: Callable[[bytes], str], page: int
) -> None:
    for at in range(0, len(whole), page):
        lost = whole[:at] + bytes(len(whole[at : at + page])) + whole[at + page :]
        if lost != whole:
            refused(lost)


# ------------------------------------------------------------------------------------------------- foreign files


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": [1.0]}))
    return file.getvalue()


class Trap:
    """Unpickling this writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        bytes(7),
        bytes(8),
        bytes(10_000),
        b"\xff" * 10_000,
        b"a text that is not a checkpoint\n" * 100,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b'{"a": 1}',
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\x1f\x8b\x08" + bytes(100),
        b"GGUF" + bytes(100),
        b"\x7fELF" + bytes(100),
        zipped(),
    ],
)
def test_a_file_of_another_kind_is_refused(refused: Callable[[bytes], str], raw: bytes) -> None:
    assert "damaged or foreign" in refused(raw)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[[bytes], str], protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    trap = pickle.dumps(Trap(), protocol)
    for raw in (trap, struct.pack("<Q", len(trap)) + trap):
        refused(raw)
    assert not (tmp_path / "unpickled").exists()


def test_a_safetensors_file_of_another_program_is_refused(refused: Callable[[bytes], str]) -> None:
    import safetensors.numpy

    tensors = {"weight": np.zeros((2, 3), dtype=np.float32)}
    assert "charnet did not write" in refused(safetensors.numpy.save(tensors))
    assert "charnet did not write" in refused(safetensors.numpy.save(tensors, {"format": "pt"}))
    assert "no checksum" in refused(safetensors.numpy.save(tensors, {"format": "charnet"}))


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


# ----------------------------------------------------------------------------------------------- hostile headers


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1])
def test_a_header_longer_than_the_file_is_refused(whole: bytes, refused: Callable[[bytes], str], length: int) -> None:
    assert "a header of" in refused(struct.pack("<Q", length) + whole[8:])


def test_a_header_of_just_one_byte_too_many_is_refused(whole: bytes, refused: Callable[[bytes], str]) -> None:
    refused(struct.pack("<Q", len(whole) - 7) + whole[8:])


def test_a_header_beyond_the_largest_is_not_even_read(
    whole: bytes, refused: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorfile, "LARGEST_HEADER", 100)
    assert "a header of" in refused(whole)


@pytest.mark.parametrize(
    "header",
    [
        b"  ",
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
        b'{"a": {}, "a": {}}',
        b'{"__metadata__": {"a": "1", "a": "2"}}',
        b'{"__metadata__": {}, "__metadata__": {}}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "line\nbreak"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
        b"{}" + b"\0" * 8,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a": ' + b"9" * 100_000 + b"}",
        b'{"a": -' + b"9" * 4000 + b"}",
    ],
)
def test_a_header_that_is_no_table_of_tensors_is_refused(refused: Callable[[bytes], str], header: bytes) -> None:
    refused(built(header))
    refused(built(header, bytes(64)))


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


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
        *(entry(dtype=d) for d in ["F64", "F16", "I64", "f32", "", "O", "<f4", "F32\x1b", None, 3, ["F32"], {}]),
        *(entry(shape=s) for s in [[-2], [-1, -2], [2.0], [True, 2], ["2"], None, 2, "2", {}, [None], [[2]]]),
        *(entry(shape=s) for s in [[3], [1], [], [2, 2], [2**61, 2**61], [2**63], [2**64 + 2], [1, 1, 1, 1, 2]]),
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
def test_an_impossible_tensor_is_refused(whole: bytes, refused: Callable[[bytes], str], wrong: Any) -> None:
    metadata = parts(whole)[0]["__metadata__"]
    refused(signed({"__metadata__": metadata, "model.a": wrong}, bytes(8)))


@pytest.mark.parametrize("sides", [[0, 2**62, 2**62], [2**62, 0, 2**62, 4], [0, 2**63 - 1], [2**63 - 1, 0, 2, 2]])
def test_an_empty_tensor_of_monstrous_sides_is_refused(
    whole: bytes, refused: Callable[[bytes], str], sides: list[int]
) -> None:
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
    whole: bytes, refused: Callable[[bytes], str], spans: list[tuple[int, int]]
) -> None:
    header = {"__metadata__": parts(whole)[0]["__metadata__"]}
    for number, (begin, end) in enumerate(spans):
        header[f"model.t{number}"] = entry(shape=[(end - begin) // 4], offsets=[begin, end])
    message = refused(signed(header, bytes(16)))
    assert "overlap or leave gaps" in message or "where its header names" in message


HOSTILE_NAMES = ["", ".", "..", "../x", "/etc/passwd", "C:x", "a/b", "a\\b", "a.", ".a", "a..b", "a b", "x" * 201]
HOSTILE_NAMES += ["\x1b[2J", "a\nb", "a\0b", "é", "\ud800", "__metadata__ ", "model.head.bias\n"]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_tensor_with_a_hostile_name_is_refused(whole: bytes, refused: Callable[[bytes], str], name: str) -> None:
    def add(header: dict[str, Any]) -> None:
        end = max(e["data_offsets"][1] for key, e in header.items() if key != "__metadata__")
        header[name] = entry(shape=[0], offsets=[end, end])

    assert "a tensor named" in refused(with_header(whole, add))


@pytest.mark.parametrize("count", [10_001, pytest.param(100_000, marks=pytest.mark.slow)])
def test_more_tensors_than_any_model_has_are_refused(whole: bytes, refused: Callable[[bytes], str], count: int) -> None:
    header, data = parts(whole)
    header |= {f"t{i}": entry(shape=[0], offsets=[len(data), len(data)]) for i in range(count)}
    assert "tensors" in refused(signed(header, data))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: drop(h, "__metadata__"),
        lambda h: put(h, "__metadata__", None),
        lambda h: put(h, "__metadata__", []),
        lambda h: put(h, "__metadata__", {}),
        lambda h: drop(h, "__metadata__/format"),
        lambda h: put(h, "__metadata__/format", "pt"),
        lambda h: put(h, "__metadata__/format", ["charnet"]),
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
    whole: bytes, refused: Callable[[bytes], str], change: Callable[[dict[str, Any]], None]
) -> None:
    header, data = parts(whole)
    change(header)
    refused(built(header, data))


def test_a_checksum_that_stands_twice_is_refused(whole: bytes, refused: Callable[[bytes], str]) -> None:
    header, data = parts(whole)
    digest = header["__metadata__"]["sha256"]
    header["__metadata__"]["a"] = {"sha256": digest}
    refused(built(header, data))


# --------------------------------------------------------------------------------------- a right checksum, wrong inside


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "3",
        '"x"',
        "{}",
        "{",
        "NaN",
        '{"format": NaN}',
        '{"format": 1, "format": 1}',
        "[" * 100_000,
        "x",
        "\x1b",
    ],
)
def test_a_document_that_is_no_strict_json_table_is_refused(
    whole: bytes, refused: Callable[[bytes], str], text: str
) -> None:
    refused(with_document(whole, lambda _: text))


@pytest.mark.parametrize("missing", [None, 3, [], {}, ["{}"]])
def test_a_document_that_is_no_text_is_refused(whole: bytes, refused: Callable[[bytes], str], missing: Any) -> None:
    refused(with_header(whole, lambda h: put(h, "__metadata__/charnet", missing)))
    refused(with_header(whole, lambda h: drop(h, "__metadata__/charnet")))


@pytest.mark.parametrize(
    "part", ["format", "created", "config", "alphabet", "corpus", "progress", "history", "versions"]
)
def test_a_missing_part_is_refused(whole: bytes, refused: Callable[[bytes], str], part: str) -> None:
    refused(with_document(whole, lambda d: drop(d, part)))


@pytest.mark.parametrize("number", [None, "1", 1.0, True, [], -1, 0])
def test_what_is_no_format_number_is_refused(whole: bytes, refused: Callable[[bytes], str], number: Any) -> None:
    refused(with_document(whole, lambda d: put(d, "format", number)))


@pytest.mark.parametrize("number", [FORMAT + 1, 10**100])
def test_a_newer_format_is_refused_with_the_advice_to_update(
    whole: bytes, refused: Callable[[bytes], str], number: int
) -> None:
    message = refused(with_document(whole, lambda d: put(d, "format", number)))
    assert f"this charnet reads up to {FORMAT}: install a newer one" in message


def test_a_newer_format_may_look_otherwise(whole: bytes, refused: Callable[[bytes], str]) -> None:
    assert "install a newer one" in refused(with_document(whole, lambda _: f'{{"format": {FORMAT + 1}}}'))


HUGE = 10**400
WRONG = [
    ("config", None),
    ("config", []),
    ("config/model", None),
    ("config/modle", {"cell": "gru"}),
    ("config/model\n", {"cell": "gru"}),
    ("config/model/hidden\n\x1b[2J", 3),
    ("config/model/cell", "transformer"),
    ("config/model/cell", "\x1b[2J\n"),
    ("config/model/cell", None),
    ("config/model/hidden_size", 0),
    ("config/model/hidden_size", -3),
    ("config/model/hidden_size", 32769),
    ("config/model/hidden_size", 2**63),
    ("config/model/hidden_size", HUGE),
    ("config/model/hidden_size", "3"),
    ("config/model/hidden_size", 3.0),
    ("config/model/hidden_size", True),
    ("config/model/num_layers", 65),
    ("config/model/dropout", HUGE),
    ("config/model/dropout", 1.5),
    ("config/training/seed", -1),
    ("config/data/paths", "a.txt"),
    ("config/data/paths", [3]),
    ("config/data/bytes", 1),
    ("alphabet", None),
    ("alphabet", ""),
    ("alphabet", []),
    ("alphabet", 6),
    ("alphabet", {}),
    ("alphabet", "\n aabé"),
    ("alphabet", "b\n aé😀"),
    ("alphabet", "\n abé\ud800"),
    ("alphabet", "\n abé"),
    ("alphabet", [0, 1, 2, 3, 4, 256]),
    ("alphabet", [0, 1, 2, 3, 4, 4]),
    ("alphabet", [5, 4, 3, 2, 1, 0]),
    ("alphabet", [0, 1, 2, 3, 4, 5.0]),
    ("alphabet", [False, 1, 2, 3, 4, 5]),
    ("alphabet", [-1, 1, 2, 3, 4, 5]),
    ("alphabet", ["\n", " ", "a", "b", "é", "😀"]),
    ("corpus", None),
    ("corpus", []),
    ("corpus", {}),
    ("corpus/name", 3),
    ("corpus/name", None),
    ("corpus/characters", "1000"),
    ("corpus/characters", -1),
    ("corpus/characters", 1.5),
    ("corpus/characters", True),
    ("corpus/characters", 2**63),
    ("corpus/more", 1),
    ("corpus/fingerprint", 12),
    ("progress", None),
    ("progress", []),
    ("progress/step", -1),
    ("progress/step", 1.0),
    ("progress/step", "40"),
    ("progress/step", True),
    ("progress/step", HUGE),
    ("progress/seconds", None),
    ("progress/seconds", "1"),
    ("progress/seconds", HUGE),
    ("progress/position", 3),
    ("progress/position", [1]),
    ("progress/position", [1, 2, 3]),
    ("progress/position", [1, -2]),
    ("progress/position", [1, 2.0]),
    ("progress/best_nats_per_char", "low"),
    ("progress/best_nats_per_char", HUGE),
    ("progress/__class__", 1),
    ("progress/\x1b[2J", 1),
    ("history", None),
    ("history", {}),
    ("history", [3]),
    ("history", [[]]),
    ("history", [None]),
    ("history/0/step", "20"),
    ("history/0/step", None),
    ("history/0/step", True),
    ("history/0/val_nats_per_char", [1]),
    ("history/0/val_nats_per_char", HUGE),
    ("versions", None),
    ("versions", []),
    ("versions", {"torch": 2}),
    ("versions", {"torch": None}),
    ("created", None),
    ("created", {"a": 1}),
]


WRONG_IDS = [f"{keys!a}={str(value)[:20]!a}" for keys, value in WRONG]


@pytest.mark.parametrize(("keys", "value"), WRONG, ids=WRONG_IDS)
def test_a_wrong_part_is_refused_though_the_checksum_is_right(
    whole: bytes, refused: Callable[[bytes], str], keys: str, value: Any
) -> None:
    refused(with_document(whole, lambda d: put(d, keys, value)))


@pytest.mark.parametrize("keys", ["progress/seconds", "progress/best_nats_per_char", "history/0/val_nats_per_char"])
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_refused_anywhere(
    whole: bytes, refused: Callable[[bytes], str], keys: str, number: str
) -> None:
    def change(document: dict[str, Any]) -> str:
        put(document, keys, "NUMBER")
        return json.dumps(document).replace('"NUMBER"', number)

    refused(with_document(whole, change))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.cell", "gru"),
        ("model.cell", "rnn"),
        ("model.hidden_size", 4),
        ("model.hidden_size", 32768),
        ("model.num_layers", 1),
        ("model.num_layers", 64),
        ("model.embedding_size", 3),
        ("model.embedding_size", 0),
    ],
)
def test_settings_that_call_for_other_weights_are_refused(
    whole: bytes, refused: Callable[[bytes], str], name: str, value: Any
) -> None:
    message = refused(with_document(whole, lambda d: put(d, "config", as_dict(overlay(tiny().config, {name: value})))))
    assert "settings call for" in message


@pytest.mark.parametrize("alphabet", ["\n abé", "\n abcé😀", [1, 2, 3, 4, 5]])
def test_an_alphabet_of_another_size_is_refused(whole: bytes, refused: Callable[[bytes], str], alphabet: Any) -> None:
    assert "settings call for" in refused(with_document(whole, lambda d: put(d, "alphabet", alphabet)))


def saved_bytes(path: Path, checkpoint: Checkpoint) -> bytes:
    checkpoint.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["model." + name for name in model_shapes(tiny("gru").config, 6)])
def test_missing_misshapen_broken_or_strange_weights_are_refused(
    tmp_path: Path, refused: Callable[[bytes], str], name: str
) -> None:
    def with_tensor(tensor: Any) -> str:
        other = tiny("gru")
        other.tensors.pop(name)
        if tensor is not None:
            other.tensors[name] = tensor
        return refused(saved_bytes(tmp_path / "other.safetensors", other))

    right = tiny("gru").tensors[name]
    assert "other weights" in with_tensor(None)
    with_tensor(right.reshape(-1, 1))
    with_tensor(right.reshape(1, *right.shape))
    with_tensor(np.zeros(right.shape, dtype=np.uint8))
    with_tensor(right[:0])
    for broken in (np.nan, np.inf, -np.inf):
        wrong = right.copy()
        wrong.flat[-1] = broken
        assert "not finite" in with_tensor(wrong)


def test_a_matrix_and_its_transpose_are_told_apart(tmp_path: Path, refused: Callable[[bytes], str]) -> None:
    other = tiny()
    other.tensors["model.head.weight"] = np.ascontiguousarray(other.tensors["model.head.weight"].T)
    refused(saved_bytes(tmp_path / "other.safetensors", other))


@pytest.mark.parametrize("name", ["model.more", "model.layers.2.bias", "model.layers.0.bias_hn"])
def test_weights_that_the_settings_do_not_call_for_are_refused(
    tmp_path: Path, refused: Callable[[bytes], str], name: str
) -> None:
    other = tiny()
    other.tensors[name] = np.zeros(3, dtype=np.float32)
    assert name.removeprefix("model.") in refused(saved_bytes(tmp_path / "other.safetensors", other))


def test_a_file_without_any_tensor_is_refused(tmp_path: Path, refused: Callable[[bytes], str]) -> None:
    assert "other weights" in refused(saved_bytes(tmp_path / "other.safetensors", replace(tiny(), tensors={})))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    *("config", "alphabet", "corpus", "progress", "history", "versions", "created", "format"),
    *("config/model", "config/model/dropout", "config/training/learning_rate", "config/data/paths"),
    *(
        "corpus/characters",
        "progress/step",
        "progress/position",
        "progress/best_nats_per_char",
        "history/0",
        "history/0/step",
    ),
]


@given(st.sampled_from(PLACES), json_values)
@settings(deadline=None, max_examples=60)
def test_any_value_anywhere_is_believed_or_refused(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, keys: str, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(with_document(whole, lambda d: put(d, keys, value)))
    try:
        found = Checkpoint.load(path)
    except CheckpointError:
        return
    assert found.weights_sha256() == tiny().weights_sha256()
    found.save(path)
    assert_same(Checkpoint.load(path), found)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@settings(deadline=None, max_examples=30)
def test_any_bytes_as_a_header_are_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(built(raw, bytes(8)))
    with pytest.raises(CheckpointError):
        Checkpoint.load(path)


# --------------------------------------------------------------------------------------------------- writing


def fail(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("broken", ["fsync", "replace", "open"])
@pytest.mark.parametrize("before", [True, False])
def test_a_failing_write_leaves_what_was_there(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, broken: str, before: bool
) -> None:
    path = tmp_path / "c.safetensors"
    if before:
        path.write_bytes(whole)
    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        with pytest.raises(StorageError, match=r"cannot be written: No space left on device"):
            replace(tiny(), created="later").save(path)
    assert [p.name for p in tmp_path.iterdir()] == (["c.safetensors"] if before else [])
    if before:
        assert path.read_bytes() == whole


def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "c.safetensors"
    path.write_bytes(whole)
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace(tiny(), created="later").save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    assert path.read_bytes() == whole


def test_the_file_is_synced_before_it_is_moved_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("sync") or sync(handle))
    monkeypatch.setattr(os, "replace", lambda *names, **more: calls.append("move") or move(*names, **more))
    durable.write(tmp_path / "x", b"content")
    assert calls == ["sync", "move", "sync"]
    assert (tmp_path / "x").read_bytes() == b"content"


def test_a_folder_that_cannot_be_synced_leaves_a_whole_file(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(whole)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync_folder", fail)
        with pytest.raises(StorageError):
            replace(tiny(), created="later").save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    Checkpoint.load(path)


@pytest.mark.parametrize("kind", ["no folder", "below a file", "too long", "a folder"])
def test_a_place_that_cannot_be_written_is_an_error_of_storage(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    path = {
        "no folder": tmp_path / "none" / "x",
        "below a file": tmp_path / "file" / "x",
        "too long": tmp_path / ("x" * 300),
        "a folder": tmp_path / "folder",
    }[kind]
    with pytest.raises(StorageError, match="cannot be written"):
        durable.write(path, b"content")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


# --------------------------------------------------------------------------------------------------- runs


def make_run(runs: Path, name: str, *files: str, age: int = 0) -> Path:
    (runs / name).mkdir(parents=True, exist_ok=True)
    for file in files:
        (runs / name / file).write_bytes(b"x")
        os.utime(runs / name / file, (1e9 - age, 1e9 - age))
    return runs / name


def test_without_a_name_the_newest_run_is_meant(tmp_path: Path) -> None:
    make_run(tmp_path, "old", runs.BEST, runs.LAST, age=100)
    make_run(tmp_path, "new", runs.BEST, age=10)
    make_run(tmp_path, "older", runs.BEST, age=1000)
    assert runs.find(None, tmp_path) == tmp_path / "new" / runs.BEST
    assert [run.name for run in runs.newest_first(tmp_path)] == ["new", "old", "older"]


def test_the_newest_run_is_the_one_written_last_to_either_file(tmp_path: Path) -> None:
    make_run(tmp_path, "a", runs.BEST, age=100)
    make_run(tmp_path, "a", runs.LAST, age=1)
    make_run(tmp_path, "b", runs.BEST, age=50)
    assert runs.find(None, tmp_path) == tmp_path / "a" / runs.BEST
    assert [run.name for run in runs.newest_first(tmp_path)] == ["a", "b"]


def test_a_folder_without_checkpoint_is_no_run(tmp_path: Path) -> None:
    make_run(tmp_path, "empty")
    make_run(tmp_path, "other", "notes.txt")
    make_run(tmp_path, "run", runs.LAST)
    assert [run.name for run in runs.newest_first(tmp_path)] == ["run"]
    assert runs.find(None, tmp_path) == tmp_path / "run" / runs.LAST


@pytest.mark.parametrize("exists", [True, False])
def test_without_any_run_the_way_to_make_one_is_told(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "runs"
    if exists:
        folder.mkdir()
    assert runs.newest_first(folder) == []
    with pytest.raises(CheckpointError, match=r"runs/: no run here yet; make one with `charnet train`"):
        runs.find(None, folder)


def test_a_run_may_be_named_by_its_folder_its_file_or_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path, "pets", runs.BEST, runs.LAST)
    for given_path in (run, run / runs.BEST, Path("pets")):
        assert runs.find(given_path, tmp_path) == run / runs.BEST
    assert runs.find(run / runs.LAST, tmp_path) == run / runs.LAST


def test_the_preferred_file_comes_first_and_the_other_will_do(tmp_path: Path) -> None:
    both, one = make_run(tmp_path, "both", runs.BEST, runs.LAST), make_run(tmp_path, "one", runs.BEST)
    assert runs.find(both, tmp_path, order=runs.RESUME_ORDER) == both / runs.LAST
    assert runs.find(one, tmp_path, order=runs.RESUME_ORDER) == one / runs.BEST
    assert runs.find(None, tmp_path, order=runs.RESUME_ORDER).parent in (both, one)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected the folder of a run, found no best\.safetensors or last"):
        runs.find(make_run(tmp_path, "empty"), tmp_path)


def test_an_unknown_name_is_refused_with_the_runs_that_there_are(tmp_path: Path) -> None:
    make_run(tmp_path, "old", runs.BEST, age=100)
    make_run(tmp_path, "new", runs.BEST)
    with pytest.raises(CheckpointError, match=r"^nwe: there is no such checkpoint; runs in .*: new, old$"):
        runs.find(Path("nwe"), tmp_path)


def test_an_unknown_name_where_there_are_no_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^x: there is no such checkpoint$"):
        runs.find(Path("x"), tmp_path / "none")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_a_name_that_no_system_allows_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises((CheckpointError, StorageError)):
        runs.find(Path(name), tmp_path)


def test_a_new_run_whose_name_is_taken_gets_a_number(tmp_path: Path) -> None:
    made = [RunFolder.new(tmp_path / "runs", "pets").path.name for _ in range(4)]
    assert made == ["pets", "pets-2", "pets-3", "pets-4"]
    assert all((tmp_path / "runs" / name).is_dir() for name in made)


def test_a_file_with_the_name_of_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pets").write_text("mine")
    assert RunFolder.new(tmp_path, "pets").path.name == "pets-2"
    assert (tmp_path / "pets").read_text() == "mine"


@pytest.mark.parametrize("name", ["below", "x" * 300])
def test_a_run_that_cannot_be_made_is_an_error_of_storage(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"be made.*--out"):
        RunFolder.new(tmp_path / "file" if name == "below" else tmp_path, name)


def test_a_run_below_a_dangling_link_is_an_error_of_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "none")
    tries, make = [], Path.mkdir

    def counted(self: Path, *args: Any, **kwargs: Any) -> None:
        tries.append(self)
        assert len(tries) < 50, "goes on for ever"
        make(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", counted)
    with pytest.raises(StorageError):
        RunFolder.new(tmp_path / "out", "pets")
