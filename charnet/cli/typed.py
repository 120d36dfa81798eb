"""What the user types in a session: lines, turns of several lines, commands. Full-width characters are understood in
commands, as an input method for Chinese or Japanese types them."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator

from charnet.cli import console, keyboard, surprise

PROMPT, MORE = "> ", ". "  # before a turn, and before each further line of it
BOLD, RESET = "\x1b[1m", "\x1b[0m"
SLASHES = "/\uff0f"
QUIT = ("quit", "exit")
LIKE_COMMANDS = {"q": "/quit", "bye": "/quit", "?": "/help", "h": "/help"}  # with those that are named as commands
HELP = {
    "": "The model continues what you type. Press Enter alone for more, Ctrl-C to stop it, Ctrl-D to quit.",
    "/again": "write the last continuation anew",
    "/3": "write three continuations, then a number takes one; also /3 Once upon",
    "/undo": "take back the last turn, yours and the model's; /back does the same",
    "/show": "show the whole text, colored by how unexpected each character was",
    "/temp 0.5": "set the temperature",
    "/seed 7": "set the random seed; /seed alone chooses a new one",
    "/set KEY VALUE": "set any option, as in /set top_p 0.9; /set alone shows them, /set KEY default takes one back",
    "/load RUN": "go on with another model",
    "/save FILE": "save the whole text; continue it another day with -i --prompt-file FILE",
    "/help": "show this help",
    "/quit": "quit",
    "Several lines": "a line that ends with \\ goes on in the next one. To end your own line, as in a chat, type \\ at "
    "its end and Enter twice. Two backslashes stand for one.",
    "A slash": "to start a text with a slash, type two: //like this",
}

Reader = Callable[[str], str | None]  # shows a prompt; returns a line, or None at the end


class DroppedError(Exception):
    """Ctrl-C while a line is typed: what was typed of the turn is dropped."""


def command_of(line: str) -> tuple[str, str] | None:
    """Returns the name and the argument of a command, or None for text, which begins with two slashes if with any.

    >>> command_of("/temp 0.5"), command_of("\uff0f\uff13\u3000Once"), command_of("//a")
    (('temp', '0.5'), ('3', 'Once'), None)
    """
    if line[:1] not in tuple(SLASHES) or line[1:2] in tuple(SLASHES):
        return None
    return parts_of(line[1:])


def parts_of(text: str) -> tuple[str, str]:
    """Returns the first word, which is a name, and the rest."""
    found = re.match("([^ \u3000]*)[ \u3000]*(.*)", text, re.DOTALL)
    assert found
    return unicodedata.normalize("NFKC", found[1]), found[2]


def text_of(line: str) -> str:
    """Returns the text of a turn that is no command.

    >>> text_of("//and/or")
    '/and/or'
    """
    return line[1:] if line[:1] in tuple(SLASHES) else line


def like_command(line: str) -> str:
    """Returns the command that a line seems to mean which is text, since no slash begins it; "" for any other.

    >>> like_command("exit"), like_command("Help!"), like_command(":q"), like_command("help me")
    ('/exit', '/help', '/quit', '')
    """
    word = line.strip().lower().lstrip(":\\").rstrip("!.()") or line.strip()
    named = {name.split()[0].removeprefix("/") for name in HELP if name.startswith("/")} | {*QUIT, "back"}
    return f"/{word}" if word in named and not word.isdecimal() else LIKE_COMMANDS.get(word, "")


def number_of(text: str) -> str:
    """Returns a number as it is written in ASCII: full-width digits, dots and signs are others.

    >>> number_of(" \uff10\uff0e\uff15\u3000")
    '0.5'
    """
    return unicodedata.normalize("NFKC", text).strip()


def parted(line: str) -> tuple[str, bool]:
    r"""Returns a line of a turn, and whether the turn goes on: a backslash at its end says so, two stand for one.

    >>> parted("a\\"), parted("a\\\\"), parted("a")
    (('a', True), ('a\\', False), ('a', False))
    """
    text = line.rstrip("\\")
    backslashes = len(line) - len(text)
    return text + "\\" * (backslashes // 2), backslashes % 2 == 1


def read_turn(ask: Reader) -> str | None:
    """Reads a command, or a turn of one or more lines; None at the end of the input."""
    line = ask(PROMPT)
    if line is None or command_of(line):
        return line
    text, goes_on = parted(line)
    while goes_on:
        line = ask(MORE)
        more, goes_on = parted(line or "")
        text += "\n" + more
    return text


def line_reader() -> Reader:
    """Returns what reads a line. On a terminal it has a prompt and readline's keys, and what is typed is bold."""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # a model may have another encoding than the terminal
    begin, end = (BOLD, RESET) if on_terminal and surprise.can_color() else ("", "")
    if on_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - input() uses it

    def ask(prompt: str) -> str | None:
        console.write(begin)  # not within the prompt, whose columns readline counts
        console.flush()
        try:
            return input(prompt if on_terminal else "")
        except EOFError:
            if on_terminal:
                console.write("\n")
            return None
        except KeyboardInterrupt:
            if not on_terminal:
                raise
            console.write(end)
            console.note("\n(press Ctrl-D or type /quit to quit)", keep="\n")
            raise DroppedError from None
        finally:
            console.write(end)
            console.flush()

    return ask


def show_help() -> None:
    """Says on stderr which commands there are, as wide as the terminal."""
    columns = max(30, shutil.get_terminal_size().columns - 1)
    for name, about in HELP.items():
        begin = f"  {name:<16}" if name else ""
        for number, line in enumerate(console.folded(about, columns - len(begin))):
            console.note((" " * len(begin) if number else begin) + line.rstrip())


@contextlib.contextmanager
def deferred_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Defers Ctrl-C, so that it cannot come between a symbol and the state after it.

    Yields:
        A function that returns whether Ctrl-C was pressed.
    """
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        with keyboard.without_control_keys():
            yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, before)
