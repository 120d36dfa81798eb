"""`charnet sweep`: which settings are better for a text, in a given time."""

from __future__ import annotations

import contextlib
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charnet.cli import console, launch, messages, sweep_words
from charnet.cli.options import option, unescaped_settings
from charnet.config import RUNS
from charnet.errors import ConfigError, quoted
from charnet.overlay import assignments, parse_duration
from charnet.signals import Interrupted, SignalGuard
from charnet.storage.config_file import read_yaml
from charnet.training import trials

if TYPE_CHECKING:
    from charnet.training.sweep import Sweep

SWEEP, RUN, OUTPUT = "The sweep", "The run", "Output"
SECONDS_BETWEEN_LINES = 10.0
DEFAULT_TIME = "10m"


def sweep(
    text: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, or names from `charnet corpus list` [default: ferry-book]."),
    ] = None,
    tries: Annotated[
        list[str] | None,
        option(
            "--try",
            metavar="SETTING=VALUE,VALUE...",
            help="values of a setting to compare, as in learning_rate=0.01,0.02; may be repeated: all combinations "
            "are tried",
            group=SWEEP,
        ),
    ] = None,
    time: Annotated[
        str | None,
        option("--for", metavar="TIME", help=f"the time of the whole sweep [default: {DEFAULT_TIME}]", group=SWEEP),
    ] = None,
    resume: Annotated[
        Path | None,
        option(
            "--resume",
            metavar="SWEEP",
            help="go on with a sweep in the time that was left, or with --for in that time",
            group=SWEEP,
        ),
    ] = None,
    name: Annotated[str, option("--name", help="name of the sweep [default: the name of the text]", group=RUN)] = "",
    out: Annotated[Path, option("--out", help="folder for the sweep", group=RUN)] = RUNS,
    config: Annotated[
        Path | None,
        option("--config", metavar="FILE.yaml", help="read the settings that are not tried from a file", group=RUN),
    ] = None,
    settings: Annotated[
        list[str] | None,
        option("--set", metavar="SECTION.FIELD=VALUE", help="a setting of all trainings; may be repeated", group=RUN),
    ] = None,
    quiet: Annotated[bool, option("--quiet", "-q", help="show only the findings", group=OUTPUT)] = False,
    json: Annotated[bool, option("--json", help="print the findings as JSON", group=OUTPUT)] = False,
) -> int:
    """Compare settings: train every combination for a short time, go on with the better half, and say which mattered.

    All combinations have the schedule of a whole training, and as many seconds of it; the worse half is dropped at a
    quarter and at half. At a quarter only learning rates are compared: early losses favor small networks and no
    dropout. Each combination is a run that can be sampled and resumed.
    """
    launch.check_alone("sweep")
    typed = unescaped_settings(assignments(settings or [])) | ({"data.paths": text} if text else {})
    if resume and (typed or tries or config or name):
        more = "the text, --try, --set, --config and --name"
        raise ConfigError(f"--resume goes on with {quoted(str(resume))} as it is: leave out {more}")
    if not (resume or tries):
        what = quoted(" ".join(text or ["the fables"]))
        raise ConfigError(f"nothing to compare on {what}: add --try, as in --try learning_rate=0.01,0.02,0.04")
    seconds = None if time is None and resume else parse_duration("--for", time or DEFAULT_TIME)
    with SignalGuard(ending=True) as signals:

        def on_start() -> None:
            signals.defer(lambda: console.note(messages.STOPPING))

        run = None
        try:
            if resume:
                from charnet.training.sweep import resume_sweep

                run = resume_sweep(resume, seconds, out=out)
                on_start()
            else:
                tried, file_values = trials.parse(tries or []), read_yaml(config) if config else {}
                if not quiet:
                    console.note("reading the text, and measuring how fast this machine trains")
                from charnet.training.sweep import new_sweep

                run = new_sweep(
                    typed, tried, seconds or 0.0, file_values=file_values, out=out, name=name, on_start=on_start
                )
            _show(run, signals, quiet=quiet, json=json)
        except Interrupted:
            if not quiet:
                for line in sweep_words.aborted(run.folder.path if run else None):
                    console.note(line)
    return 128 + signals.received if signals.received else 0


def _show(run: Sweep, signals: SignalGuard, *, quiet: bool, json: bool) -> None:
    from charnet.training.events import Progress, Started
    from charnet.training.sweep_events import SweepFinished

    said_at, notes = clock.monotonic(), set[str]()
    with contextlib.closing(run.events(lambda: signals.received)) as events:
        for event in events:
            if isinstance(event, SweepFinished):
                if json:
                    console.write_json(sweep_words.as_dict(event))
                else:
                    console.write("\n".join(map(console.shown, sweep_words.findings(event))) + "\n")
                continue
            said = [] if quiet else [line for line in sweep_words.lines(event) if line not in notes]
            notes |= set(said) if isinstance(event, Started) else set()  # those on the text are in every training
            if isinstance(event, Progress) and not quiet and clock.monotonic() - said_at > SECONDS_BETWEEN_LINES:
                said = [f"step {event.step:,}, train {event.train_nats_per_char:.4f} nats"]
            for line in said:
                console.note(line)
                said_at = clock.monotonic()
