"""Says in a sentence or two what the figures of a model mean and what to do: each follows from the numbers."""

from __future__ import annotations

import math
from bisect import bisect_right

from charnet.insight.gates import LONGEST_HALF_LIFE, LayerGates
from charnet.insight.gradients import GradientReach
from charnet.insight.memory import ContextCurve
from charnet.insight.study import Study

NEAR = 1.3  # times the window: memory ends there
MUCH = 0.02  # of the gradient: what the window cuts off
VANISHED, EXPLODED = 0.1, 2.0  # the size of d h_t / d h_(t-k), relative to 1


def of_memory(study: Study) -> str:
    """Says where the memory ends, and whether a longer window would move that end."""
    curve, window = study.memory, study.checkpoint.config.training.window
    if curve is None:
        return ""
    gain = curve.nats[0] - curve.nats[-1]
    seen = f"Of {curve.lengths[-1]:,} characters of context, the last {curve.horizon:,} make all the difference"
    if curve.is_open:
        return (
            f"More context still helps at {curve.lengths[-1]:,} characters, the longest that was tried: "
            f"all of it is worth {gain:.2f} nats per character."
        )
    trained = f"it was trained with windows of {window:,}"
    if window / 2 <= curve.horizon <= NEAR * window:
        more = f"charnet train --window {2 * window} lets it learn more"
        advice = f"{trained}, so its memory ends where its window did: {more}"
    elif curve.horizon < window:
        advice = f"{trained}, so it could have learned more: a longer window alone would not help"
    else:
        advice = f"{trained}, and what it carries from window to window reaches beyond them"
    return f"{seen} that can be measured; {advice}."


def of_gradient(study: Study) -> str:
    """Says how far the gradient of the loss reaches, and how much of it the window of training cuts off."""
    reach, window = study.reach, study.checkpoint.config.training.window
    if reach is None:
        return ""
    sentences = [f"Half of the gradient goes to the last {_count(reach.half + 1, 'character')}."]
    if window < len(reach.distances):
        beyond = sum(reach.loss.mean[window:]) / sum(reach.loss.mean)
        what = f"{100 * beyond:.1f} %" if beyond >= 0.001 else "next to nothing"
        sentences.append(
            f"Behind {window:,} characters, where truncated back-propagation cuts it off in training, lies {what}"
            + (": charnet train --window {2 * window} would let it learn from that." if beyond > MUCH else ".")
        )
    sentences.append(_of_states(reach))
    return " ".join(filter(None, sentences))


def _of_states(reach: GradientReach) -> str:
    name, spread = next(iter(reach.states.items()))
    last = spread.mean[-1]
    largest = max(spread.mean)
    if largest > EXPLODED:
        at = spread.mean.index(largest)
        return f"From one hidden state to later ones it grows, to {largest:.3g} times its size after {at} characters."
    if last < VANISHED:
        at = next(k for k, size in enumerate(spread.mean) if size < VANISHED)
        return f"From one hidden state to later ones ({name}) it falls to a tenth within {_count(at, 'character')}."
    return f"From one hidden state to later ones ({name}) {100 * last:.0f} % of it is left after {len(spread.mean)}."


def of_gates(layer: LayerGates) -> str:
    """Says how long the units of a layer keep what they hold, and which of them do nothing."""
    sentences = []
    if layer.half_lives:
        ordered = sorted(layer.half_lives)
        median, longest = ordered[len(ordered) // 2], ordered[-1]
        above = len(ordered) - bisect_right(ordered, 10.0)
        sentences.append(
            f"Half of the units lose half of what they hold within {characters(median)}; {above:,} of {layer.units:,} "
            f"keep it for more than 10, the slowest for {characters(longest)}."
        )
    elif "h" in layer.open:
        sentences.append(
            f"A simple recurrent network has no gates. Of its states, {100 * layer.open['h']:.0f} % are above 0.9 in "
            f"size and {100 * layer.shut['h']:.0f} % below 0.1."
        )
    if layer.dead:
        sentences.append(f"{_count(len(layer.dead), 'unit')} of {layer.units:,} never change: they are dead.")
    else:
        sentences.append("No unit is dead.")
    return " ".join(sentences)


def of_units(study: Study) -> str:
    """Says what the network keeps track of most clearly."""
    best = [(name, each[0]) for name, each in study.followers.items() if each and each[0].is_clear]
    best.sort(key=lambda pair: -abs(pair[1].correlation))
    if not best:
        return "No unit follows any of these properties more than chance would."
    (name, first), *others = best
    also = [f"{other} ({study.unit_name(each.unit)}, {each.correlation:+.2f})" for other, each in others[:2]]
    rest = f" It also follows {' and '.join(also)}." if also else ""
    unit = study.unit_name(first.unit).capitalize()
    return f"{unit} follows {name} with a correlation of {first.correlation:+.2f}.{rest}"


def of_surprise(study: Study) -> str:
    """Says how well the text is expected on average."""
    nats = study.nats_per_char
    return (
        f"On average a character comes as a surprise of {nats:.3f} nats ({nats / math.log(2):.3f} bits): as if one of "
        f"{math.exp(min(nats, 700)):.1f} equally likely ones came."
    )


def of_comparison(studies: list[Study]) -> list[str]:
    """Says in a sentence each how models differ: in loss, in memory and in the reach of the gradient."""
    by_loss = sorted(studies, key=lambda each: each.nats_per_char)
    first, second = by_loss[:2]
    gap = second.nats_per_char - first.nats_per_char
    loss = f"{first.nats_per_char:.3f} nats, {gap:.3f} fewer than {second.name}"
    found = [f"{first.name} expects this text best: {loss}."]
    horizons = [(each.memory.horizon, each.name) for each in studies if each.memory is not None]
    if len(horizons) > 1:
        found.append("Memory ends at " + ", ".join(f"{characters(h)} ({name})" for h, name in sorted(horizons)) + ".")
    halves = [(each.reach.half + 1, each.name) for each in studies if each.reach is not None]
    if len(halves) > 1:
        found.append(
            "Half of the gradient goes to the last "
            + ", ".join(f"{_count(h, 'character')} ({name})" for h, name in sorted(halves)) + "."
        )  # fmt: skip
    return found


def horizon(curve: ContextCurve) -> str:
    """Formats where a memory ends."""
    return f"{curve.horizon:,} or more" if curve.is_open else f"{curve.horizon:,}"


def characters(count: float) -> str:
    """Formats a number of characters that need not be whole.

    >>> characters(0.37), characters(1.0), characters(12.3), characters(20000)
    ('0.4 characters', '1 character', '12 characters', '10,000 characters or more')
    """
    if count >= LONGEST_HALF_LIFE:
        return f"{LONGEST_HALF_LIFE:,.0f} characters or more"
    number = f"{count:,.0f}" if count >= 10 or count == round(count) else f"{count:.1f}"
    return f"{number} character{'' if number == '1' else 's'}"


def _count(number: int, noun: str) -> str:
    return noun if number == 1 else f"{number:,} {noun}s"
