"""Models of other programs by chance: whatever a file holds, it is converted or refused in one line, in little memory.

A few hundred files by default, five thousand with the marker `faults`, a million where CHARNET_FAULTS=long
besides.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import old_models
import pytest
from files import LONG, at_most, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from charnet.errors import CheckpointError
from charnet.exchange import t7
from charnet.exchange.convert import Given, convert

CASES = 1_000_000 if LONG else 5000


def state_dict() -> bytes:
    shapes = {"weight_ih": (16, 3), "weight_hh": (16, 4), "bias_ih": (16,), "bias_hh": (16,)}
    tensors = {f"rnn.{name}_l0": old_models.random(*shape) for name, shape in shapes.items()}
    outer = {"embed.weight": (5, 3), "fc.weight": (5, 4), "fc.bias": (5,)}
    return save(tensors | {name: old_models.random(*shape) for name, shape in outer.items()})


def keras_weights() -> bytes:
    pytest.importorskip("h5py")
    lstm = [old_models.random(3, 16), old_models.random(4, 16), old_models.random(16)]
    dense = [old_models.random(4, 5), old_models.random(5)]
    return old_models.keras_variables({"embedding": [old_models.random(5, 3)], "lstm/cell": lstm, "dense": dense})


def keras_archive() -> bytes:
    layer = old_models.keras_layer
    return old_models.keras_archive(
        old_models.sequential(layer("Embedding"), layer("LSTM"), layer("Dense")), keras_weights()
    )


WHOLE: dict[str, Callable[[], bytes]] = {
    "torch-rnn": lambda: old_models.t7(old_models.torch_rnn(normalized=True)),
    "char-rnn": lambda: old_models.t7(old_models.char_rnn()),
    "torch": state_dict,
    "keras": keras_archive,
    "h5": keras_weights,
}


def overwritten(raw: bytes, chance: random.Random) -> bytes:
    """Bytes of the same length, one to three of them others."""
    new = bytearray(raw)
    for _ in range(chance.randint(1, 3)):
        new[chance.randrange(len(new))] = chance.choice((0, 1, 2, 3, 4, 127, 128, 255, chance.randrange(256)))
    return bytes(new)


def result(path: Path, raw: bytes, alphabet: Path | None) -> str:
    """Converts a file: "whole", or "refused" with an error as it should be."""
    path.write_bytes(raw)
    try:
        _, checkpoint = convert(path, Given(alphabet=alphabet))
        checkpoint.pack()
        return "whole"
    except CheckpointError as error:
        message = str(error)
        assert str(path) in message, raw
        assert message.isprintable(), raw
        assert len(message) < 1000, raw
        return "refused"


@pytest.fixture
def alphabet(tmp_path: Path) -> Path:
    path = tmp_path / "alphabet.txt"
    path.write_text("bé a\n", encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("count", [150, pytest.param(CASES, marks=[pytest.mark.faults, pytest.mark.slow])])
@pytest.mark.parametrize("source", WHOLE)
def test_files_with_changed_bytes_are_converted_or_refused(
    source: str, count: int, tmp_path: Path, alphabet: Path
) -> None:
    count = count // 20 if count > 1000 and source in ("keras", "h5") else count  # a millisecond each
    whole, chance, found = WHOLE[source](), random.Random(f"{source} {count}"), Counter[str]()
    given_alphabet = alphabet if source in ("torch", "keras", "h5") else None
    assert result(tmp_path / "old", whole, given_alphabet) == "whole"
    for _ in range(count):
        change = chance.choice((mutated, overwritten))
        found[result(tmp_path / "old", change(whole, chance), given_alphabet)] += 1
    assert found["refused"] > found.total() // 4


LUA = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.binary(max_size=9),
    lambda inner: st.dictionaries(st.integers(1, 9) | st.binary(max_size=5), inner, max_size=4)
    | st.builds(lambda name, fields: old_models.LuaObject(name, **fields), st.sampled_from(["nn.LSTM", "x"]),
                st.dictionaries(st.sampled_from(["weight", "bias"]), inner, max_size=2)),
    max_leaves=12,
)  # fmt: skip


def plain(value: Any) -> Any:
    """What was read or written, as plain values to compare."""
    if isinstance(value, t7.Instance):
        return (value.name, plain(dict(value.fields)))
    if isinstance(value, old_models.LuaObject):
        return (value.name, {key.encode(): plain(each) for key, each in value.fields.items()})
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(LUA)
def test_any_value_of_lua_comes_back(value: Any) -> None:
    assert plain(t7.parse(Path("a"), old_models.t7(value))) == plain(value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", b"\3\0\0\0\1\0\0\0", b"\4\0\0\0\1\0\0\0\3\0\0\0V 1"]))
def test_any_bytes_are_a_value_of_lua_or_refused(tail: bytes, head: bytes) -> None:
    with contextlib.suppress(CheckpointError):
        t7.parse(Path("a"), head + tail)


def ints(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def reused_tables(count: int) -> bytes:
    """A table of many references to one other."""
    pairs = b"".join(ints(1) + struct.pack("<d", key) + ints(3, 2) + (b"" if key else ints(0)) for key in range(count))
    return ints(3, 1, count) + pairs


NINE = {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}
ZEROS = {"dtype": "F32", "shape": [0, 1 << 60], "data_offsets": [0, 0]}
BOMBS: dict[str, Callable[[], bytes]] = {
    "a table of two billion": lambda: ints(3, 1, 2**31 - 1) + bytes(1000),
    "a storage of 2**60": lambda: ints(4, 1, 3) + b"V 1" + ints(18) + b"torch.FloatStorage" + bytes(7) + b"\x10",
    "nested tables": lambda: b"".join(ints(3, n, 1, 1) + struct.pack("<d", 1.0) for n in range(1, 60_000)),
    "nils": lambda: ints(3, 1, 50_000) + bytes(400_000),
    "references": lambda: reused_tables(50_000),
    "functions": lambda: ints(3, 1, 1, 1) + struct.pack("<d", 1.0) + b"".join(ints(8, n, 0) for n in range(2, 60_000)),
    "a header of JSON": lambda: struct.pack("<Q", 5 << 20) + b"{" + b'"a":[],' * 300_000,
    "one tensor many times": lambda: _header({str(number): NINE for number in range(900)}) + bytes(36),
    "a tensor of many zeros": lambda: _header({"rnn.weight_ih_l0": ZEROS}),
}  # fmt: skip


def _header(entries: dict[str, Any]) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize("bomb", BOMBS)
def test_small_files_that_promise_much_take_little_memory_and_time(bomb: str, tmp_path: Path, alphabet: Path) -> None:
    raw = BOMBS[bomb]()
    given_alphabet = alphabet if raw[8:9] == b"{" else None
    tracemalloc.start()
    try:
        with at_most(30):
            assert result(tmp_path / "old", raw, given_alphabet) == "refused"
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def h5_of(write: Callable[[Any], object]) -> bytes:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as h5:
        write(h5)
    return out.getvalue()


CONFIG = json.dumps(old_models.sequential(*(old_models.keras_layer(kind) for kind in ("Embedding", "LSTM", "Dense"))))


def archived(weights: bytes = b"", config: str | bytes = CONFIG, **more: bytes) -> bytes:
    config = config if isinstance(config, bytes) else config.encode()
    return zipped({"config.json": config, "model.weights.h5": weights or keras_weights(), **more})


def linked(h5: Any) -> None:
    import h5py

    h5["layers/embedding/vars/0"] = h5py.ExternalLink("other.h5", "/a")


def declared(h5: Any) -> None:
    h5.create_dataset("layers/embedding/vars/0", (1 << 20, 1 << 12), "f4", chunks=(64, 64), compression="gzip")


def shared(h5: Any) -> None:
    """Many names of one array."""
    h5["layers/embedding/vars/0"] = old_models.random(200, 200)
    for number in range(1, 100):
        h5[f"layers/lstm_{number}/cell/vars/0"] = h5["layers/embedding/vars/0"]


def many(h5: Any) -> None:
    for number in range(11):
        h5[f"layers/embedding/vars/{number}"] = np.zeros(2)


MANY_LAYERS = json.dumps(old_models.sequential(*[old_models.keras_layer("Dropout")] * 201))
KERAS_DAMAGES: dict[str, Callable[[], bytes]] = {
    "a config that unpacks to much": lambda: archived(config=b" " * (5 << 20)),
    "weights that unpack to much": lambda: archived(bytes(3 << 20)),
    "many members": lambda: archived(**{str(number): b"" for number in range(1001)}),
    "no weights": lambda: zipped({"config.json": CONFIG.encode(), "x/model.weights.h5": b""}),
    "weights that are no HDF5": lambda: archived(b"weights"),
    "half the weights": lambda: archived(keras_weights()[:3000]),
    "a config that is no JSON": lambda: archived(config="{"),
    "a config of numbers": lambda: archived(config="5"),
    "a config without layers": lambda: archived(config='{"config": {"layers": 5}, "class_name": "Sequential"}'),
    "a config of odd layers": lambda: archived(config='{"config": {"layers": [5]}, "class_name": "Sequential"}'),
    "a config of many layers": lambda: archived(config=MANY_LAYERS),
    "a config that nests deep": lambda: archived(config="[" * 9000),
    "other layers than the weights": lambda: archived(config=CONFIG.replace("LSTM", "GRU")),
    "half the archive": lambda: archived()[: len(archived()) // 2],
    "a link to another file": lambda: h5_of(linked),
    "an array that is only declared": lambda: h5_of(declared),
    "an array with many names": lambda: h5_of(shared),
    "an array of texts": lambda: h5_of(lambda h5: h5.__setitem__("layers/embedding/vars/0", b"text")),
    "a group in the place of an array": lambda: h5_of(lambda h5: h5.create_group("layers/embedding/vars/0")),
    "an array in the place of a group": lambda: h5_of(lambda h5: h5.__setitem__("layers/embedding/vars", np.zeros(3))),
    "an array in the place of all": lambda: h5_of(lambda h5: h5.__setitem__("layers", np.zeros(3))),
    "nothing": lambda: h5_of(lambda _: None),
    "many variables": lambda: h5_of(many),
    "half the file": lambda: keras_weights()[:2500],
}  # fmt: skip


@pytest.mark.parametrize("damage", KERAS_DAMAGES)
def test_damaged_models_of_keras_are_refused_in_little_memory(damage: str, tmp_path: Path, alphabet: Path) -> None:
    pytest.importorskip("h5py")
    raw = KERAS_DAMAGES[damage]()
    tracemalloc.start()
    try:
        assert result(tmp_path / "old", raw, alphabet) == "refused"
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
