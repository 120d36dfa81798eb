"""The verdict on a loaded model: `verdict` with what is in its checkpoint and in the folder of its run."""

from __future__ import annotations

from dataclasses import replace

from charnet.errors import symbol_noun
from charnet.evaluation import verdict
from charnet.evaluation.losses import Evaluation
from charnet.evaluation.verdict import Verdict
from charnet.storage import result
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.result import RunResult


def of_model(model: Checkpoint) -> Verdict | None:
    """Judges a model by what its run measured; None where that is not known."""
    return verdict.of_run(_result(model))


def of_text(model: Checkpoint, evaluation: Evaluation) -> Verdict | None:
    """Judges a model by its loss on a text and by what its run measured."""
    is_held_out = bool(model.config.data.num_held_out(model.corpus.characters))
    own = model.trainer_state.best_nats_per_char if is_held_out else None
    nats, characters = evaluation.nats_per_char, evaluation.characters
    symbol = symbol_noun(model.vocab.of_bytes)
    return verdict.of_text(nats, len(model.vocab), own, _result(model), characters=characters, symbol=symbol)


def judged(model: Checkpoint, evaluation: Evaluation) -> Evaluation:
    """Returns an evaluation with the name of what was predicted, and with its verdict, if there is one."""
    found = of_text(model, evaluation)
    return replace(evaluation, verdict=found.sentence if found else "", of_bytes=model.vocab.of_bytes)


def _result(model: Checkpoint) -> RunResult | None:
    return None if model.path is None else result.of(model.path, model.trainer_state)
