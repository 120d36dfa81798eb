"""The lines that every view shows about a training: how it starts, what happens, how it ends."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from charnet.cli.tables import format_duration, format_loss, held_out_part
from charnet.errors import plural, symbol_noun

if TYPE_CHECKING:
    from charnet.config import Config
    from charnet.evaluation.baselines import Baselines
    from charnet.training.conclusion import Conclusion
    from charnet.training.events import Finished, RolledBack, Started
    from charnet.training.planner import Plan

STOPPING = "finishing this step, then saving; press Ctrl-C again to stop at once"
NOTHING_SAVED = "interrupted before the first step: nothing was saved"


def trying(config: Config) -> str:
    """Says which size is being timed."""
    model = config.model
    networks = f"{model.members} networks of " if model.members > 1 else ""
    return f"trying sizes: {networks}{model.cell} {model.num_layers}x{model.hidden_size} ..."


def opening(event: Started) -> list[str]:
    """Describes what is trained, on which text and where."""
    config, corpus = event.config, event.corpus
    model, t = config.model, config.training
    cell = f"{model.cell} ({model.activation})" if model.cell == "rnn" else model.cell
    networks = f"{model.members} networks of " if model.members > 1 else ""
    ngram = f", and a {model.ngram}-gram" if model.ngram > 0 else ""
    symbol = symbol_noun(config.data.bytes)
    held_out = _held_out(config, event.held_out, event.test)
    lines = [
        *event.notes,
        f"text: {corpus.name}, {plural(corpus.characters, symbol)}, alphabet of {event.alphabet_size:,}, {held_out}",
        f"model: {networks}{cell} {model.num_layers}x{model.hidden_size}, "
        f"{plural(event.parameters, 'parameter')}{ngram}; "
        f"{plural(t.steps, 'step')} of {t.batch_size} x {plural(t.window, symbol)} with {t.optimizer}",
        f"computing on {event.device} in {event.precision} {_workers(event)}; the run is {event.run}",
    ]
    if event.plan:
        lines += _planned(event.plan, symbol)
    if event.damage:
        lines.append(f"the newest checkpoint is damaged ({event.damage}); resuming from the one before it")
    if event.step:
        lines.append(f"resuming at step {event.step:,}")
    if event.known_chars is not None:
        new = event.alphabet_size - event.known_chars
        lines.append(f"pretrained weights: {plural(event.known_chars, 'character')} known, {new:,} new")
    return lines


def _workers(event: Started) -> str:
    threads = f"with {plural(event.threads, 'thread')}"
    return threads if event.processes == 1 else f"in {event.processes} processes {threads} each"


def _held_out(config: Config, count: int, test: int) -> str:
    """Says how much of the text is held out, and which part of that each evaluation reads if it does not read all."""
    data = config.data
    tested = f", {test:,} for the test at the end" if test else ""
    if not count:
        return f"nothing held out{tested}"
    held_out = held_out_part(data, f"{count:,}") + tested
    if not 0 < data.val_chars < count:
        return held_out
    part = f"first {data.val_chars:,}" if data.document_end else f"same {data.val_chars:,}, spread evenly over them"
    return f"{held_out}; each evaluation reads the {part}"


def _planned(plan: Plan, symbol: str) -> list[str]:
    """Says what was planned for the time, and what limits the result."""
    # What more time would give is said at the end, when it is known.
    limit = "; more text would make it better, more time would not" if plan.limit == "text" else ""
    passes = f"{plan.passes:.2g} passes" if plan.passes >= 0.01 else "less than a hundredth of a pass"
    return [
        f"plan for {format_duration(plan.seconds)}: about {plan.chars_per_second:,.0f} {symbol}s a second, "
        f"{passes} over the text{limit}",
        *plan.remarks,
    ]


def left_out(event: Started) -> list[str]:
    """Returns the notes on what was left out of the text."""
    return [note for note in event.notes if "left out: " in note]


def closing(
    event: Finished,
    alphabet_size: int,
    conclusion: Conclusion | None,
    *,
    read_parts: bool = False,
    symbol: str = "character",
) -> list[str]:
    """Says how a training ended, how good the model is and which command comes next.

    Args:
        read_parts: the evaluations on the way read only a part of the held-out text.
        symbol: what the model reads one by one, a character or a byte.
    """
    if event.step == 0:
        return [NOTHING_SAVED]
    from charnet.evaluation import verdict

    result = conclusion.result if conclusion else event.result(alphabet_size, of_bytes=symbol == "byte")
    lines = []
    if event.best_nats_per_char is not None:
        part = f", over {event.read:,} of {event.held_out:,} held-out {symbol}s" if event.read < event.held_out else ""
        part = ", over all of the held-out text" if read_parts and event.read == event.held_out else part
        part = part if event.held_out else ", of the text that it learned from"
        lines.append(f"best: {format_loss(event.best_nats_per_char)} per {symbol} at step {event.best_step:,}{part}")
        if event.test_nats_per_char is not None:
            lines.append(f"test: {format_loss(event.test_nats_per_char)} per {symbol}, with the weights of that step")
    if conclusion and conclusion.baselines:
        lines.append(_comparison(conclusion.baselines, symbol))
    if found := verdict.of_run(result):
        lines.append(found.sentence)
    if event.forecast and (found is None or found.time_helps):
        lines.append(event.forecast)
    if event.reason == "interrupted":
        lines.append(f"interrupted at step {event.step:,}, everything is saved; resume with:")
        lines.append(f"  {resume_command(event.run)}")
    else:
        end = {"complete": "done", "stopped early": "stopped early, as the loss no longer fell"}[event.reason]
        lines.append(f"{end}; write text with:")
        lines.append(f"  charnet sample {shlex.quote(str(event.run))} --temp 0.8")
    return lines


def _comparison(b: Baselines, symbol: str) -> str:
    """Gives the losses of an n-gram model and of compressors on the same held-out text."""
    part = f" (on the first {plural(b.held_out, symbol)}, after {b.learned:,})" if b.is_part else ""
    bits = {f"{b.order}-gram": b.ngram, "PPMd": b.ppmd, "xz -9e": b.xz, "gzip -9": b.gzip}
    shown = (f"{name} {each * math.log(2):.4f}" for name, each in bits.items() if each is not None)
    return f"for comparison: {', '.join(shown)} nats per {symbol}{part}"


def aborted(started: Started | None) -> list[str]:
    """Says what is left of a training that was stopped at once, without a last save."""
    if started is None:
        return ["interrupted before the first step"]
    if not started.run.exists():
        return [NOTHING_SAVED]
    return ["stopped at once; resume from the last checkpoint with:", f"  {resume_command(started.run)}"]


def resume_command(run: Path) -> str:
    """Returns the command line that resumes a run."""
    return f"charnet train --resume {shlex.quote(str(run))}"


def rolled_back(event: RolledBack) -> str:
    """Says that training returned to the last checkpoint, and with which learning rate it continues."""
    return (
        f"the loss was no longer finite after step {event.from_step:,}: back to step {event.step:,}, "
        f"learning rate {event.learning_rate:.3g}"
    )
