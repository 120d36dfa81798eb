"""`charnet sample -i`: the model continues what the user types, turn by turn, in a plain terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from charnet.cli import console, output, sample_options, surprise
from charnet.config import SamplingOptions
from charnet.data import prompts
from charnet.data.vocab import Vocabulary
from charnet.engines.base import Engine
from charnet.errors import ConfigError, CorpusError, DivergedError, StorageError, did_you_mean, plural
from charnet.generation.copy_guard import CopyGuard
from charnet.generation.detokenizer import Chunk
from charnet.generation.generate import Generation, GenerationState, start
from charnet.generation.guarded import generation

if TYPE_CHECKING:
    from charnet.evaluation.adapt import Adaptation

PROMPT = "> "
BLANK_LINE = "\n\n"
HELP = """The model continues what you type. Press Enter alone for more, Ctrl-C to stop it, Ctrl-D to quit.
  /temp 0.5    set the temperature
  /seed 7      set the random seed; /seed alone chooses a new one
  /back        undo the last turn, yours and the model's
  /save FILE   save the whole text; continue it another day with -i --prompt-file FILE
  /help        show this help
  /quit        quit
To start a text with a slash, type two: //like this"""
LONG_LEARNING = 1.0  # seconds; if learning from a turn took longer, it is said
LEARNED_TURNS = 10  # that can be undone, where the model learns from each: all its weights are kept for that
LAST_SHOWN = 70  # characters of the text that /back shows


@dataclass(frozen=True)
class _Draft:
    """A text so far, the generation state after it, and the model that continues it: it may have learned on the way."""

    text: str
    state: GenerationState
    engine: Engine
    adaptation: Adaptation | None = None


