"""Files by chance: whatever they hold, they are read or refused with one of charnet's errors, never anything else.

The amounts, over all the tests: a few hundred files by default, twenty thousand with the marker `faults`, ten
million where CHARNET_FAULTS=long besides: a hundred pieces, each of other files than the rest.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import assert_same, document_of, header_text, packed, parts, put, signed_text, with_text
from files import LONG, in_memory, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charnet.config import Config
from charnet.data.vocab import LAST_CODE_POINT, Vocabulary
from charnet.errors import CheckpointError, ConfigError, PromptError
from charnet.overlay import as_dict, from_dict, overlay
from charnet.storage import tensorfile
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import read_yaml

CASES = 100_000 if LONG else 20_000  # in a piece
PIECES = range(100 if LONG else 1)
Record = Callable[[str, object], None]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tensorfile, "memory", lambda: 1 << 36)  # asked for every file, a third of the time
    with in_memory(tmp_path) as path:
        yield path


def loaded(path: Path, raw: bytes) -> Checkpoint | None:
    """The checkpoint in a file, or nothing where it is refused as it should be."""
    path.write_bytes(raw)
    try:
        return Checkpoint.load(path)
    except CheckpointError as error:
        message = str(error)
        assert message.startswith(f"{path}: "), raw
        assert message.isprintable(), raw
        assert len(message) < 1000, raw
        return None


def settings_in(path: Path, raw: bytes) -> Config | None:
    """The settings in a file, or nothing where it is refused as it should be."""
    path.write_bytes(raw)
    try:
        return overlay(Config(), read_yaml(path))
    except ConfigError as error:
        message = str(error)
        assert message.startswith(str(path)), raw
        assert message.isprintable(), raw
        assert len(message) < 1000, raw
        return None


# ------------------------------------------------------------------------------------------------- three targets


def bytes_of_a_file(whole: bytes, chance: random.Random) -> bytes:
    return mutated(whole, chance)


def a_header(whole: bytes, chance: random.Random) -> bytes:
    """A mutated header with a right length, and mostly with a right checksum."""
    header, data = header_and_data(whole)
    return signed_text(mutated(header, chance), data)


@functools.lru_cache(maxsize=4)
def header_and_data(whole: bytes) -> tuple[bytes, bytes]:
    table, data = parts(whole)
    return header_text(table), data


def a_document(whole: bytes, chance: random.Random) -> bytes:
    """A mutated document; all around it is right."""
    text = mutated(json.dumps(document_of(whole), ensure_ascii=False).encode(), chance)
    return with_text(whole, text.decode("utf-8", "replace"))


ODD: list[Any] = [None, True, -1, 0, 1.5, 2**63, 10**199, "", "\x1b", "ab" * 32, [], [[]], {}, {"step": 1}]


def a_part(whole: bytes, chance: random.Random) -> bytes:
    """A document with an odd value somewhere; all around it is right."""
    document = document_of(whole)
    table: Any = document
    keys: list[str] = []
    while isinstance(table, dict | list) and table and (not keys or chance.random() < 0.7):
        key = chance.choice(list(table) if isinstance(table, dict) else range(len(table)))
        keys.append(str(key))
        table = table[key]
    put(document, "/".join(keys), chance.choice(ODD))
    return with_text(whole, json.dumps(document, ensure_ascii=False))


def an_alphabet(whole: bytes, chance: random.Random) -> bytes:
    """An alphabet by chance, as long as the weights call for or nearly so."""
    top = chance.choice((8, 0x100, 0x101, 0xE000, LAST_CODE_POINT + 1))
    symbols: list[Any] = [chance.randrange(top) for _ in range(chance.choice((5, 6, 6, 6, 7)))]
    if chance.random() < 0.7:
        symbols = sorted(set(symbols))
    document = document_of(whole)
    if chance.random() < 0.5:
        document["alphabet"] = "".join(map(chr, symbols))
    else:
        if chance.random() < 0.2:
            symbols[-1] = chance.choice(ODD)
        document["alphabet"] = symbols
    return with_text(whole, json.dumps(document))


Source = Callable[[bytes, random.Random], bytes]
SHARES: dict[Source, int] = {bytes_of_a_file: 30, a_header: 39, a_document: 12, a_part: 6, an_alphabet: 4}
SHARE_OF_SETTINGS = 8  # per cent of the cases; one more is hypothesis'
sources = pytest.mark.parametrize("source", SHARES, ids=lambda source: source.__name__)


def fuzz_files(source: Source, whole: bytes, path: Path, cases: int, piece: int = 0) -> Counter[str]:
    chance, found = random.Random(f"{source.__name__} {piece}"), Counter[str]()
    for _ in range(cases):
        checkpoint = loaded(path, source(whole, chance))
        found["refused" if checkpoint is None else "read"] += 1
        if checkpoint is not None:
            assert from_dict(as_dict(checkpoint.config)) == checkpoint.config
            encode_by_chance(checkpoint.vocab, chance)
    return found


def encode_by_chance(vocab: Vocabulary, chance: random.Random) -> None:
    """A text of characters that an alphabet has or has not: refused or given back, known or skipped."""
    own = vocab.symbols if not vocab.of_bytes else [s for s in vocab.symbols if s < 0x80] or [0x61]
    some = [chance.choice(own) if chance.random() < 0.9 else chance.randrange(LAST_CODE_POINT + 1) for _ in range(9)]
    text = "".join(map(chr, some))
    with contextlib.suppress(PromptError):
        assert vocab.decode(vocab.encode(text).tolist()) == text
    with contextlib.suppress(PromptError):
        ids, skipped = vocab.encode_known(text)
        assert vocab.of_bytes or len(ids) + skipped == len(text)
        assert vocab.decode(ids.tolist()) == "".join(c for c in text if c not in vocab.unknown_characters(text))
        assert np.all((ids >= 0) & (ids < len(vocab)))


YAML = b"""\
# settings
model:
  cell: gru  # gates
  hidden_size: 64
  dropout: 1e-3
