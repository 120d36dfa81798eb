"""Checks the files of a run or a checkpoint without training: `charnet inspect --verify`."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charnet import durable, regular_file
from charnet.config import Config
from charnet.data import corpus as texts
from charnet.data.readers import fingerprint
from charnet.data.sources import find
from charnet.data.streams import STANDARD_INPUT, may_not_end
from charnet.errors import CharnetError, CheckpointError, NewerFormatError, plural
from charnet.overlay import overlay
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import read_yaml
from charnet.storage.strict_json import strict_json

LONGEST_LINE = 1 << 16  # bytes of metrics

CONTRARIES = {
    " is intact": " is not intact", " can be resumed": " cannot be resumed", " matches ": " does not match ",
    " is unchanged": " is not the same", " can be read": " cannot be read",
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """The result of one check. `passed` is None if the check was not possible."""

    what: str
    passed: bool | None
    found: str

    @property
    def outcome(self) -> str:
        """What was checked, or its contrary if that was found.

        >>> Check("best.safetensors is intact", False, "the checksum differs").outcome
        'best.safetensors is not intact'
        """
        if self.passed is not False:
            return self.what
        for claim, contrary in CONTRARIES.items():
            if claim in self.what:
                return self.what.replace(claim, contrary)
        return f"not so: {self.what}"


def verify(path: Path) -> list[Check]:
    """Checks all files of a run, or one checkpoint.

    Args:
        path: an existing folder or file, such as a result of `runs.find`.

    Raises:
        CheckpointError: the folder holds no checkpoint.
    """
    run = path if os.path.isdir(path) else path.parent
    files = [run / name for name in (runs.BEST, runs.LAST, runs.PREVIOUS)] if os.path.isdir(path) else [path]
    checks: list[Check] = []
    loaded: dict[str, Checkpoint] = {}
    for file in files:
        if not runs.is_there(file):
            if file.name == runs.LAST and os.path.isfile(files[-1]):
                checks.append(Check(f"{file.name} is intact", None, "it is missing, there is only the one before it"))
            continue
        try:
            loaded[file.name] = found = Checkpoint.load(file)
            strings = f" and an n-gram of {plural(len(found.ngram.table), 'string')}" if found.ngram else ""
            size = f"step {found.trainer_state.step:,}, {plural(len(found.tensors), 'tensor')}{strings}"
            checks.append(Check(f"{file.name} is intact", True, f"{size}; checksum and shapes match"))
        except CharnetError as error:
            claim = "can be read" if isinstance(error, NewerFormatError) else "is intact"
            checks.append(Check(f"{file.name} {claim}", False, str(error)))
    if loaded.keys() == {runs.BEST} and len(files) > len(checks) == 1 and not loaded[runs.BEST].is_imported:
        checks.append(Check(f"{runs.LAST} can be resumed", None, "it is missing, and so is the one before it"))
    for name in (runs.LAST, runs.PREVIOUS):
        if name in loaded:
            missing = _missing_to_resume(loaded[name])
            result = missing or "optimizer, state and random numbers are there"
            checks.append(Check(f"{name} can be resumed", not missing, result))
    if os.path.isdir(path) and (newest := loaded.get(runs.LAST) or loaded.get(runs.PREVIOUS)):
        checks.extend(_check_other_files(run, newest))
    if not checks:
        raise CheckpointError(f"{path}: nothing to check: there is no checkpoint in this folder")
    return checks


def _missing_to_resume(checkpoint: Checkpoint) -> str:
    """Says what a training needs and the checkpoint lacks; returns "" if it lacks nothing."""
    optimized = {name.rpartition(".")[0]: tensor.shape for name, tensor in checkpoint.part("optimizer").items()}
    for name, weight in checkpoint.weights.items():
        if optimized.get(name) != weight.shape:
            return f"the optimizer's state for {name} is missing"
    model, batch = checkpoint.config.model, checkpoint.config.training.batch_size
    state = checkpoint.part("state")
    for layer in range(model.members * model.num_layers):
        if f"{layer}.0" not in state or state[f"{layer}.0"].shape != (batch, model.hidden_size):
            return f"the state of layer {layer} is missing"
    return "" if "cpu" in checkpoint.part("random") else "the state of the random number generator is missing"


def _check_other_files(run: Path, newest: Checkpoint) -> Iterator[Check]:
    """Checks settings, metrics, text and leftovers of a run against its newest checkpoint."""
    settings_match = f"{runs.SETTINGS} matches the newest checkpoint"
    paths: list[str] | None = None
    try:
        values = read_yaml(run / runs.SETTINGS)
        paths = values.pop("data.paths", [])
        same = overlay(Config(), values) == overlay(newest.config, {"data.paths": []})
        yield Check(settings_match, same, "the settings are the same" if same else "the settings differ")
    except CharnetError as error:
        yield Check(settings_match, False, str(error))
    yield _check_metrics(run / runs.METRICS, newest)
    yield _check_text(paths, newest)
    # They belong to a running process, or to one that was killed: then the next training of this run removes them.
    leftovers = ", ".join(path.name for path in run.glob(f".*{durable.PART}"))
    yield Check("no leftovers", None if leftovers else True, leftovers or "no temporary files")


def _check_metrics(path: Path, newest: Checkpoint) -> Check:
    """Checks that the lines of metrics are JSON, in the order of their steps, and not older than the checkpoint."""
    what = f"{path.name} matches the newest checkpoint"
    reported = newest.trainer_state.reported_step
    number, before, in_order, is_there = 0, -1, True, not reported
    try:
        with regular_file.open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > runs.LARGEST_METRICS:
                return Check(what, False, f"it has more than {runs.LARGEST_METRICS:,} bytes")
            while line := file.readline(LONGEST_LINE):
                number += 1
                step = operator.index((values := strict_json(line.decode()))["step"])
                if values.keys().isdisjoint((runs.CHANGES, runs.TEST, runs.PLANNED)):
                    in_order, before, is_there = in_order and before < step, step, is_there or step == reported
    except FileNotFoundError:
        if reported:
            return Check(what, False, "it is missing")
    except OSError as error:
        return Check(what, False, f"it cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return Check(what, False, f"line {number} is not a line of metrics ({error})")
    if not in_order:
        return Check(what, False, "its steps are not in order")
    if not is_there:
        return Check(what, False, f"the line of step {reported:,} is missing")
    return Check(what, True, plural(number, "line"))


def _check_text(paths: list[str] | None, newest: Checkpoint) -> Check:
    """Checks that the training text still exists, byte for byte."""
    what, info, data = "the text is unchanged", newest.corpus, newest.config.data
    if paths is None or STANDARD_INPUT in paths:
        return Check(what, None, "it came from standard input" if paths else "its path is not known")
    try:
        sources = find(paths, data.glob, any_bytes=data.bytes).sources
        if stream := next((source for source in sources if may_not_end(str(source.path))), None):
            return Check(what, None, f"{stream.name} is a pipe, a device or a file of the system")
        found = texts.fingerprint_of([fingerprint(source) for source in sources])
    except (CharnetError, OSError) as error:
        return Check(what, None, str(error))
    same = found == info.fingerprint
    return Check(what, same, f"{info.name}, SHA-256 {found[:12]}..." + ("" if same else " is another text"))
