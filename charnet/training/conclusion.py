"""What is measured when a run has ended, after all is saved: baselines, how much was learned by heart, a text.

It takes a second or two, and goes into `result.json` beside the weights, so that `inspect` need not measure anything.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from charnet.config import SamplingOptions
from charnet.engines.registry import engine_of
from charnet.errors import CharnetError
from charnet.evaluation.baselines import MOST_HELD_OUT, MOST_LEARNED, Baselines, best_ngram
from charnet.evaluation.evaluate import Stopped, evaluate
from charnet.evaluation.forecast import last_gain
from charnet.evaluation.verdict import Verdict, of_run
from charnet.model.ensemble import from_weights
from charnet.storage import result, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.result import RunResult
from charnet.storage.runs import RunFolder
from charnet.training import sample_text
from charnet.training.recorder import Recorder

FEWEST, MOST_COMPARED = 4096, 40_000  # characters that are read of each of the two parts, in about a second
SAMPLE = SamplingOptions(length=160, temperature=0.8, seed=1)

Stop = Callable[[], object]


@dataclass(frozen=True)
class Conclusion:
    """What is known at the end of a run. `baselines` is None without held-out text, or if they were not asked for."""

    result: RunResult
    baselines: Baselines | None = None

    @property
    def verdict(self) -> Verdict | None:
        return of_run(self.result)


def conclude(recorder: Recorder, folder: RunFolder, found: RunResult, *, compressors: bool, stop: Stop) -> Conclusion:
    """Measures what the verdict on a run needs, and stores it in its folder.

    Args:
        found: what the last event tells.
        compressors: also compare with `gzip`, `xz` and PPMd.
        stop: called now and then; if it returns true, the rest is left out.
    """
    history = [line["val_nats_per_char"] for line in recorder.history if "val_nats_per_char" in line]
    if history and found.nats is not None:  # measured on more of the held-out text since
        found = replace(found, last_nats=found.nats + history[-1] - min(history))
        found = replace(found, last_gain=last_gain(recorder.history))
    compared, weights = None, None
    with contextlib.suppress(MemoryError, CharnetError):
        if compressors and (compared := recorder.baselines()):
            found = replace(found, order=compared.order, ngram_nats=compared.ngram * math.log(2))
        elif not compressors and len((text := recorder.text).val):
            order, bits = best_ngram(text.train.tail(MOST_LEARNED), text.val.head(MOST_HELD_OUT))
            found = replace(found, order=order, ngram_nats=bits * math.log(2))
        weights = Checkpoint.load(folder.path / runs.BEST, weights_only=True)
    with contextlib.suppress(MemoryError, CharnetError, Stopped):
        if weights is not None:
            found = replace(found, passes=weights.trainer_state.chars_seen / max(1, len(recorder.text.train)))
            found = _compare_parts(recorder, weights, found, stop)
            found = replace(found, sample=_sample(weights))
    with contextlib.suppress(CharnetError):  # the run is complete without it
        folder.write(result.RESULT, found.to_json())
    return Conclusion(found, compared)


def _compare_parts(recorder: Recorder, weights: Checkpoint, found: RunResult, stop: Stop) -> RunResult:
    """Evaluates the networks alone on equally much of the text that they learned from and of the held-out text."""
    text, start_id = recorder.text, weights.vocab.start_id()
    if not len(text.val):
        return found
    model = from_weights(weights.config.model, weights.weights).to(recorder.device)
    most = min(len(text.val), max(FEWEST, min(MOST_COMPARED, int(recorder.chars_per_second))))
    train, val = (evaluate(model, part, start_id, most=most, stop=stop) for part in (text.train, text.val))
    if not (math.isfinite(train.nats) and math.isfinite(val.nats)):
        return found
    share = weights.ngram_share or None
    return replace(found, train_nats=train.nats_per_char, val_nats=val.nats_per_char, ngram_share=share)


def _sample(weights: Checkpoint) -> str:
    engine = engine_of(weights.config.model, weights.stored_weights, "numpy", ngram=weights.ngram)
    return sample_text.write(engine, weights.vocab, SAMPLE)[: result.LONGEST_SAMPLE]
