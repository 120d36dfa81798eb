"""Everything that can be checked about a run or a checkpoint without training it; `charnet inspect --verify`."""

from __future__ import annotations

import itertools
import json
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charnet import durable
from charnet.config import Config
from charnet.config_file import read_yaml
from charnet.data import corpus as texts
from charnet.data.readers import fingerprint
from charnet.data.sources import STANDARD_INPUT, find
from charnet.errors import CharnetError, CheckpointError, plural
from charnet.overlay import overlay
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `passed` is None where it could not be checked."""

    what: str
    passed: bool | None
    found: str


def verify(path: Path) -> list[Check]:
    """Checks a run's folder with all its files, or one checkpoint.

    Args:
        path: a folder or a file that is there, as `runs.find` gives it.
    """
    run = path if path.is_dir() else path.parent
    files = [run / name for name in (runs.BEST, runs.LAST, runs.PREVIOUS)] if path.is_dir() else [path]
    checks: list[Check] = []
    loaded: dict[str, Checkpoint] = {}
    for file in files:
        if not file.is_file():
            continue
        try:
            loaded[file.name] = found = Checkpoint.load(file)
            said = f"step {found.trainer_state.step:,}, {plural(len(found.tensors), 'tensor')}; checksum and shapes fit"
            checks.append(Check(f"{file.name} is whole", True, said))
        except CharnetError as error:
            checks.append(Check(f"{file.name} is whole", False, str(error)))
    for name in (runs.LAST, runs.PREVIOUS):
        if name in loaded:
            missing = _missing_to_resume(loaded[name])
            said = missing or "optimiser, state and random numbers are there"
            checks.append(Check(f"{name} can be gone on from", not missing, said))
    if path.is_dir() and (newest := loaded.get(runs.LAST) or loaded.get(runs.PREVIOUS)):
        checks.extend(_beside(run, newest))
    if not checks:
        raise CheckpointError(f"{path}: expected a run or a checkpoint, found nothing to check")
    return checks


def _missing_to_resume(checkpoint: Checkpoint) -> str:
    """What a training would miss in a checkpoint, or nothing."""
    moved = {name.rpartition(".")[0]: tensor.shape for name, tensor in checkpoint.part("optimizer").items()}
    for name, weight in checkpoint.weights.items():
        if moved.get(name) != weight.shape:
            return f"the optimiser's memory of {name} is missing"
    model, batch = checkpoint.config.model, checkpoint.config.training.batch_size
    state = checkpoint.part("state")
    for layer in range(model.members * model.num_layers):
        if f"{layer}.0" not in state or state[f"{layer}.0"].shape != (batch, model.hidden_size):
            return f"the state of layer {layer} is missing"
    return "" if "cpu" in checkpoint.part("random") else "the state of the random numbers is missing"


def _beside(run: Path, newest: Checkpoint) -> Iterator[Check]:
    """What lies beside the checkpoints of a run."""
    paths: list[str] | None = None
    try:
        values = read_yaml(run / runs.SETTINGS)
        paths = values.pop("data.paths", [])
        same = overlay(Config(), values) == overlay(newest.config, {"data.paths": []})
        said = "the settings of the newest checkpoint" if same else "other settings than the newest checkpoint"
        yield Check(f"{runs.SETTINGS} fits", same, said)
    except CharnetError as error:
        yield Check(f"{runs.SETTINGS} fits", False, str(error))
    yield _metrics(run / runs.METRICS, newest)
    yield _text(paths, newest)
    left = list(run.glob(f".*{durable.PART}"))
    # Of a training at work, or of one that was killed: the next start cleans up.
    yield Check("nothing is left over", None if left else True, ", ".join(p.name for p in left) or "no temporary files")


def _metrics(path: Path, newest: Checkpoint) -> Check:
    """Lines of metrics are JSON, in the order of their steps, and reach as far as the newest checkpoint."""
    what = f"{path.name} fits"
    steps: list[int] = []
    try:
        for line in path.read_bytes().splitlines():
            steps.append(operator.index(json.loads(line)["step"]))
    except FileNotFoundError:
        if newest.trainer_state.reported_step:
            return Check(what, False, "it is missing")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return Check(what, False, f"line {len(steps) + 1} is no line of metrics ({error})")
    if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        return Check(what, False, "its steps are not in order")
    if newest.trainer_state.reported_step and newest.trainer_state.reported_step not in steps:
        return Check(what, False, f"the line of step {newest.trainer_state.reported_step:,} is missing")
    return Check(what, True, plural(len(steps), "line"))


def _text(paths: list[str] | None, newest: Checkpoint) -> Check:
    """The text that the run learned from is still there, byte for byte."""
    what, info, data = "the text is as it was", newest.corpus, newest.config.data
    if paths is None or STANDARD_INPUT in paths:
        return Check(what, None, "it came from standard input" if paths else "where it lies is not known")
    try:
        sources = find(paths, data.glob, any_bytes=data.bytes).sources
        found = texts.fingerprint_of([fingerprint(source) for source in sources])
    except (CharnetError, OSError) as error:
        return Check(what, None, str(error))
    same = found == info.fingerprint
    return Check(what, same, f"{info.name}, SHA-256 {found[:12]}..." + ("" if same else " is another"))
