"""What the terminal shows of typed keys."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


def silent() -> contextlib.AbstractContextManager[None]:
    """Keeps typed keys off the screen; they still reach the shell, and Ctrl-C this process."""
    return _without("ECHO")


def without_control_keys() -> contextlib.AbstractContextManager[None]:
    """Keeps the terminal from writing ^C into a text."""
    return _without("ECHOCTL")


@contextlib.contextmanager
def _without(flag: str) -> Iterator[None]:
    """Switches a local mode of the terminal off, if there is a terminal, and back on behind it."""
    restore = None
    with contextlib.suppress(ImportError, OSError, ValueError, AttributeError):
        import termios

        keyboard = sys.stdin.fileno()
        # A process in the background that changes its terminal is stopped.
        if os.isatty(keyboard) and os.tcgetpgrp(keyboard) == os.getpgrp():
            before = termios.tcgetattr(keyboard)
            quiet = [*before[:3], before[3] & ~getattr(termios, flag), *before[4:]]
            termios.tcsetattr(keyboard, termios.TCSANOW, quiet)

            def restore() -> None:
                if os.tcgetpgrp(keyboard) == os.getpgrp():
                    termios.tcsetattr(keyboard, termios.TCSANOW, before)

    try:
        yield
    finally:
        if restore is not None:
            with contextlib.suppress(OSError, termios.error):
                restore()
