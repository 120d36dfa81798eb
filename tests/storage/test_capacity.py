"""What a run writes can be read again: else the run is refused before its first step, and the message says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import parts, tiny
from conftest import sentences

from charnet.cli.app import run
from charnet.config import Config
from charnet.data.vocab import Vocabulary
from charnet.errors import CheckpointError, ConfigError
from charnet.overlay import overlay
from charnet.storage import capacity, strict_json, tensorfile
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import LARGEST_SETTINGS_FILE
from charnet.storage.document import LONGEST_HISTORY
from charnet.storage.runs import LONGEST_METRICS_LINE, METRICS
from charnet.training import resolve

RESOLVED = {"training.report_every": 10, "training.eval_every": 100}


def marks(head: str) -> int:
    return sum(head.count(mark) for mark in ",[{")


SIZES: dict[str, Callable[[bytes, str], int]] = {
    "MOST_TENSORS": lambda whole, _: len(parts(whole)[0]),
    "MOST_VALUES": lambda _, head: marks(head),
    "MOST_CHARACTERS": lambda _, head: len(head),
    "LARGEST_HEADER": lambda _, head: len(head.encode()),
}


@pytest.mark.parametrize("limit", SIZES)
def test_the_writer_and_the_reader_have_the_same_limits(
    limit: str, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.safetensors"
    head = whole[8 : 8 + int.from_bytes(whole[:8], "little")].decode()
    size = SIZES[limit](whole, head)
    module = tensorfile if hasattr(tensorfile, limit) else strict_json
    monkeypatch.setattr(module, limit, size)
    tiny().save(path)
    Checkpoint.load(path)
    monkeypatch.setattr(module, limit, size - 1)
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        Checkpoint.load(path)
    with pytest.raises(CheckpointError, match="cannot hold"):
        tiny().save(path)
    assert path.read_bytes() == whole


def of_tensors(count: int) -> Checkpoint:
    """A checkpoint of many empty tensors with names as long as those of an ensemble."""
    names = (f"optimizer.members.{i}.layers.0.weight_hh.momentum" for i in range(count))
    return replace(tiny(), tensors={name: np.zeros((0, 0), np.float32) for name in names})


@pytest.mark.parametrize("count", [11_702, 14_042, 50_000])
def test_networks_whose_tensors_no_checkpoint_holds_are_refused_by_their_settings(count: int) -> None:
    config = overlay(Config(), RESOLVED | {"model.members": 20, "model.num_layers": 64})
    with pytest.raises(ConfigError, match=f"20 networks of 64 layers take {count:,} tensors.*fewer --members"):
        capacity.check(config, of_tensors(count))


def test_what_is_accepted_can_be_written_with_all_that_a_run_adds() -> None:
    config = overlay(Config(), RESOLVED)
    most = next(count for count in range(9990, 0, -100) if not refused(config, of_tensors(count)))
    assert most > 8500
    entry = {f"{name:>24}": -1.2345678901234567e-300 for name in "abcdefgh"}
    full = replace(of_tensors(most), history=[entry] * LONGEST_HISTORY)
    tensorfile.pack(full.document.to_json(), full.tensors)


@pytest.mark.exhaustive
def test_an_alphabet_of_all_characters_is_accepted() -> None:
    everything = (*range(0xD800), *range(0xE000, 0x110000))
    capacity.check(overlay(Config(), RESOLVED), tiny(vocab=Vocabulary(everything)))


def refused(config: Config, checkpoint: Checkpoint) -> str:
    try:
        capacity.check(config, checkpoint)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        ("data.paths", ["x" * 200] * 12_000, "12,000 texts are more than .* give the folder"),
        pytest.param(
            *("data.paths", ["a b"] * 150_000, "150,000 texts are more than .* give the folder"),
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            *("data.documents", "x" * 2_000_000, "2,000,000 characters are more than .* give a shorter one"),
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            *("training.resume_changes", ["x" * 200] * 12_000, "start a new run with --init-from"),
            marks=pytest.mark.exhaustive,
        ),
    ],
    ids=["long names", "many names", "a separator", "changes"],
)
def test_settings_that_no_file_holds_are_refused_by_name(setting: str, value: Any, advice: str) -> None:
    few, many = overlay(Config(), RESOLVED), overlay(Config(), RESOLVED | {setting: value})
    for config, checkpoint in ((few, replace(tiny(), config=many)), (many, tiny())):
        with pytest.raises(ConfigError, match=f"{setting}: .*{advice}"):
            capacity.check(config, checkpoint)


@pytest.mark.exhaustive
def test_paths_that_fit_a_checkpoint_but_not_the_settings_are_refused() -> None:
    names = [f"{number}.txt" for number in range(10_000)]
    inside = replace(tiny(), config=overlay(Config(), {"data.paths": names}))
    folder = "/" + "x" * (LARGEST_SETTINGS_FILE // len(names)) + "/"
    assert not refused(overlay(Config(), RESOLVED | {"data.paths": names}), inside)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        capacity.check(overlay(Config(), RESOLVED | {"data.paths": [folder + name for name in names]}), inside)


def test_more_metrics_than_can_be_read_are_refused_and_never_the_default() -> None:
    config = overlay(Config(), {"training.steps": 10**9})
    capacity.check(resolve.resolve(config, 10**6), tiny())
    for rare, often in (("eval", "report"), ("report", "eval")):
        values = {f"training.{often}_every": 1, f"training.{rare}_every": 1000}
        with pytest.raises(ConfigError, match=f"choose a larger training.{often}_every"):
            capacity.check(overlay(config, values), tiny())


def test_an_evaluation_is_no_longer_than_the_room_for_it(tiny_run: Path) -> None:
    history = Checkpoint.load(tiny_run / "last.safetensors").history
    assert len(history[0]) <= len(capacity.LONGEST_ENTRY)
    assert max(map(len, history[0])) <= min(map(len, capacity.LONGEST_ENTRY))
    assert max(map(len, (tiny_run / METRICS).read_bytes().splitlines())) < LONGEST_METRICS_LINE


def test_a_run_that_could_not_be_read_is_refused_in_a_line_before_it_has_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pets.txt").write_text(sentences(100))
    monkeypatch.setattr(tensorfile, "MOST_TENSORS", 20)
    small = ["--hidden-size", "1", "--batch-size", "2", "--window", "4", "--steps", "1", "--threads", "1"]
    code = run(["train", "pets.txt", "--members", "2", *small])
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (2, 1), err
    assert "--members and model.num_layers: 2 networks of 1 layer take" in err
    assert not list(Path("checkpoints").iterdir())
