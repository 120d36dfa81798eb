"""The page of a lesson: one file that opens offline, in a language, with a question in each section."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from charnet.insight import html
from charnet.insight.gradients import GradientReach
from charnet.insight.html import text
from charnet.lesson import figures, verdicts
from charnet.lesson.equations import PARAMETERS, equations
from charnet.lesson.explosion import LEARNING_RATE
from charnet.lesson.results import Lesson, loss, ranked
from charnet.lesson.runs import Run
from charnet.lesson.words import Words, cell, horizon, nats, optimizer, shown_reach

STAR = " *"  # behind the name of a run that was disturbed
BESIDE = ("rnn-tanh", "lstm")  # in one plot of gradients


def to_page(lesson: Lesson, language: str = "en") -> str:
    """Returns the page of a lesson as HTML.

    Args:
        language: "en" or "zh".
    """
    words = Words(language)
    made = (_cells, _equations, _units, _layers, _memory, _explosion, _windows, _optimizers, _temperature, _runs)
    sections = [(name, body) for make in made for name, body in [make(lesson, words)] if body]
    title = words.say("title", text=words.title(lesson.text))
    links = "".join(f'<li><a href="#{name}">{text(words.say(name))}</a></li>' for name, _ in sections)
    bodies = "".join(
        f'<section id="{name}"><h2>{text(words.say(name))}</h2>{body}</section>' for name, body in sections
    )
    body = (
        f"<h1>{text(title)}</h1>{_paragraphs(verdicts.head(lesson, words))}"
        f'<nav aria-label="{text(words.say("contents"))}"><ol>{links}</ol></nav>{bodies}'
    )
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return html.page(title, body, style=style, language=language)


def _cells(lesson: Lesson, words: Words) -> tuple[str, str]:
    runs = lesson.of_part("cells")
    if not runs:
        return "cells", ""
    counts = sorted(run.parameters for run in runs)
    how = words.say("cells.how", low=f"{counts[0]:,}", high=f"{counts[-1]:,}")
    rows = [(cell(run.config.model), *_common(run)) for run in ranked(runs)]
    drawn = figures.losses(lesson, runs, words, lambda run: words.of_run(run, "cells"))
    table = _results(lesson, words, ("cell", "units", "parameters", "read", "nats", "perplexity"), rows, ranked(runs))
    return "cells", _section(lesson, words, "cells", [how], drawn, table)


def _equations(lesson: Lesson, words: Words) -> tuple[str, str]:
    cards = []
    for number, run in enumerate(lesson.of_part("cells")):
        formula = words.say("cell.parameters", formula=PARAMETERS[run.name])
        said = f'<p>{text(words.say(f"cell.{run.name}"))}</p><p class="quiet">{text(formula)}</p>'
        drawn = figures.of_cell(lesson, run, number, words)
        cards.append(
            f'<article class="cell"><div><h3>{text(cell(run.config.model))}</h3>'
            f"{equations(run.name, words)}{said}</div>"
            f'<div class="curves">{drawn}</div></article>'
        )
    return "equations", f"<p>{text(words.say('equations.how'))}</p>{''.join(cards)}" if cards else ""


def _units(lesson: Lesson, words: Words) -> tuple[str, str]:
    runs = sorted(lesson.of_part("units"), key=lambda run: run.config.model.hidden_size)
    if len(runs) < 2:
        return "units", ""
    rows = [_common(run) for run in runs]
    drawn = figures.losses(lesson, runs, words, lambda run: words.of_run(run, "units"))
    table = _results(lesson, words, ("units", "parameters", "read", "nats", "perplexity"), rows, runs)
    return "units", _section(lesson, words, "units", [words.say("units.how")], drawn, table)


def _layers(lesson: Lesson, words: Words) -> tuple[str, str]:
    runs = lesson.of_part("layers")
    if len(runs) < 2:
        return "layers", ""
    one, two = runs[0].config.model, runs[-1].config.model
    how = words.say("layers.how", one=one.hidden_size, two=two.hidden_size)
    rows = [(run.config.model.num_layers, *_common(run)) for run in runs]
    table = _results(lesson, words, ("layers", "units", "parameters", "read", "nats", "perplexity"), rows, runs)
    drawn = figures.losses(lesson, runs, words, lambda run: words.of_run(run, "layers"))
    return "layers", _section(lesson, words, "layers", [how], drawn, table)


def _memory(lesson: Lesson, words: Words) -> tuple[str, str]:
    runs = [run for run in lesson.of_part("cells") if run.name in lesson.memory]
    if not runs:
        return "memory", _missing(lesson, "memory", words)
    curves = {cell(run.config.model): lesson.memory[run.name] for run in runs}
    found = {cell(run.config.model): lesson.reach[run.name] for run in runs if run.name in lesson.reach}
    beside = {cell(run.config.model): lesson.reach[run.name] for run in runs if run.name in BESIDE}
    rows = [(name, horizon(curve), *_reaches(found.get(name))) for name, curve in curves.items()]
    drawn = figures.memory(curves, words) + figures.states(beside, words) + figures.inputs(found, words)
    table = _table(words, ("cell", "memory", "reach.h", "reach.c"), rows)
    how = [words.say("memory.how"), words.say("gradient.how")]
    return "memory", _section(lesson, words, "memory", how, drawn, table)


def _reaches(found: GradientReach | None) -> list[str]:
    """Returns after how many characters little of the gradient is left, along h and along c."""
    states = found.states if found else {}
    return [shown_reach(states[name]) if name in states else "-" for name in "hc"]


def _explosion(lesson: Lesson, words: Words) -> tuple[str, str]:
    found = lesson.explosion
    run = lesson.run(found.run) if found else None
    if not (found and run):
        return "explosion", _missing(lesson, "explosion", words)
    how = words.say("explosion.how", cell=cell(run.config.model), factor=f"{found.factor:g}", rate=LEARNING_RATE,
                    clip=f"{found.clip:g}")  # fmt: skip
    return "explosion", _section(lesson, words, "explosion", [how], figures.explosion(lesson, words))


def _windows(lesson: Lesson, words: Words) -> tuple[str, str]:
    runs = sorted(lesson.of_part("windows"), key=lambda run: run.config.training.window)
    if len(runs) < 2:
        return "windows", ""
    how = words.say("windows.how", short=runs[0].config.training.batch_size, long=runs[-1].config.training.batch_size)
    curves = {words.say("line.window", window=run.config.training.window): lesson.memory[run.name]
              for run in runs if run.name in lesson.memory}  # fmt: skip
    rows = [
        (run.config.training.window, run.config.training.batch_size, f"{run.characters:,}", nats(loss(run)),
         f"{math.exp(loss(run)):.2f}", horizon(lesson.memory[run.name]) if run.name in lesson.memory else "-")
        for run in runs
    ]  # fmt: skip
    drawn = figures.losses(lesson, runs, words, lambda run: words.of_run(run, "windows"))
    drawn += figures.memory(curves, words) if curves else ""
    table = _results(lesson, words, ("window", "streams", "read", "nats", "perplexity", "memory"), rows, runs)
    return "windows", _section(lesson, words, "windows", [how], drawn, table)


def _optimizers(lesson: Lesson, words: Words) -> tuple[str, str]:
    runs = ranked(lesson.of_part("optimizers"))
    if len(runs) < 2:
        return "optimizers", ""
    rows = [
        (optimizer(run), f"{run.config.training.learning_rate:g}", f"{run.characters:,}", nats(loss(run)),
         f"{math.exp(loss(run)):.2f}")
        for run in runs
    ]  # fmt: skip
    drawn = figures.losses(lesson, runs, words, optimizer)
    table = _results(lesson, words, ("optimizer", "rate", "read", "nats", "perplexity"), rows, runs)
    return "optimizers", _section(lesson, words, "optimizers", [words.say("optimizers.how")], drawn, table)


def _temperature(lesson: Lesson, words: Words) -> tuple[str, str]:
    if not (lesson.written and lesson.best):
        return "temperature", ""
    how = words.say("temperature.how", run=words.of_run(lesson.best), nats=nats(loss(lesson.best)))
    texts = ""
    for each in lesson.written:
        values = {"temperature": each.temperature, "nats": nats(each.nats), "known": f"{100 * each.known:.0f}"}
        texts += f'<h3>{text(words.say("temperature.one", **values))}</h3><div class="text">{_written(each.text)}</div>'
    return "temperature", _section(lesson, words, "temperature", [how], "", texts)


def _written(written: str) -> str:
    """Returns a text as HTML, its lines as they are."""
    return "\n".join(text(line) for line in written.split("\n"))


def _runs(lesson: Lesson, words: Words) -> tuple[str, str]:
    best = lesson.best
    if best is None:
        return "runs", ""
    path = shlex.quote(str(best.path))
    commands = (f"charnet sample {path}", f"charnet insight {path} -o inside.html",
                f"charnet train --resume {path} --steps {2 * best.steps}")  # fmt: skip
    shown = "\n".join(map(text, commands))
    rows = [
        (words.of_run(run), str(run.path), f"{run.seconds:.1f}", "-" if run.nats is None else nats(run.nats))
        for run in lesson.runs
    ]
    table = _results(lesson, words, ("run", "", "seconds", "nats"), rows, lesson.runs)
    again = f"<p>{text(words.say('runs.again'))}</p>"
    return "runs", f'<p>{text(words.say("runs.how"))}</p><pre class="text">{shown}</pre>{table}{again}'


def _common(run: Run) -> tuple[str, ...]:
    """Returns the numbers of a run: units, parameters, characters read, loss, perplexity."""
    return (str(run.config.model.hidden_size), f"{run.parameters:,}", f"{run.characters:,}", nats(loss(run)),
            f"{math.exp(loss(run)):.2f}")  # fmt: skip


def _section(lesson: Lesson, words: Words, name: str, how: Sequence[str], drawn: str, table: str = "") -> str:
    said = verdicts.answers(lesson, words)[name]
    answer = f'<div class="answer">{_paragraphs(said)}</div>' if said else ""
    shown = f'<div class="figures">{drawn}</div>' if drawn else ""
    asked, answered = words.say("question", asked=words.say(f"{name}.ask")), words.say(f"{name}.answer")
    question = f"<details><summary>{text(asked)}</summary><p>{text(answered)}</p></details>"
    return f"{_paragraphs(how)}{answer}{shown}{table}{question}"


def _missing(lesson: Lesson, part: str, words: Words) -> str:
    return f'<p class="quiet">{text(words.say("too_short"))}</p>' if part in lesson.missing else ""


def _paragraphs(said: Iterable[str]) -> str:
    return "".join(f"<p>{text(each)}</p>" for each in said)


def _results(
    lesson: Lesson, words: Words, columns: Sequence[str], rows: Iterable[Sequence[object]], runs: Sequence[Run]
) -> str:
    """Returns a table with a row for each run; a star and a note mark those that were disturbed."""
    marked = [run in lesson.disturbed for run in runs]
    starred = [(f"{first}{STAR}", *rest) if mark else (first, *rest)
               for (first, *rest), mark in zip(rows, marked, strict=True)]  # fmt: skip
    note = f'<p class="quiet">{text(words.say("star", star=STAR.strip()))}</p>' if any(marked) else ""
    return _table(words, columns, starred) + note


def _table(words: Words, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{text(words.say(f'column.{name}')) if name else ''}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{text(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
