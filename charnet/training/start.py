"""Starts a new run that `setup` has checked: text, plan, folder. Loads NumPy, and torch once the text is read."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet import machine
from charnet.config import Config
from charnet.data import corpus as data_corpus
from charnet.data.batches import check_length
from charnet.data.corpus import Corpus
from charnet.data.datasets import is_known
from charnet.data.encoded_copy import Ends, Ids
from charnet.data.split import MOST_TUNING, Split, default_val
from charnet.data.streams import ITS_OTHER_NAMES, NOT_SHARED, STANDARD_INPUT, is_stream, may_not_end
from charnet.data.vocab import Vocabulary
from charnet.data.widen import widen
from charnet.errors import CorpusError, plural, shortened
from charnet.model.ngram import longest_order
from charnet.overlay import overlay
from charnet.storage import place, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import to_yaml
from charnet.storage.document import CorpusInfo
from charnet.training import elastic, group, planner, resolve, sizes, together, torch_group
from charnet.training.planner import Plan
from charnet.training.time_budget import TimeBudget
from charnet.version import __version__

if TYPE_CHECKING:
    from charnet.model.ngram_counts import Counts
    from charnet.training.trainer import Trainer

FIXED_BY_MODEL = ("newlines", "normalize", "lowercase", "lines", "documents", "field")  # they come with the weights
SEPARATE_DOCUMENTS = {"data.lines", "data.documents", "data.field"}
FEWEST_CHARACTERS = 10  # of a text: of a shorter one nothing would be held out
FAR_TOO_SHORT = "the text is far too short: the model learns it by heart; give it a hundred times as much"
ONE_CHARACTER = "the text is one character over and over: there is nothing to learn, and a loss of 0 means nothing"
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
    on_try: Callable[[Config], object],
    on_read: data_corpus.OnRead,
) -> Trainer:
    """See `setup.new_run`, which has checked `values` and decided on `seconds`."""
    processes = torch_group.current(overlay(Config(), values).training.timeout)
    with processes.first():
        if processes.is_first:  # another machine need not have the folder
            place.check(out)
    weights = _weights(processes, init_from, out) if init_from else None
    with processes.first():  # the others find its encoded copy of the text, if they share the cache
        config, corpus, text = read(values, seconds, weights, name, on_read)
    processes.check_same(facts(values, corpus.fingerprint, corpus.key))

    from charnet.training import trained_ngram, trainer

    ngram, order = None, config.model.ngram
    counts: list[Counts] = []
    if order and processes.is_first:
        counts.append(trained_ngram.count_part(text.train, len(corpus.vocab), corpus.vocab.start_id(), order))
    given = set(values) | (INHERITED if weights else set())
    config, plan, time_budget = together.settle(
        processes,
        lambda pace: settle(config, given, text, len(corpus.vocab), seconds, together.told(pace, on_try)),
        len(corpus.vocab),
    )
    if order:
        most = resolve.ngram_bytes(config, len(corpus.vocab))
        of_counts = trained_ngram.TrainedNgram.of_counts
        ngram = trained_ngram.TrainedNgram.shared(processes, order, lambda: of_counts(counts.pop(), most))
    on_start()
    needed = resolve.bytes_on_disk(config, len(corpus.vocab))
    folder = together.folder_of(processes, lambda: elastic.new_folder(out, name or corpus.name, needed))
    try:
        source = (config, corpus.vocab, info_of(corpus), text, folder, sample_length)
        run = trainer.Trainer(*source, plan=plan, time_budget=time_budget, ngram=ngram, group=processes)
        short = (FAR_TOO_SHORT,) if len(text.train) < sizes.SHORTEST_TEXT else ()
        same = (ONE_CHARACTER,) if len(corpus.vocab) < 2 else ()
        run.notes = (*corpus.notes, *text.notes(), *short, *same)
        if weights is not None:
            run.load_pretrained(weights)
        folder.write(runs.SETTINGS, to_yaml(config).encode())
        if plan is not None:
            folder.append_metrics({"step": 0, runs.PLANNED: plan.seconds})
    except BaseException:
        folder.discard()
        folder.close()
        raise
    return run


def _weights(processes: group.Group, init_from: Path, out: Path) -> Checkpoint:
    if processes.size == 1:
        return Checkpoint.load(runs.find(init_from, out), weights_only=True)
    return processes.share_file(Path(processes.share(lambda: str(runs.find(init_from, out)))))


def facts(values: Mapping[str, Any], fingerprint: str, key: str) -> dict[str, str]:
    """Returns what has to be the same in all processes that train together, by name."""
    of_one = ("data.paths", "training.threads", "training.device", "training.timeout")
    settings = {name: str(value) for name, value in values.items() if name not in of_one}
    return settings | {"text": f"{fingerprint[:12]} {key[:12]}", "version of charnet": __version__}


def plan_run(
    values: Mapping[str, Any], seconds: float, *, on_read: data_corpus.OnRead = lambda *_: None
) -> tuple[Plan, Corpus, Split]:
    """Plans a run as `new_run` does, and makes none. Returns also its text, whole and split."""
    config, corpus, text = read(values, seconds, None, "", on_read)
    _, plan, _ = settle(config, set(values), text, len(corpus.vocab), seconds, together.pace_of_one)
    assert plan is not None
    return plan, corpus, text


def read(
    values: Mapping[str, Any], seconds: float | None, weights: Checkpoint | None, name: str, on_read: data_corpus.OnRead
) -> tuple[Config, Corpus, Split]:
    """Returns the text of a run, whole and split, and the settings that follow from the text."""
    config = overlay(Config() if weights is None else _settings_of_model(weights, values), values)
    if group.size() > 1 and any(map(is_stream, config.data.paths)):
        raise CorpusError(NOT_SHARED)
    if weights is not None:
        resolve.check_same_model(weights.config, config)
        resolve.check(config, name)
    corpus = data_corpus.read(config.data.paths, config.data, progress=on_read)
    names = ", ".join("standard input" if path == STANDARD_INPUT else path for path in config.data.paths)
    check_size(corpus, shortened(names) or corpus.name)
    if weights is not None:
        corpus = widen(corpus, weights.vocab)
    val = config.data.val or default_val(corpus.ends, corpus.file_ends)
    config = overlay(config, {"data.paths": absolute(config.data.paths), "data.val": val})
    if weights is not None and "model.ngram" not in values:  # an order that the user did not choose
        config = fit_ngram(config, len(corpus.vocab))
    num_documents = 0 if corpus.ends is None else len(corpus.ends)
    config = resolve.choose_ngram(config, len(corpus.vocab), len(corpus.ids), num_documents, seconds)
    return config, corpus, split_of(corpus.ids, corpus.ends, config, corpus.file_ends, corpus.vocab)


def check_size(corpus: Corpus, name: str) -> None:
    """Raises CorpusError for a text of which a loss would mean nothing: the model knows it by heart at once."""
    if len(corpus.ids) < FEWEST_CHARACTERS:
        found = f"{name}: {plural(len(corpus.ids), 'character')}, too few to learn from"
        raise CorpusError(f"{found}: give at least {FEWEST_CHARACTERS}, and some thousands for a model that is of use")


def fit_ngram(config: Config, alphabet_size: int) -> Config:
    """Returns the settings with an n-gram of an order that an alphabet of this size can have."""
    return overlay(config, {"model.ngram": min(config.model.ngram, longest_order(alphabet_size))})


def split_of(ids: Ids, ends: Ends | None, config: Config, file_ends: Sequence[int], vocab: Vocabulary) -> Split:
    """Returns the parts of a text for a run with these settings.

    Raises:
        CorpusError: no document is left to train on, or as `Split` does.
    """
    tunes = config.model.ngram > 0
    text = Split(ids, ends, config.data, config.training.seed, file_ends, vocab.symbols, tunes=tunes)
    if ends is not None and not len(text.train):
        raise CorpusError("no document is left to learn from: give a longer text, or a smaller --val-fraction")
    return text


def check_named(paths: Collection[str]) -> None:
    """Raises CorpusError if a settings file names a pipe or a device as a text: reading it could last for ever."""
    for path in paths:
        if path not in (STANDARD_INPUT, *ITS_OTHER_NAMES) and may_not_end(path):
            kinds = "a pipe, a device or a file of the system"
            raise CorpusError(f"{shortened(path)}: is {kinds}; name it on the command line, not in --config")


def info_of(corpus: Corpus) -> CorpusInfo:
    """Returns what a checkpoint says about a text."""
    return CorpusInfo(corpus.name, len(corpus.ids), corpus.size_bytes, corpus.files, corpus.fingerprint, corpus.key)


def settle(
    config: Config, given: Collection[str], text: Split, alphabet_size: int, seconds: float | None, pace: together.Pace
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
        plan, time_budget = _plan(config, given, text, alphabet_size, seconds, pace)
        config = plan.config
    if text.train.documents is None:
        check_length(len(text.train), config.training.batch_size, config.training.window)
    return on_device(config, alphabet_size), plan, time_budget


def _plan(
    config: Config, given: Collection[str], text: Split, alphabet_size: int, seconds: float, pace: together.Pace
) -> tuple[Plan, TimeBudget]:
    """Plans a run on this text that fits the time on this machine. The time starts when torch is loaded."""
    from charnet.model import device
    from charnet.training.train_state import MEMORY_ADVICE

    processes = torch_group.current()
    began = processes.clock()
    where = device.choose_device(config.training.device)
    device.set_threads(machine.threads_beside_others(resolve.threads_of(config)))

    def seconds_per_step(candidate: Config) -> float:
        if text.train.documents is None:
            check_length(len(text.train), candidate.training.batch_size, candidate.training.window)
        timed = on_device(candidate, alphabet_size)
        with machine.explain_out_of_memory(MEMORY_ADVICE):
            return pace(timed, alphabet_size, where)

    tuning = min(len(text.tune), MOST_TUNING)
    size = sizes.Text(text.train.padded_length(config.training.window), len(text.val), alphabet_size, tuning)
    fresh = overlay(config, {"training.length_changes": ()})
    plan = planner.plan(fresh, given, size, seconds, seconds_per_step)
    fill = text.train.fill(config.training.window)  # the plan counts the padding behind documents as characters
    plan = dataclasses.replace(plan, chars_per_second=plan.chars_per_second * fill)
    ends_at = began + seconds - plan.reserved_seconds
    return plan, TimeBudget(ends_at, plan.seconds_per_evaluation, plan.most_steps, processes.agreed_clock)


def on_device(config: Config, alphabet_size: int) -> Config:
    """Checks that the run fits into memory, and replaces the device and precision "auto" by those of this machine."""
    from charnet.model import device

    resolve.check_shards(config, processes := group.size())
    where = device.choose_device(config.training.device)
    if where.type == "cpu":
        resolve.check_memory(config, alphabet_size, machine.free_memory() / group.local_size(), processes)
    precision = device.choose_precision(config, device.cpu_capabilities(where))
    return overlay(config, {"training.device": where.type, "training.precision": precision})


def absolute(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Returns paths that lead to the same files from every folder."""
    # Unlike Path.resolve, these accept any name, also of a link to itself or with a zero byte.
    full = (os.path.realpath(p) if os.path.exists(p) else os.path.abspath(p) for p in paths)  # noqa: PTH100
    return tuple(p if p == STANDARD_INPUT or is_known_text(p) else path for p, path in zip(paths, full, strict=True))


def is_known_text(path: str) -> bool:
    """Returns whether this is the name of a known text and not of a file."""
    return is_known(path) and not os.path.exists(path)


def _settings_of_model(weights: Checkpoint, values: Collection[str]) -> Config:
    """Returns the settings that come with weights; another way to separate documents in `values` replaces theirs."""
    data = {f"data.{key}": getattr(weights.config.data, key) for key in ("bytes", *FIXED_BY_MODEL)}
    if not SEPARATE_DOCUMENTS.isdisjoint(values):
        data = {name: value for name, value in data.items() if name not in SEPARATE_DOCUMENTS}
    return overlay(dataclasses.replace(Config(), model=weights.config.model), data)
