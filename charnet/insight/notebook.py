"""What a notebook shows: the curve of a training while it runs, and a model.

Jupyter asks an object for its HTML by `_repr_html_`, and replaces what a display with an id shows: see IPython.display
in ipython.readthedocs.io. IPython is imported only where it is loaded already, in a notebook.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from charnet.data.printable import xml_text
from charnet.errors import plural, symbol_noun
from charnet.evaluation import judge
from charnet.insight.curves import Losses, loss_panels
from charnet.insight.live_page import about, loss_figures
from charnet.insight.numbers import format_duration, format_loss
from charnet.insight.reprs import HasCheckpoint
from charnet.insight.svg import STYLE, to_svg
from charnet.insight.training_lines import TrainingLines
from charnet.storage.run_list import short_model
from charnet.training.events import Event, Finished, Started
from charnet.training.run_state import RunState

SECONDS_BETWEEN_UPDATES = 1.0
RULES = (  # for these figures alone: a notebook has light and dark themes of its own, so they bring their background
    f"{STYLE}.charnet svg.figure{{background:#fff;max-width:100%;height:auto}}"
    "@media (prefers-color-scheme:dark){.charnet svg.figure{background:#111}}"
)


class TrainingDisplay:
    """Shows a training below the cell of a notebook; the object that is shown is this one. Call it with every event.

    Args:
        display: IPython's function.
    """

    def __init__(self, display: Any) -> None:
        self._display, self._shown_at = display, 0.0
        self._handle: Any = None
        self.state = RunState()

    def __call__(self, event: Event) -> None:
        """Takes in an event, and updates what is shown, at most once a second."""
        self.state.update(event)
        if isinstance(event, Started):
            self._handle = self._display(self, display_id=True)
        elif self._handle is not None and (
            isinstance(event, Finished) or time.monotonic() - self._shown_at > SECONDS_BETWEEN_UPDATES
        ):
            self._shown_at = time.monotonic()
            self._handle.update(self)

    def __repr__(self) -> str:
        return " ".join(["charnet:", *self._lines()[:1]])

    def _repr_html_(self) -> str:
        step = self.state.finished.step if self.state.finished else self.state.latest.step if self.state.latest else 0
        bar = f'<div><progress max="{max(1, self.state.steps)}" value="{step}" aria-label="steps"></progress></div>'
        return _card(self._lines(), bar + (loss_figures(self.state) if self.state.metrics else ""))

    def _lines(self) -> list[str]:
        state, now = self.state, self.state.latest
        if state.started is None:
            return ["no training yet"]
        lines = [about(state.started)]
        if now:
            left = state.finished.reason if state.finished else f"{format_duration(state.seconds_left())} left"
            speed = f"{now.chars_per_second:,.0f} {state.symbol}s a second"
            lines.insert(0, f"{state.started.run.name}: step {now.step:,} of {state.steps:,}, {left}, {speed}")
        if state.val:
            best = f", best {format_loss(state.best[0])} at step {state.best[1]:,}" if state.best else ""
            lines.append(f"validation {format_loss(state.val[-1])}{best}")
        return lines


def training_display(progress: bool | None = None) -> Callable[[Event], object] | None:
    """Returns what shows a training: a display in a notebook, plain lines on stderr elsewhere; None for nothing.

    Args:
        progress: whether to show it; by default only in a notebook.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if progress is False:
        return None
    if getattr(shell, "kernel", None) is None:  # IPython in a terminal has none
        return TrainingLines(sys.stderr) if progress else None
    from IPython.display import display

    return TrainingDisplay(display)


def model_html(model: HasCheckpoint) -> str:
    """Returns what a notebook shows of a model: what it is, how it was trained, its curve."""
    c = model.checkpoint
    progress = c.trainer_state
    symbol = symbol_noun(c.vocab.of_bytes)
    shape, corpus = f"{short_model(c.config)}, alphabet of {len(c.vocab):,}, ", c.corpus
    trained = [
        f"{shape}trained on {corpus.name} ({plural(corpus.characters, symbol)})",
        f"step {progress.step:,} of {c.config.training.steps:,}, {format_duration(progress.seconds)} of training, "
        f"best {format_loss(progress.best_nats_per_char)} at step {progress.best_step:,}",
    ]
    lines = [shape + corpus.name] if c.is_imported else trained
    lines += [verdict.sentence] if (verdict := judge.of_model(c)) else []
    names = ("chars_seen", "seconds", "val_nats_per_char")
    known = [line for line in c.history if all(name in line for name in names)]
    curve = Losses("validation", *([line[name] for line in known] for name in names))
    panels = loss_panels([curve], symbol)[:1] if len(known) > 1 else []
    figures = [to_svg([panel], f"nats per {symbol}", "validation losses", alone=False) for panel in panels]
    return _card(lines, "".join(figures))


def _card(lines: list[str], markup: str) -> str:
    return f'<div class="charnet"><style>{RULES}</style>{"<br>".join(map(xml_text, lines))}<div>{markup}</div></div>'
