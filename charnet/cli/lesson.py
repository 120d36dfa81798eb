"""`charnet lesson`: what runs on one text teach about recurrent networks, as a page."""

from __future__ import annotations

import contextlib
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charnet.cli import console, launch
from charnet.cli.options import option, setting
from charnet.errors import ConfigError, did_you_mean, plural, quoted
from charnet.overlay import parse_duration
from charnet.signals import Interrupted, SignalGuard

if TYPE_CHECKING:
    from charnet.lesson.results import Lesson

TEXT, LESSON, OUTPUT = "The text", "The lesson", "Output"
LANGUAGES = ("en", "zh")
DEFAULT_TIME, DEFAULT_PAGE = "3m", Path("lesson.html")


def lesson(
    text: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, or names from `charnet corpus list` [default: ferry-book]."),
    ] = None,
    encoding: Annotated[str | None, setting("data.encoding", group=TEXT)] = None,
    glob: Annotated[str | None, setting("data.glob", group=TEXT)] = None,
    time: Annotated[
        str | None,
        option(
            "--for",
            metavar="TIME",
            help=f"the time for everything, from 20s on: parts that do not fit are left out [default: {DEFAULT_TIME}]",
            group=LESSON,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        option(
            "--steps",
            metavar="N",
            min=1,
            help="steps of each run, in place of a time: the same numbers every time",
            group=LESSON,
        ),
    ] = None,
    threads: Annotated[int | None, setting("training.threads", group=LESSON)] = None,
    language: Annotated[
        str, option("--language", metavar="|".join(LANGUAGES), help="language of the page", group=OUTPUT)
    ] = "en",
    out: Annotated[
        Path | None,
        option(
            "--out",
            "-o",
            metavar="FILE",
            help=f"the page, one file that opens offline [default: {DEFAULT_PAGE}, unless --json is given]",
            group=OUTPUT,
        ),
    ] = None,
    force: Annotated[bool, option("--force", help="replace an existing file", group=OUTPUT)] = False,
    json: Annotated[bool, option("--json", help="print all numbers and answers as JSON", group=OUTPUT)] = False,
    quiet: Annotated[bool, option("--quiet", "-q", help="show only errors", group=OUTPUT)] = False,
) -> int:
    """Teach recurrent networks with a text: train 14 small ones, and write a page of what they show."""
    launch.check_alone("lesson")
    began = clock.monotonic()
    if language not in LANGUAGES:
        found = f"found {quoted(language)}{did_you_mean(language, LANGUAGES)}"
        raise ConfigError(f"--language: expected one of {', '.join(LANGUAGES)}, {found}")
    if time is not None and steps is not None:
        raise ConfigError("--for and --steps: expected one length, found two; leave one out")
    seconds = None if steps else parse_duration("--for", time or DEFAULT_TIME)
    out = DEFAULT_PAGE if out is None and not json else out
    if out is not None:
        from charnet.cli.output import check_free

        check_free(out, replace=force, advice=", or replace it with --force")
    given = {"data.encoding": encoding, "data.glob": glob, "training.threads": threads}
    values = {name: value for name, value in given.items() if value is not None}
    with SignalGuard(ending=True) as signals, contextlib.suppress(Interrupted):
        taught = _teach(text or [], values, signals, seconds=seconds, steps=steps or 0, began=began, quiet=quiet)
        if taught is not None:
            _write(taught, language, out, json=json, quiet=quiet)
    return 128 + signals.received if signals.received else 0


def _teach(
    paths: list[str], values: dict[str, Any], signals: SignalGuard, *, quiet: bool, **length: Any
) -> Lesson | None:
    """Gives the lesson; None if a signal stopped it."""
    from charnet.lesson import teach
    from charnet.lesson.plan import Plan
    from charnet.lesson.runs import Run
    from charnet.lesson.words import Words

    words = Words("en")

    class Lines(teach.Watcher):
        """Says a line for each run."""

        done = 0

        def planned(self, plan: Plan, folder: Path) -> None:
            self.folder = folder
            each = f"{plan.seconds:.1f} seconds" if plan.seconds is not None else plural(plan.steps, "step")
            self._note(f"{plural(len(plan.experiments), 'run')} of {each} each, in {folder}")
            if plan.left_out:
                parts = ", ".join(words.say(f"part.{part}") for part in plan.left_out)
                self._note(f"left out, as the time is too short: {parts}")
            signals.defer(lambda: self._note("stopping: what is finished stays; once more ends at once"))

        def trained(self, run: Run, count: int) -> None:
            self.done += 1
            loss = "diverged" if run.nats is None else f"{run.nats:.4f} nats"
            again = ", finished before" if run.reused else ""
            read = f"{plural(run.characters, 'character')} in {run.seconds:.1f} s"
            self._note(f"{self.done} of {count}  {run.path.name}: {loss}, {read}{again}")

        def measuring(self) -> None:
            self._note("measuring memory, gradients and temperatures")

        def _note(self, line: str) -> None:
            if not quiet:
                console.note(line)

    lines = Lines()
    try:
        return teach.teach(paths, values, watcher=lines, stop=lambda: signals.received, **length)
    except teach.Stopped:
        if not quiet:
            console.note(f"runs finished so far: {lines.done}, in {lines.folder}; the same command goes on from there")
        return None


def _write(lesson: Lesson, language: str, out: Path | None, *, json: bool, quiet: bool) -> None:
    from charnet.lesson.verdicts import answers
    from charnet.lesson.words import Words

    if out is not None:
        from charnet.cli.output import save
        from charnet.lesson.page import to_page

        save(out, to_page(lesson, language))
        if not quiet:
            console.note(f"the page is in {out}: open it in a browser")
    if json:
        console.write_json({**lesson.as_dict(), "answers": answers(lesson, Words(language))})
