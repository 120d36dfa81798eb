"""Weights quantized to 8 bits: close to the original ones, in files that every command reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_engines import LETTERS, build

from charnet.config import SamplingOptions
from charnet.engines.registry import open_engine
from charnet.errors import ConfigError, DivergedError
from charnet.generation.generate import stream
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.describe import describe
from charnet.storage.quantize import LARGEST, quantize

finite = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=finite))
def test_no_weight_moves_by_more_than_half_a_step_of_its_row(weight: np.ndarray) -> None:
    rows = quantize(weight)
    assert rows.values.dtype == np.int8
    assert np.abs(rows.values.astype(int)).max() <= LARGEST
    steps = np.abs(weight).max(1) / LARGEST
    assert (np.abs(rows.dequantize() - weight) <= steps[:, None] * 0.5001 + 1e-30).all()


def test_a_row_of_zeros_stays_zero() -> None:
    assert (quantize(np.zeros((2, 3), np.float32)).dequantize() == 0).all()


def test_a_quantized_checkpoint_is_a_quarter_as_large_and_reads_back_the_same(tmp_path: Path) -> None:
    whole = sealed(build("gru", layers=3, embedding_size=64))
    small = whole.quantize()
    for name, checkpoint in (("whole", whole), ("small", small)):
        checkpoint.save(tmp_path / name)
    back = Checkpoint.load(tmp_path / "small")
    assert back.precision == "int8"
    assert back.tensors.keys() == small.tensors.keys()
    assert all((back.tensors[name] == small.tensors[name]).all() for name in small.tensors)
    sizes = [sum(t.nbytes for t in c.tensors.values()) for c in (whole, small)]
    assert sizes[1] < 0.4 * sizes[0]
    assert describe(tmp_path / "small").model_line.endswith("8-bit weights")
    assert describe(tmp_path / "small").parameters == describe(tmp_path / "whole").parameters


def test_to_quantize_twice_changes_nothing_more() -> None:
    once = build().quantize()
    assert once.quantize() is once


def test_what_only_training_needs_is_left_out() -> None:
    whole = build()
    whole.tensors["optimizer.head.bias.1"] = np.zeros(3, np.float32)
    assert all(name.startswith("model.") for name in whole.quantize().tensors)


@pytest.mark.parametrize("large", [1e38, 1.26e38, 1.28e38, 3.4028235e38])
def test_weights_too_large_for_8_bits_are_refused_and_others_read_back(large: float, tmp_path: Path) -> None:
    whole, path = sealed(build()), tmp_path / "small"
    whole.tensors["model.head.weight"] = np.full_like(whole.tensors["model.head.weight"], -large)
    if large < 1.27e38:
        whole.quantize().save(path)
        Checkpoint.load(path)
    else:
        with pytest.raises(DivergedError, match=r"head.weight holds .* too large for 8 bits"):
            whole.quantize()


@pytest.mark.parametrize("name", ["head.weight", "head.bias"])
def test_weights_that_are_not_finite_are_refused(name: str) -> None:
    whole = build()
    whole.tensors[f"model.{name}"][0] = np.nan
    with pytest.raises(DivergedError, match="not finite"):
        whole.quantize()


def test_another_precision_is_refused_with_the_one_there_is() -> None:
    with pytest.raises(ConfigError, match=r'expected int8, found "int4"'):
        build().quantize("int4")


def sealed(checkpoint: Checkpoint) -> Checkpoint:
    """With what a file must have beside the weights."""
    return replace(checkpoint, corpus=replace(checkpoint.corpus, fingerprint="0" * 64, key="0" * 64))


def test_a_quantized_checkpoint_writes_one_text_with_both_engines() -> None:
    checkpoint = build().quantize()
    written = {
        "".join(stream(open_engine(checkpoint, name), LETTERS, [0], SamplingOptions(length=300)))
        for name in ("numpy", "compiled")
    }
    assert list(map(len, written)) == [300]
