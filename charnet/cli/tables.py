"""Figures as people read them: what `inspect`, `eval` and `bench` show."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from charnet.cli.console import flush, folded, visible, write
from charnet.errors import plural

if TYPE_CHECKING:
    from charnet.bench import Result
    from charnet.evaluation.corpus_stats import CorpusStats
    from charnet.evaluation.evaluate import Evaluation
    from charnet.storage.describe import Description
    from charnet.storage.verify import Check

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 40


def curve(values: Sequence[float], width: int = CURVE_WIDTH) -> str:
    """Values as a line of bars, the largest highest; longer series are thinned to the width.

    >>> curve([3.0, 2.0, 1.5, 1.0])
    '█▅▃▁'
    """
    if not values:
        return ""
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0
    return "".join(BARS[round((value - low) * scale)] for value in values)


def format_loss(nats: float | None) -> str:
    """A loss as people compare it: nats and bits per character."""
    return "-" if nats is None else f"{nats:.4f} nats ({nats / math.log(2):.4f} bits)"


def format_duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> format_duration(75.4), format_duration(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_size(count: float) -> str:
    """A number of bytes.

    >>> format_size(1_115_394)
    '1.1 MB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def show_description(d: Description) -> None:
    """`inspect` for people."""
    t, held_out = d.config.training, d.config.data.num_held_out(d.corpus.characters)
    rows = [
        ("checkpoint", f"{d.path}, {format_size(d.size_bytes)}, written {d.created}"),
        ("checksum", f"verified, SHA-256 {d.sha256}"),
        ("weights", f"SHA-256 {d.weights_sha256}"),
        ("model", d.model_line),
        ("parameters", f"{d.parameters:,}: " + ", ".join(f"{part} {n:,}" for part, n in d.parameters_by_part.items())),
        ("alphabet", f"{d.alphabet_size:,} {'bytes' if d.of_bytes else 'characters'}: {d.alphabet_shown}"),
        ("text", f"{d.corpus.name}: {d.corpus.characters:,} characters, {format_size(d.corpus.size_bytes)} in "
                 f"{plural(d.corpus.files, 'file')}"),
        ("", f"SHA-256 {d.corpus.fingerprint}, {held_out:,} at its end held out"),
        ("trained", f"{d.progress.step:,} of {t.steps:,} steps, {d.progress.chars_seen:,} characters "
                    f"({d.passes:.1f} passes) in {format_duration(d.progress.seconds)}"),
        ("best", f"{format_loss(d.progress.best_nats_per_char)} at step {d.progress.best_step:,}{_judged_by(d)}"),
        ("last", format_loss(d.last_nats_per_char)),
        ("history", f"{d.curve[0]:.2f} {curve(d.curve)} {d.curve[-1]:.2f}" if d.curve else "-"),
        ("settings", d.settings_line),
        ("versions", ", ".join(f"{name} {version}" for name, version in d.versions.items())),
    ]  # fmt: skip
    if d.progress.rollbacks:
        rows.insert(8, ("rolled back", f"{plural(d.progress.rollbacks, 'time')}, the learning rate halved at each"))
    show_rows(rows)


def _judged_by(d: Description) -> str:
    """Says so where not all that was held out was read."""
    read, held_out = d.config.data.val_chars, d.config.data.num_held_out(d.corpus.characters)
    return f", over {read:,} of {held_out:,} held-out characters" if 0 < read < held_out else ""


def show_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Labelled lines; folded to the width of a terminal, whole in a pipe."""
    rows = list(rows)
    indent = 2 + max(len(label) for label, _ in rows)
    cells = max(20, shutil.get_terminal_size().columns - indent)
    for label, value in rows:
        shown = visible(value)
        lines = [line.rstrip() for line in folded(shown, cells)] if sys.stdout.isatty() else [shown]
        write(f"{label:{indent}}" + ("\n" + " " * indent).join(lines) + "\n")
    flush()


def show_checks(checks: Iterable[Check]) -> None:
    """`inspect --verify` for people."""
    marks = {True: "ok", False: "WRONG", None: "not checked"}
    show_rows((marks[check.passed], f"{check.what}: {check.found}") for check in checks)


def show_evaluation(e: Evaluation) -> None:
    """`eval` for people."""
    unknown = sum(e.unknown.values())
    lines = [
        f"{e.nats_per_char:.4f} nats per character",
        f"{e.bits_per_char:.4f} bits per character",
        f"{e.perplexity:.3f} perplexity",
        f"{e.characters:,} characters, every one predicted from those before it",
    ]
    if unknown:
        common = sorted(e.unknown.items(), key=lambda pair: -pair[1])[:5]
        names = ", ".join(f"{name} x {count:,}" for name, count in common)
        count = "1 character more is" if unknown == 1 else f"{unknown:,} characters more are"
        lines.append(f"{count} unknown to the model and not counted: {names}")
    for line in lines:
        write(visible(line) + "\n")


def show_results(results: Iterable[Result]) -> None:
    """`bench` for people, a line as soon as it is measured."""
    header = f"{'what':44} {'median':>12} {'lowest':>12} {'highest':>12}  unit"
    write(header + "\n")
    for r in results:
        share = f"  {r.share_of_limit:.0%} of {r.limit}" if r.share_of_limit is not None else ""
        write(f"{r.what:44} {r.median:12,.0f} {r.lowest:12,.0f} {r.highest:12,.0f}  {r.unit}{share}\n")
        flush()


def show_text(told: CorpusStats) -> None:
    """What `charnet corpus info` says."""
    part = f" (of the first {told.lines_of:,} characters)" if told.lines_of < told.characters else ""
    sample = f" (of the first {told.entropy_of:,} characters)" if told.entropy_of < told.characters else ""
    lengths = ", ".join(f"{name} {length:,}" for name, length in told.line_lengths.items())
    rows = [
        (
            "text",
            f"{told.name}: {plural(told.files, 'file')}, {format_size(told.size_bytes)}, "
            f"{told.characters:,} characters",
        ),
        ("", f"SHA-256 {told.sha256}"),
        *(("", note) for note in told.notes),
        ("alphabet", f"{told.alphabet:,} characters"),
        *(("", f"{name}: {kinds:,}, {count:,} times") for name, (count, kinds) in told.blocks.items()),
        ("rarest", ", ".join(f"{name} x {count:,}" for name, count in told.rarest)),
        ("unprintable", ", ".join(f"{name} x {count:,}" for name, count in told.odd.items()) or "none"),
        ("line ends", ", ".join(f"{name} x {count:,}" for name, count in told.line_ends.items()) or "none"),
        ("lines", f"{told.lines:,}{part}; lengths: {lengths}"),
        ("repeated", f"{told.repeated:.1%} of it are lines of 20 characters and more that came before"),
        ("entropy", f"bits per character, given the 0 to {len(told.entropies) - 1} before{sample}:"),
        ("", " ".join(f"{bits:.3f}" for bits in told.entropies)),
        ("n-grams", f"of orders 1 to {len(told.ngrams)} reach on its last tenth, unseen:"),
        ("", " ".join(f"{bits:.3f}" for bits in told.ngrams)),
        *(("advice" if not at else "", line) for at, line in enumerate(told.advice)),
    ]
    for label, text in rows:
        write(f"{label:<12}{visible(text)}\n")
    flush()
