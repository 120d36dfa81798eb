"""Logs a training where other programs show it: TensorBoard, trackio, Weights & Biases, MLflow.

    with loggers.logging_to(["tensorboard"]) as log:
        charnet.train("corpus.txt", on_event=log)

TensorBoard's files lie in the folder `tensorboard` of the run. The others get the name of the run, its settings without
the paths of the text, and the numbers; the name under which each knows the run lies in `loggers.json` in its folder, so
that a resumed run continues its log.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from charnet import durable, regular_file
from charnet.data.printable import shown
from charnet.errors import ConfigError, did_you_mean, quoted
from charnet.overlay import as_dict
from charnet.storage import runs
from charnet.training.background import Background, close_all
from charnet.training.event_file import EventFile
from charnet.training.events import Evaluated, Event, Finished, Metrics, RolledBack, Started

NAMES = ("tensorboard", "trackio", "wandb", "mlflow")
PROJECT = "charnet"  # under which the others file the run
PRIVATE = ("data.paths", "data.glob", "training.length_changes", "training.resume_changes")  # these can name files
LARGEST_IDS = 10_000  # bytes
SECONDS_TO_END = 10.0  # for all loggers together
LOGGED = (Started, Metrics, Evaluated, RolledBack, Finished)
WANDB_SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "x_disable_meta": True,  # the command line and the user's name
    "x_disable_stats": True,
}

Values = Mapping[str, float | str]


class Logger(Protocol):
    """What a program that shows trainings is told."""

    def open(self, run: Path, settings: dict[str, Any], step: int) -> None:
        """The training starts, or is resumed at a step that is not 0."""
        ...

    def log(self, values: Values, step: int) -> None:
        """Numbers and texts of a step."""
        ...

    def rewind(self, step: int) -> None:
        """The training goes on from this step once more."""
        ...

    def finish(self) -> None:
        """The training has ended."""
        ...


class TensorBoard:
    """Writes event files into the run's folder."""

    def open(self, run: Path, settings: dict[str, Any], step: int) -> None:
        self._file = EventFile(run / runs.TENSORBOARD, step)
        self._file.write(step, {"settings": "\n".join(f"{name}: {value}" for name, value in settings.items())})

    def log(self, values: Values, step: int) -> None:
        self._file.write(step, values)

    def rewind(self, step: int) -> None:
        self._file.start(step)

    def finish(self) -> None:
        self._file.close()


def _imported(name: str) -> Any:
    """Imports one of the packages that are known, and no other."""
    if name == "trackio":
        import trackio

        return trackio
    if name == "wandb":
        import wandb

        return wandb
    import mlflow

    return mlflow


class Service:
    """Hands a training to a package with its own place for trainings, by three calls: start, log, finish.

    Args:
        name: of the package, which is imported.
    """

    def __init__(self, name: str) -> None:
        if name == "wandb":
            os.environ.setdefault("WANDB_SILENT", "true")  # else it asks a terminal for a key, and waits for ever
        self.name, self._module = name, _imported(name)

    def open(self, run: Path, settings: dict[str, Any], step: int) -> None:
        del step  # they take no step twice
        known, name = _read_ids(run).get(self.name, ""), shown(run.name)
        if self.name == "mlflow":
            identity = self._start_mlflow(name, settings, known)
        else:
            identity = known or f"{name[:80]}-{secrets.token_hex(4)}"
            self._start(name, settings, identity)
        if identity != known:
            ids = _read_ids(run) | {self.name: identity}
            durable.write(run / runs.LOGGERS, json.dumps(ids).encode())

    def _start(self, name: str, settings: dict[str, Any], identity: str) -> None:
        init = functools.partial(self._module.init, project=PROJECT, config=settings, resume="allow")
        if self.name == "wandb":
            safe = "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "-" for c in identity)
            started = init(name=name, id=safe, settings=WANDB_SETTINGS)
        else:  # trackio knows a run by its name
            started = init(name=identity, embed=False, auto_log_gpu=False, auto_log_cpu=False)
        self._log: Callable[[Values, int], object] = lambda values, step: started.log(dict(values), step=step)
        self._finish: Callable[[], object] = started.finish

    def _start_mlflow(self, name: str, settings: dict[str, Any], known: str) -> str:
        mlflow = self._module
        mlflow.set_experiment(PROJECT)
        tags = {"mlflow.source.name": PROJECT, "mlflow.user": ""}  # by itself it tells the path and the user
        started = mlflow.start_run(run_id=known) if known else mlflow.start_run(run_name=name, tags=tags)
        identity = str(started.info.run_id)
        if not known:
            mlflow.log_params(settings)

        def log(values: Values, step: int) -> None:
            numbers = {key: value for key, value in values.items() if not isinstance(value, str)}
            if numbers:
                mlflow.log_metrics(numbers, step=step, run_id=identity)
            for key, value in values.items():
                if isinstance(value, str):
                    mlflow.log_text(value, f"{key}/{step}.txt", run_id=identity)

        self._log, self._finish = log, mlflow.end_run
        return identity

    def log(self, values: Values, step: int) -> None:
        self._log(values, step)

    def rewind(self, step: int) -> None:
        pass

    def finish(self) -> None:
        self._finish()


