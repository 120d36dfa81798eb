"""Several files at once: this process and others, as many as there are cores, each read a run of files at a time.

A worker is a fresh Python that is told jobs on stdin, line by line, and tells on stdout how far it is and at the end
of each what it found. When charnet is killed its workers find that nobody listens, and end too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from charnet import errors, machine
from charnet.config import Config, DataSettings
from charnet.data.encode import NewFile, OnProgress, SourceInfo, SymbolCounts, count
from charnet.data.readers import Contents
from charnet.data.sources import Source, size_of
from charnet.overlay import as_dict, from_dict

WORTH_IT = 1 << 26  # bytes of text; for less, starting a process takes longer
RUNS_A_WORKER = 4  # so that all end at about the same time
COMMAND = "from charnet.data.workers import work; work()"


def count_all(
    sources: Sequence[Source], separators: Sequence[str], data: DataSettings, new_file: NewFile, on_progress: OnProgress
) -> tuple[list[SymbolCounts], list[Path]]:
    """Counts and keeps the symbols of all sources, by as many processes as it is worth.

    Args:
        after: what to append to each source.
        new_file: makes an empty file.
        done: told now and then how many bytes are read.

    Returns:
        What there is in each part of the text, in their order, and the file where the symbols of each are kept.

    Raises:
        CorpusError, ConfigError, StorageError: as `numbering.symbols_of`.
        StorageError: also where one of the processes was killed.
    """
    sizes = [size_of(source) for source in sources]
    cores, mine, kept = min(machine.processor_cores(), len(sources)), SymbolCounts(), [new_file()]
    if cores == 1 or sum(sizes) < WORTH_IT or any(source.is_stream for source in sources):
        count(sources, separators, data, kept[0], mine, on_progress)
        return [mine], kept
    runs = list(_runs(sizes, sum(sizes) // (cores * RUNS_A_WORKER)))
    told, files = _summed(on_progress, len(runs)), [new_file() for _ in runs]
    workers = _Workers(cores - 1)
    try:
        theirs = [
            workers.submit(_job(sources[run], separators[run], data, file), each)
            for run, file, each in reversed(list(zip(runs, files, told, strict=True)))
        ][::-1]
        taken = 0
        while taken < len(runs) and theirs[taken].cancel():  # they begin with the last
            count(sources[runs[taken]], separators[runs[taken]], data, kept[0], mine, told[taken])
            taken += 1
            for each in theirs[taken:]:
                if each.done():
                    each.result()  # what went wrong there is said now, not after the rest
        return [mine, *(_tally(each.result()) for each in theirs[taken:])], kept + files[taken:]
    finally:
        workers.end()


def _runs(sizes: Sequence[int], enough: int) -> Iterator[slice]:
    """Neighbours together, until they are enough."""
    begin = size = 0
    for end, more in enumerate(sizes, 1):
        size += more
        if size >= enough or end == len(sizes):
            yield slice(begin, end)
            begin, size = end, 0


def _summed(done: OnProgress, count: int) -> list[OnProgress]:
    """Adds up what several have done."""
    parts, lock = [0] * count, threading.Lock()

    def told(at: int, read: int) -> None:
        with lock:
            parts[at] = read
            done(sum(parts))

    return [partial(told, at) for at in range(count)]


class _Workers:
    """So many processes at most, each for one job at a time."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, initializer=_without_ctrl_c)
        self._processes, self._idle = list[subprocess.Popen[str]](), list[subprocess.Popen[str]]()
        self._left, self._lock = False, threading.Lock()

    def submit(self, job: str, done: OnProgress) -> Future[Any]:
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

    def _answer(self, job: str, done: OnProgress) -> Any:
        if self._left:
            return None  # which nobody asks for
        try:
            process = self._idle.pop()
        except IndexError:
            process = self._started()
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
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
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


def _job(sources: Sequence[Source], after: Sequence[str], data: DataSettings, kept: Path) -> str:
    return json.dumps(
        {
            "sources": [[source.shown, str(source.path)] for source in sources],
            "after": list(after),
            "settings": as_dict(Config(data=data)),
            "kept": str(kept),
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
    tally = SymbolCounts()
    count(sources, job["after"], from_dict(job["settings"]).data, Path(job["kept"]), tally, _tell)
    symbols = np.flatnonzero(tally.counts)
    return {
        "symbols": symbols.tolist(),
        "counts": tally.counts[symbols].tolist(),
        "pieces": tally.pieces,
        "texts": [asdict(text) for text in tally.texts],
    }


def _tell(answer: Any) -> None:
    with open(1, "w", closefd=False) as listener:
        listener.write(json.dumps(answer) + "\n")


def _tally(answer: Any) -> SymbolCounts:
    counts = np.zeros(max(answer["symbols"], default=-1) + 1, np.int64)
    counts[answer["symbols"]] = answer["counts"]
    return SymbolCounts(counts, answer["pieces"], [_text(values) for values in answer["texts"]])


def _text(values: Any) -> SourceInfo:
    return SourceInfo(**values | {"contents": Contents(**values["contents"])})
