"""Formats numbers for people, and shows the results of `inspect`, `eval`, `bench` and `corpus info`."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from charnet.cli.console import fitted, flush, folded, shown, write
from charnet.errors import plural, symbol_noun
from charnet.insight.numbers import fixed as fixed
from charnet.insight.numbers import format_duration as format_duration
from charnet.insight.numbers import format_loss as format_loss
from charnet.insight.numbers import format_size as format_size

if TYPE_CHECKING:
    from charnet.bench import Result
    from charnet.config import DataSettings
    from charnet.evaluation.corpus_stats import CorpusStats
    from charnet.evaluation.losses import Evaluation
    from charnet.storage.describe import Description
    from charnet.storage.verify import Check

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH, NARROWEST_CURVE = 40, 8
MUCH_UNKNOWN = 0.1  # of the characters of a text


def curve(values: Sequence[float], width: int = CURVE_WIDTH) -> str:
    """Draws values as a line of bars, the largest highest. Of a series longer than the width some values are left out.

    >>> curve([3.0, 2.0, 1.5, 1.0])
    '█▅▃▁'
    """
    if not values:
        return ""
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    low, high = min(values), max(values)
    shares = [(value - low) / (high - low) if high > low else 0 for value in values]
    return "".join(BARS[round(share * (len(BARS) - 1))] for share in shares)


def show_summary(d: Description, verdict: str, written: str, about: str) -> None:
    """Shows first what one wants to know of a checkpoint, as `inspect` does.

    Args:
        verdict: how good it is, "" where that is not known.
        written: what the model writes.
        about: what else is said of the file.
    """
    ngram = f" + {d.ngram['order']:.0f}-gram" if d.ngram else ""
    line = max((line.strip() for line in written.splitlines()), key=len, default="")
    rows = [
        ("model", f"{d.short_model_line}{ngram}: {plural(d.parameters, 'parameter')}, {format_size(d.size_bytes)}"),
        *(_imported_rows(d) if d.corpus.is_unknown else _short_training_rows(d, verdict, line)),
        *(("changed", change) for change in d.config.training.resume_changes),
        ("file", f"{d.path}{about}"),
    ]  # fmt: skip
    show_rows(rows)


def _short_training_rows(d: Description, verdict: str, line: str) -> list[tuple[str, str]]:
    held_out, symbol = bool(d.config.data.num_held_out(d.corpus.characters)), symbol_noun(d.of_bytes)
    where = _held_out_part(d) or ", held out"
    return [
        ("loss", f"{format_loss(d.progress.best_nats_per_char)} per {symbol}, "
                 f"{where[2:] if held_out else 'of the text that it learned from'}"),
        *[("verdict", verdict)] * bool(verdict),
        *[("writes", line)] * bool(line),
        ("text", f"{d.corpus.name}: {plural(d.corpus.characters, symbol)}, read {d.passes:.1f} times in "
                 f"{format_duration(d.progress.seconds)}"),
    ]  # fmt: skip


def show_description(d: Description, verdict: str = "") -> None:
    """Shows all that is in a checkpoint, as `inspect --all` does."""
    rows = [
        ("checkpoint", f"{d.path}, {format_size(d.size_bytes)}, written {d.created}"),
        ("checksum", f"verified, SHA-256 {d.sha256}"),
        ("weights", f"SHA-256 {d.weights_sha256}"),
        ("model", d.model_line),
        ("parameters", f"{d.parameters:,}: " + ", ".join(f"{part} {n:,}" for part, n in d.parameters_by_part.items())),
        ("alphabet", f"{d.alphabet_size:,} {symbol_noun(d.of_bytes)}s: {d.alphabet_shown}"),
        *(_imported_rows(d) if d.corpus.is_unknown else _training_rows(d, verdict)),
        ("settings", d.settings_line),
        ("versions", ", ".join(f"{name} {version}" for name, version in d.versions.items())),
    ]  # fmt: skip
    if d.ngram:
        pieces, symbol = f"{d.ngram['entries']:,.0f} pieces", symbol_noun(d.of_bytes)
        found = f"{pieces} of the text of up to {d.ngram['order']:.0f} {symbol}s, "
        weight = f"weight {d.ngram['share']:.2f} beside the networks' {1 - d.ngram['share']:.2f}"
        rows.insert(5, ("n-gram", f"{found}{format_size(d.ngram['size_bytes'])}, {weight}"))
    if d.progress.rollbacks:
        times = plural(d.progress.rollbacks, "time")
        rows.insert(8 + bool(d.ngram), ("rolled back", f"{times}, each time with half the learning rate"))
    show_rows(rows)


def _imported_rows(d: Description) -> list[tuple[str, str]]:
    """Returns what is known of the training of a model from another program: nothing but its file."""
    return [
        ("text", f"not known: {d.corpus.name}"),
        ("", f"SHA-256 of that file {d.corpus.fingerprint}"),
        ("trained", "by another program, to a loss that is not known: measure it with charnet eval"),
    ]


def _training_rows(d: Description, verdict: str) -> list[tuple[str, str]]:
    """Returns what a model learned from, how long, and how well."""
    t, held_out, symbol = d.config.training, d.config.data.num_held_out(d.corpus.characters), symbol_noun(d.of_bytes)
    about = "about " if d.config.data.val == "random" else ""
    return [
        ("text", f"{d.corpus.name}: {plural(d.corpus.characters, symbol)}, {format_size(d.corpus.size_bytes)} in "
                 f"{plural(d.corpus.files, 'file')}"),
        ("", f"SHA-256 {d.corpus.fingerprint}, {held_out_part(d.config.data, f'{about}{held_out:,}')}"),
        ("trained", f"{d.progress.step:,} of {plural(t.steps, 'step')}, {plural(d.progress.chars_seen, symbol)} "
                    f"({d.passes:.1f} passes) in {format_duration(d.progress.seconds)}"),
        *(("changed", change) for change in t.resume_changes),
        ("best", f"{format_loss(d.progress.best_nats_per_char)} at step {d.progress.best_step:,}{_held_out_part(d)}"),
        *[("verdict", verdict)] * bool(verdict),
        ("last", format_loss(d.last_nats_per_char)),
        ("history", f"{fixed(d.curve[0], 2)} {curve(d.curve)} {fixed(d.curve[-1], 2)}" if d.curve else "-"),
    ]  # fmt: skip


def held_out_part(data: DataSettings, count: str) -> str:
    """Says which part of the text is held out, of `count` characters."""
    return {
        "random": f"{count} held out, drawn by the seed",
        "each": f"{count} held out, the end of each file",
    }.get(data.val, f"the last {count} held out")


def _held_out_part(d: Description) -> str:
    """Says how much of the held-out text an evaluation reads, unless it reads all of it."""
    read, held_out = d.config.data.val_chars, d.config.data.num_held_out(d.corpus.characters)
    return f", over {read:,} of {held_out:,} held-out {symbol_noun(d.of_bytes)}s" if 0 < read < held_out else ""


def show_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Shows labeled lines: folded to the width of a terminal, unfolded in a pipe."""
    rows = list(rows)
    indent = 2 + max(len(label) for label, _ in rows)
    cells = max(20, shutil.get_terminal_size().columns - indent)
    for label, value in rows:
        text = shown(value)
        lines = fitted(text, cells) if sys.stdout.isatty() else [text]
        write(f"{label:{indent}}" + ("\n" + " " * indent).join(lines) + "\n")
    flush()


