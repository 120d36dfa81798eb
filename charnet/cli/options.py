"""Options of the command line that stand for options of `config`: help, default and limits come from there."""

from __future__ import annotations

from typing import Any

import typer

from charnet.config import SamplingOptions, flags_of, options_of
from charnet.overlay import default, limits
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


def sampling(name: str, *, group: str, metavar: str | None = None, default: str | None = None) -> Any:
    """A Typer option of the sampling option of that name; not given, it leaves the default.

    Args:
        metavar: what `--help` shows for the value; by default its type, or its choices.
        default: what `--help` shows as the default where the command has one of its own.
    """
    described = options_of(SamplingOptions)[name][0]
    limits = described.metadata["limits"]
    words = "|".join(filter(None, limits.choices)) or metavar
    usual = described.default if default is None else default
    shown = limits.text if usual in ("", ()) else f"{limits.text} [default: {usual}]"
    return typer.Option(*flags_of(name), help=shown, metavar=words, show_default=False, rich_help_panel=group)


def option(*flags: str, help: str, group: str, **more: Any) -> Any:
    """Any other option."""
    return typer.Option(*flags, help=help, rich_help_panel=group, **more)
