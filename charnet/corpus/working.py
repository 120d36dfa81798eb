"""Several files at once: processes that each draft a run of files, as many as there are cores.

A worker is a fresh Python that is told its job on stdin and tells on stdout how far it is, line by line, and at the
end what it found. When charnet is killed its workers find that nobody listens, and end too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from charnet import errors, machine
from charnet.config import Config, DataSettings, as_dict, from_dict
from charnet.corpus.drafting import Draft, Text, add_source, id_type
from charnet.corpus.finding import Source, size_of
from charnet.corpus.opening import Contents

WORTH_IT = 1 << 26  # bytes of text; for less, starting a process takes longer
RUNS_A_WORKER = 4  # so that all end at about the same time
COMMAND = "from charnet.corpus.working import work; work()"

Done = Callable[[int], object]
NewFile = Callable[[], IO[bytes]]


def drafted(
    sources: Sequence[Source], after: Sequence[str], data: DataSettings, new_file: NewFile, done: Done
) -> tuple[list[Draft], list[Text]]:
    """Drafts of all sources, in their order, by as many processes as it is worth.

    Args:
        after: what to append to each source.
        new_file: makes an empty file that goes when it is closed.
        done: told now and then how many bytes are read.

    Raises:
        CorpusError, ConfigError, StorageError: as `add_source`.
        StorageError: also where one of the processes was killed.
    """
    sizes = [size_of(source) for source in sources]
    workers = min(machine.processor_cores(), len(sources))
    if workers == 1 or sum(sizes) < WORTH_IT or any(source.is_stream for source in sources):
        draft = Draft(new_file(), of_bytes=data.bytes)
        return [draft], draft_all(draft, sources, after, data, done)
    runs = list(_runs(sizes, sum(sizes) // (workers * RUNS_A_WORKER)))
    files = [new_file() for _ in runs]
    told = _Together(done)
    with _Workers(workers) as processes:
        jobs = [
            processes.submit(_job(sources[run], after[run], data, file.name), told.part())
            for run, file in zip(runs, files, strict=True)
        ]
        found = [job.result() for job in jobs]
    drafts = [_draft(answer, file, data) for answer, file in zip(found, files, strict=True)]
    return drafts, [_text(values) for answer in found for values in answer["texts"]]


def draft_all(
    draft: Draft, sources: Sequence[Source], after: Sequence[str], data: DataSettings, done: Done
) -> list[Text]:
    """Reads sources one after the other to the end of a draft."""
    texts: list[Text] = []
    read = 0

    def told(now: int) -> None:
        done(read + now)

    for source, behind in zip(sources, after, strict=True):
        texts.append(add_source(draft, source, data, told, behind))
        read += texts[-1].contents.size
    draft.file.flush()
    return texts


def _runs(sizes: Sequence[int], enough: int) -> Iterator[slice]:
    """Neighbours together, until they are enough."""
    begin = size = 0
    for end, more in enumerate(sizes, 1):
        size += more
        if size >= enough or end == len(sizes):
            yield slice(begin, end)
            begin, size = end, 0


class _Together:
    """Adds up what several workers have done."""

    def __init__(self, done: Done) -> None:
        self._done, self._parts, self._lock = done, list[int](), threading.Lock()

    def part(self) -> Done:
        at = len(self._parts)
        self._parts.append(0)

        def done(read: int) -> None:
            with self._lock:
                self._parts[at] = read
                self._done(sum(self._parts))

        return done


class _Workers:
    """So many processes at a time; those that still run when it is left are ended."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, initializer=_without_ctrl_c)
        self._running, self._left, self._lock = list[subprocess.Popen[str]](), False, threading.Lock()

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._left = True
            for process in self._running:
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    def submit(self, job: str, done: Done) -> Any:
        return self._pool.submit(self._run, job, done)

    def _run(self, job: str, done: Done) -> Any:
        if self._left:
            return None  # which nobody asks for
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [sys.executable, "-c", COMMAND], stdin=pipe, stdout=pipe, text=True, env=environment
        ) as process:
            with self._lock:
                self._running.append(process)
                if self._left:  # by a process that was about to start
                    process.kill()
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(job)
            for line in process.stdout:
                if not line.endswith("\n"):  # its writer was ended in the middle of it
                    break
                answer = json.loads(line)
                if isinstance(answer, int):
                    done(answer)
                elif "error" in answer:
                    raise _error(answer)
                else:
                    return answer
        raise errors.StorageError(
            "a process that read the text was ended from outside; start again, with more memory free"
        )


def _without_ctrl_c() -> None:
    """Keeps Ctrl-C from what this thread starts, however early it comes: whoever started a worker ends it."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def _error(answer: Any) -> Exception:
    """What went wrong in a worker, as if it had gone wrong here."""
    if answer["error"] == "OSError":
        return OSError(answer["errno"], answer["message"])
    if answer["error"] == "MemoryError":
        return MemoryError(answer["message"])
    error: Exception = getattr(errors, answer["error"])(answer["message"])
    return error


def _job(sources: Sequence[Source], after: Sequence[str], data: DataSettings, file: str) -> str:
    return json.dumps(
        {
            "sources": [[source.shown, str(source.path)] for source in sources],
            "after": list(after),
            "settings": as_dict(Config(data=data)),
            "file": file,
        }
    )


def work() -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where a thread cannot keep it away
    try:
        _tell(_outcome(json.load(sys.stdin)))
    except (BrokenPipeError, json.JSONDecodeError):  # whoever started it is no more
        os._exit(1)


def _outcome(job: Any) -> Any:
    """What a worker found, or what went wrong."""
    try:
        return _found(job)
    except BrokenPipeError:
        raise
    except OSError as error:
        return {"error": "OSError", "errno": error.errno, "message": error.strerror or str(error)}
    except (errors.CharnetError, MemoryError) as error:
        return {"error": type(error).__name__, "message": str(error)}


def _found(job: Any) -> Any:
    data = from_dict(job["settings"]).data
    sources = [Source(shown, Path(path)) for shown, path in job["sources"]]
    with Path(job["file"]).open("r+b") as file:
        draft = Draft(file, of_bytes=data.bytes)
        texts = draft_all(draft, sources, job["after"], data, _tell)
    return {
        "symbols": draft.symbols,
        "counts": draft.counts[: len(draft.symbols)].tolist(),
        "length": draft.length,
        "texts": [asdict(text) for text in texts],
    }


def _tell(answer: Any) -> None:
    with open(1, "w", closefd=False) as listener:
        listener.write(json.dumps(answer) + "\n")


def _draft(answer: Any, file: IO[bytes], data: DataSettings) -> Draft:
    draft = Draft(file, of_bytes=data.bytes)
    draft.symbols, draft.counts, draft.length = answer["symbols"], np.array(answer["counts"]), answer["length"]
    draft.dtype = id_type(len(draft.symbols))
    return draft


def _text(values: Any) -> Text:
    return Text(**values | {"contents": Contents(**values["contents"])})
