"""Whole charnet processes for tests to disturb.

A server that has loaded torch forks each of them in a moment; from `main` to its exit code a process is then what it is
when started from a shell. `CHARNET_FAULTS=long` makes the tests marked `faults` many.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint

STREAMS = (("r", -1), ("w", -1), ("w", 1))  # how Python opens the standard streams where there is no terminal
LONG = os.environ.get("CHARNET_FAULTS") == "long"
PATIENCE = 60.0  # seconds after which a process hangs
SMALL = [
    *("--hidden-size", "8", "--batch-size", "3", "--window", "5", "--threads", "1", "--dropout", "0.2"),
    *("--set", "training.report_every=1", "--set", "training.eval_every=10", "--checkpoint-every", "0.05"),
]


def seeds(short: int, long: int) -> range:
    """Seeds of trials, in the short form and in the long one."""
    return range(long if LONG else short)


# ------------------------------------------------------------------------------------------- the tests' side


@dataclass
class Process:
    """A process that the server has forked. `err` and `out` are files."""

    pid: int
    out: Path
    err: Path
    begun: float

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit code as a shell tells it: 128 + n for one ended by signal n."""
        channel = _server()[1]
        if not select.select([channel], [], [], seconds)[0]:
            os.kill(self.pid, signal.SIGKILL)
            channel.readline()
            raise AssertionError(f"still at work after {seconds} seconds: {self.err.read_text()}")
        return int(channel.readline())

    def stderr(self) -> str:
        return self.err.read_text()


def start(
    arguments: list[str],
    *,
    folder: Path,
    hooks: Sequence[tuple[str, int, list[int]]] = (),
    terminal: str = "",
    stderr: Path | None = None,
    memory: int = 0,
    tidy: bool = True,
) -> Process:
    """Starts `charnet` with these arguments in a folder. One process at a time.

    Args:
        hooks: full names of functions, which call of each, and the signals that the process gets just before that.
        terminal: the path of the terminal that the process belongs to and writes its stderr to.
        stderr: another file for that.
        memory: bytes that it may take beyond what it has.
        tidy: whether Python takes itself to pieces at the end, which takes longer than a short training.
    """
    out, err = folder / "stdout", stderr or folder / "stderr"
    order = {
        "arguments": arguments,
        "folder": str(folder),
        "streams": [os.devnull, str(out), terminal or str(err)],
        "hooks": hooks,
        "terminal": terminal,
        "memory": memory,
        "tidy": tidy,
        "environment": dict(os.environ),
    }
    orders, answers = _server()
    begun = time.monotonic()
    orders.write(json.dumps(order) + "\n")
    orders.flush()
    return Process(int(answers.readline()), out, err, begun)


def run(arguments: list[str], *, folder: Path, **more: Any) -> Process:
    """Runs `charnet` to its good end."""
    process = start(arguments, folder=folder, tidy=False, **more)
    assert process.wait() == 0, process.stderr()
    return process


@functools.cache
def _server() -> tuple[Any, Any]:
    """Two pipes, to the server and from it."""
    from_tests, orders = os.pipe()
    answers, to_tests = os.pipe()
    command = [sys.executable, __file__, str(from_tests), str(to_tests)]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(from_tests, to_tests))
    os.close(from_tests)
    os.close(to_tests)
    channels = os.fdopen(orders, "w"), os.fdopen(answers, "r", buffering=1)

    def end() -> None:
        for channel in channels:
            channel.close()
        server.wait()

    atexit.register(end)
    assert channels[1].readline() == "ready\n"
    return channels


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Waits for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.001)


def processor_seconds(pid: int) -> float:
    """What a process has had of the processor, also one that has ended and nobody has asked how. Unlike the clock it
    does not depend on what else the machine has to do."""
    if not Path(f"/proc/{pid}/stat").exists():
        pytest.skip("this system does not say what a process takes")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def outcome(run: Path) -> tuple[str, str, list[dict[str, float]]]:
    """What must not depend on disturbances: the weights of `last` and `best`, and the metrics apart from speed."""
    lines = [json.loads(line) for line in (run / runs.METRICS).read_text().splitlines()]
    figures = [{k: v for k, v in line.items() if k not in ("seconds", "chars_per_second")} for line in lines]
    last, best = (Checkpoint.load(run / name).weights_sha256() for name in (runs.LAST, runs.BEST))
    return last, best, figures


def newest(run: Path) -> Checkpoint:
    """The checkpoint that a run is resumed from, which must be undamaged."""
    return runs.load_resumable(runs.find(run, order=runs.RESUME_ORDER), strict=True)[0]


def has_checkpoint(run: Path) -> bool:
    return any((run / name).exists() for name in runs.RESUME_ORDER)


# ------------------------------------------------------------------------------------------- the server's side


def serve(orders: Iterator[str], answer: Callable[[object], object]) -> dict[str, Any]:
    """Forks a process for each order and tells its number, then how it ended. Returns in the forked process.

    What has ended is kept until the next order: a signal that comes too late hits nobody else.
    """
    answer("ready")
    unreaped = 0
    for line in orders:
        if unreaped:
            os.waitpid(unreaped, 0)
        child = os.fork()
        if child == 0:
            return dict(json.loads(line))
        answer(child)
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        answer(ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status)
        unreaped = child
    os._exit(0)


def become(order: dict[str, Any]) -> None:
    """Makes the forked process the one that was ordered."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started with
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    if order["terminal"]:
        os.setsid()  # the terminal that is opened next is then its own
    for number, path in enumerate(order["streams"]):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | (0 if number == 0 else os.O_TRUNC))
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(n, mode, buffering, closefd=False) for n, (mode, buffering) in enumerate(STREAMS)
    )
    if order["memory"]:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + order["memory"]
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    for hook in order["hooks"]:
        _hang_in(*hook)
    sys.argv = ["charnet", *order["arguments"]]


def main(*, tidy: bool) -> None:
    """The command, to its exit code."""
    try:
        command.main()
    except SystemExit as end:
        if tidy:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def _hang_in(name: str, call: int, signals: list[int]) -> None:
    """Has a function send signals to its own process before one of its calls."""
    path, _, last = name.rpartition(".")
    holder: Any = None
    with contextlib.suppress(ImportError):
        holder = importlib.import_module(path)
    if holder is None:  # a method
        module, _, kind = path.rpartition(".")
        holder = getattr(importlib.import_module(module), kind)
    function, calls = getattr(holder, last), iter(range(1, sys.maxsize))

    @functools.wraps(function)
    def disturbed(*arguments: Any, **more: Any) -> Any:
        if next(calls) == call:
            for number in signals:
                os.kill(os.getpid(), number)
        return function(*arguments, **more)

    setattr(holder, last, disturbed)


if __name__ == "__main__":
    import torch

    from charnet import __main__ as command
    from charnet.training import setup, trainer  # noqa: F401 - loaded once for all

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # what is loaded stays shared with the processes that are forked
    with os.fdopen(int(sys.argv[1])) as requests, os.fdopen(int(sys.argv[2]), "w", buffering=1) as replies:
        wanted = serve(requests, lambda value: print(value, file=replies))
    become(wanted)
    main(tidy=wanted["tidy"])