def show_checks(checks: Iterable[Check]) -> None:
    """Shows what was checked, as `inspect --verify` does."""
    labels = {True: "ok", False: "WRONG", None: "not checked"}
    show_rows((labels[check.passed], f"{check.outcome}: {check.found}") for check in checks)


def show_evaluation(e: Evaluation, verdict: str = "", *, symbol: str = "character") -> None:
    """Shows the losses on a text, as `eval` does; first of all that they say little, if they do.

    Args:
        symbol: what the model reads one by one, a character or a byte.
    """
    unknown = sum(e.unknown.values())
    share = unknown / (e.characters + unknown)
    doubt = f"{100 * share:.0f} % of the {symbol}s are unknown to the model: these figures, over the rest, say little"
    lines = [
        *[doubt] * (share >= MUCH_UNKNOWN),
        f"{fixed(e.nats_per_char, 4)} nats per {symbol}",
        f"{fixed(e.bits_per_char, 4)} bits per {symbol}",
        f"{fixed(e.perplexity, 3)} perplexity" if math.isfinite(e.perplexity) else "perplexity: too large to compute",
        f"{plural(e.characters, symbol)}, each predicted from all before it",
        *[verdict] * bool(verdict),
    ]
    if d := e.dynamic:
        lines.append(
            f"learning while it reads: {fixed(d.nats_per_char, 4)} nats, {fixed(d.bits_per_char, 4)} bits per "
            f"{symbol}, {d.chars_per_second:,.0f} {symbol}s a second"
        )
    if unknown:
        count = f"1 more {symbol} is" if unknown == 1 else f"{unknown:,} more {symbol}s are"
        lines.append(f"{count} unknown to the model and not counted: {most_frequent(e.unknown)}")
    cells = max(20, shutil.get_terminal_size().columns)
    for line in lines:
        for part in folded(shown(line), cells) if sys.stdout.isatty() else [shown(line)]:
            write(part.rstrip() + "\n")


