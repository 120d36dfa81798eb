"""Answers one request for completions: as a whole, or as a stream of pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from charnet.data import prompts
from charnet.data.vocab import Vocabulary
from charnet.errors import CharnetError
from charnet.generation.detokenizer import Chunk
from charnet.generation.rows import Alternatives
from charnet.server import answers, http
from charnet.server.connection import GoneError
from charnet.server.dialect import CompletionRequest, refusal
from charnet.server.http import ApiError
from charnet.server.jobs import BrokenError, BusyError, Job, StoppedError
from charnet.server.mailbox import Mailbox
from charnet.server.models import Served

FLUSH_SECONDS, FLUSH_CHARACTERS = 0.03, 64
LONGEST_ANSWER = 900.0  # seconds


@dataclass(eq=False)
class _Text:
    """A text while it is written; what is not sent yet waits in `unsent` and `alternatives`."""

    index: int
    prompt: str
    job: Job
    notes: list[str]
    chunks: list[Chunk] = field(default_factory=list)
    unsent: str = ""
    sent: int = 0  # characters, the prompt included
    written: int = 0  # characters, without the prompt
    symbols: int = 0
    alternatives: list[Alternatives | None] = field(default_factory=list)
    ended: bool = False

    @property
    def finish(self) -> str:
        return "length" if self.symbols >= self.job.options.length else "stop"


class Completion:
    """The texts of one request.

    Args:
        request: what was asked for.
        served: the model, which stays the same until the end.
        mailbox: brings what the engine's thread delivers to that of the loop.

    Raises:
        ApiError: a prompt or an option does not fit the model, or too many texts wait.
    """

    def __init__(self, request: CompletionRequest, served: Served, mailbox: Mailbox) -> None:
        self.request, self.name, self._room, self._mailbox = request, served.name, served.room, mailbox
        self._vocab = self._room.checkpoint.vocab
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        self._error: ApiError | GoneError | None = None
        if request.receipt and not self._room.engine.is_exact:
            message = "receipt: the weights are fp32, so a text depends on the machine; serve with --quantize int8"
            raise ApiError(400, message, param="receipt")
        possible = tuple(stop for stop in request.options.stop if _may_come(stop, self._vocab))
        self._options = replace(request.options, stop=possible)
        self.texts = [
            text for number, prompt in enumerate(request.prompts) for text in self._texts_of(prompt, number * request.n)
        ]
        self.prompt_symbols = sum(len(text.job.ids) for text in self.texts[:: request.n])
        try:
            self._room.submit(*(text.job for text in self.texts))
        except BusyError:
            raise overloaded() from None
        except StoppedError as error:
            raise ApiError(503, str(error), headers={"Retry-After": "1"}) from None
        except CharnetError as error:
            raise refusal(error) from None
        late = ApiError(503, "the answer took too long; ask for fewer characters", ends=True)
        self._deadline = self._loop.call_later(LONGEST_ANSWER, self._fail, late)

    def _texts_of(self, prompt: str, first: int) -> list[_Text]:
        request, checkpoint = self.request, self._room.checkpoint
        try:
            skips = request.unknown == "skip"
            read, ids, notes = prompts.read(prompt, self._vocab, checkpoint.config.data, skip_unknown=skips)
        except CharnetError as error:
            message = str(error).partition(" (change the prompt")[0]
            raise ApiError(400, message, param="messages" if request.is_chat else "prompt") from None
        found = []
        for number in range(request.n):
            scores = request.echo and request.logprobs is not None and len(ids) > 0
            # Of a model of documents even the first symbol is predicted.
            is_predicted = scores and self._vocab.has_documents and ids[0] != self._vocab.start_id()
            job = Job(ids.astype(np.int32), self._options, lambda *_: None, number, request.logprobs, scores)
            text = _Text(first + number, read, job, notes)
            job.deliver = self._delivery(text)
            if request.echo:
                text.unsent = read
                text.alternatives += [None] * (scores and not is_predicted)
            found.append(text)
        return found

    def _delivery(self, text: _Text) -> Any:
        def deliver(chunk: Chunk | None, alternatives: list[Alternatives], error: CharnetError | None) -> None:
            if not text.job.is_cancelled:
                self._mailbox.post(self._take, text, chunk, alternatives, error)

        return deliver

    def cancel(self) -> None:
        """Ends all texts that are still written."""
        self._deadline.cancel()
        for text in self.texts:
            text.job.is_cancelled = True
            text.job.deliver = lambda *_: None  # else it leads back here: a frozen cycle would keep the model

    def leave(self) -> None:
        """Ends all texts: the client has left."""
        self._fail(GoneError())

    def _fail(self, error: ApiError | GoneError) -> None:
        self._error = self._error or error
        self._changed.set()

    async def _change(self) -> None:
        """Waits until there is something to send.

        Raises:
            ApiError: a text failed, or it took too long.
            GoneError: the client has left.
        """
        await self._changed.wait()
        self._changed.clear()
        if self._error is not None:
            raise self._error

    def _take(
        self, text: _Text, chunk: Chunk | None, alternatives: list[Alternatives], error: CharnetError | None
    ) -> None:
        if error is not None:
            status = 503 if isinstance(error, StoppedError) else 500 if isinstance(error, BrokenError) else 400
            self._fail(ApiError(status, str(error)))
            return
        text.alternatives += alternatives
        text.ended = chunk is None
        if text.ended or self.request.stream:
            self._changed.set()
        if chunk is None:
            return
        text.unsent += chunk.text
        text.written += len(chunk.text)
        if not self.request.stream:
            text.job.taken = text.written
        text.symbols += self._count(chunk.text)
        if self.request.receipt:
            text.chunks.append(chunk)

    def _count(self, text: str) -> int:
        return len(text.encode("utf-8", "surrogateescape")) if self._vocab.of_bytes else len(text)

    async def whole(self) -> dict[str, Any]:
        """Returns the answer when all texts have ended.

        Raises:
            ApiError: a text failed, or it took too long.
            GoneError: the client has left.
        """
        while not all(text.ended for text in self.texts):
            await self._change()
        found = [self._choice(text, is_last=True) for text in self.texts]
        return answers.response(self.request, self.name, found, self.usage)

    @property
    def usage(self) -> dict[str, int]:
        """How many symbols were read and written so far."""
        return answers.usage(self.prompt_symbols, sum(text.symbols for text in self.texts))

    def _choice(self, text: _Text, *, is_last: bool) -> dict[str, Any]:
        piece, text.unsent = text.unsent, ""
        logprobs = None
        if self.request.logprobs is not None:
            count = self._count(piece)
            known, text.alternatives = text.alternatives[:count], text.alternatives[count:]
            first = int(text.job.ids[0]) if len(text.job.ids) else 0
            logprobs = answers.legacy_logprobs(self._vocab, known, text.sent, self.request.logprobs, first)
        text.sent += len(piece)
        finish = text.finish if is_last else None
        more: dict[str, Any] = {"notes": text.notes} if is_last and text.notes else {}
        if is_last and self.request.receipt:
            more["receipt"] = self._receipt(text)
        return answers.choice(self.request, text.index, piece, finish, logprobs, **more)

    def _receipt(self, text: _Text) -> dict[str, Any]:
        from charnet.generation.receipts import Recorder, draft

        checkpoint, options = self._room.checkpoint, text.job.options
        path = checkpoint.path.name if checkpoint.path else ""
        echo = self.request.echo
        drafted = draft(
            self._room.engine, self._vocab, options, checkpoint=path, checkpoint_sha256=self._room.sha256,
            prompt=text.prompt, is_private=False, echo=echo, unknown=self.request.unknown, lines=False,
            samples=self.request.n,
        )  # fmt: skip
        recorder = Recorder(drafted, text.prompt if echo else "", "")
        for chunks in recorder.watch([text.chunks]):
            for _ in chunks:
                pass
        return recorder.receipt_of(text.job.number).to_json()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields the events of a stream: pieces of texts, each soon after it was written, and the end.

        An error that comes after the first piece is an event too.

        Raises:
            GoneError: the client has left.
        """
        waiting, due, alarm = list(self.texts), 0.0, 0.0
        try:
            while waiting:
                await self._change()
                if (now := self._loop.time()) < due and not self._is_urgent(waiting):
                    if alarm != due:
                        alarm = due
                        self._loop.call_at(due, self._changed.set)
                    continue
                ready = [(text, text.ended) for text in waiting if text.ended or self._is_ready(text)]
                due = now + FLUSH_SECONDS if ready else due
                for text, is_last in ready:
                    if is_last:
                        waiting.remove(text)
                    choice, written = self._choice(text, is_last=is_last), text.written
                    yield self._event(answers.piece(self.request, self.name, choice))
                    text.job.taken = written
            if self.request.include_usage:
                yield self._event(answers.response(self.request, self.name, [], self.usage))
            yield b"data: [DONE]\n\n"
        except ApiError as error:
            yield self._event(error.to_json())

    def _is_ready(self, text: _Text) -> bool:
        """Whether there is something to send, and known what is said of each of its symbols."""
        is_scored = self.request.logprobs is None or len(text.alternatives) >= self._count(text.unsent)
        return bool(text.unsent) and is_scored

    @staticmethod
    def _is_urgent(texts: Sequence[_Text]) -> bool:
        return sum(len(text.unsent) for text in texts) >= FLUSH_CHARACTERS or any(text.ended for text in texts)

    @staticmethod
    def _event(value: Any) -> bytes:
        return b"data: " + http.as_json(value) + b"\n\n"


def _may_come(stop: str, vocab: Vocabulary) -> bool:
    """Whether the model could ever write a text at which it is to stop."""
    return all(code in vocab.symbols for code in vocab.codes(stop).tolist())


def overloaded() -> ApiError:
    """Returns the refusal of what is too much."""
    retry = {"Retry-After": "1"}
    return ApiError(429, "too many requests wait; try again", code="overloaded", headers=retry)
