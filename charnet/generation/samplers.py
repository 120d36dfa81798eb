"""Keeps samplers for texts to come: many of a batch have the same options."""

from __future__ import annotations

from dataclasses import replace

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.generation.sampler import Sampler

MOST_SAMPLERS, MOST_BYTES = 256, 1 << 27  # of different options, and of their patterns, kept at a time


class Samplers:
    """Gives the sampler of some options: texts that differ only in their seed share one."""

    def __init__(self, vocab: Vocabulary, *, is_exact: bool) -> None:
        self._vocab, self._is_exact = vocab, is_exact
        self._kept: dict[SamplingOptions, Sampler] = {}  # the oldest first
        self._bytes = 0

    def of(self, options: SamplingOptions) -> Sampler:
        """Returns the sampler of some options.

        Raises:
            ConfigError: the options do not fit the model.
        """
        shared = replace(options, seed=0)
        if (sampler := self._kept.get(shared)) is None:
            sampler = Sampler(self._vocab, shared, is_exact=self._is_exact)
            self._bytes += _size(sampler)
            while self._kept and (len(self._kept) >= MOST_SAMPLERS or self._bytes > MOST_BYTES):
                self._bytes -= _size(self._kept.pop(next(iter(self._kept))))
            self._kept[shared] = sampler
        return sampler


def _size(sampler: Sampler) -> int:
    return sampler.pattern.next_SC.nbytes if sampler.pattern else 0
