"""The equations of the cells as HTML, as `charnet.model.cells` computes them."""

from __future__ import annotations

from charnet.insight.html import text
from charnet.lesson.words import Words

PARAMETERS = {
    "rnn-tanh": "H (E + H + 1)", "rnn-relu": "H (E + H + 1)", "lstm": "4 H (E + H + 1)", "cifg": "3 H (E + H + 1)",
    "gru": "3 H (E + H + 1) + H",
}  # fmt: skip
NOW, BEFORE = "<sub><i>t</i></sub>", "<sub><i>t</i>−1</sub>"
X, H, C, H_BEFORE, C_BEFORE = f"x{NOW}", f"h{NOW}", f"c{NOW}", f"h{BEFORE}", f"c{BEFORE}"


def equations(run: str, words: Words) -> str:
    """Returns the equations of the cell of a run as a list, each gate with its name."""
    rows = _RULES[run]
    cells = (f"<div>{left} = {right}</div><div class='quiet'>{text(words.say(key)) if key else ''}</div>"
             for left, right, key in rows)  # fmt: skip
    return f"<div class='equations'>{''.join(cells).replace(chr(39), chr(34))}</div>"


def _sum(gate: str) -> str:
    """Returns the weighted sum of a gate's inputs."""
    under = f"<sub><i>{gate}</i></sub>" if gate else ""
    return f"W{under} {X} + U{under} {H_BEFORE} + b{under}"


def _gate(name: str, function: str, key: str) -> tuple[str, str, str]:
    return f"{name}{NOW}", f"{function}({_sum(name)})", key


def _of_rnn(function: str) -> list[tuple[str, str, str]]:
    return [(H, f"{function}({_sum('')})", "")]


_RULES = {
    "rnn-tanh": _of_rnn("tanh"),
    "rnn-relu": _of_rnn("ReLU"),
    "lstm": [
        _gate("i", "σ", "gate.input"),
        _gate("f", "σ", "gate.forget"),
        _gate("g", "tanh", "gate.candidate"),
        _gate("o", "σ", "gate.output"),
        (C, f"f{NOW} ⊙ {C_BEFORE} + i{NOW} ⊙ g{NOW}", ""),
        (H, f"o{NOW} ⊙ tanh({C})", ""),
    ],
    "cifg": [
        _gate("i", "σ", "gate.input"),
        _gate("g", "tanh", "gate.candidate"),
        _gate("o", "σ", "gate.output"),
        (C, f"(1 − i{NOW}) ⊙ {C_BEFORE} + i{NOW} ⊙ g{NOW}", ""),
        (H, f"o{NOW} ⊙ tanh({C})", ""),
    ],
    "gru": [
        _gate("r", "σ", "gate.reset"),
        _gate("z", "σ", "gate.update"),
        (
            f"n{NOW}",
            f"tanh(W<sub><i>n</i></sub> {X} + b<sub><i>n</i></sub> + r{NOW} ⊙ (U<sub><i>n</i></sub> {H_BEFORE}"
            " + b<sub><i>hn</i></sub>))",
            "gate.candidate",
        ),
        (H, f"(1 − z{NOW}) ⊙ n{NOW} + z{NOW} ⊙ {H_BEFORE}", ""),
    ],
}  # fmt: skip
