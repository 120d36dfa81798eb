"""The language of a lesson: sentences filled with numbers, and what runs are called."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from charnet.config import ModelSettings
from charnet.insight.gradients import Spread
from charnet.insight.memory import ContextCurve
from charnet.insight.svg import RAISED
from charnet.lesson import chinese, english
from charnet.lesson.results import Text
from charnet.lesson.runs import Run

LANGUAGES = {"en": english.SENTENCES, "zh": chinese.SENTENCES}
CELL_NAMES = {"rnn tanh": "RNN (tanh)", "rnn relu": "RNN (ReLU)", "lstm": "LSTM", "cifg": "CIFG", "gru": "GRU"}
OPTIMIZER_NAMES = {"muon": "Muon", "adamw": "AdamW", "sgd": "SGD"}
LEAST_PERCENT = 0.001  # that is told
LITTLE_LEFT = 0.01  # of a gradient
EDGE = "\x1e"  # around a value in a Chinese sentence, until it is known what stands beside it
SPACED = re.compile(f"(?<=[一-鿿]){EDGE}(?=[A-Za-z0-9(])|(?<=[A-Za-z0-9)]){EDGE}(?=[一-鿿])")


class Words:
    """Says things in a language."""

    def __init__(self, language: str) -> None:
        self.language, self._sentences = language, LANGUAGES[language]

    def say(self, key: str, **values: object) -> str:
        """Returns a sentence with values in it; in a Chinese one a space parts Latin letters and digits from Chinese.

        >>> Words("zh").say("disturbed", names="GRU")[:9]
        '训练 GRU 时，'
        """
        if self.language != "zh":
            return self._sentences[key].format(**values)
        edged = {name: f"{EDGE}{value}{EDGE}" for name, value in values.items()}
        return SPACED.sub(" ", self._sentences[key].format(**edged)).replace(EDGE, "")

    def listed(self, names: Sequence[str]) -> str:
        """Returns names as a list: "a, b and c"."""
        if len(names) < 2:
            return "".join(names)
        return self.say("list.and", first=self.say("list.comma").join(names[:-1]), last=names[-1])

    def share(self, value: float) -> str:
        """Formats a fraction in percent. Less than a thousandth of one is called so.

        >>> [Words("en").share(value) for value in (0.5, 0.0132, 0.00041, 3.1e-6)]
        ['50 %', '1.3 %', '0.041 %', 'less than 0.001 %']
        """
        percent = 100 * value
        if not percent >= LEAST_PERCENT:  # nor one that is no number
            return self.say("share.less", least=LEAST_PERCENT)
        digits = 0 if percent >= 10 else 1 - math.floor(math.log10(percent))
        return self.say("share", value=f"{percent:.{digits}f}")

    def title(self, text: Text) -> str:
        """Returns what the text of a lesson is called: the title of a book, where charnet knows it."""
        known = f"text.{text.name}" if text.is_bundled else ""
        return self.say(known if known in self._sentences else "text", name=text.name)

    def of_run(self, run: Run, part: str = "") -> str:
        """Returns what a run is called beside those of a part, by default its own."""
        model, training, part = run.config.model, run.config.training, part or run.part
        if part == "windows":
            return self.say("line.window", window=training.window)
        if part == "units":
            return self.say("line.units", units=model.hidden_size)
        if part == "layers":
            key = "line.layer" if model.num_layers == 1 else "line.layers"
            return self.say(
                key, units=model.hidden_size, **{"layers": model.num_layers} if model.num_layers > 1 else {}
            )
        if part == "optimizers":
            return optimizer(run)
        return self.say("line.seed") if part == "noise" else cell(run.config.model)


def cell(model: ModelSettings) -> str:
    """Returns the name of a cell."""
    return CELL_NAMES[f"rnn {model.activation}" if model.cell == "rnn" else model.cell]


def optimizer(run: Run) -> str:
    """Returns the name of a run's optimizer."""
    return OPTIMIZER_NAMES[run.config.training.optimizer]


def nats(value: float) -> str:
    """Formats a loss or a difference of losses.

    >>> nats(1.64658), nats(0.00849)
    ('1.647', '0.008')
    """
    return f"{value:.3f}"


def any_nats(value: float) -> str:
    """Formats a loss that may be very large.

    >>> any_nats(2.5534), any_nats(4574.5)
    ('2.553', '4,574')
    """
    return nats(value) if abs(value) < 1000 else size(value)


def size(value: float) -> str:
    """Formats a number of any size.

    >>> [size(value) for value in (0.836, 206.5, 1_130_000.0, 4.1e12, 2.2e-7)]
    ['0.84', '206', '1,130,000', '10¹²', '10⁻⁷']
    """
    if not math.isfinite(value):
        return "∞"
    if 0 < value < 1e-4 or value >= 1e9:
        return power_of_ten(value)
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def power_of_ten(value: float) -> str:
    """Returns the power of ten below a number."""
    return "10" + str(math.floor(math.log10(value))).translate(RAISED)


def horizon(curve: ContextCurve) -> str:
    """Returns where a memory ends; it may lie beyond what was measured."""
    if curve.is_unstable:
        return "-"
    return f"> {curve.lengths[-1]:,}" if curve.is_open else f"{curve.horizon:,}"


def reach(spread: Spread) -> int:
    """Returns after how many characters less than a hundredth of a gradient is left; the most if more is left."""
    return next((k for k, mean in enumerate(spread.mean) if mean < LITTLE_LEFT), len(spread.mean))


def shown_reach(spread: Spread) -> str:
    """Returns the same for the page: it may lie beyond what was measured."""
    return f"> {len(spread.mean) - 1}" if reach(spread) == len(spread.mean) else str(reach(spread))
