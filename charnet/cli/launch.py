"""Starts `charnet train` in several processes: torchrun with the same command line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from charnet.errors import ConfigError, GroupError
from charnet.training import group

EXIT_CODE_FILE = "CHARNET_EXIT_CODE_FILE"
MOST = 256  # processes


def start(processes: int) -> int:
    """Runs the command of this process again, in several; returns its exit code, which torchrun does not pass on."""
    if not 1 <= processes <= MOST:
        raise ConfigError(f"--processes: expected a number between 1 and {MOST}, found {processes}")
    arguments = [*sys.argv[1:]]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    with tempfile.TemporaryDirectory(prefix="charnet-") as folder:
        file = Path(folder) / "code"
        environment = (
            {"TORCH_CPP_LOG_LEVEL": "FATAL", "LOGLEVEL": "CRITICAL"} | os.environ | {EXIT_CODE_FILE: str(file)}
        )
        command = [sys.executable, *torchrun, "-m", "charnet", *arguments]
        for number in (signal.SIGINT, signal.SIGTERM):  # torchrun has them too, and ends when all is saved
            signal.signal(number, lambda *_: None)
        with subprocess.Popen(command, env=environment) as running:
            code = running.wait()
        found = file.read_text() if file.exists() else ""
        return int(found or code)


def keep_exit_code(code: int) -> None:
    """Leaves the exit code of a process to the one that has started it by `start`."""
    if code == GroupError.exit_code and group.rank():
        return  # another process says why
    with contextlib.suppress(OSError), Path(os.environ[EXIT_CODE_FILE]).open("x") as file:  # the first one tells
        file.write(str(code))
