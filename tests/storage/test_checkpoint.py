"""Checkpoints: saved = loaded, weights fit their settings, and a save that fails leaves the old file."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import assert_same, packed, put, tiny, with_document

from charnet import durable
from charnet.data.vocab import Vocabulary
from charnet.errors import CheckpointError, StorageError
from charnet.model.shapes import model_shapes
from charnet.overlay import as_dict, overlay
from charnet.storage import tensorfile
from charnet.storage.checkpoint import SCALE, Checkpoint
from charnet.storage.document import TrainerState

Refused = Callable[[bytes], str]
HEAD = "model.head.weight"


# -------------------------------------------------------------------------------------------------------- round trips


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
    tiny(vocab=vocab, **{"data.bytes": vocab.of_bytes}).save(tmp_path / "c.safetensors")
    assert Checkpoint.load(tmp_path / "c.safetensors").vocab == vocab


@pytest.mark.exhaustive
def test_a_checkpoint_of_all_of_unicode_and_of_thousands_of_texts_comes_back(tmp_path: Path) -> None:
    vocab = Vocabulary((*range(0xD800), *range(0xE000, 0x110000)))
    tiny(vocab=vocab, **{"data.paths": [f"texts/{i}.txt" for i in range(9000)]}).save(tmp_path / "c.safetensors")
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


def test_a_tensor_of_another_memory_layout_comes_back(tmp_path: Path) -> None:
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


# ------------------------------------------------------------------------------------------------ the model's weights


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


# -------------------------------------------------------------------------------------------- weights that do not fit


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
    whole: bytes, refused: Refused, name: str, value: Any
) -> None:
    message = refused(with_document(whole, lambda d: put(d, "config", as_dict(overlay(tiny().config, {name: value})))))
    assert "settings call for" in message


@pytest.mark.parametrize("alphabet", ["\n abé", "\n abcé😀"])
def test_an_alphabet_of_another_size_is_refused(whole: bytes, refused: Refused, alphabet: Any) -> None:
    assert "settings call for" in refused(with_document(whole, lambda d: put(d, "alphabet", alphabet)))


def with_tensor(checkpoint: Checkpoint, name: str, tensor: np.ndarray | None) -> bytes:
    """The bytes of a checkpoint with one tensor replaced; `None` leaves it out."""
    tensors = {key: value for key, value in checkpoint.tensors.items() if key != name}
    return packed(replace(checkpoint, tensors=tensors if tensor is None else tensors | {name: tensor}))


@pytest.mark.parametrize("name", ["model." + name for name in model_shapes(tiny("gru").config, 6)])
def test_missing_misshapen_broken_or_strange_weights_are_refused(refused: Refused, name: str) -> None:
    gru = tiny("gru")
    right = gru.tensors[name]
    assert "other weights" in refused(with_tensor(gru, name, None))
    for strange in (
        right.reshape(-1, 1),
        right[None],
        np.zeros(right.shape, dtype=np.uint8),
        right[..., :0],
        right[:0],
    ):
        refused(with_tensor(gru, name, strange))
    for broken in (np.nan, np.inf, -np.inf):
        for place in (0, -1):
            wrong = right.copy()
            wrong.flat[place] = broken
            assert "not finite" in refused(with_tensor(gru, name, wrong))


def test_the_transpose_of_a_matrix_is_refused(refused: Refused) -> None:
    refused(with_tensor(tiny(), HEAD, np.ascontiguousarray(tiny().tensors[HEAD].T)))


@pytest.mark.parametrize("name", ["model.more", "model.layers.2.bias", "model.layers.0.bias_hn"])
def test_weights_that_the_settings_do_not_call_for_are_refused(refused: Refused, name: str) -> None:
    assert name.removeprefix("model.") in refused(with_tensor(tiny(), name, np.zeros(3, dtype=np.float32)))


def test_a_file_without_any_tensor_is_refused(refused: Refused) -> None:
    assert "other weights" in refused(packed(replace(tiny(), tensors={})))


# ------------------------------------------------------------------------------------------------ 8-bit weights

SCALE_OF_HEAD = HEAD + SCALE
ONES = np.ones(6, dtype=np.float32)


def ending_in(number: float) -> np.ndarray:
    """The scale of six rows; the last one has this value, the others 1."""
    return np.array([1, 1, 1, 1, 1, number], dtype=np.float32)


# which kind of mistake: the tensor that is not what it should be in a checkpoint of 8-bit weights; `None` leaves it out
WRONG_8_BITS: dict[str, tuple[str, np.ndarray | None]] = {
    "no scale": (SCALE_OF_HEAD, None),
    "a matrix of another shape": (HEAD, np.zeros((3, 6), dtype=np.int8)),
    "a matrix with numbers below -127": (HEAD, np.full((6, 3), -128, dtype=np.int8)),
    "a matrix of 32 bits": (HEAD, np.zeros((6, 3), dtype=np.float32)),
    "a bias of 8 bits": ("model.head.bias", np.zeros(6, dtype=np.int8)),
    "a state of 8 bits": ("state.0", np.zeros((1, 2, 3), dtype=np.int8)),
    "a scale of no matrix": ("model.neck.weight" + SCALE, ONES),
    "a scale of a bias": ("model.head.bias" + SCALE, ONES),
    "a scale of a scale": (SCALE_OF_HEAD + SCALE, ONES),
    "a scale that is too short": (SCALE_OF_HEAD, np.ones(5, dtype=np.float32)),
    "a scale that is too long": (SCALE_OF_HEAD, np.ones(7, dtype=np.float32)),
    "a scale for each column": (SCALE_OF_HEAD, np.ones(3, dtype=np.float32)),
    "a scale for each number": (SCALE_OF_HEAD, np.ones((6, 3), dtype=np.float32)),
    "a scale of one number": (SCALE_OF_HEAD, np.ones((), dtype=np.float32)),
    "a scale of no numbers": (SCALE_OF_HEAD, np.ones(0, dtype=np.float32)),
    "a scale of 8 bits": (SCALE_OF_HEAD, np.ones(6, dtype=np.int8)),
    "a scale of bytes": (SCALE_OF_HEAD, np.ones(6, dtype=np.uint8)),
    "a scale of NaN": (SCALE_OF_HEAD, ending_in(np.nan)),
    "a scale of inf": (SCALE_OF_HEAD, ending_in(np.inf)),
    "a scale of -inf": (SCALE_OF_HEAD, ending_in(-np.inf)),
    "a scale of zero": (SCALE_OF_HEAD, ending_in(0)),
    "a scale of -0": (SCALE_OF_HEAD, ending_in(-0.0)),
    "a scale below zero": (SCALE_OF_HEAD, ending_in(-1e-3)),
    "a scale beyond all bounds": (SCALE_OF_HEAD, ending_in(3e38)),
}


@pytest.mark.parametrize("kind", WRONG_8_BITS)
def test_8_bit_weights_that_do_not_fit_are_refused(refused: Refused, kind: str) -> None:
    refused(with_tensor(tiny().quantize(), *WRONG_8_BITS[kind]))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        (HEAD, np.zeros((6, 3), dtype=np.int8)),
        ("optimizer.m.head.bias", np.zeros(6, dtype=np.int8)),
        ("random.torch", np.zeros(16, dtype=np.int8)),
        (SCALE_OF_HEAD, ONES),
    ],
    ids=["one matrix alone", "the optimizer", "random numbers", "a scale without its matrix"],
)
def test_8_bits_beside_weights_of_32_are_refused(refused: Refused, name: str, tensor: np.ndarray) -> None:
    refused(with_tensor(tiny(), name, tensor))


def test_8_bits_in_a_file_of_format_1_are_refused(refused: Refused) -> None:
    whole = packed(tiny().quantize())
    assert "format 1" in refused(with_document(whole, lambda document: put(document, "format", 1)))


# ------------------------------------------------------------------------------------------------------------- saving


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


@pytest.mark.parametrize("paths", [["x" * 200] * 12_000, [""] * 110_000], ids=["characters", "values"])
def test_what_would_be_refused_is_never_written(paths: list[str], whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="cannot hold"):
        tiny(**{"data.paths": paths}).save(path)
    assert path.read_bytes() == whole
