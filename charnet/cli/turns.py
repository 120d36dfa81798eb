"""A text that a user and a model write in turns, as values: whoever keeps a draft can go on from it again."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.base import Engine
from charnet.generation.copy_guard import CopyGuard
from charnet.generation.detokenizer import Chunk, Detokenizer
from charnet.generation.generate import GenerationState, read, start
from charnet.generation.guarded import generation

if TYPE_CHECKING:
    from charnet.evaluation.adapt import Adaptation

BLANK_LINE = "\n\n"
MOST_READ = 1 << 14  # characters of a text that another model reads before it goes on
MOST_RATED = 1 << 12  # characters of one turn by the user whose surprise is computed


@dataclass(frozen=True)
class Writer:
    """A model that continues a text.

    Attributes:
        read: decodes and normalizes what the user types; bytes that are not UTF-8 come as surrogates (PEP 383).
        guard_of: returns what keeps a turn from copying, if the options ask for that.
        adaptation: what it has learned on the way, if it learns.
    """

    engine: Engine
    vocab: Vocabulary
    read: Callable[[str], str]
    guard_of: Callable[[SamplingOptions], CopyGuard | None]
    adaptation: Adaptation | None = None

    def check(self, state: GenerationState, options: SamplingOptions) -> None:
        """Raises ConfigError if the options do not fit the model."""
        generation(self.engine, self.vocab, state, options, self.guard_of(options))


@dataclass(frozen=True)
class Piece:
    """A part of a text: what the user typed or what the model wrote.

    Attributes:
        nats: the surprisal of each character of what was written.
        ids: of what was typed, with the state before it and the model that read it.
    """

    text: str
    nats: Sequence[float] = ()
    ids: tuple[int, ...] = ()
    before: Draft | None = None

    @property
    def is_typed(self) -> bool:
        return self.before is not None

    def rated(self) -> Chunk:
        """Returns the text with the surprisal of each character; 0 where it is not known."""
        chunk = Chunk(self.text, tuple(self.nats))
        if self.before and 0 < len(self.ids) <= MOST_RATED:
            detokenizer = Detokenizer(self.before.writer.vocab)
            shown = detokenizer.feed(self.ids, _surprisals(self.before, self.ids)), detokenizer.finish()
            chunk = Chunk("".join(each.text for each in shown), tuple(n for each in shown for n in each.nats))
        if chunk.text != self.text:
            chunk = Chunk(self.text)
        return chunk._replace(nats=chunk.nats + (0.0,) * (len(chunk.text) - len(chunk.nats)))


@dataclass(frozen=True)
class Draft:
    """A text so far, the generation state after it, and the model that continues it."""

    writer: Writer
    state: GenerationState
    pieces: tuple[Piece, ...] = ()

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    def typed(self, ids: Sequence[int]) -> Draft:
        """Returns the draft after what the user typed."""
        if not ids:
            return self
        piece = Piece(self.writer.vocab.decode(list(ids)), ids=tuple(ids), before=replace(self, pieces=()))
        return replace(self, state=self.state.extend(ids), pieces=(*self.pieces, piece))

    def with_writer(self, writer: Writer, ids: Sequence[int]) -> Draft:
        """Returns the same text with another model, which reads `ids` of it."""
        return replace(self, writer=writer, state=read(writer.engine, start(writer.engine, writer.vocab, ids)))


@dataclass(frozen=True)
class Turn:
    """What one turn changed: the draft before it, that which the model continued, and how often it did."""

    before: Draft
    asked: Draft | None = None
    attempts: int = 0


class Continuation:
    """What a model writes after a draft: iterate over it, once, for its chunks.

    Args:
        index: which of several continuations of one seed this is.

    Attributes:
        draft: with what was written so far.
    """

    def __init__(self, asked: Draft, options: SamplingOptions, index: int = 0) -> None:
        writer, self._asked = asked.writer, asked
        guard = writer.guard_of(options)
        self._generation = generation(writer.engine, writer.vocab, asked.state, options, guard, index=index)
        self._text, self._nats = list[str](), array("f")

    def until(self, stopped: Callable[[], bool]) -> Iterator[Chunk]:
        """Yields chunks until the text ends or is stopped, and a blank line behind a document that has ended: what is
        typed then begins the next one."""
        for chunk in self._generation:
            self._text.append(chunk.text)
            self._nats.extend(chunk.nats)
            yield chunk
            if stopped():
                break
        if self._generation.document_ended:
            yield Chunk(BLANK_LINE, (0.0, 0.0))

    @property
    def draft(self) -> Draft:
        text = "".join(self._text) + self._generation.withheld + BLANK_LINE * self._generation.document_ended
        written = (Piece(text, self._nats),) if text else ()
        return replace(self._asked, state=self._generation.state, pieces=(*self._asked.pieces, *written))


def _surprisals(before: Draft, ids: Sequence[int]) -> list[float]:
    """Returns the surprisal of each symbol that was read after a draft, in nats."""
    engine, state, nats = before.writer.engine, before.state.state, list[float]()
    for i in before.state.pending or (before.writer.vocab.start_id(),):
        logits_1V, state = engine.advance([i], state)
    for i in ids:
        nats.append(sampling.surprisal(logits_1V[0], i))
        logits_1V, state = engine.advance([i], state)
    return nats
