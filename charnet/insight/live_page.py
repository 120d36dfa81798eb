"""The page of a training in progress: one file in the run's folder, which loads itself again until the run ends."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

from charnet import durable
from charnet.errors import plural, symbol_noun
from charnet.insight import html
from charnet.insight.curves import Losses, line, loss_panels
from charnet.insight.numbers import format_duration, format_loss
from charnet.insight.svg import Panel, to_svg
from charnet.storage import runs
from charnet.storage.run_list import short_model
from charnet.training.background import Background
from charnet.training.events import Evaluated, Event, Finished, Metrics, Progress, Replanned, RolledBack, Started
from charnet.training.run_state import RunState

SECONDS_BETWEEN_PAGES = 3.0
SECONDS_BETWEEN_LOADS = 5
FOLLOWED = (Started, Progress, Metrics, Evaluated, RolledBack, Replanned, Finished)
ENDS = {"complete": "done", "stopped early": "stopped early: the loss no longer improved", "interrupted": "interrupted"}


class LivePage:
    """Writes the page, at most every few seconds.

    Args:
        on_first: called with its path when it is there.
    """

    def __init__(self, on_first: Callable[[Path], object]) -> None:
        self._state, self._on_first, self._written_at = RunState(), on_first, 0.0

    def __call__(self, event: Event) -> None:
        self._state.update(event)
        first = isinstance(event, Started)
        if first or time.monotonic() - self._written_at > SECONDS_BETWEEN_PAGES:
            path = self._write(refresh=True)
            if first and path:
                self._on_first(path)

    def close(self) -> None:
        """Writes the last page, which does not load itself again."""
        self._write(refresh=False)

    def _write(self, *, refresh: bool) -> Path | None:
        state, self._written_at = self._state, time.monotonic()
        if state.started is None or not state.started.run.is_dir():  # a run that ends before its first step leaves none
            return None
        path = state.started.run / runs.LIVE_PAGE
        durable.write(path, to_page(state, ended=not refresh).encode())
        return path


def in_background(on_first: Callable[[Path], object]) -> Background:
    """Starts to write the page of a training on a thread of its own."""
    return Background("live page", functools.partial(LivePage, on_first), FOLLOWED)


def to_page(state: RunState, *, ended: bool) -> str:
    """Returns the page of a run that has started.

    Args:
        ended: it does not load itself again.
    """
    assert state.started is not None
    started, now = state.started, time.strftime("%H:%M:%S")
    again = "" if ended else f"; this page loads itself again every {SECONDS_BETWEEN_LOADS} seconds"
    body = (
        f"<h1>{html.text(started.run.name)}</h1>\n<p>{html.text(about(started))}</p>\n{_progress(state, ended=ended)}"
        f'{facts(state)}<h2>Loss</h2>\n<div class="figures">{loss_figures(state)}</div>\n{_samples(state)}'
        f'<h2>Speed, gradient, learning rate</h2>\n<div class="figures">{other_figures(state)}</div>\n'
        f'<p class="quiet">As of {now}{again}.</p>'
    )
    title = f"{started.run.name}: {ENDS.get(state.finished.reason, '') if state.finished else 'training'}"
    return html.page(
        title, body, style=html.asset("live_page.css"), refresh_seconds=0 if ended else SECONDS_BETWEEN_LOADS
    )


def about(started: Started) -> str:
    """Says in a line what is trained on what."""
    corpus, t = started.corpus, started.config.training
    symbol = symbol_noun(started.config.data.bytes)
    return (
        f"{short_model(started.config)} with {started.parameters:,} parameters, trained on {corpus.name} "
        f"({plural(corpus.characters, symbol)}, alphabet of {started.alphabet_size:,}) with {t.optimizer} "
        f"on {started.device} in {started.precision}"
    )


def _progress(state: RunState, *, ended: bool) -> str:
    step = state.latest.step if state.latest else state.started.step if state.started else 0
    left = f", {format_duration(state.seconds_left())} left" if state.latest else ""
    if state.finished:
        step, left = state.finished.step, f": {ENDS.get(state.finished.reason, state.finished.reason)}"
    elif ended:
        left = ": ended early"
    label = f"step {step:,} of {state.steps:,}{left}"
    bar = f'<progress max="{max(1, state.steps)}" value="{step}" aria-label="steps"></progress>'
    return f"<p>{bar}<br>{html.text(label)}</p>\n"


def facts(state: RunState) -> str:
    """Returns the newest numbers as a list."""
    known: list[tuple[str, str]] = []
    if now := state.latest:
        known.append(("training loss", format_loss(now.train_nats_per_char)))
    if val := state.val:
        known.append(("validation loss", format_loss(val[-1])))
    if state.best and state.best[0] is not None:
        known.append(("best", f"{format_loss(state.best[0])} at step {state.best[1]:,}"))
    if state.finished and state.finished.test_nats_per_char is not None:
        known.append(("test loss", format_loss(state.finished.test_nats_per_char)))
    if now:
        known.append(("speed", f"{now.chars_per_second:,.0f} {state.symbol}s a second"))
    for name, label in (("grad_norm", "gradient norm"), ("learning_rate", "learning rate")):
        if values := state.points(name, "step")[1]:
            known.append((label, f"{values[-1]:.3g}"))
    if times := state.points("seconds", "step")[1]:
        known.append(("trained", format_duration(times[-1])))
    rows = "".join(f"<div><dt>{label}</dt><dd>{html.text(value)}</dd></div>" for label, value in known)
    return f'<dl class="facts">{rows}</dl>\n' if rows else ""


def loss_figures(state: RunState) -> str:
    """Draws the losses over characters and over seconds."""

    curves = []
    alone, both = (", networks alone", ", with the n-gram") if state.has_ngram else ("", "")
    for label, name in ((f"training{alone}", "train_nats_per_char"), (f"validation{both}", "val_nats_per_char")):
        (characters, nats), (seconds, _) = state.points(name, "chars_seen"), state.points(name, "seconds")
        curves.append(Losses(label, characters, seconds, nats))
    said = f"the newest: {format_loss(state.val[-1])}" if state.val else "no evaluation yet"
    axis = f"nats per {state.symbol}"
    drawn = loss_panels(curves, state.symbol)
    return "".join(to_svg([panel], axis, f"losses in {axis}; {said}", alone=False) for panel in drawn)


def other_figures(state: RunState) -> str:
    """Draws speed, gradient norm and learning rate over characters."""
    figures = []
    for label, name in (
        (f"{state.symbol}s a second", "chars_per_second"),
        ("gradient norm", "grad_norm"),
        ("learning rate", "learning_rate"),
    ):
        found = line(label, *state.points(name, "chars_seen"))
        read = f"{state.symbol}s"
        figures.append(to_svg([Panel(label, read, [found])], label, f"{label} by {read} read", alone=False))
    return "".join(figures)


def _samples(state: RunState) -> str:
    shown = [
        f"<h3>step {step:,}</h3>\n"
        f'<p class="text sample">{"<br>".join(html.text(line) for line in sample.split(chr(10)))}</p>\n'
        for step, sample in reversed(state.samples)
    ]
    return f"<h2>What it writes</h2>\n{''.join(shown)}" if shown else ""
