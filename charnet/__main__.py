"""The entry point of the command `charnet` and of `python -m charnet`."""

from __future__ import annotations

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
    sys.exit(code)


if __name__ == "__main__":
    main()
