"""Reads prompts piece by piece, from the longest beginning on that was read before."""

from __future__ import annotations

from dataclasses import replace

from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.generation import generate
from charnet.server.jobs import Job
from charnet.server.prefixes import Prefixes

PIECE = 64  # symbols that are read at once


class PromptReader:
    """Reads the prompts of one model, and keeps the states after them."""

    def __init__(self, vocab: Vocabulary) -> None:
        self._vocab, self._prefixes = vocab, Prefixes()

    def read(self, engine: Engine, job: Job) -> bool:
        """Reads a piece of a prompt; returns whether only its last symbol is left."""
        if job.scores_prompt:
            job.state = generate.start(engine, self._vocab, job.ids.tolist())
            return True
        if job.state is None:
            count, state = self._prefixes.longest(job.ids)
            begun = state or generate.start(engine, self._vocab)
            job.state = begun.extend(job.ids[count:].tolist())
        pending = job.state.pending
        if len(pending) > 1:
            piece = replace(job.state, pending=pending[: PIECE + 1])
            read = generate.read(engine, piece)
            job.state = replace(job.state, state=read.state, pending=read.pending + pending[PIECE + 1 :])
        if len(job.state.pending) > 1:
            return False
        self._prefixes.keep(job.ids, job.state)
        return True

    def keep_part(self, job: Job) -> None:
        """Keeps what was read of a prompt that nobody waits for any more: who types asks again with a longer one, and
        would otherwise never come to the end of a long text."""
        if (state := job.state) is None or job.scores_prompt:
            return
        unread = len(state.pending) - 1
        recent = state.recent[: len(state.recent) - unread]
        self._prefixes.keep(job.ids[: len(job.ids) - unread], replace(state, pending=state.pending[:1], recent=recent))
