"""Options that stand for settings: their help, default and limits come from `config`, never from here."""

from __future__ import annotations

from typing import Any

import typer

from charnet.config import default, limits
from charnet.training.planner import PLANNED


def setting(name: str, *flags: str, group: str) -> Any:
    """A Typer option that sets `section.field`; not given, it leaves the setting alone."""
    text, start = limits(name), default(name)
    flag = flags or ("--" + name.partition(".")[2].replace("_", "-"),)
    said = "|".join(text.choices) if text.choices else None
    usual = f"chosen to fit; with --epochs or --steps {start}" if name in PLANNED else start
    if name == "training.steps":
        usual = "chosen to fit"
    shown = f"{text.text} [default: {usual}]" if start is not False and start != () else text.text
    return typer.Option(*flag, help=shown, metavar=said, show_default=False, rich_help_panel=group)


def option(*flags: str, help: str, group: str, **more: Any) -> Any:
    """Any other option."""
    return typer.Option(*flags, help=help, rich_help_panel=group, **more)
