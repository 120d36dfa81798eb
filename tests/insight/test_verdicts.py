"""Each sentence about a model follows from its numbers: a case for every branch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from charnet.insight import verdicts
from charnet.insight.gates import LayerGates
from charnet.insight.gradients import GradientReach, Spread
from charnet.insight.memory import ContextCurve
from charnet.insight.trace import Place
from charnet.insight.units import Follower, Unit

LENGTHS = [1, 2, 4, 8, 16, 32, 64]


def study(window: int = 32, **values: Any) -> Any:
    checkpoint = SimpleNamespace(config=SimpleNamespace(training=SimpleNamespace(window=window)))
    common = {"checkpoint": checkpoint, "symbol": "character", "memory": None, "reach": None, "name": "one"}
    return SimpleNamespace(**{**common, **values})


def curve(horizon: int, nats: list[float] | None = None) -> ContextCurve:
    nats = nats or [3.0 if length < horizon else 1.0 for length in LENGTHS]
    return ContextCurve(LENGTHS, nats, [0.0] * 7, horizon, 1024, 32)


@pytest.mark.parametrize(
    ("window", "found", "expected"),
    [
        (
            32,
            curve(32),
            "Its memory ends at 32 characters: of 64, what lies further back makes no difference that can be "
            "measured. It was trained with windows of 32, and may remember more with charnet train --window 64.",
        ),
        (24, curve(12), "It was trained with windows of 24, so the window is not what limits it."),
        (24, curve(6), "so the window is not what limits it."),
        (32, curve(26), "may remember more with charnet train --window 64."),
        (8, curve(32), "It was trained with windows of 8; what it carries from window to window reaches beyond them."),
        (32, curve(1), "Its memory ends at 1 character: "),
        (
            32,
            curve(64),
            "More context still helps at 64 characters, the longest that was tried: from the first one on it is "
            "worth 2.00 nats.",
        ),
        (
            32,
            curve(1, [5.0, 5.1, 5.2, 6.0, 7.0, 7.0, 7.0]),
            "More than 1 character of context makes it worse: from 5.00 to "
            "7.00 nats. This text is unlike the one that it learned from.",
        ),
        (
            32,
            curve(32, [5.5, 5.5, 6.0, 5.8, 5.9, 9.8e23, 5.1]),
            "Where its memory ends cannot be told: with 32 characters of context the loss is 9.800e+23 nats, with one "
            "5.50. Its state grows without a limit",
        ),
        (32, curve(1, [5.5, 7.0, 31.0, 40.0, 50.0, 60.0, 60.0]), "Where its memory ends cannot be told: "),
    ],
)
def test_of_memory(window: int, found: ContextCurve, expected: str) -> None:
    assert expected in verdicts.of_memory(study(window, memory=found))


def test_an_exploding_network_has_no_memory_to_compare() -> None:
    exploding = study(memory=curve(32, [5.5, 5.5, 6.0, 5.8, 5.9, 9.8e23, 5.1]), nats_per_char=5.1, name="relu")
    others = [study(memory=curve(each), nats_per_char=1.5, name=f"lstm-{each}") for each in (4, 8)]
    assert "Memory ends at 4 (lstm-4), 8 (lstm-8) characters." in verdicts.of_comparison([exploding, *others])


def test_bytes_are_called_bytes() -> None:
    assert "ends at 32 bytes" in verdicts.of_memory(study(memory=curve(32), symbol="byte"))
    assert verdicts.of_memory(study()) == ""


def reach(loss: list[float], **states: list[float]) -> GradientReach:
    spreads = {name.replace("_", ", layer "): Spread(sizes, sizes, sizes) for name, sizes in states.items()}
    half = next(k for k in range(len(loss)) if sum(loss[: k + 1]) >= sum(loss) / 2)
    return GradientReach(list(range(len(loss))), Spread(loss, loss, loss), spreads, 256, half)


FALLING = [0.5**k for k in range(64)]


@pytest.mark.parametrize(
    ("window", "found", "expected", "unexpected"),
    [
        (
            8,
            reach(FALLING, h=FALLING),
            "Half of the gradient goes to the last character. Beyond 8 characters, where "
            "truncated back-propagation cuts it off at the latest, lies 0.4 % of it. The gradient from h to the hidden "
            "state of later characters falls to a tenth within 4 characters.",
            "--window",
        ),
        (
            8,
            reach([1.0] * 64, h=FALLING),
            "goes to the last 32 characters. Beyond 8 characters, where truncated "
            "back-propagation cuts it off at the latest, lies 87.5 % of it: charnet train --window 16 would let",
            "next to",
        ),
        (32, reach(FALLING, h=FALLING), "lies next to nothing of it.", "--window"),
        (64, reach(FALLING, h=FALLING), "Its windows of 64 are longer than the 64 looked at here.", "Beyond"),
        (
            8,
            reach(FALLING, h=FALLING, c=[0.99**k for k in range(64)]),
            "from c to the hidden state of later characters still has 53 % of its size after 63 characters.",
            "from h",
        ),
        (
            8,
            reach(FALLING, h=[1.1**k for k in range(64)]),
            "grows, to 405 times its size after 63 characters.",
            "falls",
        ),
        (8, reach(FALLING, h=[1.0] * 60 + [float("nan")] * 4), "no longer a finite number: it explodes.", "nan"),
        (
            8,
            reach(FALLING, h_1=FALLING, h_2=[1.0] * 64),
            "from h, layer 2 to the hidden state of later characters still has 100 % of its size after 63 characters.",
            "grows",
        ),
    ],
)
def test_of_gradient(window: int, found: GradientReach, expected: str, unexpected: str) -> None:
    said = verdicts.of_gradient(study(window, reach=found))
    assert expected in said
    assert unexpected not in said


def gates(**values: Any) -> LayerGates:
    common: dict[str, Any] = {"half_lives": [], "shut": {}, "open": {}, "dead": [], "units": 4}
    return LayerGates(Place(0, 0), "lstm", **{**common, **values})


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            gates(half_lives=[0.5, 1.0, 20.0, 3.0]),
            "Half of the units lose half of what they hold within 3 characters; 1 of 4 "
            "keep it for more than 10, the slowest for 20 characters. No unit is dead.",
        ),
        (gates(half_lives=[1e4] * 4), "the slowest for 10,000 characters or more."),
        (gates(shut={"h": 0.2}, open={"h": 0.5}), "Of its states, 50 % are above 0.9 in size and 20 % below 0.1."),
        (gates(dead=[1, 2]), "2 units of 4 never changed in this text."),
        (gates(dead=[1]), "1 unit of 4 never changed in this text."),
    ],
)
def test_of_gates(layer: LayerGates, expected: str) -> None:
    assert expected in verdicts.of_gates(layer)


def follower(found: float, correlation: float, number: int = 3) -> Follower:
    return Follower(Unit(Place(0, 0), number), "c", found, correlation, 0.9, 0.1)


def test_of_units_counts_only_what_holds_on_both_halves() -> None:
    name = {"unit_name": lambda unit: unit.name(1, 1)}
    clear = {"column": [follower(0.5, 0.6)], "vowel": [follower(-0.4, -0.3, 4)], "digit": [follower(0.3, -0.3)]}
    said = verdicts.of_units(study(followers=clear, **name))
    assert said == "Unit 3 follows column with a correlation of +0.60. It also follows vowel (unit 4, -0.30)."
    unclear = {"digit": [follower(0.3, -0.3)], "space": [follower(0.2, 0.05)], "none": []}
    assert verdicts.of_units(study(followers=unclear, **name)).startswith("No unit follows any")


def test_of_a_comparison() -> None:
    one = study(nats_per_char=1.5, memory=curve(8), reach=reach(FALLING, h=FALLING))
    two = study(name="two", nats_per_char=1.25, memory=curve(64), reach=reach([1.0] * 64, h=FALLING))
    assert verdicts.of_comparison([one, two]) == [
        "two expects this text best: 1.250 nats, 0.250 fewer than one.",
        "Memory ends at 8 (one), 64 or more (two) characters.",
        "Half of the gradient goes to the last 1 (one), 32 (two) characters.",
    ]
    near = study(name="two", nats_per_char=1.25, memory=curve(8))
    assert "Memory ends at 8 (one), 8 (two) characters." in verdicts.of_comparison([near, one])
    same = study(name="two", nats_per_char=1.5001)
    assert verdicts.of_comparison([one, same]) == ["one and two expect this text equally well: 1.500 nats."]