class Session:
    """One text that the user and the model write in turns: the user types, the model continues.

    Args:
        read: decodes and normalizes what the user types; bytes that are not UTF-8 come as surrogates (PEP 383).
        skip_unknown: drops characters that the model does not know, instead of refusing the turn.
        color: colors each character by how unexpected it was.
        before: the state after what was read before the text; by default the start of a text.
        guard: keeps each turn from copying, if the options ask for that.
    """

    def __init__(
        self,
        engine: Engine,
        vocab: Vocabulary,
        options: SamplingOptions,
        *,
        read: Callable[[str], str] = str,
        skip_unknown: bool = False,
        color: bool = False,
        before: GenerationState | None = None,
        guard: CopyGuard | None = None,
    ) -> None:
        begun = before or start(engine, vocab)
        generation(engine, vocab, begun, options, guard)  # raises an error if the options do not fit the model
        self._vocab, self._options = vocab, options
        self._read, self._skip_unknown, self._color, self._guard = read, skip_unknown, color, guard
        self._draft, self._earlier = _Draft("", begun, engine), list[_Draft]()
        self._saved: set[Path] = set()
        self._open: Callable[[Adaptation], Engine] | None = None

    def learn_turns(self, adaptation: Adaptation, open_engine: Callable[[Adaptation], Engine]) -> None:
        """Lets the model learn from each turn that the user types, before it continues that.

        Args:
            adaptation: the model so far.
            open_engine: opens an engine with what it has learned. States pass from one engine to the next.
        """
        self._draft, self._open = replace(self._draft, adaptation=adaptation), open_engine

    @property
    def adaptation(self) -> Adaptation | None:
        """The model now, if it learns."""
        return self._draft.adaptation

    def run(self, prompt: str = "") -> None:
        """Reads turns and commands until /quit, Ctrl-D or the end of the input. A prompt is the first turn.

        An error is one line and leaves the session as it was.
        """
        ask = _line_reader()
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
        encode = self._vocab.encode_known if self._skip_unknown else lambda text: (self._vocab.encode(text), 0)
        typed, notes = prompts.fit(self._read(typed), self._vocab)
        for note in notes:
            console.note(note)
        ids, dropped = encode(typed)
        if dropped:
            console.note(f"left out {plural(dropped, 'character')} that the model does not know")
        try:
            before = self._learned(ids.tolist())
        except KeyboardInterrupt:
            console.note("stopped before it had learned from this turn, which is left out")
            return
        state = before.state.extend(ids.tolist())
        turn = generation(before.engine, self._vocab, state, self._options, self._guard, nats=self._color)
        generated: list[str] = []
        with _deferred_ctrl_c() as stopped:
            chunks = _until(stopped, generated, turn)
            shown = surprise.colored(chunks) if self._color else (chunk.text for chunk in chunks)
            console.stream_text(_with_blank_line(shown, turn), harmless=self._color)
        text = self._vocab.decode(ids.tolist()) + "".join(generated) + turn.withheld
        text += BLANK_LINE * turn.document_ended
        self._earlier.append(self._draft)
        if before.adaptation is not None:
            del self._earlier[:-LEARNED_TURNS]
        self._draft = replace(before, text=before.text + text, state=turn.state)

    def _learned(self, ids: list[int]) -> _Draft:
        """Returns the draft with a model that has learned from what comes next."""
        draft = self._draft
        if draft.adaptation is None or self._open is None or not ids:
            return draft
        context = draft.state.recent
        adaptation = draft.adaptation.learn(np.array([*context, *ids], np.int64), known=len(context))
        if (loss := adaptation.last).seconds >= LONG_LEARNING:
            console.note(f"learned from {plural(loss.characters, 'character')} in {loss.seconds:.1f} s")
        return replace(draft, adaptation=adaptation, engine=self._open(adaptation))

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
        self._draft = replace(self._draft, state=replace(self._draft.state, num_sampled=0))
        console.note(f"seed {seed}")

    def _back(self, argument: str) -> None:
        del argument
        if not self._earlier:
            raise ConfigError("/back: there is nothing to undo")
        self._draft = self._earlier.pop()
        text = self._draft.text
        shown = text if len(text) <= LAST_SHOWN else "..." + text[-LAST_SHOWN:]
        console.note(f"back after: {shown}" if text else "back at the beginning")

    def _save(self, argument: str) -> None:
        if not argument:
            raise ConfigError("/save: give the name of a file, as in /save story.txt")
        path = Path(os.path.expanduser(argument))  # noqa: PTH111 - Path.expanduser raises for an unknown user
        try:
            output.check_free(path, replace=path.absolute() in self._saved)
            text = self._draft.text
            output.save(path, text + "\n" if text.endswith("\n") else text)  # of a prompt file the last one is dropped
        except StorageError as error:
            console.error(str(error))
            return
        self._saved.add(path.absolute())
        console.note(f"{len(text):,} characters in {path}")

    def _help(self, argument: str) -> None:
        del argument
        console.note(HELP, keep="\n")


def _line_reader() -> Callable[[], str | None]:
    """Returns a function that reads a line, or None at the end. On a terminal it has a prompt and readline's keys."""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # a model may have another encoding than the terminal
    if on_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - input() uses it

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
                console.note("\n(press Ctrl-D or type /quit to quit)", keep="\n")

    return ask


def _until(stopped: Callable[[], bool], generated: list[str], generation: Generation) -> Iterator[Chunk]:
    """Yields chunks until the generation ends or is stopped, and appends their texts to `generated`."""
    for chunk in generation:
        generated.append(chunk.text)
        yield chunk
        if stopped():
            return


def _with_blank_line(shown: Iterator[str], generation: Generation) -> Iterator[str]:
    """Yields what is shown, and a blank line when a document has ended: what is typed then begins the next one."""
    yield from shown
    if generation.document_ended:
        yield BLANK_LINE


@contextlib.contextmanager
def _deferred_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Defers Ctrl-C, so that it cannot come between a symbol and the state after it.

    Yields:
        A function that returns whether Ctrl-C was pressed.
    """
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, before)
