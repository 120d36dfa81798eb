"""A dry run says what a training would do, and does nothing of it. Speed is never asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import sentences

from charnet.cli.app import run
from charnet.training import throughput
from charnet.training.communication import Network, of_sum

SMALL = ("--hidden-size", "8", "--batch-size", "8", "--window", "8", "--threads", "1", "--ngram", "0")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(throughput, "SHORTEST_SECONDS", 0.0)
    monkeypatch.setattr(throughput, "loopback", lambda: Network(1e-4, 1e9))
    Path("book.txt").write_text(sentences(200))


def found(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert run(["train", "book.txt", "--dry-run", "--json", "--quiet", *SMALL, *options]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert isinstance(shown, dict)
    return shown


def test_a_dry_run_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "book.txt", "--dry-run", *SMALL, "--steps", "30", "--processes", "4"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "book: ",
        "held out",
        "lstm, 1 layer of 8 units",
        "30 steps of 8 streams x 8",
        "memory",
        "disk",
        "time",
    ):
        assert part in shown
    assert [line.split()[:2] for line in shown.splitlines()[-3:]] == [["1", "8"], ["2", "4"], ["4", "2"]]
    assert [path.name for path in Path().iterdir()] == ["book.txt"]


@pytest.mark.parametrize("length", [("--steps", "40"), ("--epochs", "2"), ("--for", "2s")])
def test_a_dry_run_has_the_settings_of_the_training(
    capsys: pytest.CaptureFixture[str], length: tuple[str, str]
) -> None:
    shown = found(capsys, *length)
    assert shown["network"] is None
    assert [share["processes"] for share in shown["shares"]] == [1]
    if length[0] != "--for":
        assert run(["train", "book.txt", "--quiet", *SMALL, *length, "--name", "done"]) == 0
        import yaml

        assert shown["config"] == yaml.safe_load(Path("checkpoints/done/config.yaml").read_text())


def test_each_process_has_its_part_and_sends_its_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    shown = found(capsys, "--steps", "9", "--processes", "8", "--network", "0ms,1GB")
    assert shown["network"] == {"latency": 0.0, "bandwidth": 1e9}
    for share in shown["shares"]:
        count, gradients = share["processes"], 4 * shown["parameters"]
        assert share["streams"] * count == 8
        directions = 4 * 2 * 4 * 8 * 8 if count > 2 else 0  # of both matrices of the cell
        assert share["bytes_sent"] == of_sum(gradients, count).bytes + of_sum(directions, count).bytes
        assert share["seconds_sending"] == pytest.approx(share["bytes_sent"] / 1e9, abs=1e-9)
        assert share["chars_per_second"] == pytest.approx(64 / share["seconds"])
        assert share["speedup"] == pytest.approx(shown["shares"][0]["seconds"] / share["seconds"])
    assert [share["processes"] for share in shown["shares"]] == [1, 2, 4, 8]


def test_shards_that_cannot_be_divided_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    shown = found(capsys, "--steps", "9", "--processes", "6", "--batch-size", "12")
    assert [(share["processes"], share["streams"]) for share in shown["shares"]] == [(1, 12), (2, 6), (4, 3), (6, 2)]
    shown = found(capsys, "--steps", "9", "--processes", "3", "--batch-size", "9")
    assert [share["processes"] for share in shown["shares"]] == [1, 3]


def test_networks_of_an_ensemble_send_no_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    shown = found(capsys, "--steps", "9", "--processes", "2", "--members", "2")
    one, two = shown["shares"]
    assert (one["networks"], two["networks"], two["streams"]) == (2, 1, 8)
    assert two["bytes_sent"] == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--dry-run", "--resume", "done"), "leave out --resume"),
        (("--dry-run", "--open"), "leave out --open"),
        (("--dry-run", "--log", "tensorboard"), "leave out --log"),
        (("--dry-run", "--processes", "2", "--network", "fast"), "as in 0.1ms,1Gbit"),
        (("--dry-run", "--processes", "0"), "--processes"),
        (("--dry-run", "--processes", "3"), "--batch-size"),
        (("--network", "1ms,1Gbit"), "needs --dry-run"),
        (("--dry-run", "--network", "1ms,1Gbit"), "needs --processes"),
    ],
)
def test_what_no_training_could_do_is_refused(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], word: str
) -> None:
    text = () if "--resume" in options else ("book.txt",)
    assert run(["train", *text, *SMALL, *options]) == 2
    shown = capsys.readouterr()
    assert word in shown.err
    assert not shown.out


def test_the_network_within_the_machine_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(throughput, "LARGE", 1000)
    monkeypatch.setattr(throughput, "REPEATED_SUMS", 3)
    network = throughput.loopback()
    assert 0 < network.latency < 10
    assert network.bandwidth > 0
