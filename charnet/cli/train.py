"""`charnet train`"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console, dry_running, launch, progress
from charnet.cli.following import following
from charnet.cli.options import SEPARATORS, given_settings, option, setting, unescaped_settings
from charnet.config import RUNS
from charnet.errors import ConfigError, quoted
from charnet.overlay import assignments, parse_duration
from charnet.signals import Interrupted, SignalGuard
from charnet.storage.config_file import read_yaml
from charnet.training import group

TEXT, MODEL, TRAINING, RUN, OUTPUT = "The text", "The model", "Training", "The run", "Output"
ECHO_SECONDS = 2.0
SAMPLE_LENGTH = 160  # characters that the model writes after each evaluation


def train(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, - for standard input, or names from `charnet corpus list`, such as zh "
            "[default: ferry-book, the bundled fables]."
        ),
    ] = None,
    encoding: Annotated[str | None, setting("data.encoding", group=TEXT)] = None,
    as_bytes: Annotated[bool, setting("data.bytes", "--bytes", group=TEXT)] = False,
    glob: Annotated[str | None, setting("data.glob", group=TEXT)] = None,
    val_fraction: Annotated[float | None, setting("data.val_fraction", group=TEXT)] = None,
    val: Annotated[str | None, setting("data.val", group=TEXT)] = None,
    test_fraction: Annotated[float | None, setting("data.test_fraction", group=TEXT)] = None,
    val_chars: Annotated[int | None, setting("data.val_chars", group=TEXT)] = None,
    encoding_errors: Annotated[str | None, setting("data.encoding_errors", group=TEXT)] = None,
    strip: Annotated[str | None, setting("data.strip", group=TEXT)] = None,
    newlines: Annotated[str | None, setting("data.newlines", group=TEXT)] = None,
    normalize: Annotated[str | None, setting("data.normalize", group=TEXT)] = None,
    lowercase: Annotated[bool, setting("data.lowercase", "--lowercase", group=TEXT)] = False,
    lines: Annotated[bool, setting("data.lines", "--lines", group=TEXT)] = False,
    documents: Annotated[str | None, setting("data.documents", group=TEXT, metavar=SEPARATORS)] = None,
    field: Annotated[str | None, setting("data.field", group=TEXT, metavar="NAME|NUMBER")] = None,
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
    ngram: Annotated[
        str | None, setting("model.ngram", group=MODEL, metavar="auto|N", shown_default="auto: 7 with --for, else 0")
    ] = None,
    time: Annotated[
        str | None,
        option(
            "--for",
            metavar="TIME",
            help="train the best model that fits in this time: 90s, 5m, 1h30m, 1d, 1:30 (m:ss), 1:30:00 (h:mm:ss); "
            "charnet chooses the settings that you leave out [default: 5m, unless a length is given]",
            group=TRAINING,
        ),
    ] = None,
    steps: Annotated[int | None, setting("training.steps", group=TRAINING)] = None,
    epochs: Annotated[float | None, setting("training.epochs", group=TRAINING)] = None,
    batch_size: Annotated[int | None, setting("training.batch_size", group=TRAINING)] = None,
    window: Annotated[int | None, setting("training.window", group=TRAINING)] = None,
    optimizer: Annotated[str | None, setting("training.optimizer", group=TRAINING)] = None,
    learning_rate: Annotated[float | None, setting("training.learning_rate", group=TRAINING)] = None,
    patience: Annotated[int | None, setting("training.patience", group=TRAINING)] = None,
    seed: Annotated[int | None, setting("training.seed", group=TRAINING)] = None,
    device: Annotated[str | None, setting("training.device", group=TRAINING)] = None,
    precision: Annotated[str | None, setting("training.precision", group=TRAINING)] = None,
    threads: Annotated[int | None, setting("training.threads", group=TRAINING)] = None,
    processes: Annotated[
        int | None,
        option("--processes", metavar="N", help="train with N processes on this machine, by torchrun", group=TRAINING),
    ] = None,
    network: Annotated[
        str | None,
        option(
            "--network",
            metavar="LATENCY,BANDWIDTH",
            help="with --dry-run: assume a machine like this one for each process, joined by such a network, as in "
            "0.1ms,1Gbit [default: they share this machine]",
            group=TRAINING,
        ),
    ] = None,
    shards: Annotated[int | None, setting("training.shards", group=TRAINING)] = None,
    timeout: Annotated[str | None, setting("training.timeout", group=TRAINING)] = None,
    checkpoint_every: Annotated[str | None, setting("training.checkpoint_every", group=RUN)] = None,
    on_nan: Annotated[str | None, setting("training.on_nan", group=TRAINING)] = None,
    name: Annotated[str, option("--name", help="name of the run [default: the name of the text]", group=RUN)] = "",
    out: Annotated[Path, option("--out", help="folder for the runs", group=RUN)] = RUNS,
    resume: Annotated[
        Path | None,
        option(
            "--resume",
            metavar="RUN",
            help="resume a run, bit for bit; with --learning-rate, --batch-size and others it goes on with a change",
            group=RUN,
        ),
    ] = None,
    continue_text: Annotated[
        bool,
        option("--continue", help="with --resume: go on with a changed text, such as a longer one", group=RUN),
    ] = False,
    strict: Annotated[
        bool, option("--strict", help="with --resume: refuse a damaged newest checkpoint", group=RUN)
    ] = False,
    init_from: Annotated[
        Path | None,
        option("--init-from", metavar="CHECKPOINT", help="start from the weights of a trained model", group=RUN),
    ] = None,
    config: Annotated[
        Path | None,
        option(
            "--config", metavar="FILE.yaml", help="read settings from a file, such as a run's config.yaml", group=RUN
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        option(
            "--set", metavar="SECTION.FIELD=VALUE", help="set any setting by its full name; may be repeated", group=RUN
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        option(
            "--dry-run", help="show the plan of the training, its memory and its time, and train nothing", group=RUN
        ),
    ] = False,
    log: Annotated[
        list[str] | None,
        option(
            "--log",
            metavar="tensorboard|trackio|wandb|mlflow",
            help="log the training to this tool too; may be repeated, or name several with commas",
            group=OUTPUT,
        ),
    ] = None,
    open_page: Annotated[
        bool,
        option("--open", help="write live.html in the run's folder while it trains, and open it", group=OUTPUT),
    ] = False,
    quiet: Annotated[bool, option("--quiet", "-q", help="show only errors", group=OUTPUT)] = False,
    json: Annotated[
        bool, option("--json", help="print the metrics on stdout, one JSON object per line", group=OUTPUT)
    ] = False,
) -> int:
    """Train a model on a text. The run is saved in checkpoints/, under the name of the text."""
    given = dict(locals())  # first of all: each option that is a setting has the name of its field
    with launch.told_once():
        starts = processes is not None and not dry_run and launch.starts(processes)
        typed = assignments(settings or []) | given_settings(given)
        values = unescaped_settings(typed, any_bytes=as_bytes) | ({"data.paths": text} if text else {})
        file_values = read_yaml(config) if config else {}
        seconds = None if time is None else parse_duration("--for", time)
        if resume and (init_from or name):
            raise ConfigError("--resume cannot change the name or the start of a run: leave out --init-from and --name")
        if (strict or continue_text) and not resume:
            flag = "--strict" if strict else "--continue"
            raise ConfigError(f"{flag} needs --resume: leave it out, or add --resume RUN")

        if network is not None and not dry_run:
            raise ConfigError(
                f"--network {quoted(network)}: needs --dry-run; a training uses the network that there is"
            )
        if network is not None and not processes:
            raise ConfigError(f"--network {quoted(network)}: needs --processes: how many machines it joins")
        if processes is not None and starts:
            from charnet.storage.runs import find_resumable
            from charnet.training import setup

            if resume:
                find_resumable(resume, out)
            else:
                setup.check_new_run(
                    values,
                    processes,
                    file_values=file_values,
                    out=out,
                    name=name,
                    init_from=init_from,
                    seconds=seconds,
                )
            return launch.start(processes)
        if dry_run:
            return dry_running.show(values, given | {"time": seconds}, file_values)

    if group.rank():  # the first process shows, logs and writes
        quiet, json, log, open_page = True, False, None, False
    shown = not (quiet or json)
    length = SAMPLE_LENGTH if shown or log or open_page else 0
    with (
        launch.told_once(),
        SignalGuard(ending=True, echo=ECHO_SECONDS if group.size() > 1 else 0.0) as signals,
        contextlib.suppress(Interrupted),
        following(log or [], page=open_page, quiet=quiet) as followers,
        progress.training_view(quiet=quiet, json=json) as view,
    ):

        def on_start() -> None:
            signals.defer(view.stopping)

        finished = False
        try:
            view.starting()
            from charnet.training import setup
            from charnet.training.events import Finished

            begun, has_ended = (None, False) if resume else setup.begun_before(out, file_values | values)
            if has_ended:
                return 0  # a process was lost after the last save
            if resume or begun:
                run = setup.resume_run(
                    resume or begun or RUNS,
                    setup.of_machine(values) if begun else values,
                    file_values=None if begun else file_values,
                    out=out,
                    strict=strict,
                    continue_text=continue_text,
                    sample_length=length,
                    seconds=None if begun else seconds,
                    on_start=on_start,
                    on_read=view.reading,
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
                    on_start=on_start,
                    on_try=view.trying,
                    on_read=view.reading,
                )
            if name and not begun and run.folder.path.name != name and not quiet:
                console.note(f"{out / name} already exists; this run is in {run.folder.path}")
            with contextlib.closing(run.events(lambda: signals.received)) as events:
                for event in events:
                    finished = isinstance(event, Finished) and event.reason != "interrupted"
                    if isinstance(event, Finished):
                        with contextlib.suppress(Interrupted):  # all is saved: Ctrl-C only skips what is compared
                            view.conclude(run.conclude(event, compressors=shown, stop=lambda: signals.received))
                    view.show(event)
                    followers(event)
        except Interrupted:
            if not finished:  # a finished run has nothing to resume
                view.aborted()
                followers.patience = 1.0
    return 128 + signals.received if signals.received else 0
