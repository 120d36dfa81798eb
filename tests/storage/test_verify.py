"""`inspect --verify` finds everything that is wrong with a run, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoint_files import put, with_document

from charnet.errors import CheckpointError, NewerFormatError
from charnet.storage import run_list, runs
from charnet.storage import verify as verify_module
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import FORMAT
from charnet.storage.verify import verify


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be damaged."""
    return Path(shutil.copytree(tiny_run, tmp_path / "pets"))


def wrong(run: Path) -> list[str]:
    return [check.what for check in verify(run) if check.passed is False]


def test_a_run_that_training_left_passes_all_checks(run: Path) -> None:
    checks = verify(run)
    assert all(check.passed for check in checks)
    assert len(checks) == 9


def test_a_single_checkpoint_is_checked(run: Path, tmp_path: Path) -> None:
    mailed = shutil.copy(run / runs.BEST, tmp_path / "mailed.safetensors")
    assert [(check.what, check.passed) for check in verify(Path(mailed))] == [("mailed.safetensors is intact", True)]


def test_the_newest_state_that_is_missing_is_said(run: Path) -> None:
    (run / runs.LAST).rename(run / runs.PREVIOUS)
    assert [(each.what, each.found) for each in verify(run) if each.passed is None] == [
        ("last.safetensors is intact", "it is missing, there is only the one before it")
    ]


