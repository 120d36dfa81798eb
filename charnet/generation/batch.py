"""Writes many texts: several of one prompt, or one for each of many requests.

Each text has its own random numbers, so the i-th text is the same however many there are: always with 8-bit weights,
otherwise to the rounding of the matrix product, since that of one row and that of many are summed in another order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from charnet.config import SHORT_TEXT, ModelSettings, SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import registry
from charnet.engines.base import Engine, MultiStepEngine
from charnet.errors import CharnetError
from charnet.generation.copy_guard import CopyGuard, check_guard
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation, GenerationState, conditional, read, start
from charnet.generation.guarded import generation
from charnet.generation.particles import PARTICLES
from charnet.generation.running import Request
from charnet.generation.sampler import Sampler
from charnet.generation.samplers import Samplers
from charnet.generation.scheduler import MAX_BATCH, Scheduler, alone


def texts(
    engine: Engine,
    vocab: Vocabulary,
    prompt_ids: Sequence[int],
    options: SamplingOptions,
    count: int,
    *,
    first: int = 0,
    nats: bool = False,
    before: GenerationState | None = None,
    guard: CopyGuard | None = None,
) -> Iterator[Iterator[Chunk]]:
    """Continues a prompt in several ways; the i-th text is the one that `stream` generates with `index=i`.

    Yields an iterator over the chunks of each text in turn. Up to 256 texts are computed at a time, while the first of
    them is read; the chunks of the others wait in memory.

    Args:
        count: how many texts there are.
        first: the first of them that is yielded. Those before it are computed only if that may change its rounding.
        nats: whether to compute the surprisal of each character.
        before: the state after what comes before the prompt; by default the start of a text.
        guard: needed with `max_copy`.

    Raises:
        ConfigError: `ban` leaves no character, or a bias is for a character that the model does not know.
    """
    check_guard(options, guard)
    sampler = Sampler(vocab, options, is_exact=engine.is_exact)
    state = (before or start(engine, vocab)).extend(prompt_ids)
    if sampler.is_conditional:
        found = conditional(engine, vocab, sampler, options, state, nats=nats).texts(range(first, count))
        return (
            iter(Generation(engine, vocab, state, options, index=index, nats=nats, written=written))
            for index, written in enumerate(found, first)
        )
    begin = first if engine.is_exact else first - first % MAX_BATCH  # of the batch that holds it
    plain = isinstance(engine, MultiStepEngine) and sampler.temperature_only and count < engine.min_batch
    state = read(engine, state) if count - begin > 1 else state
    if plain or count - (first if engine.is_exact else 0) == 1:
        return (
            iter(generation(engine, vocab, state, options, guard, index=index, nats=nats))
            for index in range(first, count)
        )
    requests = (Request(state, options, index, guard) for index in range(begin, count))
    batches = iter(lambda: list(itertools.islice(requests, MAX_BATCH)), [])  # each of its own: none joins another
    written = itertools.chain.from_iterable(Scheduler(engine, vocab, iter(each), nats) for each in batches)
    return itertools.islice(written, first - begin, None)


def answers(
    engine: Engine, vocab: Vocabulary, requests: Iterable[Request], *, nats: bool = False
) -> Iterator[Iterator[Chunk]]:
    """Writes a text for each request, in their order, whatever their options and the lengths of their prompts.

    Yields an iterator over the chunks of each text. Requests are taken as there is room for them: 256 texts are
    computed at a time, and at most 1,024 wait in memory to be read. Where one text after the other is faster, as with
    8-bit weights in the compiled engine, they are computed so.

    Args:
        nats: whether to compute the surprisal of each character.

    Raises:
        CharnetError: while the chunks of a text are read: its options do not fit the model, or the model has diverged.
            The other texts go on.
    """
    requests = iter(requests)
    some = list(itertools.islice(requests, MAX_BATCH))
    requests = itertools.chain(some, requests)
    if isinstance(engine, MultiStepEngine) and len(some) < engine.min_batch:
        samplers = Samplers(vocab, is_exact=engine.is_exact)
        if all(_is_plain(samplers, request.options) for request in some):
            return (alone(engine, vocab, request, nats) for request in requests)
    return iter(Scheduler(engine, vocab, requests, nats))


def _is_plain(samplers: Samplers, options: SamplingOptions) -> bool:
    """Returns whether only temperature, bias and pattern apply; options that are refused keep no text waiting."""
    try:
        return samplers.of(options).temperature_only
    except CharnetError:
        return True


def fastest_engine(
    model: ModelSettings,
    vocab: Vocabulary,
    weights: Mapping[str, Any],
    options: SamplingOptions,
    count: int,
    *,
    before: int = 0,
) -> str:
    """Returns the name of the engine that finishes `count` texts first; for 0 texts, of the one that starts first.

    Args:
        before: the number of symbols that are read once, before all texts.
    """
    sampler = Sampler(vocab, options)
    plain = sampler.temperature_only or sampler.is_conditional
    count = max(count, PARTICLES) if sampler.is_conditional and count else count
    length = options.expected_length if count else 0
    length = length if vocab.document_end is None else min(length, SHORT_TEXT)
    length += before // max(1, count)
    return registry.fastest(model, weights, length, texts=max(1, count), temperature_only=plain)
