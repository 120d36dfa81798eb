"""The verdict on a model: one sentence that says how good it is, by what, and what would make it better.

Every figure in a sentence is in nats per character. `forecast` says what more time would give, where `time_helps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from charnet.errors import symbol_noun
from charnet.evaluation.forecast import FLAT
from charnet.storage.result import RunResult

# Nats per character. Measured with two threads on runs of 5 to 20 seconds:
#
#   text                        model                    n-gram  model  networks: held out, train
#   156,000 characters          lstm 1x128 + 7-gram, 5 s  1.435  1.447  4.12  4.12  (two steps: the n-gram alone)
#   156,000                     lstm 1x128 + 7-gram, 15 s 1.435  1.388  1.49  1.40
#   156,000                     lstm 1x128, 15 s          1.434  1.486  1.49  1.39
#   20,000 of tiny-shakespeare  lstm 1x256 + 7-gram, 15 s 1.758  1.655  1.68  1.17
#   20,000                      lstm 1x128 + 7-gram, 5 s  1.758  1.728  1.93  1.84
#   20,000                      lstm 1x256, four steps    1.757  3.878  3.88  3.86
#   20,000                      lstm 1x128, dropout 0.3   1.757  1.788  1.79  1.60
#   156,000                     lstm 1x256, no dropout    1.434  1.398  1.40  1.19  (with dropout 1.31)
#   all of tiny-shakespeare     lstm 1x128, one pass      1.517  1.664  1.63  1.55
#   all of tiny-shakespeare     lstm 1x128 + 7-gram       1.519  1.478  1.57  1.50
#
# A held-out text is a little harder than the text before it: by 0.07 to 0.16 in the first pass, when nothing can be
# known by heart. So a difference counts only later. `tests/bench/LOG.md` has six more runs.
TIE = 0.02  # two seeds of one setting differ by about so much
GOOD = 0.08  # below the best n-gram
BY_HEART = 0.2  # held-out loss above the loss on the text learned from: 0.1 where a run goes well, up to 0.5
MUCH_BY_HEART = 0.45  # the same of a model that is good all the same: then it does little harm
RISEN = 0.02  # the last loss above the best one
UNLIKE = 0.15  # of a text: above or below the held-out text of the same model
FEW_STEPS = 50  # after which a loss above that of guessing says nothing about the learning rate
FEWEST = 100  # characters of a text that is compared with another: the mean of fewer is mostly chance


@dataclass(frozen=True)
class Verdict:
    """How good a model is. `kind` is one of the kinds below, for programs; `sentence` says it.

    worse than guessing, worse than n-gram, like n-gram, by heart, overfits, better, good; of another text
    than the run's own: too short, unlike, like, easier.
    """

    kind: str
    sentence: str

    @property
    def time_helps(self) -> bool:
        """Whether more time may be promised beside this verdict; otherwise it asks for something else."""
        return self.kind not in ("worse than guessing", "by heart", "overfits")

    def as_dict(self) -> dict[str, str]:
        """Returns both, for JSON."""
        return dict(vars(self))


def of_run(result: RunResult | None) -> Verdict | None:
    """Judges a model by its own held-out text; None where too little is known.

    >>> of_run(RunResult(900, 900, 63, nats=1.3, order=5, ngram_nats=1.56)).sentence
    'better than the best n-gram (5-gram 1.56) by 0.26 nats: good for a text of this size'
    """
    if result is None or result.nats is None:
        return None
    if result.nats > (guess := math.log(max(1, result.alphabet))):
        is_short = result.ngram_nats is not None and result.ngram_nats > guess  # then counting learns nothing either
        too_early = "train longer" if result.step < FEW_STEPS else "train with a smaller learning rate"
        advice = "give it more text" if is_short else too_early
        return Verdict("worse than guessing", f"worse than guessing ({guess:.2f} nats): {advice}")
    return _of_counting(result) or _of_heart(result) or _of_gain(result)


def _of_counting(r: RunResult) -> Verdict | None:
    """Judges a model that is no better than an n-gram."""
    if r.nats is None or r.ngram_nats is None or r.ngram_nats - r.nats >= TIE:
        return None
    symbols = f"{symbol_noun(r.of_bytes)}s"
    strings = symbols if r.order < 2 else f"strings of {r.order} {symbols}"
    counted = f"counting {strings} ({r.order}-gram, {r.ngram_nats:.2f} nats)"
    advice = "give it more text" if _text_limits(r) else _advice(r)
    if r.last_nats is not None and r.last_nats - r.nats >= RISEN:
        advice = "it began to overfit: give it more text, or more dropout"
    if r.nats - r.ngram_nats < TIE:
        return Verdict("like n-gram", f"no better than {counted}: {advice}")
    return Verdict("worse than n-gram", f"worse than {counted}: {advice}")


def _advice(r: RunResult) -> str:
    """Returns what may help a model that has learned little of a text that is long enough."""
    if r.last_gain is None or r.last_gain >= FLAT or _has_unread_text(r):
        return "train longer"
    if _gap(r) >= BY_HEART:
        return "it no longer improves: give it more text, or more dropout"
    return "it no longer improves: try a larger model, or more text"


def _of_heart(r: RunResult) -> Verdict | None:
    """Judges a model that knows the text that it learned from much better than other text."""
    advice, least = "more text, or more dropout", BY_HEART if _gain(r) < GOOD else MUCH_BY_HEART
    if _gap(r) >= least:
        alone = " by the network alone" if r.ngram_share else ""
        figures = f"train {r.train_nats:.2f}, held out {r.val_nats:.2f} nats{alone}"
        found = f"learned by heart: {figures}: {advice}"
        return Verdict("by heart", f"{_better(r)}, but {found}" if _gain(r) >= GOOD else found)
    if r.nats is not None and r.last_nats is not None and r.last_nats - r.nats >= RISEN:
        figures = f"held out {r.nats:.2f} nats at step {r.best_step:,}, {r.last_nats:.2f} at the end"
        return Verdict("overfits", f"began to overfit: {figures}: {advice}")
    return None


def _of_gain(r: RunResult) -> Verdict | None:
    """Judges a model by its distance from the best n-gram."""
    if r.nats is None or r.ngram_nats is None:
        return None
    advice = "more text would help, more time would not"
    if _gain(r) < GOOD:
        return Verdict("better", f"{_better(r)}: {advice if _text_limits(r) else _advice(r)}")
    good = "good for a text of this size"
    return Verdict("good", f"{_better(r)}: {good}{f'; {advice}' if _text_limits(r) else ''}")


def _gap(r: RunResult) -> float:
    """Returns by how much the text that the networks learned from is easier for them than held-out text.

    0 if that is not known, or if they have not read all of it once: then the two texts differ, and not what is known.
    """
    if r.val_nats is None or r.train_nats is None or _has_unread_text(r):
        return 0.0
    return r.val_nats - r.train_nats


def _has_unread_text(r: RunResult) -> bool:
    return r.passes is not None and r.passes <= 1


def _gain(r: RunResult) -> float:
    """Returns by how much a model is better than the best n-gram, 0 if that is not known."""
    return r.ngram_nats - r.nats if r.nats is not None and r.ngram_nats is not None else 0.0


def _better(r: RunResult) -> str:
    return f"better than the best n-gram ({r.order}-gram {r.ngram_nats:.2f}) by {_gain(r):.2f} nats"


def _text_limits(r: RunResult) -> bool:
    """Returns whether more time would not help."""
    return r.reason == "stopped early" or r.limit == "text"


def of_text(
    nats: float,
    alphabet: int,
    own: float | None,
    result: RunResult | None = None,
    *,
    characters: int = FEWEST,
    symbol: str = "character",
) -> Verdict | None:
    """Judges a model on any text, by its loss there and by that on the held-out text of its training.

    Args:
        own: the loss on the held-out text, if it is known.
        result: of its run, if it is known: on a text like its own the verdict is that of the run.
        characters: of the text that were predicted.
        symbol: what they are: characters or bytes.

    >>> of_text(1.9, 63, 1.31).sentence
    'expects this text worse than its own held-out text (1.31 nats), by 0.59: it is unlike the text that it learned'
    """
    if characters < FEWEST:
        return Verdict("too short", f"so short a text tells little: give it {FEWEST} {symbol}s or more")
    if nats > (guess := math.log(max(1, alphabet))):
        return Verdict("worse than guessing", f"worse than guessing ({guess:.2f} nats): a text of another kind")
    if own is None:
        return None
    own_text = f"its own held-out text ({own:.2f} nats)"
    if (apart := abs(nats - own)) < UNLIKE:
        of_run_ = of_run(result)
        found = f"expects this text as well as {own_text}"
        return Verdict(of_run_.kind if of_run_ else "like", f"{found}; {of_run_.sentence}" if of_run_ else found)
    if nats > own:
        worse = f"expects this text worse than {own_text}, by {apart:.2f}"
        return Verdict("unlike", f"{worse}: it is unlike the text that it learned")
    better = f"expects this text better than {own_text}, by {apart:.2f}"
    return Verdict("easier", f"{better}: it is easier, or it learned from it")
