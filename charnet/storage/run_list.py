"""The runs in a folder, each in a few facts, and how two of them differ. Only the heads of checkpoints are read."""

from __future__ import annotations

import codecs
import contextlib
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charnet import durable
from charnet.config import RUNS, VAL, Config
from charnet.errors import CheckpointError, ConfigError, NewerFormatError, StorageError, quoted, short_repr
from charnet.overlay import as_dict
from charnet.storage import runs, tensorfile
from charnet.storage.document import Document, parse

RUNNING, DONE, STOPPED_EARLY, INTERRUPTED, DAMAGED = "running", "done", "stopped early", "interrupted", "damaged"
IMPORTED, NEWER = "imported", "of a newer charnet"
LEFT_OUT = ("data.paths", "training.length_changes", "training.resume_changes")  # of the settings that differ
RANDOM, LAST = VAL[1:3]
NOT_OF_THE_TEXT = ("paths", "glob", "val_chars")  # settings of data that leave the held-out part as it is


@dataclass(frozen=True)
class RunSummary:
    """A run. Losses are in nats per character; `written` is when its newest checkpoint was written.

    `document` is that of its newest checkpoint, None for one that is damaged or of a newer charnet. It was not compared
    with the checksum.
    """

    path: Path
    state: str
    size_bytes: int
    written: str
    document: Document | None
    problem: str = ""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def best_nats_per_char(self) -> float | None:
        return self.document.trainer_state.best_nats_per_char if self.document else None

    def as_dict(self) -> dict[str, Any]:
        """Returns what is known of the run, ready for JSON."""
        found: dict[str, Any] = {
            "name": self.name,
            "path": str(self.path),
            "state": self.state,
            "size_bytes": self.size_bytes,
            "written": self.written,
        }
        if self.document is None:
            return found | {"problem": self.problem}
        d = self.document
        config, progress = as_dict(d.config), d.trainer_state
        return found | {
            "text": d.corpus.name,
            "text_fingerprint": d.corpus.fingerprint,
            "characters": d.corpus.characters,
            "model": config["model"],
            "model_line": short_model(d.config),
            "best_nats_per_char": progress.best_nats_per_char,
            "best_step": progress.best_step,
            "step": progress.step,
            "steps": d.config.training.steps,
            "chars_seen": progress.chars_seen,
            "seconds": progress.seconds,
        }


def short_model(config: Config) -> str:
    """Returns a model in few words.

    >>> short_model(Config())
    'lstm 1x256'
    """
    model = config.model
    networks = f"{model.members} x " if model.members > 1 else ""
    cell = f"{model.cell} ({model.activation})" if model.cell == "rnn" else model.cell
    ngram = f" + {model.ngram}-gram" if model.ngram > 0 else ""
    return f"{networks}{cell} {model.num_layers}x{model.hidden_size}{ngram}"


def folders_below(folder: Path) -> list[Path]:
    """Returns the folders in a folder that hold runs themselves, as those of sweeps and lessons do, by name."""
    return sorted({path.parent.parent for name in runs.RESUME_ORDER for path in folder.glob(f"*/*/{name}")})


def summaries(folder: Path) -> list[RunSummary]:
    """Returns the runs in a folder, the newest first."""
    return [summary(path) for path in runs.newest_first(folder)]


