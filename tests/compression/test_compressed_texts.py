"""Texts are compressed and come back byte for byte, whatever the text and the model; every other file is refused."""

from __future__ import annotations

import dataclasses
import importlib.util
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from checkpoint_files import tiny
from faults.files import LONG
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charnet.compression import container, layout, learned_tables, symbols
from charnet.compression.compress import Compressor, Totals, decompress
from charnet.data.vocab import Vocabulary
from charnet.engines import registry
from charnet.errors import CompressedFileError
from charnet.storage.checkpoint import Checkpoint

OF_BYTES = Vocabulary(tuple(range(32, 127)), of_bytes=True)
LINES = dataclasses.replace(Vocabulary.of_text("\n abcdefgh"), has_documents=True)
MODELS = {
    "lstm": tiny(),
    "gru of bytes": tiny("gru", OF_BYTES, **{"data.bytes": True}),
    "two of lines": tiny("cifg", LINES, **{"data.lines": True, "model.members": 2}),
    "with a rare character": tiny("rnn", Vocabulary((10, 97, 98, 0x110000))),
}
TEXTS = st.one_of(st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=60))
BOTH = pytest.mark.parametrize("adaptive", [False, True], ids=["plain", "adaptive"])
BOTH_SLOWLY = pytest.mark.parametrize(
    "adaptive", [pytest.param(False, marks=pytest.mark.exhaustive), True], ids=["plain", "adaptive"]
)


@pytest.fixture(scope="module")
def trained(tiny_run: Path) -> Checkpoint:
    return Checkpoint.load(tiny_run / "best.safetensors", weights_only=True)


@pytest.fixture
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "BLOCK", 300)
    monkeypatch.setattr(layout, "SYMBOLS_A_STREAM", 40)


def compressed(raw: bytes, model: Checkpoint, *, adaptive: bool = False) -> bytes:
    return b"".join(Compressor(model, adaptive=adaptive).compress(BytesIO(raw).read))


def restored(raw: bytes, model: Checkpoint) -> bytes:
    return b"".join(decompress(model, BytesIO(raw).read, "text.cnz"))


def read_by(compressor: Compressor, raw: bytes) -> bytes:
    parser = container.Parser(BytesIO(raw).read, "text.cnz")
    return b"".join(compressor.blocks(parser, parser.header()))


def refusal(raw: bytes, model: Checkpoint | Compressor) -> str:
    with pytest.raises(CompressedFileError) as refused:
        read_by(model, raw) if isinstance(model, Compressor) else restored(raw, model)
    message = str(refused.value)
    assert message.startswith("text.cnz: ")
    assert message.isprintable()
    return message


@given(TEXTS, st.sampled_from(sorted(MODELS)), st.booleans())
@settings(max_examples=5, deadline=None)
@example(b"", "lstm", True)
@example("é😀ab\x00".encode(), "lstm", True)
def test_every_text_comes_back(raw: bytes, name: str, adaptive: bool) -> None:
    assert restored(compressed(raw, MODELS[name], adaptive=adaptive), MODELS[name]) == raw


@pytest.mark.exhaustive
@given(TEXTS, st.sampled_from(sorted(MODELS)), st.booleans())
@settings(max_examples=30, deadline=None)
def test_thirty_texts_come_back(raw: bytes, name: str, adaptive: bool) -> None:
    assert restored(compressed(raw, MODELS[name], adaptive=adaptive), MODELS[name]) == raw


@pytest.mark.slow
@given(st.text(max_size=300), st.sampled_from(sorted(MODELS)), st.booleans())
@settings(max_examples=1000, deadline=None)
def test_a_thousand_texts_come_back(text: str, name: str, adaptive: bool) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    assert restored(compressed(raw, MODELS[name], adaptive=adaptive), MODELS[name]) == raw


@pytest.mark.slow
@given(st.binary(max_size=600), st.sampled_from(sorted(MODELS)), st.booleans())
@settings(max_examples=500, deadline=None)
def test_five_hundred_strings_of_bytes_come_back(raw: bytes, name: str, adaptive: bool) -> None:
    assert restored(compressed(raw, MODELS[name], adaptive=adaptive), MODELS[name]) == raw


