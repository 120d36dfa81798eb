"""Several processes of a command: starts them, as torchrun would with the same command line, and lets one speak."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from charnet import signals
from charnet.errors import CharnetError, ConfigError, DivergedError, GroupError, PeerError
from charnet.training import group, torch_group

MOST = 256  # processes
SECONDS_OF_THE_FIRST = 3.0


def starts(processes: int) -> bool:
    """Returns whether the processes of a command have still to be started.

    Raises:
        ConfigError: the number is none that can be started, or torchrun has started another.
    """
    if not 1 <= processes <= MOST:
        raise ConfigError(f"--processes: expected a number between 1 and {MOST:,}, found {processes}")
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return processes > 1
    if processes != group.size():
        raise ConfigError(f"--processes {processes}: torchrun has started {group.size()}; leave it out")
    return False


def start(processes: int) -> int:
    """Runs the command of this process in several, and returns the exit code of the one that failed first."""
    import logging
    import uuid

    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # charnet says in a line what these say in fifty
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in list(logging.root.manager.loggerDict):  # each of torch's has a level of its own
        if name.partition(".")[0] == "torch":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "charnet", *sys.argv[1:])
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code  # a signal
    except SignalException as error:  # the processes have saved, and have ended
        return 128 + int(error.sigval)
    return 0


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """Lets only one process say what all know, and every process its number with what it alone knows."""
    try:
        yield
    except PeerError:
        if group.rank():
            time.sleep(SECONDS_OF_THE_FIRST)  # torchrun takes the exit code of the process that ends first
        raise
    except CharnetError as error:
        if group.size() == 1:
            raise
        is_lost = isinstance(error, GroupError)
        if is_lost:
            signals.ignore()  # torchrun ends all others when it has lost one
        if group.rank():  # the first one may know it too, and says so: then torchrun ends this one
            time.sleep(SECONDS_OF_THE_FIRST)
        if not _tells_first() or (group.rank() and isinstance(error, DivergedError)):
            raise PeerError from None
        if group.rank() and not is_lost:
            raise type(error)(f"process {group.rank()} of {group.size()}: {error}") from None
        raise
    finally:
        torch_group.leave()


def _tells_first() -> bool:
    """Whether no other process of this machine has said what is wrong: the first one may be the one that is lost."""
    if not (file := os.environ.get("TORCHELASTIC_ERROR_FILE")):  # torchrun has a new folder for each start
        return os.environ.get("LOCAL_RANK") == "0"
    try:
        (Path(file).parent.parent / "charnet-has-told").touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return os.environ.get("LOCAL_RANK") == "0"
    return True


def check_alone(command: str) -> None:
    """Raises ConfigError if torchrun has started several processes of a command that starts trainings by itself."""
    if group.size() > 1:
        raise ConfigError(f"charnet {command} trains several models in one process each; start it without torchrun")