def find(given: str, folder: Path = RUNS) -> RunSummary:
    """Returns the run of a name or a folder.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = runs.find(Path(given), folder, order=runs.RESUME_ORDER)
    if path.name not in runs.RESUME_ORDER:
        raise CheckpointError(f"{path}: expected a run, found a file by itself; name the folder of a run")
    found = summary(path.parent)
    if found.document is None:
        raise CheckpointError(found.problem)
    return found


def summary(path: Path) -> RunSummary:
    """Returns what is known of a run.

    Args:
        path: its folder, which holds a checkpoint.
    """
    size, newest = 0, 0.0
    for name in (*runs.SAMPLE_ORDER, runs.METRICS, runs.SETTINGS):
        with contextlib.suppress(OSError):  # it is missing, or being replaced
            status = (path / name).stat()
            size += status.st_size
            newest = max(newest, status.st_mtime if name in runs.SAMPLE_ORDER else 0)
    written, problem, unreadable, document = _time(newest), "", DAMAGED, None
    for name in runs.RESUME_ORDER:
        if document is None and runs.is_there(path / name):
            try:
                document = parse(path / name, tensorfile.read_document(path / name))
            except (CheckpointError, StorageError) as error:
                unreadable = NEWER if isinstance(error, NewerFormatError) and not problem else unreadable
                problem = problem or str(error)
    if document is None:
        return RunSummary(path, unreadable, size, written, None, problem)
    return RunSummary(path, _state(path, document), size, written, document)


def _state(path: Path, document: Document) -> str:
    if _is_locked(path):
        return RUNNING
    if document.corpus.is_unknown:
        return IMPORTED
    training, progress = document.config.training, document.trainer_state
    if progress.step >= training.steps:
        return DONE
    return STOPPED_EARLY if 0 < training.patience <= progress.evaluations_without_improvement else INTERRUPTED


def _is_locked(path: Path) -> bool:
    """Returns whether a process trains the run; False where that cannot be known."""
    with contextlib.suppress(OSError):
        folder = durable.OpenFolder(path)
        try:
            return folder.try_lock() is False
        finally:
            folder.close()
    return False


def _time(seconds: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a file can have a time that no calendar has
        return ""


def measured_on(document: Document) -> dict[str, Any]:
    """Returns what decides on which text, and in which unit, a run measures its losses: those of two runs can be
    compared if all of it is equal."""
    data = document.config.data
    found = {name: value for name, value in vars(data).items() if name not in NOT_OF_THE_TEXT}
    documents = "line" if found.pop("lines") else data.documents
    found |= {"text": document.corpus.fingerprint, "documents": documents, "val": data.val or LAST}  # as it once was
    found["encoding"] = "" if data.bytes else _codec(data.encoding)
    if data.val == RANDOM:
        found["seed"] = document.config.training.seed  # it draws what is held out
    return found


def _codec(name: str) -> str:
    with contextlib.suppress(LookupError):
        return codecs.lookup(name).name
    return name


def check_comparable(found: Sequence[RunSummary]) -> None:
    """Raises ConfigError if runs measure their losses on different texts, other parts of one, or in other units."""
    first = found[0].document
    for run in found[1:]:
        assert first is not None
        assert run.document is not None
        if why := _why_not_comparable(first, run.document):
            raise ConfigError(f"{found[0].name} and {run.name} {why}: their losses cannot be compared")


def _why_not_comparable(first: Document, other: Document) -> str:
    """Says in what the held-out parts of two runs differ; "" if they do not."""
    own, theirs = measured_on(first), measured_on(other)
    different = sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name))
    if not different:
        return ""
    names = [quoted(document.corpus.name) for document in (first, other)]
    if own["bytes"] != theirs["bytes"]:
        return f"learned from {'bytes and characters' if own['bytes'] else 'characters and bytes'}"
    if own["text"] != theirs["text"]:
        same = f"different texts of one name, {names[0]}" if names[0] == names[1] else ""
        return f"learned from {same or f'different texts, {names[0]} and {names[1]}'}"
    values = [f"{name} {_value(own.get(name))} and {_value(theirs.get(name))}" for name in different]
    return f"hold out different parts of {names[0]}, or read it differently ({', '.join(values)})"


def _value(value: Any) -> str:
    return "none" if value in ("", None) else quoted(value) if isinstance(value, str) else short_repr(value)


def differences(found: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Returns the settings that are not the same in all runs, each with its values."""
    settings = [
        {
            f"{section}.{key}": value
            for section, values in as_dict(run.document.config).items()
            for key, value in values.items()
        }
        for run in found
        if run.document is not None
    ]
    all_values = {name: [each[name] for each in settings] for name in settings[0] if name not in LEFT_OUT}
    return {name: values for name, values in all_values.items() if any(value != values[0] for value in values)}


class Curve:
    """The losses of a run on its held-out text, by the characters that it had read and by the seconds that it took."""

    def __init__(self, run: RunSummary) -> None:
        assert run.document is not None
        lines = [line for line in run.document.history if line.get("val_nats_per_char") is not None]
        self.name = run.name
        self.characters = [float(line["chars_seen"]) for line in lines if "chars_seen" in line]
        self.seconds = [float(line["seconds"]) for line in lines if "seconds" in line]
        self.nats = [float(line["val_nats_per_char"]) for line in lines]
