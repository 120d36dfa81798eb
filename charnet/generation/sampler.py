"""How the next symbol is sampled: the options, and the sampler that applies them.

Shape legend: B texts side by side, V characters in the alphabet.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from charnet.config import SamplingOptions
from charnet.data.utf8 import LONGEST_UTF8, Utf8Guard
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.errors import ConfigError
from charnet.generation import constraints, graphemes
from charnet.generation.automaton import DEAD, Automaton

Position = TypeVar("Position", int, npt.NDArray[np.integer])  # symbols of a text before the next one

END = -1  # in place of a symbol: the text ends before it
LOST = "\N{REPLACEMENT CHARACTER}"  # stands for bytes that could not be decoded: no text is meant to hold it


class Sampler:
    """Samples symbols as the options say, in the fastest way for them.

    `temperature_only` says that only the temperature, `bias_V` and the pattern apply, and no filter or penalty. If
    `uses_history` is set, the probabilities depend on the last symbols of the text; `num_recent` of them are enough. If
    there is a `pattern`, a text ends by it alone. It may say that it `changes_temperature` with the position in a text.
    If the sampler `is_conditional`, texts are sampled by `generation.conditional` instead, and match its `stages` one
    after the other.

    Args:
        is_exact: the logits are those of an exact engine.

    Raises:
        ConfigError: `ban` leaves no character, or an option names a character that the model does not know.
    """

    def __init__(self, vocab: Vocabulary, options: SamplingOptions, *, is_exact: bool = False) -> None:
        self._is_exact, self._size = is_exact, len(vocab)
        for text in options.stop:
            check_known(vocab, text, "--stop")
        clusters = [*dict.fromkeys(graphemes.split(options.ban))]
        self._options, self.bias_V = options, _bias(vocab, options, [c for c in clusters if len(c) == 1])
        self._banned = _sequences(vocab, [cluster for cluster in clusters if len(cluster) > 1])
        self.penalized = options.repetition_penalty != 1 and options.repetition_window > 0
        self.filtered = bool(options.top_k or options.top_p < 1 or options.min_p > 0 or options.typical_p < 1)
        self._guard = Utf8Guard(vocab) if vocab.is_utf8 else None
        self.constraint = constraints.constraint(vocab, options, self.bias_V, self._banned)
        self.is_conditional = constraints.is_conditional(options)
        self.pattern = self.constraint.automaton if self.constraint and not self.is_conditional else None
        self._guard = None if self.constraint else self._guard
        self.uses_history = self.penalized or self._guard is not None or bool(self._banned)
        self.limits_copies = options.max_copy > 0
        self.changes_temperature = options.temperature_end is not None
        self.temperature_only = not self.uses_history and not self.filtered
        lengths = (len(before) for before, _ in self._banned)
        self.num_recent = max(LONGEST_UTF8, options.repetition_window, options.max_copy, *lengths)

    def sample(
        self,
        logits_V: sampling.Floats,
        position: int,
        u: float,
        recent: Sequence[int],
        matched: int = 0,
        banned: Collection[int] = (),
    ) -> int:
        """Samples the symbol of one text that comes after `position` others, or `END`.

        Args:
            u: a random number, 0 <= u < 1.
            recent: the last symbols of the text, needed only if the sampler `uses_history`.
            matched: the state of the pattern after the text so far, needed only if there is one.
            banned: symbols that may not come here; `can_go_on` without them.
        """
        o = self._options
        if self.bias_V is not None:
            logits_V = logits_V + self.bias_V
        if banned:
            logits_V = logits_V.astype(np.float64)
            logits_V[list(banned)] = -np.inf
        if self.uses_history:
            logits_V = self._apply_history(logits_V, position, recent)
        temperature = o.temperature if o.temperature_end is None else o.temperature_at(position)
        if self.pattern is not None:
            return self._sample_matching(self.pattern, logits_V, temperature, position, u, matched)
        return self._sample(logits_V, temperature, u)

    def can_go_on(self, position: int, recent: Sequence[int], matched: int, banned: Collection[int]) -> bool:
        """Returns whether anything is left to sample without some symbols: another one, or the end of a pattern, or
        whether the text has its full length."""
        if position >= self._options.length:
            return True
        possible_V = np.zeros(self._size) if self.bias_V is None else self.bias_V.copy()
        possible_V[list(banned)] = -np.inf
        if self._guard is not None:
            left = self._options.length - position
            possible_V[self._guard.forbidden(list(recent)[-LONGEST_UTF8 + 1 :], left)] = -np.inf
        for before, symbol in self._banned:
            if tuple(list(recent)[-len(before) :]) == before:
                possible_V[symbol] = -np.inf
        if self.pattern is not None:
            if matched == DEAD or self.pattern.may_end(matched):
                return True
            possible_V = possible_V + self.pattern.mask(matched, self.left(self.pattern, position))
        return not bool(np.isneginf(possible_V).all())

    def _sample_matching(
        self, pattern: Automaton, logits_V: sampling.Floats, temperature: float, position: int, u: float, matched: int
    ) -> int:
        """Samples among the symbols with which the pattern can be completed in time, after the filters.

        Where the text may end or go on, it ends with the probability of all symbols that the pattern does not allow.
        """
        if matched == DEAD:
            return END
        mask_V = pattern.mask(matched, self.left(pattern, position))
        if pattern.may_end(matched):
            symbol = self._sample(logits_V, temperature, u)
            return symbol if mask_V[symbol] == 0 else END
        matching_V = np.zeros(0)
        if self.filtered:
            matching_V = np.where(mask_V == 0, self.probabilities(logits_V, temperature), 0.0)
        if matching_V.any():
            symbol = sampling.sample(matching_V, u)
        else:  # there are no filters, or they left none of the symbols
            symbol = sampling.sample_logits(logits_V + mask_V, temperature, u, is_exact=self._is_exact)
        return END if pattern.has_ended(pattern.after(matched, symbol)) else symbol

    def left(self, pattern: Automaton, position: Position) -> Position:
        """Returns how many symbols a text may still have after `position` others, with the one that ends it."""
        return self._options.length - position + (pattern.end is not None)

    def _sample(self, logits_V: sampling.Floats, temperature: float, u: float) -> int:
        """Samples a symbol after the temperature and all filters."""
        if self.filtered:
            return sampling.sample(self.probabilities(logits_V, temperature), u)
        return sampling.sample_logits(logits_V, temperature, u, is_exact=self._is_exact)

    def sample_rows(
        self,
        logits_BV: sampling.Floats,
        positions_B: npt.NDArray[np.integer],
        u_B: npt.NDArray[np.float64],
        recent: Sequence[Sequence[int]],
        matched_B: Sequence[int] = (),
    ) -> npt.NDArray[np.intp]:
        """Samples the next symbol of each text of a batch as `sample` does, to rounding.

        Args:
            positions_B: how many symbols each text has; the same number for all if the sampler `changes_temperature`.
        """
        logits_BV = self.adjusted_rows(logits_BV, positions_B, recent)
        temperature = self._options.temperature_at(int(positions_B[0]))
        if self.pattern is not None:
            matched = np.asarray(matched_B)
            return self._sample_matching_rows(self.pattern, logits_BV, temperature, positions_B, u_B, matched)
        return sampling.sample_rows(self.probabilities(logits_BV, temperature), u_B)

    def adjusted_rows(
        self, logits_BV: sampling.Floats, position: int | npt.NDArray[np.integer], recent: Sequence[Sequence[int]]
    ) -> sampling.Floats:
        """Returns the logits of texts with bias and history applied.

        Args:
            position: how many symbols all texts have, or each (B).
            recent: the last symbols of each text, needed only if the sampler `uses_history`.
        """
        if self.bias_V is not None:
            logits_BV = logits_BV + self.bias_V
        if self.uses_history:
            positions_B = np.broadcast_to(position, len(logits_BV)).tolist()
            rows = zip(logits_BV, positions_B, recent, strict=True)
            logits_BV = np.stack([self._apply_history(*row) for row in rows])
        return logits_BV

    def _sample_matching_rows(
        self,
        pattern: Automaton,
        logits_BV: sampling.Floats,
        temperature: float,
        positions_B: npt.NDArray[np.integer],
        u_B: npt.NDArray[np.float64],
        matched_B: npt.NDArray[np.integer],
    ) -> npt.NDArray[np.intp]:
        """Samples for each text as `_sample_matching` does."""
        has_ended_B = matched_B == DEAD
        may_end_B = (pattern.fewest_S[matched_B] == 0) | has_ended_B
        allowed_BV = pattern.allowed(matched_B, self.left(pattern, positions_B[:, None]))
        counted_BV = allowed_BV | may_end_B[:, None]
        p_BV = sampling.softmax(np.where(counted_BV, logits_BV, -np.inf), temperature, is_exact=self._is_exact)
        if self.filtered:
            filtered_BV = np.where(counted_BV, self.probabilities(logits_BV, temperature), 0.0)
            p_BV = np.where(filtered_BV.any(axis=1, keepdims=True), filtered_BV, p_BV)
        symbols_B = sampling.sample_rows(p_BV, u_B)
        goes_on_B = np.take_along_axis(allowed_BV, symbols_B[:, None], 1)[:, 0] & ~has_ended_B
        if pattern.end is not None:
            goes_on_B &= ~pattern.has_ended(pattern.next_SC[matched_B, pattern.class_V[symbols_B]])
        return np.where(goes_on_B, symbols_B, END)

    def _apply_history(self, logits_V: sampling.Floats, position: int, recent: Sequence[int]) -> sampling.Floats:
        """Returns logits that make repeated symbols less likely, and what may not come next impossible."""
        o, last = self._options, list(recent)
        if self.penalized:
            logits_V = sampling.penalize_repetition(logits_V, last[-o.repetition_window :], o.repetition_penalty)
        banned = [symbol for before, symbol in self._banned if tuple(last[-len(before) :]) == before]
        if banned:
            logits_V = logits_V.astype(np.float64)
            logits_V[banned] = -np.inf
        if self._guard is not None:
            logits_V = np.where(
                self._guard.forbidden(last[-LONGEST_UTF8 + 1 :], o.length - position), -np.inf, logits_V
            )
        if (banned or self._guard is not None) and np.isneginf(logits_V).all():
            raise ConfigError("--ban: everything that could come next is banned; ban fewer characters")
        return logits_V

    def probabilities(self, logits: sampling.Floats, temperature: float) -> sampling.Probabilities:
        """Computes the probabilities after the temperature and all filters."""
        o = self._options
        return sampling.probabilities(
            logits,
            temperature=temperature,
            top_k=o.top_k,
            top_p=o.top_p,
            min_p=o.min_p,
            typical_p=o.typical_p,
            is_exact=self._is_exact,
        )


def _bias(vocab: Vocabulary, options: SamplingOptions, banned: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Computes what is added to the logits (V): the biases, and minus infinity for what is never generated."""
    lost = [] if vocab.of_bytes else vocab.lookup(vocab.codes(LOST)).tolist()
    never = [i for i in {vocab.rare_id, *lost} - {None, -1} if len(vocab) > 1]
    if not banned and not options.logit_bias and not never:
        return None
    bias_V = np.zeros(len(vocab))
    bias_V[never] = -np.inf
    for character, bias in options.logit_bias:
        bias_V[_id(vocab, character, "--logit-bias")] += bias
    for character in banned:
        if character != LOST:  # it is never generated
            bias_V[_id(vocab, character, "--ban")] = -np.inf
    if np.isneginf(bias_V).all():
        raise ConfigError("--ban: every character of the model is banned; ban fewer characters")
    return bias_V


