"""The page to write in."""

from __future__ import annotations

from charnet.insight import html


def writing_page() -> str:
    """Returns the page as HTML."""
    return html.page("charnet", "<h1>charnet</h1>")
