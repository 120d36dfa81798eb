"""Resumes a run: as if it had not been interrupted, or with changes that the user asks for, which are recorded.

Where settings or text change, all that fits is carried over: weights, optimizer, random numbers. With another number or
length of windows, or another text, the streams start anew. From there on, resuming is exact again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from charnet.config import Config
from charnet.data import corpus as data_corpus
from charnet.data.batches import check_length
from charnet.data.cache import open_copy
from charnet.data.corpus import Corpus, OnRead
from charnet.data.encoded_copy import EncodedCopy, Ends, Ids
from charnet.data.split import LAST, Split
from charnet.data.streams import may_not_end
from charnet.data.vocab import Vocabulary
from charnet.data.widen import map_ids, widen
from charnet.errors import CheckpointError, ConfigError, CorpusError, plural, short_repr, shortened
from charnet.overlay import as_dict, overlay
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import read_yaml, to_yaml
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.storage.ngram_tensors import PREFIX
from charnet.storage.runs import RunFolder
from charnet.training import elastic, group, resolve, together, torch_group
from charnet.training.start import absolute, facts, fit_ngram, info_of, is_known_text, on_device, split_of

if TYPE_CHECKING:
    from charnet.training.trained_ngram import TrainedNgram
    from charnet.training.trainer import Trainer

LONGEST_PATHS = 300  # characters in a message


class _Text(NamedTuple):
    """The text of a resumed run, in an alphabet that has all characters of the network's."""

    ids: Ids
    vocab: Vocabulary
    ends: Ends | None
    file_ends: Sequence[int]
    info: CorpusInfo
    notes: tuple[str, ...] = ()


def resume_run(
    given: Path,
    values: Mapping[str, Any],
    *,
    out: Path,
    strict: bool,
    continue_text: bool,
    is_named: bool,
    sample_length: int,
    on_start: Callable[[], object],
    on_read: OnRead,
) -> Trainer:
    """See `setup.resume_run`, which has checked `values`; `is_named`: the user names the text anew."""
    processes = torch_group.current(overlay(Config(), values).training.timeout)
    folder = together.folder_of(processes, lambda: RunFolder(runs.find_resumable(given, out).parent))
    try:
        path = Path(processes.share(lambda: str(_newest(given, out, folder))))
        before, damage = processes.load_resumable(path, strict=strict)
        if before.is_imported:
            raise CheckpointError(
                f"{path}: an imported model, without its text, and cannot be resumed; try --init-from"
            )
        if before.trainer_state.step and not before.part("optimizer"):
            raise CheckpointError(f"{path}: holds weights only and cannot be resumed; try --init-from")
        settings = path.parent / runs.SETTINGS
        values = processes.share(lambda: _changed(before, settings, dict(values), continue_text=continue_text))
        config = overlay(before.config, values)
        config = overlay(config, {"data.paths": absolute(config.data.paths)})
        with processes.first():
            text = _read(before, config, on_read, continue_text=continue_text, is_named=is_named)
        processes.check_same(facts(values, text.info.fingerprint, text.info.key))
        return _resume(before, damage, config, values, text, folder, sample_length, on_start, processes)
    except BaseException:
        folder.close()
        raise


def _newest(given: Path, out: Path, folder: RunFolder) -> Path:
    """Returns the checkpoint to resume: which is the newest is certain only when no other process writes there."""
    path = runs.find_resumable(given, out)
    return path if given.name == path.name else runs.find_resumable(folder.path)


