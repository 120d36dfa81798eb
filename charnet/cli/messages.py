"""What is said about a training, line by line, in every view: how it begins, what happens, how it ends."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from charnet.cli.tables import format_duration, format_loss
from charnet.errors import plural

if TYPE_CHECKING:
    from charnet.evaluation.baselines import Baselines
    from charnet.training.events import Finished, RolledBack, Started
    from charnet.training.planner import Plan


def opening(report: Started) -> list[str]:
    """What is trained, on what, where: the first lines of every view."""
    config, corpus = report.config, report.corpus
    model, t = config.model, config.training
    cell = f"{model.cell} ({model.activation})" if model.cell == "rnn" else model.cell
    networks = f"{model.members} networks of " if model.members > 1 else ""
    symbols = "byte" if config.data.bytes else "character"
    kept_back = config.data.num_held_out(corpus.characters)
    held = f"the last {kept_back:,} held out" if kept_back else "nothing held out"
    if 0 < config.data.val_chars < kept_back:
        some = f"{config.data.val_chars:,} of them"
        which = f"the first {some}" if config.data.lines else f"the same {some}, spread evenly over all,"
        held += f"; {which} are read at every evaluation"
    lines = [
        *report.notes,
        f"text: {corpus.name}, {plural(corpus.characters, symbols)}, alphabet of {report.alphabet_size:,}, {held}",
        f"model: {networks}{cell} {model.num_layers}x{model.hidden_size}, {report.parameters:,} parameters; "
        f"{plural(t.steps, 'step')} of {t.batch_size} x {t.window} {symbols}s with {t.optimizer}",
        f"computing on {report.device} in {report.precision} with {plural(report.threads, 'thread')}; "
        f"the run is {report.run}",
    ]
    if report.plan:
        lines += _planned(report.plan, symbols)
    if report.damage:
        lines.append(f"the newest checkpoint is damaged, the one before it will do ({report.damage})")
    if report.step:
        lines.append(f"going on from step {report.step:,}")
    if report.known_chars is not None:
        new = report.alphabet_size - report.known_chars
        lines.append(f"weights carried over: {plural(report.known_chars, 'character')} known, {new:,} new")
    return lines


def _planned(plan: Plan, symbols: str) -> list[str]:
    """What was planned for the time, and what limits it."""
    more = {
        "time": "more time would make it better",
        "text": "more text would make it better, more time would not",
    }[plan.limit]
    passes = f"{plan.passes:.2g} passes" if plan.passes >= 0.01 else "less than a hundredth of a pass"
    return [
        f"plan for {format_duration(plan.seconds)}: about {plan.chars_per_second:,.0f} {symbols}s a second, "
        f"{passes} over the text; {more}",
        *plan.remarks,
    ]


def closing(report: Finished, alphabet_size: int, beside: Baselines | None) -> list[str]:
    """How it ended and how to go on: the last lines of every view."""
    if report.step == 0:
        return ["interrupted before the first step: nothing is kept"]
    lines = []
    if report.best_nats_per_char is not None:
        part = (
            f", over {report.read:,} of {report.held_out:,} held-out characters"
            if report.read < report.held_out
            else ""
        )
        lines.append(f"best: {format_loss(report.best_nats_per_char)} per character at step {report.best_step:,}{part}")
        if report.best_nats_per_char > math.log(alphabet_size):
            lines.append(
                f"that is worse than guessing ({format_loss(math.log(alphabet_size))}): try a smaller --learning-rate"
            )
    if beside:
        lines.append(_beside(beside))
    if report.forecast:
        lines.append(report.forecast)
    if report.reason == "interrupted":
        lines.append(f"interrupted at step {report.step:,}, everything is saved; go on with:")
        lines.append(f"  {resume(report.run)}")
    else:
        why = {"complete": "done", "stopped early": "stopped early, it no longer improves"}[report.reason]
        lines.append(f"{why}; write with:")
        lines.append(f"  charnet sample {shlex.quote(str(report.run))} --temp 0.8")
    return lines


def _beside(b: Baselines) -> str:
    """What simple means reach on the same text."""
    part = f" (the first {b.held_out:,} characters, after {b.learned:,})" if b.is_part else ""
    return (
        f"beside it: {b.order}-gram {format_loss(b.ngram * math.log(2))}, "
        f"xz -9e {b.xz:.4f} bits, gzip -9 {b.gzip:.4f} bits{part}"
    )


def resume(run: Path) -> str:
    return f"charnet train --resume {shlex.quote(str(run))}"


def rolled_back(report: RolledBack) -> str:
    return (
        f"after step {report.from_step:,} the loss was no longer finite: back at step {report.step:,}, "
        f"learning rate {report.learning_rate:.3g}"
    )


STOPPING = "finishing this step, then saving; Ctrl-C again leaves at once"
