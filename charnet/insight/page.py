"""The page of one model, or of several beside each other: everything of a `Study` in one file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.data.printable import visible
from charnet.errors import plural
from charnet.insight import expectation, html, surprises, verdicts
from charnet.insight.expectation import Surprise
from charnet.insight.figures import Figure, figures
from charnet.insight.html import text
from charnet.insight.study import BEST_OF_EACH, Study
from charnet.insight.svg import to_svg
from charnet.insight.trace import Place
from charnet.insight.units import Unit

# A value of a unit is one of 64 levels, written as one character: a text of them is as long as the excerpt.
LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LIKELY, SMALLEST = 3, 0.005  # characters that a surprise took the place of; share that is one percent when rounded
NEAR_BEFORE, NEAR_BEHIND = 20, 12  # characters around a surprise that a narrow screen has room for
MEANINGS = {
    "h": "h, the hidden state", "c": "c, the cell state", "i": "i, the input gate", "f": "f, the forget gate",
    "o": "o, the output gate", "g": "g, the candidate", "r": "r, the reset gate", "z": "z, the update gate",
    "n": "n, the candidate",
}  # fmt: skip


def to_page(studies: Sequence[Study]) -> str:
    """Returns the page of one model as HTML, or of several beside each other."""
    drawn = {figure.name: figure for figure in figures(studies)}
    if len(studies) > 1:
        return _comparison(list(studies), drawn)
    (study,) = studies
    title = f"Inside {study.name}"
    read = f"{plural(study.characters, study.symbol)} of {study.text}"
    notes = "".join(f'<p class="quiet">{text(note)}.</p>' for note in study.notes)
    gates = "".join(
        f"<p>{text(_layer_name(study, layer))}{text(verdicts.of_gates(layer, study.symbol))}</p>"
        for layer in study.gates
    )
    body = f"""<main>
<h1>{text(title)}</h1>
<p>{text(_model_line(study))}. It was looked at while it read {text(read)}.</p>
{notes}
{_expected(study)}
{_tracked(study)}
<h2>How far it remembers</h2>
<p>{text(verdicts.of_memory(study))}</p>
{_networks_alone(studies, "Memory")}
{_drawn(drawn, "memory")}
<h2>How far the gradient reaches</h2>
<p>{text(verdicts.of_gradient(study))}</p>
{_networks_alone(studies, "The gradient")}
<div class="figures">{_drawn(drawn, "gradient")}{_drawn(drawn, "states")}</div>
<h3>Where a prediction came from</h3>
<p>Click a character, or use the arrow keys: the stronger the color of an earlier one, the more it moved the prediction
(gradient times input; for the first {len(study.excerpt.influence) if study.excerpt else 0} characters).</p>
<p id="came-from" aria-live="polite"></p>
{_readable("influence", "influence on a prediction")}
<h2>Gates</h2>
{gates}
<div class="figures">{_drawn(drawn, "half-lives")}{_drawn(drawn, "gates")}</div>
</main>
"""
    style, script = html.asset("page.css") + surprises.style(), surprises.script() + html.asset("page.js")
    return html.page(title, body, style=style, script=f'"use strict";\n{script}', data=_data(study))


def _expected(study: Study) -> str:
    return f"""<h2>What it expects</h2>
<p>{text(verdicts.of_surprise(study))} Click a character, or use the arrow keys, to see what was expected there.</p>
<p class="key">{surprises.legend()}</p>
<div class="reader">{_readable("expected", "surprise")}
<div id="bars" class="panel" aria-live="polite"></div></div>
<h3>The {len(study.worst)} greatest surprises</h3>
{_worst(study)}"""


def _tracked(study: Study) -> str:
    return f"""<h2>What units track</h2>
