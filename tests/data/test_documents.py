"""Lines as documents: learned, evaluated and written one by one."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.cli.app import run
from charnet.config import DataSettings
from charnet.data.batches import Split, StreamPosition
from charnet.data.documents import DocumentStreams, ends_of_lines, mean_fill
from charnet.errors import CorpusError
from charnet.evaluation.evaluate import evaluate
from charnet.model.network import CharModel
from charnet.storage.checkpoint import Checkpoint
from charnet.training import setup

END, V = 0, 7
documents = st.lists(st.lists(st.integers(1, V - 1), min_size=1, max_size=9), min_size=1, max_size=30)


def text(lines: list[list[int]]) -> np.ndarray:
    return np.array([each for line in lines for each in [*line, END]], dtype=np.uint8)


def windows_of_a_pass(streams: DocumentStreams, passes: int = 0):
    position = StreamPosition(passes)
    while position.passes == passes:
        assert streams.has(position)
        yield position, *streams.read(position)
        position = streams.after(position)
    assert not streams.has(StreamPosition(passes, group=1 << 16))
    assert not streams.has(StreamPosition(passes, window=1 << 16))


@given(documents, st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_pass_reads_every_document_whole_from_an_empty_state(
    lines: list[list[int]], batch: int, window: int, passes: int
) -> None:
    ids = text(lines)
    streams = DocumentStreams(ids, ends_of_lines(ids, END), END, batch, window)
    read, rows = [], [[] for _ in range(batch)]
    for position, x_BT, y_BT in windows_of_a_pass(streams, passes):
        if streams.resets_state(position):
            read += rows
            rows = [[] for _ in range(batch)]
        assert x_BT.shape == y_BT.shape
        assert x_BT.shape[1] <= window
        for row, x, y in zip(rows, x_BT.tolist(), y_BT.tolist(), strict=True):
            row += [(a, b) for a, b in zip(x, y, strict=True) if b >= 0]
    read = [row for row in read + rows if row]
    for row in read:
        assert [x for x, _ in row] == [END] + [y for _, y in row[:-1]]
    found = sorted([y for _, y in row] for row in read)
    expected = sorted([*line, END] for line in lines)
    assert [key for key, _ in itertools.groupby(found)] == [key for key, _ in itertools.groupby(expected)]
    assert len(found) == -(-len(lines) // batch) * batch


def test_the_order_is_another_in_each_pass() -> None:
    ids = text([[1 + n % 6] * (1 + n // 6) for n in range(30)])
    streams = DocumentStreams(ids, ends_of_lines(ids, END), END, 3, 20)
    assert len({streams.read(StreamPosition(passes))[1].tobytes() for passes in range(5)}) == 5


def test_a_text_without_a_document_to_learn_from_is_refused() -> None:
    with pytest.raises(CorpusError, match="no line"):
        DocumentStreams(text([[1]]), np.zeros(0, np.uint64), END, 1, 1)


@given(documents, st.sampled_from([0.0, 0.1, 0.5, 0.9]))
@settings(max_examples=40, deadline=None)
def test_the_held_out_end_is_cut_off_between_two_documents(lines: list[list[int]], share: float) -> None:
    ids = text(lines)
    split = Split(ids, ends_of_lines(ids, END), DataSettings(val_fraction=share))
    assert split.train_ends is not None
    assert split.val_ends is not None
    for part, ends in ((split.train, split.train_ends), (split.val, split.val_ends)):
        assert ends.tolist() == (ends_of_lines(part, END).tolist() if len(part) else [])
    assert len(split.train) <= len(ids) - int(len(ids) * share)
    assert (np.concatenate([split.train, split.val]) == ids[: len(split.train) + len(split.val)]).all()


@torch.no_grad()
def test_a_text_of_documents_is_evaluated_one_document_at_a_time() -> None:
    torch.manual_seed(1)
    model = CharModel(V, cell="gru", hidden_size=5, embedding_size=3, num_layers=2).eval()
    rng = np.random.default_rng(2)
    ids = text([rng.integers(1, V, size=rng.integers(1, 40)).tolist() for _ in range(70)])
    ends = ends_of_lines(ids, END)
    nats = 0.0
    for begin, end in itertools.pairwise([0, *ends.tolist()]):
        y = torch.from_numpy(ids[begin:end].astype(np.int64))
        logits, _ = model(torch.cat([torch.tensor([END]), y[:-1]])[None], model.initial_state(1))
        nats -= float(logits[0].double().log_softmax(-1)[torch.arange(len(y)), y].sum())
    assert evaluate(model, ids, END, ends).nats == pytest.approx(nats, rel=1e-6)


def test_the_share_of_places_that_hold_characters_is_found() -> None:
    assert mean_fill(np.array([4, 8, 12, 16]), 2) == 1.0
    assert mean_fill(np.array([1, 5, 6, 10]), 2) == pytest.approx(10 / 16)


NAMES = ["anna", "bo", "carla", "dan", "eva", "finn", "gus", "hanna"] * 30


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that learned lines as documents."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "names.txt").write_text("\r\n".join(NAMES))
    values = {
        "data.paths": [str(folder / "names.txt")], "data.lines": True, "data.min_count": 31, "model.hidden_size": 24,
        "training.steps": 30, "training.threads": 1, "training.seed": 3,
    }  # fmt: skip
    made = setup.new_run(values, out=folder)
    for _ in made.events():
        pass
    return made.folder.path


def test_a_file_holds_a_position_as_two_numbers(names: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one packs the group and the window, so that checkpoints of any version load in any other."""
    checkpoint = Checkpoint.load(names / "last.safetensors")
    assert checkpoint.trainer_state.position == (3, 6, 0)
    assert run(["inspect", str(names / "last.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["progress"]["position"] == [3, 6 << 24]
    state = dataclasses.replace(checkpoint.trainer_state, position=(1, 2, 5))
    for lines, packed in ((True, (1, (2 << 24) + 5)), (False, (1, 5))):
        config = dataclasses.replace(checkpoint.config, data=dataclasses.replace(checkpoint.config.data, lines=lines))
        written = dataclasses.replace(checkpoint, config=config, trainer_state=state)
        assert written.document.to_json()["progress"]["position"] == packed


def test_windows_and_streams_fit_the_documents(names: Path) -> None:
    settings = Checkpoint.load(names / "best.safetensors").config.training
    assert (settings.window, settings.batch_size) == (8, 30)


def test_a_run_on_lines_goes_on_to_the_bit(names: Path, tmp_path: Path) -> None:
    values = {"data.paths": [str(names.parent / "names.txt")], "data.lines": True, "model.hidden_size": 9,
              "training.threads": 1, "training.window": 3}  # fmt: skip
    digests = []
    for stops in ((12,), (5, 12)):
        made = setup.new_run(values | {"training.steps": 12}, out=tmp_path)
        for stop in stops:
            if stop != stops[0]:
                made = setup.resume_run(made.folder.path)
            for _ in made.events(lambda made=made, stop=stop: made.state.step >= stop):
                pass
        digests.append(Checkpoint.load(made.folder.path / "last.safetensors").weights_sha256())
    assert digests[0] == digests[1]


def test_sample_writes_whole_lines(names: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", str(names), "--lines", "20", "-q", "--seed", "1", "-n", "2"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines.pop() == ""
    assert len(lines) == 20
    assert "\ufffd" not in "".join(lines)
    assert run(["sample", str(names), "--lines", "2", "-q", "--json"]) == 0
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert len(texts) == 2


def test_lines_are_evaluated_as_they_were_learned(names: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", str(names), str(names.parent / "names.txt"), "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["characters"] == sum(len(name) + 1 for name in NAMES)
    assert evaluated["unknown_characters"] == 0


@pytest.mark.parametrize("more", [["--samples", "2"], ["--until", "line"], ["--max-lines", "1"]])
def test_whole_lines_are_asked_for_in_one_way(names: Path, more: list[str]) -> None:
    assert run(["sample", str(names), "--lines", "2", *more]) == 2


def test_only_a_model_of_lines_writes_whole_lines(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", str(tiny_run), "--lines", "2"]) == 2
    assert "was not trained with --lines" in capsys.readouterr().err
