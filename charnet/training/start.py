"""Starts a run that `setup` has checked: text, plan, folder. Loads NumPy, and torch once the text is read."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet import machine
from charnet.config import Config
from charnet.config_file import read_yaml, to_yaml
from charnet.data import corpus as data_corpus
from charnet.data.batches import check_length
from charnet.data.cache import open_copy
from charnet.data.corpus import Corpus
from charnet.data.datasets import DATASETS
from charnet.data.encoded_copy import EncodedCopy
from charnet.data.sources import STANDARD_INPUT, is_stream
from charnet.data.split import LAST, Split, default_val
from charnet.errors import CheckpointError, ConfigError, CorpusError, shortened
from charnet.overlay import as_dict, overlay
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo
from charnet.storage.runs import RunFolder
from charnet.training import planner, resolve, sizes
from charnet.training.planner import Plan
from charnet.training.time_budget import TimeBudget

if TYPE_CHECKING:
    from charnet.training.trainer import Trainer

FIXED_BY_MODEL = (
    "newlines",
    "normalize",
    "lowercase",
    "lines",
    "documents",
    "field",
)  # settings of the text that come with the weights
INHERITED = {f"model.{key}" for key in ("cell", "activation", "hidden_size", "num_layers", "members", "embedding_size")}


def new_run(
    values: Mapping[str, Any],
    seconds: float | None,
    *,
    out: Path,
    name: str,
    init_from: Path | None,
    sample_length: int,
    on_start: Callable[[], object],
    on_read: data_corpus.OnRead,
) -> Trainer:
    """See `setup.new_run`, which has checked `values` and decided on `seconds`."""
    weights = Checkpoint.load(runs.find(init_from, out), weights_only=True) if init_from else None
    config = overlay(Config() if weights is None else _settings_of_model(weights), values)
    if weights is not None:
        resolve.check_same_model(weights.config, config)
        resolve.check(config, name)
    corpus = data_corpus.read(config.data.paths, config.data, progress=on_read)
    val = config.data.val or default_val(corpus.ends, corpus.file_ends)
    config = overlay(config, {"data.paths": _absolute(config.data.paths), "data.val": val})
    text = Split(corpus.ids, corpus.ends, config.data, config.training.seed, corpus.file_ends)
    given = set(values) | (INHERITED if weights else set())
    config, plan, time_budget = _settle(config, given, text, len(corpus.vocab), seconds)

    from charnet.training import trainer

    on_start()
    folder = RunFolder.new(out, name or corpus.name, resolve.bytes_on_disk(config, len(corpus.vocab)))
    try:
        source = (config, corpus.vocab, _info(corpus), text, folder, sample_length)
        run = trainer.Trainer(*source, plan=plan, time_budget=time_budget)
        run.notes = (*corpus.notes, *text.notes())
        if weights is not None:
            run.load_pretrained(weights)
        folder.write(runs.SETTINGS, to_yaml(config).encode())
    except BaseException:
        folder.discard()
        folder.close()
        raise
    return run


def check_named(paths: Collection[str]) -> None:
    """Raises CorpusError if a settings file names a pipe or a device as a text: reading it could last for ever."""
    if stream := next(filter(is_stream, paths), None):
        raise CorpusError(f"{shortened(stream)}: is a pipe or a device; name it on the command line, not in --config")


def _info(corpus: Corpus) -> CorpusInfo:
    return CorpusInfo(corpus.name, len(corpus.ids), corpus.size_bytes, corpus.files, corpus.fingerprint, corpus.key)


def _settle(
    config: Config, given: Collection[str], text: Split, alphabet_size: int, seconds: float | None
) -> tuple[Config, Plan | None, TimeBudget | None]:
    """Chooses every setting that was not `given`; returns also the plan, if the run has a time to fit."""
    if "data.val_chars" not in given:
        config = overlay(config, {"data.val_chars": resolve.val_chars(len(text.val))})
    if text.train.documents is not None:
        fitted = sizes.fit_to_documents(config, given, text.train.documents)
        config, given = overlay(config, fitted), {*given, *fitted}
    plan = time_budget = None
    if seconds is None:
        config = resolve.resolve(config, text.train.padded_length(config.training.window))
    else:
        plan, time_budget = _plan(config, given, text, alphabet_size, seconds)
        config = plan.config
    if text.train.documents is None:
        check_length(len(text.train), config.training.batch_size, config.training.window)
    return _on_device(config, alphabet_size), plan, time_budget


def _plan(
    config: Config, given: Collection[str], text: Split, alphabet_size: int, seconds: float
) -> tuple[Plan, TimeBudget]:
    """Plans a run on this text that fits the time on this machine. The time starts when torch is loaded."""
    from charnet.model import device
    from charnet.training import throughput
    from charnet.training.train_state import MEMORY_ADVICE

    began = time.monotonic()
    where = device.choose_device(config.training.device)
    device.set_threads(config.training.threads)

    def seconds_per_step(candidate: Config) -> float:
        if text.train.documents is None:
            check_length(len(text.train), candidate.training.batch_size, candidate.training.window)
        timed = _on_device(candidate, alphabet_size)
        with machine.explain_out_of_memory(MEMORY_ADVICE):
            return throughput.seconds_per_step(timed, alphabet_size, where)

    size = sizes.Text(text.train.padded_length(config.training.window), len(text.val), alphabet_size)
    fresh = overlay(config, {"training.length_changes": ()})
    plan = planner.plan(fresh, given, size, seconds, seconds_per_step)
    fill = len(text.train) / size.train_chars  # the plan counts the padding behind documents as characters
    plan = dataclasses.replace(plan, chars_per_second=plan.chars_per_second * fill)
    ends_at = began + seconds - plan.reserved_seconds
    return plan, TimeBudget(ends_at, plan.seconds_per_evaluation, plan.most_steps)


def _on_device(config: Config, alphabet_size: int) -> Config:
    """Checks that the run fits into memory, and replaces the device and precision "auto" by those of this machine."""
    from charnet.model import device

    where = device.choose_device(config.training.device)
    if where.type == "cpu":
        resolve.check_memory(config, alphabet_size, machine.free_memory())
    precision = device.choose_precision(config, device.cpu_capabilities(where))
    return overlay(config, {"training.device": where.type, "training.precision": precision})


def resume_run(
    given: Path,
    values: Mapping[str, Any],
    *,
    out: Path,
    strict: bool,
    sample_length: int,
    on_start: Callable[[], object],
) -> Trainer:
    """See `setup.resume_run`, which has checked `values`."""
    path = runs.find_resumable(given, out)
    folder = RunFolder(path.parent)
    try:
        if given.name != path.name:  # which is the newest is certain only when no other process writes there
            path = runs.find_resumable(path.parent)
        return _resume(path, folder, values, strict=strict, sample_length=sample_length, on_start=on_start)
    except BaseException:
        folder.close()
        raise


def _resume(
    path: Path,
    folder: RunFolder,
    given: Mapping[str, Any],
    *,
    strict: bool,
    sample_length: int,
    on_start: Callable[[], object],
) -> Trainer:
    before, damage = runs.load_resumable(path, strict=strict)
    if before.trainer_state.step and not before.part("optimizer"):
        raise CheckpointError(f"{path}: holds weights only and cannot be resumed; try --init-from")
    values = _changes(before, path.parent / runs.SETTINGS, dict(given))
    config = overlay(before.config, values)
    config = overlay(config, {"data.paths": _absolute(config.data.paths)})
    source = _same_text(before, config, is_named="data.paths" in given)
    data = overlay(config, {"data.val": config.data.val or LAST}).data  # earlier versions held out the end
    text = Split(source.ids, source.ends, data, config.training.seed, source.file_ends)
    config = resolve.resolve(config, text.train.padded_length(config.training.window))
    if resolve.LENGTH.intersection(values):
        fresh = dataclasses.replace(before.trainer_state, evaluations_without_improvement=0)
        before = dataclasses.replace(before, trainer_state=fresh)
    resolve.check_unfinished(path.parent, before.trainer_state, config)
    folder.check_space(resolve.bytes_on_disk(config, len(before.vocab)), damage=damage)
    config = _on_device(config, len(before.vocab))

    from charnet.training import trainer

    on_start()
    run = trainer.Trainer(config, before.vocab, before.corpus, text, folder, sample_length)
    run.restore(before, damage)
    folder.write(runs.SETTINGS, to_yaml(config).encode())
    return run


def _changes(before: Checkpoint, settings: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings that differ from those of the run, and the paths of its texts on this machine."""
    theirs, ours = as_dict(before.config), as_dict(overlay(before.config, values))
    changed = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        if name == "data.paths" or theirs[section][key] != ours[section][key]:
            changed[name] = value
    resolve.check_resumable(changed)
    if "data.paths" not in changed and settings.is_file():
        with contextlib.suppress(ConfigError):  # a damaged file: the text may be in the cache
            changed["data.paths"] = read_yaml(settings).get("data.paths", [])
    return changed