<p>{text(verdicts.of_units(study))} Correlations were found on one half of the text and measured on the other; chance
alone exceeds the last number once in twenty. AUC says how often a unit tells a place where the property holds from one
where it does not: 0.5 is a guess, 1 is always. A property that is a number, such as the column in the line, holds
where it is above its median.</p>
{_followers(study)}
{_other_units(study)}
<div class="controls"><label>Unit <select id="unit"></select></label> <label>Value <select id="signal"></select></label>
<span id="range" class="quiet"></span></div>
<div id="histogram"></div>
<p>Click a character, or use the arrow keys, to see the value after it. <span id="value" aria-live="polite"></span></p>
{_readable("tracked", "the value of the unit")}"""


def _readable(name: str, colored_by: str) -> str:
    """Returns the place of a text in which a character can be chosen; the script fills it."""
    label = f"The text, colored by {colored_by}: arrow keys move"
    return f'<div id="{name}" class="text" tabindex="0" role="application" aria-label="{label}"></div>'


def _networks_alone(studies: Sequence[Study], what: str) -> str:
    """Says what is measured without the n-grams, if there are any."""
    models = {each.name: each.checkpoint.config.model for each in studies}
    if not any(model.ngram > 0 for model in models.values()):
        return ""
    if len(studies) > 1:
        without = ", ".join(f"the {model.ngram}-gram of {name}" for name, model in models.items() if model.ngram > 0)
        whose = "networks"
    else:
        (model,) = models.values()
        without, whose = f"its {model.ngram}-gram", "network" if model.members == 1 else "networks"
    return f'<p class="quiet">{text(f"{what} is that of the {whose} alone, without {without}.")}</p>'


def _comparison(studies: list[Study], drawn: dict[str, Figure]) -> str:
    title = "Inside " + ", ".join(study.name for study in studies)
    rows = "".join(
        f'<tr><th scope="row">{text(s.name)}</th><td>{text(_model_line(s))}</td><td>{s.nats_per_char:.4f}</td>'
        f"<td>{verdicts.horizon(s.memory) if s.memory else '-'}</td>"
        f"<td>{s.reach.half + 1 if s.reach else '-'}</td></tr>"
        for s in studies
    )
    said = "".join(f"<p>{text(sentence)}</p>" for sentence in verdicts.of_comparison(studies))
    alone = {"memory": "Memory", "gradient": "The gradient"}
    sections = "".join(
        f"<h2>{text(figure.title)}</h2>{_networks_alone(studies, alone[name]) if name in alone else ''}"
        f'<div class="figures">{_svg(figure)}</div>'
        for name, figure in drawn.items()
    )
    head = _head("name", "model", f"nats per {studies[0].symbol}", "memory ends at", "half of the gradient within")
    body = f"""<main>
<h1>{text(title)}</h1>
<p>{text(f"Each model read {plural(studies[0].characters, studies[0].symbol)} of {studies[0].text}.")}</p>
{said}
{_scroller("Models", f"<table>{head}<tbody>{rows}</tbody></table>")}
{sections}
</main>
"""
    return html.page(title, body, style=html.asset("page.css"))


def _model_line(study: Study) -> str:
    from charnet.storage.run_list import short_model

    parameters = sum(weight.size for weight in study.checkpoint.weights.values())
    window = study.checkpoint.config.training.window
    return (
        f"{short_model(study.checkpoint.config)}, {plural(parameters, 'parameter')}, trained with windows of {window}"
    )


def _layer_name(study: Study, layer: Any) -> str:
    model = study.checkpoint.config.model
    network = f"network {layer.place.network + 1}, " if model.members > 1 else ""
    return f"{network}layer {layer.place.layer + 1}: " if model.num_layers > 1 or network else ""


def _drawn(drawn: dict[str, Figure], name: str) -> str:
    return _svg(drawn[name]) if name in drawn else '<p class="quiet">The text is too short for this figure.</p>'


def _svg(figure: Figure) -> str:
    """Returns a figure with its panels one beside the other where there is room."""
    return "".join(
        to_svg([panel], figure.y_label, figure.description, title=figure.title, alone=False) for panel in figure.panels
    )


def _scroller(label: str, table: str) -> str:
    """Returns a table that can be moved sideways by mouse and keys where it is wider than the screen."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{table}</div>'


def _head(*columns: str) -> str:
    cells = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return f"<thead><tr>{cells}</tr></thead>"


def as_line(study: Study, ids: Sequence[int]) -> str:
    """Returns a text in one line."""
    return visible("".join(expectation.shown(study.vocab, ids, more="")).replace("\n", "⏎"))


def label(study: Study, index: int) -> str:
    """Returns the name of a symbol."""
    return visible(expectation.label(study.vocab, index))


def likely(study: Study, surprise: Surprise) -> str:
    """Says what was expected in place of a surprise."""
    (first, most), *others = surprise.expected.likely[:LIKELY]
    shares = [(first, f"{100 * most:.0f}" if most >= SMALLEST else "less than 1")]
    shares += [(i, f"{100 * p:.0f}") for i, p in others if p >= SMALLEST]
    return ", ".join(f"{'comma' if (name := label(study, i)) == ',' else name} {share} %" for i, share in shares)


