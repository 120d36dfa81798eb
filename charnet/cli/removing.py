"""`charnet runs --remove`: removes a run, after a question."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

from charnet.cli import console, tables
from charnet.errors import CheckpointError, ConfigError, StorageError, plural, quoted


def remove(given: str, folder: Path, *, asks: bool) -> None:
    """Removes the folder of a run and all that is in it.

    Args:
        given: the name of a run in the folder of runs, or its path there.
        asks: ask first.

    Raises:
        CheckpointError: there is no such run.
        ConfigError: the question cannot be asked.
        StorageError: another process trains the run, or the system refused.
    """
    path = _run(given, folder)
    sizes = [each.lstat().st_size for each in path.rglob("*") if not each.is_dir()]
    what = f"{path}: {plural(len(sizes), 'file')}, {tables.format_size(sum(sizes))}"
    if asks and not _confirms(what):
        console.note(f"{path}: nothing was removed")
        return
    from charnet.storage.runs import RunFolder

    with contextlib.closing(RunFolder(path)):  # refuses a run that is being trained
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise StorageError(f"{path}: cannot be removed: {error.strerror}") from None
    console.note(f"{what}: removed")


def _run(given: str, folder: Path) -> Path:
    """Returns the folder of a run: never a link, and never one outside the folder of runs."""
    from charnet.storage import runs

    name = Path(given)
    path = folder / name.name
    try:
        is_run = name in (path, Path(name.name)) and name.name not in ("", "..") and not path.is_symlink()
        is_run = is_run and any(runs.is_there(path / each) for each in runs.SAMPLE_ORDER)
    except (OSError, ValueError):  # no file can have such a name
        is_run = False
    if not is_run:
        raise CheckpointError(f"{quoted(given)}: there is no such run in {folder}/; charnet runs lists them")
    return path


def _confirms(what: str) -> bool:
    """Asks whether to remove a run."""
    if not sys.stdin.isatty():
        raise ConfigError("--remove: asks first, and standard input is no terminal; --yes removes without a question")
    console.note(f"{what}: remove all of it, for good? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
