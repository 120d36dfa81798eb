"""What a path names that is no file to read again and again: standard input, a pipe, a device, a file of the system."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from charnet import regular_file

STANDARD_INPUT = "-"
ITS_OTHER_NAMES = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
NOT_SHARED = "several processes cannot read one stream: save the text in a file, and give its name"


def is_standard_input(name: str) -> bool:
    """Returns whether a path names standard input; a file that is redirected to it is read as that file."""
    return name == STANDARD_INPUT or (name in ITS_OTHER_NAMES and not os.path.isfile(name))


def may_not_end(name: str) -> bool:
    """Returns whether a path names a stream, or a file in which the system shows its state."""
    return is_stream(name) or regular_file.is_of_system(name)


def is_stream(name: str) -> bool:
    """Returns whether a path names a stream, for instance a pipe, which can be read only once."""
    return is_standard_input(name) or (os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name))


def is_device(name: str) -> bool:
    """Returns whether a path names a device."""
    try:
        mode = Path(name).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
