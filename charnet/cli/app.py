"""The command line: each command translates its flags into one call of the library.

Exit codes: 0 success, 1 a bug in charnet, 2 usage or settings, 3 text or prompt, 4 checkpoint or receipt, 5 training
diverged, 6 input or output, 7 server, 128 + n ended by signal n (130 Ctrl-C, 141 the reader of the pipe closed it).
"""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import typer

from charnet.cli import console
from charnet.cli.commands import RootGroup
from charnet.errors import CharnetError, ConfigError, PeerError, StorageError, quoted
from charnet.machine import explain_out_of_memory, omp_spin_count

LONGEST_MESSAGE, LONGEST_USAGE = 1000, 300  # characters: the former may name a path, the latter any argument
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO)

# Some releases of typer contain a copy of click, others import it: find the class through a public one.
_ShownError: Any = typer.BadParameter.__bases__[0].__bases__[0]

app = typer.Typer(
    name="charnet",
    cls=RootGroup,
    help="Train a character-level recurrent network on any text, on your own machine, and write new text with it.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: a third of the start-up time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        import charnet

        console.write(f"charnet {charnet.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="show the version"),
) -> None:
    del version


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code. Prints an error that the user can correct as one line."""
    console.prepare()
    os.environ.setdefault("GOMP_SPINCOUNT", str(omp_spin_count()))  # torch reads it when it is loaded
    try:
        _check_current_folder()
        for argument in arguments:
            if "\0" in argument:  # no shell can give one, but a program can
                raise ConfigError(f"{quoted(argument)}: an argument cannot hold a zero byte; remove it")
        with explain_out_of_memory("close other programs, or do less at once"):
            result = app(arguments, standalone_mode=False, prog_name="charnet")
        console.flush()
    except PeerError as error:
        return error.exit_code
    except CharnetError as error:
        from charnet.cli import usage

        console.error(_short(usage.as_typed(str(error), arguments), LONGEST_MESSAGE))
        return error.exit_code
    except _ShownError as error:
        return _usage(error)
    except typer.Abort:
        return 128 + signal.SIGINT
    except OSError as error:  # typer writes the help itself
        if error.errno not in UNWRITABLE:
            raise
        console.error(f"standard output: cannot be written: {error.strerror}")
        console.give_up_stdout()
        return StorageError.exit_code
    except (console.PipeClosed, SystemExit):  # typer exits so when the reader of its help is gone
        return 128 + 13
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        console.end()
    return result if isinstance(result, int) else 0


def _check_current_folder() -> None:
    """Raises StorageError if the current folder was removed: with torch that would be found only seconds later."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise StorageError("the current folder was removed; change to another one") from None


def _usage(error: Any) -> int:
    message = error.format_message()
    if "Usage:" in message:  # called without arguments: the message is the help
        console.note(message, keep="\n")
        return 2
    from charnet.cli import usage

    console.error(_short(usage.explained(error), LONGEST_USAGE))
    return 2


def _short(message: str, longest: int) -> str:
    """Leaves out the middle of a message that holds a whole text, given as an argument by mistake."""
    half = longest // 2
    return message if len(message) <= longest else f"{message[:half]} ... {message[-half:]}"
