"""`charnet train`"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from charnet.cli import console
from charnet.cli.options import RunsFolder, plain, setting
from charnet.config import Config, assignments, overlay, read_yaml
from charnet.errors import ConfigError

TEXT, MODEL, LEARNING, RUN, SHOWN = "The text", "The model", "Learning", "The run", "What is shown"
SAMPLE_LENGTH = 160  # characters that the model writes after each evaluation


def train(
    text: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders or - for standard input; none = the text that comes with charnet."),
    ] = None,
    encoding: Annotated[str | None, setting("data.encoding", group=TEXT)] = None,
    as_bytes: Annotated[bool, setting("data.bytes", "--bytes", group=TEXT)] = False,
    glob: Annotated[str | None, setting("data.glob", group=TEXT)] = None,
    val_fraction: Annotated[float | None, setting("data.val_fraction", group=TEXT)] = None,
    cell: Annotated[str | None, setting("model.cell", group=MODEL)] = None,
    hidden_size: Annotated[int | None, setting("model.hidden_size", group=MODEL)] = None,
    num_layers: Annotated[int | None, setting("model.num_layers", group=MODEL)] = None,
    embedding_size: Annotated[int | None, setting("model.embedding_size", group=MODEL)] = None,
    activation: Annotated[str | None, setting("model.activation", group=MODEL)] = None,
    dropout: Annotated[float | None, setting("model.dropout", group=MODEL)] = None,
    steps: Annotated[int | None, setting("training.steps", group=LEARNING)] = None,
    epochs: Annotated[float | None, setting("training.epochs", group=LEARNING)] = None,
    batch_size: Annotated[int | None, setting("training.batch_size", group=LEARNING)] = None,
    window: Annotated[int | None, setting("training.window", group=LEARNING)] = None,
    optimizer: Annotated[str | None, setting("training.optimizer", group=LEARNING)] = None,
    learning_rate: Annotated[float | None, setting("training.learning_rate", group=LEARNING)] = None,
    patience: Annotated[int | None, setting("training.patience", group=LEARNING)] = None,
    seed: Annotated[int | None, setting("training.seed", group=LEARNING)] = None,
    device: Annotated[str | None, setting("training.device", group=LEARNING)] = None,
    threads: Annotated[int | None, setting("training.threads", group=LEARNING)] = None,
    name: Annotated[str, plain("--name", help="name of the run; else it is named after the text", group=RUN)] = "",
    out: Annotated[Path, plain("--out", help="folder of runs", group=RUN)] = RunsFolder,
    resume: Annotated[
        Path | None, plain("--resume", metavar="RUN", help="go on with an interrupted run, to the bit", group=RUN)
    ] = None,
    init_from: Annotated[
        Path | None, plain("--init-from", metavar="CHECKPOINT", help="start from trained weights", group=RUN)
    ] = None,
    config: Annotated[
        Path | None, plain("--config", metavar="FILE.yaml", help="settings, as in a run's config.yaml", group=RUN)
    ] = None,
    settings: Annotated[
        list[str] | None,
        plain("--set", metavar="SECTION.FIELD=VALUE", help="any setting by its full name; may be repeated", group=RUN),
    ] = None,
    quiet: Annotated[bool, plain("--quiet", "-q", help="show nothing but errors", group=SHOWN)] = False,
    json: Annotated[bool, plain("--json", help="the lines of metrics on stdout", group=SHOWN)] = False,
) -> int:
    """Train a model on a text; it lands in checkpoints/, named after the text."""
    flags: dict[str, Any] = {
        "data.paths": text or None,
        "data.encoding": encoding,
        "data.bytes": as_bytes or None,
        "data.glob": glob,
        "data.val_fraction": val_fraction,
        "model.cell": cell,
        "model.hidden_size": hidden_size,
        "model.num_layers": num_layers,
        "model.embedding_size": embedding_size,
        "model.activation": activation,
        "model.dropout": dropout,
        "training.steps": steps,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "training.window": window,
        "training.optimizer": optimizer,
        "training.learning_rate": learning_rate,
        "training.patience": patience,
        "training.seed": seed,
        "training.device": device,
        "training.threads": threads,
    }
    if steps is not None and epochs:
        raise ConfigError("--steps and --epochs: expected one length, found two; leave one out")
    values = read_yaml(config) if config else {}
    values |= assignments(settings or [])
    values |= {key: value for key, value in flags.items() if value is not None}
    if resume and (init_from or name):
        raise ConfigError("--resume goes on with a run as it is: leave out --init-from and --name")
    from charnet import plan

    plan.check(overlay(Config(), values), name)  # what is wrong here is said before torch is loaded
    if resume:
        plan.check_resumable(values)

    with _signals() as received, console.training_view(quiet=quiet, json=json) as view:
        view.starting()
        from charnet import training

        length = 0 if quiet or json else SAMPLE_LENGTH
        if resume:
            run = training.resume(resume, values, out=out, sample_length=length)
        else:
            run = training.start(values, out=out, name=name, init_from=init_from, sample_length=length)
        with closing(run.reports(lambda: bool(received))) as reports:
            for report in reports:
                view.show(report)
    return 128 + received[0] if received else 0


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects the signals that ask a training to end; a second Ctrl-C ends it at once."""
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What the parent chose to ignore stays ignored: that is how nohup works.
    before = {n: signal.signal(n, receive) for n in wanted if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
