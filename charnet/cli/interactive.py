"""`charnet sample -i`: the model continues what the user types, turn by turn, in a plain terminal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from charnet.cli import console, output, sample_options, session_options, typed
from charnet.cli.turns import MOST_READ, Continuation, Draft, Turn, Writer
from charnet.cli.voices import Screen, say
from charnet.config import SamplingOptions, of_arguments
from charnet.data import prompts
from charnet.engines.base import Engine
from charnet.errors import CheckpointError, ConfigError, CorpusError, DivergedError, StorageError, plural, quoted
from charnet.errors import did_you_mean as near
from charnet.generation.generate import GenerationState

if TYPE_CHECKING:
    from charnet.evaluation.adapt import Adaptation

MOST_CHOICES = 9
LONG_LEARNING = 1.0  # seconds; if learning from a turn took longer, it is said
LEARNED_TURNS = 10  # that can be undone, where the model learns from each: all its weights are kept for that
LAST_SHOWN = 70  # characters of the text that /undo shows


class Session:
    """One text that the user and a model write in turns: the user types, the model continues.

    Args:
        begun: the state before the text.
        load: opens another model by the name of its run, with some options.
        color: colors each character by how unexpected it was.
    """

    def __init__(
        self,
        writer: Writer,
        options: SamplingOptions,
        begun: GenerationState,
        *,
        load: Callable[[str, SamplingOptions], Writer],
        color: bool = False,
    ) -> None:
        writer.check(begun, options)
        self._options, self._load_writer = options, load
        self._draft, self._turns, self._choices = Draft(writer, begun), list[Turn](), list[Draft]()
        self._offered: Turn | None = None
        self._saved, self._screen = set[Path](), Screen(surprise=color)
        self._open: Callable[[Adaptation], Engine] | None = None

    def learn_turns(self, adaptation: Adaptation, open_engine: Callable[[Adaptation], Engine]) -> None:
        """Lets the model learn from each turn that the user types, before it continues that.

        Args:
            adaptation: the model so far.
            open_engine: opens an engine with what it has learned. States pass from one engine to the next.
        """
        writer = replace(self._draft.writer, adaptation=adaptation)
        self._draft, self._open = replace(self._draft, writer=writer), open_engine

    @property
    def adaptation(self) -> Adaptation | None:
        """The model now, if it learns."""
        return self._draft.writer.adaptation

    def run(self, prompt: str = "") -> None:
        """Reads turns and commands until /quit, Ctrl-D or the end of the input. A prompt is the first turn.

        An error is one line and leaves the session as it was.
        """
        ask = typed.line_reader()
        console.write_text(prompt)
        if prompt:
            self._guarded(lambda: self._turn(prompt))
        while True:
            try:
                line = typed.read_turn(ask)
            except typed.DroppedError:
                continue
            if line is None or (typed.command_of(line) or ("",))[0] in typed.QUIT:
                return
            self._guarded(lambda line=line: self._answer(line))  # type: ignore[misc]

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (ConfigError, CorpusError, CheckpointError, DivergedError) as error:
            console.error(of_arguments(str(error)))

    def _answer(self, line: str) -> None:
        command = typed.command_of(line)
        if self._choices and (command or ("",))[0] != "again" and self._chosen(line):
            return
        if command:
            self._command(*command)
            return
        if word := typed.like_command(line):
            say(f"{quoted(line.strip())} was taken as text; {word} is the command, and /help shows all")
        self._turn(typed.text_of(line))

    def _command(self, name: str, argument: str) -> None:
        if name.isascii() and name.isdecimal():
            self._offer(int(name[:3]), argument)
            return
        commands = {
            "again": self._again, "undo": self._undo, "back": self._undo, "show": self._show, "temp": self._temp,
            "seed": self._seed, "set": self._set, "load": self._load, "save": self._save, "help": self._help,
        }  # fmt: skip
        if name not in commands:
            known = [f"/{each}" for each in (*commands, "quit")]
            raise ConfigError(f'there is no command "/{name[:40]}"{near(f"/{name}", known)}; /help lists them')
        try:
            commands[name](argument.strip(" \u3000"))
        except StorageError as error:
            if name not in ("save", "load"):  # then it is of the output
                raise
            console.error(str(error))

    # turns

    def _turn(self, text: str) -> None:
        if turn := self._asked(text):
            self._draft = self._written(turn)
            self._remember(replace(turn, attempts=1))

    def _asked(self, text: str) -> Turn | None:
        """Reads what was typed; returns the draft before it and the one to continue, or None if that was stopped."""
        before = self._draft
        ids, notes = prompts.read_turn(before.writer.read(text), before.writer.vocab)
        for note in notes:
            console.note(note)
        try:
            return Turn(before, self._learned(ids.tolist()).typed(ids.tolist()))
        except KeyboardInterrupt:
            console.note("stopped before it had learned from this turn, which is left out")
            return None

    def _learned(self, ids: list[int]) -> Draft:
        """Returns the draft with a model that has learned from what comes next."""
        draft, writer = self._draft, self._draft.writer
        if writer.adaptation is None or self._open is None or not ids:
            return draft
        context = draft.state.recent
        adaptation = writer.adaptation.learn(np.array([*context, *ids], np.int64), known=len(context))
        if (loss := adaptation.last).seconds >= LONG_LEARNING:
            console.note(f"learned from {plural(loss.characters, 'character')} in {loss.seconds:.1f} s")
        return replace(draft, writer=replace(writer, adaptation=adaptation, engine=self._open(adaptation)))

    def _written(self, turn: Turn) -> Draft:
        """Lets the model continue a draft, and returns the one after that."""
        continuation = Continuation(turn.asked or turn.before, self._options, turn.attempts)
        with typed.deferred_ctrl_c() as stopped:
            self._screen.write(continuation.until(stopped))
        return continuation.draft

    def _remember(self, turn: Turn) -> None:
        self._turns.append(turn)
        if self.adaptation is not None:
            del self._turns[:-LEARNED_TURNS]

    def _again(self, argument: str) -> None:
        del argument
        turn = self._offered or (self._turns[-1] if self._turns else Turn(self._draft))
        if turn.asked is None:
            raise ConfigError("/again: the model has not continued this text yet")
        if self._options.temperature == 0 and not self._options.temperature_end:
            say("at temperature 0 it writes the same again; /temp 0.8 gives it a choice")
        if self._offered:
            self._write_choices(turn, len(self._choices))
        else:
            self._draft = self._written(turn)
            self._turns[-1] = replace(turn, attempts=turn.attempts + 1)

    def _undo(self, argument: str) -> None:
        del argument
        if not self._turns:
            raise ConfigError("/undo: there is nothing to undo")
        self._draft = self._turns.pop().before
        text = self._draft.text
        shown = text if len(text) <= LAST_SHOWN else "..." + text[-LAST_SHOWN:]
        console.note(f"back after: {shown}" if text else "back at the beginning")

    # several continuations

    def _offer(self, count: int, text: str) -> None:
        if not 1 <= count <= MOST_CHOICES:
            raise ConfigError(f"/{count}: expected a number of continuations between 1 and {MOST_CHOICES}")
        if turn := self._asked(text):
            self._write_choices(turn, count)

    def _write_choices(self, turn: Turn, count: int) -> None:
        found = list[Draft]()
        with typed.deferred_ctrl_c() as stopped:
            for number in range(count):
                continuation = Continuation(turn.asked or turn.before, self._options, turn.attempts + number)
                self._screen.offer(number + 1, continuation.until(stopped))
                found.append(continuation.draft)
                if stopped():
                    break
        self._choices, self._offered = found, replace(turn, attempts=turn.attempts + count)
        say(f"1 to {len(found)} takes one, /again writes others, Enter takes none")

    def _chosen(self, line: str) -> bool:
        """Takes one of the continuations, or none; returns whether the line has said all."""
        number, turn = typed.number_of(line), self._offered
        assert turn is not None
        if number.isascii() and number.isdecimal():
            if not 1 <= int(number[:3]) <= len(self._choices):
                raise ConfigError(f"expected a number between 1 and {len(self._choices)}, found {quoted(number)}")
            self._draft = self._choices[int(number) - 1]
            self._remember(turn)
            if not self._screen.is_terminal and self._draft.pieces:
                console.write_text(self._draft.text[len(turn.asked.text) if turn.asked else 0 :])
                console.flush()
        self._choices, self._offered = [], None
        console.note(f"took {number}" if number.isdecimal() else "took none of them")
        return not line or number.isdecimal() or (typed.command_of(line) or ("",))[0] in ("undo", "back")

    # commands

    def _show(self, argument: str) -> None:
        del argument
        if not self._draft.pieces:
            raise ConfigError("/show: there is no text yet")
        self._screen.show((piece.is_typed, piece.rated()) for piece in self._draft.pieces)

    def _change(self, options: SamplingOptions) -> None:
        self._draft.writer.check(self._draft.state, options)
        self._options = options

    def _temp(self, argument: str) -> None:
        if argument:
            self._change(replace(self._options, **session_options.changes("temperature", argument)))
        o = self._options
        end = "" if o.temperature_end is None else f":{o.temperature_end:g}"
        console.note(f"temperature {o.temperature:g}{end}")

    def _seed(self, argument: str) -> None:
        number = typed.number_of(argument)
        if number and not (number.isascii() and number.isdecimal() and len(number) < 20):
            raise ConfigError(f"/seed: expected a number, found {quoted(argument)}")
        seed = int(number) if number else sample_options.random_seed()
        self._change(replace(self._options, seed=seed))
        self._draft = replace(self._draft, state=replace(self._draft.state, num_sampled=0))
        console.note(f"seed {seed}")

    def _set(self, argument: str) -> None:
        is_name = argument[:1] not in tuple(typed.SLASHES)
        key, value = (typed.command_of("/" + argument) if is_name else None) or ("", "")
        if argument and not key:
            raise ConfigError(f"/set: expected the name of an option, found {quoted(argument)}")
        name = session_options.name_of(key) if key else ""
        if name == "seed" and value:
            self._seed("0" if value == session_options.DEFAULT else value)
            return
        if value:
            self._change(replace(self._options, **session_options.changes(name, value)))
        for line in session_options.described(self._options, name):
            say(line)

    def _load(self, argument: str) -> None:
        if not argument:
            raise ConfigError("/load: give the name of a run, as in /load pets")
        if self.adaptation is not None:
            raise ConfigError("/load: with --adapt the session belongs to one model; save it with --save-as")
        writer = self._load_writer(argument, self._options)
        text, _ = prompts.fit(self._draft.text[-MOST_READ:], writer.vocab)
        ids, dropped = writer.vocab.encode_known(text)
        after = self._draft.with_writer(writer, ids.tolist())
        writer.check(after.state, self._options)
        self._remember(Turn(self._draft))
        self._draft = after
        unknown = f", without {plural(dropped, 'character')} that it does not know" if dropped else ""
        say(f"{argument} goes on; it has read {plural(len(ids), 'character')}{unknown}")

    def _save(self, argument: str) -> None:
        if not argument:
            raise ConfigError("/save: give the name of a file, as in /save story.txt")
        path = Path(os.path.expanduser(argument))  # noqa: PTH111 - Path.expanduser raises for an unknown user
        output.check_free(path, replace=path.absolute() in self._saved)
        text = self._draft.text
        output.save(path, text + "\n" if text.endswith("\n") else text)  # of a prompt file the last one is dropped
        self._saved.add(path.absolute())
        console.note(f"{plural(len(text), 'character')} in {path}")

    def _help(self, argument: str) -> None:
        del argument
        typed.show_help()
