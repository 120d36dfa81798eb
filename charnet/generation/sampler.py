"""How the next symbol is sampled: the options, and the sampler that applies them.

Shape legend: B texts side by side, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from charnet.config import SamplingOptions
from charnet.data.utf8 import LONGEST_UTF8, Utf8Guard
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.errors import ConfigError


class Sampler:
    """Samples symbols as the options say, in the fastest way for them.

    `temperature_only` says that only the temperature and `bias_V` apply, and no filter or penalty. If `uses_history` is
    set, the probabilities depend on the last symbols of the text.

    Raises:
        ConfigError: `ban` leaves no character, or a bias is for a character that the model does not know.
    """

    def __init__(self, vocab: Vocabulary, options: SamplingOptions) -> None:
        self._options, self.bias_V = options, _bias(vocab, options)
        self.penalized = options.repetition_penalty != 1 and options.repetition_window > 0
        self.filtered = bool(options.top_k or options.top_p < 1 or options.min_p > 0 or options.typical_p < 1)
        self._guard = Utf8Guard(vocab) if vocab.is_utf8 else None
        self.temperature_only = not self.penalized and not self.filtered and self._guard is None
        self.uses_history = self.penalized or self._guard is not None

    def sample(self, logits_V: sampling.Floats, position: int, u: float, recent: Sequence[int]) -> int:
        """Samples the symbol of one text that comes after `position` others.

        Args:
            u: a random number, 0 <= u < 1.
            recent: the last symbols of the text, needed only if the sampler `uses_history`.
        """
        o = self._options
        if self.bias_V is not None:
            logits_V = logits_V + self.bias_V
        if self.uses_history:
            logits_V = self._apply_history(logits_V, position, recent)
        temperature = o.temperature if o.temperature_end is None else o.temperature_at(position)
        if self.filtered:
            return sampling.sample(self._probabilities(logits_V, temperature), u)
        return sampling.sample_logits(logits_V, temperature, u)

    def sample_rows(
        self, logits_BV: sampling.Floats, position: int, u_B: npt.NDArray[np.float64], recent: Sequence[Sequence[int]]
    ) -> npt.NDArray[np.intp]:
        """Samples the next symbol of each text of a batch as `sample` does, to rounding."""
        o = self._options
        if self.bias_V is not None:
            logits_BV = logits_BV + self.bias_V
        if self.uses_history:
            rows = zip(logits_BV, recent, strict=True)
            logits_BV = np.stack([self._apply_history(row, position, r) for row, r in rows])
        return sampling.sample_rows(self._probabilities(logits_BV, o.temperature_at(position)), u_B)

    def _apply_history(self, logits_V: sampling.Floats, position: int, recent: Sequence[int]) -> sampling.Floats:
        """Returns logits that make repeated symbols less likely, and bytes that would break UTF-8 impossible."""
        o, last = self._options, list(recent)
        if self.penalized:
            logits_V = sampling.penalize_repetition(logits_V, last[-o.repetition_window :], o.repetition_penalty)
        if self._guard is not None:
            logits_V = np.where(
                self._guard.forbidden(last[-LONGEST_UTF8 + 1 :], o.length - position), -np.inf, logits_V
            )
            if np.isneginf(logits_V).all():
                raise ConfigError("--ban: every byte that could complete a character is banned; ban fewer characters")
        return logits_V

    def _probabilities(self, logits: sampling.Floats, temperature: float) -> sampling.Probabilities:
        """Computes the probabilities after the temperature and all filters."""
        o = self._options
        return sampling.probabilities(
            logits, temperature=temperature, top_k=o.top_k, top_p=o.top_p, min_p=o.min_p, typical_p=o.typical_p
        )


def _bias(vocab: Vocabulary, options: SamplingOptions) -> npt.NDArray[np.float64] | None:
    """Computes what is added to the logits (V): the biases, and minus infinity for banned characters."""
    if not options.ban and not options.logit_bias and vocab.rare_id is None:
        return None
    bias_V = np.zeros(len(vocab))
    if vocab.rare_id is not None:  # it stands for many characters, so it cannot be generated
        bias_V[vocab.rare_id] = -np.inf
    for character, bias in options.logit_bias:
        bias_V[_id(vocab, character, "--logit-bias")] += bias
    for character in options.ban:
        codes = vocab.codes(character)
        if len(codes) > 1 or vocab.lookup(codes)[0] not in (
            -1,
            vocab.rare_id,
        ):  # what is never generated needs no ban
            bias_V[_id(vocab, character, "--ban")] = -np.inf
    if np.isneginf(bias_V).all():
        raise ConfigError("--ban: every character of the model is banned; ban fewer characters")
    return bias_V


def _id(vocab: Vocabulary, character: str, option: str) -> int:
    """Returns the id of the character of an option.

    Raises:
        ConfigError: the model does not know the character, or it is one of several bytes.
    """
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
