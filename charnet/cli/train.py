"""`charnet train`"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console, progress
from charnet.cli.options import option, setting
from charnet.config_file import read_yaml
from charnet.errors import ConfigError
from charnet.overlay import assignments, qualified_names
from charnet.signals import Interrupted, SignalGuard
from charnet.training.resolve import parse_duration

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
    val_chars: Annotated[int | None, setting("data.val_chars", group=TEXT)] = None,
    encoding_errors: Annotated[str | None, setting("data.encoding_errors", group=TEXT)] = None,
    newlines: Annotated[str | None, setting("data.newlines", group=TEXT)] = None,
    normalize: Annotated[str | None, setting("data.normalize", group=TEXT)] = None,
    lowercase: Annotated[bool, setting("data.lowercase", "--lowercase", group=TEXT)] = False,
    lines: Annotated[bool, setting("data.lines", "--lines", group=TEXT)] = False,
    document_separator: Annotated[str | None, setting("data.document_separator", group=TEXT)] = None,
    min_count: Annotated[int | None, setting("data.min_count", group=TEXT)] = None,
    max_alphabet: Annotated[int | None, setting("data.max_alphabet", group=TEXT)] = None,
    cell: Annotated[str | None, setting("model.cell", group=MODEL)] = None,
    hidden_size: Annotated[int | None, setting("model.hidden_size", group=MODEL)] = None,
    num_layers: Annotated[int | None, setting("model.num_layers", group=MODEL)] = None,
    members: Annotated[int | None, setting("model.members", group=MODEL)] = None,
    embedding_size: Annotated[int | None, setting("model.embedding_size", group=MODEL)] = None,
    activation: Annotated[str | None, setting("model.activation", group=MODEL)] = None,
    dropout: Annotated[float | None, setting("model.dropout", group=MODEL)] = None,
    time: Annotated[
        str | None,
        option(
            "--for",
            metavar="TIME",
            help="as good as this time allows: 90s, 5m, 2h; what is not given is chosen to fit "
            "[default: 5m, unless there is a length]",
            group=LEARNING,
        ),
    ] = None,
    steps: Annotated[int | None, setting("training.steps", group=LEARNING)] = None,
    epochs: Annotated[float | None, setting("training.epochs", group=LEARNING)] = None,
    batch_size: Annotated[int | None, setting("training.batch_size", group=LEARNING)] = None,
    window: Annotated[int | None, setting("training.window", group=LEARNING)] = None,
    optimizer: Annotated[str | None, setting("training.optimizer", group=LEARNING)] = None,
    learning_rate: Annotated[float | None, setting("training.learning_rate", group=LEARNING)] = None,
    patience: Annotated[int | None, setting("training.patience", group=LEARNING)] = None,
    seed: Annotated[int | None, setting("training.seed", group=LEARNING)] = None,
    device: Annotated[str | None, setting("training.device", group=LEARNING)] = None,
    precision: Annotated[str | None, setting("training.precision", group=LEARNING)] = None,
    threads: Annotated[int | None, setting("training.threads", group=LEARNING)] = None,
    checkpoint_every: Annotated[str | None, setting("training.checkpoint_every", group=RUN)] = None,
    on_nan: Annotated[str | None, setting("training.on_nan", group=LEARNING)] = None,
    name: Annotated[str, option("--name", help="name of the run; else it is named after the text", group=RUN)] = "",
    out: Annotated[Path, option("--out", help="folder of runs", group=RUN)] = Path("checkpoints"),
    resume: Annotated[
        Path | None, option("--resume", metavar="RUN", help="go on with an interrupted run, to the bit", group=RUN)
    ] = None,
    strict: Annotated[
        bool, option("--strict", help="with --resume: refuse if the newest checkpoint is damaged", group=RUN)
    ] = False,
    init_from: Annotated[
        Path | None, option("--init-from", metavar="CHECKPOINT", help="start from trained weights", group=RUN)
    ] = None,
    config: Annotated[
        Path | None, option("--config", metavar="FILE.yaml", help="settings, as in a run's config.yaml", group=RUN)
    ] = None,
    settings: Annotated[
        list[str] | None,
        option("--set", metavar="SECTION.FIELD=VALUE", help="any setting by its full name; may be repeated", group=RUN),
    ] = None,
    quiet: Annotated[bool, option("--quiet", "-q", help="show nothing but errors", group=SHOWN)] = False,
    json: Annotated[bool, option("--json", help="the lines of metrics on stdout", group=SHOWN)] = False,
) -> int:
    """Train a model on a text; it lands in checkpoints/, named after the text."""
    given = dict(locals())  # first of all: the options that are settings have the names of their fields
    flags = {full: given[field] for field, full in qualified_names().items() if _is_given(given.get(field))}
    flags |= {"data.paths": text} if text else {}
    flags |= {"data.bytes": True} if as_bytes else {}
    if document_separator is not None:
        flags["data.document_separator"] = _unescaped(document_separator)
    values = assignments(settings or []) | flags
    file_values = read_yaml(config) if config else {}
    seconds = None if time is None else parse_duration(time)
    if resume and (init_from or name):
        raise ConfigError("--resume continues a run as it is: leave out --init-from and --name")
    if strict and not resume:
        raise ConfigError("--strict is about the checkpoint that --resume loads: leave it out, or name a run")

    shown = not (quiet or json)
    length = SAMPLE_LENGTH if shown else 0
    with (
        SignalGuard(ending=True) as signals,
        contextlib.suppress(Interrupted),
        progress.training_view(quiet=quiet, json=json) as view,
    ):

        def begun() -> None:
            signals.defer(view.stopping)

        is_over = False
        try:
            view.starting()
            from charnet.training import setup
            from charnet.training.events import Finished

            if resume:
                run = setup.resume_run(
                    resume,
                    values,
                    file_values=file_values,
                    out=out,
                    strict=strict,
                    sample_length=length,
                    seconds=seconds,
                    on_start=begun,
                )
            else:
                run = setup.new_run(
                    values,
                    file_values=file_values,
                    out=out,
                    name=name,
                    init_from=init_from,
                    sample_length=length,
                    seconds=seconds,
                    on_start=begun,
                    on_read=view.reading,
                )
            if name and run.folder.path.name != name and not quiet:
                console.note(f"{out / name} is another run; this one is {run.folder.path}")
            with contextlib.closing(run.events(lambda: signals.received)) as reports:
                for report in reports:
                    is_over = isinstance(report, Finished) and report.reason != "interrupted"
                    if shown and is_over:
                        with contextlib.suppress(Interrupted):  # all is saved: who cannot wait does without it
                            view.show_baselines(run.baselines())
                    view.show(report)
        except Interrupted:
            if not is_over:  # else there is nothing to go on with
                view.left()
    return 128 + signals.received if signals.received else 0


def _is_given(value: object) -> bool:
    """Whether an option has a value, or a switch is on."""
    return value is not None and value is not False


def _unescaped(text: str) -> str:
    """A separator as it is typed: \\n, \\t and \\f stand for the characters that shells make hard to type."""
    return text.replace("\\n", "\n").replace("\\t", "\t").replace("\\f", "\f")
