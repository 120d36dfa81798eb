"""What must also be true on a CUDA device."""

from __future__ import annotations

import collections
import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import sentences

import charnet
from charnet.config import GATES
from charnet.errors import DivergedError
from charnet.model.device import choose_device
from charnet.model.network import CharModel
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.training import setup, trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
SMALL: dict[str, Any] = {
    "model.hidden_size": 24,
    "training.steps": 60,
    "training.batch_size": 4,
    "training.window": 16,
    "training.eval_every": 20,
    "training.report_every": 10,
    "training.device": "cuda",
}


def start(folder: Path, name: str, **changes: Any) -> trainer.Trainer:
    text = folder / "pets.txt"
    text.write_text(sentences())
    values = {"data.paths": [str(text)]} | SMALL | {key.replace("__", "."): v for key, v in changes.items()}
    return setup.new_run(values, out=folder / "runs", name=name)


def finish(run: trainer.Trainer) -> Path:
    collections.deque(run.events(), maxlen=0)
    return run.folder.path


def sha256(run: Path) -> str:
    return Checkpoint.load(run / runs.LAST).weights_sha256()


def test_auto_chooses_the_cuda_device() -> None:
    assert choose_device("auto").type == "cuda"


@pytest.mark.parametrize("cell", GATES)
def test_the_logits_of_the_device_are_those_of_the_processor(cell: str) -> None:
    torch.manual_seed(0)
    model = CharModel(11, cell=cell, hidden_size=24, num_layers=2, embedding_size=7).eval()
    ids_BT = torch.randint(11, (3, 20))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        here, _ = model(ids_BT, model.initial_state(3))
        there, _ = model.to("cuda")(ids_BT.to("cuda"), model.initial_state(3))
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_allclose(there.detach().cpu().numpy(), here.detach().numpy(), atol=2e-5)


@pytest.mark.parametrize("cell", GATES)
def test_an_interrupted_and_resumed_run_on_the_device_ends_with_the_weights_of_the_whole_run(
    tmp_path: Path, cell: str
) -> None:
    changes = {"model__cell": cell, "model__dropout": 0.3, "model__num_layers": 2}
    whole = finish(start(tmp_path, "whole", **changes))
    cut = start(tmp_path, "cut", **changes)
    collections.deque(cut.events(lambda: cut.state.step >= 33), maxlen=0)
    assert sha256(finish(setup.resume_run(cut.folder.path))) == sha256(whole)


def test_a_run_of_the_device_goes_on_on_the_processor_and_writes_there(tmp_path: Path) -> None:
    cut = start(tmp_path, "cut")
    collections.deque(cut.events(lambda: cut.state.step >= 33), maxlen=0)
    run = finish(setup.resume_run(cut.folder.path, {"training.device": "cpu", "training.threads": 1}))
    assert Checkpoint.load(run / runs.LAST).trainer_state.step == 60
    assert len(charnet.load(run).generate(length=50)) == 50


def test_a_diverging_run_on_the_device_leaves_only_finite_checkpoints(tmp_path: Path) -> None:
    run = start(
        tmp_path, "wild", training__optimizer="sgd", training__learning_rate=1000.0, training__clip=0.0,
        training__eval_every=1, model__cell="rnn", model__activation="relu",
    )  # fmt: skip
    with contextlib.suppress(DivergedError):
        finish(run)
    for path in run.folder.path.glob("*.safetensors"):
        assert all(np.isfinite(t).all() for t in Checkpoint.load(path).weights.values())
