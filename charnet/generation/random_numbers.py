"""The random numbers of a text. They depend on the seed and on the number of the text alone."""

from __future__ import annotations

import numpy as np

from charnet.config import SamplingOptions
from charnet.limits import Limits, converted

PHILOX_BLOCK = 4  # numbers of each step of its counter


def random_generator(
    options: SamplingOptions, index: int, num_sampled: int = 0, *, attempt: int | None = None, is_exact: bool = False
) -> np.random.Generator:
    """Returns the random numbers of a text, without the first `num_sampled`; each symbol uses one.

    Those of an exact engine come from Philox 4x64 (Salmon et al. 2011), keyed by seed and index, so that any program
    can repeat them: the upper 53 bits of each number, as a fraction of 1.

    Args:
        attempt: which of several attempts at the text from here on; each has numbers of its own.

    Raises:
        ConfigError: the index is no whole number, or below 0.
    """
    Limits("", low=0).check("index", converted("index", index, int))
    if is_exact:
        key = np.array([options.seed % (1 << 64), index % (1 << 64)], np.uint64)
        if attempt is not None:
            return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 1 + attempt, num_sampled]))
        generator = np.random.Generator(np.random.Philox(key=key).advance(num_sampled // PHILOX_BLOCK))
        generator.random(num_sampled % PHILOX_BLOCK)
        return generator
    if attempt is not None:
        return np.random.Generator(
            np.random.PCG64(np.random.SeedSequence(options.seed, spawn_key=(index, num_sampled, attempt)))
        )
    bits = np.random.PCG64(np.random.SeedSequence(options.seed, spawn_key=(index,)))
    return np.random.Generator(bits.advance(num_sampled))
