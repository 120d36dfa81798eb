"""Durations: lengths of time are read as people write them, everywhere in the same way."""

from __future__ import annotations

from pathlib import Path

import pytest

from charnet.config import Config
from charnet.errors import ConfigError
from charnet.overlay import assignments, overlay, parse_duration
from charnet.storage.config_file import read_yaml, to_yaml


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("90", 90), ("0", 0), ("0.5", 0.5), ("90s", 90), ("90 sec", 90), ("5m", 300), ("5min", 300), ("5 mins", 300)],
        *[("2h", 7200), ("1.5h", 5400), ("2 hours", 7200), ("1d", 86400), ("1 day", 86400), ("1d12h", 129600)],
        *[("1h30m", 5400), ("1h 30min", 5400), ("1 hour 30 minutes", 5400), ("1m30.5s", 90.5), ("5M", 300)],
        *[(" 5m ", 300), ("1:30", 90), ("90:00", 5400), ("1:00:05", 3605), ("01:30:00", 5400)],
    ],
)  # fmt: skip
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration("--for", text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "m", "-5m", "-5", "5x", "1e3s", "5mm", "500ms", "1h30", "5m\n", "٥m", "1_0s", "inf", "nan", "1,5h"],
        *["1:60", "1:5", ":30", "1:", "1:30:60", "1:00:00:00", "1:30m", "soon", "9" * 10, "1" * 100_000],
    ],
)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=r'^--for: expected a time, found ".*"; for example 90s, 5m, 2h') as refused:
        parse_duration("--for", text)
    assert "\n" not in str(refused.value)


def test_a_setting_that_is_a_time_is_read_so_in_every_place(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("training:\n  checkpoint_every: 1:30\n")
    for values in (
        read_yaml(file),
        assignments(["training.checkpoint_every=1.5min"]),
        {"training.checkpoint_every": 90},
    ):
        config = overlay(Config(), values)
        assert config.training.checkpoint_every == 90
        file.write_text(to_yaml(config))
        assert overlay(Config(), read_yaml(file)) == config


def test_a_setting_that_is_no_time_has_no_units() -> None:
    with pytest.raises(ConfigError, match=r'training\.clip: expected a number, found "5m"'):
        overlay(Config(), {"training.clip": "5m"})


def test_a_setting_that_is_a_time_has_limits() -> None:
    with pytest.raises(ConfigError, match=r"training\.checkpoint_every: expected a number between 0 and 1,000,000"):
        overlay(Config(), {"training.checkpoint_every": "12d"})
