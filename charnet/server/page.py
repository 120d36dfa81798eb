"""The page to write in: a sheet, what the model would write next in gray, and nothing from anywhere but this server."""

from __future__ import annotations

from pathlib import Path

from charnet.insight import html

SCRIPTS = ("text.js", "history.js", "client.js", "sheet.js", "writing.js")


def writing_page() -> str:
    """Returns the page as HTML."""
    script = '"use strict";\n' + "".join(map(_asset, SCRIPTS))
    return html.page("charnet", _asset("writing.html"), style=_asset("writing.css"), script=script, connects=True)


def _asset(name: str) -> str:
    """Returns a part of the page that lies beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
