"""The entry point of the command `charnet` and of `python -m charnet`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Runs the command line; Ctrl-C while it loads ends it without a message."""
    try:
        from charnet.cli.app import run

        code = run(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command is done: Ctrl-C cannot change its exit code
    except KeyboardInterrupt:
        os._exit(128 + signal.SIGINT)
    background = sys.modules.get("charnet.training.background")
    if (
        background and background.is_any_left()
    ):  # a logger hangs; what it has started would keep the process from ending
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
