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
from charnet.cli.bench import bench
from charnet.cli.cache import cache
from charnet.cli.compress import compress, decompress
from charnet.cli.corpus import corpus
from charnet.cli.doctor import doctor
from charnet.cli.eval import eval_
from charnet.cli.export import export
from charnet.cli.guide import guide
from charnet.cli.help import GroupedCommand
from charnet.cli.importing import import_
from charnet.cli.insight import insight
from charnet.cli.inspect import inspect
from charnet.cli.lesson import lesson
from charnet.cli.quantize import quantize
from charnet.cli.replay import replay
from charnet.cli.runs import runs
from charnet.cli.sample import sample
from charnet.cli.serve import serve
from charnet.cli.sweep import sweep
from charnet.cli.train import train
from charnet.errors import CharnetError, ConfigError, PeerError, StorageError, quoted
from charnet.machine import explain_out_of_memory, omp_spin_count

LONGEST_MESSAGE, LONGEST_USAGE = 1000, 300  # characters: the former may name a path, the latter any argument
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO)

# Some releases of typer contain a copy of click, others import it: find the class through a public one.
_ShownError: Any = typer.BadParameter.__bases__[0].__bases__[0]

app = typer.Typer(
    name="charnet",
    help="Train a character-level recurrent network on any text, on your own machine, and write new text with it.",
    epilog="Start with: charnet train, then charnet sample.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: a third of the start-up time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=GroupedCommand)(train)
app.command(cls=GroupedCommand)(sample)
app.command(cls=GroupedCommand)(replay)
app.command(cls=GroupedCommand)(inspect)
app.command(cls=GroupedCommand)(insight)
app.command(cls=GroupedCommand)(lesson)
app.command(cls=GroupedCommand)(runs)
app.command(cls=GroupedCommand)(sweep)
app.command("eval", cls=GroupedCommand)(eval_)
app.command(cls=GroupedCommand)(serve)
app.command(cls=GroupedCommand)(quantize)
app.command(cls=GroupedCommand)(export)
app.command("import", cls=GroupedCommand)(import_)
app.command(cls=GroupedCommand)(compress)
app.command(cls=GroupedCommand)(decompress)
app.command(cls=GroupedCommand)(guide)
app.command(cls=GroupedCommand)(doctor)
app.add_typer(bench, name="bench")
app.add_typer(cache, name="cache")
app.add_typer(corpus, name="corpus")


def _version(show: bool) -> None:
    if show:
        import charnet

        console.write(f"charnet {charnet.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
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
        console.error(_short(str(error), LONGEST_MESSAGE))
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


def _usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()  # type: ignore[attr-defined]
    if "Usage:" in message:  # called without arguments: the message is the help
        console.note(message, keep="\n")
        return 2
    message = " ".join(message.split())
    command = context.command_path if context else "charnet"
    console.error(f"{_short(message.rstrip('.'), LONGEST_USAGE)} (see {command} --help)")
    return 2


def _short(message: str, longest: int) -> str:
    """Leaves out the middle of a message that holds a whole text, given as an argument by mistake."""
    half = longest // 2
    return message if len(message) <= longest else f"{message[:half]} ... {message[-half:]}"
