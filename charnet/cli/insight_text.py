"""What is inside a model, in the terminal: the main figures as text."""

from __future__ import annotations

import math
import shutil
from bisect import bisect_right
from collections.abc import Sequence

from charnet.cli import console, surprise, tables
from charnet.insight import expectation, verdicts
from charnet.insight.page import as_line, likely
from charnet.insight.study import Study

PARAGRAPH, WORST = 600, 5  # characters; places
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
    _head(f"what it expects: {study.characters:,} characters of {study.text}")
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
            _half_lives(layer.half_lives)
        _say(verdicts.of_gates(layer))
    console.note("charnet insight -o page.html shows all of this as a page: each character, each unit")


def _show_several(studies: list[Study]) -> None:
    _head(f"{studies[0].characters:,} characters of {studies[0].text}")
    tables.show_rows([(console.shown(s.name), tables.format_loss(s.nats_per_char)) for s in studies])
    for sentence in verdicts.of_comparison(studies):
        _say(sentence)
    _head("how far it remembers: nats by characters of context")
    _memory(studies)
    _head("how far the gradient reaches")
    _gradient(studies)
    _head("gates")
    for study in studies:
        for layer in study.gates:
            _say(f"{study.name}, layer {layer.place.layer + 1}: {verdicts.of_gates(layer)}")
    console.note("charnet insight A B -o page.html draws them in one plot each")


def _head(title: str) -> None:
    console.write(f"\n{console.shown(title)}\n")


def _say(sentence: str) -> None:
    width = max(20, shutil.get_terminal_size().columns - 2)
    for line in console.folded(console.shown(sentence), width):
        console.write(line.rstrip() + "\n")


def _paragraph(study: Study) -> None:
    """Shows the beginning of the text, each character colored by its surprise where the terminal has colors."""
    assert study.excerpt is not None
    characters = study.excerpt.expected[:PARAGRAPH]
    shown = expectation.shown(study.vocab, [each.id for each in characters], more="")
    if surprise.can_color():
        bands = (
            (one, bisect_right(surprise.LIMITS, each.nats - 1e-9))
            for text, each in zip(shown, characters, strict=True)
            for one in text
        )
        console.write("".join(surprise.painted(bands)) + "\n")
        console.note(surprise.legend(), keep="\x1b")
    else:
        console.write_text("".join(shown) + "\n")


def _followers(study: Study) -> None:
    ordered = sorted(study.followers.items(), key=lambda pair: -abs(pair[1][0].correlation))[:FOLLOWERS]
    rows = [("property", "unit", "correlation", "AUC", "chance")]
    for name, best in ordered:
        first = best[0]
        unit = f"{study.unit_name(first.unit)}, {first.state}"
        rows.append((console.shown(name), unit, f"{first.correlation:+.2f}", f"{first.auc:.3f}", f"{first.chance:.2f}"))
    widths = [max(console.cells(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [cell + " " * (width - console.cells(cell)) for cell, width in zip(row, widths, strict=True)]
        console.write("  ".join(cells).rstrip() + "\n")


def _memory(studies: Sequence[Study]) -> None:
    curves = [(study.name, study.memory) for study in studies if study.memory is not None]
    lengths = [length for length in (curves[0][1].lengths if curves else []) if length & (length - 1) == 0]
    lengths = lengths[:: 2 if len(lengths) > 6 else 1]
    rows = [("characters", "".join(f"{length:>8,}" for length in lengths))] if curves else []
    for name, curve in curves:
        by_length = dict(zip(curve.lengths, curve.nats, strict=True))
        figures = "".join(f"{by_length[each]:>8.3f}" if each in by_length else " " * 8 for each in lengths)
        rows.append((console.shown(name), f"{figures}  {tables.curve(curve.nats)}"))
    tables.show_rows(rows)


def _gradient(studies: Sequence[Study]) -> None:
    reaches = [(study.name, study.reach) for study in studies if study.reach is not None]
    places = [k for k in (1, 4, 16, 64, 128) if reaches and k <= min(len(r.distances) for _, r in reaches)]
    rows = [("characters back", "".join(f"{place:>9}" for place in places))] if reaches else []
    for name, reach in reaches:
        logs = [math.log10(max(size, 1e-6)) for size in reach.loss.mean]
        figures = "".join(f"{reach.loss.mean[place - 1]:>9.2g}" for place in places)
        rows.append((console.shown(name), f"{figures}  {tables.curve(logs, 24)}"))
    tables.show_rows(rows)


def _half_lives(half_lives: Sequence[float]) -> None:
    logs = [math.log2(life) for life in half_lives]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    counts = [0] * BINS
    for each in logs:
        counts[min(BINS - 1, int((each - low) / max(1, high - low) * BINS))] += 1
    bars = tables.curve([float(count) for count in counts], BINS)
    console.write(
        f"units by half-life, from {verdicts.characters(2.0**low)} to {verdicts.characters(2.0**high)}: {bars}\n"
    )