def _worst(study: Study) -> str:
    rows = []
    for each in study.worst:
        before, at, behind = (as_line(study, ids) for ids in (each.before, [each.expected.id], each.behind))
        far, near = _far(before[:-NEAR_BEFORE]), text(before[-NEAR_BEFORE:])
        where = f"{far}{near}<mark>{text(at)}</mark>{text(behind[:NEAR_BEHIND])}{_far(behind[NEAR_BEHIND:])}"
        cells = f'<td class="text">{where}</td><td>{text(likely(study, each))}</td>'
        rows.append(f"<tr><td>{each.expected.nats:.1f}</td>{cells}</tr>")
    head = _head("nats", "where", "expected there")
    return f'<table class="worst">{head}<tbody>{"".join(rows)}</tbody></table>'


def _far(part: str) -> str:
    """Returns a part of a text that a narrow screen leaves out."""
    return f'<span class="far">{text(part)}</span>' if part else ""


def _followers(study: Study) -> str:
    shown = list(study.excerpt.signals) if study.excerpt else []
    groups = []
    for name, best in sorted(study.followers.items(), key=lambda pair: -abs(pair[1][0].correlation)):
        rows = [f'<tr><th scope="rowgroup" colspan="4">{text(name)}</th></tr>']
        for each in best[:BEST_OF_EACH]:
            label = f"{study.unit_name(each.unit)}, {each.state}"
            number = shown.index(each.unit) if each.unit in shown else None
            button = (
                text(label) if number is None
                else f'<button data-unit="{number}" data-signal="{text(each.state)}">{text(label)}</button>'
            )  # fmt: skip
            figures = f"<td>{each.correlation:+.2f}</td><td>{each.auc:.3f}</td><td>{each.chance:.2f}</td>"
            rows.append(f"<tr><td>{button}</td>{figures}</tr>")
        groups.append(f"<tbody>{''.join(rows)}</tbody>")
    table = f"<table>{_head('unit', 'correlation', 'AUC', 'chance')}{''.join(groups)}</table>"
    return _scroller("Units that follow a property", table)


def _other_units(study: Study) -> str:
    """Says how to see a unit that the page does not offer, if there is one."""
    model, shown = study.checkpoint.config.model, list(study.excerpt.signals) if study.excerpt else []
    units, first = model.hidden_size * model.num_layers * model.members, Place(0, 0)
    other = next((i for i in range(model.hidden_size) if Unit(first, i) not in shown), None)
    if other is None:
        return ""
    given = ("1." if model.members > 1 else "") + ("1." if model.num_layers > 1 or model.members > 1 else "")
    return (
        f"<p>This page offers {len(shown):,} of {plural(units, 'unit')}. To see another one, name it: "
        f"charnet insight with <code>--unit {given}{other}</code> adds {study.unit_name(Unit(first, other))}.</p>"
    )


def _data(study: Study) -> dict[str, Any]:
    """Returns the excerpt for the script: lists as long as it."""
    assert study.excerpt is not None
    vocab, found = study.vocab, study.excerpt
    symbols = sorted({i for each in found.expected for i in (each.id, *(one for one, _ in each.likely))})
    number = {symbol: at for at, symbol in enumerate(symbols)}
    return {
        "characters": [visible(one, keep="\n\t") for one in expectation.shown(vocab, [e.id for e in found.expected])],
        "begins": found.begins,
        "labels": [label(study, symbol) for symbol in symbols],
        "nats": [round(each.nats, 2) for each in found.expected],
        "likely": [[[number[i], round(1000 * p)] for i, p in each.likely] for each in found.expected],
        "levels": LEVELS,
        "units": [
            {"name": study.unit_name(unit), "signals": {name: _levels(values) for name, values in signals.items()}}
            for unit, signals in found.signals.items()
        ],
        "meanings": MEANINGS,
        "influence": [_text_of(np.rint(63 * row)) for row in found.influence],
    }


def _levels(values_N: npt.NDArray[np.floating]) -> dict[str, Any]:
    low, high = float(values_N.min()), float(values_N.max())
    scaled_N = (values_N - low) / (high - low) if high > low else np.zeros_like(values_N)
    return {"low": round(low, 4), "high": round(high, 4), "values": _text_of(np.rint(63 * scaled_N))}


def _text_of(levels_N: npt.NDArray[np.floating]) -> str:
    return "".join(LEVELS[int(level)] for level in levels_N)