@BOTH_SLOWLY
@pytest.mark.usefixtures("many_blocks")
def test_a_text_of_many_blocks_and_streams_comes_back(trained: Checkpoint, adaptive: bool) -> None:
    chance = random.Random(3)
    words = ["the ", "cat ", "sat\n", "on\r\n", "ünder ", "Λόγος ", "\x00", "the dog ran to see it\n"]
    raw = "".join(chance.choice(words) for _ in range(300)).encode()
    for model in (trained, *MODELS.values()):
        assert restored(compressed(raw, model, adaptive=adaptive), model) == raw


@pytest.mark.slow
@BOTH
def test_every_file_of_the_tests_comes_back(trained: Checkpoint, adaptive: bool) -> None:
    paths = [path for path in Path(__file__).parent.parent.rglob("*") if path.is_file()]
    assert len(paths) > 50
    for path in paths:
        raw = path.read_bytes()[: 1 << 16]
        assert restored(compressed(raw, trained, adaptive=adaptive), trained) == raw, path


def test_a_text_takes_the_bits_that_the_model_calls_for(trained: Checkpoint) -> None:
    raw = ("the cat sat on a mat and the dog ran over to see it\n" * 80).encode()
    totals = Totals()
    size = sum(map(len, Compressor(trained).compress(BytesIO(raw).read, totals)))
    assert (totals.text_bytes, totals.characters, totals.compressed_bytes) == (len(raw), len(raw), size)
    assert totals.entropy < 8 * size < 1.006 * totals.entropy + 8 * 64


def test_what_a_text_repeats_is_learned_from_it(trained: Checkpoint) -> None:
    raw = ("colorless green ideas sleep furiously\n" * 60).encode()
    assert len(compressed(raw, trained, adaptive=True)) < len(compressed(raw, trained)) / 3


def test_a_model_and_its_copy_of_8_bits_are_the_same(trained: Checkpoint) -> None:
    raw = b"the cat sat on a mat\n"
    assert compressed(raw, trained) == compressed(raw, trained.quantize())
    assert restored(compressed(raw, trained), trained.quantize()) == raw


@BOTH_SLOWLY
def test_both_engines_write_the_same_bytes(
    trained: Checkpoint, monkeypatch: pytest.MonkeyPatch, adaptive: bool
) -> None:
    raw = b"the cat sat on a mat and the dog ran over to see it\n" * 60
    monkeypatch.setattr(layout, "SYMBOLS_A_STREAM", 1000)
    fast = compressed(raw, trained, adaptive=adaptive)
    monkeypatch.setattr(registry, "available", lambda _: "numpy")
    assert compressed(raw, trained, adaptive=adaptive) == fast


def test_without_numba_the_same_is_learned(trained: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from charnet.compression import adaptive, kernels_adaptive

    raw = b"the cat sat on a mat\nand the dog ran over to see it, and that was odd!\n" * 6
    fast = compressed(raw, trained, adaptive=True)
    monkeypatch.setattr(registry, "available", lambda _: "numpy")
    spec = importlib.util.spec_from_file_location("uncompiled", kernels_adaptive.__file__)
    assert spec is not None
    assert spec.loader is not None
    uncompiled = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(uncompiled)
    assert not hasattr(uncompiled.code, "py_func")
    monkeypatch.setattr(adaptive, "kernels", uncompiled)
    assert compressed(raw, trained, adaptive=True) == fast
    assert restored(fast, trained) == raw


def test_when_there_is_no_room_to_learn_more_it_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_tables, "MOST_NODES", 60)
    raw = random.Random(1).randbytes(300)
    assert restored(compressed(raw, MODELS["lstm"], adaptive=True), MODELS["lstm"]) == raw


def test_another_model_is_refused_and_both_are_named(trained: Checkpoint) -> None:
    first, second = (Compressor(model).fingerprint.hex()[:12] for model in (trained, MODELS["lstm"]))
    message = refusal(compressed(b"the cat", trained), MODELS["lstm"])
    assert first in message
    assert second in message


@pytest.mark.parametrize(
    "change",
    [
        lambda c: dataclasses.replace(c, vocab=Vocabulary.of_text("\n abé😁")),
        lambda c: dataclasses.replace(c, vocab=dataclasses.replace(c.vocab, has_documents=True)),
        lambda c: dataclasses.replace(c, tensors=c.tensors | {"model.head.bias": c.tensors["model.head.bias"] + 1}),
        lambda _: tiny("lstm", **{"model.activation": "relu"}),
    ],
    ids=["alphabet", "documents", "weights", "activation"],
)
def test_what_predictions_depend_on_is_in_the_fingerprint(change: Callable[[Checkpoint], Checkpoint]) -> None:
    assert Compressor(change(MODELS["lstm"])).fingerprint != Compressor(MODELS["lstm"]).fingerprint


