"""How a text is written: the options, and the choice of one symbol by them.

Shape legend: B texts side by side, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charnet.data.utf8 import LONGEST_UTF8, Utf8Guard
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.errors import ConfigError, did_you_mean
from charnet.generation import stopping

LARGEST_BIAS = 1000.0


@dataclass(frozen=True)
class Options:
    """How to write.

    `length` counts characters (bytes for a model of bytes) after the prompt. Writing ends before that where one of the
    `stop` texts would come (it is not written), after `max_lines` lines, or after the first sentence, line or paragraph
    (`until`).

    The temperature goes in a straight line from `temperature` to `temperature_end` over the length. Whatever was among
    the last `repetition_window` characters has its probability divided by `repetition_penalty`. `ban` lists characters
    that are never written; `logit_bias` adds to the logits of others: at temperature 1, +1 makes one 2.7 times as
    likely.

    Raises:
        ConfigError: an option is out of its range.
    """

    length: int = 1000
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    temperature_end: float | None = None
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    max_lines: int = 0
    until: str = ""
    ban: str = ""
    logit_bias: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for temperature in (self.temperature, self.last_temperature):
            sampling.check(
                temperature=temperature,
                top_k=self.top_k,
                top_p=self.top_p,
                min_p=self.min_p,
                typical_p=self.typical_p,
                repetition_penalty=self.repetition_penalty,
                repetition_window=self.repetition_window,
            )
        for name, value in (("-n", self.length), ("--seed", self.seed), ("--max-lines", self.max_lines)):
            if value < 0:
                raise ConfigError(f"{name}: expected a number at least 0, found {value}")
        if isinstance(self.stop, str):
            raise ConfigError("stop: expected several texts, found one; put it in a list")
        if "" in self.stop:
            raise ConfigError("--stop: expected a text, found an empty one")
        if self.until and self.until not in stopping.UNTIL:
            near = did_you_mean(self.until, stopping.UNTIL)
            raise ConfigError(f'--until: expected one of {", ".join(stopping.UNTIL)}, found "{self.until}"{near}')
        if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in self.logit_bias):
            raise ConfigError('logit_bias: expected pairs of a character and a number, as in (("e", -2.0),)')
        for character, bias in self.logit_bias:
            if len(character) != 1 or not abs(bias) <= LARGEST_BIAS:
                raise ConfigError(
                    f"--logit-bias: expected CHARACTER=NUMBER with a number between {-LARGEST_BIAS:g} and "
                    f"{LARGEST_BIAS:g}, found {character[:20]!r}={bias}"
                )

    @property
    def last_temperature(self) -> float:
        return self.temperature if self.temperature_end is None else self.temperature_end

    def temperature_at(self, place: int) -> float:
        """The temperature of a character, counted from 0.

        >>> [Options(length=5, temperature=0.5, temperature_end=1.5).temperature_at(i) for i in range(5)]
        [0.5, 0.75, 1.0, 1.25, 1.5]
        """
        share = place / max(1, self.length - 1)
        return self.temperature + (self.last_temperature - self.temperature) * share


class Sampler:
    """Draws symbols as the options say, by the shortest way that they leave.

    `plain` says that nothing but temperature and `bias_V` counts; else filters or a penalty do too.

    Raises:
        ConfigError: `ban` leaves nothing to write, or a bias is for a character that the model does not know.
    """

    def __init__(self, vocab: Vocabulary, options: Options) -> None:
        self._options, self.bias_V = options, _bias(vocab, options)
        self.penalized = options.repetition_penalty != 1 and options.repetition_window > 0
        self.filtered = bool(options.top_k or options.top_p < 1 or options.min_p > 0 or options.typical_p < 1)
        self._guard = Utf8Guard(vocab) if vocab.is_utf8 else None
        self.temperature_only = not self.penalized and not self.filtered and self._guard is None
        self.uses_history = self.penalized or self._guard is not None

    def sample(self, logits_V: sampling.Floats, place: int, u: float, recent: Sequence[int]) -> int:
        """The symbol of one text, after `place` others; `recent` counts if it `uses_history`."""
        o = self._options
        if self.bias_V is not None:
            logits_V = logits_V + self.bias_V
        if self.uses_history:
            logits_V = self._apply_history(logits_V, place, recent)
        temperature = o.temperature if o.temperature_end is None else o.temperature_at(place)
        if self.filtered:
            return sampling.sample(self._probabilities(logits_V, temperature), u)
        return sampling.sample_logits(logits_V, temperature, u)

    def sample_rows(
        self, logits_BV: sampling.Floats, place: int, u_B: npt.NDArray[np.float64], recent: Sequence[Sequence[int]]
    ) -> npt.NDArray[np.intp]:
        """The symbols of texts side by side: of each what `one` gives for its row, to rounding."""
        o = self._options
        if self.bias_V is not None:
            logits_BV = logits_BV + self.bias_V
        if self.uses_history:
            rows = zip(logits_BV, recent, strict=True)
            logits_BV = np.stack([self._apply_history(row, place, r) for row, r in rows])
        return sampling.sample_rows(self._probabilities(logits_BV, o.temperature_at(place)), u_B)

    def _apply_history(self, logits_V: sampling.Floats, place: int, recent: Sequence[int]) -> sampling.Floats:
        """Logits after what was written last: repeated symbols are less likely, bytes that are no UTF-8 impossible."""
        o, last = self._options, list(recent)
        if self.penalized:
            logits_V = sampling.penalize_repetition(logits_V, last[-o.repetition_window :], o.repetition_penalty)
        if self._guard is not None:
            logits_V = np.where(self._guard.forbidden(last[-LONGEST_UTF8 + 1 :], o.length - place), -np.inf, logits_V)
            if np.isneginf(logits_V).all():
                raise ConfigError("--ban: expected a byte to be left for the rest of a character, found all banned")
        return logits_V

    def _probabilities(self, logits: sampling.Floats, temperature: float) -> sampling.Probabilities:
        o = self._options
        return sampling.probabilities(
            logits, temperature=temperature, top_k=o.top_k, top_p=o.top_p, min_p=o.min_p, typical_p=o.typical_p
        )


def _bias(vocab: Vocabulary, options: Options) -> npt.NDArray[np.float64] | None:
    """What is added to the logits (V): the biases, and minus infinity for what is banned."""
    if not options.ban and not options.logit_bias and vocab.rare_id is None:
        return None
    bias_V = np.zeros(len(vocab))
    if vocab.rare_id is not None:  # it stands for many: none of them can be written
        bias_V[vocab.rare_id] = -np.inf
    for character, bias in options.logit_bias:
        bias_V[_id(vocab, character, "--logit-bias")] += bias
    for character in options.ban:
        codes = vocab.codes(character)
        if len(codes) > 1 or vocab.lookup(codes)[0] not in (-1, vocab.rare_id):  # what is never written is banned
            bias_V[_id(vocab, character, "--ban")] = -np.inf
    if np.isneginf(bias_V).all():
        raise ConfigError("--ban: expected at least one character to be left, found all of the model's banned")
    return bias_V


def _id(vocab: Vocabulary, character: str, option: str) -> int:
    codes = vocab.codes(character)
    found = vocab.lookup(codes)
    if len(codes) > 1:
        raise ConfigError(f"{option}: the model knows bytes: expected characters of one byte, found {character!r}")
    if found[0] < 0 or found[0] == vocab.rare_id:
        known = ", ".join(vocab.nearest(int(codes[0])))
        raise ConfigError(
            f"{option}: the model does not know {vocab.name(int(codes[0]))}; the nearest it knows: {known}"
        )
    return int(found[0])
