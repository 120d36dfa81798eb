"""The ONNX graph: onnxruntime computes what charnet's own engine computes, and the file says what it is."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import KINDS, LETTERS, SIZES, H, V, logits_of, model, some_ids
from test_engines import with_ngram

import charnet
from charnet.cli.app import run
from charnet.errors import ConfigError
from charnet.exchange import about
from charnet.storage.checkpoint import Checkpoint

onnx = pytest.importorskip("onnx", reason="needs pip install 'charnet[onnx-test]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'charnet[onnx-test]'")
onnx_graph = pytest.importorskip("charnet.exchange.onnx_graph")

GUIDE = Path(charnet.__file__).parent / "guide" / "export.md"
INT8_BYTES = 0.3  # of the file in single precision

every_kind = pytest.mark.parametrize(("cell", "activation"), KINDS)
every_size = pytest.mark.parametrize(("layers", "members"), SIZES)


def opened(raw: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def zeros(session: Any, batch: int) -> dict[str, np.ndarray]:
    """The state at the start of texts, by the names of the inputs."""
    _, *states = session.get_inputs()
    return {each.name: np.zeros((each.shape[0], batch, each.shape[2]), np.float32) for each in states}


def by_steps(session: Any, ids_BT: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The logits (B, T, V) and the last state, one character in each call."""
    state, found, after = zeros(session, len(ids_BT)), [], []
    for t in range(ids_BT.shape[1]):
        logits, *after = session.run(None, {"ids": ids_BT[:, t : t + 1], **state})
        state = dict(zip(state, after, strict=True))
        found.append(logits)
    return np.concatenate(found, axis=1), after


@every_size
@every_kind
def test_a_window_of_a_thousand_characters_and_single_steps_give_the_logits_of_the_engine(
    cell: str, activation: str, layers: int, members: int
) -> None:
    checkpoint = model(cell, activation, layers, members)
    session = opened(onnx_graph.build(checkpoint))
    ids_BT = some_ids(1, 1000)
    logits, *_ = session.run(None, {"ids": ids_BT, **zeros(session, 1)})
    np.testing.assert_allclose(logits, logits_of(checkpoint, ids_BT), atol=1e-5)
    ids_BT = some_ids(3, 7)
    logits, *after = session.run(None, {"ids": ids_BT, **zeros(session, 3)})
    steps, last = by_steps(session, ids_BT)
    np.testing.assert_allclose(steps, logits, atol=1e-5)
    np.testing.assert_allclose(steps, logits_of(checkpoint, ids_BT), atol=1e-5)
    for one, other in zip(last, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@every_kind
def test_8_bits_are_the_rounded_weights_and_a_quarter_of_the_size(cell: str, activation: str) -> None:
    checkpoint, ids_BT = model(cell, activation, 2, 2, units=64), some_ids(3, 7)
    small = onnx_graph.build(checkpoint, int8=True)
    rounded = checkpoint.quantize()
    whole = dataclasses.replace(rounded, tensors={f"model.{name}": each for name, each in rounded.weights.items()})
    session = opened(small)
    np.testing.assert_allclose(by_steps(session, ids_BT)[0], logits_of(whole, ids_BT), rtol=1e-5, atol=1e-5)
    assert session.get_modelmeta().custom_metadata_map["precision"] == "int8"
    assert len(onnx_graph.build(rounded, int8=True)) == len(small)
    assert not np.allclose(by_steps(session, ids_BT)[0], logits_of(checkpoint, ids_BT), atol=1e-5)
    large = model(cell, activation, units=200)
    assert len(onnx_graph.build(large, int8=True)) < INT8_BYTES * len(onnx_graph.build(large))


def test_the_mean_of_an_ensemble_holds_where_probabilities_underflow() -> None:
    checkpoint = model(members=2)
    heads = {name: 300 * tensor for name, tensor in checkpoint.tensors.items() if name.endswith("head.bias")}
    checkpoint, ids_BT = dataclasses.replace(checkpoint, tensors=checkpoint.tensors | heads), some_ids(1, 5)
    expected = logits_of(checkpoint, ids_BT)
    assert expected.min() < -200
    session = opened(onnx_graph.build(checkpoint))
    np.testing.assert_allclose(by_steps(session, ids_BT)[0], expected, rtol=1e-5, atol=1e-4)


def test_the_file_is_opset_17_of_standard_operators_with_all_facts_and_no_other_file() -> None:
    checkpoint = model("cifg", "", 2, 2)
    file = onnx.load_from_string(onnx_graph.build(checkpoint))
    assert [(each.domain, each.version) for each in file.opset_import] == [("", 17)]
    assert file.ir_version == 9
    assert not [each for each in file.graph.initializer if each.external_data]
    assert {each.key: each.value for each in file.metadata_props} == about.metadata(checkpoint)
    shapes = {
        each.name: [dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim]
        for each in (*file.graph.input, *file.graph.output)
    }
    assert shapes == {
        "ids": ["batch", "time"],
        "logits": ["batch", "time", V],
        **{name: [4, "batch", H] for name in ("h", "c", "new_h", "new_c")},
    }


def test_the_same_model_gives_the_same_bytes() -> None:
    assert onnx_graph.build(model()) == onnx_graph.build(model())


def test_a_model_that_the_format_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "LARGEST", 500)
    with pytest.raises(ConfigError, match="use --int8, or --safetensors"):
        onnx_graph.build(model())
    with pytest.raises(ConfigError, match=r"bytes of weights, found [0-9,]+; use --safetensors"):
        onnx_graph.build(model(units=50), int8=True)


def test_an_n_gram_is_left_out_and_the_note_and_the_facts_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint: Checkpoint = with_ngram(model())
    checkpoint.save(Path("pets"))
    assert run(["export", "pets", "--onnx"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "pets.onnx\n"
    assert captured.err.count("\n") == 1
    assert "without the n-gram with a share of 0.4: the logits are those of the networks alone" in captured.err
    session = opened(Path("pets.onnx").read_bytes())
    assert session.get_modelmeta().custom_metadata_map["left_out"] == "n-gram with a share of 0.4"
    ids_BT = some_ids(3, 7)
    np.testing.assert_allclose(by_steps(session, ids_BT)[0], logits_of(model(), ids_BT), atol=1e-5)


def test_the_fifteen_lines_of_the_guide_write_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert code.count("\n") == 15
    monkeypatch.chdir(tmp_path)
    for options in ([], ["--int8"]):
        model("gru", "", 2, 2).save(Path("corpus"))
        assert run(["export", "corpus", "--onnx", *options]) == 0
        capsys.readouterr()
        exec(code, {})
        text = capsys.readouterr().out.removesuffix("\n")
        assert len(text) == 200
        assert set(text) <= set(map(chr, LETTERS.symbols))
        assert len(set(text)) > 3
        Path("corpus.onnx").unlink()


def test_the_alphabet_in_the_file_is_the_one_of_the_model() -> None:
    session = opened(onnx_graph.build(model()))
    facts = session.get_modelmeta().custom_metadata_map
    assert "".join(map(chr, json.loads(facts["alphabet"]))) == "\nabcdefghij"
    assert facts["start_id"] == "0"
