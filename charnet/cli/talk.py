"""`charnet sample -i`: opens the models of a session and says how it begins."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.cli import adapting, copying, opening, output
from charnet.cli.context import Context
from charnet.cli.interactive import Session
from charnet.cli.turns import Writer
from charnet.cli.voices import say
from charnet.config import SamplingOptions
from charnet.data import prompts
from charnet.data.normalize import normalize
from charnet.generation.generate import start

if TYPE_CHECKING:
    from charnet.cli.opening import Opened
    from charnet.generation.copy_guard import CopyGuard

Guards = dict[int, "CopyGuard"]  # by their length
BEGINNING = "type the start of the text, or press Enter; a line that ends with \\ goes on; /help lists the commands"


def talk(
    model: Opened, options: SamplingOptions, text: str, before: Context, given: Mapping[str, Any], *, color: bool
) -> None:
    """Writes in turns with the user.

    Args:
        text: the first turn, unless it is empty.
        before: what is read before it.
        given: the values of all options by the names of their parameters.
        color: show how unexpected each character was.
    """
    quiet, adaptation, guards = given["quiet"], model.adaptation, list[Guards]()
    if not quiet:
        model.say(options, given["engine"])
        output.note_colors(given, color=color)
        say(BEGINNING)
        if given["adapt"]:
            say("the model learns from each turn that you type; /undo undoes that too, up to ten times")

    def load(name: str, chosen: SamplingOptions) -> Writer:
        path, checkpoint = opening.load(Path(name))
        alone = {**given, "mix": None, "adapt_to": None, "json": False}
        other = opening.open_model(path, [checkpoint], chosen, alone, count=0)
        if not quiet:
            other.say(chosen, given["engine"])
        return writer_of(other, guards)

    begun = before.state(model, options) or start(model.engine, model.vocab)
    session = Session(writer_of(model, guards), options, begun, load=load, color=color)
    if given["adapt"] and adaptation is not None:
        more = {name: given[name] for name in ("quantize", "threads")}
        session.learn_turns(adaptation, functools.partial(opening.reopen, engine=model.opened_as, **more))
    session.run(text)
    for opened in () if quiet else guards:
        copying.say_banned(opened)
    if given["save_as"] and adaptation is not None:
        adapting.save(session.adaptation or adaptation, given["save_as"], quiet=quiet)


def writer_of(model: Opened, guards: list[Guards]) -> Writer:
    """Returns what a session needs of a model.

    Args:
        guards: takes those that the model opens.
    """
    vocab, data, opened = model.vocab, model.config.data, Guards()
    guards.append(opened)

    def read(typed: str) -> str:
        raw = typed.encode("utf-8", "surrogateescape")
        return normalize(prompts.decode(raw, "this line", data.encoding, of_bytes=vocab.of_bytes), data)

    def guard_of(options: SamplingOptions) -> CopyGuard | None:
        known = model
        if options.max_copy and options.max_copy not in opened and not (model.learned or model.mix):
            known = replace(model, learned=opening.learned_text_of(model.path))  # /set asks for it
        return copying.guard_of(known, options, opened)

    return Writer(model.engine, vocab, read, guard_of)
