"""`charnet serve`"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charnet.cli import console
from charnet.cli.options import option
from charnet.errors import ConfigError, ServerError, quoted
from charnet.server.access import LOOPBACK, Access, check_allowed, check_bind, host_name, key_from

if TYPE_CHECKING:
    from charnet.server.app import App

NETWORK, WRITING = "The network", "Writing"
KEY_VARIABLE = "CHARNET_KEY"


def serve(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHECKPOINT]...", help="Runs or checkpoints, served by name [default: the newest run]."
        ),
    ] = None,
    port: Annotated[int, option("--port", min=0, max=65535, help="the port; 0 = any free one", group=NETWORK)] = 8765,
    host: Annotated[
        str, option("--host", help="address to listen on; any but loopback needs a key", group=NETWORK)
    ] = "127.0.0.1",
    key_file: Annotated[
        Path | None,
        option(
            "--key-file",
            metavar="FILE",
            help=f"a file with the key that clients must send; or the environment variable {KEY_VARIABLE}",
            group=NETWORK,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        option("--allow-host", metavar="NAME", help="accept requests to this host name too", group=NETWORK),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        option(
            "--allow-origin",
            metavar="URL",
            help="accept requests from pages of this origin, as https://a.org",
            group=NETWORK,
        ),
    ] = None,
    quantize: Annotated[
        str | None,
        option(
            "--quantize",
            metavar="int8",
            help="8-bit weights: a request has the same answer on every machine, alone or among others; needed for "
            "receipts",
            group=WRITING,
        ),
    ] = None,
    quiet: Annotated[bool, option("--quiet", "-q", help="write no line for each request", group=NETWORK)] = False,
) -> int:
    """Serve models over HTTP, by default to this machine alone: OpenAI's API of completions, and a page to write in."""
    if quantize not in (None, "int8"):
        raise ConfigError(f"--quantize: expected int8, found {quoted(str(quantize))}")
    access = _access(host, key_file, allow_host or (), allow_origin or ())

    from charnet.server import app as server
    from charnet.server.models import Models, paths_of
    from charnet.server.page import writing_page

    models = Models(paths_of(checkpoints or []), quantize=quantize is not None, log=console.note)

    def log(line: str) -> None:
        if not quiet:
            console.note(line)

    def started(bound: int) -> None:
        named = ", ".join(each.name for each in models.all)
        models.compile()
        console.note(f"serving {named}; a page to write in: http://{host_name(host)}:{bound}/ (Ctrl-C ends it)")

    return _run(server.App(models, access, page=writing_page(), log=log), host, port, started)


def _access(host: str, key_file: Path | None, hosts: Sequence[str], origins: Sequence[str]) -> Access:
    """Returns who may ask."""
    key = _key(key_file)
    check_bind(host, key)
    check_allowed(hosts, origins)
    names = [*LOOPBACK, host_name(host), *hosts]
    return Access(tuple(name.lower() for name in names), tuple(origins), key)


def _key(file: Path | None) -> str:
    """Returns the key of clients, or "": from a file or the environment, never from the command line, which all users
    of a machine can see."""
    if file is None:
        found = os.environ.get(KEY_VARIABLE, "")
        return key_from(found, KEY_VARIABLE) if found else ""
    try:
        return key_from(file.read_text(encoding="utf-8", errors="replace"), str(file))
    except OSError as error:
        raise ServerError(f"{file}: cannot be read: {error.strerror}") from None


def _run(app: App, host: str, port: int, started: Callable[[int], object]) -> int:
    """Serves until a signal comes; returns its exit code. A second one ends at once."""
    import asyncio

    from charnet.server import app as server

    received: list[int] = []

    async def serve_until_signal() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()

        def end(number: int) -> None:
            if received:
                os._exit(128 + number)
            received.append(number)
            stopped.set()

        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                number = getattr(signal, name)
                try:
                    loop.add_signal_handler(number, end, number)
                except NotImplementedError:  # on Windows
                    signal.signal(number, lambda n, _: loop.call_soon_threadsafe(end, n))
        await server.run(app, host, port, started=started, stopped=stopped)

    asyncio.run(serve_until_signal())
    return 128 + received[0] if received else 0
