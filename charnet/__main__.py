"""The entry point of the command `charnet` and of `python -m charnet`."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Runs the command line; Ctrl-C while it is still being loaded ends it without a word."""
    try:
        from charnet.cli.app import run

        code = run(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done and said
    except KeyboardInterrupt:
        os._exit(128 + signal.SIGINT)
    sys.exit(code)


if __name__ == "__main__":
    main()