def test_the_newest_state_is_found_while_it_is_being_replaced(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (run / runs.LAST).read_bytes()
    (run / runs.LAST).rename(run / runs.PREVIOUS)
    monkeypatch.setattr(runs.time, "sleep", lambda _: (run / runs.LAST).write_bytes(whole))
    assert runs.find(run / runs.LAST) == run / runs.LAST
    (run / runs.LAST).unlink()
    assert Checkpoint.load(run / runs.LAST).size_bytes == len(whole)


def test_a_run_that_lost_what_training_needs_is_not_passed_over_in_silence(run: Path) -> None:
    for name in (runs.LAST, runs.PREVIOUS):
        (run / name).unlink()
    found = [(check.what, check.passed) for check in verify(run)]
    assert found == [("best.safetensors is intact", True), ("last.safetensors can be resumed", None)]


def of_a_newer_charnet(path: Path) -> None:
    path.write_bytes(with_document(path.read_bytes(), lambda document: put(document, "format", FORMAT + 1)))


def test_what_a_newer_charnet_wrote_is_not_called_damaged(run: Path) -> None:
    of_a_newer_charnet(run / runs.LAST)
    assert [check.outcome for check in verify(run) if check.passed is False] == ["last.safetensors cannot be read"]
    with pytest.raises(NewerFormatError, match="install a newer one"):  # it is neither replaced nor moved away
        runs.load_resumable(run / runs.LAST)
    for name in (runs.BEST, runs.PREVIOUS):
        of_a_newer_charnet(run / name)
    assert (run_list.summary(run).state, run_list.summary(run).document) == ("of a newer charnet", None)


def flip(run: Path) -> None:
    raw = bytearray((run / runs.BEST).read_bytes())
    raw[-1] ^= 1
    (run / runs.BEST).write_bytes(raw)


def weights_only(run: Path) -> None:
    shutil.copy(run / runs.BEST, run / runs.LAST)


def without_state(run: Path) -> None:
    whole = Checkpoint.load(run / runs.LAST)
    del whole.tensors["state.0.0"]
    whole.save(run / runs.LAST)


def without_random_numbers(run: Path) -> None:
    whole = Checkpoint.load(run / runs.LAST)
    del whole.tensors["random.cpu"]
    whole.save(run / runs.LAST)


def other_settings(run: Path) -> None:
    text = (run / runs.SETTINGS).read_text()
    (run / runs.SETTINGS).write_text(text.replace("dropout: 0.3", "dropout: 0.4"))


def no_settings(run: Path) -> None:
    (run / runs.SETTINGS).unlink()


def no_metrics(run: Path) -> None:
    (run / runs.METRICS).unlink()


def cut_metrics(run: Path) -> None:
    (run / runs.METRICS).write_bytes((run / runs.METRICS).read_bytes()[:-9])


def swapped_metrics(run: Path) -> None:
    lines = (run / runs.METRICS).read_bytes().splitlines(keepends=True)
    (run / runs.METRICS).write_bytes(b"".join(reversed(lines)))


def short_metrics(run: Path) -> None:
    lines = (run / runs.METRICS).read_bytes().splitlines(keepends=True)
    (run / runs.METRICS).write_bytes(b"".join(lines[:-1]))


def test_the_time_that_a_run_was_planned_for_is_no_report(run: Path) -> None:
    first, *more = (run / runs.METRICS).read_bytes().splitlines(keepends=True)
    planned = [b'{"step": %d, "planned_seconds": %d}\n' % each for each in ((0, 30), (1, 0))]
    (run / runs.METRICS).write_bytes(b"".join([planned[0], first, *more, planned[1]]))
    assert wrong(run) == []


def test_metrics_are_read_to_a_limit(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "LARGEST_METRICS", (run / runs.METRICS).stat().st_size)
    assert wrong(run) == []
    monkeypatch.setattr(runs, "LARGEST_METRICS", (run / runs.METRICS).stat().st_size - 1)
    assert wrong(run) == ["metrics.jsonl matches the newest checkpoint"]
    monkeypatch.setattr(verify_module, "LONGEST_LINE", 9)
    monkeypatch.setattr(runs, "LARGEST_METRICS", 10**6)
    assert wrong(run) == ["metrics.jsonl matches the newest checkpoint"]


def part_file(run: Path) -> None:
    (run / ".last.safetensors.0123.part").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (flip, "best.safetensors is intact"),
        (weights_only, "last.safetensors can be resumed"),
        (without_state, "last.safetensors can be resumed"),
        (without_random_numbers, "last.safetensors can be resumed"),
        (other_settings, "config.yaml matches the newest checkpoint"),
        (no_settings, "config.yaml matches the newest checkpoint"),
        (no_metrics, "metrics.jsonl matches the newest checkpoint"),
        (cut_metrics, "metrics.jsonl matches the newest checkpoint"),
        (swapped_metrics, "metrics.jsonl matches the newest checkpoint"),
        (short_metrics, "metrics.jsonl matches the newest checkpoint"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_kind_of_damage_is_found_and_named(run: Path, damage: Callable[[Path], None], what: str) -> None:
    damage(run)
    assert wrong(run) == [what]
    (outcome,) = (check.outcome for check in verify(run) if check.passed is False)
    assert re.search(r" is not intact$| cannot be resumed$| does not match the newest checkpoint$", outcome)


def test_a_changed_text_is_wrong_and_a_missing_one_is_not_checked(run: Path, tmp_path: Path) -> None:
    text = tmp_path / "pets.txt"
    settings = (run / runs.SETTINGS).read_text().splitlines(keepends=True)
    settings = [f"  paths: [{json.dumps(str(text))}]\n" if "  paths:" in line else line for line in settings]
    (run / runs.SETTINGS).write_text("".join(settings))
    assert [check.what for check in verify(run) if check.passed is None] == ["the text is unchanged"]
    text.write_text("another")
    assert wrong(run) == ["the text is unchanged"]
    assert [check.outcome for check in verify(run) if check.passed is False] == ["the text is not the same"]


def test_a_temporary_file_is_reported_but_not_wrong(run: Path) -> None:
    part_file(run)
    assert [check.what for check in verify(run) if check.passed is None] == ["no leftovers"]


@pytest.mark.parametrize("line", [b'{"step": "x"}', b'{"step": 60, "x": NaN}', b"[" * 100_000, b"7", b'{"step": 1.5}'])
def test_an_invalid_line_of_metrics_is_named(run: Path, line: bytes) -> None:
    lines = (run / runs.METRICS).read_bytes().splitlines()
    (run / runs.METRICS).write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    (check,) = (check for check in verify(run) if check.what.startswith(runs.METRICS))
    assert "line 2 is not a line of metrics" in check.found


def test_a_folder_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to check"):
        verify(tmp_path)
