"""A run's beginning: everything that can be wrong is found here, before the first step, and most of it before torch
is loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from charnet import machine
from charnet.config import Config, as_dict, overlay
from charnet.config_file import read_yaml, to_yaml
from charnet.data import corpus as texts
from charnet.data import datasets
from charnet.data.batches import check_length
from charnet.data.cache import open_copy
from charnet.data.corpus import Corpus
from charnet.data.documents import mean_fill, sampled_lengths
from charnet.data.encoded_copy import EncodedCopy, Ends
from charnet.data.sources import STANDARD_INPUT
from charnet.errors import CheckpointError, ConfigError, CorpusError
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.storage.runs import RunFolder
from charnet.training import planner, resolve
from charnet.training.planner import Plan
from charnet.training.time_budget import TimeBudget

if TYPE_CHECKING:
    from charnet.training.trainer import Trainer

SHAPE = ("newlines", "normalize", "lowercase", "lines")  # of the text, which a model knows in no other
CHARACTERS_A_STEP, LARGEST_BATCH, LONGEST_WINDOW = 1500, 512, 256  # where every line is a document
INHERITED = {f"model.{key}" for key in ("cell", "activation", "hidden_size", "num_layers", "members", "embedding_size")}


def new_run(
    values: Mapping[str, Any],
    *,
    out: Path = runs.DEFAULT,
    name: str = "",
    init_from: Path | None = None,
    sample_length: int = 0,
    seconds: float | None = None,
    on_start: Callable[[], object] = lambda: None,
    on_read: texts.OnRead = lambda *_: None,
) -> Trainer:
    """Prepares a new run.

    Args:
        values: settings by `section.field`, laid over the defaults.
        out: the folder of runs; name: of this run, else it is named after the text.
        init_from: a checkpoint whose weights to start from; its model's settings become the defaults.
        sample_length: characters that the model writes after each evaluation.
        seconds: how long training may take; what `values` leave open is chosen to fit. Without this and without a
            length in `values`, five minutes.
        begun: called before the folder is made; interrupted after that, the training has to be asked to stop.
        reading: told now and then how many bytes of the text are read, and of how many.

    Raises:
        CharnetError: what the user can mend, before anything is written.
    """
    if seconds is not None:
        planner.check_seconds(seconds)
        if length := resolve.LENGTH.intersection(values):
            raise ConfigError(f"{min(length)} and a time to train for: expected one length, found two; leave one out")
    weights = Checkpoint.load(runs.find(init_from, out), weights_only=True) if init_from else None
    defaults = Config() if weights is None else _settings_of_model(weights)
    config = overlay(defaults, values)
    if weights is not None:
        _check_same_model(weights, config)
    resolve.check(config, name)
    corpus = texts.read(config.data.paths, config.data, progress=on_read)
    config = overlay(config, {"data.paths": _absolute(config.data.paths)})
    given = set(values) | (INHERITED if weights else set())
    if seconds is None and resolve.LENGTH.isdisjoint(given):
        seconds = planner.DEFAULT_SECONDS
    config, planned, time_budget = _settle(config, given, corpus, seconds)

    from charnet.training import trainer

    on_start()
    folder = RunFolder.new(out, name or corpus.name, resolve.bytes_on_disk(config, len(corpus.vocab)))
    try:
        run = trainer.Trainer(
            config,
            corpus.vocab,
            _info(corpus),
            corpus.ids,
            folder,
            sample_length,
            ends=corpus.ends,
            plan=planned,
            time_budget=time_budget,
        )
        run.notes = corpus.notes
        if weights is not None:
            run.load_pretrained(weights)
        folder.write(runs.SETTINGS, to_yaml(config).encode())
    except BaseException:
        folder.discard()
        folder.close()
        raise
    return run


def _settle(
    config: Config, given: Collection[str], corpus: Corpus, seconds: float | None
) -> tuple[Config, Plan | None, TimeBudget | None]:
    """The settings with a number for each that was not `given`; the plan behind them, if they are to fit a time."""
    characters, planned, time_budget = len(corpus.ids), None, None
    if "data.val_chars" not in given:
        config = overlay(config, {"data.val_chars": resolve.val_chars(config.data.num_held_out(characters))})
    if corpus.ends is not None:
        fitted = _fitted_to_documents(config, given, corpus.ends)
        config, given = overlay(config, fitted), {*given, *fitted}
    if seconds is not None:
        planned, time_budget = _planned(config, given, corpus, seconds)
        config = planned.config
    learned = characters - config.data.num_held_out(characters)
    if corpus.ends is None:
        check_length(learned, config.training.batch_size, config.training.window)
    config = resolve.resolve(config, learned)
    return _on_device(config, len(corpus.vocab)), planned, time_budget


def _planned(config: Config, given: Collection[str], corpus: Corpus, seconds: float) -> tuple[Plan, TimeBudget]:
    """What fits the time, on this machine and with this text. The time begins when torch is loaded."""
    from charnet.model import network
    from charnet.training import throughput, train_state

    began = time.monotonic()
    device = train_state.choose_device(config.training.device)
    network.set_threads(config.training.threads or machine.processor_cores())

    def seconds_per_step(candidate: Config) -> float:
        if corpus.ends is None:
            check_length(text.learned, candidate.training.batch_size, candidate.training.window)
        resolved = _on_device(resolve.resolve(candidate, text.learned), text.alphabet_size)
        with machine.explain_out_of_memory(train_state.NEEDS_LESS):
            return throughput.seconds_per_step(resolved, text.alphabet_size, device)

    held_out = config.data.num_held_out(len(corpus.ids))
    learned = len(corpus.ids) - held_out
    if corpus.ends is not None:  # the places that stay empty beside a longer document are computed all the same
        learned = int(learned / mean_fill(corpus.ends, config.training.batch_size))
    text = planner.Text(learned, held_out, len(corpus.vocab))
    fresh = overlay(config, {"training.earlier_plans": ()})
    planned = planner.plan(fresh, given, text, seconds, seconds_per_step)
    ends_at = began + seconds - planned.reserved_seconds
    return planned, TimeBudget(ends_at, planned.seconds_per_evaluation, planned.most_steps)


def resume_run(
    given: Path,
    values: Mapping[str, Any] | None = None,
    *,
    out: Path = runs.DEFAULT,
    strict: bool = False,
    sample_length: int = 0,
    on_start: Callable[[], object] = lambda: None,
) -> Trainer:
    """Prepares to go on with a run, to the bit.

    Args:
        given: the folder of the run, or its name below `out`.
        values: settings that change; only the length, patience, device and threads may.
        strict: refuse where the newest checkpoint is damaged, rather than go on from the one before it.
        begun: called before anything in the folder is changed, as by `start`.

    Raises:
        ConfigError: a setting that a run cannot change on the way.
        CorpusError: the text is not what the run learned from so far.
        CheckpointError: there is nothing to go on from.
        StorageError: another training is at work in this run.
    """
    path = runs.find_resumable(given, out)
    folder = RunFolder(path.parent)
    try:
        if given.name != path.name:  # which is the newest is known for sure once nobody else writes there
            path = runs.find_resumable(path.parent)
        return _resume(path, folder, values or {}, strict=strict, sample_length=sample_length, on_start=on_start)
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
        raise CheckpointError(f"{path}: expected a checkpoint to go on from, found weights only; try --init-from")
    values = _changes(before, path.parent / runs.SETTINGS, dict(given))
    config = overlay(before.config, values)
    config = overlay(config, {"data.paths": _absolute(config.data.paths)})
    text = _same_text(before, config)
    config = resolve.resolve(config, len(text.ids) - config.data.num_held_out(len(text.ids)))
    if resolve.LENGTH.intersection(values):
        fresh = dataclasses.replace(before.trainer_state, evaluations_without_improvement=0)
        before = dataclasses.replace(before, trainer_state=fresh)
    _check_unfinished(path.parent, before.trainer_state, config)
    folder.check_space(resolve.bytes_on_disk(config, len(before.vocab)), damage=damage)
    config = _on_device(config, len(before.vocab))

    from charnet.training import trainer

    on_start()
    run = trainer.Trainer(config, before.vocab, before.corpus, text.ids, folder, sample_length, ends=text.ends)
    run.restore(before, damage)
    folder.write(runs.SETTINGS, to_yaml(config).encode())
    return run


def _on_device(config: Config, alphabet_size: int) -> Config:
    """The settings with the device and precision that "auto" means here, once it is sure that the run fits."""
    from charnet.training import optim, train_state

    device = train_state.choose_device(config.training.device)
    if device.type == "cpu":
        resolve.check_memory(config, alphabet_size, machine.free_memory())
    precision = resolve.precision(config, optim.cpu_capabilities(device))
    return overlay(config, {"training.device": device.type, "training.precision": precision})


def _changes(before: Checkpoint, settings: Path, values: dict[str, Any]) -> dict[str, Any]:
    """What is to change in a run: the values that are not as they were, and its texts' places on this machine."""
    asked = overlay(before.config, values)
    theirs, ours = as_dict(before.config), as_dict(asked)
    changed = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        if name == "data.paths" or theirs[section][key] != ours[section][key]:
            changed[name] = value
    resolve.check_resumable(changed)
    if "data.paths" not in changed and settings.is_file():
        with contextlib.suppress(ConfigError):  # damaged: then the text is looked for in the cache
            changed["data.paths"] = read_yaml(settings).get("data.paths", [])
    return changed