def _resume(
    before: Checkpoint,
    damage: str,
    config: Config,
    values: Mapping[str, Any],
    text: _Text,
    folder: RunFolder,
    sample_length: int,
    on_start: Callable[[], object],
    processes: group.Group,
) -> Trainer:
    """Resumes from a checkpoint.

    Args:
        config: settings of the run with the changes.
        values: what was changed.
    """
    config = fit_ngram(config, len(text.vocab))
    data = overlay(config, {"data.val": config.data.val or LAST}).data  # earlier versions held out the end
    split = split_of(text.ids, text.ends, dataclasses.replace(config, data=data), text.file_ends, text.vocab)
    config = resolve.resolve(config, split.train.padded_length(config.training.window))
    if split.train.documents is None:
        check_length(len(split.train), config.training.batch_size, config.training.window)
    changes = _in_words(before, config, text)
    restarts = text.info != before.corpus or not resolve.RESTART_STREAMS.isdisjoint(values)
    state = _state_after(before.trainer_state, values, bool(changes), restarts, text.info != before.corpus)
    resolve.check_unfinished(folder.path, state, config)
    needed = resolve.bytes_on_disk(config, len(text.vocab))
    processes.share(lambda: folder.check_space(needed, damage=damage))
    config = together.config_of(processes.share(lambda: as_dict(on_device(config, len(text.vocab)))))
    if changes:
        record = (*before.config.training.resume_changes, f"step {state.step}: {changes}")
        config = overlay(config, {"training.resume_changes": record})

    from charnet.training import trained_ngram, trainer

    on_start()
    ngram = None
    if order := config.model.ngram:
        ngram = trained_ngram.TrainedNgram.shared(processes, order, lambda: _ngram(before, config, text, split))
    source = (config, text.vocab, text.info, split, folder, sample_length)
    run = trainer.Trainer(*source, ngram=ngram, group=processes)
    history = before.history if text.info == before.corpus else []
    before = run.train_state.adapt(before, text.vocab, restart_streams=restarts)
    run.restore(dataclasses.replace(before, trainer_state=state, history=history), damage)
    if text.info != before.corpus:
        run.saver.earlier = []  # losses on another text
    if resolve.LENGTH.intersection(values):
        run.saver.forget_plan(state.reported_step)
    if changes:
        folder.append_metrics({"step": state.step, runs.CHANGES: changes})
        exact = "from here on it resumes bit for bit again"
        shorter = (f"the larger alphabet allows an n-gram of order {order} at most",)
        run.notes = (*text.notes, *split.notes(), *shorter * (before.config.model.ngram > order))
        run.notes = (*run.notes, f"changed at step {state.step:,}: {changes}; {exact}")
    folder.write(runs.SETTINGS, to_yaml(config).encode())
    elastic.mark(folder)
    return run


def _ngram(before: Checkpoint, config: Config, text: _Text, split: Split) -> TrainedNgram:
    """Returns the n-gram of the run, counted anew if the text is another one."""
    from charnet.training import trained_ngram

    order, alphabet = config.model.ngram, len(text.vocab)
    share = before.ngram_share or trained_ngram.FIRST_SHARE
    if before.ngram is not None and text.info == before.corpus and text.vocab == before.vocab:
        tensors = {name: tensor for name, tensor in before.tensors.items() if name.startswith(PREFIX)}
        return trained_ngram.TrainedNgram(before.ngram.table, tensors, share)
    counts = trained_ngram.count_part(split.train, alphabet, text.vocab.start_id(), order)
    return trained_ngram.TrainedNgram.of_counts(counts, resolve.ngram_bytes(config, alphabet), share)


def _state_after(
    state: TrainerState, values: Collection[str], changes: bool, restarts: bool, other_text: bool
) -> TrainerState:
    """Returns where a training stands after its settings or its text have changed."""
    if changes or resolve.LENGTH.intersection(values):
        state = dataclasses.replace(state, evaluations_without_improvement=0)
    if "training.learning_rate" in values:
        state = dataclasses.replace(state, rollbacks=0)  # the rate that was asked for is not halved
    if restarts:
        passes, window = state.position
        state = dataclasses.replace(state, position=(passes + bool(window), 0))
    if other_text:  # losses on other held-out text cannot be compared
        state = dataclasses.replace(state, best_step=0, best_nats_per_char=None)
    return state


