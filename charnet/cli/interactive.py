"""`charnet sample -i`: what is typed is continued, turn by turn, in a plain terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from charnet.cli import console, output, sample_options, surprise
from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.errors import ConfigError, CorpusError, DivergedError, StorageError, did_you_mean
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation, GenerationState, start

PROMPT = "> "
HELP = """What you type is continued; Enter alone goes on. Ctrl-C stops the writing, Ctrl-D leaves.
  /temp 0.5    the temperature from now on
  /seed 7      the random numbers from now on; /seed alone takes new ones
  /back        undoes the last turn, yours and the model's
  /save FILE   the whole text so far; go on another day with -i --prompt-file FILE
  /help        this
  /quit        leaves
A text that begins with a slash: //like this"""
LAST_SHOWN = 70  # characters of the text that /back goes back to


@dataclass(frozen=True)
class _Draft:
    """All of a text so far, and the place after it."""

    text: str
    position: GenerationState


class Session:
    """One text, written by two: every turn is what was typed and what the model continued it with.

    Args:
        shape: what is done to a text before it is encoded.
        skips_unknown: whether characters that the model lacks are left out; else the turn is refused.
        colours: whether characters show how unexpected they were.
    """

    def __init__(
        self,
        engine: Engine,
        vocab: Vocabulary,
        options: SamplingOptions,
        *,
        shape: Callable[[str], str] = str,
        skips_unknown: bool = False,
        colours: bool = False,
    ) -> None:
        Generation(engine, vocab, start(engine), options)  # refuses options that do not fit the model
        self._engine, self._vocab, self._options = engine, vocab, options
        self._shape, self._skips_unknown, self._colours = shape, skips_unknown, colours
        self._draft, self._earlier = _Draft("", start(engine)), list[_Draft]()
        self._saved: set[Path] = set()

    def run(self, prompt: str = "") -> None:
        """Reads turns and commands until /quit, Ctrl-D or the end of the input; a prompt is the first turn.

        What cannot be done is told in one line and changes nothing.
        """
        ask = _asker()
        console.write_text(prompt)
        line = (f"/{prompt}" if prompt.startswith("/") else prompt) or ask()
        while line is not None and line not in ("/quit", "/exit"):
            try:
                self._answer(line)
            except (ConfigError, CorpusError, DivergedError) as error:
                console.error(str(error))
            line = ask()

    def _answer(self, line: str) -> None:
        if line.startswith("//"):
            self._turn(line[1:])
        elif line.startswith("/"):
            name, _, argument = line[1:].partition(" ")
            self._command(name, argument.strip())
        else:
            self._turn(line)

    def _turn(self, typed: str) -> None:
        encode = self._vocab.encode_known if self._skips_unknown else lambda text: (self._vocab.encode(text), 0)
        ids, dropped = encode(self._shape(typed))
        if dropped:
            console.note(f"left out what the model does not know: {dropped} character{'s' * (dropped > 1)}")
        start = self._draft.position.extend(ids.tolist())
        writing = Generation(self._engine, self._vocab, start, self._options, nats=self._colours)
        written: list[str] = []
        with _noting_ctrl_c() as stopped:
            pieces = _until(stopped, written, writing)
            shown = surprise.colored(pieces) if self._colours else (piece.text for piece in pieces)
            console.stream_text(shown, harmless=self._colours)
        text = self._vocab.decode(ids.tolist()) + "".join(written) + writing.withheld
        self._earlier.append(self._draft)
        self._draft = _Draft(self._draft.text + text, writing.state)

    def _command(self, name: str, argument: str) -> None:
        commands = {"temp": self._temp, "seed": self._seed, "back": self._back, "save": self._save, "help": self._help}
        if name not in commands:
            near = did_you_mean(f"/{name}", [f"/{known}" for known in (*commands, "quit")])
            raise ConfigError(f'there is no command "/{name[:40]}"{near}; /help lists them')
        commands[name](argument)

    def _temp(self, argument: str) -> None:
        if argument:
            first, last = sample_options.parse_temperature(argument)
            self._options = replace(self._options, temperature=first, temperature_end=last)
        o = self._options
        end = "" if o.temperature_end is None else f":{o.temperature_end:g}"
        console.note(f"temperature {o.temperature:g}{end}")

    def _seed(self, argument: str) -> None:
        try:
            seed = int(argument) if argument else sample_options.random_seed()
        except ValueError:
            raise ConfigError(f"/seed: expected a number, found {argument[:40]!r}") from None
        self._options = replace(self._options, seed=seed)
        self._draft = replace(self._draft, position=replace(self._draft.position, num_sampled=0))
        console.note(f"seed {seed}")

    def _back(self, argument: str) -> None:
        del argument
        if not self._earlier:
            raise ConfigError("/back: nothing is left to undo")
        self._draft = self._earlier.pop()
        text = self._draft.text
        shown = text if len(text) <= LAST_SHOWN else "..." + text[-LAST_SHOWN:]
        console.note(f"back after: {shown}" if text else "back at the beginning")

    def _save(self, argument: str) -> None:
        if not argument:
            raise ConfigError("/save: expected the name of a file, as in /save story.txt")
        path = Path(os.path.expanduser(argument))  # noqa: PTH111 - Path's raises where nobody has the name
        try:
            output.check_free(path, replace=path.absolute() in self._saved)
            output.save(path, self._draft.text)
        except StorageError as error:
            console.error(str(error))
            return
        self._saved.add(path.absolute())
        console.note(f"{len(self._draft.text):,} characters in {path}")

    def _help(self, argument: str) -> None:
        del argument
        console.note(HELP, keep="\n")


def _asker() -> Callable[[], str | None]:
    """What reads a line, with a prompt and the keys of readline on a terminal; nothing at the end."""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if on_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - input() finds it

    def ask() -> str | None:
        while True:
            try:
                return input(PROMPT if on_terminal else "")
            except EOFError:
                if on_terminal:
                    console.write("\n")
                return None
            except KeyboardInterrupt:
                if not on_terminal:
                    raise
                console.note("\n(Ctrl-D or /quit leaves)", keep="\n")
            except UnicodeDecodeError:
                console.error("expected a line in UTF-8, found other bytes")

    return ask


def _until(stopped: Callable[[], bool], written: list[str], writing: Generation) -> Iterator[Chunk]:
    """The pieces of a writing until somebody stops it; `written` gets their text."""
    for piece in writing:
        written.append(piece.text)
        yield piece
        if stopped():
            return


@contextlib.contextmanager
def _noting_ctrl_c() -> Iterator[Callable[[], bool]]:
    """While it is open Ctrl-C is noted; it cannot come between a symbol and the place after it."""
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)
