"""Lengths of time, as people write them."""

from __future__ import annotations

import re

from charnet.errors import ConfigError, quoted

EXAMPLES = "for example 90s, 5m, 2h, 1h30m, 1d, or 1:30 for a minute and a half"
SECONDS_OF = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
NUMBER = r"\d{1,9}(?:\.\d{1,9})?"


def parse_duration(name: str, text: str) -> float:
    """Parses a duration into seconds.

    A number alone is seconds. Two or three numbers with colons are read as on a stopwatch: minutes and seconds, or
    hours, minutes and seconds.

    >>> [parse_duration("--for", text) for text in ("90", "5min", "1h 30m", "0.5h", "1:30", "1:00:05")]
    [90.0, 300.0, 5400.0, 1800.0, 90.0, 3605.0]

    Args:
        name: of the option or setting, for the message.

    Raises:
        ConfigError: it is not a duration.
    """
    given = text.strip(" ").lower()
    if re.fullmatch(NUMBER, given, re.ASCII):
        return float(given)
    if re.fullmatch(r"\d{1,9}(:[0-5]\d){1,2}", given, re.ASCII):
        seconds = 0
        for number in given.split(":"):
            seconds = 60 * seconds + int(number)
        return float(seconds)
    if re.fullmatch(rf"(?:{NUMBER} ?[a-z]+ ?)+", given, re.ASCII):
        parts = re.findall(rf"({NUMBER}) ?([a-z]+)", given, re.ASCII)
        if all(unit in SECONDS_OF for _, unit in parts):
            return sum(float(number) * SECONDS_OF[unit] for number, unit in parts)
    raise ConfigError(f"{name}: expected a time, found {quoted(text)}; {EXAMPLES}")
