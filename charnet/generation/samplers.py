"""Keeps samplers for texts to come: many of a batch have the same options."""

from __future__ import annotations

from dataclasses import replace

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.generation.sampler import Sampler

MOST_SAMPLERS = 256  # of different options, kept at a time


class Samplers:
    """Gives the sampler of some options: texts that differ only in their seed share one."""

    def __init__(self, vocab: Vocabulary, *, is_exact: bool) -> None:
        self._vocab, self._is_exact = vocab, is_exact
        self._kept: dict[SamplingOptions, Sampler] = {}

    def of(self, options: SamplingOptions) -> Sampler:
        """Returns the sampler of some options.

        Raises:
            ConfigError: the options do not fit the model.
        """
        shared = replace(options, seed=0)
        if (sampler := self._kept.get(shared)) is None:
            sampler = Sampler(self._vocab, shared, is_exact=self._is_exact)
            if len(self._kept) >= MOST_SAMPLERS:
                self._kept.clear()
            self._kept[shared] = sampler
        return sampler
