"""Prepares a run, new or resumed: decides its length, and refuses wrong settings before NumPy and torch are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.config import RUNS, Config
from charnet.errors import ConfigError, CorpusError
from charnet.overlay import overlay
from charnet.training import group, resolve

if TYPE_CHECKING:
    from charnet.data.corpus import OnRead
    from charnet.training.communication import Network
    from charnet.training.dry_run import DryRun
    from charnet.training.trainer import Trainer

MOST_PROCESSES = 4096  # that a dry run reckons with


def new_run(
    values: Mapping[str, Any],
    *,
    file_values: Mapping[str, Any] | None = None,
    out: Path = RUNS,
    name: str = "",
    init_from: Path | None = None,
    sample_length: int = 0,
    seconds: float | str | None = None,
    on_start: Callable[[], object] = lambda: None,
    on_try: Callable[[Config], object] = lambda _: None,
    on_read: OnRead = lambda *_: None,
) -> Trainer:
    """Prepares a new run.

    Args:
        values: settings by `section.field`, laid over `file_values` and the defaults.
        file_values: settings of a file; if `values` or `seconds` give a length, the one in the file does not count.
        out: the folder of runs.
        name: of this run; by default the name of the text.
        init_from: a checkpoint to take the weights from; the settings of its model become the defaults.
        sample_length: characters that the model writes after each evaluation.
        seconds: how long training may take, also as text like "5m"; settings that are not given are chosen to fit.
            Without this and without a length, five minutes.
        on_start: called before the folder is made; from then on a signal must not raise, but ask the training to stop.
        on_try: called with settings before a step with them is timed, for a run that is planned for a time.
        on_read: called now and then with the bytes read so far and the total.

    Raises:
        CharnetError: the user has to change something; nothing was written.
    """
    values, seconds = _checked(values, file_values, seconds, name, init_from)
    from charnet.training import start

    return start.new_run(
        values,
        seconds,
        out=out,
        name=name,
        init_from=init_from,
        sample_length=sample_length,
        on_start=on_start,
        on_try=on_try,
        on_read=on_read,
    )


def _checked(
    values: Mapping[str, Any],
    file_values: Mapping[str, Any] | None,
    seconds: float | str | None,
    name: str,
    init_from: Path | None,
) -> tuple[dict[str, Any], float | None]:
    """Returns the settings of a new run, and its time, after all checks that need neither the text nor torch."""
    from_file = () if "data.paths" in values else (file_values or {}).get("data.paths", ())
    merged, planned = resolve.choose_length(values, file_values or {}, seconds)
    config = overlay(Config(), merged)
    if init_from is None:  # else the defaults are those of the weights
        resolve.check(config, name)
    from charnet.training import start

    start.check_named([from_file] if isinstance(from_file, str) else from_file)
    return merged, planned


def check_new_run(
    values: Mapping[str, Any],
    processes: int,
    *,
    file_values: Mapping[str, Any] | None = None,
    out: Path = RUNS,
    name: str = "",
    init_from: Path | None = None,
    seconds: float | str | None = None,
) -> None:
    """Refuses what `new_run` would refuse in each of several processes, before any of them is started.

    Raises:
        CharnetError: `new_run` would raise it too.
    """
    merged, _ = resolve.choose_length(values, file_values or {}, seconds)
    config = overlay(Config(), merged)
    if init_from is None:  # else the defaults are those of the weights
        resolve.check(config, name)
        if "training.batch_size" in merged:  # else it may be chosen to fit
            resolve.check_shards(config, processes)
    from charnet.data import datasets, sources, streams
    from charnet.storage import place

    place.check(out)
    if any(map(streams.is_stream, config.data.paths)):
        raise CorpusError(streams.NOT_SHARED)
    settings = config.data
    sources.find(
        settings.paths,
        settings.glob,
        any_bytes=settings.bytes,
        fetch=lambda known: datasets.cached(known) or Path(known),  # it is fetched later
    )


def dry_run(
    values: Mapping[str, Any],
    *,
    file_values: Mapping[str, Any] | None = None,
    out: Path = RUNS,
    name: str = "",
    init_from: Path | None = None,
    seconds: float | str | None = None,
    processes: int = 1,
    network: Network | None = None,
    on_read: OnRead = lambda *_: None,
) -> DryRun:
    """Reckons what a new run would do, from steps that are measured on this machine. It trains and writes nothing.

    Args:
        values, file_values, out, name, init_from, seconds, on_read: as for `new_run`.
        processes: that would train together.
        network: between processes that have a machine like this one each; without it, they share this one.

    Raises:
        CharnetError: `new_run` would raise it too.
    """
    if not 1 <= processes <= MOST_PROCESSES:
        raise ConfigError(f"--processes: expected a number between 1 and {MOST_PROCESSES:,}, found {processes}")
    values, seconds = _checked(values, file_values, seconds, name, init_from)
    from charnet.training import dry_run

    return dry_run.dry_run(
        values, seconds, out=out, name=name, init_from=init_from, processes=processes, network=network, on_read=on_read
    )


def resume_run(
    given: Path,
    values: Mapping[str, Any] | None = None,
    *,
    file_values: Mapping[str, Any] | None = None,
    out: Path = RUNS,
    strict: bool = False,
    continue_text: bool = False,
    sample_length: int = 0,
    seconds: float | str | None = None,
    on_start: Callable[[], object] = lambda: None,
    on_read: OnRead = lambda *_: None,
) -> Trainer:
    """Prepares to resume a run, to the bit unless settings or text change.

    Args:
        given: the folder of the run, or its name below `out`.
        values, file_values: settings that change. Sizes of the model, optimizer, seed and most settings of the text
            cannot.
        strict: refuse if the newest checkpoint is damaged, instead of resuming the one before it.
        continue_text: the text may be another one: a longer one at the same path, or the one in `values`.
        seconds: refused: a resumed run has a length.
        on_start: called before anything in the folder is changed, as by `new_run`.
        on_read: as in `new_run`.

    Raises:
        ConfigError: a run cannot change one of the settings.
        CorpusError: the text is not the one that the run was trained on, and `continue_text` is not set.
        CheckpointError: there is no checkpoint that can be resumed.
        StorageError: another training is at work in this run.
    """
    is_named = "data.paths" in (values or {})  # a file of settings may be that of the run
    values, _ = resolve.choose_length(values or {}, file_values or {}, seconds, resumes=True)
    resolve.check(overlay(Config(), values))
    from charnet.training import resume

    return resume.resume_run(
        given,
        values,
        out=out,
        strict=strict,
        continue_text=continue_text,
        is_named=is_named,
        sample_length=sample_length,
        on_start=on_start,
        on_read=on_read,
    )


def of_machine(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of some settings that are of a machine and not of a run: a run that torchrun starts again has all
    others."""
    kept = resolve.CHANGE_NO_STEP - resolve.LENGTH
    return {name: value for name, value in values.items() if name in kept}


def begun_before(out: Path, values: Mapping[str, Any]) -> tuple[Path | None, bool]:
    """Returns the run that this job of torchrun has begun, if torchrun has started its processes again, and whether
    it is already trained to its end.

    Args:
        out: the folder of runs.
        values: settings of the run, for the timeout.

    Raises:
        ConfigError: another process has the run, and the first one, which would resume it, has not.
    """
    if not group.job():
        return None, False
    from charnet.training import elastic, torch_group

    processes = torch_group.current(overlay(Config(), values).training.timeout)

    def find() -> list[Any]:
        path, has_ended = elastic.find(out)
        return [str(path or ""), has_ended]

    found, has_ended = processes.share(find)
    is_elsewhere = not found and not processes.is_first and elastic.has_begun(out)
    if processes.largest(float(is_elsewhere)):
        raise ConfigError(
            "the run of this job is on another machine than process 0, which would begin a new one; give all an --out "
            "that they share, or resume the run there"
        )
    return Path(found) if found else None, has_ended
