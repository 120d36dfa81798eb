"""What an evaluation finds: losses in nats, and the same in other units."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from charnet.errors import DivergedError, plural, symbol_noun

CLEARLY_WORSE = 0.002  # nats per character


@dataclass(frozen=True)
class DynamicLoss:
    """The total loss, in nats, of a model that learned while it read, and how long that took."""

    nats: float
    characters: int
    seconds: float

    @property
    def nats_per_char(self) -> float:
        return self.nats / max(1, self.characters)

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / math.log(2)

    @property
    def chars_per_second(self) -> float:
        return self.characters / max(self.seconds, 1e-9)

    def is_worse_than(self, static: Evaluation) -> bool:
        """Returns whether learning clearly made the prediction of the same text worse."""
        return self.nats_per_char > static.nats_per_char + CLEARLY_WORSE


@dataclass(frozen=True)
class Evaluation:
    """The total loss on a text, in nats, and the number of characters it is summed over.

    `unknown` counts, by name, the characters outside the model's alphabet. They are neither read nor predicted. `notes`
    are sentences for the user about the text. `dynamic` is the loss with learning, if it was asked for. `verdict` says
    what the loss means, if that is known. `of_bytes` says that the characters are bytes.
    """

    nats: float
    characters: int
    unknown: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    dynamic: DynamicLoss | None = None
    verdict: str = ""
    of_bytes: bool = False

    def __repr__(self) -> str:
        symbol = symbol_noun(self.of_bytes)
        losses = f"{self.nats_per_char:.4f} nats ({self.bits_per_char:.4f} bits) per {symbol}"
        unknown = f", {sum(self.unknown.values()):,} unknown left out" if self.unknown else ""
        judged = f": {self.verdict}" if self.verdict else ""
        size = plural(self.characters, symbol)
        return f"Evaluation({losses}, perplexity {self.perplexity:.4g}, {size}{unknown}{judged})"

    @property
    def nats_per_char(self) -> float:
        return self.nats / self.characters

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """The number of equally likely characters that would be as hard to predict."""
        return math.exp(self.nats_per_char) if self.nats_per_char < 700 else math.inf

    def as_dict(self) -> dict[str, Any]:
        """Returns all numbers, for JSON."""
        dynamic = {
            name: getattr(self.dynamic, name)
            for name in ("nats_per_char", "bits_per_char", "chars_per_second")
            if self.dynamic
        }
        return {
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.bits_per_char,
            "perplexity": self.perplexity if math.isfinite(self.perplexity) else None,
            "characters": self.characters,
            "unknown_characters": sum(self.unknown.values()),
            "unknown": self.unknown,
            "notes": list(self.notes),
            **({"dynamic": dynamic} if dynamic else {}),
        }


def checked(evaluation: Evaluation) -> Evaluation:
    """Returns an evaluation; raises DivergedError if its loss is not a finite number."""
    if not math.isfinite(evaluation.nats):
        raise DivergedError(
            f"the model has diverged: its loss on {plural(evaluation.characters, 'character')} is not a finite number; "
            "use earlier weights, or train it again with a smaller learning rate"
        )
    return evaluation
