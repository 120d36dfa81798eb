"""What the numbers of a lesson say, in sentences: each is a function of the numbers, with a sentence for each case."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence

from charnet.lesson.explosion import LAST_STEPS
from charnet.lesson.plan import REFERENCE
from charnet.lesson.results import SMALLEST_DIFFERENCE, Lesson, loss, ranked
from charnet.lesson.runs import Run
from charnet.lesson.temperatures import STRING
from charnet.lesson.words import Words, any_nats, cell, horizon, nats, optimizer, reach, shown_reach, size

SLOWER = 0.8  # of the characters of another: a network that read fewer is called slower
ALIKE = 1.25  # lengths that differ by a smaller factor are called alike
CLEARLY_HIGHER = 0.2  # nats: the peak of a loss
LARGER = 3  # times: a gradient that is called larger
TANH = "rnn-tanh"


def answers(lesson: Lesson, words: Words) -> dict[str, list[str]]:
    """Returns everything that is said of a lesson, by sections of the page."""

    def compared(part: str, say: Callable[[Lesson, Words], list[str]]) -> list[str]:
        return of_disturbed(lesson, words, part) or say(lesson, words)

    return {
        "head": head(lesson, words),
        "cells": compared("cells", of_cells),
        "units": compared("units", of_units),
        "layers": compared("layers", of_layers),
        "memory": [*of_memory(lesson, words), *of_gradient(lesson, words)],
        "explosion": of_explosion(lesson, words),
        "windows": compared("windows", of_windows),
        "optimizers": compared("optimizers", of_optimizers),
        "temperature": of_temperature(lesson, words),
    }


def head(lesson: Lesson, words: Words) -> list[str]:
    """Says what was trained, what is equal, and what chance explains."""
    text, base, steps = lesson.text, lesson.run(REFERENCE), not lesson.by_time
    taken = sorted(run.steps for run in lesson.runs) or [0]
    length = words.say("length.steps", steps=f"{lesson.plan.steps or taken[-1]:,}") if steps else words.say(
        "length.seconds", seconds=f"{lesson.plan.seconds or 0:.3g}")  # fmt: skip
    said = [
        words.say("intro", count=len(lesson.runs), text=words.title(text), characters=f"{text.characters:,}",
                  alphabet=text.alphabet_size, length=length),
        words.say("intro.loss", alphabet=text.alphabet_size, held_out=f"{text.held_out:,}",
                  blind=nats(math.log(text.alphabet_size))),
    ]  # fmt: skip
    if base:
        training = base.config.training
        said.append(words.say("equal.steps" if steps else "equal.seconds", units=base.config.model.hidden_size,
                              streams=training.batch_size, window=training.window))  # fmt: skip
    chance, difference = nats(lesson.chance), lesson.seed_difference
    if difference is None:
        ends = {"fewest": f"{taken[0]:,}", "most": f"{taken[-1]:,}"}
        said.append(words.say("chance.unknown", chance=chance, count=len(lesson.runs), **ends))
    else:
        said.append(words.say("chance", difference=nats(difference), chance=chance, least=SMALLEST_DIFFERENCE))
        if any(run in lesson.disturbed for run in (base, *lesson.of_part("noise"))):
            said.append(words.say("chance.disturbed"))
    if lesson.plan.left_out:
        parts = words.listed([words.say(f"part.{part}") for part in lesson.plan.left_out])
        said.append(words.say("left_out", parts=parts))
    if busy := lesson.disturbed:
        said.append(words.say("disturbed", names=words.listed([words.of_run(run) for run in busy])))
    if diverged := [words.of_run(run) for run in lesson.runs if run.diverged]:
        said.append(words.say("diverged", names=words.listed(diverged)))
    return said


def of_disturbed(lesson: Lesson, words: Words, part: str) -> list[str]:
    """Says that other programs disturbed a comparison, and names no run the best; nothing where they did not."""
    found = ranked(lesson.of_part(part))
    disturbed = [words.of_run(run, part) for run in found if run in lesson.disturbed]
    if len(found) < 2 or not disturbed:
        return []
    best = words.of_run(found[0], part)
    return [words.say("compared.disturbed", names=words.listed(disturbed), best=best, nats=nats(loss(found[0])))]


def of_cells(lesson: Lesson, words: Words) -> list[str]:
    """Says which cell is best, by how much, and how fast they are."""
    found = ranked(lesson.of_part("cells"))
    if len(found) < 2:
        return []
    best, names = found[0], [cell(run.config.model) for run in found]
    count = len(_tied(found, lesson.chance))
    common = {"best": names[0], "nats": nats(loss(best)), "perplexity": f"{math.exp(loss(best)):.2f}"}
    if count == 1:
        key = "cells.clear" if lesson.seed_difference is not None else "cells.ahead"
        said = [words.say(key, second=names[1], gap=_gap(best, found[1]), **common)]
    else:
        gap, tied = _gap(best, found[count - 1]), words.listed(names[:count])
        said = [words.say("cells.tied", names=tied, gap=gap, chance=nats(lesson.chance), **common)]
    if max(2, count) < len(found):
        said.append(words.say("cells.last", worst=names[-1], gap=_gap(best, found[-1])))
    slow, fast = (choose(found, key=lambda run: run.characters) for choose in (min, max))
    if lesson.by_time and slow.characters < SLOWER * fast.characters:
        ends = {"fast": cell(fast.config.model), "slow": cell(slow.config.model)}
        said.append(words.say("cells.speed", most=f"{fast.characters:,}", fewest=f"{slow.characters:,}", **ends))
    elif lesson.by_time:
        said.append(words.say("cells.speed.even"))
    return said


def of_units(lesson: Lesson, words: Words) -> list[str]:
    """Says how many units the text can use."""
    found = ranked(lesson.of_part("units"))
    if len(found) < 2:
        return []
    best, by_units = found[0], sorted(found, key=_units)
    small, large = by_units[0], by_units[-1]
    tied = _tied(found, lesson.chance)
    common = {"best": _units(best), "nats": nats(loss(best))}
    if len(tied) > 1:
        sizes = sorted(map(_units, tied))
        said = [
            words.say("units.tied", names=words.listed(list(map(str, sizes))), fewest=sizes[0], nats=common["nats"])
        ]
    elif best is large:
        said = [words.say("units.more", second=_units(found[1]), gap=_gap(best, found[1]), **common)]
    else:
        key = "units.slow" if large.characters < SLOWER * best.characters else "units.enough"
        read = f"{100 * large.characters / max(1, best.characters):.0f}"
        values = {"large": _units(large), "gap": _gap(best, large)} | ({"share": read} if key == "units.slow" else {})
        said = [words.say(key, **common, **values)]
    if small not in tied:
        said.append(words.say("units.small", small=_units(small), gap=_gap(best, small)))
    return said


def of_layers(lesson: Lesson, words: Words) -> list[str]:
    """Says what a second layer brings."""
    one, two = lesson.run(REFERENCE), next(iter(lesson.of_part("layers", reference=False)), None)
    if not (one and two):
        return []
    gap = loss(two) - loss(one)
    values = {"nats": nats(loss(two)), "gap": nats(abs(gap))}
    if abs(gap) < lesson.chance:
        said = [words.say("layers.tied", chance=nats(lesson.chance), **values)]
    else:
        said = [words.say("layers.worse" if gap > 0 else "layers.better", **values)]
    if lesson.by_time:
        said.append(words.say("layers.speed", share=f"{100 * two.characters / max(1, one.characters):.0f}"))
    return said


def of_memory(lesson: Lesson, words: Words) -> list[str]:
    """Says how far memories reach, beside the window."""
    found = {
        cell(run.config.model): (run, lesson.memory[run.name])
        for run in lesson.of_part("cells") if run.name in lesson.memory
    }  # fmt: skip
    unstable = [name for name, (_, curve) in found.items() if curve.is_unstable]
    exploding = [words.say("memory.unstable", cells=words.listed(unstable))] * bool(unstable)
    found = {name: each for name, each in found.items() if name not in unstable}
    if not found:
        return exploding
    order = sorted(found, key=lambda name: found[name][1].horizon)
    (_, near), (run, far) = found[order[0]], found[order[-1]]
    if far.horizon <= ALIKE * near.horizon:
        said = [words.say("memory.same", far=horizon(far))]
    else:
        ends = {"longest": order[-1], "far": horizon(far), "shortest": order[0], "near": horizon(near)}
        said = [words.say("memory.range", **ends)]
    window = run.config.training.window
    if far.lengths[-1] <= window:  # the held-out text is too short to tell
        return said + exploding
    if far.horizon <= window:
        said.append(words.say("memory.window", window=window))
    else:
        said.append(words.say("memory.beyond", longest=order[-1], window=window))
    return said + exploding


def of_gradient(lesson: Lesson, words: Words) -> list[str]:
    """Says how the gradient of the tanh RNN vanishes beside that of the LSTM."""
    rnn, lstm = lesson.reach.get(TANH), lesson.reach.get(REFERENCE)
    run = lesson.run(REFERENCE)
    if not (rnn and lstm and run):
        return []
    k = min(run.config.training.window, len(rnn.distances), len(lstm.distances)) - 1
    rnn_h, lstm_h, lstm_c = rnn.states["h"], lstm.states["h"], lstm.states["c"]
    rnn_reach, lstm_reach = reach(rnn_h), reach(lstm_c)
    key = "gradient.lstm" if lstm_reach > ALIKE * rnn_reach else "gradient.rnn"
    means = {"rnn": rnn_h.mean[k], "lstm": lstm_h.mean[k], "c": lstm_c.mean[k]}
    left = {name: words.share(mean) for name, mean in means.items()}
    return [words.say(key, k=k, rnn_reach=shown_reach(rnn_h), lstm_reach=shown_reach(lstm_c), **left)]


def of_explosion(lesson: Lesson, words: Words) -> list[str]:
    """Says what the enlarged gradient did, without clipping and with it."""
    found = lesson.explosion
    if found is None:
        return []
    free, clipped = found.free, found.clipped
    first = free.norms[0]
    if not found.exploded:
        values = {"factor": f"{found.factor:g}", "norm": size(first), "usual": size(found.usual)}
        return [words.say("explosion.none", **values)]
    k = min(found.before.distances[-1], 31)
    after, before = (size(each.states["h"].mean[k]) for each in (found.after, found.before))
    said = [
        words.say("explosion.norm", norm=size(first), usual=size(found.usual), times=size(first / found.usual)),
        words.say("explosion.reach", k=k, after=after, before=before),
    ]
    steps = len(clipped.nats)
    end = {"end": any_nats(clipped.end), "all": steps, "last": min(LAST_STEPS, steps)}
    if free.broke_down:
        said.append(words.say("explosion.broke", steps=len(free.nats) - 1, first=any_nats(free.nats[0]), **end))
        return said
    peaks = {"peak": any_nats(max(free.nats)), "clipped_peak": any_nats(max(clipped.nats)), "free": any_nats(free.end)}
    if max(free.nats) < max(clipped.nats) + CLEARLY_HIGHER:
        said.append(words.say("explosion.mild", **peaks, **end))
        return said
    said.append(words.say("explosion.worse", first=any_nats(free.nats[0]), **peaks, **end))
    if free.end < clipped.end:
        said.append(words.say("explosion.escaped"))
    elif statistics.median(clipped.norms) > LARGER * statistics.median(free.norms):
        said.append(words.say("explosion.stays"))
    return said


def of_windows(lesson: Lesson, words: Words) -> list[str]:
    """Says which window is best, and how far memories reach with each."""
    found = ranked(lesson.of_part("windows"))
    if len(found) < 2:
        return []
    tied = _tied(found, lesson.chance)
    if len(tied) > 1:
        names = words.listed([str(window) for window in sorted(map(_window, tied))])
        said = [words.say("windows.tied", names=names, nats=nats(loss(found[0])))]
    else:
        others = [words.say("windows.other", window=_window(run), gap=_gap(found[0], run)) for run in found[1:]]
        said = [words.say("windows.clear", best=_window(found[0]), nats=nats(loss(found[0])),
                          others=words.listed(others))]  # fmt: skip
    memories = [lesson.memory[run.name] for run in sorted(found, key=_window) if run.name in lesson.memory]
    if len(memories) > 1 and not any(curve.is_unstable for curve in memories):
        grows = all(a.horizon < b.horizon for a, b in itertools.pairwise(memories))
        listed = words.listed([horizon(curve) for curve in memories])
        said.append(words.say("windows.grows" if grows else "windows.mixed", horizons=listed))
    return said


def of_optimizers(lesson: Lesson, words: Words) -> list[str]:
    """Says which optimizer is best."""
    found = ranked(lesson.of_part("optimizers"))
    if len(found) < 2:
        return []
    tied = _tied(found, lesson.chance)
    if len(tied) > 1:
        names = words.listed([optimizer(run) for run in tied])
        return [words.say("optimizers.tied", names=names, nats=nats(loss(found[0])))]
    others = [words.say("optimizers.other", name=optimizer(run), gap=_gap(found[0], run)) for run in found[1:]]
    return [words.say("optimizers.clear", best=optimizer(found[0]), nats=nats(loss(found[0])),
                      others=words.listed(others))]  # fmt: skip


def of_temperature(lesson: Lesson, words: Words) -> list[str]:
    """Says how texts differ between the lowest and the highest temperature."""
    if not lesson.written:
        return []
    low, high = lesson.written[0], lesson.written[-1]
    key = "temperature.rises" if low.nats < high.nats and low.known >= high.known else "temperature.mixed"
    return [
        words.say(key, low=low.temperature, high=high.temperature, low_nats=nats(low.nats), high_nats=nats(high.nats),
                  low_known=f"{100 * low.known:.0f}", high_known=f"{100 * high.known:.0f}", string=STRING,
                  text=words.title(lesson.text))
    ]  # fmt: skip


def _tied(found: Sequence[Run], chance: float) -> list[Run]:
    """Returns the runs that chance alone may part from the best, with it. `found` is ranked."""
    return [run for run in found if loss(run) - loss(found[0]) < chance]


def _gap(best: Run, other: Run) -> str:
    return nats(loss(other) - loss(best))


def _units(run: Run) -> int:
    return run.config.model.hidden_size


def _window(run: Run) -> int:
    return run.config.training.window