@BOTH
def test_a_file_that_is_cut_anywhere_is_refused(adaptive: bool) -> None:
    raw = compressed("ab é\n a b\x00".encode(), MODELS["lstm"], adaptive=adaptive)
    compressor = Compressor(MODELS["lstm"], adaptive=adaptive)
    for end in range(len(raw)):
        assert "cut off" in refusal(raw[:end], compressor) or end < len(container.MAGIC)
    assert "goes on" in refusal(raw + b"\0", compressor)


@BOTH
def test_a_file_with_any_bit_flipped_is_refused(adaptive: bool) -> None:
    raw = compressed("ab é\n a b\x00".encode(), MODELS["lstm"], adaptive=adaptive)
    compressor = Compressor(MODELS["lstm"], adaptive=adaptive)
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        refusal(bytes(flipped), compressor)


def signed(raw: bytes) -> bytes:
    """A file of one block with the checksums of the file so far made right."""
    body = raw[:-9]
    first = zlib.crc32(body).to_bytes(4, "little")
    rest = body + first + raw[-5:-4]
    return rest + zlib.crc32(rest).to_bytes(4, "little")


def forged(raw: bytes) -> Iterator[bytes]:
    """Files changed by chance whose checksums are right."""
    chance = random.Random(11)
    while True:
        changed = bytearray(raw)
        for _ in range(chance.choice([1, 1, 2, 5])):
            at = chance.randrange(22, len(raw) - 9)
            changed[at] = chance.choice([chance.randrange(256), changed[at] ^ 1 << chance.randrange(8), 0, 255])
        yield signed(bytes(changed))


def check_forged(count: int) -> None:
    model = MODELS["lstm"].quantize()
    text = "ab é\n a b\x00 café".encode()
    compressors = {adaptive: Compressor(model, adaptive=adaptive) for adaptive in (False, True)}
    whole = {adaptive: b"".join(each.compress(BytesIO(text).read)) for adaptive, each in compressors.items()}
    files = {adaptive: forged(raw) for adaptive, raw in whole.items()}
    refused: list[str] = []
    for number in range(count):
        adaptive = number % 50 == 0  # each takes a hundred megabytes, if not for long
        raw = next(files[adaptive])
        try:
            found = read_by(compressors[adaptive], raw)
        except CompressedFileError as error:
            refused.append(str(error))
        else:
            assert len(found) < 4 * 2048 * 8 * len(raw)
    assert all(message.startswith("text.cnz: ") for message in refused)
    assert len(refused) > 0.9 * count


def test_a_forged_file_is_refused_or_read() -> None:
    check_forged(300)


@pytest.mark.faults
def test_many_forged_files_are_refused_or_read() -> None:
    check_forged(100_000 if LONG else 10_000)


def test_bytes_by_chance_are_refused() -> None:
    chance = random.Random(5)
    whole = compressed(b"ab", MODELS["lstm"])
    for size in range(200):
        refusal(chance.randbytes(size), MODELS["lstm"])
        refusal(whole[:22] + chance.randbytes(size), MODELS["lstm"])


def test_a_short_file_cannot_claim_a_long_text() -> None:
    block = container.CodedBlock(symbols.BLOCK, 0, [], [], [], np.array([1, 0], np.uint32), 0)
    writer = container.Writer()
    header = writer.header(container.Header(Compressor(MODELS["lstm"]).fingerprint, False))
    tracemalloc.start()
    message = refusal(header + writer.block(block) + writer.block(None), MODELS["lstm"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "damaged" in message
    assert peak < 5e6


@pytest.mark.slow
@BOTH
def test_the_memory_for_a_long_text_is_that_for_a_shorter_one(adaptive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are read, coded and written one by one. They are small here: a text of 30 is as one of 30 MB."""
    monkeypatch.setattr(symbols, "BLOCK", 1 << 13)
    monkeypatch.setattr(layout, "SYMBOLS_A_STREAM", 128)
    compressor = Compressor(MODELS["lstm"], adaptive=adaptive)

    def peak(blocks: int) -> int:
        pieces = (b"ab a\n" * (1 << 10) for _ in range(blocks * 8 // 5))
        tracemalloc.start()
        for part in compressor.compress(lambda _: next(pieces, b"")):
            del part
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(3)
    assert peak(30) < 1.1 * peak(10)
