"""`charnet runs`: what has been trained, and how runs of one text compare."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import sys
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charnet.cli import console, tables
from charnet.cli.options import option
from charnet.config import RUNS
from charnet.errors import CheckpointError, ConfigError, did_you_mean, plural, quoted, symbol_noun

if TYPE_CHECKING:
    from charnet.storage.run_list import Curve, RunSummary

OUTPUT, REMOVING = "Output", "Removing"
ORDERS = ("newest", "name", "best", "size", "time")
CELLS = 12  # of a number
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the part of which all runs have losses, where these are compared
MEASURING = ("training.eval_every", "training.report_every", "data.val_chars")  # settings that change no weight


def runs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            readable=False, metavar="[RUN]...", help="Two or more runs of one text, to compare; none = a list."
        ),
    ] = None,
    folder: Annotated[Path, option("--in", metavar="DIR", help="the folder of runs", group=OUTPUT)] = RUNS,
    sort: Annotated[
        str, option("--sort", metavar="|".join(ORDERS), help="the order of the list", group=OUTPUT)
    ] = "newest",
    out: Annotated[
        Path | None,
        option("--out", "-o", metavar="FILE", help="write the curves of compared runs as SVG", group=OUTPUT),
    ] = None,
    html: Annotated[
        Path | None,
        option("--html", metavar="FILE", help="write a page about the runs: table, curves, settings", group=OUTPUT),
    ] = None,
    remove: Annotated[
        str | None, option("--remove", metavar="RUN", help="remove a run, after a question", group=REMOVING)
    ] = None,
    yes: Annotated[bool, option("--yes", "-y", help="with --remove: without the question", group=REMOVING)] = False,
    force: Annotated[bool, option("--force", help="replace existing files", group=OUTPUT)] = False,
    json: Annotated[bool, option("--json", help="print everything as JSON", group=OUTPUT)] = False,
) -> None:
    """List the runs, or compare some: settings that differ, losses over characters and over time."""
    if sort not in ORDERS:
        raise ConfigError(
            f"--sort: expected one of {', '.join(ORDERS)}, found {quoted(sort)}{did_you_mean(sort, ORDERS)}"
        )
    if yes and remove is None:
        raise ConfigError("--yes: expected --remove beside it")
    if remove is not None:
        if names or out or html or json:
            what = f"--remove {quoted(remove)}: removes one run and shows none"
            raise ConfigError(f"{what}; leave out the other runs, -o, --html and --json")
        from charnet.cli import removing

        removing.remove(remove, folder, asks=not yes)
        return
    if names and len(names) == 1:
        raise ConfigError(f"expected two or more runs to compare; {_instead(names[0])}")
    if out is not None and not names:
        listed = f"; {_instead(str(out))}" if os.path.isdir(out) else ", as in charnet runs A B --out curves.svg"
        raise ConfigError(f"--out: expected runs to compare beside it{listed}")
    for path in (out, html):
        if path is not None:
            from charnet.cli.output import check_free

            check_free(path, replace=force, advice=", or replace it with --force")
    if names:
        _compare(names, folder, out, html, json=json)
    else:
        _list(folder, sort, html, json=json)


def _instead(given: str) -> str:
    """Says which command shows what one name stands for: a run, or a folder of runs."""
    has_runs = os.path.isdir(given) and any(Path(given).glob("*/*.safetensors"))
    name = shlex.quote(given)
    return f"charnet runs --in {name} lists those in a folder" if has_runs else f"charnet inspect {name} describes one"


def _list(folder: Path, sort: str, html: Path | None, *, json: bool) -> None:
    from charnet.storage.run_list import folders_below, summaries

    if folder != RUNS and not os.path.isdir(folder):
        raise CheckpointError(f"{folder}: there is no such folder; give --in the folder of runs, as in --in {RUNS}")
    found = _sorted(summaries(folder), sort)
    if html is not None:
        _write_page(found, f"Runs in {folder}/", html)
    if json:
        console.write_json([run.as_dict() for run in found])
        return
    below = folders_below(folder)
    if not (found or below):
        console.note(f"{folder}/: no run here yet; make one with charnet train")
    indent = min(30, max((console.cells(console.shown(run.name)) for run in found), default=0))
    for run in found:
        name = console.shown(run.name)
        padding = " " * (indent - console.cells(name))
        head = f"{name}{padding}  {_nats(run.best_nats_per_char):>11}  {run.state}"
        lines = console.folded(console.shown(_details(run)), max(20, _columns() - 4))
        console.write("\n    ".join([head, *(line.rstrip() for line in lines)]) + "\n")
    console.flush()
    for each in below:
        console.note(f"{each}/ holds more runs: charnet runs --in {shlex.quote(str(each))}")


def _details(run: RunSummary) -> str:
    """Returns what the list says of a run below its name."""
    from charnet.storage.run_list import short_model

    size = tables.format_size(run.size_bytes)
    if run.document is None:
        return f"{run.problem}; {size}"
    d, written = run.document, run.written[:16].replace("T", " ")
    if d.corpus.is_unknown:
        return f"{d.corpus.name}, {short_model(d.config)}, {written}, {size}"
    progress, steps = d.trainer_state, d.config.training.steps
    of_steps = f"step {progress.step:,} of {steps:,}, " if progress.step < steps else ""
    trained = f"{of_steps}{tables.format_duration(progress.seconds)} trained"
    return f"{d.corpus.name}, {short_model(d.config)}, {trained}, {written}, {size}"


def _sorted(found: Sequence[RunSummary], sort: str) -> list[RunSummary]:
    if sort == "newest":
        return list(found)
    if sort == "name":
        return sorted(found, key=lambda run: run.name)
    if sort == "best":
        return sorted(found, key=lambda run: math.inf if run.best_nats_per_char is None else run.best_nats_per_char)
    if sort == "size":
        return sorted(found, key=lambda run: -run.size_bytes)
    return sorted(found, key=lambda run: -(run.document.trainer_state.seconds if run.document else 0.0))


def _nats(nats: float | None) -> str:
    return "-" if nats is None else f"{tables.fixed(nats, 4)} nats"


def _compare(names: Sequence[str], folder: Path, out: Path | None, html: Path | None, *, json: bool) -> None:
    from charnet.storage import run_list

    found = [run_list.find(name, folder) for name in names]
    run_list.check_comparable(found)
    symbol = _symbol(found[0])
    different, curves = run_list.differences(found), [run_list.Curve(run) for run in found]
    if out is not None:
        _draw(curves, out, symbol)
    if html is not None:
        _write_page(found, f"{len(found)} runs compared", html)
    if json:
        console.write_json({"runs": [run.as_dict() for run in found], "different": different,
                            "curves": [vars(curve) for curve in curves]})  # fmt: skip
        return
    _show_side_by_side(found)
    _show_settings(different)
    _show_curves(curves, "characters", f"{symbol}s")
    _show_curves(curves, "seconds", "seconds")
    if out is not None:
        console.note(f"the curves are in {out}")


def _show_side_by_side(found: Sequence[RunSummary]) -> None:
    """Shows what one wants to know of each run in a column, where they fit, and the verdicts below."""
    facts = [_facts(run) for run in found]
    rows = [("", [console.shown(run.name) for run in found])]
    rows += [(name, [console.shown(each[name]) for each in facts]) for name in facts[0]]
    widths = [max(console.cells(values[at]) for _, values in rows) for at in range(len(found))]
    fits = max(len(name) for name, _ in rows) + 2 + sum(widths) + 2 * len(widths) <= _columns()
    tables.show_rows(
        (name, ("  " if fits else " | ").join(_padded(values, widths) if fits else values).rstrip())
        for name, values in rows
    )
    said = [(console.shown(run.name), sentence) for run in found if (sentence := _verdict(run))]
    if said:
        console.write("\nverdicts\n")
        tables.show_rows(said)


def _padded(values: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [value + " " * (width - console.cells(value)) for value, width in zip(values, widths, strict=True)]


def _facts(run: RunSummary) -> dict[str, str]:
    """Returns what runs of one text are compared by."""
    from charnet.storage.run_list import short_model

    assert run.document is not None
    progress, steps = run.document.trainer_state, run.document.config.training.steps
    return {
        "loss": _nats(run.best_nats_per_char),
        "state": run.state,
        "model": short_model(run.document.config),
        "trained": tables.format_duration(progress.seconds),
        "steps": f"{progress.step:,}" + (f" of {steps:,}" if progress.step < steps else ""),
        "read": plural(progress.chars_seen, _symbol(run)),
        "size": tables.format_size(run.size_bytes),
        "written": run.written[:16].replace("T", " "),
    }


def _symbol(run: RunSummary) -> str:
    return symbol_noun(run.document is not None and run.document.config.data.bytes)


def _verdict(run: RunSummary) -> str:
    from charnet.evaluation import verdict
    from charnet.storage import result, runs

    assert run.document is not None
    judged = verdict.of_run(result.read(run.path / runs.BEST, run.document.trainer_state.best_step))
    return judged.sentence if judged else ""


def _show_settings(different: Mapping[str, Sequence[Any]]) -> None:
    told = {name: values for name, values in different.items() if name not in MEASURING}
    if told:
        console.write("\nsettings that differ\n")
        tables.show_rows([(name, " | ".join(map(str, values))) for name, values in told.items()])
    else:
        same = "the settings differ only in when and on what the loss is measured" if different else ""
        console.write(f"\n{same or 'all settings are the same'}\n")


def _write_page(found: Sequence[RunSummary], title: str, path: Path) -> None:
    from charnet.cli import output
    from charnet.insight.runs_page import to_page

    output.save(path, to_page(found, title))
    console.note(f"the page is {path}")


def _show_curves(curves: Sequence[Curve], over: str, called: str) -> None:
    """Shows losses where the runs had read equally many characters, or taken equally many seconds."""
    known = [getattr(curve, over) for curve in curves]
    if not all(known) or (low := max(each[0] for each in known)) > (high := min(each[-1] for each in known)):
        return
    label = max(console.cells(console.shown(curve.name)) for curve in curves)
    room = (_columns() - label - 2 - tables.CURVE_WIDTH) // CELLS
    between = [low, *(low + share * (high - low) for share in SHARES[1:-1]), high]
    places = list(dict.fromkeys(between))[-max(1, min(len(SHARES), room)) :]
    width = max(tables.NARROWEST_CURVE, min(tables.CURVE_WIDTH, _columns() - label - 4 - CELLS * len(places)))
    console.write(f"\nnats after so many {called}\n")
    rows = [("", "".join(f"{_place(place):>{CELLS}}" for place in places))]
    for curve in curves:
        values = [_at(getattr(curve, over), curve.nats, place) for place in places]
        figures = "".join(f"{value:>{CELLS}.4f}" if value is not None else f"{'-':>{CELLS}}" for value in values)
        rows.append((console.shown(curve.name), f"{figures}  {tables.curve(curve.nats, width)}"))
    tables.show_rows(rows)


def _place(place: float) -> str:
    """Formats a number of characters or seconds.

    >>> [_place(place) for place in (0.0123, 0.5, 9.99, 10.4, 12345)]
    ['0.012', '0.50', '9.99', '10', '12,345']
    """
    return f"{place:,.{0 if place >= 10 else 2 if place >= 0.1 else 3}f}"


def _columns() -> int:
    """Returns the width of the terminal; in a pipe there is room for everything."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 200


def _at(x: Sequence[float], y: Sequence[float], place: float) -> float | None:
    """Returns the last value of a curve up to a place."""
    count = bisect_right(x, place)
    return y[count - 1] if count else None


def _draw(curves: Sequence[Curve], out: Path, symbol: str) -> None:
    """Writes the curves as SVG."""
    from charnet.cli import output
    from charnet.insight.curves import loss_panels
    from charnet.insight.runs_page import HELD_OUT, losses
    from charnet.insight.svg import to_svg

    lowest = "; ".join(f"{curve.name}: {min(curve.nats):.4f}" for curve in curves if curve.nats)
    description = f"{HELD_OUT} of each run while it learned; the lowest: {lowest}"
    output.save(out, to_svg(loss_panels([losses(curve) for curve in curves], symbol), HELD_OUT, description))