def _sequences(vocab: Vocabulary, banned: Sequence[str]) -> list[tuple[tuple[int, ...], int]]:
    """Returns the ids of banned sequences: all but the last, and the last, which may not come after them."""
    if vocab.of_bytes and banned:
        raise ConfigError(f"--ban: the model knows bytes: expected characters of one byte, found {banned[0]!r}")
    for sequence in banned:
        check_known(vocab, sequence, "--ban")
    found = [tuple(vocab.lookup(vocab.codes(sequence)).tolist()) for sequence in banned]
    return [(ids[:-1], ids[-1]) for ids in found]


def check_known(vocab: Vocabulary, text: str, option: str) -> None:
    """Raises ConfigError if a text of an option has a symbol that the model never writes."""
    codes = vocab.codes(text)
    ids = vocab.lookup(codes)
    for code in codes[(ids < 0) | (ids == (-1 if vocab.rare_id is None else vocab.rare_id))].tolist():
        raise ConfigError(f"{option}: the model does not know {vocab.name(code)}{vocab.advice(code)}")


def _id(vocab: Vocabulary, character: str, option: str) -> int:
    """Returns the id of the character of an option.

    Raises:
        ConfigError: the model does not know the character, or it is one of several bytes.
    """
    codes = vocab.codes(character)
    found = vocab.lookup(codes)
    if len(codes) > 1:
        raise ConfigError(f"{option}: the model knows bytes: expected characters of one byte, found {character!r}")
    check_known(vocab, character, option)
    return int(found[0])
