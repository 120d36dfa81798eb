"""Starts `charnet train` in several processes of this machine, as torchrun would with the same command line."""

from __future__ import annotations

import logging
import os
import sys
import uuid

from charnet.errors import ConfigError

MOST = 256  # processes


def start(processes: int) -> int:
    """Runs the command of this process in several, and returns the exit code of the one that failed first.

    Raises:
        ConfigError: the number is none that can be started.
    """
    if not 1 <= processes <= MOST:
        raise ConfigError(f"--processes: expected a number between 1 and {MOST}, found {processes}")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # charnet says in a line what these say in fifty
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch").setLevel(logging.CRITICAL)
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