class EventLog:
    """Tells a logger what happens in a training. It hears of a new run with the first numbers, not of one that ends
    before."""

    def __init__(self, logger: Logger) -> None:
        self._logger, self._is_open = logger, False
        self._started: Started | None = None
        self._refusal: Exception | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self._started = event
                if event.step:
                    self._open()
            case Metrics():
                self._open()
                self._logger.log(values_of(event), event.step)
            case Evaluated() if event.sample and self._is_open:
                self._logger.log({"sample": event.sample}, event.step)
            case RolledBack() if self._is_open:
                self._logger.rewind(event.step)
            case Finished() if event.test_nats_per_char is not None and self._is_open:
                self._logger.log({"loss/test": event.test_nats_per_char}, event.step)

    def close(self) -> None:
        if self._is_open:
            self._logger.finish()

    def _open(self) -> None:
        if self._refusal:
            raise self._refusal  # it is asked once: each time could take a minute
        if not self._is_open and self._started is not None:
            try:
                self._logger.open(self._started.run, settings_of(self._started), self._started.step)
            except Exception as error:
                self._refusal = error
                raise
            self._is_open = True


def values_of(event: Metrics) -> dict[str, float]:
    """Returns what is logged of a line of metrics: losses in nats per character, times in seconds."""
    found = {
        "loss/train": event.train_nats_per_char,
        "loss/validation": event.val_nats_per_char,
        "learning_rate": event.learning_rate,
        "gradient_norm": event.grad_norm,
        "chars_per_second": event.chars_per_second,
        "chars_seen": float(event.chars_seen),
        "seconds": event.seconds,
    }
    return {key: value for key, value in found.items() if value is not None}


def settings_of(event: Started) -> dict[str, Any]:
    """Returns the settings that may be told to others, by `section.field`."""
    settings = {f"{section}.{key}": value for section, values in as_dict(event.config).items()
                for key, value in values.items() if f"{section}.{key}" not in PRIVATE}  # fmt: skip
    sizes = {"parameters": event.parameters, "alphabet": event.alphabet_size, "characters": event.corpus.characters}
    return settings | sizes


def checked(names: Iterable[str]) -> list[str]:
    """Returns names of loggers, each once.

    Args:
        names: each may be several, separated by commas.

    Raises:
        ConfigError: there is no such logger, or its package is not installed.
    """
    found = list(dict.fromkeys(name.strip() for given in names for name in given.split(",")))
    for name in found:
        if name not in NAMES:
            known = f"--log: expected one of {', '.join(NAMES)}"
            raise ConfigError(f"{known}, found {quoted(name)}{did_you_mean(name, NAMES)}")
        if name != "tensorboard" and not _is_installed(name):
            raise ConfigError(f"--log {name}: the package is not installed: pip install {name}, or leave it out")
    return found


def _is_installed(name: str) -> bool:
    """Returns whether there is such a package; a mere folder of that name is none, such as the one that wandb makes."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def start(names: Iterable[str]) -> list[Background]:
    """Starts loggers, each on its own thread.

    Args:
        names: results of `checked`.
    """
    return [Background(name, functools.partial(_open, name), LOGGED) for name in names]


@contextlib.contextmanager
def logging_to(names: Iterable[str]) -> Iterator[Callable[[Event], None]]:
    """Gives what `charnet.train` takes as `on_event`, to log a training. What the loggers lose is a warning.

    Raises:
        ConfigError: there is no such logger, or its package is not installed.
    """
    started = start(checked(names))

    def log(event: Event) -> None:
        for each in started:
            each(event)

    try:
        yield log
    finally:
        for lost in close_all(started, SECONDS_TO_END):
            warnings.warn(lost, stacklevel=3)


def _open(name: str) -> EventLog:
    return EventLog(TensorBoard() if name == "tensorboard" else Service(name))


def _read_ids(run: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(regular_file.read(run / runs.LOGGERS, LARGEST_IDS))
        if isinstance(found, dict):
            return {str(name): str(value) for name, value in found.items()}
    return {}
