"""The page to write in: a sheet, what the model would write next in gray, and nothing from anywhere but this server."""

from __future__ import annotations

from pathlib import Path

from charnet.insight import html, surprises

FOLDER = Path(__file__).with_name("writing")
SCRIPTS = ("text", "changes", "client", "sheet", "editing", "suggestions", "choices", "surprise", "files", "writing")


def writing_page() -> str:
    """Returns the page as HTML."""
    shared = surprises.script() + html.asset("saving.js")
    script = '"use strict";\n' + shared + "".join(_asset(f"{name}.js") for name in SCRIPTS)
    style, body = (
        surprises.style() + _asset("page.css"),
        _asset("page.html").replace("SURPRISE-KEY", surprises.legend()),
    )
    return html.page("charnet", body, style=style, script=script, connects=True)


def _asset(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