def _absolute(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(p if p == STANDARD_INPUT or _is_dataset(p) else str(Path(p).resolve()) for p in paths)


def _is_dataset(path: str) -> bool:
    """Returns whether this is the name of a known dataset and not of a file."""
    return path in DATASETS and not os.path.exists(path)


def _settings_of_model(weights: Checkpoint) -> Config:
    data = {f"data.{key}": getattr(weights.config.data, key) for key in ("bytes", *FIXED_BY_MODEL)}
    return overlay(dataclasses.replace(Config(), model=weights.config.model), data)


def _same_text(before: Checkpoint, config: Config, *, is_named: bool) -> EncodedCopy | Corpus:
    """Returns the encoded text of a run, from the cache if the files are gone. What became a pipe counts as gone.

    Args:
        is_named: the user names the text anew: then it may be a pipe.

    Raises:
        CorpusError: the text has changed, or is neither at its path nor in the cache.
    """
    data, info = config.data, before.corpus
    gone = any(
        p == STANDARD_INPUT or not (os.path.exists(p) or _is_dataset(p)) or (is_stream(p) and not is_named)
        for p in data.paths
    )
    if gone:
        copy = open_copy(info.key, info.fingerprint)
        if copy is None:
            raise CorpusError(
                f"the text of this run ({info.name}) is neither at {', '.join(data.paths)} nor in the cache: "
                "give its path, as in charnet train TEXT --resume RUN"
            )
        return copy
    corpus = data_corpus.read(data.paths, data)
    if corpus.fingerprint != info.fingerprint or corpus.key != info.key:
        where = ", ".join(data.paths) or "the bundled text"
        raise CorpusError(
            f"{where}: expected the text that this run was trained on ({info.name}, SHA-256 "
            f"{info.fingerprint[:12]}...), found another ({corpus.fingerprint[:12]}...); "
            "restore it, or start a new run with --init-from"
        )
    return corpus
