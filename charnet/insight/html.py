"""A page in one file: it opens without a network, and its policy lets nothing run but the script that it came with.

The data of a page is JSON in a script element that no browser runs. What stands in texts reaches the reader through
`textContent` alone, so no text can become markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from charnet.insight.svg import STYLE as FIGURES
from charnet.insight.svg import xml_text as xml_text
from charnet.storage.strict_json import finite


def page(
    title: str,
    body: str,
    *,
    style: str = "",
    script: str = "",
    data: Any = None,
    language: str = "en",
    refresh_seconds: int = 0,
    connects: bool = False,
    compiles: bool = False,
) -> str:
    """Returns a page as HTML.

    Args:
        title: any text.
        body: markup. What is put into it from names and texts has gone through `text`.
        style: more rules than those of all pages; `style` attributes in the markup have no effect.
        script: runs at the end of the page.
        data: for the script, which reads it as JSON from the element `data`.
        refresh_seconds: the page loads itself again so often; 0 = never.
        connects: the script may ask the server that the page came from, and no other.
        compiles: the script may run WebAssembly.
    """
    rules = asset("theme.css") + FIGURES + style
    policy = f"default-src 'none'; style-src {_hash(rules)}; img-src data:; base-uri 'none'; form-action 'none'"
    allowed = "'wasm-unsafe-eval' " * compiles
    policy += f"; script-src {allowed}{_hash(script)}" if script else ""
    policy += "; connect-src 'self'" if connects else ""
    icon = '<link rel="icon" href="data:,">\n' if connects else ""  # else a browser asks the server for one
    refresh = f'<meta http-equiv="refresh" content="{refresh_seconds}">\n' if refresh_seconds else ""
    stored = f'<script type="application/json" id="data">{to_json(data)}</script>\n' if data is not None else ""
    run = f"<script>{script}</script>\n" if script else ""
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n{refresh}{icon}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{rules}</style>\n</head>\n<body>\n{body}\n{stored}{run}</body>\n</html>\n"
    )


def asset(name: str) -> str:
    """Returns a style sheet or a script that lies beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def text(value: object) -> str:
    """Returns any text as HTML that shows it, control characters as symbols."""
    return xml_text(str(value))


def to_json(value: Any) -> str:
    """Formats JSON so that nothing in it can end its script element: no `<`, no `>`, no `&`, ASCII alone."""
    found = json.dumps(finite(value), allow_nan=False, separators=(",", ":"))
    return found.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