def show_mixture(
    names: Sequence[str],
    weights: Sequence[float],
    parts: Sequence[Evaluation | None],
    characters: int,
    *,
    symbol: str = "character",
) -> None:
    """Shows the loss of each model of a mixture on the characters that it knows.

    Args:
        characters: of the mixture.
        symbol: what the models read one by one, a character or a byte.
    """
    for name, weight, part in zip(names, weights, parts, strict=True):
        loss = f"{fixed(part.nats_per_char, 4)} nats per {symbol}" if part else f"knows none of the {symbol}s"
        fewer = characters - part.characters if part else 0
        known = f", without {plural(fewer, symbol)} that it does not know" if fewer else ""
        write(shown(f"{loss}: {name}, weight {weight:.3g}{known}") + "\n")


def most_frequent(counts: Mapping[str, int]) -> str:
    """Formats the most frequent of some characters.

    >>> most_frequent({"U+00E9 'é'": 2, "U+4E2D '中'": 1000})
    "U+4E2D '中' x 1,000, U+00E9 'é' x 2"
    """
    common = sorted(counts.items(), key=lambda pair: -pair[1])[:5]
    return ", ".join(f"{name} x {count:,}" for name, count in common)


def show_results(results: Iterable[Result]) -> None:
    """Shows benchmarks, each line as soon as it is measured."""
    header = f"{'what':44} {'median':>12} {'lowest':>12} {'highest':>12}  unit"
    write(header + "\n")
    for r in results:
        share = f"  {100 * r.share_of_limit:.0f} % of {r.limit}" if r.share_of_limit is not None else ""
        write(f"{r.what:44} {r.median:12,.0f} {r.lowest:12,.0f} {r.highest:12,.0f}  {r.unit}{share}\n")
        flush()


def show_corpus_stats(stats: CorpusStats) -> None:
    """Shows the statistics of a text, as `corpus info` does."""
    part = f" (of the first {stats.lines_of:,} characters)" if stats.lines_of < stats.characters else ""
    sample = f" (of the first {stats.entropy_of:,} characters)" if stats.entropy_of < stats.characters else ""
    lengths = _joined(stats.line_lengths)
    repeats = f"{stats.repeated_documents:,} came before, {stats.distinct_documents:,} distinct"
    rows = [
        (
            "text",
            f"{stats.name}: {plural(stats.files, 'file')}, {format_size(stats.size_bytes)}, "
            f"{plural(stats.characters, 'character')}",
        ),
        ("", f"SHA-256 {stats.sha256}"),
        *(("", note) for note in stats.notes),
        ("alphabet", plural(stats.alphabet, "character")),
        *(("", f"{name}: {kinds:,}, {plural(count, 'time')}") for name, (count, kinds) in stats.blocks.items()),
        ("rarest", ", ".join(f"{name} x {count:,}" for name, count in stats.rarest)),
        ("unprintable", ", ".join(f"{name} x {count:,}" for name, count in stats.odd.items()) or "none"),
        ("line ends", ", ".join(f"{name} x {count:,}" for name, count in stats.line_ends.items()) or "none"),
        ("lines", f"{stats.lines:,}{part}; lengths: {lengths}"),
        ("", f"{stats.repeated_lines:,} came before, {stats.distinct_lines:,} distinct; blank ones do not count"),
        *([("documents", f"{stats.documents:,}; lengths: {_joined(stats.document_lengths)}")] * bool(stats.documents)),
        *([("", repeats)] * bool(stats.distinct_documents)),
        (
            "repeated",
            f"{100 * stats.repeated:.1f} % of the text is in whole lines of 20 characters or more that came before",
        ),
        ("", f"{100 * stats.repeated_strings:.1f} % is in strings of 40 characters or more that came before{sample}"),
        ("entropy", f"bits per character, given the 0 to {len(stats.entropies) - 1} characters before it{sample}:"),
        ("", " ".join(f"{bits:.3f}" for bits in stats.entropies)),
        ("n-grams", f"bits per character of the last tenth, predicted by n-grams of orders 1 to {len(stats.ngrams)}:"),
        ("", " ".join(f"{bits:.3f}" for bits in stats.ngrams)),
        *(("advice" if not index else "", line) for index, line in enumerate(stats.advice)),
    ]
    show_rows(rows)


def _joined(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {length:,}" for name, length in lengths.items())