def _check_unfinished(run: Path, state: TrainerState, config: Config) -> None:
    settings = config.training
    owed = state.reported_step < state.step or state.step == 0
    if state.step > settings.steps or (state.step == settings.steps and not owed):
        raise ConfigError(
            f"{run}: expected more steps than the {state.step} that are done, found a length of {settings.steps}; "
            f"go on with --steps {2 * state.step}, or start a new run with --init-from"
        )
    if not owed and settings.patience and state.evaluations_without_improvement >= settings.patience:
        raise ConfigError(
            f"{run}: it was stopped early, at step {state.step}, as it no longer improved; "
            f"go on all the same with --patience 0, or start a new run with --init-from"
        )


def _absolute(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(p if p == STANDARD_INPUT or _is_known(p) else str(Path(p).resolve()) for p in paths)


def _is_known(path: str) -> bool:
    """Whether this is the name of a known text rather than that of a file."""
    return path in datasets.DATASETS and not os.path.exists(path)


def _settings_of_model(weights: Checkpoint) -> Config:
    data = {f"data.{key}": getattr(weights.config.data, key) for key in ("bytes", *SHAPE)}
    return overlay(dataclasses.replace(Config(), model=weights.config.model), data)


def _check_same_model(weights: Checkpoint, config: Config) -> None:
    theirs, ours = as_dict(weights.config), as_dict(config)
    for section, key in [("model", k) for k in theirs["model"] if not k.endswith("dropout")] + [("data", "bytes")]:
        if theirs[section][key] != ours[section][key]:
            raise ConfigError(
                f"--init-from: the weights were trained with {section}.{key} {theirs[section][key]}, "
                f"not {ours[section][key]}; leave that out, or start without --init-from"
            )


def _info(corpus: Corpus) -> CorpusInfo:
    return CorpusInfo(corpus.name, len(corpus.ids), corpus.size_bytes, corpus.files, corpus.fingerprint, corpus.key)


def _fitted_to_documents(config: Config, given: Collection[str], ends: Ends) -> dict[str, int]:
    """A window that most documents fit into, and as many of them side by side as make a step worth its while."""
    lengths, t = sampled_lengths(ends), config.training
    window = min(LONGEST_WINDOW, max(8, -(-int(np.quantile(lengths, 0.99)) // 8) * 8))
    if "training.window" in given:
        window = t.window
    wanted = CHARACTERS_A_STEP / float(np.minimum(lengths, window).mean())
    most = max(1, len(ends) // 8)
    batch_size = min(most, max(16, min(LARGEST_BATCH, 1 << round(math.log2(wanted)))))
    fitted = {"training.window": window, "training.batch_size": batch_size}
    return {name: value for name, value in fitted.items() if name not in given}


def _same_text(before: Checkpoint, config: Config) -> EncodedCopy | Corpus:
    """The encoded text of a run; from the cache where the files are gone.

    Raises:
        CorpusError: the text has changed, or is neither where it was nor in the cache.
    """
    data, info = config.data, before.corpus
    gone = any(p == STANDARD_INPUT or not (Path(p).exists() or _is_known(p)) for p in data.paths)
    if gone:
        copy = open_copy(info.key)
        if copy is None:
            raise CorpusError(
                f"the text of this run ({info.name}) is neither at {', '.join(data.paths)} nor in the cache: "
                "name it again, as in charnet train TEXT --resume RUN"
            )
        return copy
    corpus = texts.read(data.paths, data)
    if corpus.fingerprint != info.fingerprint or corpus.key != info.key:
        where = ", ".join(data.paths) or "the bundled text"
        raise CorpusError(
            f"{where}: expected the text that this run learned from ({info.name}, SHA-256 "
            f"{info.fingerprint[:12]}...), found another ({corpus.fingerprint[:12]}...); "
            "restore it, or start a new run with --init-from"
        )
    return corpus
