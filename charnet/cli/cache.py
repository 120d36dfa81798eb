"""`charnet cache`"""

from __future__ import annotations

import datetime
from collections.abc import Sized
from typing import Annotated

import typer

from charnet.cli import console
from charnet.cli.help import GroupedCommand, HelpGroup
from charnet.cli.options import option
from charnet.cli.tables import format_size
from charnet.errors import plural

OUTPUT, REMOVED = "Output", "Copies to remove"

cache = typer.Typer(
    help="List or remove the encoded copies of texts.", cls=HelpGroup, no_args_is_help=True, rich_markup_mode=None
)


@cache.command("list", cls=GroupedCommand)
def list_(json: Annotated[bool, option("--json", help="print the list as JSON", group=OUTPUT)] = False) -> None:
    """List the encoded copies, the most recently used first."""
    from charnet.data.cache import LIMIT_VARIABLE, cache_folder, entries, size_limit

    found, folder = entries(), cache_folder()
    total, limit = sum(entry.size_bytes for entry in found), size_limit()
    if json:
        console.write_json(
            {"folder": str(folder), "bytes": total, "limit": limit, "copies": [vars(entry) for entry in found]}
        )
        return
    for entry in found:
        used = _time(entry.used)
        figures = f"{format_size(entry.size_bytes):>9}  used {used}  {plural(entry.characters, 'character'):>25}"
        console.write_line(f"{entry.key[:12]}  {figures}  {entry.name}")
    console.note(f"{folder}: {_copies(found)}, {format_size(total)} of at most {format_size(limit)} ({LIMIT_VARIABLE})")


@cache.command("clear", cls=GroupedCommand)
def clear(
    down_to: Annotated[
        str,
        option("--down-to", metavar="SIZE", help="keep the most recently used copies, up to this size", group=REMOVED),
    ] = "0",
) -> None:
    """Remove encoded copies; charnet makes them again when it needs them."""
    from charnet.data.cache import clear as clear_cache
    from charnet.data.cache import parse_size

    removed = clear_cache(down_to=parse_size(down_to, "--down-to"))
    console.note(f"removed {_copies(removed)}, {format_size(sum(entry.size_bytes for entry in removed))}")


def _time(seconds: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):  # a file can have a time that no calendar has
        return f"{'at an odd time':16}"


def _copies(entries: Sized) -> str:
    return f"{len(entries):,} encoded {'copy' if len(entries) == 1 else 'copies'}"
