"""`sweep.json` in the folder of a sweep: what is tried, and how far each trial has come."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charnet import regular_file
from charnet.config import Config
from charnet.errors import CharnetError, CheckpointError, StorageError, quoted
from charnet.overlay import overlay
from charnet.storage.runs import RunFolder
from charnet.storage.strict_json import strict_json
from charnet.training import resolve
from charnet.training.trials import STATES, Trial, combinations, rungs

SWEEP, SUFFIX = "sweep.json", "-sweep"  # the file, and what ends the name of its folder
LARGEST = 10_000_000  # bytes
VERSION = 1
NAMES = ("values", "changes", "again", "state", "losses", "seconds", "last_part")  # of a trial


@dataclass
class Record:
    """What a sweep has planned and done. A `Trial` knows the rest.

    Attributes:
        settings: of all trials, by `section.field`; a trial may change some.
        tried: the values of each tried setting.
        given: names of the settings that the user gave.
        fingerprint: of the text.
        trials: all of them, with those that repeat others.
        seconds: of the whole sweep.
        seconds_each: that a whole training was planned to take.
        repeats: whether the last two are trained with a second seed, if the time allows.
        reserved: whether the plan has time for that.
        longest: how many times its planned length a training may have at most.
        spent: seconds so far.
        halved: at how many rungs the worse trials were pruned.
    """

    settings: dict[str, Any]
    tried: dict[str, list[Any]]
    given: list[str]
    fingerprint: str
    trials: list[Trial]
    seconds: float
    seconds_each: float
    repeats: bool = True
    reserved: bool = True
    longest: float = 1.0
    spent: float = 0.0
    halved: int = 0
    rungs: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.rungs = rungs(self.tried)

    def config(self, trial: Trial) -> Config:
        """Returns the settings of a trial."""
        return overlay(Config(), self.settings | trial.changes)

    def save(self, folder: RunFolder) -> None:
        """Writes `sweep.json`. Raises StorageError if the system refuses."""
        found = {name: value for name, value in vars(self).items() if name != "rungs"}
        found["trials"] = [{name: getattr(trial, name) for name in NAMES} for trial in self.trials]
        folder.write(SWEEP, (json.dumps({"version": VERSION} | found, indent=1) + "\n").encode())


def find(given: Path, out: Path) -> Path:
    """Returns the folder of a sweep: as it is given, or by its name in a folder of runs, with the suffix or without.

    Raises:
        CheckpointError: there is no such folder.
    """
    places = [place for place in (given, out / given, out / f"{given}{SUFFIX}") if os.path.isdir(place)]
    if not places:
        raise CheckpointError(
            f"{quoted(str(given))}: there is no such sweep; name its folder, as charnet runs shows it"
        )
    return next((place for place in places if os.path.lexists(place / SWEEP)), places[0])


def read(folder: Path) -> Record:
    """Reads the `sweep.json` of a folder, of unknown origin.

    Raises:
        CheckpointError: it is not the folder of a sweep, or the file is damaged.
        StorageError: the file cannot be read.
    """
    path = folder / SWEEP
    try:
        raw = regular_file.read(path, LARGEST).decode()
        return _checked(strict_json(raw))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{folder}: expected the folder of a sweep, found no {SWEEP} in it") from None
    except OSError as error:
        raise StorageError(str(regular_file.read_error(path, error))) from None
    except (CharnetError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is damaged ({str(error)[:100]!r}); start the sweep anew") from None


def _checked(found: dict[str, Any]) -> Record:
    if found.pop("version") != VERSION:
        raise ValueError("another version of charnet wrote it")
    last_part = found.pop("last_part", 1.0)  # once it was the same for all trials
    found["trials"] = [Trial(**({"last_part": last_part} | each)) for each in found["trials"]]
    record = Record(**found)
    numbers = [record.seconds, record.seconds_each, record.spent, record.longest, record.halved]
    overlay(Config(), {name: found["settings"][name] for name in record.given})
    expected = [trial.values for trial in combinations(record.tried)]
    if [trial.values for trial in record.trials if not trial.again] != expected:
        raise ValueError("the trials are others than the tried values")
    for trial in record.trials:
        resolve.check(record.config(trial), trial.label)
        if trial.state not in STATES or trial.values not in expected or len(trial.losses) > len(record.rungs):
            raise ValueError("a trial is in no known state")
        numbers += [*trial.losses, trial.seconds, trial.last_part]
    if not all(isinstance(number, int | float) and math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("a number is out of its range")
    if record.seconds_each <= 0 or len(record.trials) > 2 * len(expected):
        raise ValueError("a number is out of its range")
    return record
