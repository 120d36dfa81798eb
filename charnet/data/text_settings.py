"""Checks how a text is to be read, without NumPy."""

from __future__ import annotations

from charnet.config import DataSettings
from charnet.errors import ConfigError

NEEDS_CHARACTERS = ("newlines", "normalize", "lowercase", "field", "encoding_errors")  # not for bytes


def check_settings(data: DataSettings) -> None:
    """Checks that the settings of a text do not contradict each other.

    Raises:
        ConfigError: one needs characters where there are bytes, two cut the text, or what cuts it is no pattern.
    """
    changed = [key for key in NEEDS_CHARACTERS if getattr(data, key) != getattr(DataSettings, key)]
    if data.bytes and changed:
        raise ConfigError(f"data.{changed[0]}: does not apply to a model of bytes; leave it out")
    for one, other in (("lines", "documents"), ("field", "documents"), ("document_separator", "documents"),
                       ("document_separator", "field")):  # fmt: skip
        if getattr(data, one) and getattr(data, other):
            raise ConfigError(f"data.{one} and data.{other}: two ways to separate documents; leave one out")
    if data.documents:
        from charnet.data.segment import separator  # imported here: it loads NumPy

        separator(data)
