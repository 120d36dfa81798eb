"""Formats numbers for people."""

from __future__ import annotations

import math


def format_loss(nats: float | None) -> str:
    """Formats a loss in nats and in bits."""
    return "-" if nats is None else f"{fixed(nats, 4)} nats ({fixed(nats / math.log(2), 4)} bits)"


def fixed(number: float, digits: int) -> str:
    """Formats a number with some digits behind the point; a huge one, as of a diverged model, with an exponent.

    >>> fixed(1.23456, 4), fixed(9.6e37, 4)
    ('1.2346', '9.600e+37')
    """
    return f"{number:.{digits}f}" if abs(number) < 1e9 else f"{number:.3e}"


def format_duration(seconds: float) -> str:
    """Formats seconds as hours, minutes and seconds.

    >>> format_duration(75.4), format_duration(3700), format_duration(1e299)
    ('1:15', '1:01:40', '1e+299 seconds')
    """
    if abs(seconds) >= 1e12:  # of a forged checkpoint
        return f"{seconds:g} seconds"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_size(count: float) -> str:
    """Formats a number of bytes with the unit that fits.

    >>> format_size(1_115_394)
    '1.1 MB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
