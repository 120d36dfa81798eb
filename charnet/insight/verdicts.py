"""Says in a sentence or two what the figures of a model mean and what to do: each follows from the numbers."""

from __future__ import annotations

import math
from bisect import bisect_right

from charnet.insight.gates import LONGEST_HALF_LIFE, LayerGates
from charnet.insight.gradients import GradientReach
from charnet.insight.memory import ContextCurve
from charnet.insight.numbers import fixed
from charnet.insight.study import Study

NEAR = (0.8, 1.3)  # times the window: memory ends there
WORSE = 0.02  # nats per character: more context makes the prediction worse
MUCH = 0.02  # of the gradient: what the window cuts off
VANISHED, EXPLODED = 0.1, 2.0  # the size of d h_t / d h_(t-k), relative to 1
TIE = 0.0005  # nats


def of_memory(study: Study) -> str:
    """Says where the memory ends, and whether a longer window may move that end."""
    curve, window = study.memory, study.checkpoint.config.training.window
    if curve is None:
        return ""
    if curve.is_unstable:
        worst = max(range(len(curve.nats)), key=curve.nats.__getitem__)
        return (
            f"Where its memory ends cannot be told: with {_count(curve.lengths[worst], study.symbol)} of context the "
            f"loss is {fixed(curve.nats[worst], 2)} nats, with one {fixed(curve.nats[0], 2)}. Its state grows without "
            "a limit, as it can with relu and no gates."
        )
    best = min(range(len(curve.nats)), key=curve.nats.__getitem__)
    if curve.nats[-1] > curve.nats[best] + WORSE:
        length = _count(curve.lengths[best], study.symbol)
        return (
            f"More than {length} of context makes it worse: from {curve.nats[best]:.2f} to {curve.nats[-1]:.2f} nats. "
            "This text is unlike the one that it learned from."
        )
    if curve.is_open:
        return (
            f"More context still helps at {_count(curve.lengths[-1], study.symbol)}, the longest that was tried: "
            f"from the first one on it is worth {curve.nats[0] - curve.nats[-1]:.2f} nats."
        )
    ends = f"Its memory ends at {_count(curve.horizon, study.symbol)}: of {curve.lengths[-1]:,}, what lies further back"
    ends += " makes no difference that can be measured"
    trained = f"It was trained with windows of {window:,}"
    if NEAR[0] * window <= curve.horizon <= NEAR[1] * window:
        return f"{ends}. {trained}, and may remember more with charnet train --window {2 * window}."
    if curve.horizon < window:
        return f"{ends}. {trained}, so the window is not what limits it."
    return f"{ends}. {trained}; what it carries from window to window reaches beyond them."


def of_gradient(study: Study) -> str:
    """Says how far the gradient of the loss reaches, and how much of it the window of training cuts off."""
    reach, window = study.reach, study.checkpoint.config.training.window
    if reach is None:
        return ""
    sentences = [f"Half of the gradient goes to the last {_short(reach.half + 1, study.symbol)}."]
    if window < len(reach.distances):
        beyond = sum(reach.loss.mean[window:]) / sum(reach.loss.mean)
        what = f"{100 * beyond:.1f} % of it" if beyond >= 0.001 else "next to nothing of it"
        more = f": charnet train --window {2 * window} would let it learn from that." if beyond > MUCH else "."
        sentences.append(
            f"Beyond {_count(window, study.symbol)}, where truncated back-propagation cuts it off at the latest, lies "
            f"{what}{more}"
        )
    else:
        sentences.append(f"Its windows of {window:,} are longer than the {len(reach.distances):,} looked at here.")
    return " ".join([*sentences, *_of_states(reach, study.symbol)])


def _of_states(reach: GradientReach, symbol: str) -> list[str]:
    """Says how a state depends on earlier ones: by c, which carries memory, where there is one."""
    carried = {name: spread for name, spread in reach.states.items() if name.startswith("c")} or reach.states
    return [_of_state(name, spread.mean, symbol) for name, spread in carried.items()]


