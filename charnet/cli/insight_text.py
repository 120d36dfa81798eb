"""What is inside a model, in the terminal: the main figures as text."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence

from charnet.cli import console, surprise, tables
from charnet.errors import plural
from charnet.insight import expectation, verdicts
from charnet.insight.page import as_line, likely
from charnet.insight.study import Study

PARAGRAPH, PARAGRAPH_LINES, WORST = 600, 14, 5  # characters; lines; places
WIDE, GRADIENT_WIDTH = 60, 24  # columns
TOO_SHORT = "The text, or each document of it, is too short for this."
FOLLOWERS = 12  # properties
BINS = 24  # of half-lives


def show(studies: Sequence[Study]) -> None:
    """Shows one model, or several beside each other."""
    if len(studies) == 1:
        _show_one(studies[0])
    else:
        _show_several(list(studies))
    console.flush()


def _show_one(study: Study) -> None:
    for note in study.notes:
        console.note(note)
    _head(f"what it expects: {plural(study.characters, study.symbol)} of {study.text}")
    _paragraph(study)
    _say(verdicts.of_surprise(study))
    for each in study.worst[:WORST]:
        before, at, behind = (as_line(study, ids) for ids in (each.before[-24:], [each.expected.id], each.behind[:8]))
        console.write(
            console.shown(f"{each.expected.nats:5.1f}  {before}[{at}]{behind}  expected: {likely(study, each)}") + "\n"
        )
    _head("what units track")
    _say(verdicts.of_units(study))
    _followers(study)
    _head("how far it remembers")
    _memory([study])
    _say(verdicts.of_memory(study))
    _head("how far the gradient reaches")
    _gradient([study])
    _say(verdicts.of_gradient(study))
    _head("gates")
    for layer in study.gates:
        if layer.half_lives:
            _half_lives(layer.half_lives, study.symbol)
        _say(study.layer_name(layer.place) + verdicts.of_gates(layer, study.symbol))
    console.note("charnet insight -o page.html shows all of this as a page: each character, each unit")


def _show_several(studies: list[Study]) -> None:
    _head(f"{plural(studies[0].characters, studies[0].symbol)} of {studies[0].text}")
    tables.show_rows([(console.shown(s.name), tables.format_loss(s.nats_per_char)) for s in studies])
    for sentence in verdicts.of_comparison(studies):
        _say(sentence)
    _head(f"how far it remembers: nats by {studies[0].symbol}s of context")
    _memory(studies)
    _head("how far the gradient reaches")
    _gradient(studies)
    _head("gates")
    for study in studies:
        for layer in study.gates:
            _say(f"{study.name}: {study.layer_name(layer.place)}{verdicts.of_gates(layer, study.symbol)}")
    console.note("charnet insight A B -o page.html draws all of them in one figure")


def _head(title: str) -> None:
    console.write(f"\n{console.shown(title)}\n")


def _say(sentence: str) -> None:
    width = max(20, _width() - 2)
    for line in console.folded(console.shown(sentence), width):
        console.write(line.rstrip() + "\n")


def _paragraph(study: Study) -> None:
    """Shows the beginning of the text, each character colored by its surprise; nothing where there are no colors."""
    assert study.excerpt is not None
    if not surprise.can_color():
        return
    characters = study.excerpt.expected[:PARAGRAPH]
    shown = expectation.shown(study.vocab, [each.id for each in characters], more="")
    levels = [(one, surprise.level(each.nats)) for text, each in zip(shown, characters, strict=True) for one in text]
    ends = [at for at, (one, _) in enumerate(levels) if one == "\n"]
    levels = levels[: ends[PARAGRAPH_LINES]] if len(ends) > PARAGRAPH_LINES else levels
    console.write("".join(surprise.painted(levels)).rstrip("\n") + "\n")
    console.note(surprise.legend(), keep="\x1b")


def _followers(study: Study) -> None:
    """Shows the unit that follows each property most, of the properties that one follows clearly."""
    clear = [(name, best[0]) for name, best in study.followers.items() if best[0].is_clear]
    rows = [("property", "unit", "correlation", "AUC", "chance")]
    for name, first in sorted(clear, key=lambda pair: -abs(pair[1].correlation))[:FOLLOWERS]:
        unit = f"{study.unit_name(first.unit)}, {first.state}"
        rows.append((console.shown(name), unit, f"{first.correlation:+.2f}", f"{first.auc:.3f}", f"{first.chance:.2f}"))
    if len(rows) == 1:
        return
    columns = 5 if _width() >= WIDE else 3
    widths = [max(console.cells(row[column]) for row in rows) for column in range(columns)]
    for row in rows:
        cells = [cell + " " * (width - console.cells(cell)) for cell, width in zip(row, widths, strict=False)]
        console.write("  ".join(cells).rstrip() + "\n")


def _width() -> int:
    return shutil.get_terminal_size().columns


def _fitting(places: list[int], label: int, cell: int, curve: int) -> list[int]:
    """Returns as many places, spread over all, as columns fit beside a label and a curve."""
    most = max(1, (_width() - label - 4 - curve) // cell)
    if len(places) <= most:
        return places
    if most == 1:
        return places[-1:]
    return [places[round(i * (len(places) - 1) / (most - 1))] for i in range(most)]


def _memory(studies: Sequence[Study]) -> None:
    curves = [(study.name, study.memory) for study in studies if study.memory is not None]
    if not curves:
        _say(TOO_SHORT)
        return
    label = max(console.cells(console.shown(name)) for name, _ in (("characters", None), *curves))
    common = [length for length in curves[0][1].lengths if length & (length - 1) == 0]
    common = [length for length in common if all(length in curve.lengths for _, curve in curves)]
    lengths = _fitting(common, label, 8, tables.CURVE_WIDTH // 2)
    width = max(tables.NARROWEST_CURVE, min(tables.CURVE_WIDTH, _width() - label - 4 - 8 * len(lengths)))
    rows = [(f"{studies[0].symbol}s", "".join(f"{length:>8,}" for length in lengths))]
    for name, curve in curves:
        by_length = dict(zip(curve.lengths, curve.nats, strict=True))
        figures = "".join(f"{_short(by_length[each]):>8}" for each in lengths)
        rows.append((console.shown(name), f"{figures}  {tables.curve(curve.nats, width)}"))
    tables.show_rows(rows)
    _note_ngram(studies)


def _short(nats: float) -> str:
    """Formats a loss for a column of eight: one that explodes with an exponent."""
    return f"{nats:.3f}" if nats < 1000 else f"{nats:.0e}"


def _gradient(studies: Sequence[Study]) -> None:
    reaches = [(study.name, study.reach) for study in studies if study.reach is not None]
    if not reaches:
        _say(TOO_SHORT)
        return
    label = max(console.cells(console.shown(name)) for name, _ in (("characters back", None), *reaches))
    reached = min(len(reach.distances) for _, reach in reaches)
    known = [k for k in (1, 4, 16, 64, 128) if k <= reached]
    places = _fitting(known, label, 9, GRADIENT_WIDTH if _width() >= WIDE else tables.NARROWEST_CURVE)
    width = max(tables.NARROWEST_CURVE, min(GRADIENT_WIDTH, _width() - label - 4 - 9 * len(places)))
    rows = [(f"{studies[0].symbol}s back", "".join(f"{place:>9}" for place in places))]
    for name, reach in reaches:
        logs = [math.log10(max(size, 1e-6)) for size in reach.loss.mean]
        figures = "".join(f"{reach.loss.mean[place - 1]:>9.2g}" for place in places)
        rows.append((console.shown(name), f"{figures}  {tables.curve(logs, width)}"))
    tables.show_rows(rows)
    _note_ngram(studies)


def _note_ngram(studies: Sequence[Study]) -> None:
    """Says what these figures leave out."""
    if any(study.checkpoint.ngram for study in studies):
        _say("These are the networks alone, without the n-gram beside them.")


def _half_lives(half_lives: Sequence[float], symbol: str) -> None:
    logs = [math.log2(life) for life in half_lives]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    counts = [0] * BINS
    for each in logs:
        counts[min(BINS - 1, int((each - low) / max(1, high - low) * BINS))] += 1
    bars = tables.curve([float(count) for count in counts], BINS)
    ends = f"{verdicts.symbols(2.0**low, symbol)} to {verdicts.symbols(2.0**high, symbol)}"
    said = f"units by half-life, from {ends}:"
    if console.cells(said) + 1 + BINS < _width():
        console.write(f"{said} {bars}\n")
    else:
        _say(said)
        console.write(f"{bars}\n")
