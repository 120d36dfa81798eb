"""The page about runs: a table of all, and the curves of those together that are measured on the same held-out text,
with what sets them apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from charnet.errors import plural, symbol_noun
from charnet.insight import html
from charnet.insight.curves import Losses, loss_panels
from charnet.insight.numbers import fixed, format_duration, format_size
from charnet.insight.svg import COLORS, DASHES, to_svg
from charnet.overlay import as_dict
from charnet.storage.run_list import LEFT_OUT, Curve, RunSummary, differences, measured_on, short_model

HELD_OUT = "nats per held-out character"
MOST_CURVES = len(COLORS) * len(DASHES)  # in a figure; each looks different
COLUMNS = ("run", "nats per character", "state", "text", "model", "step", "trained", "written (UTC)", "size")


def to_page(found: Sequence[RunSummary], title: str) -> str:
    """Returns a page about runs.

    Args:
        found: in the order of the table.
    """
    groups: dict[tuple[Any, ...], list[RunSummary]] = {}
    for run in found:
        if run.document is not None:
            groups.setdefault(tuple(sorted(measured_on(run.document).items())), []).append(run)
    texts = {run.document.corpus.fingerprint for run in found if run.document is not None}
    count = f"{plural(len(found), 'run')} of {plural(len(texts), 'text')}"
    parts = [f'<h1>{html.text(title)}</h1>\n<p class="quiet">{count}</p>\n', _overview(found)]
    parts += [_together(group) for group in groups.values()]
    parts.append(
        '<p class="quiet">Losses are per character of the held-out part of a text, or per byte for a model of bytes. '
        "Those of runs in one figure can be compared; others say nothing about each other.</p>"
    )
    return html.page(title, "".join(parts), style=html.asset("runs_page.css"))


def losses(curve: Curve) -> Losses:
    """Returns the curve of a run for a figure; its name says the lowest value."""
    lowest = f" (best {fixed(min(curve.nats), 4)} nats)" if curve.nats else ""
    return Losses(curve.name[:30] + lowest, curve.characters, curve.seconds, curve.nats)


def _overview(found: Iterable[RunSummary]) -> str:
    rows = []
    for run in found:
        nats = run.best_nats_per_char
        loss = "" if nats is None else fixed(nats, 4)
        told: tuple[str, ...]
        if run.document is None:
            told = (run.name, loss, run.state, run.problem, "", "", "", _date(run), format_size(run.size_bytes))
        else:
            d = run.document
            progress, steps = d.trainer_state, d.config.training.steps
            step = f"{progress.step:,}" if progress.step >= steps else f"{progress.step:,} of {steps:,}"
            told = (
                *(run.name, loss, run.state, d.corpus.name, short_model(d.config), step),
                *(format_duration(progress.seconds), _date(run), format_size(run.size_bytes)),
            )
        rows.append(told)
    return _table(COLUMNS, rows, numbers={1, 5, 6, 8})


def _date(run: RunSummary) -> str:
    return run.written[:16].replace("T", " ")


def _together(group: Sequence[RunSummary]) -> str:
    """Returns what is said of runs that can be compared: curves, settings that differ, and those that are the same."""
    document = group[0].document
    assert document is not None
    corpus, drawn = document.corpus, group[:MOST_CURVES]
    symbol = symbol_noun(document.config.data.bytes)
    panels = loss_panels([losses(Curve(run)) for run in drawn], symbol)
    about = f"{HELD_OUT} of {plural(len(drawn), 'run')} while they learned"
    figures = "".join(to_svg([panel], HELD_OUT, about, alone=False) for panel in panels)
    more = (
        f'<p class="quiet">The first {MOST_CURVES} of {len(group)} runs are drawn.</p>\n' if group[MOST_CURVES:] else ""
    )
    different = differences(group)
    rows = [(name, *map(_shown, values)) for name, values in different.items()]
    names = ("setting", *(run.name for run in group))
    differ = f"<h3>Settings that differ</h3>\n{_table(names, rows)}" if rows else ""
    settings = as_dict(document.config)
    same = [
        (f"{section}.{key}", _shown(value))
        for section, values in settings.items()
        for key, value in values.items()
        if f"{section}.{key}" not in different and f"{section}.{key}" not in LEFT_OUT
    ]
    all_same = "Settings" if len(group) == 1 else "Settings that are the same"
    return (
        f'<h2>{html.text(corpus.name)} <span class="quiet">{plural(corpus.characters, symbol)}</span></h2>\n'
        f'<div class="figures">{figures}</div>\n{more}{differ}'
        f"<details><summary>{all_same}</summary>\n{_table(('setting', 'value'), same)}</details>\n"
    )


def _shown(value: Any) -> str:
    """Formats a setting: a text as it would be typed, the empty one as a dash."""
    if isinstance(value, str):
        return value if value.isprintable() and value else repr(value) if value else "-"
    return str(value)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Returns a table. The first cell of a row is its header; columns of `numbers` are aligned to the right."""

    def cell(at: int, value: str) -> str:
        kind = ' class="number"' if at in numbers else ""
        return f"<td{kind}>{html.text(value)}</td>" if at else f'<th scope="row">{html.text(value)}</th>'

    head = "".join(f'<th scope="col">{html.text(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(cell(at, value) for at, value in enumerate(row))}</tr>\n" for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'
    )