data: {bytes: no, paths: ["a b.txt", 'c\xc3\xa9']}
training:
  learning_rate: 0.01
  steps: "2000"
  on_nan: >-
    stop
"""


def fuzz_settings(path: Path, cases: int, piece: int = 0) -> Counter[str]:
    chance, found = random.Random(f"yaml {piece}"), Counter[str]()
    for _ in range(cases):
        config = settings_in(path, mutated(YAML, chance))
        found["refused" if config is None else "read"] += 1
        if config is not None:
            assert from_dict(as_dict(config)) == config
    return found


def test_what_is_mutated_is_right_before(whole: bytes, path: Path) -> None:
    table, data = parts(whole)
    assert loaded(path, whole)
    assert loaded(path, signed_text(header_text(table), data))
    assert loaded(path, with_text(whole, json.dumps(document_of(whole))))
    assert settings_in(path, YAML)


@sources
def test_a_file_by_chance_is_read_or_refused(source: Source, whole: bytes, path: Path) -> None:
    found = fuzz_files(source, whole, path, 80)
    assert found["refused"] > 10


def test_settings_by_chance_are_read_or_refused(path: Path) -> None:
    assert fuzz_settings(path, 80)["refused"] > 10


@pytest.mark.faults
@sources
@pytest.mark.parametrize("piece", PIECES)
def test_many_files_by_chance_are_read_or_refused(
    source: Source, piece: int, whole: bytes, path: Path, record_property: Record
) -> None:
    begun = time.process_time()
    found = fuzz_files(source, whole, path, CASES * SHARES[source] // 100, piece)
    record_property("cases", (time.process_time() - begun, found["read"], found["refused"]))
    assert found["refused"] > CASES // 100


@pytest.mark.faults
@pytest.mark.parametrize("piece", PIECES)
def test_many_settings_by_chance_are_read_or_refused(piece: int, path: Path, record_property: Record) -> None:
    begun = time.process_time()
    found = fuzz_settings(path, CASES * SHARE_OF_SETTINGS // 100, piece)
    record_property("cases", (time.process_time() - begun, found["read"], found["refused"]))
    assert found["refused"] > CASES // 100


# --------------------------------------------------------------------------------------------- with hypothesis

numbers = st.integers() | st.floats() | st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**199])
words = st.text(max_size=12) | st.sampled_from(["F32", "U8", "charnet", "format", "model.head.bias", "sha256"])
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)
tensors = st.dictionaries(
    st.from_regex(r"[a-z_]+(\.[a-z_]+)*", fullmatch=True) | words,
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "U8", "F32", "F64"]) | values,
            "shape": st.lists(st.integers(0, 4), max_size=5) | values,
            "data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2).map(sorted) | values,
        }
    )
    | values,
    max_size=4,
)
metadata = st.fixed_dictionaries(
    {"format": st.just("charnet") | words, "charnet": words | values.map(json.dumps) | values}
)
given_settings = settings(
    deadline=None, derandomize=True, database=None, max_examples=25, suppress_health_check=list(HealthCheck)
)
many_settings = settings(given_settings, max_examples=25_000 if LONG else 100)


def header_is_refused(path: Path, table: dict[str, Any], about: dict[str, Any], rest: bytes) -> None:
    header = table | {"__metadata__": about | {"sha256": tensorfile.NO_DIGEST}}
    text = json.dumps(header, separators=(",", ":")).encode()
    assert loaded(path, signed_text(text, rest)) is None


def part_is_read_or_refused(whole: bytes, path: Path, key: str, value: Any) -> None:
    document = document_of(whole)
    put(document, key, value)
    checkpoint = loaded(path, with_text(whole, json.dumps(document)))
    if checkpoint is not None:
        assert checkpoint.weights_sha256() == loaded(path, whole).weights_sha256()
        assert_same(loaded(path, packed(checkpoint)), checkpoint)


def settings_are_read_or_refused(path: Path, table: Any) -> None:
    settings_in(path, json.dumps(table).encode())
    with contextlib.suppress(ConfigError):
        from_dict(table)


PARTS = ["config/model/cell", "config/data/paths", "config/training/clip", "config/training", "alphabet", "corpus/name"]
PARTS += ["corpus", "progress/position", "progress/seconds", "progress", "history/0/x", "history/0", "history/0/step"]
PARTS += ["versions/x", "versions", "history", "created", "format", "config", "config/model", "config/model/dropout"]
PARTS += ["config/training/learning_rate", "corpus/characters", "progress/step", "progress/best_nats_per_char"]
sections = st.sampled_from(["model", "data", "training"]) | words
names = st.sampled_from([*as_dict(Config())["model"], *as_dict(Config())["data"], *as_dict(Config())["training"]])
tables = st.dictionaries(sections, st.dictionaries(names | words, values, max_size=3) | values, max_size=3) | values
headers = (tensors, metadata, st.binary(max_size=64))
changes = (st.sampled_from(PARTS), values)


@given(*headers)
@given_settings
def test_any_header_is_refused(path: Path, table: Any, about: Any, rest: bytes) -> None:
    header_is_refused(path, table, about, rest)


@given(*changes)
@settings(given_settings, max_examples=60)
def test_any_part_is_read_or_refused(path: Path, whole: bytes, key: str, value: Any) -> None:
    part_is_read_or_refused(whole, path, key, value)


@given(tables)
@given_settings
def test_any_settings_are_read_or_refused(path: Path, table: Any) -> None:
    settings_are_read_or_refused(path, table)


@given(st.lists(st.integers(0, 260) | st.integers(), max_size=6), st.booleans(), st.text(max_size=9))
@given_settings
def test_any_symbols_are_an_alphabet_or_are_refused(symbols: list[int], of_bytes: bool, text: str) -> None:
    alphabet_is_made_or_refused(symbols, of_bytes, text)


def alphabet_is_made_or_refused(symbols: list[int], of_bytes: bool, text: str) -> None:
    try:
        vocab = Vocabulary(tuple(symbols), of_bytes)
    except ValueError:
        assert not right(symbols, 0xFF if of_bytes else LAST_CODE_POINT, of_bytes)
        return
    assert right(symbols, 0xFF if of_bytes else LAST_CODE_POINT, of_bytes)
    with contextlib.suppress(PromptError):
        assert vocab.decode(vocab.encode(text).tolist()) == text
    vocab.start_id()


def right(symbols: list[int], last: int, of_bytes: bool) -> bool:
    surrogates = set() if of_bytes else set(range(0xD800, 0xE000))
    within = all(0 <= symbol <= last for symbol in symbols) and not surrogates & set(symbols)
    return bool(symbols) and within and symbols == sorted(set(symbols))


@pytest.mark.faults
@given(*headers)
@many_settings
def test_any_of_many_headers_is_refused(path: Path, table: Any, about: Any, rest: bytes) -> None:
    header_is_refused(path, table, about, rest)


@pytest.mark.faults
@given(*changes)
@many_settings
def test_any_of_many_parts_is_read_or_refused(path: Path, whole: bytes, key: str, value: Any) -> None:
    part_is_read_or_refused(whole, path, key, value)


@pytest.mark.faults
@given(tables)
@many_settings
def test_any_of_many_settings_are_read_or_refused(path: Path, table: Any) -> None:
    settings_are_read_or_refused(path, table)


@pytest.mark.faults
@given(st.lists(st.integers(0, 260) | st.integers(), max_size=6), st.booleans(), st.text(max_size=9))
@many_settings
def test_any_of_many_symbols_are_an_alphabet_or_are_refused(symbols: list[int], of_bytes: bool, text: str) -> None:
    alphabet_is_made_or_refused(symbols, of_bytes, text)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 10, 100])
def test_the_first_bytes_may_be_anything(size: int, path: Path) -> None:
    chance = random.Random(size)
    for _ in range(20):
        assert loaded(path, chance.randbytes(size)) is None
        assert loaded(path, struct.pack("<Q", size) + chance.randbytes(size)) is None
