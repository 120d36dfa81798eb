"""Lines as documents: learned, evaluated and written one by one."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import charnet
from charnet.cli.app import run
from charnet.data.batches import StreamPosition
from charnet.data.documents import NO_TARGET, Documents, DocumentStreams, ends_of_lines, hashes
from charnet.data.split import Part
from charnet.errors import CorpusError
from charnet.evaluation.evaluate import evaluate
from charnet.model.ensemble import from_weights
from charnet.model.network import CharModel
from charnet.storage import document
from charnet.storage.checkpoint import Checkpoint
from charnet.training import setup

END, V = 0, 7
documents = st.lists(st.lists(st.integers(1, V - 1), min_size=1, max_size=9), min_size=1, max_size=30)


def text(lines: list[list[int]]) -> np.ndarray:
    return np.array([each for line in lines for each in [*line, END]], dtype=np.uint8)


def lines_of(ids: np.ndarray) -> Documents:
    return Documents.up_to(ends_of_lines(ids, END))


def windows_of_a_pass(streams: DocumentStreams, passes: int = 0):
    position = StreamPosition(passes)
    while position.passes == passes:
        assert streams.has(position)
        yield position, *streams.read(position)
        position = streams.after(position)
    assert not streams.has(StreamPosition(passes, window=1 << 16))


def pieces_of_a_pass(streams: DocumentStreams, passes: int) -> list[list[tuple[int, int]]]:
    """What is read in one go, from one reset of the state to the next: pairs of input and target."""
    pieces: list[list[tuple[int, int]]] = []
    rows: dict[int, list[tuple[int, int]]] = {}
    for position, x_BT, y_BT in windows_of_a_pass(streams, passes):
        resets_B = streams.resets_state(position)
        assert x_BT.shape == y_BT.shape
        for row, (x, y, resets) in enumerate(zip(x_BT.tolist(), y_BT.tolist(), resets_B.tolist(), strict=True)):
            if resets:
                pieces.append(rows.setdefault(row, []))
                rows[row] = pieces[-1] = []
            rows[row] += [(a, b) for a, b in zip(x, y, strict=True) if b >= 0]
    return pieces


@given(documents, st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_pass_reads_every_document_from_an_empty_state(
    lines: list[list[int]], batch: int, window: int, passes: int
) -> None:
    ids = text(lines)
    streams = DocumentStreams(ids, lines_of(ids), END, batch, window)
    whole = [piece for piece in pieces_of_a_pass(streams, passes) if piece[0][0] == END]
    for piece in whole:
        assert [x for x, _ in piece][1:] == [y for _, y in piece][:-1]
    found = {tuple(y for _, y in piece) for piece in whole}
    starts = [(*line, END) for line in lines]
    assert all(any(start[: len(piece)] == piece for start in starts) for piece in found)
    cut = sum(start not in found for start in set(starts))
    assert cut < batch  # at most one document is cut by the end of each stream


@given(documents, st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_pass_reads_each_character_and_takes_as_many_windows_as_the_documents_fill(
    lines: list[list[int]], batch: int, window: int, passes: int
) -> None:
    ids = np.arange(1, 1 + sum(len(line) + 1 for line in lines))  # every character its own
    ends = np.cumsum([len(line) + 1 for line in lines])
    streams = DocumentStreams(ids, Documents.up_to(ends), END, batch, window)
    read = [y_BT for _, _, y_BT in windows_of_a_pass(streams, passes)]
    assert set(np.concatenate([y_BT.ravel() for y_BT in read]).tolist()) - {NO_TARGET} == set(ids.tolist())
    assert len(read) == -(-sum(-(-(len(line) + 1) // window) for line in lines) // batch)


@pytest.mark.parametrize("length", [1000, 100_000])
def test_one_very_long_document_among_many_takes_an_eighth_of_a_pass_and_the_next_pass_reads_on(length: int) -> None:
    short = 700
    ends = np.append(np.arange(1, short + 1) * 4, 4 * short + length)
    ids = np.zeros(int(ends[-1]), np.int64)
    ids[4 * short :] = np.arange(1, length + 1)
    streams = DocumentStreams(ids, Documents.up_to(ends), 0, 10, 8)
    seen: list[set[int]] = []
    for passes in range(2):
        read = [y_BT for _, _, y_BT in windows_of_a_pass(streams, passes)]
        assert len(read) == pytest.approx(short / 7 * 8 / 10, abs=2)
        seen.append({int(y) for y_BT in read for y in y_BT.ravel() if y > 0})
        assert len(seen[-1]) == pytest.approx(8 * short / 7, rel=0.05)
    if length > 2000:
        assert not seen[0] & seen[1]


def test_the_order_is_another_in_each_pass() -> None:
    ids = text([[1 + n % 6] * (1 + n // 6) for n in range(30)])
    streams = DocumentStreams(ids, lines_of(ids), END, 3, 20)
    assert len({streams.read(StreamPosition(passes))[1].tobytes() for passes in range(5)}) == 5


def test_a_text_without_a_document_to_learn_from_is_refused() -> None:
    with pytest.raises(CorpusError, match="no document"):
        DocumentStreams(text([[1]]), Documents.up_to(np.zeros(0, np.uint64)), END, 1, 1)


@given(documents, st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_the_head_of_documents_has_as_many_characters_as_are_asked_for(lines: list[list[int]], most: int) -> None:
    whole = lines_of(text(lines))
    head = whole.head(most)
    assert int(head.lengths.sum()) == min(most, int(whole.ends[-1]))
    assert (head.lengths > 0).all()
    assert (head.begins == whole.begins[: len(head.begins)]).all()


@given(documents)
@settings(max_examples=40, deadline=None)
def test_equal_documents_and_no_others_have_equal_hashes(lines: list[list[int]]) -> None:
    ids = text(lines)
    found = hashes(ids, lines_of(ids)).tolist()
    assert len(found) == len(lines)
    for a, b in itertools.combinations(range(len(lines)), 2):
        assert (found[a] == found[b]) == (lines[a] == lines[b])


@torch.no_grad()
@pytest.mark.parametrize("longest", [40, pytest.param(2100, marks=pytest.mark.exhaustive)])
@pytest.mark.exhaustive
def test_a_text_of_documents_is_evaluated_one_document_at_a_time(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charnet.evaluation.evaluate.LONG_DOCUMENT", 2000)
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = CharModel(V, cell="gru", hidden_size=5, embedding_size=3, num_layers=2).eval()
    rng = np.random.default_rng(2)
    lengths = [*rng.integers(1, 40, size=70).tolist(), longest]
    ids = text([rng.integers(1, V, size=length).tolist() for length in lengths])
    ends = ends_of_lines(ids, END)
    nats = 0.0
    for begin, end in itertools.pairwise([0, *ends.tolist()]):
        y = torch.from_numpy(ids[begin:end].astype(np.int64))
        logits, _ = model(torch.cat([torch.tensor([END]), y[:-1]])[None], model.initial_state(1))
        nats -= float(logits[0].double().log_softmax(-1)[torch.arange(len(y)), y].sum())
    evaluation = evaluate(model, Part(ids, Documents.up_to(ends)), END)
    assert evaluation.nats == pytest.approx(nats, rel=1e-5)
    assert evaluation.characters == len(ids)
    assert evaluate(model, Part(ids, Documents.up_to(ends)), END, most=100).characters == 100


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


def test_a_position_of_an_earlier_version_is_read(names: Path) -> None:
    """Lines were read in groups; the second number held the group and the window in it."""
    stored = Checkpoint.load(names / "last.safetensors").document.to_json()
    for before, now in (((3, 6 << 24), (3, 6)), ((1, (2 << 24) + 5), (1, 2)), ((1, 5), (1, 5))):
        old = stored | {"progress": stored["progress"] | {"position": list(before)}}
        assert document.parse(Path("c"), old).trainer_state.position == now


def test_windows_and_streams_fit_the_documents(names: Path) -> None:
    settings = Checkpoint.load(names / "best.safetensors").config.training
    assert (settings.window, settings.batch_size) == (8, 4)


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


@pytest.mark.parametrize("engine", ["numpy", "compiled", "torch"])
def test_a_prompt_is_read_after_the_line_start_that_training_fed(names: Path, engine: str) -> None:
    """What is measured as the model writes equals what the evaluation of the same line gives."""
    model = charnet.load(names, engine=engine)
    network = from_weights(model.checkpoint.config.model, model.checkpoint.weights)
    vocab = model.checkpoint.vocab

    def nats_of(line: str) -> float:
        ids = vocab.encode(line)
        return evaluate(network, Part(ids, Documents.up_to(np.array([len(ids)]))), vocab.start_id()).nats if line else 0

    for prompt in ("", "an", "fi"):
        generation = model.write(model.start(prompt), length=8, seed=1)
        chunks = list(generation)
        written = "".join(chunk.text for chunk in chunks)
        first = written[: written.find("\n") + 1 or None]
        nats = sum([n for chunk in chunks for n in chunk.nats][: len(first)])
        assert nats == pytest.approx(nats_of(prompt + first) - nats_of(prompt), abs=1e-3)


def test_every_way_to_write_reads_a_prompt_alike(names: Path) -> None:
    model = charnet.load(names, engine="numpy")
    options = {"length": 12, "seed": 3, "temperature": 0.5}
    text = model.generate("ha", **options)
    assert "".join(model.stream("ha", **options)) == text[2:]
    assert next(iter(model.texts("ha", count=2, **options))) == text
    assert "".join(chunk.text for chunk in model.write(model.start("ha"), **options)) == text[2:]
    assert "".join(chunk.text for chunk in model.write(model.extend(model.start(), "ha"), **options)) == text[2:]


def test_the_last_line_end_of_a_prompt_file_is_dropped(names: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (names / "prompt.txt").write_bytes(b"han\r\n")
    assert run(["sample", str(names), "--lines", "5", "--prompt-file", str(names / "prompt.txt"), "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("han") for line in lines)


@pytest.mark.parametrize("more", [["--samples", "2"], ["--until", "line"], ["--max-lines", "1"]])
def test_whole_lines_are_asked_for_in_one_way(names: Path, more: list[str]) -> None:
    assert run(["sample", str(names), "--lines", "2", *more]) == 2


def test_a_model_of_running_text_writes_so_many_lines_of_it(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", str(tiny_run), "--lines", "3", "--seed", "1"]) == 0
    assert capsys.readouterr().out.count("\n") == 3