def _changed(before: Checkpoint, settings: Path, values: dict[str, Any], *, continue_text: bool) -> dict[str, Any]:
    """Returns the settings that differ from those of the run, and the paths of its texts on this machine."""
    theirs, ours = as_dict(before.config), as_dict(overlay(before.config, values))
    changed = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        if name == "data.paths" or theirs[section][key] != ours[section][key]:
            changed[name] = value
    resolve.check_resumable(changed, continue_text=continue_text)
    if "data.paths" not in changed and os.path.isfile(settings):
        with contextlib.suppress(ConfigError):  # a damaged file: the text may be in the cache
            changed["data.paths"] = read_yaml(settings).get("data.paths", [])
    return changed


def _in_words(before: Checkpoint, config: Config, text: _Text) -> str:
    """Lists what has changed the steps to come: settings, text and alphabet; "" if nothing has."""
    theirs, ours, listed = as_dict(before.config), as_dict(config), []
    for name in sorted(resolve.CHANGE_STEPS | resolve.DESCRIBE_TEXT):
        section, _, key = name.partition(".")
        if theirs[section][key] != ours[section][key]:
            listed.append(f"{key} {short_repr(theirs[section][key])} -> {short_repr(ours[section][key])}")
    old, new = before.corpus, text.info
    if old != new:
        listed.append(f"text {old.name} of {old.characters:,} -> {new.name} of {plural(new.characters, 'character')}")
    if len(text.vocab) != len(before.vocab):
        listed.append(f"alphabet of {len(before.vocab):,} -> {len(text.vocab):,}")
    return ", ".join(listed)


def _read(before: Checkpoint, config: Config, on_read: OnRead, *, continue_text: bool, is_named: bool) -> _Text:
    """Returns the text of a run, from the cache if the files are gone, or the one that it continues with.

    Args:
        is_named: the user names the text anew, so that is what is read.

    Raises:
        CorpusError: the text has changed and may not, or is neither at its path nor in the cache.
    """
    data, info, paths = config.data, before.corpus, shortened(", ".join(config.data.paths), LONGEST_PATHS)
    source: EncodedCopy | Corpus | None
    if not (continue_text or is_named) and any(map(_is_gone, data.paths)):
        source = open_copy(info.key, info.fingerprint, info.size_bytes)
        if source is None:
            raise CorpusError(
                f"the text of this run ({info.name}) is neither at {paths} nor in the cache: "
                "give its path, as in charnet train TEXT --resume RUN"
            )
    else:
        source = data_corpus.read(data.paths, data, progress=on_read)
        # Runs in lower case have another key since Σ and İ are written as Unicode does; without them nothing changed.
        same_case = data.lowercase and source.vocab == before.vocab and ord("σ") not in source.vocab.symbols
        same_key = source.key == info.key or same_case
        if source.fingerprint != info.fingerprint or not same_key:
            if continue_text:
                source = widen(source, before.vocab)
                return _Text(source.ids, source.vocab, source.ends, source.file_ends, info_of(source), source.notes)
            if source.fingerprint == info.fingerprint and data.lowercase:
                raise CorpusError(
                    f"{info.name}: this version writes ς and İ in lower case as Unicode does, so the text of this run "
                    "is another one: start a new run with --init-from"
                )
            raise CorpusError(
                f"{paths or 'the bundled text'}: expected the text that this run was trained on "
                f"({info.name}, SHA-256 {info.fingerprint[:12]}...), found another ({source.fingerprint[:12]}...); "
                "restore it, continue with this one by --continue, or start a new run with --init-from"
            )
    ids = map_ids(source.ids, source.vocab, before.vocab)
    return _Text(ids, before.vocab, source.ends, source.file_ends, info)


def _is_gone(path: str) -> bool:
    """Returns whether a text is no longer there. What would be waited for, a pipe or standard input, counts as gone."""
    return may_not_end(path) or not (os.path.exists(path) or is_known_text(path))
