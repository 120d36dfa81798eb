"""Several files at once: this process and others, as many as there are cores, each read a run of files at a time.

A worker is a fresh Python that is told jobs on stdin, line by line, and tells on stdout how far it is and at the end
of each what it found. When charnet is killed its workers find that nobody listens, and end too.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from charnet import errors, machine
from charnet.config import Config, DataSettings, as_dict, from_dict
from charnet.corpus.finding import Source, size_of
from charnet.corpus.numbering import Done, Part, Tally, Text, count, is_read_once, write
from charnet.corpus.opening import Contents
from charnet.vocab import Vocabulary

WORTH_IT = 1 << 26  # bytes of text; for less, starting a process takes longer
RUNS_A_WORKER = 4  # so that all end at about the same time
COMMAND = "from charnet.corpus.working import work; work()"

NewFile = Callable[[], Path]


Answer = TypeVar("Answer")


class Readers:
    """Reads texts twice, in as many processes as it is worth; those that were started are ended when it is left.

    Args:
        after: what to append to each source.
        new_file: makes an empty file, for symbols that cannot be read again.
    """

    def __init__(self, sources: Sequence[Source], after: Sequence[str], data: DataSettings, new_file: NewFile) -> None:
        sizes = [size_of(source) for source in sources]
        cores, total = min(machine.processor_cores(), len(sources)), sum(sizes)
        alone = cores == 1 or total < WORTH_IT or any(source.is_stream for source in sources)
        runs = [slice(0, len(sources))] if alone else list(_runs(sizes, total // (cores * RUNS_A_WORKER)))
        once = any(is_read_once(source, data) for source in sources)
        self._parts = [Part(sources[run], after[run], data, str(new_file()) if once else "") for run in runs]
        self._workers = None if alone else _Workers(cores - 1)

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._workers:
            self._workers.end()

    def count(self, done: Done) -> list[Tally]:
        """The first reading: what there is in each part of the text.

        Args:
            done: told now and then how many bytes are read.

        Raises:
            CorpusError, ConfigError, StorageError: as `numbering.count`.
            StorageError: also where one of the processes was killed.
        """

        def here(at: int, done: Done) -> Tally:
            return count(self._parts[at], done)

        return self._each(here, lambda at: _job(self._parts[at]), _tally, done)

    def write(self, path: Path, tallies: Sequence[Tally], vocab: Vocabulary, done: Done) -> None:
        """The second reading: writes the ids to a file, each part to its place; raises as the first."""
        contents = [[text.contents for text in tally.texts] for tally in tallies]
        places = list(itertools.accumulate((tally.length for tally in tallies), initial=0))

        def here(at: int, done: Done) -> None:
            write(self._parts[at], contents[at], vocab, path, places[at], done)

        def job(at: int) -> str:
            place = {"path": str(path), "at": places[at], "contents": [*map(asdict, contents[at])]}
            return _job(self._parts[at], place, vocab)

        self._each(here, job, lambda _: None, done)

    def _each(
        self,
        here: Callable[[int, Done], Answer],
        job: Callable[[int], str],
        answer: Callable[[Any], Answer],
        done: Done,
    ) -> list[Answer]:
        """Does something with all parts: `here`, from the last on, and as a `job` of the workers, from the first on."""
        told, numbers = _Together(done, len(self._parts)), range(len(self._parts))
        if not self._workers:
            return [here(at, told.part(at)) for at in numbers]
        running = [self._workers.submit(job(at), told.part(at)) for at in numbers]
        mine = {at: here(at, told.part(at)) for at in reversed(numbers) if running[at].cancel()}
        return [mine[at] if at in mine else answer(running[at].result()) for at in numbers]


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

    def __init__(self, done: Done, parts: int) -> None:
        self._done, self._parts, self._lock = done, [0] * parts, threading.Lock()

    def part(self, at: int) -> Done:
        def done(read: int) -> None:
            with self._lock:
                self._parts[at] = read
                self._done(sum(self._parts))

        return done


class _Workers:
    """So many processes at most, each for one job at a time."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, initializer=_without_ctrl_c)
        self._processes, self._idle = list[subprocess.Popen[str]](), list[subprocess.Popen[str]]()
        self._left, self._lock = False, threading.Lock()

    def submit(self, job: str, done: Done) -> Future[Any]:
        """Has a job done; until it is begun it can be taken back."""
        return self._pool.submit(self._answer, job, done)

    def end(self) -> None:
        """Ends the processes, those at work too."""
        with self._lock:
            self._left = True
            for process in self._processes:
                process.kill()
        self._pool.shutdown(cancel_futures=True)
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError), process:
                pass

    def _answer(self, job: str, done: Done) -> Any:
        if self._left:
            return None  # which nobody asks for
        process = self._idle.pop() if self._idle else self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(job + "\n")
            process.stdin.flush()
        for line in process.stdout:
            if not line.endswith("\n"):  # its writer was ended in the middle of it
                break
            answer = json.loads(line)
            if isinstance(answer, int):
                done(answer)
            elif "error" in answer:
                raise _error(answer)
            else:
                self._idle.append(process)
                return answer
        raise errors.StorageError(
            "a process that read the text was ended from outside; start again, with more memory free"
        )

    def _started(self) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", COMMAND], stdin=pipe, stdout=pipe, text=True, env=environment)
        with self._lock:
            self._processes.append(process)
            if self._left:  # while it was about to start
                process.kill()
        return process


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


def _job(part: Part, place: Any = None, vocab: Vocabulary | None = None) -> str:
    """A part to count, or to write at a place with an alphabet, as a worker is told."""
    return json.dumps(
        {
            "sources": [[source.shown, str(source.path)] for source in part.sources],
            "after": list(part.after),
            "settings": as_dict(Config(data=part.data)),
            "kept": part.kept,
            "place": place,
            "alphabet": [vocab.symbols, vocab.of_bytes] if vocab else None,
        }
    )


def work() -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where a thread cannot keep it away
    try:
        for line in sys.stdin:
            _tell(_outcome(json.loads(line)))
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
    sources = [Source(shown, Path(path)) for shown, path in job["sources"]]
    part = Part(sources, job["after"], from_dict(job["settings"]).data, job["kept"])
    if place := job["place"]:
        symbols, of_bytes = job["alphabet"]
        contents = [Contents(**each) for each in place["contents"]]
        write(part, contents, Vocabulary(tuple(symbols), of_bytes), Path(place["path"]), place["at"], _tell)
        return {}
    tally = count(part, _tell)
    symbols = np.flatnonzero(tally.counts)
    return {
        "symbols": symbols.tolist(),
        "counts": tally.counts[symbols].tolist(),
        "length": tally.length,
        "texts": [asdict(text) for text in tally.texts],
    }


def _tell(answer: Any) -> None:
    with open(1, "w", closefd=False) as listener:
        listener.write(json.dumps(answer) + "\n")


def _tally(answer: Any) -> Tally:
    counts = np.zeros(max(answer["symbols"], default=-1) + 1, np.int64)
    counts[answer["symbols"]] = answer["counts"]
    return Tally(counts, answer["length"], [_text(values) for values in answer["texts"]])


def _text(values: Any) -> Text:
    return Text(**values | {"contents": Contents(**values["contents"])})
