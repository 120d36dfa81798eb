"""Writing text: prompt in, characters out, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charnet import sampling
from charnet.engines import Engine
from charnet.errors import ConfigError
from charnet.vocab import Vocabulary


@dataclass(frozen=True)
class Options:
    """How to write.

    `length` counts characters (bytes for a model of bytes) after the prompt. Writing ends before that where one of the
    `stop` texts would come; the stop text itself is not written.

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

    def __post_init__(self) -> None:
        sampling.check(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, min_p=self.min_p)
        for name, value in (("-n", self.length), ("--seed", self.seed)):
            if value < 0:
                raise ConfigError(f"{name}: expected a number at least 0, found {value}")
        if isinstance(self.stop, str):
            raise ConfigError("stop: expected several texts, found one; put it in a list")
        if "" in self.stop:
            raise ConfigError("--stop: expected a text, found an empty one")


def stream(
    engine: Engine, vocab: Vocabulary, prompt_ids: Sequence[int], options: Options, *, index: int = 0
) -> Iterator[str]:
    """Continues a prompt, character by character; the prompt itself is not repeated.

    Args:
        prompt_ids: what to continue; nothing stands for the start of a line.
        index: which of several texts of the same seed this is; each has its own random numbers.
    """
    return _until(options.stop, _decoded(vocab, _ids(engine, vocab, prompt_ids, options, index)))


def _decoded(vocab: Vocabulary, ids: Iterator[int]) -> Iterator[str]:
    decoder = vocab.decoder()
    for i in ids:
        yield decoder.push(i)
    yield decoder.finish()


def _ids(engine: Engine, vocab: Vocabulary, prompt_ids: Sequence[int], options: Options, index: int) -> Iterator[int]:
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(options.seed, spawn_key=(index,)))).random
    filtered = bool(options.top_k or options.top_p < 1 or options.min_p > 0)
    temperature = options.temperature
    state = engine.start(1)
    for i in prompt_ids if len(prompt_ids) else [vocab.start_id()]:
        logits, state = engine.advance([int(i)], state)
    for left in range(options.length, 0, -1):
        if filtered:
            p = sampling.probabilities(
                logits[0], temperature=temperature, top_k=options.top_k, top_p=options.top_p, min_p=options.min_p
            )
            chosen = sampling.draw(p, random())
        else:
            chosen = sampling.draw_at(logits[0], temperature, random())
        yield chosen
        if left > 1:
            logits, state = engine.advance([chosen], state)


def _until(stops: Sequence[str], pieces: Iterator[str]) -> Iterator[str]:
    """The pieces up to the first stop text; what might be the beginning of one is held back."""
    if not stops:
        yield from pieces
        return
    held = ""
    for piece in pieces:
        held += piece
        found = [at for stop in stops if (at := held.find(stop)) >= 0]
        if found:
            yield held[: min(found)]
            return
        longest = max((n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0)
        if len(held) > longest:
            yield held[: len(held) - longest]
            held = held[len(held) - longest :]
    yield held