def _of_state(name: str, sizes: list[float], symbol: str) -> str:
    what = f"The gradient from {name} to the hidden state of later {symbol}s"
    if not all(map(math.isfinite, sizes)):
        return f"{what} is no longer a finite number: it explodes."
    if max(sizes) > EXPLODED:
        return f"{what} grows, to {max(sizes):.3g} times its size after {_count(sizes.index(max(sizes)), symbol)}."
    if sizes[-1] < VANISHED:
        at = next(k for k, size in enumerate(sizes) if size < VANISHED)
        return f"{what} falls to a tenth within {_count(at, symbol)}."
    return f"{what} still has {100 * sizes[-1]:.0f} % of its size after {_count(len(sizes) - 1, symbol)}."


def of_gates(layer: LayerGates, symbol: str = "character") -> str:
    """Says how long the units of a layer keep what they hold, and which of them do nothing."""
    sentences = []
    if layer.half_lives:
        ordered = sorted(layer.half_lives)
        median, longest = ordered[len(ordered) // 2], ordered[-1]
        above = len(ordered) - bisect_right(ordered, 10.0)
        sentences.append(
            f"Half of the units lose half of what they hold within {symbols(median, symbol)}; {above:,} of "
            f"{layer.units:,} keep it for more than 10, the slowest for {symbols(longest, symbol)}."
        )
    elif "h" in layer.open:
        sentences.append(
            f"A simple recurrent network has no gates. Of its states, {100 * layer.open['h']:.0f} % are above 0.9 in "
            f"size and {100 * layer.shut['h']:.0f} % below 0.1."
        )
    if layer.dead:
        sentences.append(f"{_count(len(layer.dead), 'unit')} of {layer.units:,} never changed in this text.")
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
    loss, choices = f"{nats:.3f} nats ({nats / math.log(2):.3f} bits)", f"{math.exp(min(nats, 700)):.1f}"
    return (
        f"The average loss is {loss} per {study.symbol}. That is as uncertain as a choice among {choices} equally "
        f"likely {study.symbol}s."
    )


def of_comparison(studies: list[Study]) -> list[str]:
    """Says in a sentence each how models differ: in loss, in memory and in the reach of the gradient."""
    first, second = sorted(studies, key=lambda each: each.nats_per_char)[:2]
    gap = second.nats_per_char - first.nats_per_char
    if gap < TIE:
        found = [f"{first.name} and {second.name} expect this text equally well: {first.nats_per_char:.3f} nats."]
    else:
        loss = f"{first.nats_per_char:.3f} nats, {gap:.3f} fewer than {second.name}"
        found = [f"{first.name} expects this text best: {loss}."]
    symbol = first.symbol
    curves = [(each.memory, each.name) for each in studies if each.memory and not each.memory.is_unstable]
    curves.sort(key=lambda each: (each[0].horizon, each[1]))
    if len(curves) > 1:
        found.append("Memory ends at " + ", ".join(f"{horizon(c)} ({name})" for c, name in curves) + f" {symbol}s.")
    halves = sorted((each.reach.half + 1, each.name) for each in studies if each.reach is not None)
    if len(halves) > 1:
        ends = ", ".join(f"{h:,} ({name})" for h, name in halves)
        found.append(f"Half of the gradient goes to the last {ends} {symbol}s.")
    return found


def horizon(curve: ContextCurve) -> str:
    """Formats where a memory ends."""
    if curve.is_unstable:
        return "-"
    return f"{curve.horizon:,} or more" if curve.is_open else f"{curve.horizon:,}"


def symbols(count: float, symbol: str = "character") -> str:
    """Formats a number of characters, or of bytes, that need not be whole.

    >>> symbols(0.37), symbols(1.0), symbols(12.3, "byte"), symbols(20000)
    ('0.4 characters', '1 character', '12 bytes', '10,000 characters or more')
    """
    if count >= LONGEST_HALF_LIFE:
        return f"{LONGEST_HALF_LIFE:,.0f} {symbol}s or more"
    number = f"{count:,.0f}" if count >= 10 or count == round(count) else f"{count:.1f}"
    return f"{number} {symbol}{'' if number == '1' else 's'}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def _short(number: int, noun: str) -> str:
    return noun if number == 1 else _count(number, noun)
