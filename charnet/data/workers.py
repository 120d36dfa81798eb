"""Reads several files at once, in this process and in worker processes, one per core.

A worker is a fresh Python. It reads jobs from stdin, one per line, and writes its progress to stdout, and at the end of
each job the result. When charnet is killed, nothing reads from its workers any more, and they end too.
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
from charnet.data.encode import NewFile, OnProgress, SymbolCounts, count
from charnet.data.readers import FileDigest
from charnet.data.refusals import Refusal, SourceInfo
from charnet.data.sources import Source, size_of
from charnet.overlay import as_dict, from_dict

MIN_PARALLEL_BYTES = 1 << 26  # of text; for less it takes longer to start a process
JOBS_PER_WORKER = 4  # so that all workers end at about the same time
COMMAND = "from charnet.data.workers import work; work()"


def count_all(
    sources: Sequence[Source], separators: Sequence[str], data: DataSettings, new_file: NewFile, on_progress: OnProgress
) -> tuple[list[SymbolCounts], list[Path]]:
    """Counts the symbols of all sources and writes them to files, with worker processes if the text is large.

    Args:
        separators: a text to append to each source.
        new_file: makes an empty file.
        on_progress: called now and then with the bytes that are read.

    Returns:
        The parts of the text in their order, and for each the file of its symbols.

    Raises:
        CorpusError, ConfigError, StorageError: as `encode.symbols_of`.
        StorageError: also if a worker was killed.
    """
    sizes = [size_of(source) for source in sources]
    cores, first, paths = min(machine.processor_cores(), len(sources)), SymbolCounts(), [new_file()]
    if cores == 1 or sum(sizes) < MIN_PARALLEL_BYTES or any(source.is_stream for source in sources):
        count(sources, separators, data, paths[0], first, on_progress)
        return [first], paths
    runs = list(_runs(sizes, sum(sizes) // (cores * JOBS_PER_WORKER)))
    reports, files = _sum_progress(on_progress, len(runs)), [new_file() for _ in runs]
    workers = _Workers(cores - 1)
    try:
        futures = [
            workers.submit(_job(sources[run], separators[run], data, file), report)
            for run, file, report in reversed(list(zip(runs, files, reports, strict=True)))
        ][::-1]
        taken = 0  # this process takes runs from the start of the text, workers from its end
        while taken < len(runs) and futures[taken].cancel():
            count(sources[runs[taken]], separators[runs[taken]], data, paths[0], first, reports[taken])
            taken += 1
            for future in futures[taken:]:
                if future.done():
                    future.result()  # raises an error of a worker now, not after the rest
        return [first, *(_parse_part(future.result()) for future in futures[taken:])], paths + files[taken:]
    finally:
        workers.end()


def _runs(sizes: Sequence[int], enough: int) -> Iterator[slice]:
    """Groups neighbors until each group has enough bytes."""
    begin = size = 0
    for end, more in enumerate(sizes, 1):
        size += more
        if size >= enough or end == len(sizes):
            yield slice(begin, end)
            begin, size = end, 0


def _sum_progress(on_progress: OnProgress, count: int) -> list[OnProgress]:
    """Returns a callback for each run; together they report the sum."""
    parts, lock = [0] * count, threading.Lock()

    def report(run: int, read: int) -> None:
        with lock:
            parts[run] = read
            on_progress(sum(parts))

    return [partial(report, run) for run in range(count)]


class _Workers:
    """A pool of at most `count` processes, each with one job at a time."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, initializer=_block_ctrl_c)
        self._processes, self._idle = list[subprocess.Popen[str]](), list[subprocess.Popen[str]]()
        self._ended, self._lock = False, threading.Lock()

    def submit(self, job: str, on_progress: OnProgress) -> Future[Any]:
        """Queues a job; it can be canceled until it starts."""
        return self._pool.submit(self._run, job, on_progress)

    def end(self) -> None:
        """Kills the processes, also those at work."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.kill()
        self._pool.shutdown(cancel_futures=True)
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError), process:
                pass

    def _run(self, job: str, on_progress: OnProgress) -> Any:
        """Sends a job to an idle process, or to a new one, and waits for its result."""
        if self._ended:
            return None  # nothing reads this result
        try:
            process = self._idle.pop()
        except IndexError:
            process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(job + "\n")
            process.stdin.flush()
        for line in process.stdout:
            if not line.endswith("\n"):  # the process was killed while it wrote
                break
            answer = json.loads(line)
            if isinstance(answer, int):
                on_progress(answer)
            elif "error" in answer:
                raise _error(answer)
            else:
                self._idle.append(process)
                return answer
        raise errors.StorageError(
            "a process that read the text was killed from outside; start again, with more memory free"
        )

    def _start(self) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", COMMAND], stdin=pipe, stdout=pipe, text=True, env=environment)
        with self._lock:
            self._processes.append(process)
            if self._ended:  # while this process was about to start
                process.kill()
        return process


def _block_ctrl_c() -> None:
    """Keeps Ctrl-C from the processes that this thread starts, however early it comes: `_Workers.end` ends them."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def _error(answer: Any) -> Exception:
    """Returns the error of a worker as an exception of this process."""
    if answer["error"] == "OSError":
        return OSError(answer["errno"], answer["message"])
    if answer["error"] == "MemoryError":
        return MemoryError(answer["message"])
    error: Exception = getattr(errors, answer["error"])(answer["message"])
    return error


def _job(sources: Sequence[Source], separators: Sequence[str], data: DataSettings, path: Path) -> str:
    return json.dumps(
        {
            "sources": [[source.name, str(source.path)] for source in sources],
            "separators": list(separators),
            "settings": as_dict(Config(data=data)),
            "path": str(path),
        }
    )


def work() -> None:
    """Runs a worker process until its stdin is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems where `_block_ctrl_c` does nothing
    try:
        for line in sys.stdin:
            _send(_run_job(json.loads(line)))
    except (BrokenPipeError, json.JSONDecodeError):  # the process that started this one has ended
        os._exit(1)


def _run_job(job: Any) -> Any:
    """Returns the result of a job, or the error."""
    try:
        return _count_job(job)
    except BrokenPipeError:
        raise
    except OSError as error:
        return {"error": "OSError", "errno": error.errno, "message": error.strerror or str(error)}
    except (errors.CharnetError, MemoryError) as error:
        return {"error": type(error).__name__, "message": str(error)}


def _count_job(job: Any) -> Any:
    sources = [Source(name, Path(path)) for name, path in job["sources"]]
    part = SymbolCounts()
    count(sources, job["separators"], from_dict(job["settings"]).data, Path(job["path"]), part, _send)
    symbols = np.flatnonzero(part.counts)
    return {
        "symbols": symbols.tolist(),
        "counts": part.counts[symbols].tolist(),
        "segments": part.segments,
        "sources": [asdict(info) for info in part.sources],
    }


def _send(answer: Any) -> None:
    with open(1, "w", closefd=False) as stdout:
        stdout.write(json.dumps(answer) + "\n")


def _parse_part(answer: Any) -> SymbolCounts:
    counts = np.zeros(max(answer["symbols"], default=-1) + 1, np.int64)
    counts[answer["symbols"]] = answer["counts"]
    return SymbolCounts(counts, answer["segments"], [_parse_info(values) for values in answer["sources"]])


def _parse_info(values: Any) -> SourceInfo:
    refusal = values["refusal"] and Refusal(**values["refusal"])
    return SourceInfo(**values | {"digest": FileDigest(**values["digest"]), "refusal": refusal})
