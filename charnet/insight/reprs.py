"""What Python shows of a model and of a run: the loss, the cell and the text, not an address in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from charnet.data.printable import shown
from charnet.errors import CharnetError, plural, quoted, symbol_noun
from charnet.evaluation import judge, verdict
from charnet.evaluation.verdict import Verdict
from charnet.insight.numbers import format_loss
from charnet.storage import result, run_list, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import Document

if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())  # Python 3.11 makes no subclass of Path itself


class HasCheckpoint(Protocol):
    """A model of the API."""

    checkpoint: Checkpoint


class RunPath(_Path):
    """The folder of a run: a path, which shows what is in the run."""

    def __repr__(self) -> str:
        if self.is_file():  # of the run, as `run / "best.safetensors"`
            return repr(_Path(self))
        try:
            document = run_list.find(str(self.absolute())).document
        except CharnetError:  # a path below it, or a run that is gone
            document = None
        if document is None:
            return f"Run({quoted(shown(str(self)))})"
        found = result.read(self / runs.BEST, document.trainer_state.best_step)
        return f"Run({quoted(shown(str(self)))}: {summary(document)}{_said(verdict.of_run(found))})"


def model_repr(model: HasCheckpoint) -> str:
    """Returns a line for a model: its shape, its loss, its text, and its verdict if its run has one."""
    checkpoint = model.checkpoint
    return f"TextModel({summary(checkpoint.document)}{_said(judge.of_model(checkpoint))})"


def _said(found: Verdict | None) -> str:
    return f"; {found.sentence}" if found else ""


def summary(document: Document) -> str:
    """Says what was trained on what, and how well it does."""
    progress, corpus = document.trainer_state, document.corpus
    best = progress.best_nats_per_char
    symbol = symbol_noun(document.config.data.bytes)
    loss = "no loss on held-out text" if best is None else f"best {format_loss(best)} per {symbol}"
    text = f"{shown(corpus.name)}, {plural(corpus.characters, symbol)}"
    return f"{run_list.short_model(document.config)}, {loss} at step {progress.best_step:,}, trained on {text}"
